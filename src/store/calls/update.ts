import type { WriteOptions } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { within } from '../../tools/waiting.js'
import { noTries, type Tries } from '../protocol/write.js'
import type { Call } from './call.js'
import type { Handle } from './handle.js'
import { type Before, before, dataAfter } from './returned.js'

export interface UpdateSteps<Data> {
  readonly runtime: Runtime
  readonly load: (id: string, call: Call) => Promise<Handle<Data> | undefined>
  /**
   * Stores `handle.data`. Resolves to `false` if another process came between and nothing was stored. The tries of one
   * change share their write id, so that the change is in once at most.
   */
  readonly write: (handle: Handle<Data>, options: WriteOptions, tries: Tries, call: Call) => Promise<boolean>
  /** Gives a new copy of the data as it was loaded. */
  readonly fresh: (handle: Handle<Data>) => Data
  /**
   * Gives a function that makes further handles of the same session, each with its own copy of the data, as the session
   * is known now.
   */
  readonly copierOf: (handle: Handle<Data>) => () => Handle<Data>
  readonly maxAttempts: number
  /** How long a change may take before other changes of the session no longer wait for it, in ms. */
  readonly patienceMs: number
}

export type Update<Data> = (
  id: string,
  change: (data: Data) => unknown,
  options: WriteOptions,
  call: Call,
) => Promise<Handle<Data> | undefined>

/** A caller in line, and the change that it asked for. */
interface Waiting<Data> {
  readonly change: (data: Data) => unknown
  readonly options: WriteOptions
  readonly call: Call
  readonly resolve: (session: Handle<Data> | undefined) => void
  readonly reject: (error: unknown) => void
}

/** A change that has begun on the data of this handle and has not ended. */
interface Begun<Data> {
  readonly handle: Handle<Data>
  readonly was: Before
  readonly changing: Promise<unknown>
}

/**
 * Reads, changes and writes a session as one step. Changes of one session that arrive while a round is under way make
 * up the next round together: one load, all changes in the order in which they arrived, one save. A change that throws
 * is rejected alone and leaves no trace. Where another process saved first, the whole round starts again. A change that
 * takes long leaves the round and goes on alone, so that nobody waits for one that never ends. Each caller gets a
 * handle of its own.
 */
export const updating = <Data>(steps: UpdateSteps<Data>): Update<Data> => {
  const queues = new Map<string, Waiting<Data>[]>()

  const work = async (id: string, queue: Waiting<Data>[]): Promise<void> => {
    while (queue.length > 0) {
      const round = queue.splice(0)
      try {
        await runRound(id, round)
      } catch (error) {
        for (const { reject } of round) reject(error)
      }
    }
    queues.delete(id)
  }

  const runRound = async (id: string, round: Waiting<Data>[]): Promise<void> => {
    const tries = noTries(steps.runtime)
    for (let attempt = 0; attempt < steps.maxAttempts; attempt += 1) {
      removeLate(round)
      if (round.length === 0) return
      try {
        const handle = await steps.load(id, earliestOf(round))
        if (handle === undefined) {
          for (const { resolve } of round) resolve(undefined)
          return
        }
        await applyAll(id, handle, round)
        removeLate(round)
        if (round.length === 0) return
        if (await steps.write(handle, together(round), tries, earliestOf(round))) {
          await answer(handle, round)
          return
        }
      } catch (error) {
        // Where the deadline of one caller has passed, the others, who came later, go on without it.
        const isLate = isSessionStoreError(error, 'E_SESSION_UNAVAILABLE') && round.some(({ call }) => call.isLate())
        if (!isLate) throw error
        removeLate(round, error)
      }
    }
    throw tooOften(steps.maxAttempts, tries)
  }

  /** Gives each caller of a round a handle of its own. */
  const answer = async (handle: Handle<Data>, round: readonly Waiting<Data>[]): Promise<void> => {
    const copy = steps.copierOf(handle)
    for (const [at, { resolve }] of round.entries()) {
      if (at > 0 && isLarge(handle.base)) await ownTurn()
      resolve(at === 0 ? handle : copy())
    }
  }

  /**
   * Takes those out of the round whose callers have been told that they are late. Nothing may begin for them any more.
   */
  const removeLate = (round: Waiting<Data>[], because?: unknown): void => {
    const inTime = round.filter((waiting) => {
      try {
        waiting.call.refuseIfLate()
        return true
      } catch (error) {
        waiting.reject(because ?? error)
        return false
      }
    })
    round.splice(0, round.length, ...inTime)
  }

  /** Applies every change. One that throws, or takes too long, leaves the round, and the others are applied anew. */
  const applyAll = async (id: string, handle: Handle<Data>, round: Waiting<Data>[]): Promise<void> => {
    for (let index = 0; index < round.length; index += 1) {
      const waiting = round[index]
      if (waiting === undefined) continue
      if (isLarge(handle.base)) await ownTurn()
      const stay = await apply(id, handle, waiting)
      if (stay) continue
      round.splice(index, 1)
      handle.data = steps.fresh(handle)
      index = -1
    }
  }

  /** Applies one change. Resolves to `false` where it left the round. The data of the handle is spoilt then. */
  const apply = async (id: string, handle: Handle<Data>, waiting: Waiting<Data>): Promise<boolean> => {
    const { call, change, reject } = waiting
    try {
      const was = before(handle.data)
      const returned = change(handle.data)
      if (!isThenable(returned)) {
        handle.data = dataAfter(was, returned) as Data
        return true
      }
      const changing = Promise.resolve(returned)
      const patienceMs = Math.min(steps.patienceMs, call.leftMs())
      let isSlow = false
      const promised = await within(steps.runtime, patienceMs, changing, () => {
        isSlow = true
        return new Error('This change takes long')
      }).catch((error: unknown) => {
        if (!isSlow) throw error
      })
      if (!isSlow) {
        handle.data = dataAfter(was, promised) as Data
        return true
      }
      // The change goes on with the object that it was given, and the others get another one.
      const own = steps.copierOf(handle)()
      own.data = handle.data
      void runAlone(id, waiting, { handle: own, was, changing })
    } catch (error) {
      reject(error)
    }
    return false
  }

  /** Ends a change that takes long. It competes with the others as a change of another process would. */
  const runAlone = async (id: string, waiting: Waiting<Data>, begun: Begun<Data>): Promise<void> => {
    const { call, change, options, resolve, reject } = waiting
    const tries = noTries(steps.runtime)
    const inTime = (changing: Promise<unknown>): Promise<unknown> =>
      within(steps.runtime, call.leftMs(), changing, () => call.lateError())
    try {
      begun.handle.data = dataAfter(begun.was, await inTime(begun.changing)) as Data
      if (await steps.write(begun.handle, options, tries, call)) {
        resolve(begun.handle)
        return
      }
      for (let attempt = 1; attempt < steps.maxAttempts; attempt += 1) {
        const handle = await steps.load(id, call)
        if (handle !== undefined) {
          const was = before(handle.data)
          handle.data = dataAfter(was, await inTime(Promise.resolve(change(handle.data)))) as Data
        }
        if (handle === undefined || (await steps.write(handle, options, tries, call))) {
          resolve(handle)
          return
        }
      }
      throw tooOften(steps.maxAttempts, tries)
    } catch (error) {
      reject(error)
    }
  }

  return (id, change, options, call) =>
    new Promise((resolve, reject) => {
      const queue = queues.get(id)
      const waiting: Waiting<Data> = { change, options, call, resolve, reject }
      if (queue !== undefined) {
        queue.push(waiting)
        return
      }
      const started = [waiting]
      queues.set(id, started)
      void work(id, started)
    })
}

const isThenable = (value: unknown): value is PromiseLike<unknown> =>
  typeof value === 'object' && value !== null && typeof (value as { readonly then?: unknown }).then === 'function'

/** The call of a round whose caller is told first that it is late: its deadline is that of the round. */
const earliestOf = <Data>(round: readonly Waiting<Data>[]): Call =>
  round.map(({ call }) => call).reduce((one, other) => (other.leftMs() < one.leftMs() ? other : one))

/** The options of a round: durable if any caller asked for it, and the last idle time-out and client that were given. */
const together = <Data>(round: readonly Waiting<Data>[]): WriteOptions => {
  const client = round.findLast(({ options }) => options.client !== undefined)?.options.client
  const idleTtlMs = round.findLast(({ options }) => options.idleTtlMs !== undefined)?.options.idleTtlMs
  return {
    durable: round.some(({ options }) => options.durable === true),
    ...(idleTtlMs === undefined ? {} : { idleTtlMs }),
    ...(client === undefined ? {} : { client }),
  }
}

const tooOften = (attempts: number, { doubt }: Tries): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', `The session could not be updated in ${attempts} attempts`, {
    applied: doubt === undefined ? 'no' : 'unknown',
  })
