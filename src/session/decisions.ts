import {
  type BackendCopy,
  type BackendState,
  type InsertOutcome,
  type Lineage,
  NO_LINEAGE,
  WRITE_ID_RING_SIZE,
  type WriteId,
} from '../contract/backend.js'
import type { FlushReason } from '../contract/events.js'
import type { EpochMs } from '../contract/time.js'
import { type LiveEnvelope, neverDurable } from './envelope.js'
import { extensionIsDue, hasExpired, hasPassed, type LifeTimings } from './expiry.js'
import { isUnflushed } from './transitions.js'

/*
 * The decisions of the protocol, as pure functions of what was found. The store asks them and does as they say. Nothing
 * else decides when the backend is written, and what an answer means.
 */

/** When a session that starts in the cache reaches the backend. */
export type PersistOn = 'create' | 'identify' | 'due'

export interface FlushPolicy {
  readonly maxStaleCount: number
  readonly persistOn: PersistOn
  readonly timings: LifeTimings
}

export interface WriteSituation {
  readonly now: EpochMs
  /**
   * Why the write must be in the backend before it is acknowledged, such as that the caller asked for it, or that the
   * user changed; `undefined` where it need not.
   */
  readonly critical: Extract<FlushReason, 'durable' | 'identify' | 'regenerate'> | undefined
  /** Whether the session has a user. */
  readonly identified: boolean
}

/**
 * Why this envelope must reach the backend before its write is acknowledged; `undefined` if it need not.
 *
 * Two bounds make sure that losing the cache once costs less than `maxStaleCount` writes. The write that would leave
 * the backend `maxStaleCount` writes behind is flushed (`count`). And so is the first write of a lineage that was just
 * filled (`claim`), as otherwise one loss could cost the bound twice.
 */
export const flushReason = (
  envelope: LiveEnvelope,
  { now, critical, identified }: WriteSituation,
  { maxStaleCount, persistOn, timings }: FlushPolicy,
): FlushReason | undefined => {
  if (!isUnflushed(envelope)) return undefined
  if (critical !== undefined) return critical
  if (envelope.durableLineage === NO_LINEAGE) {
    if (persistOn === 'create') return 'claim'
    if (persistOn === 'identify') return identified ? 'identify' : undefined
    return envelope.version >= maxStaleCount ? 'count' : undefined
  }
  if (envelope.durableLineage !== envelope.lineage) return 'claim'
  if (envelope.version - envelope.durableVersion >= maxStaleCount) return 'count'
  return extensionIsDue(envelope, now, timings) ? 'time' : undefined
}

/**
 * Whether a reader should flush this envelope: the process that owes the flush of its oldest write has had its time and
 * more. Sessions that are kept from the backend on purpose are not owed.
 */
export const readerShouldFlush = (
  envelope: LiveEnvelope,
  now: EpochMs,
  { maxStaleMs, policy, identified }: { maxStaleMs: number; policy: FlushPolicy; identified: () => boolean },
): boolean =>
  owesFlush(envelope, policy, identified) &&
  envelope.unflushedAt > 0 &&
  hasPassed(maxStaleMs + maxStaleMs / 4, envelope.unflushedAt, now)

/** Whether an envelope is unflushed and the bound in time holds for it. */
export const owesFlush = (envelope: LiveEnvelope, { persistOn }: FlushPolicy, identified: () => boolean): boolean => {
  if (!isUnflushed(envelope)) return false
  if (envelope.durableLineage !== NO_LINEAGE || persistOn === 'create') return true
  // A session that nobody comes back to change is to be kept out of the backend: that is what deferring is for.
  return persistOn === 'due' ? envelope.version > 1 : identified()
}

/** The names of a copy of a session, by which guards and verdicts go. */
type Copy = Pick<LiveEnvelope, 'lineage' | 'version'>

/** How a flush ended. `superseded` says that the backend has this write already, alone or among newer ones. */
export type FlushVerdict = 'applied' | 'superseded' | 'conflict' | 'destroyed' | 'absent'

export const flushVerdict = (
  envelope: Copy,
  outcome: { readonly outcome: 'applied' } | { readonly outcome: 'refused'; readonly row: BackendState },
): FlushVerdict => {
  if (outcome.outcome === 'applied') return 'applied'
  return verdictOnRow(envelope, outcome.row)
}

/** The same, decided from what stands in the backend. */
export const verdictOnRow = (envelope: Copy, row: BackendState): Exclude<FlushVerdict, 'applied'> => {
  if (row.state !== 'live') return row.state
  return row.lineage === envelope.lineage && row.version >= envelope.version ? 'superseded' : 'conflict'
}

/**
 * How an insert ended. `older of mine` says that an earlier version of this very lineage stands there and has to be
 * updated. What is `superseded` is in, put there by an insert whose answer was lost.
 */
export const insertVerdict = (envelope: Copy, outcome: InsertOutcome): FlushVerdict | 'older of mine' => {
  if (outcome.outcome === 'inserted') return 'applied'
  if (outcome.outcome === 'too-late') return 'absent'
  const { row } = outcome
  const isOlder = row.state === 'live' && row.lineage === envelope.lineage && row.version < envelope.version
  return isOlder ? 'older of mine' : verdictOnRow(envelope, row)
}

/** Whether the session's user was logged out everywhere since it became his. */
export const isLoggedOut = ({ session, currentEpoch = 0 }: Extract<BackendCopy, { state: 'live' }>): boolean =>
  currentEpoch > session.userEpoch

/** What a copy that was read from the backend means for the reader. */
export type CopyVerdict = 'live' | 'expired' | 'absent' | 'destroyed'

export const copyVerdict = (copy: BackendCopy, now: EpochMs): CopyVerdict => {
  if (copy.state !== 'live') return copy.state
  if (isLoggedOut(copy)) return 'destroyed'
  return hasExpired(copy.session, now) ? 'expired' : 'live'
}

/**
 * Whether two copies are of one session, and not of two sessions under one id. The later of two sessions was made after
 * the first had ended, and so has a later moment of creation.
 */
export const isSameSession = (one: Pick<LiveEnvelope, 'createdAt'>, other: Pick<LiveEnvelope, 'createdAt'>): boolean =>
  one.createdAt === other.createdAt

/**
 * Whether an entry of the cache descends from what stands in the backend. If it does not, it is dead and never will
 * again.
 */
export const lives = (envelope: LiveEnvelope, row: { readonly lineage: string; readonly version: number }): boolean =>
  row.lineage === envelope.lineage ||
  (row.lineage === envelope.durableLineage && row.version === envelope.durableVersion)

/**
 * What to do with an entry that may be older than what the backend holds: believe it, remove it, or put a tombstone in
 * its place.
 */
export type QuarantineVerdict = 'believe' | 'remove' | 'tombstone'

/**
 * Compares an entry with the backend. It is removed by its token if its lineage is dead or the backend is ahead of it.
 * One that was never in the backend on purpose is believed where the backend has nothing.
 */
export const quarantineVerdict = (envelope: LiveEnvelope, row: QuarantineRow): QuarantineVerdict => {
  if (row.state === 'destroyed') return 'tombstone'
  if (row.state !== 'live') return neverDurable(envelope) ? 'believe' : 'remove'
  const isBehind = row.lineage === envelope.lineage && row.version > envelope.version
  return lives(envelope, row) && !isBehind ? 'believe' : 'remove'
}

export type QuarantineRow =
  | { readonly state: 'absent' }
  | { readonly state: 'destroyed' }
  | { readonly state: 'live'; readonly lineage: Lineage; readonly version: number }

/** What a look at the cache after a flush means for the acknowledgement of what was flushed. */
export type ConfirmVerdict = 'confirm' | 'acknowledge' | 'again'

/**
 * Decides about the acknowledgement of what was flushed, from the entry that was found.
 *
 * - `confirm`: the entry is mine or a successor of it. It is to be marked as durable, and the write is acknowledged,
 * also where the mark does not succeed.
 * - `acknowledge`: the entry is of another lineage, which was filled from my copy or a later one.
 * - `again`: the entry is of a lineage that never saw my copy, so that my write has to be done over.
 */
export const confirmVerdict = (standing: LiveEnvelope, flushed: LiveEnvelope): ConfirmVerdict => {
  if (standing.lineage === flushed.lineage) return standing.version >= flushed.version ? 'confirm' : 'again'
  return standing.durableLineage === flushed.lineage && standing.durableVersion >= flushed.version
    ? 'acknowledge'
    : 'again'
}

/**
 * What an entry of the cache means for a copy, `row`, that is known to have stood in the backend.
 *
 * - `contained`: whoever is served from the entry misses nothing of that copy, as the entry descends from it or holds
 * the very write.
 * - `compare`: only the backend, as it stands by now, tells. The entry may be dead, or descend from a later copy.
 */
export const afterwardsVerdict = (
  standing: LiveEnvelope,
  row: { readonly lineage: Lineage; readonly version: number },
  writeId: WriteId | undefined,
): 'contained' | 'compare' =>
  lives(standing, row) || (writeId !== undefined && standing.writeIds.includes(writeId)) ? 'contained' : 'compare'

/** Whether a write whose answer was lost is in what now stands. */
export type RingVerdict = 'in' | 'not in' | 'cannot tell'

/**
 * Decides whether a write is in a copy, by the ring of write ids in the copy.
 *
 * The ring tells as long as fewer writes came after than it remembers. A ring that is not full has forgotten nothing,
 * whatever the version says: a takeover raises the version by many at once. A version that fell back means that the
 * cache was lost in between. Then an id that is absent is absent for good only if the ring of the backend's row covers
 * it.
 *
 * @param ringSize how many write ids a full ring has.
 */
export const ringVerdict = (
  standing: { readonly version: number; readonly writeIds: readonly WriteId[] },
  writeId: WriteId,
  baseVersion: number,
  ringSize: number = WRITE_ID_RING_SIZE,
): RingVerdict => {
  if (standing.writeIds.includes(writeId)) return 'in'
  if (standing.writeIds.length < ringSize) return 'not in'
  // If it was applied, it is the write right after the base. So many versions later it is still the oldest in the ring.
  return standing.version - baseVersion > ringSize ? 'cannot tell' : 'not in'
}

/**
 * The version of a session that a caller holds. `writeId` names the last write of the caller itself, if there was one.
 */
export interface HeldVersion {
  readonly lineage: Lineage
  readonly version: number
  readonly writeId: WriteId | undefined
}

/**
 * Whether what stands has everything that a caller holds, so that it need only be made durable. It has if it is that
 * version or a later one of the lineage, if it was filled from one of these, or if it remembers the last write of the
 * caller.
 */
export const heldVerdict = (
  standing: LiveEnvelope,
  { lineage, version, writeId }: HeldVersion,
  ringSize: number = WRITE_ID_RING_SIZE,
): RingVerdict => {
  if (standing.lineage === lineage) return standing.version >= version ? 'in' : 'not in'
  if (standing.durableLineage === lineage && standing.durableVersion >= version) return 'in'
  // That write made this version from the one before it.
  return writeId === undefined ? 'not in' : ringVerdict(standing, writeId, version - 1, ringSize)
}
