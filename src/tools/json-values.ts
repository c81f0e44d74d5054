/** Deeper than this, no codec stores anything; a circle has no end. */
const DEEPEST = 256

/**
 * Whether the text that `JSON.stringify` makes of a value shows all that a codec would store of it: `null`, booleans, texts,
 * finite numbers but -0, and arrays and plain objects of these. Two such values with the same text are stored as the same
 * bytes. So whoever compares the texts, or a hash of them, need not compare the values.
 *
 * Not so for `undefined`, NaN, a Date (its text may have stood there as a text), a Map or a Set (`{}`), bytes, a bigint, a
 * hole, an instance of a class, something with a `toJSON`, or what another realm made.
 *
 * Getters are run, as `JSON.stringify` runs them. What it does not show and no codec stores is not looked for: keys that are
 * symbols, and properties that are not enumerable.
 */
export const showsInJson = (value: unknown, depth = 0): boolean => {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return true
    case 'number':
      return Number.isFinite(value) && !Object.is(value, -0)
    case 'object':
      return value === null || (depth < DEEPEST && partsShow(value, depth + 1))
    default:
      return false
  }
}

const partsShow = (value: object, depth: number): boolean => {
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Array.prototype) {
    // Not `every`, which passes over holes.
    for (const element of value as readonly unknown[]) if (!showsInJson(element, depth)) return false
    return true
  }
  if (prototype !== Object.prototype) return false
  for (const key of Object.keys(value))
    if (!showsInJson((value as Readonly<Record<string, unknown>>)[key], depth)) return false
  return true
}
