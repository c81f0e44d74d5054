import { createHash } from 'node:crypto'
import type { BackendCopy, BackendState, BackendToken, Lineage, StoredSession } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import { SessionStoreError } from '../../errors.js'
import { isReadableSession } from '../../tools/readable-session.js'
import type { Month } from './months.js'

/** A document's revision: CouchDB's own proof of having seen it. */
export type Revision = string

/** What one leaf of a document's tree of revisions says. A leaf that was deleted says nothing. */
export type Leaf =
  | { readonly kind: 'session'; readonly revision: Revision; readonly session: StoredSession }
  | { readonly kind: 'tombstone'; readonly revision: Revision; readonly writeId: string; readonly keepUntil: EpochMs }
  /** The place is taken for a session that is made in the month after this one. */
  | { readonly kind: 'moved'; readonly revision: Revision; readonly keepUntil: EpochMs }
  | UnreadableLeaf

/** A document that this program cannot read, from a newer one perhaps. */
export interface UnreadableLeaf {
  readonly kind: 'unreadable'
  readonly revision: Revision
  readonly error: SessionStoreError
}

/** A document without its `_id` and `_rev`. */
export type Content = Readonly<Record<string, unknown>>

/** What a kind of documents is called, how one is read, and which of several leaves counts. */
export interface Form<AnyLeaf> {
  readonly idOf: (key: string) => string
  readonly leafOf: (document: Content) => AnyLeaf
  readonly winnerOf: (leaves: readonly AnyLeaf[]) => AnyLeaf | undefined
}

/** The fields of a document that this program writes. */
const FORMAT = 1

/** No namespace begins an id, since CouchDB keeps those with an underscore at the front for itself. */
const ID_PREFIX = 's:'

export const idOf = (key: CacheKey): string => ID_PREFIX + key

export const keyOf = (id: string): CacheKey => id.slice(ID_PREFIX.length)

/** What a token says was seen: the guard is judged by it, and the revision proves that it still stands. */
export interface KnownLeaf {
  readonly revision: Revision
  readonly month: Month
  readonly lineage: Lineage
  readonly version: number
}

const TOKEN_BYTES = 42
const NO_TOKEN: BackendToken = new Uint8Array(0)

/** In few bytes; empty, which is "not known", for a revision or a lineage of another form than the usual one. */
export const tokenOf = ({ revision, month, lineage, version }: KnownLeaf): BackendToken => {
  const { generation = '', hash = '' } = /^(?<generation>\d{1,14})-(?<hash>[0-9a-f]{32})$/.exec(revision)?.groups ?? {}
  if (hash === '' || !/^[0-9a-f]{16}$/.test(lineage)) return NO_TOKEN
  const token = Buffer.alloc(TOKEN_BYTES)
  token.writeUIntBE(Number(generation), 0, 6)
  token.write(hash, 6, 'hex')
  token.writeUInt32BE(Number(month.slice(0, 4)) * 12 + Number(month.slice(5)) - 1, 22)
  token.write(lineage, 26, 'hex')
  token.writeBigUInt64BE(BigInt(version), 34)
  return new Uint8Array(token.buffer, token.byteOffset, TOKEN_BYTES)
}

/** `undefined` where the caller knows nothing. */
export const knownLeafIn = (token: BackendToken): KnownLeaf | undefined => {
  if (token.length !== TOKEN_BYTES) return undefined
  const bytes = Buffer.from(token.buffer, token.byteOffset, token.byteLength)
  const months = bytes.readUInt32BE(22)
  const year = String(Math.floor(months / 12)).padStart(4, '0')
  return {
    revision: `${bytes.readUIntBE(0, 6)}-${bytes.toString('hex', 6, 22)}`,
    month: `${year}-${String((months % 12) + 1).padStart(2, '0')}`,
    lineage: bytes.toString('hex', 26, 34),
    version: Number(bytes.readBigUInt64BE(34)),
  }
}

/** @throws TypeError for one that would not come back as it is */
export const assertKept = (text: string, what: string): void => {
  if (/\p{Surrogate}/u.test(text)) throw new TypeError(`${what} with half a surrogate pair`)
}

/** What stands for a user where his name could be too long, or be put into another order than the program's. */
export const userHashOf = (userId: string): string => createHash('sha256').update(userId).digest('hex')

/** What may be missing in a document, with its name for people. */
const OPTIONAL_TEXTS = { userId: 'a user id', address: 'an address', userAgent: 'a user agent' } as const

/** @throws TypeError for a text that would not come back as it is. */
export const contentOf = (session: StoredSession): Content => {
  const { app, userId, address, userAgent, data } = session
  assertKept(app, 'an application')
  for (const name of ['userId', 'address', 'userAgent'] as const) assertKept(session[name] ?? '', OPTIONAL_TEXTS[name])
  return {
    kind: 'session',
    format: FORMAT,
    app,
    ...(userId === undefined ? {} : { userId, userHash: userHashOf(userId) }),
    userEpoch: session.userEpoch,
    identifiedAt: session.identifiedAt,
    ...(address === undefined ? {} : { address }),
    ...(userAgent === undefined ? {} : { userAgent }),
    reads: session.reads,
    writes: session.writes,
    lineage: session.lineage,
    version: session.version,
    writeIds: session.writeIds,
    createdAt: session.createdAt,
    seenAt: session.seenAt,
    expiresAt: session.expiresAt,
    absoluteExpiresAt: session.absoluteExpiresAt,
    idleTtlMs: session.idleTtlMs,
    hasOwnIdleTtl: session.hasOwnIdleTtl,
    ...(session.origin === undefined ? {} : { origin: session.origin }),
    codecId: session.codecId,
    data: Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString('base64'),
  }
}

export const tombstoneOf = (writeId: string, destroyedAt: EpochMs, keepUntil: EpochMs): Content => ({
  kind: 'tombstone',
  format: FORMAT,
  writeId,
  destroyedAt,
  keepUntil,
})

export const movedOf = (keepUntil: EpochMs): Content => ({ kind: 'moved', format: FORMAT, keepUntil })

/** @throws TypeError for a document without a revision: CouchDB gives none. */
export const leafOf = (document: Content): Leaf => {
  const { _rev: revision, kind, format, keepUntil, writeId } = document
  if (typeof revision !== 'string') throw new TypeError('A document has a revision')
  if (format === FORMAT) {
    const session = kind === 'session' ? sessionOf(document) : undefined
    if (session !== undefined) return { kind: 'session', revision, session }
    if (kind === 'moved' && typeof keepUntil === 'number') return { kind, revision, keepUntil }
    if (kind === 'tombstone' && typeof keepUntil === 'number' && typeof writeId === 'string')
      return { kind, revision, writeId, keepUntil }
  }
  return unreadable(revision)
}

export const unreadable = (revision: Revision): UnreadableLeaf => {
  const message = 'A document of couchdb is none that this program can read; it is a newer one’s, perhaps'
  return {
    kind: 'unreadable',
    revision,
    error: new SessionStoreError('E_SESSION_FORMAT', message, { tier: 'couchdb' }),
  }
}

const NUMBERS = [
  'userEpoch',
  'identifiedAt',
  'reads',
  'writes',
  'version',
  'createdAt',
  'seenAt',
  'expiresAt',
  'absoluteExpiresAt',
  'idleTtlMs',
  'codecId',
] as const

/** What a listing without data shows of a session: all of its document but the data. */
export const HEADER: readonly string[] = [
  ...['_rev', 'kind', 'format', 'lineage', 'writeIds', 'app', 'hasOwnIdleTtl', 'origin'],
  ...Object.keys(OPTIONAL_TEXTS),
  ...NUMBERS,
]

/** @param header the fields of a session's document that `HEADER` names */
export const leafOfHeader = (header: Content): Leaf => leafOf({ ...header, data: '' })

const isTextOrMissing = (value: unknown): value is string | undefined =>
  value === undefined || typeof value === 'string'

const sessionOf = (document: Content): StoredSession | undefined => {
  const { lineage, writeIds, app, userId, address, userAgent, hasOwnIdleTtl, origin, data } = document
  if (typeof lineage !== 'string' || !Array.isArray(writeIds) || typeof data !== 'string') return undefined
  if (typeof app !== 'string' || !isTextOrMissing(userId) || !isTextOrMissing(address) || !isTextOrMissing(userAgent))
    return undefined
  if (typeof hasOwnIdleTtl !== 'boolean' || !NUMBERS.every((name) => typeof document[name] === 'number'))
    return undefined
  if (!writeIds.every((writeId) => typeof writeId === 'string')) return undefined
  if (origin !== undefined && typeof origin !== 'number') return undefined
  const numbers = document as Readonly<Record<(typeof NUMBERS)[number], number>>
  const session = {
    lineage,
    version: numbers.version,
    writeIds,
    codecId: numbers.codecId,
    data: new Uint8Array(Buffer.from(data, 'base64')),
    app,
    userId,
    userEpoch: numbers.userEpoch,
    identifiedAt: numbers.identifiedAt,
    address,
    userAgent,
    reads: numbers.reads,
    writes: numbers.writes,
    createdAt: numbers.createdAt,
    seenAt: numbers.seenAt,
    expiresAt: numbers.expiresAt,
    absoluteExpiresAt: numbers.absoluteExpiresAt,
    idleTtlMs: numbers.idleTtlMs,
    hasOwnIdleTtl,
    ...(origin === undefined ? {} : { origin }),
  }
  return isReadableSession(session) ? session : undefined
}

/**
 * The leaf that counts, of several that a cluster took in without seeing the conflict: a destroyed one, since a
 * session must not come back; else the newest version; all else being equal what CouchDB itself would choose.
 */
export const winnerOf = (leaves: readonly Leaf[]): Leaf | undefined => [...leaves].sort(byRank)[0]

const RANK: Readonly<Record<Leaf['kind'], number>> = { tombstone: 0, unreadable: 1, session: 2, moved: 3 }

const byRank = (one: Leaf, other: Leaf): number =>
  RANK[one.kind] - RANK[other.kind] || weightOf(other) - weightOf(one) || byRevision(other.revision, one.revision)

const weightOf = (leaf: Leaf): number => {
  if (leaf.kind === 'unreadable') return 0
  return leaf.kind === 'session' ? leaf.session.version : leaf.keepUntil
}

/** The order in which CouchDB itself chooses, for a sort. */
export const byRevision = (one: Revision, other: Revision): number =>
  Number.parseInt(one, 10) - Number.parseInt(other, 10) || (one < other ? -1 : 1)

/** Documents of the months. */
export const SESSIONS: Form<Leaf> = { idOf, leafOf, winnerOf }

/** A leaf and the month whose database it is in. */
export interface FoundLeaf {
  readonly month: Month
  readonly leaf: Leaf
}

/** @throws SessionStoreError `E_SESSION_FORMAT` */
export const copyOf = (found: FoundLeaf | undefined): BackendCopy => {
  const state = stateOf(found)
  if (state.state !== 'live' || found?.leaf.kind !== 'session') return state as BackendCopy
  return { state: 'live', session: found.leaf.session, token: state.token }
}

/** @throws SessionStoreError `E_SESSION_FORMAT` */
export const stateOf = (found: FoundLeaf | undefined): BackendState => {
  if (found === undefined) return { state: 'absent' }
  const { leaf, month } = found
  if (leaf.kind === 'unreadable') throw leaf.error
  if (leaf.kind !== 'session') return { state: leaf.kind === 'tombstone' ? 'destroyed' : 'absent' }
  const { lineage, version, writeIds } = leaf.session
  return {
    state: 'live',
    lineage,
    version,
    writeIds,
    token: tokenOf({ revision: leaf.revision, month, lineage, version }),
  }
}
