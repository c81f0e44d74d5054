import type { LegacySession } from '../../contract/legacy.js'
import type { EpochMs } from '../../contract/time.js'

/** How long a session lives, by what a source tells of it; that it has ended; or that no life can be made of what it tells. */
export type Lived =
  | { readonly life: Pick<LegacySession, 'idleTtlMs' | 'createdAt' | 'expiresAt' | 'seenAt'> }
  | { readonly ended: true }
  | { readonly unreadable: string }

/** A database may tell of a moment `infinity`, and what somebody else has written may be no number. */
const NO_LIFE: Lived = { unreadable: 'its age, its end or its idle time-out is no finite number' }

const areFinite = (...spans: readonly (number | undefined)[]): boolean =>
  spans.every((span) => span === undefined || Number.isFinite(span))

/** The life of a session of which a source tells when it ends, and how long it lives unused. */
export const lifeUntil = (expiresAt: EpochMs | undefined, idleTtlMs: number | undefined, now: EpochMs): Lived => {
  if (!areFinite(expiresAt, idleTtlMs)) return NO_LIFE
  if (expiresAt !== undefined && expiresAt <= now) return { ended: true }
  const idle = idleTtlMs === undefined ? {} : { idleTtlMs }
  if (expiresAt === undefined) return { life: idle }
  const seenAt = expiresAt - (idleTtlMs ?? Number.POSITIVE_INFINITY)
  // A last use before 1970 there was none: the source ends the session by another time-out, and nobody knows its last use.
  return { life: { ...idle, expiresAt, ...(seenAt < 0 ? {} : { seenAt: Math.min(now, seenAt) }) } }
}

/** The life of a session of which a source tells when it was last used, and perhaps when it was made. */
export const lifeSince = (
  { createdAt, seenAt }: { readonly createdAt?: EpochMs | undefined; readonly seenAt: EpochMs },
  idleTtlMs: number,
  now: EpochMs,
): Lived => {
  if (!areFinite(createdAt, seenAt, idleTtlMs)) return NO_LIFE
  const expiresAt = seenAt + idleTtlMs
  if (expiresAt <= now) return { ended: true }
  const made = createdAt === undefined ? {} : { createdAt: Math.max(0, createdAt) }
  return { life: { ...made, seenAt: Math.max(0, Math.min(seenAt, now)), idleTtlMs, expiresAt } }
}
