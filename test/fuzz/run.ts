/** Runs the cases of a target, and notices whatever a case does that it must not. */
import { getHeapStatistics } from 'node:v8'
import { createContext, runInContext } from 'node:vm'
import { chanceOf } from './chance.js'
import { Broken, type Case, kept, type Target } from './target.js'

export interface Failure {
  readonly target: string
  readonly seed: number
  readonly number: number
  readonly what: string
  readonly bytes: Uint8Array
}

export interface Report {
  readonly cases: number
  /** How many inputs gave a value, and how many were refused: a target that only does one of them tests nothing. */
  readonly values: number
  readonly refusals: number
  readonly failure: Failure | undefined
}

export interface Wanted {
  readonly seed: number
  readonly first: number
  readonly count: number
  readonly fault?: string
  /** How long so many cases may take together before one of them is taken for one that never ends. @default a minute */
  readonly patienceMs?: number
}

/** So many cases run under one time limit, since setting one up takes longer than a case. */
const BATCH = 64

const PROTOTYPES = [Object, Array, Map, Set, Error, Date, String, Number, Function, Promise, RegExp].map(
  ({ prototype }): object => prototype,
)
const COUNTS = PROTOTYPES.map((prototype) => Reflect.ownKeys(prototype).length)

const isPolluted = (): boolean => PROTOTYPES.some((prototype, at) => Reflect.ownKeys(prototype).length !== COUNTS[at])

const cleanUp = (): void => {
  kept.length = 0
  Reflect.deleteProperty(Object.prototype, 'isAdministrator')
}

/** How much one case may add to what the process holds: so much, and so many times the bytes that it was given. */
const MEMORY_BYTES = 96 * 1_048_576
const MEMORY_TIMES = 2_048

const heldBytes = (): number => {
  const { used_heap_size: heap, external_memory: external } = getHeapStatistics()
  return heap + external
}

/** What happened, in words that may hold the words of an error: only `.evidence` has the bytes. */
const wordsOf = (raised: unknown): string => {
  if (raised instanceof Broken) return raised.message
  return raised instanceof Error
    ? `it threw ${raised.name}: ${raised.message.slice(0, 200)}\n${raised.stack}`
    : 'it threw something that is no error'
}

const runOne = ({ bytes, run }: Case): ReturnType<Case['run']> => {
  const before = heldBytes()
  const outcome = run()
  if (heldBytes() - before > MEMORY_BYTES + MEMORY_TIMES * bytes.length)
    throw new Broken('it takes memory without bound')
  if (isPolluted()) throw new Broken('it changes a prototype')
  return outcome
}

const context = createContext({ work: () => {} })

/** Runs to its end, or is stopped. The limit is one of the wall's time, which a busy machine takes from us too. */
const endsWithin = (patienceMs: number, work: () => void): boolean => {
  Reflect.set(context, 'work', work)
  try {
    runInContext('work()', context, { timeout: patienceMs })
    return true
  } catch (error) {
    if ((error as { readonly code?: unknown }).code === 'ERR_SCRIPT_EXECUTION_TIMEOUT') return false
    throw error
  }
}

/** So often is a case tried alone that took too long among others, before it is believed that it never ends. */
const TRIES_ALONE = 2

export const runCases = (target: Target, { seed, first, count, fault, patienceMs = 60_000 }: Wanted): Report => {
  let number = first
  let [values, refusals] = [0, 0]
  let under: Case | undefined
  const failureOf = (what: string): Failure => ({
    target: target.name,
    seed,
    number,
    what,
    bytes: under?.bytes ?? new Uint8Array(0),
  })
  const one = (): void => {
    under = target.caseOf(chanceOf(seed, target.name, number), fault)
    if (runOne(under) === 'value') values += 1
    else refusals += 1
  }
  const end = first + count
  try {
    while (number < end) {
      const batchEnd = Math.min(end, number + BATCH)
      const isDone = endsWithin(patienceMs, () => {
        for (; number < batchEnd; number += 1) one()
      })
      if (isDone) continue
      let tries = TRIES_ALONE
      while (tries > 0 && !endsWithin(patienceMs, one)) tries -= 1
      if (tries === 0) throw new Broken('it does not come to an end')
      number += 1
    }
    return { cases: count, values, refusals, failure: undefined }
  } catch (raised) {
    return { cases: number - first + 1, values, refusals, failure: failureOf(wordsOf(raised)) }
  } finally {
    cleanUp()
  }
}
