import type { EpochMs } from '../contract/index.js'
import { momentOf, type StoredCookie, storedCookie } from './express-cookie.js'

/** What is stored of @fastify/session's `cookie`, and what `get` gives back of it. */
export interface FastifyCookie extends StoredCookie {
  /** Only where the application has given the cookie a fixed end, after which @fastify/session takes the session for ended. */
  readonly expires?: EpochMs
}

/**
 * Of a cookie with a `maxAge`, `expires` is not stored, as @fastify/session works it out anew at each request. One without is
 * kept as the fixed moment that it is. A cookie that has ended is stored as one with no time left.
 */
export const storedFastifyCookie = (cookie: unknown, now: EpochMs): FastifyCookie => {
  const stored = storedCookie(cookie, now)
  const { originalMaxAge, expires } = (cookie ?? {}) as {
    readonly originalMaxAge?: unknown
    readonly expires?: unknown
  }
  const endsAt = momentOf(expires)
  if (endsAt <= now) return { ...stored, originalMaxAge: 0 }
  if (typeof originalMaxAge === 'number' || Number.isNaN(endsAt)) return stored
  return { ...stored, originalMaxAge: null, expires: endsAt }
}
