/** The data of a session for people and scripts, who are to see also what JSON has no form for. */
import { types } from 'node:util'
import { isError } from '../tools/is-error.js'
import { isPlainObject } from '../tools/is-plain-object.js'

/**
 * What JSON can hold stays as it is. Anything else becomes an object with one key, `$` and the name of its class, as
 * docs/cli.md lists them. A key of the data that begins with `$` gets another one, so that neither is taken for the other.
 *
 * @param data what a codec has decoded: of any class, and with cycles, where it is a codec of the application's own
 */
export const dataInJson = (data: unknown): unknown => shown(data, [])

const shown = (value: unknown, around: readonly object[]): unknown => {
  switch (typeof value) {
    case 'string':
    case 'boolean':
      return value
    case 'number':
      if (Object.is(value, -0)) return { $Number: '-0' }
      return Number.isFinite(value) ? value : { $Number: String(value) }
    case 'bigint':
      return { $BigInt: String(value) }
    case 'object':
      if (value === null) return null
      return around.includes(value) ? { $cycle: true } : shownObject(value, [...around, value])
    default:
      return { [`$${typeof value}`]: true }
  }
}

const shownObject = (value: object, around: readonly object[]): unknown => {
  const inside = (part: unknown): unknown => shown(part, around)
  const properties = (names: readonly string[]): object =>
    Object.fromEntries(
      names.map((name) => [name.startsWith('$') ? `$${name}` : name, inside(Reflect.get(value, name))]),
    )
  if (Array.isArray(value)) return Array.from(value, inside)
  if (isPlainObject(value)) return properties(Object.keys(value))
  const contents = (): unknown => {
    if (types.isDate(value)) return value.toJSON()
    if (types.isMap(value)) return Array.from(value, ([key, part]) => [inside(key), inside(part)])
    if (types.isSet(value)) return Array.from(value, inside)
    if (types.isRegExp(value)) return { source: value.source, flags: value.flags, lastIndex: value.lastIndex }
    if (types.isAnyArrayBuffer(value)) return Buffer.from(value).toString('base64')
    if (Buffer.isBuffer(value) || types.isDataView(value))
      return Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString('base64')
    if (types.isTypedArray(value)) return Array.from<number | bigint, unknown>(value, inside)
    // `message` and `cause` are not enumerable, and what `stack` tells is of the program that made the error.
    if (isError(value)) return properties(Object.getOwnPropertyNames(value).filter((name) => name !== 'stack'))
    return properties(Object.keys(value))
  }
  return { [`$${classOf(value)}`]: contents() }
}

/** By its prototype, as an error may have a property `constructor` of its own. What has no class is an object. */
const classOf = (value: object): string => {
  const { constructor: made } = Object.getPrototypeOf(value) as { readonly constructor?: unknown }
  return typeof made === 'function' ? made.name : 'Object'
}
