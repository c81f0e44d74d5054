import { types } from 'node:util'
import { addExtension, Packr, RESET_BUFFER_MODE, Unpackr } from 'msgpackr/index-no-eval'
import {
  ERROR,
  NEGATIVE_ZERO,
  NOT_A_NUMBER,
  NULL_OBJECT,
  OBJECT,
  REGEXP,
  restore,
  TEXT,
  UNUSUAL_TYPE,
} from '../../src/codecs/msgpack-unusual.js'
import { ownPrototype } from '../../src/codecs/realms.js'
import { errorClassOf, isUnusualKey, isUnusualText } from '../../src/codecs/unusual.js'

/**
 * How the first release wrote and read a session: msgpackr did all of it, but for what it would have bent, which was
 * replaced beforehand. Sessions that it wrote are read for as long as they live, and while a deploy goes on it reads what is
 * written now.
 */

class Unusual {
  readonly parts: readonly unknown[]
  constructor(...parts: readonly unknown[]) {
    this.parts = parts
  }
}

/** A copy with every unusual value replaced. The value must have passed the guard. */
const substitute = (value: unknown): unknown => {
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

addExtension({ Class: Unusual, type: UNUSUAL_TYPE, write: ({ parts }) => parts, read: restore })

const packr = new Packr({ moreTypes: true, useToJSON: false })
const unpackr = new Unpackr({ moreTypes: true, mapsAsObjects: false, copyBuffers: true, structuredClone: false })

/** @param value what the guard accepts */
export const written = (value: unknown): Uint8Array => new Uint8Array(packr.pack(substitute(value), RESET_BUFFER_MODE))

export const read = (bytes: Uint8Array): unknown => unpackr.unpack(Buffer.from(bytes))
