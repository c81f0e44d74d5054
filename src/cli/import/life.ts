import type { LegacySession } from '../../contract/legacy.js'
import type { EpochMs } from '../../contract/time.js'

/** The life of a session of which a source tells when it ends, and how long it lives unused. */
export const lifeUntil = (
  expiresAt: EpochMs | undefined,
  idleTtlMs: number | undefined,
  now: EpochMs,
): Pick<LegacySession, 'idleTtlMs' | 'expiresAt' | 'seenAt'> => ({
  ...(idleTtlMs === undefined ? {} : { idleTtlMs }),
  ...(expiresAt === undefined ? {} : { expiresAt }),
  ...(expiresAt === undefined || idleTtlMs === undefined ? {} : { seenAt: Math.min(now, expiresAt - idleTtlMs) }),
})

/** The life of a session of which a source tells when it was last used. `undefined` where it has ended. */
export const lifeSince = (
  seenAt: EpochMs,
  idleTtlMs: number,
  now: EpochMs,
): Pick<LegacySession, 'idleTtlMs' | 'expiresAt' | 'seenAt'> | undefined =>
  seenAt + idleTtlMs <= now ? undefined : { seenAt: Math.min(seenAt, now), idleTtlMs, expiresAt: seenAt + idleTtlMs }
