import type { AskerOptions } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { type Applied, aborted, tierUnavailable } from '../../errors.js'
import { type Deadline, deadlineAfter } from '../../tools/deadline.js'
import type { Asker } from '../tiers/backend-tier.js'

/**
 * One call of the store's user. It is late once its deadline has passed or its signal was aborted; then its caller has
 * been told so. No step may begin for it after that, since it could undo what others have been told is stored.
 */
export interface Call {
  /** Whether the caller has been told that it is late. */
  isLate(): boolean
  /** How long the call may still take, in ms; 0 where it is late. */
  leftMs(): number
  /** The error with which the caller is told that the call is late. */
  lateError(): Error
  /**
   * Refuses to begin a step for a call that is late. It has to be called before each step. The caller never sees this
   * error, as it has been told already.
   *
   * @throws SessionStoreError `E_SESSION_UNAVAILABLE` where the call is late
   */
  refuseIfLate(): void
  /** Who asks, where the id comes from outside; `undefined` where the call is about a session that the caller holds. */
  readonly asker: Asker | undefined
}

export interface CallBounds {
  /** The call as its user types it. */
  readonly operation: string
  /** Whether the call may have changed something by the time that it is late. */
  readonly isChange: boolean
  /** After how long the caller is told that the call is late, in ms. */
  readonly deadlineMs: number
  /** With it the caller gives the call up. */
  readonly signal: AbortSignal | undefined
  /** What the caller says of who asks; `undefined` where the call is about a session that he holds. */
  readonly asker: Pick<AskerOptions, 'verified' | 'caller'> | undefined
}

/** The caller of all calls that name none. */
const NOBODY_NAMED = ''

/** A call that begins now. */
export const callOf = (runtime: Runtime, bounds: CallBounds): Call => new BegunCall(runtime, bounds)

class BegunCall implements Call {
  readonly asker: Asker | undefined
  readonly #bounds: CallBounds
  readonly #deadline: Deadline

  constructor(runtime: Runtime, bounds: CallBounds) {
    const { asker } = bounds
    this.#bounds = bounds
    this.#deadline = deadlineAfter(runtime, bounds.deadlineMs)
    this.asker = asker && {
      isFirst: asker.verified === true,
      caller: asker.caller ?? NOBODY_NAMED,
      signal: bounds.signal,
      leftMs: () => this.leftMs(),
    }
  }

  leftMs(): number {
    return this.#bounds.signal?.aborted === true ? 0 : this.#deadline.leftMs()
  }

  isLate(): boolean {
    return this.leftMs() === 0
  }

  lateError(): Error {
    const { operation, isChange, signal } = this.#bounds
    if (signal?.aborted === true) return aborted(operation, signal, isChange ? 'unknown' : undefined)
    return this.#errorOf('unknown')
  }

  refuseIfLate(): void {
    if (this.isLate()) throw this.#errorOf('no')
  }

  #errorOf(applied: Applied): Error {
    const { operation, isChange, signal, deadlineMs } = this.#bounds
    const because = signal?.aborted === true ? 'its caller has given it up' : `not done within ${deadlineMs} ms`
    return tierUnavailable('the session store', operation, { because, ...(isChange ? { applied } : {}) })
  }
}
