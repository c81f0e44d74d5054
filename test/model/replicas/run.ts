import { FIRST_ROW } from '../data.js'
import { type Result, search } from '../search.js'
import type { Visited } from '../visited.js'
import type { Rules } from './actors.js'
import { withRevision } from './revisions.js'
import { successors, violationOf } from './steps.js'
import { type Budget, encoder, type Op, type Process, type World, type Wrong } from './world.js'

/** What is searched: on how many replicas, who acts, what may go wrong, and what must hold. */
export interface Configuration {
  readonly name: string
  readonly replicas: number
  readonly starts: 'live' | 'new'
  /**
   * `I` a process that inserts, `U` updates what it finds, in a lineage of its own (a claim or a takeover), `F` flushes
   * in the lineage that all of them share (each copy has the writes of those before it), `X` destroys, `R` reads.
   */
  readonly processes: readonly string[]
  readonly faults?: Partial<Budget>
  readonly asked: readonly Wrong[]
}

const OPS: Readonly<Record<string, Op['do']>> = {
  I: 'insert',
  C: 'claim',
  U: 'update',
  F: 'flush',
  X: 'destroy',
  R: 'read',
}

const processesOf = (words: readonly string[]): Process[] => {
  let write = -1
  let flushed = 0
  return words.map((word, index) => {
    const ops = [...word].map((letter): Op => {
      const what = OPS[letter]
      if (what === undefined) throw new RangeError(`Nobody does ${letter}`)
      if (what !== 'read') write += 1
      const op = { do: what, write, before: what === 'flush' ? flushed : 0 }
      if (what === 'flush') flushed |= 1 << write
      return op
    })
    return { name: `${word}${index}`, ops, task: undefined, sends: undefined }
  })
}

export const firstWorld = ({ replicas, starts, processes, faults }: Configuration): World => {
  const isLive = starts === 'live'
  const { revisions } = withRevision([], undefined, { kind: 'session', session: FIRST_ROW })
  return {
    revisions: isLive ? revisions : [],
    replicas: Array.from({ length: replicas }, () => (isLive ? 1 : 0)),
    cutOff: undefined,
    requests: [],
    processes: processesOf(processes),
    budget: { cuts: 0, lostAnswers: 0, ...faults },
    acked: 0,
    exists: isLive,
    destroy: 'no',
    wrong: undefined,
  }
}

/** Searches to the end, to the first thing that is wrong, or to the cap. */
export const searchConfiguration = (
  configuration: Configuration,
  rules: Rules,
  cap: number,
  watching: { readonly seen?: Visited; readonly meanwhile?: () => void } = {},
): Result<World> => {
  const searched = { rules, asked: configuration.asked }
  return search(
    {
      first: firstWorld(configuration),
      successors: (world, emit) => successors(world, searched, emit),
      ...encoder(),
      violation: (world) => violationOf(world, searched),
    },
    cap,
    watching,
  )
}
