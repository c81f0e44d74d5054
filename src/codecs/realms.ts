/**
 * What was made in another realm: in a `vm` context, or, where Jest runs the application, by all that Node itself gives
 * (`fetch().json()`, `structuredClone()`). Such data is plain data; only its prototypes are other objects than ours.
 */
import { types } from 'node:util'
import { ERROR_CLASSES } from './unusual.js'

/** The classes of what looks at the bytes of an ArrayBuffer, Node's own Buffer left out. */
export const VIEW_CLASSES: readonly { readonly name: string; readonly prototype: object }[] = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
  BigInt64Array,
  BigUint64Array,
  DataView,
]

const KINDS: readonly { readonly name: string; readonly prototype: object }[] = [
  Object,
  Array,
  Date,
  Map,
  Set,
  RegExp,
  ArrayBuffer,
  ...VIEW_CLASSES,
  ...ERROR_CLASSES,
  AggregateError,
]

const OURS: ReadonlyMap<string, object> = new Map(KINDS.map(({ name, prototype }) => [name, prototype]))

/** Prototypes of what the codecs keep exactly, beside plain objects and arrays. */
export const BUILT_INS: ReadonlySet<object | null> = new Set<object | null>([
  ...KINDS.map(({ prototype }) => prototype).filter((each) => each !== Object.prototype && each !== Array.prototype),
  Buffer.prototype,
])

/** How a class that the language brings along shows itself; no class of a program can. */
const NATIVE = /^function (\w+)\(\) \{ \[native code\] \}$/

/**
 * Our own prototype in place of the same one of another realm; any other prototype as it is. Runs no getter.
 *
 * Costs a little, so it is asked only about what no prototype of ours explains.
 */
export const ownPrototype = (prototype: object | null): object | null => {
  if (prototype === null || prototype === Object.prototype || prototype === Array.prototype) return prototype
  const declared = Object.getOwnPropertyDescriptor(prototype, 'constructor')?.value as unknown
  if (typeof declared !== 'function' || declared.prototype !== prototype) return prototype
  const name = NATIVE.exec(Function.prototype.toString.call(declared))?.[1]
  return (name === undefined ? undefined : OURS.get(name)) ?? prototype
}

/**
 * A Date or bytes as this realm's classes would have made them.
 *
 * @param own `ownPrototype` of its prototype
 */
export const broughtHome = (value: object, own: object | null): unknown => {
  if (Object.getPrototypeOf(value) === own) return value
  if (types.isDate(value)) return new Date(Date.prototype.getTime.call(value))
  if (types.isArrayBuffer(value)) return new Uint8Array(value).slice().buffer
  const { buffer, byteOffset, byteLength } = value as ArrayBufferView
  const bytes = new Uint8Array(buffer, byteOffset, byteLength).slice().buffer
  const { constructor: Class } = own as { readonly constructor: new (bytes: ArrayBuffer) => ArrayBufferView }
  return new Class(bytes)
}
