import type { Locator } from '../../contract/locator.js'
import { backendDeadline, extensionIsDue, hasExpired, touchIsDue } from '../../session/expiry.js'
import { touched } from '../../session/transitions.js'
import { type Context, isUnavailable } from '../context.js'
import { lookAt } from '../protocol/look.js'
import type { LiveCopy } from '../protocol/read.js'
import { inCache } from '../protocol/write.js'

/**
 * Whether the tiers should be told that this session is in use now. A frozen session is in use like any other: it may
 * stay frozen for as long as the backend is away.
 */
export const isWorthTouching = (context: Context, { envelope }: LiveCopy): boolean => {
  const { timings } = context.options
  const now = context.runtime.now()
  if (hasExpired(envelope, now)) return false
  return touchIsDue(envelope, now, timings) || extensionIsDue(envelope, now, timings)
}

/** How often a touch is tried. One that lost a race is tried once more. */
const TRIES = 2

/**
 * Tells the tiers that a session is in use, as rarely as their timings allow. The backend comes first, so that its copy
 * never ends before the one in the cache. Then the cache is told, by rewriting the header alone. Where the session would end
 * while a backend that does not answer is waited for, the cache comes first. Resolves to what is then known to stand.
 */
export const touch = async (context: Context, locator: Locator, newest: LiveCopy): Promise<LiveCopy> => {
  if (!isWorthTouching(context, newest)) return newest
  const { runtime, cache, telemetry, options } = context
  const { envelope } = newest
  const now = runtime.now()
  const isDue = extensionIsDue(envelope, now, options.timings)
  const isUrgent = isDue && envelope.expiresAt - now <= options.backendTimeoutMs && newest.where === 'cache'
  const extension = isDue && !isUrgent ? await tellBackend(context, locator, newest, now) : 'not now'
  if (extension === 'gone' || newest.where === 'backend') return newest

  let standing = newest
  for (let tries = 0; tries < TRIES; tries += 1) {
    const next = touched(standing.envelope, now, standing.envelope.idleTtlMs, options.timings, extension === 'extended')
    const put = await cache.cas(locator.key, next, standing.token)
    if (put.outcome === 'stored') {
      telemetry.count('touches')
      if (isUrgent) await tellBackend(context, locator, newest, now)
      return inCache(next, put.token)
    }
    // Who won the race with a write or a touch has told the cache of a use as well. Who won it with the mark of a flush
    // has not, so the touch is tried again.
    const stands = put.outcome === 'conflict' ? await lookAt(context, locator.key, 'reader', undefined) : 'away'
    if (stands === 'away' || stands.state !== 'live') return newest
    standing = inCache(stands.envelope, stands.token)
    if (!isWorthTouching(context, standing)) return newest
  }
  return newest
}

const tellBackend = async (
  { cache, backend, options }: Context,
  locator: Locator,
  { envelope }: LiveCopy,
  now: number,
): Promise<'extended' | 'gone' | 'not now'> => {
  try {
    const expiresAt = backendDeadline(now, envelope.idleTtlMs, envelope.absoluteExpiresAt, options.timings)
    const { outcome } = await backend.extend({ locator, seenAt: now, expiresAt })
    if (outcome === 'extended') return 'extended'
    // The cache holds a copy of what the backend does not have: it was destroyed, or the entry has outlived the row.
    await cache.setTombstone(locator.key)
    return 'gone'
  } catch (error) {
    if (!isUnavailable(error)) throw error
    return 'not now' // the next touch tries again
  }
}
