import type { Lineage, StoredSession } from '../contract/backend.js'
import type { EpochMs } from '../contract/time.js'
import type { LiveEnvelope } from './envelope.js'

/**
 * The shortest idle time-out, in ms. A session with a shorter one would have ended before its visitor's next click; who
 * gives one usually means seconds.
 */
export const LEAST_IDLE_TTL_MS = 1_000

/**
 * For how long the cache may be told at most that nothing stands under an id, in ms. A session that was created by a process
 * which could not reach the cache is not hidden from the others for longer.
 */
export const LONGEST_UNKNOWN_ID_MS = 60_000

/** The timings that decide how long a session lives and how often the tiers are told that it does. */
export interface LifeTimings {
  /** How long after a touch of the cache the next use is written down there again, in ms. */
  readonly touchIntervalMs: number
  /** How long after the backend was told of a use it is told of the next one, in ms. */
  readonly touchBackendMs: number
  /**
   * The idle time-out for which these two are meant, in ms. For a session with a shorter one of its own they shrink in
   * proportion.
   */
  readonly idleTtlMs: number
}

/** The timings for a session with this idle time-out. */
const timingsFor = (idleTtlMs: number, timings: LifeTimings): LifeTimings => {
  if (idleTtlMs >= timings.idleTtlMs) return timings
  const share = idleTtlMs / timings.idleTtlMs
  return {
    touchIntervalMs: Math.ceil(timings.touchIntervalMs * share),
    touchBackendMs: Math.ceil(timings.touchBackendMs * share),
    idleTtlMs,
  }
}

/**
 * When a session ends that is used at `now`. The idle time-out is lengthened by the interval in which touches are not
 * written down, so that a use that was not written down shortens no session's life.
 */
export const deadlineAfterUse = (
  now: EpochMs,
  idleTtlMs: number,
  absoluteExpiresAt: EpochMs,
  timings: LifeTimings,
): EpochMs => Math.min(now + idleTtlMs + timingsFor(idleTtlMs, timings).touchIntervalMs, absoluteExpiresAt)

/**
 * Whether `spanMs` have passed since a moment that the clock of some process gave. A moment that lies as far ahead
 * counts as well. Then that clock was wrong, or this one is, and what has to happen regularly must not wait until both
 * agree.
 */
export const hasPassed = (spanMs: number, since: EpochMs, now: EpochMs): boolean => Math.abs(now - since) >= spanMs

/** Whether a session has expired. At the very moment of its deadline it has. */
export const hasExpired = (session: { readonly expiresAt: EpochMs }, now: EpochMs): boolean => now >= session.expiresAt

/** Whether the cache should be told that the session is in use. */
export const touchIsDue = (envelope: LiveEnvelope, now: EpochMs, timings: LifeTimings): boolean =>
  hasPassed(timingsFor(envelope.idleTtlMs, timings).touchIntervalMs, envelope.touchedAt, now)

/**
 * Whether the backend should be told that the session is in use, so that its copy does not expire before the cached
 * one.
 */
export const extensionIsDue = (envelope: LiveEnvelope, now: EpochMs, timings: LifeTimings): boolean =>
  envelope.durableVersion > 0 &&
  hasPassed(timingsFor(envelope.idleTtlMs, timings).touchBackendMs, envelope.seenDurableAt, now)

/**
 * When the backend's copy ends, if the backend is told at `now` that the session is in use. It ends later than the
 * cached copy, by the interval in which the backend is not told, so that losing the cache ends no session in use.
 */
export const backendDeadline = (
  now: EpochMs,
  idleTtlMs: number,
  absoluteExpiresAt: EpochMs,
  timings: LifeTimings,
): EpochMs => {
  const { touchIntervalMs, touchBackendMs } = timingsFor(idleTtlMs, timings)
  return Math.min(now + idleTtlMs + touchIntervalMs + touchBackendMs, absoluteExpiresAt)
}

/** How long a session may live, by the options as they are now. */
export interface LifeLimits {
  /** The idle time-out of this session: its own if it has one, or what the options say. */
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly timings: LifeTimings
}

type Life = Pick<StoredSession, 'createdAt' | 'expiresAt' | 'absoluteExpiresAt' | 'idleTtlMs'>

/**
 * A session as it was read, with no longer a life than the options allow by now: whoever shortens a time-out means the
 * sessions that exist as well. Where the idle time-out became shorter, the deadline is counted anew from the last use
 * that is known, as it is for a copy in the backend, so that a use that was not written down shortens no life. A longer
 * time-out is none of a reader's business: it comes with the next write, which brings it to the backend as well.
 *
 * @param usedAt the last use that was written down
 */
export const withinLimits = <Session extends Life>(session: Session, usedAt: EpochMs, limits: LifeLimits): Session => {
  const { createdAt, expiresAt, absoluteExpiresAt, idleTtlMs } = session
  const idle = Math.min(idleTtlMs, limits.idleTtlMs, limits.absoluteTtlMs)
  const last = Math.min(absoluteExpiresAt, createdAt + limits.absoluteTtlMs)
  const ends = Math.min(expiresAt, idle < idleTtlMs ? backendDeadline(usedAt, idle, last, limits.timings) : last)
  if (idle === idleTtlMs && last === absoluteExpiresAt && ends === expiresAt) return session
  return { ...session, idleTtlMs: idle, absoluteExpiresAt: last, expiresAt: ends }
}

/**
 * Until when the cache must keep the bytes of an entry. It must not forget them before the backend's copy has expired
 * too: otherwise a session that has ended by its envelope would be filled again from the backend.
 */
export const cacheDeadline = (envelope: LiveEnvelope, timings: LifeTimings): EpochMs =>
  Math.max(
    envelope.expiresAt,
    envelope.durableVersion > 0
      ? backendDeadline(envelope.seenDurableAt, envelope.idleTtlMs, envelope.absoluteExpiresAt, timings)
      : 0,
  )

/**
 * How long a mark stands that nothing is in the backend: between half of `longestMs` and all of it, as the nonce of the lease
 * says by chance under which nothing was found.
 */
export const markLifeMs = (longestMs: number, nonce: Lineage): number =>
  Math.round(longestMs * (0.5 + Number.parseInt(nonce.slice(0, 4), 16) / 2 / 0xffff))
