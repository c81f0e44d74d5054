import type { CacheKey } from '../../contract/locator.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, isUnavailable } from '../context.js'
import type { EntryState } from '../tiers/cache-tier.js'

const PAUSES: Pauses = { firstMs: 5, longestMs: 80 }

/**
 * Gives what stands in the cache, or `'away'` where this process goes round the server that keeps the session.
 *
 * One failed call does not mean that the server is away: the answer may have been late, or the connection may have
 * broken, and the newest copy may well be there. So the cache is asked again. A reader asks once more and then goes
 * round; the worst that can happen is that it is served an older copy once. A writer that goes round replaces what it
 * cannot see. So a writer asks until the cache answers, or until the server has not answered this process for long
 * enough to count as away.
 *
 * @param call the call on whose behalf it looks: once that call is late, the cache is not asked again. Work in the
 *   background leaves it out, and then asks only once, as it can come back later.
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
