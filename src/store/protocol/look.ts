import type { CacheKey } from '../../contract/locator.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, isUnavailable } from '../context.js'
import type { EntryState } from '../tiers/cache-tier.js'

const PAUSES: Pauses = { firstMs: 5, longestMs: 80 }

/**
 * What stands in the cache, or `'away'` where this process goes round the server that keeps it.
 *
 * One failed call is no outage: the answer was late, or the connection broke, and the newest copy may well be there. So
 * the cache is asked again. A reader asks once more, since going round costs nobody anything: for once it is served an
 * older copy. A writer that goes round replaces what it cannot see: it asks until the cache answers, or until the server
 * has been away for this process for long enough.
 *
 * @param call whose call it is: nobody asks any more once it is late. Without one, somebody works beside the answers,
 *   and asks once; there is another time.
 */
export const lookAt = async (
  { cache, runtime }: Context,
  key: CacheKey,
  as: 'reader' | 'writer',
  call: Call | undefined,
): Promise<EntryState | 'away'> => {
  for (let failed = 1; ; failed += 1) {
    try {
      return await cache.get(key)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      if (call === undefined || call.isLate() || cache.isAway(key) || (as === 'reader' && failed > 1)) return 'away'
      await sleep(runtime, pauseAfter(runtime, PAUSES, failed))
    }
  }
}
