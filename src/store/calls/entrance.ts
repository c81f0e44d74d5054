import { aborted, SessionStoreError } from '../../errors.js'
import { alarmAfter, alarms } from '../../tools/alarms.js'
import { anAbortSignal } from '../../tools/options.js'
import { unlessAborted } from '../../tools/signals.js'
import { passOn } from '../../tools/waiting.js'
import type { Context } from '../context.js'
import { type Call, callOf } from './call.js'
import { type CallWithOptions, checkCallOptions } from './call-options.js'

/** The entrance through which every call of the store's user comes in, until the store is closed. */
export interface Entrance {
  /**
   * Does the work of a call. Rejects with `E_CLOSED` once the entrance is shut, with `E_CONFIG` for an option that the
   * call does not know, and with `E_SESSION_UNAVAILABLE` where the work has not settled within the `deadlineMs` of the
   * store. Rejects with `E_ABORTED` as soon as the signal among the options is aborted.
   *
   * @param withinMs the time within which it settles, in ms. @default the `deadlineMs` of the store
   * @param isChange whether the call may have changed something by the time its caller is told that it is late
   */
  timely<T>(
    operation: CallWithOptions,
    isChange: boolean,
    callOptions: object,
    work: (call: Call) => Promise<T>,
    withinMs?: number,
  ): Promise<T>
  /** @throws SessionStoreError `E_CLOSED` once the entrance is shut. */
  refuseIfShut(): void
  /** From now on no call comes in. */
  shut(): void
  /**
   * The calls that have begun and not ended. A call that changes something stays here as long as its last step may
   * take, even after its caller was told that it is late. A call that changes nothing stays until its caller was told.
   */
  readonly inFlight: InFlight
}

/** The calls that have begun and not ended. */
export interface InFlight {
  readonly size: number
  /** Resolves as soon as there are none. */
  ended(): Promise<void>
}

/** The calls to which an id may be given that comes from outside. */
const BY_AN_ID: ReadonlySet<CallWithOptions> = new Set(['load', 'update', 'put', 'touch', 'regenerate'])

/** @param onCall called at each call that comes in */
export const entrance = ({ runtime, options }: Pick<Context, 'runtime' | 'options'>, onCall: () => void): Entrance => {
  const { deadlineMs, thawMs } = options
  const inFlight = callsInFlight()
  const usualAlarms = alarms(runtime, deadlineMs)
  let isShut = false

  return {
    timely: <Result>(
      operation: CallWithOptions,
      isChange: boolean,
      callOptions: object,
      work: (call: Call) => Promise<Result>,
      withinMs = deadlineMs,
    ): Promise<Result> => {
      if (isShut) return Promise.reject(closed())
      onCall()
      const signal = signalIn(callOptions)
      const asker = BY_AN_ID.has(operation) && typeof callOptions === 'object' ? callOptions : undefined
      const call = callOf(runtime, { operation, isChange, deadlineMs: withinMs, signal, asker })
      const isTooLate = signal?.aborted === true
      const leave = inFlight.enter()
      const working = begun(() => {
        checkCallOptions(operation, callOptions)
        if (isTooLate) throw aborted(operation, signal, isChange ? 'no' : undefined)
        return work(call)
      })
      const alarm = withinMs === deadlineMs ? usualAlarms : alarmAfter(runtime, withinMs)
      const timely = new Promise<Result>((resolve, reject) => {
        let cancel = alarm(() => {
          reject(call.lateError())
          if (isChange && thawMs > withinMs) cancel = runtime.after(thawMs - withinMs, leave)
          else leave()
        })
        const end = (): void => {
          cancel()
          leave()
        }
        passOn(working, end, resolve, reject)
      })
      if (signal === undefined || isTooLate) return timely
      return unlessAborted(signal, timely, () => {
        if (!isChange) leave()
        return call.lateError()
      })
    },
    refuseIfShut: () => {
      if (isShut) throw closed()
    },
    shut: () => {
      isShut = true
    },
    inFlight,
  }
}

/** What the work settles as, also where it throws before it gives a promise. */
const begun = <Result>(work: () => Promise<Result>): Promise<Result> => {
  try {
    return work()
  } catch (error) {
    return Promise.reject(error)
  }
}

const callsInFlight = (): InFlight & {
  /** @returns to be called once the call has ended; further times do nothing */
  enter(): () => void
} => {
  let size = 0
  const whenNone: (() => void)[] = []
  return {
    get size() {
      return size
    },
    enter: () => {
      let isIn = true
      size += 1
      return () => {
        if (!isIn) return
        isIn = false
        size -= 1
        if (size === 0) for (const tell of whenNone.splice(0)) tell()
      }
    },
    ended: () => (size === 0 ? Promise.resolve() : new Promise((resolve) => whenNone.push(resolve))),
  }
}

/** The signal that a call was given. What is no signal, or no options at all, is complained about by their check. */
const signalIn = (callOptions: { readonly signal?: unknown } | null): AbortSignal | undefined => {
  const signal = callOptions?.signal
  return signal !== undefined && anAbortSignal.accepts(signal) ? signal : undefined
}

const closed = (): SessionStoreError => new SessionStoreError('E_CLOSED', 'The session store was closed')
