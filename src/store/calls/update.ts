import type { WriteOptions } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError, type SessionStoreErrorCode } from '../../errors.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { within } from '../../tools/waiting.js'
import { isUnavailable } from '../context.js'
import { noTries, type Tries, unknownOutcome } from '../protocol/write.js'
import type { Call } from './call.js'
import type { Handle } from './handle.js'
import { type Before, before, dataAfter } from './returned.js'

/**
 * How a try to store something ended. `conflict`: another process came between, and nothing was stored. `apart`: nothing
 * was tried, as a change of the user is stored for one caller alone.
 */
export type UpdateOutcome = 'stored' | 'conflict' | 'apart'

export interface UpdateSteps<Data> {
  readonly runtime: Runtime
  readonly load: (id: string, call: Call) => Promise<Handle<Data> | undefined>
  /**
   * Stores `handle.data`. The tries of one change share their write id, so that the change is in once at most.
   *
   * @param isOfSeveral whether it has the changes of more than one caller
   */
  readonly write: (
    handle: Handle<Data>,
    options: WriteOptions,
    tries: Tries,
    call: Call,
    isOfSeveral: boolean,
  ) => Promise<UpdateOutcome>
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

/** Callers whose changes are stored together. */
interface Round<Data> {
  readonly id: string
  /** Those who are in it. Whoever has been told how it ended leaves it. */
  readonly waiting: Waiting<Data>[]
  /** Those who have left it, and for whom one round each follows. */
  readonly apart: Waiting<Data>[]
  readonly tries: Tries
}

/** A change that has begun and has not ended. */
interface Begun<Data> {
  readonly changing: Promise<unknown>
  /** The handle with the data that it was given; `undefined` if the changes of other callers stood in that data. */
  readonly own: { readonly handle: Handle<Data>; readonly was: Before } | undefined
}

/**
 * Reads, changes and writes a session as one step. Changes of one session that arrive while a round is under way make
 * up the next round together: one load, all changes in the order in which they arrived, one save. Where another process
 * saved first, the whole round starts again. Each caller gets a handle of its own.
 *
 * Nobody is refused for the sake of another. If what the round has made cannot be stored, or changes the user, each of
 * its callers gets a round of its own, and is told how that ends. A change that throws leaves no trace.
 *
 * Nothing that was refused is stored by another. A change may have seen what those before it in the round have made,
 * and they may be refused yet. So what such a change does is believed only if it is stored together with theirs. If it
 * throws or takes long, it runs again, on what is stored by then.
 *
 * A change that takes long leaves the round and goes on alone, so that nobody waits for one that never ends.
 */
export const updating = <Data>(steps: UpdateSteps<Data>): Update<Data> => {
  const queues = new Map<string, Waiting<Data>[]>()

  const work = async (id: string, queue: Waiting<Data>[]): Promise<void> => {
    while (queue.length > 0) await settle(id, queue.splice(0))
    queues.delete(id)
  }

  /** Tells each of these callers how its change ended. */
  const settle = async (id: string, waiting: Waiting<Data>[]): Promise<void> => {
    const round: Round<Data> = { id, waiting, apart: [], tries: noTries(steps.runtime) }
    let areApart = false
    try {
      areApart = (await runRound(round)) === 'apart'
    } catch (error) {
      areApart = waiting.length > 1 && round.tries.doubt === undefined && mayBeOfOne(error)
      if (!areApart) for (const { reject } of waiting) reject(afterTries(error, round.tries))
    }
    for (const one of areApart ? [...waiting, ...round.apart] : round.apart) await settle(id, [one])
  }

  const runRound = async (round: Round<Data>): Promise<'settled' | 'apart'> => {
    const { id, waiting, tries } = round
    for (let conflicts = 0; conflicts < steps.maxAttempts; ) {
      removeLate(waiting)
      if (waiting.length === 0) return 'settled'
      try {
        const handle = await steps.load(id, earliestOf(waiting))
        if (handle === undefined) {
          for (const { resolve } of waiting) resolve(undefined)
          return 'settled'
        }
        await applyAll(handle, round)
        // The data has the changes of those who are late by now, so that it is made anew without them.
        if (removeLate(waiting)) continue
        const isOfSeveral = waiting.length > 1
        const outcome = await steps.write(handle, together(waiting), tries, earliestOf(waiting), isOfSeveral)
        if (outcome === 'apart') return outcome
        if (outcome === 'stored') {
          await answer(handle, waiting)
          return 'settled'
        }
        conflicts += 1
      } catch (error) {
        // Where one caller is late or has given its call up, the others go on without it.
        const isLate = isUnavailable(error) && waiting.some(({ call }) => call.isLate())
        if (!isLate) throw error
        removeLate(waiting, error)
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
   * Tells whether there were any.
   */
  const removeLate = (waiting: Waiting<Data>[], because?: unknown): boolean => {
    const inTime = waiting.filter(({ call, reject }) => {
      try {
        call.refuseIfLate()
        return true
      } catch (error) {
        reject(because ?? error)
        return false
      }
    })
    const areAny = inTime.length < waiting.length
    waiting.splice(0, waiting.length, ...inTime)
    return areAny
  }

  /** Applies every change. One that throws, or takes too long, leaves the round, and the others are applied anew. */
  const applyAll = async (handle: Handle<Data>, round: Round<Data>): Promise<void> => {
    const { waiting } = round
    for (let index = 0; index < waiting.length; index += 1) {
      const one = waiting[index]
      if (one === undefined) continue
      if (isLarge(handle.base)) await ownTurn()
      const stays = await apply(handle, one, round, index === 0)
      if (stays) continue
      waiting.splice(index, 1)
      handle.data = steps.fresh(handle)
      index = -1
    }
  }

  /**
   * Applies one change. Resolves to `false` where it left the round. The data of the handle is spoilt then.
   *
   * @param isFirst whether the data is as it was loaded, without the changes of other callers
   */
  const apply = async (
    handle: Handle<Data>,
    waiting: Waiting<Data>,
    { id, apart, tries }: Round<Data>,
    isFirst: boolean,
  ): Promise<boolean> => {
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
      // An earlier try of the round may have stored this change, and no later one has it, so that nobody could tell.
      if (tries.doubt !== undefined) throw unknownOutcome()
      // The change goes on with the object that it was given, and the others get another one.
      void runAlone(id, waiting, {
        changing,
        own: isFirst ? { handle: copyWith(handle, handle.data), was } : undefined,
      })
    } catch (error) {
      if (isFirst || tries.doubt !== undefined) reject(error)
      else apart.push(waiting)
    }
    return false
  }

  /** Another handle of the same session, with this data. */
  const copyWith = (handle: Handle<Data>, data: Data): Handle<Data> => {
    const copy = steps.copierOf(handle)()
    copy.data = data
    return copy
  }

  /** Ends a change that takes long. It competes with the others as a change of another process would. */
  const runAlone = async (id: string, waiting: Waiting<Data>, { changing, own }: Begun<Data>): Promise<void> => {
    const { call, change, options, resolve, reject } = waiting
    const tries = noTries(steps.runtime)
    const inTime = <T>(work: Promise<T>): Promise<T> =>
      within(steps.runtime, call.leftMs(), work, () => call.lateError())
    /** Stores what a change has made of the data of a handle. Resolves to whether it is stored. */
    const store = async (handle: Handle<Data>, was: Before, running: Promise<unknown>): Promise<boolean> => {
      handle.data = dataAfter(was, await inTime(running)) as Data
      return (await steps.write(handle, options, tries, call, false)) === 'stored'
    }
    try {
      if (own === undefined) {
        // However this run ends, it counts for nothing. The next one begins only then, so that there is one at a time.
        await inTime(Promise.allSettled([changing]))
      } else if (await store(own.handle, own.was, changing)) {
        resolve(own.handle)
        return
      }
      for (let attempt = own === undefined ? 0 : 1; attempt < steps.maxAttempts; attempt += 1) {
        const handle = await steps.load(id, call)
        call.refuseIfLate()
        if (handle === undefined || (await store(handle, before(handle.data), Promise.resolve(change(handle.data))))) {
          resolve(handle)
          return
        }
      }
      throw tooOften(steps.maxAttempts, tries)
    } catch (error) {
      reject(afterTries(error, tries))
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

/** Codes of errors that one caller's change may bring about, whatever the others want. */
const CODES_OF_ONE: ReadonlySet<SessionStoreErrorCode> = new Set(['E_CONFIG', 'E_SESSION_DATA', 'E_SESSION_TOO_LARGE'])

/**
 * Whether what a round was rejected with may be the fault of one of its callers: its data cannot be stored, or a function
 * of the application throws on it. An outage, or the end of the session, concerns them all.
 */
const mayBeOfOne = (error: unknown): boolean => !isSessionStoreError(error) || CODES_OF_ONE.has(error.code)

const tooOften = (attempts: number, { doubt }: Tries): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', `The session could not be updated in ${attempts} attempts`, {
    applied: doubt === undefined ? 'no' : 'unknown',
  })

/** The error of a call, which says so where one of its tries may be in. */
const afterTries = (error: unknown, { doubt }: Tries): unknown => (doubt === undefined ? error : butMayBeApplied(error))
