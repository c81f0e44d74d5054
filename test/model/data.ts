import { NO_LINEAGE, type StoredSession, type WriteId } from '../../src/contract/backend.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import type { LifeTimings } from '../../src/session/expiry.js'
import type { Write } from '../../src/session/transitions.js'

/*
 * What stands in for session data: the set of writes that are in it, one bit for each, as the one byte of
 * `data`. A merge of two concurrent writes is their union, so that a write which is missing was lost, and one
 * that is added where it is already was applied twice. Names of lineages and writes are short and readable.
 */

/** No deadline comes near: expiry is not what is searched. */
export const TIMINGS: LifeTimings = { touchIntervalMs: 1e9, touchBackendMs: 1e9, idleTtlMs: 1e9 }

const IDLE_TTL_MS = 1e9

export const masked = (writes: number): Uint8Array => Uint8Array.of(writes)

export const writesIn = (holder: { readonly data: Uint8Array }): number => holder.data[0] ?? 0

/** A three-way merge, each write being a key of its own: what is mine since `base`, laid over `current`. */
export const merged = (base: Uint8Array, mine: Uint8Array, current: Uint8Array): Uint8Array => {
  const [before = 0, after = 0, now = 0] = [base[0], mine[0], current[0]]
  return masked((now | (after & ~before)) & ~(before & ~after))
}

export const lineageName = (number: number): string => `§${number}`

/** 0 for the lineage of nothing. */
export const lineageNumber = (lineage: string): number => (lineage === NO_LINEAGE ? 0 : Number(lineage.slice(1)))

export const writeIdOf = (write: number): WriteId => `#${write}`

export const ringMask = (ring: readonly WriteId[]): number =>
  ring.reduce((mask, id) => mask | (1 << Number(id.slice(1))), 0)

/** Set where a write was applied to a copy that had it already. */
export const TWICE = 0x80

/** Set in what an operation must not fall behind, where it began after a destroy was acknowledged. */
export const AFTER_DESTROY = 0x80

/** The same, where it began after a regeneration had put its tombstone into the backend. */
export const AFTER_MOVE = 0x100

export const MOST_WRITES = 7

export const writeOf = (base: { readonly data: Uint8Array }, write: number, now: number): Write => ({
  now,
  writeId: writeIdOf(write),
  codecId: 1,
  data: masked(writesIn(base) | (1 << write) | ((writesIn(base) >> write) & 1 ? TWICE : 0)),
  idleTtlMs: IDLE_TTL_MS,
  hasOwnIdleTtl: false,
  timings: TIMINGS,
})

/** What a session records beside its data. No step of the protocol that is searched goes by it. */
export const RECORDED = {
  ...{ app: '', userEpoch: 0, identifiedAt: 0, address: undefined, userAgent: undefined },
  ...{ reads: 0, writes: 1, hasOwnIdleTtl: false },
} as const satisfies Partial<StoredSession>

/** The session that stands before anyone begins: created, nothing written since. */
export const FIRST_ROW: StoredSession = {
  lineage: lineageName(1),
  version: 1,
  writeIds: [],
  codecId: 1,
  data: masked(0),
  userId: undefined,
  ...RECORDED,
  createdAt: 1,
  seenAt: 1,
  expiresAt: 1e9,
  absoluteExpiresAt: 1e9,
  idleTtlMs: IDLE_TTL_MS,
}

export const isLive = (value: unknown): value is LiveEnvelope =>
  typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'live'

export const isStoredSession = (value: unknown): value is StoredSession =>
  typeof value === 'object' && value !== null && 'userEpoch' in value && !('kind' in value)
