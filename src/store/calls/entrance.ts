import { SessionStoreError } from '../../errors.js'
import { settledWithin, within } from '../../tools/waiting.js'
import type { Context } from '../context.js'
import { type Call, callOf } from './call.js'
import { type CallWithOptions, checkCallOptions } from './call-options.js'

/** The entrance through which every call of the store's user comes in, until the store is closed. */
export interface Entrance {
  /**
   * Does the work of a call. Rejects with `E_CLOSED` once the entrance is shut, with `E_CONFIG` for an option that the
   * call does not know, and with `E_SESSION_UNAVAILABLE` where the work has not settled within the `deadlineMs` of the
   * store.
   *
   * @param isChange whether the call may have changed something by the time its caller is told that it is late
   */
  timely<T>(
    operation: CallWithOptions,
    isChange: boolean,
    callOptions: object,
    work: (call: Call) => Promise<T>,
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

export const entrance = ({ runtime, options }: Pick<Context, 'runtime' | 'options'>): Entrance => {
  const { deadlineMs, thawMs } = options
  const inFlight = new Set<Promise<unknown>>()
  let isShut = false

  return {
    timely: (operation, isChange, callOptions, work) => {
      if (isShut) return Promise.reject(closed())
      const call = callOf(runtime, { operation, isChange, deadlineMs })
      const working = (async () => {
        checkCallOptions(operation, callOptions)
        return await work(call)
      })()
      const ended = settledWithin(runtime, isChange ? thawMs : deadlineMs, working)
      inFlight.add(ended)
      void ended.then(() => inFlight.delete(ended))
      return within(runtime, deadlineMs, working, call.lateError)
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

const closed = (): SessionStoreError => new SessionStoreError('E_CLOSED', 'The session store was closed')
