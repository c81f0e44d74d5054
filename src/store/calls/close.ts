import type { CloseOptions, CloseReport } from '../../contract/session-store.js'
import { drain } from '../owed/drain.js'
import { checkCallOptions, NO_OPTIONS } from './call-options.js'
import type { Entrance } from './entrance.js'
import type { CallParts } from './parts.js'

const DEFAULT_DRAIN_MS = 5_000

/**
 * Closes the store: shuts its entrance, ends the purge that happens by itself, and then drains what is owed. A further call of `close` gives the report of the
 * first.
 */
export const closing = <Data>(
  { context, flushes, due }: Pick<CallParts<Data>, 'context' | 'flushes' | 'due'>,
  { shut, inFlight }: Entrance,
  stopPurging: () => void,
): ((options?: CloseOptions) => Promise<CloseReport>) => {
  let report: Promise<CloseReport> | undefined

  return async (closeOptions = NO_OPTIONS) => {
    checkCallOptions('close', closeOptions)
    const { deadlineMs = DEFAULT_DRAIN_MS } = closeOptions
    shut()
    stopPurging()
    report ??= drain(context, flushes, { inFlight, beingFlushed: due.underWay }, deadlineMs)
    return await report
  }
}
