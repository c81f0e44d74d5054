import type { EpochMs } from '../contract/time.js'
import type { LiveEnvelope } from './envelope.js'

/** The timings that decide how long a session lives and how often the tiers are told that it does. */
export interface LifeTimings {
  /** How old the last touch may be before the cache is told of the next. */
  readonly touchIntervalMs: number
  /** How old the backend's last word may be before the backend is told. */
  readonly touchBackendMs: number
  /** The idle time-out these two are meant for; for a session with a shorter one of its own they shrink with it. */
  readonly idleTtlMs: number
}

/** The timings as they are for a session with this idle time-out. */
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
 * When a session used at `now` ends. The idle time-out is padded by the interval in which touches are saved
 * up: a use that was not written down must not shorten a session's life.
 */
export const deadlineAfterUse = (
  now: EpochMs,
  idleTtlMs: number,
  absoluteExpiresAt: EpochMs,
  timings: LifeTimings,
): EpochMs => Math.min(now + idleTtlMs + timingsFor(idleTtlMs, timings).touchIntervalMs, absoluteExpiresAt)

/**
 * Whether `spanMs` have passed since a moment that some process's clock gave. A moment that lies as far ahead counts as
 * well: that clock was wrong, or this one is, and what has to happen now and then must not wait until both agree.
 */
export const hasPassed = (spanMs: number, since: EpochMs, now: EpochMs): boolean => Math.abs(now - since) >= spanMs

/** Past its deadline: the moment itself is past. */
export const hasExpired = (session: { readonly expiresAt: EpochMs }, now: EpochMs): boolean => now >= session.expiresAt

/** The cache should be told that the session is in use. */
export const touchIsDue = (envelope: LiveEnvelope, now: EpochMs, timings: LifeTimings): boolean =>
  hasPassed(timingsFor(envelope.idleTtlMs, timings).touchIntervalMs, envelope.touchedAt, now)

/** The backend should be told, lest its copy expire ahead of the cached one. */
export const extensionIsDue = (envelope: LiveEnvelope, now: EpochMs, timings: LifeTimings): boolean =>
  envelope.durableVersion > 0 &&
  hasPassed(timingsFor(envelope.idleTtlMs, timings).touchBackendMs, envelope.seenDurableAt, now)

/**
 * When the backend's copy ends, if it is told at `now` that the session is in use: later than the cached copy
 * by the interval in which the backend is not told, so that losing the cache ends no session in use.
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

/**
 * Until when the cache must keep the bytes. Not before the backend's copy has expired too: else a session that
 * has ended by its envelope would be filled again from the backend.
 */
export const cacheDeadline = (envelope: LiveEnvelope, timings: LifeTimings): EpochMs =>
  Math.max(
    envelope.expiresAt,
    envelope.durableVersion > 0
      ? backendDeadline(envelope.seenDurableAt, envelope.idleTtlMs, envelope.absoluteExpiresAt, timings)
      : 0,
  )
