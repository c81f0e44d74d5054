import { isUtf8 } from 'node:buffer'
import { crc32 } from 'node:zlib'
import { type BackendToken, type Lineage, NO_LINEAGE, WRITE_ID_RING_SIZE, type WriteId } from '../contract/backend.js'
import type { CacheKey } from '../contract/locator.js'
import type { EpochMs } from '../contract/time.js'
import { SessionStoreError } from '../errors.js'
import { asBuffer } from '../tools/as-buffer.js'
import { KEY_CHECK_BYTES, keyCheck } from './key.js'
import { openBytes, SEAL_BYTES, type SealedPlace, type Sealing, sealBytes, sealedForOthers } from './seal.js'

/**
 * A session as the cache holds it. Everything that the protocol needs to know stands in a fixed binary header, which
 * can be read and rewritten without decoding the data. `docs/data-format.md` describes it byte by byte.
 */
export interface LiveEnvelope {
  readonly kind: 'live'
  /** Whether it refuses writes, and can only be read, as the session is being regenerated. */
  readonly frozen: boolean
  readonly codecId: number
  /** The name of the line of copies that this entry belongs to. Each fill gives the entry a new one. */
  readonly lineage: Lineage
  /** Grows by one with every accepted write. */
  readonly version: number
  /** The newest copy known to be in the backend; `NO_LINEAGE` and 0 before the first. */
  readonly durableLineage: Lineage
  readonly durableVersion: number
  /** When the oldest write that is not in the backend was made; 0 when there is none. */
  readonly unflushedAt: EpochMs
  readonly createdAt: EpochMs
  readonly writtenAt: EpochMs
  readonly touchedAt: EpochMs
  /** When the backend was last told that the session is in use. */
  readonly seenDurableAt: EpochMs
  /**
   * The moment of the last fill or comparison with the backend, by which quarantine goes. Writes and touches inherit
   * it.
   */
  readonly trustedAt: EpochMs
  readonly expiresAt: EpochMs
  readonly absoluteExpiresAt: EpochMs
  readonly idleTtlMs: number
  /** Whether a call gave the session this idle time-out. If not, it has the one that the options of the store say. */
  readonly hasOwnIdleTtl: boolean
  /** See `StoredSession`. Absent where the session still stands under the key that it had first. */
  readonly origin?: number
  /** How many touches there were, which is roughly the number of uses that changed nothing; it stops at 2^32 - 1. */
  readonly reads: number
  /** How many writes were accepted; it stops at 2^32 - 1. */
  readonly writes: number
  /** The epoch of the session's user when the session became his; 0 where no user is known. */
  readonly userEpoch: number
  /** When the session became that user's; 0 where no user is known. */
  readonly identifiedAt: EpochMs
  /**
   * The version that made the session that user's, if it was made since the entry was filled; 0 otherwise. As long as it
   * is above `durableVersion`, nobody knows whether the user was logged out everywhere meanwhile.
   */
  readonly identifiedVersion: number
  /** The application within the namespace; empty where none was named. At most 64 bytes. */
  readonly app: string
  /** The network address of the client; `undefined` where nobody gave one. At most 255 bytes. */
  readonly address: string | undefined
  /** What the client calls itself; `undefined` where nobody gave it. At most 255 bytes are kept. */
  readonly userAgent: string | undefined
  /** The ids of the last writes, the newest last, at most eight. */
  readonly writeIds: readonly WriteId[]
  readonly backendToken: BackendToken
  readonly data: Uint8Array
}

/** Someone is filling this entry from the backend. */
export interface LeaseEnvelope {
  readonly kind: 'lease'
  readonly nonce: Lineage
  /** The moment after which the holder is taken for dead. */
  readonly expiresAt: EpochMs
}

/** The session was destroyed and must not come back. */
export interface TombstoneEnvelope {
  readonly kind: 'tombstone'
  readonly destroyedAt: EpochMs
  readonly expiresAt: EpochMs
  /**
   * Set where the session stood in the cache alone, and nobody had begun to bring it to the backend: then the backend needs
   * no tombstone.
   */
  readonly isAlone?: true
}

/** The session is too large for this cache, and is read and written in the backend. */
export interface LargeEnvelope {
  readonly kind: 'large'
  /** The size of the envelope that the cache did not take, in bytes. */
  readonly refusedBytes: number
  readonly expiresAt: EpochMs
}

/** Nothing stands under this id: somebody has asked the backend a moment ago. */
export interface NothingEnvelope {
  readonly kind: 'nothing'
  /** As that of a live one: whoever saw an outage of the server since does not believe it. */
  readonly trustedAt: EpochMs
  readonly expiresAt: EpochMs
}

export type Envelope = LiveEnvelope | LeaseEnvelope | TombstoneEnvelope | LargeEnvelope | NothingEnvelope

/**
 * Bytes that are no envelope of this key, as they are damaged or of another session, or as nobody who has a key has sealed
 * them. They count as a miss.
 */
export interface DamagedEnvelope {
  readonly kind: 'damaged'
  readonly reason: 'truncated' | 'not an envelope' | 'checksum' | 'foreign' | 'malformed' | 'seal' | 'unsealed'
}

export const ENVELOPE_FORMAT = 1

const MAGIC = 0x6e736b // 'nsk'
/**
 * The mark that nothing stands there is a lease whose holder has finished long ago, for every program that does not know the
 * mark. Such a program takes its place, as it does with any lease that is over.
 */
const KINDS = { live: 1, lease: 2, tombstone: 3, large: 4, nothing: 2 } as const
const KNOWN_KINDS: ReadonlySet<number> = new Set(Object.values(KINDS))
const FLAG_SEALED = 0x0001
const FLAG_FROZEN = 0x0004
const FLAG_OWN_IDLE_TTL = 0x0008
/**
 * The flags that this program knows. There is a bit for compressed envelopes; a program that cannot undo that must not
 * read them.
 */
const KNOWN_FLAGS = FLAG_SEALED | FLAG_FROZEN | FLAG_OWN_IDLE_TTL
const PREFIX_BYTES = 20
export const HEADER_BYTES = 144
const MAX_COUNT = 0xffff_ffff
const MAX_TOKEN_BYTES = 64
const NAME_BYTES = 8
const MOMENT_BYTES = 6
const MAX_TEXT_BYTES = 255
const TEXTS = ['app', 'address', 'userAgent'] as const
/** How many bytes an envelope may have besides its data. */
export const LONGEST_HEADER_BYTES: number =
  HEADER_BYTES + WRITE_ID_RING_SIZE * 8 + MAX_TOKEN_BYTES + TEXTS.length * (1 + MAX_TEXT_BYTES) + SEAL_BYTES

// The first twenty bytes stand in the same place, with the same meaning, in every format there will ever be.
const AT = {
  format: 3,
  checksum: 4,
  keyCheck: 8,
  kind: 16,
  codec: 17,
  flags: 18,
  lineage: 20,
  durableLineage: 28,
  version: 36,
  durableVersion: 42,
  identifiedVersion: 48,
  unflushedAt: 54,
  createdAt: 60,
  writtenAt: 66,
  touchedAt: 72,
  seenDurableAt: 78,
  trustedAt: 84,
  expiresAt: 90,
  absoluteExpiresAt: 96,
  idleTtlMs: 102,
  reads: 108,
  writes: 112,
  userEpoch: 116,
  writeIdCount: 120,
  tokenLength: 121,
  serverList: 122,
  identifiedAt: 126,
  textsLength: 132,
  sealKeyId: 134,
  origin: 138,
} as const

const NO_BYTES: Uint8Array = new Uint8Array(0)

/**
 * The bytes of an envelope for the entry `key`. Of more than eight write ids the newest eight are kept; `reads`
 * and `writes` stop at their end.
 *
 * @param serverList which list of servers the writer goes by, as a number; 0 for one that has no list
 * @param sealing how the envelope is sealed; `undefined` for one that is not
 * @throws TypeError for a name that is not sixteen hexadecimal digits, RangeError for a number that has no place
 *   in its field, a backend token of more than 64 bytes or a text of more than 255: no fault of a tier, but of whoever
 *   made the envelope.
 */
export const encodeEnvelope = (key: CacheKey, envelope: Envelope, serverList = 0, sealing?: Sealing): Uint8Array => {
  const live = envelope.kind === 'live' ? envelope : undefined
  const writeIds = live?.writeIds.slice(-WRITE_ID_RING_SIZE) ?? []
  const token = live?.backendToken ?? NO_BYTES
  const data = live?.data ?? NO_BYTES
  if (token.length > MAX_TOKEN_BYTES) throw new RangeError(`A backend token has at most ${MAX_TOKEN_BYTES} bytes`)

  const ringEnd = HEADER_BYTES + writeIds.length * 8
  const tokenEnd = ringEnd + token.length
  const texts = live === undefined ? NO_BYTES : encodeTexts(live)
  const dataStart = tokenEnd + texts.length
  const bytes = Buffer.allocUnsafe(dataStart + data.length).fill(0, 0, HEADER_BYTES)
  bytes.writeUInt32BE(MAGIC * 0x100 + ENVELOPE_FORMAT, 0)
  bytes.set(keyCheck(key), AT.keyCheck)
  bytes[AT.kind] = KINDS[envelope.kind]
  writeMoment(bytes, envelope.kind === 'nothing' ? 0 : envelope.expiresAt, AT.expiresAt)
  bytes.writeUInt32BE(serverList, AT.serverList)
  if (envelope.kind === 'tombstone' && envelope.isAlone === true) bytes.writeUInt32BE(1, AT.reads)
  if (envelope.kind === 'large') bytes.writeUInt32BE(Math.min(envelope.refusedBytes, MAX_COUNT), AT.reads)
  if (envelope.kind === 'lease') writeNames(bytes, [envelope.nonce], AT.lineage)
  if (envelope.kind === 'tombstone') writeMoment(bytes, envelope.destroyedAt, AT.writtenAt)
  if (envelope.kind === 'nothing') {
    writeMoment(bytes, envelope.trustedAt, AT.trustedAt)
    writeMoment(bytes, envelope.expiresAt, AT.absoluteExpiresAt)
  }
  if (live !== undefined) {
    bytes.writeUInt8(live.codecId, AT.codec)
    bytes.writeUInt16BE((live.frozen ? FLAG_FROZEN : 0) | (live.hasOwnIdleTtl ? FLAG_OWN_IDLE_TTL : 0), AT.flags)
    writeNames(bytes, [live.lineage, live.durableLineage], AT.lineage)
    writeMoment(bytes, live.version, AT.version)
    writeMoment(bytes, live.durableVersion, AT.durableVersion)
    writeMoment(bytes, live.unflushedAt, AT.unflushedAt)
    writeMoment(bytes, live.createdAt, AT.createdAt)
    writeMoment(bytes, live.writtenAt, AT.writtenAt)
    writeMoment(bytes, live.touchedAt, AT.touchedAt)
    writeMoment(bytes, live.seenDurableAt, AT.seenDurableAt)
    writeMoment(bytes, live.trustedAt, AT.trustedAt)
    writeMoment(bytes, live.absoluteExpiresAt, AT.absoluteExpiresAt)
    writeMoment(bytes, live.idleTtlMs, AT.idleTtlMs)
    writeMoment(bytes, live.origin ?? 0, AT.origin)
    bytes.writeUInt32BE(Math.min(live.reads, MAX_COUNT), AT.reads)
    bytes.writeUInt32BE(Math.min(live.writes, MAX_COUNT), AT.writes)
    bytes.writeUInt32BE(live.userEpoch, AT.userEpoch)
    bytes[AT.writeIdCount] = writeIds.length
    bytes[AT.tokenLength] = token.length
    writeNames(bytes, writeIds, HEADER_BYTES)
    writeMoment(bytes, live.identifiedAt, AT.identifiedAt)
    writeMoment(bytes, live.identifiedVersion, AT.identifiedVersion)
    bytes.writeUInt16BE(texts.length, AT.textsLength)
    bytes.set(token, ringEnd)
    bytes.set(texts, tokenEnd)
    bytes.set(data, dataStart)
  }
  return summed(key, sealedBehind(tokenEnd, key, bytes, sealing))
}

const writeMoment = (bytes: Buffer, value: number, at: number): void => void bytes.writeUIntBE(value, at, MOMENT_BYTES)

const readMoment = (bytes: Buffer, at: number): number => bytes.readUIntBE(at, MOMENT_BYTES)

/** Names that stand one behind the other, written at once. */
const writeNames = (bytes: Buffer, names: readonly string[], at: number): void => {
  const size = names.length * NAME_BYTES
  // Node writes as much as it can of a text that is no hexadecimal number, and raises no error.
  if (names.some(({ length }) => length !== 2 * NAME_BYTES) || bytes.write(names.join(''), at, size, 'hex') !== size)
    throw new TypeError('Lineages, nonces and write ids have sixteen hexadecimal digits')
}

/** So many names that stand one behind the other. */
const readNames = (bytes: Buffer, count: number, at: number): string[] => {
  const digits = bytes.toString('hex', at, at + count * NAME_BYTES)
  const names: string[] = []
  for (let end = 2 * NAME_BYTES; end <= digits.length; end += 2 * NAME_BYTES)
    names.push(digits.slice(end - 2 * NAME_BYTES, end))
  return names
}

/** The same bytes with their checksum. */
const summed = (key: CacheKey, bytes: Buffer): Buffer => {
  bytes.writeUInt32BE(checksumOf(key, bytes), AT.checksum)
  return bytes
}

/**
 * What an envelope is bound to by its seal: its key and all that stands before what is sealed, but for the checksum, which
 * is reckoned afterwards.
 */
const placeOf = (key: CacheKey, head: Buffer): SealedPlace => ({
  key,
  purpose: 'cache',
  beside: [key, head.subarray(0, AT.checksum), head.subarray(AT.keyCheck)],
})

/** Seals all that stands behind `end`; the bytes as they are where nothing is to be sealed. */
const sealedBehind = (end: number, key: CacheKey, bytes: Buffer, sealing: Sealing | undefined): Buffer => {
  const sealKey = sealing?.current()
  if (sealing === undefined || sealKey === undefined) return bytes
  const head = bytes.subarray(0, end)
  head.writeUInt16BE(head.readUInt16BE(AT.flags) | FLAG_SEALED, AT.flags)
  head.writeUInt32BE(sealKey.id, AT.sealKeyId)
  return Buffer.concat([head, sealBytes(sealing, sealKey, placeOf(key, head), bytes.subarray(end))])
}

/**
 * Reads what stands under `key`.
 *
 * Damage is a value and no error, as the backend still has the session. A format, a kind or a flag that this program
 * does not know, under a checksum that fits, was written by another release. That is an error: if it counted as a miss,
 * a rolling deploy would lose sessions. So it is with an envelope that is sealed with a key which this process was not
 * given.
 *
 * @param sealing how sessions are sealed; `undefined` in a store that seals nothing
 * @throws SessionStoreError `E_SESSION_FORMAT`, `E_SESSION_SEAL`
 */
export const decodeEnvelope = (key: CacheKey, bytes: Uint8Array, sealing?: Sealing): Envelope | DamagedEnvelope =>
  readEnvelope(READERS, key, bytes, sealing)

/** The number of the list of servers by which the writer of an envelope went; 0 for none, or in another format. */
export const serverListOf = (given: Uint8Array): number => {
  const bytes = asBuffer(given)
  return bytes.length < HEADER_BYTES || bytes.readUInt8(AT.format) !== ENVELOPE_FORMAT
    ? 0
    : bytes.readUInt32BE(AT.serverList)
}

/** Reads the part of an envelope that follows the common prefix. */
export type EnvelopeReader = (bytes: Buffer, key: CacheKey, sealing: Sealing | undefined) => Envelope | DamagedEnvelope

/** The formats that this program reads: its own, and that of the release before where there is one. */
const READERS: ReadonlyMap<number, EnvelopeReader> = new Map([[ENVELOPE_FORMAT, (...given) => readFormat1(...given)]])

/** `decodeEnvelope` for a program that knows the given formats. The rule for upgrades stands here only. */
export const readEnvelope = (
  readers: ReadonlyMap<number, EnvelopeReader>,
  key: CacheKey,
  given: Uint8Array,
  sealing?: Sealing,
): Envelope | DamagedEnvelope => {
  const bytes = asBuffer(given)
  if (bytes.length < PREFIX_BYTES) return damaged('truncated')
  if (bytes.readUInt32BE(0) >>> 8 !== MAGIC) return damaged('not an envelope')
  if (bytes.compare(keyCheck(key), 0, KEY_CHECK_BYTES, AT.keyCheck, AT.keyCheck + KEY_CHECK_BYTES) !== 0)
    return damaged('foreign')
  if (bytes.readUInt32BE(AT.checksum) !== checksumOf(key, bytes)) return damaged('checksum')

  const format = bytes.readUInt8(AT.format)
  const reader = readers.get(format)
  if (reader === undefined) throw unknown('envelope format', format, [...readers.keys()])
  return reader(bytes, key, sealing)
}

const readFormat1: EnvelopeReader = (bytes, key, sealing) => {
  if (bytes.length < HEADER_BYTES) return damaged('truncated')
  const kind = bytes.readUInt8(AT.kind)
  const flags = bytes.readUInt16BE(AT.flags)
  if ((flags & ~KNOWN_FLAGS) !== 0) throw unknown('envelope flags', flags, [KNOWN_FLAGS])
  if (!KNOWN_KINDS.has(kind)) throw unknown('envelope kind', kind, [...KNOWN_KINDS])

  const writeIdCount = bytes.readUInt8(AT.writeIdCount)
  const tokenLength = bytes.readUInt8(AT.tokenLength)
  const tokenStart = HEADER_BYTES + writeIdCount * 8
  const tokenEnd = tokenStart + tokenLength
  if (writeIdCount > WRITE_ID_RING_SIZE || tokenLength > MAX_TOKEN_BYTES || tokenEnd > bytes.length)
    return damaged('malformed')
  const behind = readBehind(tokenEnd, key, bytes, sealing)
  if ('kind' in behind) return behind

  const expiresAt = readMoment(bytes, AT.expiresAt)
  const absoluteExpiresAt = readMoment(bytes, AT.absoluteExpiresAt)
  const [lineage = NO_LINEAGE, durableLineage = NO_LINEAGE] = readNames(bytes, 2, AT.lineage)
  if (kind === KINDS.nothing && absoluteExpiresAt > 0)
    return { kind: 'nothing', trustedAt: readMoment(bytes, AT.trustedAt), expiresAt: absoluteExpiresAt }
  if (kind === KINDS.lease) return { kind: 'lease', nonce: lineage, expiresAt }
  if (kind === KINDS.large) return { kind: 'large', refusedBytes: bytes.readUInt32BE(AT.reads), expiresAt }
  if (kind === KINDS.tombstone) {
    const isAlone = bytes.readUInt32BE(AT.reads) === 1
    return {
      kind: 'tombstone',
      destroyedAt: readMoment(bytes, AT.writtenAt),
      expiresAt,
      ...(isAlone ? { isAlone } : {}),
    }
  }
  const textsLength = bytes.readUInt16BE(AT.textsLength)
  if (textsLength > behind.length) return damaged('malformed')
  const texts = decodeTexts(behind, textsLength)
  if (texts === undefined) return damaged('malformed')
  const origin = readMoment(bytes, AT.origin)
  const live: LiveEnvelope = {
    kind: 'live',
    frozen: (flags & FLAG_FROZEN) !== 0,
    codecId: bytes.readUInt8(AT.codec),
    lineage,
    version: readMoment(bytes, AT.version),
    durableLineage,
    durableVersion: readMoment(bytes, AT.durableVersion),
    unflushedAt: readMoment(bytes, AT.unflushedAt),
    createdAt: readMoment(bytes, AT.createdAt),
    writtenAt: readMoment(bytes, AT.writtenAt),
    touchedAt: readMoment(bytes, AT.touchedAt),
    seenDurableAt: readMoment(bytes, AT.seenDurableAt),
    trustedAt: readMoment(bytes, AT.trustedAt),
    expiresAt,
    absoluteExpiresAt,
    idleTtlMs: readMoment(bytes, AT.idleTtlMs),
    hasOwnIdleTtl: (flags & FLAG_OWN_IDLE_TTL) !== 0,
    reads: bytes.readUInt32BE(AT.reads),
    writes: bytes.readUInt32BE(AT.writes),
    userEpoch: bytes.readUInt32BE(AT.userEpoch),
    identifiedAt: readMoment(bytes, AT.identifiedAt),
    identifiedVersion: readMoment(bytes, AT.identifiedVersion),
    app: texts.app,
    address: texts.address,
    userAgent: texts.userAgent,
    writeIds: readNames(bytes, writeIdCount, HEADER_BYTES),
    backendToken: tokenLength === 0 ? NO_BYTES : bytes.subarray(tokenStart, tokenEnd),
    data: textsLength === 0 ? behind : behind.subarray(textsLength),
  }
  return origin === 0 ? live : { ...live, origin }
}

/** What stands behind the backend token, opened where it is sealed. */
const readBehind = (
  end: number,
  key: CacheKey,
  bytes: Buffer,
  sealing: Sealing | undefined,
): Buffer | DamagedEnvelope => {
  const behind = bytes.subarray(end)
  if ((bytes.readUInt16BE(AT.flags) & FLAG_SEALED) === 0)
    return sealing === undefined || sealing.acceptsUnsealed ? behind : damaged('unsealed')
  if (sealing === undefined) throw sealedForOthers()
  const sealKey = sealing.keyOf(bytes.readUInt32BE(AT.sealKeyId))
  return openBytes(sealKey, placeOf(key, bytes.subarray(0, end)), behind) ?? damaged('seal')
}

type Texts = Pick<LiveEnvelope, (typeof TEXTS)[number]>

const NO_TEXTS: Texts = { app: '', address: undefined, userAgent: undefined }

/**
 * The texts of the header, each behind a byte that has its length; no bytes where none is there, as is usual. UTF-8 has
 * one replacement for every half of a surrogate pair.
 */
const encodeTexts = (live: Texts): Uint8Array => {
  if (live.app === '' && live.address === undefined && live.userAgent === undefined) return NO_BYTES
  return Buffer.concat(
    TEXTS.flatMap((name) => {
      const text = Buffer.from(live[name] ?? '', 'utf8')
      if (text.length > MAX_TEXT_BYTES) throw new RangeError(`A text of the header has at most ${MAX_TEXT_BYTES} bytes`)
      return [Uint8Array.of(text.length), text]
    }),
  )
}

/**
 * `undefined` where the bytes are no texts. An empty text is one that is not there. What is no UTF-8 is no text: with
 * replacements in its place it could be longer than the header may hold, and could not be written again.
 */
const decodeTexts = (behind: Buffer, length: number): Texts | undefined => {
  if (length === 0) return NO_TEXTS
  const bytes = behind.subarray(0, length)
  const texts: string[] = []
  let at = 0
  for (const _ of TEXTS) {
    const end = at + 1 + (bytes[at] ?? bytes.length)
    if (end > bytes.length || !isUtf8(bytes.subarray(at + 1, end))) return undefined
    texts.push(bytes.toString('utf8', at + 1, end))
    at = end
  }
  const [app = '', address = '', userAgent = ''] = texts
  return at === bytes.length ? { app, address: address || undefined, userAgent: userAgent || undefined } : undefined
}

/** The checksum: a CRC-32 over the key and over everything in the envelope but the checksum itself. */
const checksumOf = (key: CacheKey, bytes: Buffer): number =>
  crc32(bytes.subarray(AT.keyCheck), crc32(bytes.subarray(0, AT.checksum), crc32(key)))

const damaged = (reason: DamagedEnvelope['reason']): DamagedEnvelope => ({ kind: 'damaged', reason })

const unknown = (what: string, got: number, known: readonly number[]): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_FORMAT',
    `Stored session has ${what} ${got}; this program knows ${known.join(' and ')}. Was it written by a newer release?`,
  )

/**
 * Whether the session has become a user's, and nobody has looked since, with that in the backend, whether the user was
 * logged out everywhere meanwhile.
 */
export const isUserUnproved = (envelope: LiveEnvelope): boolean => envelope.identifiedVersion > envelope.durableVersion

/** Whether no copy of the session has reached the backend yet, as its creation was deferred. */
export const neverDurable = (envelope: LiveEnvelope): boolean => envelope.durableLineage === NO_LINEAGE

/**
 * Whether the session stands in the cache alone, and nobody has begun to bring it to the backend: whoever begins puts a mark
 * into the entry first (`offered`). So if this very entry is replaced by a tombstone, no row of the session can come any
 * more.
 */
export const isAlone = (envelope: LiveEnvelope): boolean => neverDurable(envelope) && envelope.seenDurableAt === 0
