import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import type {
  EnvelopeReader,
  LeaseEnvelope,
  LiveEnvelope,
  NothingEnvelope,
  TombstoneEnvelope,
} from '../../src/session/envelope.js'
import { locate } from '../../src/session/key.js'

/** Envelopes to test with: one that can be written down, and any at all. */

export const key = locate('test', 'an id for tests').key

/** In 2026, so that the numbers look like what they are. */
export const NOW = Date.UTC(2026, 10, 21, 12)

export const liveEnvelope: LiveEnvelope = {
  kind: 'live',
  frozen: false,
  codecId: 1,
  lineage: 'a1a2a3a4a5a6a7a8',
  version: 7,
  durableLineage: 'a1a2a3a4a5a6a7a8',
  durableVersion: 7,
  unflushedAt: 0,
  createdAt: NOW - 60_000,
  writtenAt: NOW - 5_000,
  touchedAt: NOW - 4_000,
  seenDurableAt: NOW - 5_000,
  trustedAt: NOW - 50_000,
  expiresAt: NOW + 600_000,
  absoluteExpiresAt: NOW + 6_000_000,
  idleTtlMs: 604_000,
  hasOwnIdleTtl: false,
  reads: 3,
  writes: 7,
  userEpoch: 2,
  identifiedAt: NOW - 55_000,
  identifiedVersion: 6,
  app: 'shop',
  address: '192.0.2.7',
  userAgent: 'Browser/1.0 (größer)',
  writeIds: ['1111111111111111', '2222222222222222', '3333333333333333'],
  backendToken: new Uint8Array(0),
  data: Uint8Array.of(1, 2, 3),
}

/** With the same contents except what is given. */
export const live = (changes: Partial<LiveEnvelope> = {}): LiveEnvelope => ({ ...liveEnvelope, ...changes })

const LAST_48_BITS = 2 ** 48 - 1
const LAST_32_BITS = 2 ** 32 - 1

const PLAIN = { noNullPrototype: true } as const

const anyName = fc.uint8Array({ minLength: 8, maxLength: 8 }).map((bytes) => Buffer.from(bytes).toString('hex'))
const anyWide = fc.oneof(fc.integer({ min: 0, max: LAST_48_BITS }), fc.constantFrom(0, 1, 2 ** 32, LAST_48_BITS))
const anyCount = fc.oneof(fc.integer({ min: 0, max: LAST_32_BITS }), fc.constantFrom(0, LAST_32_BITS))
/** Any text that UTF-8 can carry in at most 255 bytes: control characters and pairs of surrogates among them. */
const anyText = fc.oneof(fc.constant(''), fc.string({ unit: 'binary', maxLength: 63 }))

const anyLiveWithItsFirstId: fc.Arbitrary<LiveEnvelope> = fc.record(
  {
    kind: fc.constant('live' as const),
    frozen: fc.boolean(),
    codecId: fc.integer({ min: 0, max: 255 }),
    lineage: anyName,
    version: anyWide,
    durableLineage: anyName,
    durableVersion: anyWide,
    unflushedAt: anyWide,
    createdAt: anyWide,
    writtenAt: anyWide,
    touchedAt: anyWide,
    seenDurableAt: anyWide,
    trustedAt: anyWide,
    expiresAt: anyWide,
    absoluteExpiresAt: anyWide,
    idleTtlMs: anyWide,
    hasOwnIdleTtl: fc.boolean(),
    reads: anyCount,
    writes: anyCount,
    userEpoch: anyCount,
    identifiedAt: anyWide,
    identifiedVersion: anyWide,
    app: anyText,
    address: anyText.map((text) => text || undefined),
    userAgent: anyText.map((text) => text || undefined),
    writeIds: fc.array(anyName, { maxLength: 8 }),
    backendToken: fc.uint8Array({ maxLength: 64 }),
    data: fc.uint8Array({ maxLength: 300 }),
  },
  PLAIN,
)

/** Some had another id first. */
const anyOrigin: fc.Arbitrary<Pick<LiveEnvelope, 'origin'>> = anyWide.map((origin) => (origin === 0 ? {} : { origin }))

export const anyLive: fc.Arbitrary<LiveEnvelope> = fc
  .tuple(anyLiveWithItsFirstId, anyOrigin)
  .map(([envelope, origin]) => ({ ...envelope, ...origin }))

export const anyLease: fc.Arbitrary<LeaseEnvelope> = fc.record(
  {
    kind: fc.constant('lease' as const),
    nonce: anyName,
    expiresAt: anyWide,
  },
  PLAIN,
)

export const anyNothing: fc.Arbitrary<NothingEnvelope> = fc.record(
  {
    kind: fc.constant('nothing' as const),
    trustedAt: anyWide,
    expiresAt: anyWide.map((moment) => Math.max(1, moment)),
  },
  PLAIN,
)

export const anyTombstone: fc.Arbitrary<TombstoneEnvelope> = fc.record(
  {
    kind: fc.constant('tombstone' as const),
    destroyedAt: anyWide,
    expiresAt: anyWide,
  },
  PLAIN,
)

/** Bytes as plain `Uint8Array`s, since a Buffer is deeply equal only to a Buffer. */
export const plain = (envelope: ReturnType<EnvelopeReader>): unknown =>
  envelope.kind === 'live'
    ? { ...envelope, backendToken: Uint8Array.from(envelope.backendToken), data: Uint8Array.from(envelope.data) }
    : envelope

/** Changes bytes and makes the checksum fit again, as anybody can: by the words of the page on the data format. */
export const forged = (bytes: Uint8Array, change: (bytes: Buffer) => void, of: string = key): Buffer => {
  const copy = Buffer.from(bytes)
  change(copy)
  const covered = Buffer.concat([Buffer.from(of), copy.subarray(0, 4), copy.subarray(8)])
  copy.writeUInt32BE(crc32(covered), 4)
  return copy
}
