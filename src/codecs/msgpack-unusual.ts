import { types } from 'node:util'
import { ownPrototype } from './realms.js'
import { bareError, errorClassOf, isUnusualKey, isUnusualText } from './unusual.js'

/**
 * The way round for what msgpackr would bend: such a value is replaced by an `Unusual`, which travels as an
 * extension (type 110, `n`) holding an array: a kind, and the parts to build the value from.
 *
 * The kinds are part of the stored format. Add some; never change one.
 */
const NEGATIVE_ZERO = 0
/** Its bits vary with its origin; this way they do not. */
const NOT_A_NUMBER = 1
/** UTF-16, little-endian. */
const TEXT = 2
/** key, value, key, value, … */
const OBJECT = 3
const NULL_OBJECT = 4
/** class, then key, enumerable, value, … of every own property but `stack`. */
const ERROR = 5
/** source, flags, lastIndex */
const REGEXP = 6

export const UNUSUAL_TYPE = 0x6e

export class Unusual {
  readonly parts: readonly unknown[]
  constructor(...parts: readonly unknown[]) {
    this.parts = parts
  }
}

/** A copy with every unusual value replaced. The value must have passed the guard. */
export const substitute = (value: unknown): unknown => {
  switch (typeof value) {
    case 'string':
      return isUnusualText(value) ? new Unusual(TEXT, Buffer.from(value, 'utf16le')) : value
    case 'number':
      if (value === 0 && Object.is(value, -0)) return new Unusual(NEGATIVE_ZERO)
      return Number.isNaN(value) ? new Unusual(NOT_A_NUMBER) : value
    case 'object':
      return value === null ? null : substituteObject(value)
    default:
      return value
  }
}

const substituteObject = (value: object): unknown => {
  const prototype = Object.getPrototypeOf(value) as object | null
  const own = ownPrototype(prototype)
  switch (own) {
    case Array.prototype:
      return (value as unknown[]).map(substitute)
    case Map.prototype:
      return new Map([...(value as Map<unknown, unknown>)].map(([key, entry]) => [substitute(key), substitute(entry)]))
    case Set.prototype:
      return new Set([...(value as Set<unknown>)].map(substitute))
    case RegExp.prototype:
      return substituteRegExp(value as RegExp)
    case null:
      return new Unusual(NULL_OBJECT, ...flatEntries(value))
    case Object.prototype:
      if (Object.keys(value).some(isUnusualKey)) return new Unusual(OBJECT, ...flatEntries(value))
      return Object.fromEntries(Object.entries(value).map(([key, entry]) => [key, substitute(entry)]))
    default:
      if (types.isNativeError(value)) return substituteError(value, own)
      return own === prototype ? value : broughtHome(value, own)
  }
}

/** The same Date or bytes, made by this realm's classes. */
const broughtHome = (value: object, own: object | null): unknown => {
  if (types.isDate(value)) return new Date(Date.prototype.getTime.call(value))
  if (types.isArrayBuffer(value)) return new Uint8Array(value).slice().buffer
  const { buffer, byteOffset, byteLength } = value as ArrayBufferView
  const bytes = new Uint8Array(buffer, byteOffset, byteLength).slice().buffer
  const { constructor: Class } = own as { readonly constructor: new (bytes: ArrayBuffer) => ArrayBufferView }
  return new Class(bytes)
}

const flatEntries = (value: object): unknown[] =>
  Object.entries(value).flatMap(([key, entry]) => [substitute(key), substitute(entry)])

const substituteRegExp = ({ source, flags, lastIndex }: RegExp): Unusual =>
  new Unusual(REGEXP, substitute(source), flags, lastIndex)

const substituteError = (error: Error, prototype: unknown): Unusual =>
  new Unusual(
    ERROR,
    errorClassOf(prototype),
    ...Object.entries(Object.getOwnPropertyDescriptors(error))
      .filter(([key]) => key !== 'stack')
      .flatMap(([key, { enumerable, value }]) => [substitute(key), enumerable, substitute(value)]),
  )

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
