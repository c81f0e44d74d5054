/** A session as the fields of a hash in Redis, and back. */
import type {
  BackendState,
  Lineage,
  RecordToken,
  Seat,
  StoredSession,
  UserRecord,
  WriteId,
} from '../../contract/backend.js'
import { NO_RECORD } from '../../contract/backend.js'
import { SessionStoreError } from '../../errors.js'
import { isReadableSession } from '../../tools/readable-session.js'

/** Redis needs no proof of having seen a copy: lineage and version are it. */
export const NO_TOKEN: Uint8Array = new Uint8Array(0)

const NO_DATA: Uint8Array = new Uint8Array(0)

/** The field `f` of a session and of a tombstone: what it is, and in which format. */
export const SESSION = 's1'
export const TOMBSTONE = 't1'

/** What is read of a session without its data. */
export const HEADER_FIELDS: readonly string[] = ['f', 'l', 'v', 'w', 'x', 'i', 's', 'a', 'h']

/** The same with its data. */
export const ALL_FIELDS: readonly string[] = [...HEADER_FIELDS, 'd']

/** What a session is in Redis. The functions work with the first of them; the rest they keep. */
export interface Row {
  readonly lineage: string
  readonly version: string
  readonly writeIds: string
  readonly expiresAt: string
  readonly idleTtlMs: string
  readonly seenAt: string
  readonly absoluteExpiresAt: string
  readonly header: string
  readonly data: Buffer
}

const NAME = /^[0-9a-f]{16}$/

/** @throws TypeError for a name that is not sixteen hexadecimal digits */
export const nameText = (name: Lineage | WriteId): string => {
  if (!NAME.test(name)) throw new TypeError('Lineages and write ids have sixteen digits')
  return name
}

/** @throws TypeError for a text of which an index would keep another */
export const textOf = (what: string, text: string): string => {
  if (/\p{Surrogate}/u.test(text)) throw new TypeError(`${what} with half a surrogate pair`)
  return text
}

/** @throws TypeError for what has no place in a row */
export const rowOf = (session: StoredSession): Row => {
  const { data } = session
  return {
    lineage: nameText(session.lineage),
    version: String(session.version),
    writeIds: session.writeIds.map(nameText).join(''),
    expiresAt: String(session.expiresAt),
    idleTtlMs: String(session.idleTtlMs),
    seenAt: String(session.seenAt),
    absoluteExpiresAt: String(session.absoluteExpiresAt),
    header: JSON.stringify({
      codecId: session.codecId,
      app: textOf('the name of an application', session.app),
      userId: session.userId === undefined ? undefined : textOf('a user id', session.userId),
      userEpoch: session.userEpoch,
      identifiedAt: session.identifiedAt,
      address: session.address,
      userAgent: session.userAgent,
      reads: session.reads,
      writes: session.writes,
      createdAt: session.createdAt,
      hasOwnIdleTtl: session.hasOwnIdleTtl,
      origin: session.origin,
    }),
    // A copy: it may wait to be sent while the caller changes its bytes.
    data: Buffer.from(data),
  }
}

/** Whether something stands where these fields were read. */
export const stands = (fields: unknown): boolean => Array.isArray(fields) && fields[0] !== null

/** Whether it is a tombstone. */
export const isTombstone = (fields: unknown): boolean => Array.isArray(fields) && textIn(fields[0]) === TOMBSTONE

/**
 * @param fields the answer for `HEADER_FIELDS`, or for `ALL_FIELDS`
 * @throws SessionStoreError `E_SESSION_FORMAT`
 */
export const sessionOf = (fields: unknown): StoredSession => {
  if (!Array.isArray(fields)) throw unreadableRow()
  const [f, l, v, w, x, i, s, a, h, d] = fields as readonly unknown[]
  const header = parsed(h)
  if (textIn(f) !== SESSION || header === undefined) throw unreadableRow()
  const { userId, address, userAgent, app, hasOwnIdleTtl, origin } = header
  if (!isTextOrMissing(userId) || !isTextOrMissing(address) || !isTextOrMissing(userAgent)) throw unreadableRow()
  if (typeof app !== 'string' || typeof hasOwnIdleTtl !== 'boolean') throw unreadableRow()
  if (origin !== undefined && typeof origin !== 'number') throw unreadableRow()
  const session = {
    lineage: textIn(l) ?? '',
    version: numberIn(v),
    writeIds: writeIdsOf(w),
    codecId: header['codecId'] as number,
    data: d instanceof Uint8Array ? new Uint8Array(d.buffer, d.byteOffset, d.byteLength) : NO_DATA,
    app,
    userId,
    userEpoch: header['userEpoch'] as number,
    identifiedAt: header['identifiedAt'] as number,
    address,
    userAgent,
    reads: header['reads'] as number,
    writes: header['writes'] as number,
    createdAt: header['createdAt'] as number,
    seenAt: numberIn(s),
    expiresAt: numberIn(x),
    absoluteExpiresAt: numberIn(a),
    idleTtlMs: numberIn(i),
    hasOwnIdleTtl,
    ...(origin === undefined ? {} : { origin }),
  }
  if (!isReadableSession(session)) throw unreadableRow()
  return session
}

/**
 * What a function says stands there: `absent`, `destroyed`, or `live` with lineage, version and write ids.
 *
 * @throws SessionStoreError `E_SESSION_FORMAT`
 */
export const stateOf = (reply: readonly unknown[]): BackendState => {
  const [word, lineage, version, writeIds] = reply
  switch (textIn(word)) {
    case 'absent':
      return { state: 'absent' }
    case 'destroyed':
      return { state: 'destroyed' }
    case 'live':
      return {
        state: 'live',
        lineage: lineageIn(lineage),
        version: countOf(numberIn(version)),
        writeIds: writeIdsOf(writeIds),
        token: NO_TOKEN,
      }
    default:
      throw unreadableRow()
  }
}

/**
 * What stands there of a user, and which version of it.
 *
 * @param fields the answer for `epoch`, `seats` and `revision`
 * @throws SessionStoreError `E_SESSION_FORMAT`
 */
export const recordOf = (fields: unknown): { readonly record: UserRecord; readonly token: RecordToken } => {
  if (!Array.isArray(fields)) throw unreadableRow()
  const [epoch, seats, revision] = fields as readonly unknown[]
  const token = textIn(revision)
  if (token === undefined) return { record: NO_RECORD, token: '' }
  return { record: { epoch: countOf(numberIn(epoch)), seats: seatsOf(textIn(seats) ?? '') }, token }
}

/** The places as they are kept; the empty text where nobody has ever counted. */
export const seatsText = (seats: readonly Seat[] | undefined): string =>
  seats === undefined
    ? ''
    : JSON.stringify(seats.map(({ locator: { key, bornMonth }, takenAt }) => ({ key, bornMonth, takenAt })))

const seatsOf = (text: string): readonly Seat[] | undefined => {
  if (text === '') return undefined
  const kept = parsedAny(text)
  if (!Array.isArray(kept)) throw unreadableRow()
  return (kept as readonly unknown[]).map(seatOf)
}

const seatOf = (seat: unknown): Seat => {
  const { key, bornMonth, takenAt } = (seat ?? {}) as Readonly<Record<string, unknown>>
  if (typeof key !== 'string' || typeof takenAt !== 'number' || !isTextOrMissing(bornMonth)) throw unreadableRow()
  return { locator: bornMonth === undefined ? { key } : { key, bornMonth }, takenAt }
}

export const unreadableRow = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_FORMAT',
    'A key of redis holds nothing that this program can read; it is a newer one’s, perhaps',
    { tier: 'redis' },
  )

/** A text of an answer. `undefined` for what is none. */
export const textIn = (value: unknown): string | undefined => {
  if (value instanceof Uint8Array) return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('utf8')
  return typeof value === 'string' ? value : undefined
}

/** A number of an answer, which comes as a text or as itself; NaN for what is none. */
export const numberIn = (value: unknown): number => {
  if (typeof value === 'number') return value
  const text = textIn(value)
  return text === undefined || text === '' ? Number.NaN : Number(text)
}

const lineageIn = (value: unknown): Lineage => {
  const name = textIn(value) ?? ''
  if (!NAME.test(name)) throw unreadableRow()
  return name
}

const countOf = (count: number): number => {
  if (!Number.isSafeInteger(count) || count < 0) throw unreadableRow()
  return count
}

const writeIdsOf = (value: unknown): WriteId[] => {
  const digits = textIn(value) ?? ''
  if (!/^(?:[0-9a-f]{16})*$/.test(digits)) throw unreadableRow()
  return digits.match(/.{16}/g) ?? []
}

const isTextOrMissing = (value: unknown): value is string | undefined =>
  value === undefined || typeof value === 'string'

/** The error of JSON quotes what it could not read. */
const parsedAny = (text: string): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    throw unreadableRow()
  }
}

const parsed = (value: unknown): Readonly<Record<string, unknown>> | undefined => {
  const text = textIn(value)
  const kept = text === undefined ? undefined : parsedAny(text)
  return typeof kept === 'object' && kept !== null ? (kept as Readonly<Record<string, unknown>>) : undefined
}
