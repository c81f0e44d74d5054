import { types } from 'node:util'
import type { EpochMs } from '../contract/index.js'

/**
 * express-session's `cookie` and what is stored of it.
 *
 * Its `expires` is not stored: it is the session's expiry, which the store keeps and moves without touching
 * data. The rest is picked by name, for two reasons: msgpackr does not call `Cookie.prototype.toJSON` (the
 * prototype is an object literal, so a cookie looks like a plain object with an `_expires`), and cookie options
 * may carry functions (`encode`), which cannot be stored.
 */
export interface StoredCookie {
  /** Milliseconds; `null` and `false` both mean a cookie that ends with the browser's session. */
  readonly originalMaxAge: MaxAge
  readonly path?: unknown
  readonly httpOnly?: unknown
  readonly secure?: unknown
  readonly sameSite?: unknown
  readonly domain?: unknown
  readonly partitioned?: unknown
  readonly priority?: unknown
}

/** What `get` gives: express-session turns it into a `Cookie`. */
export interface RevivedCookie extends StoredCookie {
  readonly expires: Date | null | false
}

export type MaxAge = number | null | false

const ATTRIBUTES = ['path', 'httpOnly', 'secure', 'sameSite', 'domain', 'partitioned', 'priority'] as const

/**
 * express-session's own clock error. `touch()` sets `maxAge` from `originalMaxAge`, whose setter reads it back
 * with a second look at the clock: on a tick in between, 60000 has become 59999. Taken as a change, it would
 * cost a write, again and again.
 */
const CLOCK_DRIFT_MS = 100

const isObject = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null

/** What is stored of a cookie, be it a `Cookie` or a plain object with any of its members. */
export const storedCookie = (cookie: unknown, now: EpochMs): StoredCookie => {
  const given = isObject(cookie) ? cookie : {}
  const stored: { -readonly [Name in keyof StoredCookie]: StoredCookie[Name] } = {
    originalMaxAge: maxAgeOf(given, now),
  }
  for (const name of ATTRIBUTES) if (given[name] !== undefined) stored[name] = given[name]
  return stored
}

/** The cookie with its `maxAge` as it was, where it only drifted. */
export const withoutDrift = (cookie: StoredCookie, before: unknown): StoredCookie => {
  const was = isObject(before) ? before['originalMaxAge'] : undefined
  const is = cookie.originalMaxAge
  const drifted = typeof was === 'number' && typeof is === 'number' && was > is && was - is <= CLOCK_DRIFT_MS
  return drifted && is > 0 ? { ...cookie, originalMaxAge: was } : cookie
}

/**
 * The cookie with `expires` as the session stands now; not further away than its `maxAge`, as the store may
 * keep a session a little longer. Data that another program stored without a cookie gets one that ends with the
 * browser's session, since express-session cannot do without.
 */
export const revivedCookie = (stored: unknown, expiresAt: EpochMs, now: EpochMs): RevivedCookie => {
  const cookie = storedCookie(stored, now)
  const maxAge = cookie.originalMaxAge
  // A `maxAge` far below zero leads to no moment that a Date could have, and express-session throws over that.
  const endOf = (ms: number): Date => new Date(Math.max(0, Math.min(expiresAt, now + ms)))
  return { ...cookie, expires: typeof maxAge === 'number' ? endOf(maxAge) : maxAge }
}

/** `maxAge = 0` and an `expires` in the past are how an application lets a session end with this response. */
export const isSpent = ({ originalMaxAge }: StoredCookie): boolean =>
  typeof originalMaxAge === 'number' && originalMaxAge <= 0

/** A session lives no shorter than this, as the store refuses less. */
const LEAST_IDLE_TTL_MS = 1_000

/**
 * How long the session of this cookie lives untouched, in ms; `undefined` where the cookie does not say. With a `maxAge`
 * below a second the browser's cookie ends when it says, and the session after a second.
 */
export const idleTtlMsOf = ({ originalMaxAge }: StoredCookie): number | undefined =>
  typeof originalMaxAge === 'number' ? Math.max(LEAST_IDLE_TTL_MS, originalMaxAge) : undefined

/**
 * A `Cookie` says it by `originalMaxAge`. A plain object made by hand may say it by `expires` or `maxAge`, also where its
 * `originalMaxAge` is `null`: express-session's own `Cookie` ends at `expires` then. A moment goes before a `maxAge`, which
 * next-session counts in seconds. What no cookie can carry, an endless or an invalid `maxAge`, says nothing, wherever it
 * stands.
 */
const maxAgeOf = ({ originalMaxAge, maxAge, expires }: Readonly<Record<string, unknown>>, now: EpochMs): MaxAge =>
  originalMaxAge === false ? false : (wholeMs(originalMaxAge) ?? wholeMs(momentOf(expires) - now) ?? wholeMs(maxAge))

const wholeMs = (maxAge: unknown): number | null => (Number.isFinite(maxAge) ? Math.ceil(Number(maxAge)) : null)

/** A Date, also of another realm, or the text that JSON makes of one; of anything else NaN. */
export const momentOf = (expires: unknown): number => {
  if (types.isDate(expires)) return Date.prototype.getTime.call(expires)
  return typeof expires === 'string' ? new Date(expires).getTime() : Number.NaN
}
