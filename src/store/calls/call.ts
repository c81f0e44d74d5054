import type { Runtime } from '../../contract/time.js'
import { type Applied, tierUnavailable } from '../../errors.js'
import { deadlineAfter } from '../../tools/deadline.js'

/**
 * One call of the store's user. Once its deadline has passed, its caller has been told that it is late. No step may
 * begin for it after that, since it could undo what others have been told is stored.
 */
export interface Call {
  /** Whether the caller has been told that it is late. */
  isLate(): boolean
  /** How long the call may still take, in ms; 0 where it is late. */
  leftMs(): number
  /** The error with which the caller is told that the call is late. */
  lateError(): Error
  /**
   * Refuses to begin a step for a call that is late. It has to be called before each step.
   *
   * @throws SessionStoreError `E_SESSION_UNAVAILABLE` where the call is late
   */
  refuseIfLate(): void
}

/**
 * A call that begins now, and whose caller is told that it is late after `deadlineMs`.
 *
 * @param isChange whether the call may have changed something by then
 */
export const callOf = (
  runtime: Runtime,
  {
    operation,
    isChange,
    deadlineMs,
  }: { readonly operation: string; readonly isChange: boolean; readonly deadlineMs: number },
): Call => {
  const { leftMs } = deadlineAfter(runtime, deadlineMs)
  const because = `not done within ${deadlineMs} ms`
  const errorOf = (applied: Applied): Error =>
    tierUnavailable('the session store', operation, { because, ...(isChange ? { applied } : {}) })
  return {
    isLate: () => leftMs() === 0,
    leftMs,
    lateError: () => errorOf('unknown'),
    refuseIfLate: () => {
      if (leftMs() === 0) throw errorOf('no')
    },
  }
}
