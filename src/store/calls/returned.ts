import { isError } from '../../tools/is-error.js'
/** What is known of a session's data before a function of `update` is called with it. */
export interface Before {
  readonly data: unknown
  /** Every object in the data, the data itself included. */
  readonly parts: ReadonlySet<object>
}

/** To be called before the function: what it takes out of the data and returns could not be told apart afterwards. */
export const before = (data: unknown): Before => ({ data, parts: partsOf(data) })

/**
 * The data that a function of `update` leaves: the new plain object that it returned or, where it returned anything else,
 * the data that it was given and may have changed in place.
 *
 * Functions are written as `(data) => data.seen.set('tea', 1)` or `(data) => data.cart.pop()` too, which return a part of
 * the data by accident. So what is in the data, or was in it before, never takes its place.
 */
export const dataAfter = ({ data, parts }: Before, returned: unknown): unknown =>
  isPlainObject(returned) && !parts.has(returned) && !partsOf(data).has(returned) ? returned : data

const isPlainObject = (value: unknown): value is object => {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === null || Object.getPrototypeOf(prototype) === null
}

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
