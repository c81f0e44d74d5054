import type { CloseOptions, CloseReport } from '../../contract/session-store.js'
import { invalidOption, refuseUnknownOptions } from '../../errors.js'
import { drain } from '../owed/drain.js'
import { CALL_OPTIONS } from './call-options.js'
import type { Entrance } from './entrance.js'
import type { CallParts } from './parts.js'

const DEFAULT_DRAIN_MS = 5_000
/** A longer timer of Node's would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647

/** Ends the store: shuts its entrance, and drains what is owed. Called again, it gives the first call's report. */
export const closing = <Data>(
  { context, flushes, due }: Pick<CallParts<Data>, 'context' | 'flushes' | 'due'>,
  { shut, inFlight }: Entrance,
): ((options?: CloseOptions) => Promise<CloseReport>) => {
  let report: Promise<CloseReport> | undefined

  return async (closeOptions = {}) => {
    refuseUnknownOptions(closeOptions, CALL_OPTIONS.close)
    const { deadlineMs = DEFAULT_DRAIN_MS } = closeOptions
    if (!Number.isInteger(deadlineMs) || deadlineMs < 0 || deadlineMs > LONGEST_TIMER_MS)
      throw invalidOption('deadlineMs', `a whole number of milliseconds, 0 to ${LONGEST_TIMER_MS}`, deadlineMs)
    shut()
    report ??= drain(context, flushes, { inFlight, beingFlushed: due.underWay }, deadlineMs)
    return await report
  }
}
