/** The id in what somebody gives for one: the id itself, or the value of the cookie that holds it. */
import { isPlainObject } from '../tools/is-plain-object.js'
import { UsageError } from './exits.js'

/** A signature by HMAC-SHA-256 in Base64, of either alphabet. */
const SIGNATURE = '[A-Za-z0-9+/_-]{43}=?'

/** As express-session signs, whatever characters the id has. */
const MARKED = new RegExp(`^s:(.+)\\.${SIGNATURE}$`)

/** As others sign. An id with a dot, such as a JSON Web Token, is no such value. */
const UNMARKED = new RegExp(`^([^.]+)\\.${SIGNATURE}$`)

/** A cookie with its name, or several of them. */
const NAMED = /^[\w!#$%&'*+.^`|~-]+=[^=]|;|^(?:set-)?cookie:/i

/**
 * The id that is meant. No signature is checked: whoever may run the command may end any session.
 *
 * @throws UsageError for what is part of a cookie, and holds no id for certain
 */
export const givenId = (text: string): string => {
  // A text that begins so is not encoded: a percent sign in it belongs to the id.
  const value = text.startsWith('s:') ? text : decoded(text)
  const signed = (MARKED.exec(value) ?? UNMARKED.exec(value))?.[1]
  if (signed !== undefined) return unpacked(signed)
  if (value.startsWith('s:'))
    throw new UsageError(
      'Expected an id, a handle or the whole value of a cookie on standard input, got what begins as a signed value ' +
        'does and does not end with a signature. Copy all of it, or give the handle that `nonstick list` shows',
    )
  if (NAMED.test(text))
    throw new UsageError(
      'Expected an id, a handle or the value of a cookie on standard input, got what looks like a cookie with its name, ' +
        'or like several. Give only what stands between the `=` and the `;` of the one that holds the session, or the ' +
        'handle that `nonstick list` shows',
    )
  return text
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}

/** Some frameworks make JSON of the id before they sign it: React Router a text, and AdonisJS the message of an object. */
const unpacked = (signed: string): string => {
  try {
    const value: unknown = JSON.parse(Buffer.from(signed, 'base64').toString())
    const id = isPlainObject(value) ? value['message'] : value
    return typeof id === 'string' ? id : signed
  } catch {
    return signed
  }
}
