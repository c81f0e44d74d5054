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
 * The protocol's decisions, as pure functions of what was seen. The store asks them and does as they say;
 * nothing else decides when the backend is written, and what an answer means.
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
  /** Must be in the backend before it is acknowledged: asked for as durable, or a change of user. */
  readonly critical: Extract<FlushReason, 'durable' | 'identify' | 'regenerate'> | undefined
  /** Somebody is logged in. */
  readonly identified: boolean
}

/**
 * Why this envelope must reach the backend before its write is acknowledged, or `undefined` if it need not.
 *
 * Distance: the write that would leave the backend `maxStaleCount` writes behind takes it along. Claim: so
 * does the first write of a freshly filled lineage, else one loss of the cache could cost the bound twice.
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
 * The process that owes the flush of this envelope's oldest write had its time and more: whoever reads it now
 * flushes it. Sessions that are kept from the backend on purpose are not owed.
 */
export const readerShouldFlush = (
  envelope: LiveEnvelope,
  now: EpochMs,
  { maxStaleMs, policy, identified }: { maxStaleMs: number; policy: FlushPolicy; identified: () => boolean },
): boolean =>
  owesFlush(envelope, policy, identified) &&
  envelope.unflushedAt > 0 &&
  hasPassed(maxStaleMs + maxStaleMs / 4, envelope.unflushedAt, now)

/** An unflushed envelope that the time bound holds for. */
export const owesFlush = (envelope: LiveEnvelope, { persistOn }: FlushPolicy, identified: () => boolean): boolean => {
  if (!isUnflushed(envelope)) return false
  if (envelope.durableLineage !== NO_LINEAGE || persistOn === 'create') return true
  // A session that nobody came back to change is what deferring is meant to keep out of the backend.
  return persistOn === 'due' ? envelope.version > 1 : identified()
}

/** Which copy of a session: what a guard and a verdict go by. */
type Copy = Pick<LiveEnvelope, 'lineage' | 'version'>

/** What a flush found. `superseded`: the backend has this write already, alone or among newer ones. */
export type FlushVerdict = 'applied' | 'superseded' | 'conflict' | 'destroyed' | 'absent'

export const flushVerdict = (
  envelope: Copy,
  outcome: { readonly outcome: 'applied' } | { readonly outcome: 'refused'; readonly row: BackendState },
): FlushVerdict => {
  if (outcome.outcome === 'applied') return 'applied'
  return verdictOnRow(envelope, outcome.row)
}

/** The same, from what stands in the backend. */
export const verdictOnRow = (envelope: Copy, row: BackendState): Exclude<FlushVerdict, 'applied'> => {
  if (row.state !== 'live') return row.state
  return row.lineage === envelope.lineage && row.version >= envelope.version ? 'superseded' : 'conflict'
}

/**
 * What an insert found. `older of mine`: an earlier version of this very lineage stands there, to be updated; what is
 * `superseded` is in, by an answer that was lost.
 */
export const insertVerdict = (envelope: Copy, outcome: InsertOutcome): FlushVerdict | 'older of mine' => {
  if (outcome.outcome === 'inserted') return 'applied'
  if (outcome.outcome === 'too-late') return 'absent'
  const { row } = outcome
  const isOlder = row.state === 'live' && row.lineage === envelope.lineage && row.version < envelope.version
  return isOlder ? 'older of mine' : verdictOnRow(envelope, row)
}

/** What a copy that was read from the backend means for whoever reads. */
export type CopyVerdict = 'live' | 'expired' | 'absent' | 'destroyed'

export const copyVerdict = (copy: BackendCopy, now: EpochMs): CopyVerdict => {
  if (copy.state !== 'live') return copy.state
  return hasExpired(copy.session, now) ? 'expired' : 'live'
}

/**
 * Whether a copy is of the session that its caller holds, and not of a later one under the same id: that one was made
 * when the first had ended, and so later.
 */
export const isSameSession = (one: Pick<LiveEnvelope, 'createdAt'>, other: Pick<LiveEnvelope, 'createdAt'>): boolean =>
  one.createdAt === other.createdAt

/** Whether an entry of the cache descends from what stands in the backend; a dead one never does again. */
export const lives = (envelope: LiveEnvelope, row: { readonly lineage: string; readonly version: number }): boolean =>
  row.lineage === envelope.lineage ||
  (row.lineage === envelope.durableLineage && row.version === envelope.durableVersion)

/** What to do with an entry of the cache that may be older than what the backend holds. */
export type QuarantineVerdict = 'believe' | 'remove' | 'tombstone'

/**
 * Compared with the backend: an entry whose lineage died, or that the backend is ahead of, is removed by its very
 * token. One that was never in the backend, on purpose, is believed where the backend has nothing.
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
 * `confirm`: it is mine, or a successor; mark it durable if that succeeds, and acknowledge.
 * `acknowledge`: another lineage that was filled from my copy or a later one.
 * `again`: a lineage that never saw my copy stands there; my write is to be done over.
 */
export const confirmVerdict = (seen: LiveEnvelope, flushed: LiveEnvelope): ConfirmVerdict => {
  if (seen.lineage === flushed.lineage) return seen.version >= flushed.version ? 'confirm' : 'again'
  return seen.durableLineage === flushed.lineage && seen.durableVersion >= flushed.version ? 'acknowledge' : 'again'
}

/**
 * What an entry of the cache means for a copy, `row`, that is known to have stood in the backend. `contained`: whoever sees
 * it misses nothing of that copy, since it descends from it, or holds the very write. `compare`: only the backend as it
 * stands by now tells. The entry may be dead; or it descends from a later copy.
 */
export const afterwardsVerdict = (
  seen: LiveEnvelope,
  row: { readonly lineage: Lineage; readonly version: number },
  writeId: WriteId | undefined,
): 'contained' | 'compare' =>
  lives(seen, row) || (writeId !== undefined && seen.writeIds.includes(writeId)) ? 'contained' : 'compare'

/** Whether a write whose answer was lost is in what now stands. */
export type RingVerdict = 'in' | 'not in' | 'cannot tell'

/**
 * The ring decides while fewer writes came after than it remembers. A version that fell back means that the
 * cache was lost in between, and then an absent id is absent for good only if the backend's ring covers it.
 */
export const ringVerdict = (
  seen: { readonly version: number; readonly writeIds: readonly WriteId[] },
  writeId: WriteId,
  baseVersion: number,
): RingVerdict => {
  if (seen.writeIds.includes(writeId)) return 'in'
  // Applied, it is the write right after the base; this many versions further it is still the ring's oldest.
  return seen.version - baseVersion > WRITE_ID_RING_SIZE ? 'cannot tell' : 'not in'
}

/** A version of a session that a caller holds; `writeId` is that of the caller's own last write, if there was one. */
export interface HeldVersion {
  readonly lineage: Lineage
  readonly version: number
  readonly writeId: WriteId | undefined
}

/**
 * Whether what stands has all that a caller holds, so that it need only be made durable. It has if it is that version
 * or a later one of the lineage, if it was filled from one, or if it remembers the caller's last write.
 */
export const heldVerdict = (seen: LiveEnvelope, { lineage, version, writeId }: HeldVersion): RingVerdict => {
  if (seen.lineage === lineage) return seen.version >= version ? 'in' : 'not in'
  if (seen.durableLineage === lineage && seen.durableVersion >= version) return 'in'
  // The write made this version of the one before it.
  return writeId === undefined ? 'not in' : ringVerdict(seen, writeId, version - 1)
}
