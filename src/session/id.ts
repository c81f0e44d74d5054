import { SessionStoreError } from '../errors.js'

/** An id longer than this is refused before any I/O. */
export const MAX_ID_LENGTH = 1024

const RANDOM_BYTES = 32
const OWN_ID = /^\d\d(?:0[1-9]|1[0-2])[A-Za-z0-9_-]{43}$/

/** The UTC month of a moment as `yyMM`: `2611` for November 2026. */
export const monthOf = (at: number): string => {
  const date = new Date(at)
  const year = String(date.getUTCFullYear() % 100).padStart(2, '0')
  return year + String(date.getUTCMonth() + 1).padStart(2, '0')
}

/**
 * An id of nonstick's own form: the month of its birth and 256 bits of chance, 47 characters that need no
 * escaping in a cookie or a URL.
 *
 * @param random at least 32 bytes from a CSPRNG; more are ignored.
 */
export const sessionIdFrom = (now: number, random: Uint8Array): string => {
  if (random.length < RANDOM_BYTES) throw new TypeError(`Expected ${RANDOM_BYTES} random bytes, got ${random.length}`)
  return monthOf(now) + Buffer.from(random.buffer, random.byteOffset, RANDOM_BYTES).toString('base64url')
}

/** The birth month an id claims, or `undefined` where the id is of a foreign form. */
export const bornMonthOf = (id: string): string | undefined => (OWN_ID.test(id) ? id.slice(0, 4) : undefined)

/**
 * Passes an id on, or refuses it: a session id is a string of 1 to 1024 UTF-16 code units. Half a surrogate pair
 * is refused: UTF-8 has the same bytes for all of them, and two ids would be one session.
 *
 * @throws SessionStoreError `E_INVALID_ID`, without the id in its message.
 */
export const checkedId = (id: unknown): string => {
  if (typeof id !== 'string') throw invalidId(`got ${id === null ? 'null' : typeof id}`)
  if (id.length === 0) throw invalidId('got an empty string')
  if (id.length > MAX_ID_LENGTH) throw invalidId(`got ${id.length} characters`)
  if (!isWellFormed(id)) throw invalidId('got one with half a surrogate pair')
  return id
}

/** ES2024, which Node has had since 20; our `lib` is ES2023. */
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

const invalidId = (got: string): SessionStoreError =>
  new SessionStoreError(
    'E_INVALID_ID',
    `Expected a session id to be a string of 1 to ${MAX_ID_LENGTH} characters, ${got}`,
  )
