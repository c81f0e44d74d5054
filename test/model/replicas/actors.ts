import { winnerOf } from '../../../src/backends/couchdb/document.js'
import { type Guard, guardAdmits, type StoredSession } from '../../../src/contract/backend.js'
import { lineageName, masked, RECORDED, writeIdOf, writesIn } from '../data.js'
import { at, type Mask, numbersIn, type Rev, type Revisions } from './revisions.js'
import { quorumOf } from './server.js'
import type { Answer, Ask, Op, Process, Task, World } from './world.js'

/*
 * What the backend does for one call, as `src/backends/couchdb` does it, and what the store does with an answer that is
 * in doubt: it sends the same again, and finds itself by lineage or tombstone. Which leaf counts, and what a guard
 * admits, the store's own functions say.
 */

/** The rules that may be weaker or stronger. */
export interface Rules {
  /** HTTP 202: fewer replicas than a quorum have it. */
  readonly accepted: 'is an acknowledgement' | 'is in doubt'
  /**
   * A change that is in doubt is sent again, and finds itself: that is an acknowledgement; or it is put once more over
   * what was found, and only what that is answered counts.
   */
  readonly itself: 'is an acknowledgement' | 'is put once more'
  /** What becomes of the leaves beside the one that counts. */
  readonly losers: 'are removed' | 'stay'
  /** A 404 is believed at once; only where one with r = n says the same; or only where every replica said it. */
  readonly absence: 'as it comes' | 'with r = n' | 'by all replicas'
  /** Whether a read asks for the document, and for all leaves where that is in conflict, or for all leaves at once. */
  readonly reads: 'document' | 'leaves'
}

/** How often a call sends a change. */
const MOST_PUTS = 2

/** How a call ended, as far as a property needs to know. */
export type Ending =
  | { readonly end: 'saw'; readonly rev: Rev | undefined }
  | { readonly end: 'acknowledged'; readonly session: StoredSession }
  | { readonly end: 'destroyed' }
  | { readonly end: 'nothing' }

/** What a task does next. */
export type Next = { readonly task: Task; readonly sends: Ask } | Ending

/** Who has been acknowledged what, when it began. */
export const began = (world: World, process: Process, rules: Rules): Next => {
  const [op] = process.ops
  if (op === undefined) throw new TypeError('Nothing is left to be done')
  const floor = {
    acked: world.acked,
    existed: world.exists && world.destroy === 'no',
    destroyed: world.destroy === 'acked',
  }
  const task: Task = { op, floor, doing: 'find', want: undefined, over: undefined, winner: undefined, puts: MOST_PUTS }
  if (op.do === 'insert') {
    const session = sessionOf(op, undefined)
    return put({ ...task, want: { session, parent: undefined } }, undefined)
  }
  if (op.do === 'claim') {
    const first = sessionIn(world.revisions, 0)
    return put({ ...task, want: { session: sessionOf(op, first), parent: first } }, 0)
  }
  if (op.do === 'flush') {
    const first = sessionIn(world.revisions, 0)
    const writes = op.before | (1 << op.write)
    const session: StoredSession = {
      ...first,
      lineage: FLUSHED,
      version: first.version + 1 + op.write,
      writeIds: numbersIn(writes).map(writeIdOf),
      data: masked(writesIn(first) | writes),
    }
    return put({ ...task, want: { session, parent: first } }, 0)
  }
  return find(world, task, rules)
}

/** The lineage of all flushes: they come out of one life of the session in the cache, and only from there. */
const FLUSHED = lineageName(2)
const OWN_LINEAGES = 3

const sessionIn = (revisions: Revisions, rev: Rev): StoredSession => {
  const { content } = at(revisions, rev)
  if (content.kind !== 'session') throw new TypeError('A session is expected here')
  return content.session
}

/** A lineage of its own, from the copy that was found. */
const sessionOf = ({ write }: Op, parent: StoredSession | undefined): StoredSession => ({
  lineage: lineageName(OWN_LINEAGES + write),
  version: (parent?.version ?? 0) + 1,
  writeIds: [...(parent?.writeIds ?? []), writeIdOf(write)],
  codecId: 1,
  data: masked((parent === undefined ? 0 : writesIn(parent)) | (1 << write)),
  userId: undefined,
  ...RECORDED,
  createdAt: 1,
  seenAt: 1,
  expiresAt: 1e9,
  absoluteExpiresAt: 1e9,
  idleTtlMs: 1e9,
})

const find = ({ replicas }: World, task: Task, { reads }: Rules): Next => ({
  task: { ...task, doing: 'find' },
  sends: { ask: reads, r: quorumOf(replicas.length) },
})

/** What stands where a write met another: all leaves. */
const look = ({ replicas }: World, task: Task): Next => ({
  task: { ...task, doing: 'look' },
  sends: { ask: 'leaves', r: quorumOf(replicas.length) },
})

const put = (task: Task, over: Rev | undefined): Next => {
  if (task.puts === 0) return { end: 'nothing' }
  const content =
    task.op.do === 'destroy'
      ? ({ kind: 'tombstone', by: task.op.write } as const)
      : ({ kind: 'session', session: (task.want as NonNullable<Task['want']>).session } as const)
  return {
    task: { ...task, doing: 'put', over, puts: task.puts - 1 },
    sends: { ask: 'put', over, content },
  }
}

export const took = (world: World, task: Task, answer: Answer, rules: Rules): Next => {
  if (task.doing === 'put') return tookPut(world, task, answer, rules)
  if (task.doing === 'resolve') return found(world, task, task.winner, rules)
  if (answer.answer === 'document') {
    if (answer.shown === undefined) return absent(world, task, answer.byAll, rules)
    if (!answer.inConflict) return found(world, task, answer.shown, rules)
    return look(world, task)
  }
  if (answer.answer === 'leaves') {
    const winner = winnerIn(world.revisions, answer.standing)
    if (winner === undefined) return absent(world, task, answer.byAll, rules)
    const losers = answer.standing & ~(1 << winner)
    if (losers === 0 || rules.losers === 'stay') return found(world, task, winner, rules)
    return { task: { ...task, doing: 'resolve', winner }, sends: { ask: 'remove', revs: losers } }
  }
  // A look that failed.
  return { end: 'nothing' }
}

export const winnerIn = (revisions: Revisions, standing: Mask): Rev | undefined => {
  const leaves = numbersIn(standing).flatMap((rev) => at(revisions, rev).leaf ?? [])
  const winner = winnerOf(leaves)
  return winner === undefined ? undefined : revisions.findIndex(({ leaf }) => leaf === winner)
}

const absent = (world: World, task: Task, byAll: boolean, rules: Rules): Next => {
  if (rules.absence === 'as it comes') return found(world, task, undefined, rules)
  if (task.doing !== 'confirm')
    return {
      task: { ...task, doing: 'confirm' },
      sends: { ask: rules.reads, r: world.replicas.length },
    }
  if (rules.absence === 'by all replicas' && !byAll) return { end: 'nothing' }
  return found(world, task, undefined, rules)
}

const tookPut = (world: World, task: Task, { answer }: Answer, rules: Rules): Next => {
  const isDone = answer === 'created' || (answer === 'accepted' && rules.accepted === 'is an acknowledgement')
  if (isDone)
    return task.want === undefined ? { end: 'destroyed' } : { end: 'acknowledged', session: task.want.session }
  return task.op.do === 'insert' || task.op.do === 'destroy' ? find(world, task, rules) : look(world, task)
}

/** With what counts of the document, or with nothing. */
const found = (world: World, task: Task, rev: Rev | undefined, rules: Rules): Next => {
  const { revisions } = world
  const content = rev === undefined ? undefined : at(revisions, rev).content
  if (task.op.do === 'read') return { end: 'saw', rev }
  if (task.op.do === 'destroy') {
    const isEnough = content?.kind === 'tombstone' && rules.itself === 'is an acknowledgement'
    return isEnough ? { end: 'destroyed' } : put(task, rev)
  }
  if (rev === undefined || content?.kind !== 'session')
    return task.op.do === 'insert' && rev === undefined ? put(task, undefined) : { end: 'saw', rev }
  const standing = content.session
  const { want } = task
  if (want !== undefined) {
    const { session, parent } = want
    // It finds itself, or a later copy of its lineage, which has all that it has.
    if (standing.lineage === session.lineage && standing.version >= session.version)
      return rules.itself === 'is an acknowledgement'
        ? { end: 'acknowledged', session: standing }
        : put({ ...task, want: { session: standing, parent: standing } }, rev)
    if (task.op.do === 'insert') return { end: 'nothing' }
    if (parent !== undefined && guardAdmits(guardOf(session, parent), standing)) return put(task, rev)
    // Its lineage is dead: the changes go on top of what stands there, by a call of its own.
    if (task.op.do === 'flush') return { end: 'saw', rev }
  }
  return put({ ...task, want: { session: sessionOf(task.op, standing), parent: standing } }, rev)
}

const guardOf = (session: StoredSession, parent: StoredSession): Guard => ({
  lineage: session.lineage,
  belowVersion: session.version,
  parentLineage: parent.lineage,
  parentVersion: parent.version,
})
