import {
  type BackendToken,
  type Guard,
  type Lineage,
  NO_LINEAGE,
  type StoredSession,
  WRITE_ID_RING_SIZE,
  type WriteId,
} from '../contract/backend.js'
import type { EpochMs } from '../contract/time.js'
import { isAlone, type LiveEnvelope } from './envelope.js'
import { backendDeadline, deadlineAfterUse, type LifeTimings } from './expiry.js'

/*
 * How an envelope becomes the next one. For each step of the protocol that changes a session there is one function
 * here. It takes what stands and gives what shall stand, and knows neither tiers nor clocks.
 */

const NO_TOKEN: BackendToken = new Uint8Array(0)

/** What an adapter knows of the client at the other end. */
export interface Client {
  readonly address: string | undefined
  readonly userAgent: string | undefined
}

export const NO_CLIENT: Client = { address: undefined, userAgent: undefined }

/** A session becomes a user's, or nobody's. */
export interface Identification {
  /** The epoch of the user, as it was read before; 0 for nobody. */
  readonly userEpoch: number
  /** The moment; 0 for nobody. */
  readonly identifiedAt: EpochMs
  /**
   * Whether nobody has to look any more if the user was logged out everywhere meanwhile: there is no user, or the backend
   * knows of none.
   */
  readonly isProved: boolean
}

/** It is nobody's. */
export const OF_NOBODY: Identification = { userEpoch: 0, identifiedAt: 0, isProved: true }

/** The fields of an envelope that a version has by which the session becomes a user's. */
const identified = (
  { userEpoch, identifiedAt, isProved }: Identification,
  version: number,
): Pick<LiveEnvelope, 'userEpoch' | 'identifiedAt' | 'identifiedVersion'> => ({
  userEpoch,
  identifiedAt,
  identifiedVersion: isProved ? 0 : version,
})

/** What a session has behind it that was kept in another store before. */
export interface Past {
  readonly createdAt: EpochMs
  /** When it was last used. */
  readonly seenAt: EpochMs
  /** When it ends unless it is used again; `undefined`: as its idle time-out says. */
  readonly expiresAt: EpochMs | undefined
}

export interface Birth {
  readonly now: EpochMs
  readonly lineage: Lineage
  readonly writeId: WriteId
  readonly codecId: number
  readonly data: Uint8Array
  readonly idleTtlMs: number
  readonly hasOwnIdleTtl: boolean
  readonly absoluteTtlMs: number
  /** When it ends at the latest; absent where only its absolute lifetime says that. */
  readonly endsBy?: EpochMs
  readonly app: string
  readonly client: Client
  /** Whose session it is from the beginning; absent for a session of nobody. */
  readonly becomes?: Identification | undefined
  readonly timings: LifeTimings
  /** Of a session that goes on under a new id: what it goes by in the audit trail. */
  readonly origin?: number
  /** Absent for a session that begins now. */
  readonly past?: Past
  /** The copy whose place it takes: of a session under the same id that has ended. */
  readonly over?: { readonly version: number; readonly createdAt: EpochMs } | undefined
}

/**
 * A new session that no tier holds yet. If it takes the place of another, it has a higher version and a later moment of
 * creation, so that nothing of the other session can be taken for part of it.
 */
export const born = (birth: Birth): LiveEnvelope => {
  const { createdAt: began, seenAt, expiresAt } = birth.past ?? { createdAt: birth.now, seenAt: birth.now }
  const createdAt = Math.max(began, (birth.over?.createdAt ?? 0) + 1)
  const absoluteExpiresAt = Math.min(began + birth.absoluteTtlMs, birth.endsBy ?? Number.POSITIVE_INFINITY)
  const version = (birth.over?.version ?? 0) + 1
  return {
    kind: 'live',
    frozen: false,
    codecId: birth.codecId,
    lineage: birth.lineage,
    version,
    durableLineage: NO_LINEAGE,
    durableVersion: 0,
    unflushedAt: birth.now,
    createdAt,
    writtenAt: birth.now,
    touchedAt: seenAt,
    seenDurableAt: 0,
    trustedAt: birth.now,
    expiresAt: Math.min(
      expiresAt ?? deadlineAfterUse(seenAt, birth.idleTtlMs, absoluteExpiresAt, birth.timings),
      absoluteExpiresAt,
    ),
    absoluteExpiresAt,
    idleTtlMs: birth.idleTtlMs,
    hasOwnIdleTtl: birth.hasOwnIdleTtl,
    ...originOf(birth),
    reads: 0,
    writes: 1,
    ...identified(birth.becomes ?? OF_NOBODY, version),
    app: birth.app,
    ...birth.client,
    writeIds: [birth.writeId],
    backendToken: NO_TOKEN,
    data: birth.data,
  }
}

export interface Write {
  readonly now: EpochMs
  readonly writeId: WriteId
  readonly codecId: number
  readonly data: Uint8Array
  readonly idleTtlMs: number
  readonly hasOwnIdleTtl: boolean
  /** Given where the write changes whose session it is, or the epoch that it was made under. */
  readonly becomes?: Identification | undefined
  /** What is known of the client by now. Absent: as it was. */
  readonly client?: Client | undefined
  /** Whether it is no change of the application's, and does not count as one: what an import brings. */
  readonly isCarried?: boolean | undefined
  readonly timings: LifeTimings
}

/**
 * The copy after one more write. Its version is one higher, and the ring has the id of the write. What is known of the
 * backend is inherited. As with a use, its life is not shortened unless its idle time-out has changed.
 */
export const written = (base: LiveEnvelope, write: Write): LiveEnvelope => ({
  ...base,
  codecId: write.codecId,
  version: base.version + 1,
  unflushedAt: isUnflushed(base) ? base.unflushedAt : write.now,
  writtenAt: write.now,
  touchedAt: write.now,
  expiresAt: deadlineAfterNextUse(base, write.now, write.idleTtlMs, write.timings),
  idleTtlMs: write.idleTtlMs,
  hasOwnIdleTtl: write.hasOwnIdleTtl,
  writes: write.isCarried === true ? base.writes : base.writes + 1,
  ...(write.becomes === undefined ? {} : identified(write.becomes, base.version + 1)),
  ...write.client,
  writeIds: ringWith(base.writeIds, write.writeId),
  data: write.data,
})

/**
 * When a session ends after one more use: never sooner than without it, unless its idle time-out has changed. A clock that
 * is behind must not end a session that is in use.
 */
const deadlineAfterNextUse = (base: LiveEnvelope, now: EpochMs, idleTtlMs: number, timings: LifeTimings): EpochMs =>
  Math.max(
    deadlineAfterUse(now, idleTtlMs, base.absoluteExpiresAt, timings),
    idleTtlMs === base.idleTtlMs ? base.expiresAt : 0,
  )

/** The same session after a use. Data, version and trust stay as they are. */
export const touched = (
  base: LiveEnvelope,
  now: EpochMs,
  idleTtlMs: number,
  timings: LifeTimings,
  backendWasTold: boolean,
): LiveEnvelope => ({
  ...base,
  touchedAt: now,
  expiresAt: deadlineAfterNextUse(base, now, idleTtlMs, timings),
  idleTtlMs,
  reads: base.reads + 1,
  seenDurableAt: backendWasTold ? now : base.seenDurableAt,
})

/** Marks what was flushed as durable. `envelope` may be a later version than the one that was flushed. */
export const confirmed = (
  envelope: LiveEnvelope,
  flushed: LiveEnvelope,
  now: EpochMs,
  backendToken: BackendToken,
): LiveEnvelope => ({
  ...envelope,
  durableLineage: flushed.lineage,
  durableVersion: flushed.version,
  // The writes after the flushed one came later, so that its own moment is a safe bound for the oldest of them.
  unflushedAt: envelope.version === flushed.version ? 0 : flushed.writtenAt,
  // The backend was not told later than now. A moment that is ahead of that came from a clock that was wrong.
  seenDurableAt: Math.min(now, Math.max(envelope.seenDurableAt, flushed.touchedAt)),
  backendToken,
})

/** The copy in the backend as an entry of the cache, under a new lineage. */
export const filled = (
  row: StoredSession,
  backendToken: BackendToken,
  lineage: Lineage,
  now: EpochMs,
): LiveEnvelope => ({
  kind: 'live',
  frozen: false,
  codecId: row.codecId,
  lineage,
  version: row.version,
  durableLineage: row.lineage,
  durableVersion: row.version,
  unflushedAt: 0,
  createdAt: row.createdAt,
  writtenAt: row.seenAt,
  touchedAt: row.seenAt,
  seenDurableAt: row.seenAt,
  trustedAt: now,
  expiresAt: row.expiresAt,
  absoluteExpiresAt: row.absoluteExpiresAt,
  idleTtlMs: row.idleTtlMs,
  hasOwnIdleTtl: row.hasOwnIdleTtl,
  ...originOf(row),
  reads: row.reads,
  writes: row.writes,
  userEpoch: row.userEpoch,
  identifiedAt: row.identifiedAt,
  identifiedVersion: 0,
  app: row.app,
  address: row.address,
  userAgent: row.userAgent,
  writeIds: row.writeIds,
  backendToken,
  data: row.data,
})

/**
 * The same copy after it was compared with the backend and believed. Only the stamp by which quarantine goes changes.
 */
export const trusted = (envelope: LiveEnvelope, trustedAt: EpochMs): LiveEnvelope => ({ ...envelope, trustedAt })

/**
 * The same copy, if the backend knows of a later use, since the session was used round the cache meanwhile. A moment in
 * the copy that has not come yet is from a clock that was ahead.
 */
export const usedSince = (
  envelope: LiveEnvelope,
  row: Pick<StoredSession, 'seenAt' | 'expiresAt'>,
  now: EpochMs,
): LiveEnvelope =>
  row.seenAt <= envelope.touchedAt
    ? envelope
    : {
        ...envelope,
        touchedAt: row.seenAt,
        seenDurableAt: Math.max(Math.min(envelope.seenDurableAt, now), row.seenAt),
        expiresAt: Math.max(envelope.expiresAt, row.expiresAt),
      }

/**
 * The same copy, known to be in the backend as it is. The lineage of the entry is then that of the row, and so it is
 * claimed.
 */
export const asDurable = (envelope: LiveEnvelope, now: EpochMs, backendToken: BackendToken): LiveEnvelope =>
  confirmed(envelope, envelope, now, backendToken)

/**
 * The session as it stands, frozen: it can be read but not written. `writtenAt` tells since when. It is a version of
 * its own, which the write id names. So no write fits that was made from an earlier copy, and the backend can be told
 * to destroy this very version.
 */
export const halted = (base: LiveEnvelope, writeId: WriteId, now: EpochMs): LiveEnvelope => ({
  ...base,
  frozen: true,
  version: base.version + 1,
  unflushedAt: isUnflushed(base) ? base.unflushedAt : now,
  writtenAt: now,
  writeIds: ringWith(base.writeIds, writeId),
})

/**
 * The same copy with the mark that somebody brings it to the backend for the first time. It has to stand in the cache before
 * that is begun: whoever destroys the session leaves a tombstone in the backend where the mark is, as a row may still come.
 */
export const offered = (envelope: LiveEnvelope, now: EpochMs): LiveEnvelope =>
  isAlone(envelope) ? { ...envelope, seenDurableAt: now } : envelope

/** What a write is besides the data that it stores, and how long the session lives with it. */
export type WriteStep = Omit<Write, 'codecId' | 'data' | 'idleTtlMs' | 'hasOwnIdleTtl'>

/** A write that leaves the data as it stands. */
export const asItStands = (base: LiveEnvelope, step: WriteStep): Write => ({
  ...step,
  codecId: base.codecId,
  data: base.data,
  idleTtlMs: base.idleTtlMs,
  hasOwnIdleTtl: base.hasOwnIdleTtl,
})

/**
 * The copy that a writer puts into the backend where the cache cannot take it. It has a new lineage and a version that
 * is well ahead, so that no copy that was in the cache can be taken for its successor.
 */
export const takenOver = (base: LiveEnvelope, write: Write, lineage: Lineage, maxStaleCount: number): LiveEnvelope => {
  const next = written(base, write)
  const version = next.version + maxStaleCount
  return {
    ...next,
    ...{ lineage, version, frozen: false },
    ...(write.becomes === undefined ? {} : identified(write.becomes, version)),
  }
}

/** An envelope as the backend keeps it. The row never ends before the cached copy. */
export const storedSession = (
  envelope: LiveEnvelope,
  userId: string | undefined,
  timings: LifeTimings,
): StoredSession => ({
  lineage: envelope.lineage,
  version: envelope.version,
  writeIds: envelope.writeIds,
  codecId: envelope.codecId,
  data: envelope.data,
  userId,
  app: envelope.app,
  userEpoch: envelope.userEpoch,
  identifiedAt: envelope.identifiedAt,
  address: envelope.address,
  userAgent: envelope.userAgent,
  reads: envelope.reads,
  writes: envelope.writes,
  createdAt: envelope.createdAt,
  seenAt: envelope.touchedAt,
  expiresAt: Math.max(
    backendDeadline(envelope.touchedAt, envelope.idleTtlMs, envelope.absoluteExpiresAt, timings),
    envelope.expiresAt,
  ),
  absoluteExpiresAt: envelope.absoluteExpiresAt,
  idleTtlMs: envelope.idleTtlMs,
  hasOwnIdleTtl: envelope.hasOwnIdleTtl,
  ...originOf(envelope),
})

/**
 * The guard of a flush: it may replace an older version of this lineage, or exactly the copy that the lineage was
 * filled from.
 */
export const flushGuard = (envelope: LiveEnvelope): Guard => ({
  lineage: envelope.lineage,
  belowVersion: envelope.version,
  parentLineage: envelope.durableLineage,
  parentVersion: envelope.durableVersion,
})

/**
 * The guard of a takeover: it may replace the same, and also this very version of the lineage, which may be in already.
 */
export const takeoverGuard = (base: LiveEnvelope): Guard => ({ ...flushGuard(base), belowVersion: base.version + 1 })

/** Whether the cache holds writes that the backend is not known to hold. */
export const isUnflushed = (envelope: LiveEnvelope): boolean => envelope.version > envelope.durableVersion

const originOf = ({ origin }: { readonly origin?: number }): { readonly origin?: number } =>
  origin === undefined ? {} : { origin }

const ringWith = (ring: readonly WriteId[], writeId: WriteId): readonly WriteId[] =>
  [...ring, writeId].slice(-WRITE_ID_RING_SIZE)
