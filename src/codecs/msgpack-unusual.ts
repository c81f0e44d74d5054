import { bareError } from './unusual.js'

/**
 * What msgpack has no form for, or what msgpackr would bend, travels as an extension (type 110, `n`) that holds an array: a
 * kind, and the parts to build the value from.
 *
 * The kinds are part of the stored format. Add some; never change one.
 */
export const UNUSUAL_TYPE = 0x6e

export const NEGATIVE_ZERO = 0
/** Its bits vary with its origin; this way they do not. */
export const NOT_A_NUMBER = 1
/** UTF-16, little-endian. */
export const TEXT = 2
/** key, value, key, value, … */
export const OBJECT = 3
export const NULL_OBJECT = 4
/** class, then key, enumerable, value, … of every own property but `stack`. */
export const ERROR = 5
/** source, flags, lastIndex */
export const REGEXP = 6

/** The value that `parts` stand for. Throws on parts that no `Unusual` has. */
export const restore = (parts: unknown): unknown => {
  if (!Array.isArray(parts)) throw new Error('An unusual value has no parts')
  const [kind, ...rest] = parts as readonly unknown[]
  switch (kind) {
    case NEGATIVE_ZERO:
      return -0
    case NOT_A_NUMBER:
      return Number.NaN
    case TEXT:
      return restoreText(rest[0])
    case OBJECT:
      return restoreObject({}, rest)
    case NULL_OBJECT:
      return restoreObject(Object.create(null) as Record<string, unknown>, rest)
    case ERROR:
      return restoreError(rest)
    case REGEXP:
      return restoreRegExp(rest)
    default:
      throw new Error('An unusual value of an unknown kind')
  }
}

const restoreText = (bytes: unknown): string => {
  if (!Buffer.isBuffer(bytes) || bytes.length % 2 !== 0) throw new Error('A text without its bytes')
  return bytes.toString('utf16le')
}

const keyFrom = (key: unknown): string => {
  if (typeof key !== 'string' || key === '__proto__') throw new Error('A key that is none')
  return key
}

const restoreObject = (into: Record<string, unknown>, entries: readonly unknown[]): object => {
  if (entries.length % 2 !== 0) throw new Error('A key without a value')
  for (let index = 0; index < entries.length; index += 2) into[keyFrom(entries[index])] = entries[index + 1]
  return into
}

const restoreError = ([className, ...properties]: readonly unknown[]): Error => {
  const error = bareError(className)
  if (error === undefined || properties.length % 3 !== 0) throw new Error('An error of an unknown class')
  // AggregateError comes with `errors`, which stands among the properties if it is to be there.
  for (const key of Object.getOwnPropertyNames(error)) Reflect.deleteProperty(error, key)
  for (let index = 0; index < properties.length; index += 3) {
    const [key, enumerable, value] = properties.slice(index, index + 3)
    Object.defineProperty(error, keyFrom(key), {
      value,
      enumerable: enumerable === true,
      writable: true,
      configurable: true,
    })
  }
  return withStack(error, String(className))
}

/** The first line a stack would have: the frames were not stored, and those of the decoder would mislead. */
const withStack = (error: Error, className: string): Error => {
  const own = (key: string): unknown => Object.getOwnPropertyDescriptor(error, key)?.value
  const [name, message] = [own('name'), own('message')]
  const title = typeof name === 'string' ? name : className
  const value = typeof message === 'string' && message !== '' ? `${title}: ${message}` : title
  return Object.defineProperty(error, 'stack', { value, enumerable: false, writable: true, configurable: true })
}

const isIndex = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0

const restoreRegExp = ([source, flags, lastIndex]: readonly unknown[]): RegExp => {
  if (typeof source !== 'string' || typeof flags !== 'string' || !isIndex(lastIndex))
    throw new Error('A regular expression without its parts')
  const expression = new RegExp(source, flags)
  expression.lastIndex = lastIndex
  return expression
}
