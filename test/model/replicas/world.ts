import type { StoredSession } from '../../../src/contract/backend.js'
import { type Content, codeOf, type Mask, type Rev, type Revisions } from './revisions.js'

/*
 * One document on the nodes of a cluster, the changes of it that are under way, and what each process is doing. A change
 * reaches each replica in a step of its own, in any order, and its answer depends on what it met at each. A look is one
 * step, in which the replicas answer in any order: where nothing is removed a replica only gains, so that a look which
 * takes longer sees no less.
 */

/** A node, and the replica on it where it has one. */
export type Node = number

export type Change =
  /** Puts the document, over a revision or where nothing stands. */
  | { readonly ask: 'put'; readonly over: Rev | undefined; readonly content: Content }
  /** Removes several revisions. */
  | { readonly ask: 'remove'; readonly revs: Mask }

export type Look =
  /** `GET` of the document, with a word on whether it is in conflict; or `open_revs=all`, as `_bulk_get` asks too. */
  { readonly ask: 'document' | 'leaves'; readonly r: number }

/** What a process asks of the server. */
export type Ask = Change | Look

export type Answer =
  /** HTTP 201, 202 and 409; `failed`: no replica answered, or no answer came. */
  | { readonly answer: 'created' | 'accepted' | 'conflict' | 'failed' | 'told' }
  /** `undefined`: a 404. `byAll`: every replica answered, which the server itself does not say. */
  | {
      readonly answer: 'document'
      readonly shown: Rev | undefined
      readonly inConflict: boolean
      readonly byAll: boolean
    }
  | { readonly answer: 'leaves'; readonly standing: Mask; readonly byAll: boolean }

/** What a coordinator has heard so far. */
export interface Heard {
  readonly oks: number
  readonly conflicts: number
}

/** A change under way. */
export interface Request {
  /** The process that waits for it, or -1: it was answered, or given up, and is still on its way to other replicas. */
  readonly of: number
  /** Where it came in. */
  readonly node: Node
  readonly ask: Change
  /** The replicas that it has still to reach. */
  readonly waiting: Mask
  readonly heard: Heard
}

export interface Op {
  readonly do: 'insert' | 'claim' | 'update' | 'flush' | 'destroy' | 'read'
  /** Its own write, and the lineage that it makes. */
  readonly write: number
  /** Of a flush: the writes before its own in the cache, which it takes along. */
  readonly before: number
}

/** What stood when an operation began: what it must not fall behind. */
export interface Floor {
  readonly acked: number
  readonly existed: boolean
  readonly destroyed: boolean
}

export interface Task {
  readonly op: Op
  readonly floor: Floor
  readonly doing: 'find' | 'look' | 'confirm' | 'resolve' | 'put'
  /** What it wants to put, once it knows. */
  readonly want: { readonly session: StoredSession; readonly parent: StoredSession | undefined } | undefined
  readonly over: Rev | undefined
  /** The winner, while the others are removed. */
  readonly winner: Rev | undefined
  /** How often it may still send a change. */
  readonly puts: number
}

export interface Process {
  readonly name: string
  /** The first of them is under way where there is a task. */
  readonly ops: readonly Op[]
  readonly task: Task | undefined
  /** What it asks next. */
  readonly sends: Ask | undefined
}

export interface Budget {
  /** A node is cut off from the others, and joins them again. */
  readonly cuts: number
  /** An answer does not come, or comes too late. */
  readonly lostAnswers: number
}

export interface World {
  readonly revisions: Revisions
  /** What each replica has. There may be more nodes than replicas. */
  readonly replicas: readonly Mask[]
  /** The node that is cut off. */
  readonly cutOff: Node | undefined
  readonly requests: readonly Request[]
  readonly processes: readonly Process[]
  readonly budget: Budget
  /** The writes in all copies that were acknowledged. */
  readonly acked: number
  readonly exists: boolean
  readonly destroy: 'no' | 'begun' | 'acked'
  /** What a step showed. */
  readonly wrong: Wrong | undefined
}

/** What is asked of each state, by the name of what would break it. */
export type Wrong =
  /** An acknowledged change is in no copy that will stand, or was overwritten by an acknowledged copy without it. */
  | 'REPLACED'
  /** A read that began after a change was acknowledged was given a copy without it. */
  | 'STALE READ'
  /** A session that exists was said not to. */
  | 'FALSE ABSENCE'
  /** A session whose destroy was acknowledged was read or written afterwards. */
  | 'DESTROYED, YET LIVE'

const OPS: readonly Op['do'][] = ['insert', 'claim', 'update', 'flush', 'destroy', 'read']
const DOINGS: readonly Task['doing'][] = ['find', 'look', 'confirm', 'resolve', 'put']
const ASKS: readonly Ask['ask'][] = ['put', 'remove', 'document', 'leaves']
const DESTROYS: readonly World['destroy'][] = ['no', 'begun', 'acked']
const WRONGS: readonly Wrong[] = ['REPLACED', 'STALE READ', 'FALSE ABSENCE', 'DESTROYED, YET LIVE']

/**
 * The numbers that tell worlds apart. Nodes have no names in them: worlds that differ in nothing but which node is which
 * are one.
 */
export const encoder = (): { readonly encode: (world: World) => number; readonly numbers: Int32Array } => {
  const numbers = new Int32Array(1_024)
  let length = 0
  const put = (item: number): void => {
    numbers[length] = item
    length += 1
  }
  const putContent = (content: Content): void => {
    for (const item of codeOf(content)) put(item)
  }
  const putAsk = (ask: Ask | undefined): void => {
    put(ask === undefined ? 0 : ASKS.indexOf(ask.ask) + 1)
    if (ask === undefined) return
    if (ask.ask === 'put') {
      put(ask.over ?? -1)
      putContent(ask.content)
    } else put(ask.ask === 'remove' ? ask.revs : ask.r)
  }
  const encode = (world: World): number => {
    const { revisions, replicas, cutOff, requests, processes, budget } = world
    length = 0
    put(revisions.length)
    for (const { parent, content } of revisions) {
      put(parent ?? -1)
      putContent(content)
    }
    for (const signature of signaturesOf(world)) for (const item of signature) put(item)
    put(requests.length)
    for (const { of, ask, heard } of requests) {
      put(of)
      putAsk(ask)
      put(heard.oks)
      put(heard.conflicts)
    }
    for (const { ops, task, sends } of processes) {
      put(ops.length)
      putAsk(sends)
      if (task === undefined) {
        put(-1)
        continue
      }
      const { op, floor, doing, want, over, winner, puts } = task
      put(OPS.indexOf(op.do))
      put(DOINGS.indexOf(doing))
      put(puts)
      put(floor.acked)
      put(Number(floor.existed) + 2 * Number(floor.destroyed))
      put(over ?? -1)
      put(winner ?? -1)
      if (want === undefined) put(-1)
      else {
        putContent({ kind: 'session', session: want.session })
        if (want.parent !== undefined) putContent({ kind: 'session', session: want.parent })
      }
    }
    put(replicas.length)
    put(cutOff === undefined ? 0 : 1)
    put(budget.cuts)
    put(budget.lostAnswers)
    put(world.acked)
    put(Number(world.exists))
    put(DESTROYS.indexOf(world.destroy))
    put(world.wrong === undefined ? -1 : WRONGS.indexOf(world.wrong))
    return length
  }
  return { encode, numbers }
}

/** All that is said of each node, in an order that does not depend on the nodes' names. */
const signaturesOf = ({ replicas, cutOff, requests }: World): readonly (readonly number[])[] =>
  [0, 1, 2]
    .map((node) => {
      const signature = [node < replicas.length ? (replicas[node] ?? 0) : -1, Number(cutOff === node)]
      for (const request of requests)
        signature.push(((request.waiting >> node) & 1) + 2 * Number(request.node === node))
      return signature
    })
    .sort((one, other) => {
      for (const [at, item] of one.entries()) {
        const difference = item - (other[at] ?? 0)
        if (difference !== 0) return difference
      }
      return 0
    })
