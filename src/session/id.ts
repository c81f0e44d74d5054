import { described, SessionStoreError } from '../errors.js'

/** The longest id, in UTF-16 code units. A longer one is refused before any tier is asked. */
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
 * Makes an id of nonstick's own form: the month of its birth and 256 random bits, in 47 characters that need no
 * escaping in a cookie or a URL.
 *
 * @param random at least 32 bytes from a CSPRNG; more are ignored.
 */
export const sessionIdFrom = (now: number, random: Uint8Array): string => {
  if (random.length < RANDOM_BYTES) throw new TypeError(`Expected ${RANDOM_BYTES} random bytes, got ${random.length}`)
  return monthOf(now) + Buffer.from(random.buffer, random.byteOffset, RANDOM_BYTES).toString('base64url')
}

/** The month of birth that an id claims; `undefined` where the id is of another form. */
export const bornMonthOf = (id: string): string | undefined => (OWN_ID.test(id) ? id.slice(0, 4) : undefined)

/**
 * Gives an id back, or refuses it. A session id is a string of 1 to 1024 UTF-16 code units. Half a surrogate pair is
 * refused, as UTF-8 has the same bytes for all of them, and two ids would name one session.
 *
 * @throws SessionStoreError `E_INVALID_ID`, without the id in its message.
 */
export const checkedId = (id: unknown): string => {
  if (typeof id !== 'string') throw invalidId(`got ${described(id, true)}`)
  if (id.length === 0) throw invalidId('got an empty string')
  if (id.length > MAX_ID_LENGTH) throw invalidId(`got ${id.length} characters`)
  if (!isWellFormed(id)) throw invalidId('got one with half a surrogate pair')
  return id
}

/** This is of ES2024, which Node has had since release 20. Our `lib` is ES2023. */
const isWellFormed = (text: string): boolean => (text as string & { isWellFormed(): boolean }).isWellFormed()

const invalidId = (got: string): SessionStoreError =>
  new SessionStoreError(
    'E_INVALID_ID',
    `Expected a session id to be a string of 1 to ${MAX_ID_LENGTH} characters, ${got}`,
  )
