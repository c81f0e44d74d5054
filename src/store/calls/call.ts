import type { Runtime } from '../../contract/time.js'
import { type Applied, tierUnavailable } from '../../errors.js'
import { deadlineAfter } from '../../tools/deadline.js'

/**
 * One call of the store's user. Once its deadline has passed, the user has been told that it is late; no step may begin
 * for it any more, since a step that begins then could undo what others were told is stored.
 */
export interface Call {
  /** Whether the caller has been told that it is late. */
  isLate(): boolean
  /** How long it may still take, in ms; 0 where it is late. */
  leftMs(): number
  /** What the caller is told by then. */
  lateError(): Error
  /**
   * To be asked before a step begins.
   *
   * @throws SessionStoreError `E_SESSION_UNAVAILABLE` where the call is late: that step was not begun.
   */
  refuseIfLate(): void
}

/**
 * A call that begins now and whose caller is told after `deadlineMs`.
 *
 * @param isChange whether it may have changed something by then
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
