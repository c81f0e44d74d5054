import { createHash } from 'node:crypto'
import {
  type BackendCopy,
  type BackendState,
  type Lineage,
  NO_RECORD,
  purgeGraceOf,
  type RecordToken,
  type Seat,
  type StoredSession,
  type UserLocator,
  type UserRecord,
  type WriteId,
} from '../../contract/backend.js'
import { type CacheKey, splitKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import { SessionStoreError } from '../../errors.js'
import { isReadableSession } from '../../tools/readable-session.js'
import type { PostgresResult } from './pool.js'

export type Row = PostgresResult['rows'][number]

/** Postgres needs no proof of having seen a row: lineage and version are it. */
export const NO_TOKEN: Uint8Array = new Uint8Array(0)

const NO_DATA: Uint8Array = new Uint8Array(0)

const HOUR_MS = 3_600_000
const USUAL_GRACE_MS = purgeGraceOf()
/** The end of `integer`, in the year 246953; the table's own hours end there, too. */
const LAST_HOUR = 2_147_483_647

/** A key as the table has it. */
export interface Address {
  readonly namespace: string
  readonly idHash: Buffer
}

/** @throws TypeError for a key that the table could not give back as it is. */
export const addressOf = (key: CacheKey): Address => {
  const { namespace, hash } = splitKey(key)
  const idHash = Buffer.from(hash, 'base64url')
  if (namespace === '' || hash === '' || idHash.toString('base64url') !== hash || !isKeepable(namespace))
    throw new TypeError('A key is a namespace, a colon and the base64url of a hash')
  return { namespace, idHash }
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
  hourOf(now + Math.max(0, USUAL_GRACE_MS - graceMs))

/** The hour of a moment since 1970, rounded down: what `seen_hour` and `expires_hour` are of theirs. */
export const hourOf = (moment: EpochMs): number => Math.max(0, Math.min(Math.floor(moment / HOUR_MS), LAST_HOUR))

/** @throws TypeError for a name that is not sixteen hexadecimal digits: `Buffer.from` would cut it short. */
export const nameBytes = (name: Lineage | WriteId): Buffer => {
  const bytes = Buffer.from(name, 'hex')
  if (bytes.length !== 8 || name.length !== 16) throw new TypeError('Lineages and write ids have sixteen digits')
  return bytes
}

/** @throws TypeError for a text that would not come back as it is; `what` names it. */
const textOf = (what: string, text: string): string => {
  if (!isKeepable(text)) throw new TypeError(`${what} with a NUL character or half a surrogate pair`)
  return text
}

const textOrNull = (what: string, text: string | undefined): string | null =>
  text === undefined ? null : textOf(what, text)

/** What the indexes have of a user id, which may be longer than an index takes. */
const userHashOf = (userId: string): Buffer => createHash('sha256').update(userId, 'utf8').digest()

/**
 * A user's parameters, in the order of `namespace`, `user_hash`, `user_id`.
 *
 * @throws TypeError for what has no place in a row
 */
export const userValues = ({ namespace, userId }: UserLocator): readonly [string, Buffer, string] => {
  const kept = textOf('a user id', userId)
  return [textOf('a namespace', namespace), userHashOf(kept), kept]
}

/**
 * As much as can be read at all: the server gives bytes in hexadecimal digits, two for each, and a text of Node's has 2^29
 * of them at most.
 */
export const LARGEST_DATA_BYTES = 268_000_000

/** The data is more than could be read again. */
export class DataTooLarge extends RangeError {
  override get name(): string {
    return 'DataTooLarge'
  }
}

/** What could be too large to be read again: all else is of a few bytes. */
const checkSize = ({ data, userId = '' }: StoredSession, maxDataBytes: number): void => {
  const bytes = data.byteLength + Buffer.byteLength(userId)
  if (bytes > maxDataBytes)
    throw new DataTooLarge(`${bytes} bytes of data, where \`maxDataBytes\` lets ${maxDataBytes} be read again`)
}

/**
 * A session's parameters, in the order of `SESSION_COLUMNS`.
 *
 * @throws TypeError, RangeError for what has no place in a row; `DataTooLarge`
 */
export const sessionValues = (session: StoredSession, maxDataBytes: number): unknown[] => {
  checkSize(session, maxDataBytes)
  return valuesOf(session)
}

const valuesOf = (session: StoredSession): unknown[] => [
  nameBytes(session.lineage),
  session.version,
  Buffer.concat(session.writeIds.map(nameBytes)),
  session.codecId,
  session.data,
  textOf('the name of an application', session.app),
  textOrNull('a user id', session.userId),
  session.userId === undefined ? null : userHashOf(session.userId),
  session.userEpoch,
  session.identifiedAt === 0 ? null : timestampOf(session.identifiedAt),
  textOrNull('an address', session.address),
  textOrNull('a user agent', session.userAgent),
  session.reads,
  session.writes,
  timestampOf(session.createdAt),
  timestampOf(session.seenAt),
  timestampOf(session.expiresAt),
  timestampOf(session.absoluteExpiresAt),
  session.idleTtlMs,
  session.hasOwnIdleTtl,
  session.origin ?? 0,
  endHourOf(session),
]

/** @throws SessionStoreError `E_SESSION_FORMAT` for a row that this program cannot read */
export const copyOf = (row: Row | undefined): BackendCopy => {
  if (row?.['found'] !== true) return { state: 'absent' }
  if (row['destroyed'] === true) return { state: 'destroyed' }
  const session = sessionOf(row)
  const live = { state: 'live', session, token: NO_TOKEN } as const
  return session.userId === undefined
    ? live
    : { ...live, currentEpoch: countOf(row['current_epoch'] ?? NO_RECORD.epoch) }
}

/** @throws SessionStoreError `E_SESSION_FORMAT` */
export const stateOf = (row: Row | undefined): BackendState => {
  if (row?.['found'] !== true) return { state: 'absent' }
  if (row['destroyed'] === true) return { state: 'destroyed' }
  return {
    state: 'live',
    lineage: lineageOf(row),
    version: countOf(row['version']),
    writeIds: writeIdsOf(row),
    token: NO_TOKEN,
  }
}

/**
 * @param withData whether the data was asked for; the row has none otherwise, nor has the session
 * @throws SessionStoreError `E_SESSION_FORMAT`
 */
export const sessionOf = (row: Row, withData = true): StoredSession => {
  const data = withData ? bytesOf(row['data']) : NO_DATA
  const origin = Number(row['origin'])
  const session = {
    lineage: lineageOf(row),
    version: Number(row['version']),
    writeIds: writeIdsOf(row),
    codecId: Number(row['codec']),
    data: new Uint8Array(data.buffer, data.byteOffset, data.length),
    app: String(row['app']),
    userId: textIn(row['user_id']),
    userEpoch: Number(row['user_epoch']),
    identifiedAt: Number(row['identified_ms']),
    address: textIn(row['address']),
    userAgent: textIn(row['user_agent']),
    reads: Number(row['reads']),
    writes: Number(row['writes']),
    createdAt: Number(row['created_ms']),
    seenAt: Number(row['seen_ms']),
    expiresAt: Number(row['expires_ms']),
    absoluteExpiresAt: Number(row['absolute_expires_ms']),
    idleTtlMs: Number(row['idle_ttl_ms']),
    hasOwnIdleTtl: row['has_own_idle_ttl'] === true,
    ...(origin === 0 ? {} : { origin }),
  }
  if (!isReadableSession(session)) throw unreadableRow()
  return session
}

/**
 * What stands there of a user, and which version of it.
 *
 * @throws SessionStoreError `E_SESSION_FORMAT`
 */
export const recordOf = (row: Row | undefined): { readonly record: UserRecord; readonly token: RecordToken } => {
  const revision = row?.['revision'] ?? undefined
  if (row === undefined || revision === undefined) return { record: NO_RECORD, token: '' }
  return { record: { epoch: countOf(row['epoch']), seats: seatsOf(row['seats']) }, token: String(countOf(revision)) }
}

/** The places as they are kept: each is a key, the moment it was taken, and the birth month where there is one. */
export const seatsText = (seats: readonly Seat[] | undefined): string | null =>
  seats === undefined
    ? null
    : JSON.stringify(
        seats.map(({ locator: { key, bornMonth }, takenAt }) => ({
          key: textOf('a key', key),
          ...(bornMonth === undefined ? {} : { bornMonth: textOf('a month', bornMonth) }),
          takenAt,
        })),
      )

const seatsOf = (seats: unknown): readonly Seat[] | undefined => {
  if (typeof seats !== 'string') return undefined
  const kept = parsed(seats)
  if (!Array.isArray(kept)) throw unreadableRow()
  return (kept as readonly unknown[]).map(seatOf)
}

const seatOf = (seat: unknown): Seat => {
  const { key, bornMonth, takenAt } = (seat ?? {}) as Readonly<Record<string, unknown>>
  if (typeof key !== 'string' || typeof takenAt !== 'number' || !Number.isFinite(takenAt)) throw unreadableRow()
  if (bornMonth === undefined) return { locator: { key }, takenAt }
  if (typeof bornMonth !== 'string') throw unreadableRow()
  return { locator: { key, bornMonth }, takenAt }
}

/** The error of JSON quotes what it could not read. */
const parsed = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadableRow()
  }
}

const unreadableRow = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_FORMAT',
    'A row of postgres is none that this program can read; it is a newer one’s, perhaps',
    { tier: 'postgres' },
  )

/** A number that counts something. */
const countOf = (value: unknown): number => {
  if (typeof value !== 'number' && typeof value !== 'string') throw unreadableRow()
  const count = Number(value)
  if (!Number.isSafeInteger(count) || count < 0) throw unreadableRow()
  return count
}

/** Bytes as the hexadecimal digits of names, each of sixteen. */
const namesOf = (value: unknown): WriteId[] => {
  const digits = bytesOf(value).toString('hex')
  if (digits.length % 16 !== 0) throw unreadableRow()
  return digits.match(/.{16}/g) ?? []
}

const lineageOf = (row: Row): Lineage => {
  const [lineage, ...others] = namesOf(row['lineage'])
  if (lineage === undefined || others.length > 0) throw unreadableRow()
  return lineage
}

const writeIdsOf = (row: Row): WriteId[] => namesOf(row['write_ids'])

const textIn = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)

const bytesOf = (value: unknown): Buffer => {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength)
  throw unreadableRow()
}
