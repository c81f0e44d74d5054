import type { Locator } from '../../contract/locator.js'
import { backendDeadline, extensionIsDue, hasExpired, touchIsDue } from '../../session/expiry.js'
import { touched } from '../../session/transitions.js'
import { type Context, isUnavailable } from '../context.js'
import type { Live } from '../protocol/read.js'
import { inCache } from '../protocol/write.js'

/**
 * Whether a use of this session, now, is worth telling anyone. One that is being regenerated is left alone.
 */
export const isWorthTouching = (context: Context, { envelope }: Live): boolean => {
  const { timings } = context.options
  const now = context.runtime.now()
  if (envelope.frozen || hasExpired(envelope, now)) return false
  return touchIsDue(envelope, now, timings) || extensionIsDue(envelope, now, timings)
}

/**
 * Tells the tiers that a session is in use, as rarely as their timings allow: the backend first, so that its
 * copy never ends ahead of the cached one; then the cache, by rewriting the header alone. A race that is lost
 * is lost to someone who told the cache more. Gives what is then known to stand.
 */
export const touch = async (context: Context, locator: Locator, seen: Live): Promise<Live> => {
  if (!isWorthTouching(context, seen)) return seen
  const { runtime, cache, telemetry, options } = context
  const { envelope } = seen
  const now = runtime.now()
  const told = extensionIsDue(envelope, now, options.timings)
    ? await tellBackend(context, locator, seen, now)
    : 'not now'
  if (told === 'gone' || seen.where === 'backend') return seen

  const next = touched(envelope, now, envelope.idleTtlMs, options.timings, told === 'told')
  const put = await cache.cas(locator.key, next, seen.token)
  if (put.outcome !== 'stored') return seen
  telemetry.count('touches')
  return inCache(next, put.token)
}

const tellBackend = async (
  { cache, backend, options }: Context,
  locator: Locator,
  { envelope }: Live,
  now: number,
): Promise<'told' | 'gone' | 'not now'> => {
  try {
    const expiresAt = backendDeadline(now, envelope.idleTtlMs, envelope.absoluteExpiresAt, options.timings)
    const { outcome } = await backend.extend({ locator, seenAt: now, expiresAt })
    if (outcome === 'extended') return 'told'
    // A cached copy of what the backend does not have: it was destroyed, or its entry outlived it.
    await cache.setTombstone(locator.key)
    return 'gone'
  } catch (error) {
    if (!isUnavailable(error)) throw error
    return 'not now' // the next touch tries again
  }
}
