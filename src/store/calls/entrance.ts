import { aborted, SessionStoreError } from '../../errors.js'
import { anAbortSignal } from '../../tools/options.js'
import { unlessAborted } from '../../tools/signals.js'
import { settledWithin, within } from '../../tools/waiting.js'
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
  readonly inFlight: ReadonlySet<Promise<unknown>>
}

/** The calls to which an id may be given that comes from outside. */
const BY_AN_ID: ReadonlySet<CallWithOptions> = new Set(['load', 'update', 'put', 'touch', 'regenerate'])

/** @param onCall called at each call that comes in */
export const entrance = ({ runtime, options }: Pick<Context, 'runtime' | 'options'>, onCall: () => void): Entrance => {
  const { deadlineMs, thawMs } = options
  const inFlight = new Set<Promise<unknown>>()
  let isShut = false

  return {
    timely: (operation, isChange, callOptions, work, withinMs = deadlineMs) => {
      if (isShut) return Promise.reject(closed())
      onCall()
      const signal = signalIn(callOptions)
      const asker = BY_AN_ID.has(operation) && typeof callOptions === 'object' ? callOptions : undefined
      const call = callOf(runtime, { operation, isChange, deadlineMs: withinMs, signal, asker })
      const isTooLate = signal?.aborted === true
      const working = (async () => {
        checkCallOptions(operation, callOptions)
        if (isTooLate) throw aborted(operation, signal, isChange ? 'no' : undefined)
        return await work(call)
      })()
      const timely = within(runtime, withinMs, working, call.lateError)
      const answer = signal === undefined || isTooLate ? timely : unlessAborted(signal, timely, call.lateError)
      const ended = isChange
        ? settledWithin(runtime, Math.max(thawMs, withinMs), working)
        : settledWithin(runtime, withinMs, answer)
      inFlight.add(ended)
      void ended.then(() => inFlight.delete(ended))
      return answer
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

/** The signal that a call was given. What is no signal, or no options at all, is complained about by their check. */
const signalIn = (callOptions: { readonly signal?: unknown } | null): AbortSignal | undefined => {
  const signal = callOptions?.signal
  return signal !== undefined && anAbortSignal.accepts(signal) ? signal : undefined
}

const closed = (): SessionStoreError => new SessionStoreError('E_CLOSED', 'The session store was closed')
