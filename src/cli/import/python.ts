import { isPlainObject } from '../../tools/is-plain-object.js'
import { fromJson } from './express-session.js'
import { PickleError, unpickle } from './pickle.js'

/** What a Python program has stored: its data, or why it cannot be read. */
export type PythonData = { readonly data: Record<string, unknown> } | { readonly unreadable: string }

const BRACE = '{'.charCodeAt(0)

/** A dict that was pickled. */
export const pickled = (bytes: Uint8Array): PythonData => {
  try {
    return dict(unpickle(bytes))
  } catch (error) {
    if (error instanceof PickleError) return { unreadable: error.message }
    throw error
  }
}

/** A dict that was pickled, or written as JSON: a pickle does not begin with a brace. */
export const pickledOrJson = (bytes: Uint8Array): PythonData => {
  if (bytes[0] !== BRACE) return pickled(bytes)
  const read = fromJson(Buffer.from(bytes).toString())
  return 'value' in read ? dict(read.value) : read
}

const dict = (value: unknown): PythonData =>
  isPlainObject(value) ? { data: value } : { unreadable: 'it is no session: no dict' }

/** The same, where it is a session of Odoo, which has a `uid` from its beginning: nobody's is None. */
export const ofOdoo = (read: PythonData): PythonData =>
  'unreadable' in read || Object.hasOwn(read.data, 'uid') ? read : { unreadable: 'it is no session of Odoo: no `uid`' }

/** JSON in which a date, a moment and a set stand with their type, as session_redis writes them. */
export const taggedJson = (text: string): PythonData => {
  const read = fromJson(text)
  return 'value' in read ? dict(untagged(read.value)) : read
}

const untagged = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(untagged)
  if (!isPlainObject(value)) return value
  const { _type: type, value: inner } = value
  if (Object.keys(value).length === 2 && 'value' in value) {
    // A moment without a time zone is meant in UTC.
    if (type === 'datetime' && typeof inner === 'string' && !Number.isNaN(Date.parse(momentIn(inner))))
      return new Date(momentIn(inner))
    if (type === 'date' && typeof inner === 'string') return inner
    if (type === 'set' && Array.isArray(inner)) return new Set(inner.map(untagged))
  }
  return Object.fromEntries(Object.entries(value).map(([name, each]) => [name, untagged(each)]))
}

/** `2026-01-02 03:04:05.000006` and the like, as JavaScript reads it. */
const momentIn = (text: string): string => {
  const written = text.replace(' ', 'T').replace(/(\.\d{3})\d+/, '$1')
  return /(?:Z|[+-]\d{2}:?\d{2})$/.test(written) ? written : `${written}Z`
}
