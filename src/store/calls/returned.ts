import { isError } from '../../tools/is-error.js'
import { isPlainObject } from '../../tools/is-plain-object.js'

/** The data of a session, as it was before a function of `update` was called with it. */
export interface Before {
  readonly data: unknown
  /** Every object in the data, the data itself included. */
  readonly parts: ReadonlySet<object>
}

/**
 * Notes the data, before the function is called: afterwards nobody could tell which objects it took out of the data and
 * returned.
 */
export const before = (data: unknown): Before => ({ data, parts: partsOf(data) })

/**
 * The data that a function of `update` leaves. If it returned a new plain object, that is the data. If it returned
 * anything else, the data is the object that it was given and may have changed in place.
 *
 * Functions are also written as `(data) => data.seen.set('tea', 1)` or `(data) => data.cart.pop()`, and return a part
 * of the data by accident. So an object that is in the data, or was in it before, never takes its place.
 */
export const dataAfter = ({ data, parts }: Before, returned: unknown): unknown =>
  isPlainObject(returned) && !parts.has(returned) && !partsOf(data).has(returned) ? returned : data

const partsOf = (data: unknown): ReadonlySet<object> => {
  const parts = new Set<object>()
  const toVisit: unknown[] = [data]
  while (toVisit.length > 0) {
    const value = toVisit.pop()
    if (typeof value !== 'object' || value === null || parts.has(value)) continue
    parts.add(value)
    for (const child of childrenOf(value)) toVisit.push(child)
  }
  return parts
}

const childrenOf = (value: object): Iterable<unknown> => {
  if (ArrayBuffer.isView(value)) return []
  if (value instanceof Map) return [...value.keys(), ...value.values(), ...Object.values(value)]
  if (value instanceof Set) return [...value, ...Object.values(value)]
  if (isError(value)) return [value.cause, ...Object.values(value)]
  return Object.values(value)
}
