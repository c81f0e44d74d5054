import {
  type BackendCopy,
  type BackendState,
  type Lineage,
  purgeGraceOf,
  type StoredSession,
  type WriteId,
} from '../../contract/backend.js'
import { type CacheKey, splitKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import type { PostgresResult } from './pool.js'

export type Row = PostgresResult['rows'][number]

/** Postgres needs no proof of having seen a row: lineage and version are it. */
export const NO_TOKEN: Uint8Array = new Uint8Array(0)

const HOUR_MS = 3_600_000
const USUAL_GRACE_MS = purgeGraceOf()
/** The end of `integer`, in the year 246953. */
const LAST_HOUR = 2_147_483_647

/** A key as the table has it. */
export interface Address {
  readonly app: string
  readonly idHash: Buffer
}

/** @throws TypeError for a key that the table could not give back as it is. */
export const addressOf = (key: CacheKey): Address => {
  const { namespace, hash } = splitKey(key)
  const idHash = Buffer.from(hash, 'base64url')
  if (namespace === '' || hash === '' || idHash.toString('base64url') !== hash || !isKeepable(namespace))
    throw new TypeError('A key is a namespace, a colon and the base64url of a hash')
  return { app: namespace, idHash }
}

/** Bytes as `decode(…, 'hex')` takes them. */
export const hexOf = (bytes: unknown): string => bytesOf(bytes).toString('hex')

export const keyOf = (row: Row, namespace: string): CacheKey =>
  `${namespace}:${bytesOf(row['id_hash']).toString('base64url')}`

/** `text` holds no NUL, and half a surrogate pair would come back as a replacement character. */
const isKeepable = (text: string): boolean => !/[\0\p{Surrogate}]/u.test(text)

/**
 * A moment as text, exact to the millisecond: a number of seconds would lose that in the far future, and pg would
 * write a `Date` in the local time zone. Years past 9999 are signed in ISO 8601 and must not be for Postgres.
 */
export const timestampOf = (moment: EpochMs): string => new Date(moment).toISOString().replace(/^\+0*/, '')

/** Rounded up, so that a row is never purged early. */
export const purgeHourOf = (moment: EpochMs): number => Math.min(Math.ceil(moment / HOUR_MS), LAST_HOUR)

/**
 * The hour from which on a purge with the usual grace looks at a session. The moments decide what it removes, so a purge
 * with another grace removes the right rows too, and only looks at more of them.
 */
const endHourOf = ({ expiresAt, absoluteExpiresAt }: StoredSession): number =>
  purgeHourOf(Math.max(expiresAt, Math.min(expiresAt + USUAL_GRACE_MS, absoluteExpiresAt)))

/** The same for a session that was extended, as far as it does not end earlier whether it is used or not. */
export const extensionHourOf = (expiresAt: EpochMs): number => purgeHourOf(expiresAt + USUAL_GRACE_MS)

/** The last hour of the rows that a purge has to look at. */
export const lastPurgeHourOf = (now: EpochMs, graceMs: number): number =>
  seenHourOf(now + Math.max(0, USUAL_GRACE_MS - graceMs))

export const seenHourOf = (moment: EpochMs): number => Math.min(Math.floor(moment / HOUR_MS), LAST_HOUR)

/** @throws TypeError for a name that is not sixteen hexadecimal digits: `Buffer.from` would cut it short. */
export const nameBytes = (name: Lineage | WriteId): Buffer => {
  const bytes = Buffer.from(name, 'hex')
  if (bytes.length !== 8 || name.length !== 16) throw new TypeError('Lineages and write ids have sixteen digits')
  return bytes
}

/** @throws TypeError for a text that would not come back as it is. */
const userIdOf = (userId: string | undefined): string | null => {
  if (userId === undefined) return null
  if (!isKeepable(userId)) throw new TypeError('a user id with a NUL character or half a surrogate pair')
  return userId
}

/**
 * As much as comes back: the server gives bytes in hexadecimal digits, two for each, and a text of Node's has 2^29 of them
 * at most. pg reads the whole of a row before anybody can look at it, so this is the one bound of what an answer has; a
 * page of a listing is bounded in the statement.
 */
const LARGEST_DATA_BYTES = 268_000_000

/** The data is more than could be read again. */
export class DataTooLarge extends RangeError {
  override get name(): string {
    return 'DataTooLarge'
  }
}

const dataOf = ({ data }: StoredSession): Uint8Array => {
  if (data.byteLength <= LARGEST_DATA_BYTES) return data
  throw new DataTooLarge(`${data.byteLength} bytes of data, where at most ${LARGEST_DATA_BYTES} can be read again`)
}

/**
 * A session's parameters, in the order of `SESSION_COLUMNS`.
 *
 * @throws TypeError, RangeError for what has no place in a row; `DataTooLarge`
 */
export const sessionValues = (session: StoredSession): unknown[] => [
  nameBytes(session.lineage),
  session.version,
  Buffer.concat(session.writeIds.map(nameBytes)),
  session.codecId,
  dataOf(session),
  userIdOf(session.userId),
  session.userEpoch,
  timestampOf(session.createdAt),
  timestampOf(session.seenAt),
  timestampOf(session.expiresAt),
  timestampOf(session.absoluteExpiresAt),
  session.idleTtlMs,
  endHourOf(session),
  seenHourOf(session.seenAt),
]

export const copyOf = (row: Row | undefined): BackendCopy => {
  if (row?.['found'] !== true) return { state: 'absent' }
  return row['destroyed'] === true
    ? { state: 'destroyed' }
    : { state: 'live', session: sessionOf(row), token: NO_TOKEN }
}

export const stateOf = (row: Row | undefined): BackendState => {
  if (row?.['found'] !== true) return { state: 'absent' }
  if (row['destroyed'] === true) return { state: 'destroyed' }
  return {
    state: 'live',
    lineage: bytesOf(row['lineage']).toString('hex'),
    version: Number(row['version']),
    writeIds: writeIdsOf(row),
    token: NO_TOKEN,
  }
}

export const sessionOf = (row: Row): StoredSession => {
  const data = bytesOf(row['data'])
  return {
    lineage: bytesOf(row['lineage']).toString('hex'),
    version: Number(row['version']),
    writeIds: writeIdsOf(row),
    codecId: Number(row['codec']),
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
    userId: typeof row['user_id'] === 'string' ? row['user_id'] : undefined,
    userEpoch: Number(row['user_epoch']),
    createdAt: Number(row['created_ms']),
    seenAt: Number(row['seen_ms']),
    expiresAt: Number(row['expires_ms']),
    absoluteExpiresAt: Number(row['absolute_expires_ms']),
    idleTtlMs: Number(row['idle_ttl_ms']),
  }
}

const writeIdsOf = (row: Row): WriteId[] => bytesOf(row['write_ids']).toString('hex').match(/.{16}/g) ?? []

const bytesOf = (value: unknown): Buffer => {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw new TypeError('pg was expected to give the bytes of a bytea column as a Buffer')
}
