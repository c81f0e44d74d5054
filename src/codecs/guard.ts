import { types } from 'node:util'
import type { EncodeLimits } from '../contract/codec.js'
import type { SessionStoreError } from '../errors.js'
import { indexStep, keyStep, mapKeyStep, mapValueStep, type Step, setStep } from './guard-path.js'
import {
  ACCESSOR,
  ARRAY_EXTRAS,
  cyclic,
  EXTRAS,
  FUNCTION,
  HIDDEN,
  HOLES,
  instanceOf,
  LAST_INDEX,
  NOT_IN_JSON,
  PROTO_KEY,
  RESIZABLE,
  type Refusal,
  refused,
  SHARED_MEMORY,
  SYMBOL,
  SYMBOL_KEY,
  TOO_DEEP,
  tooLarge,
  tooManyValues,
  UNREADABLE,
} from './guard-refusal.js'
import { ownPrototype, VIEW_CLASSES } from './realms.js'
import { isErrorClass } from './unusual.js'

/**
 * One look at everything a value holds: may it be stored, and if not, what stands in the way, and where? The msgpack codec
 * asks once it has met something that it cannot write, the json codec before it writes.
 *
 * Nothing is allocated for the way to an offender until there is one: each frame adds its own step while the
 * walk unwinds. No getter is ever run.
 */

/** How many objects, arrays, maps and sets may stand inside each other; the session's data itself is the first. */
export const MAX_DEPTH = 256

/** How many bytes the encoding of a value may have where nobody says it. */
export const USUAL_BYTES: number = 64 * 1024 * 1024

/**
 * How much is looked at before a value is given up that may still be small once it is encoded: characters, bytes, one for
 * every value and 32 for every object. It is there for shared references, of which forty nested pairs would else be a
 * million million values; this many are looked at within half a second.
 */
const LEAST_EFFORT = 64 * 1024 * 1024
const EFFORT_PER_OBJECT = 32

/** Names of properties are encoded once for many objects: so much more than its bytes does a value of records hold. */
const EFFORT_PER_BYTE = 16

const effortFor = (maxBytes: number | undefined): number =>
  maxBytes === undefined ? LEAST_EFFORT : Math.max(LEAST_EFFORT, EFFORT_PER_BYTE * maxBytes)

/** With more objects than these, a value is given up in any case. */
export const mostObjects = (maxBytes: number | undefined): number => effortFor(maxBytes) / EFFORT_PER_OBJECT

export type Dialect = 'msgpack' | 'json'

/**
 * @throws SessionStoreError `E_SESSION_DATA`, and `E_SESSION_TOO_LARGE` where it certainly comes to more than `maxBytes`, or
 *   holds more than `maxValues`
 */
export const examine = (value: unknown, dialect: Dialect, limits: Partial<EncodeLimits> = {}): void => {
  const walk = newWalk(dialect, limits)
  let fine: boolean
  try {
    // Keys and bigints are charged for when they have been met, so that the last of them is only noticed here.
    fine = visit(walk, value, 0) && hasRoom(walk)
  } catch (cause) {
    throw refused(UNREADABLE, [], cause)
  }
  if (!fine) throw complaint(walk)
}

/** For decoders: could this value have been encoded? */
export const isStorable = (value: unknown, dialect: Dialect): boolean =>
  visit(newWalk(dialect, { maxBytes: Number.POSITIVE_INFINITY }), value, 0)

interface Walk {
  readonly json: boolean
  readonly maxBytes: number
  readonly maxValues: number
  /** How many values more it may hold. */
  valuesLeft: number
  /** How many bytes more the encoding may have, counting no more than it will surely have. */
  bytesLeft: number
  /** How much more is looked at. */
  effortLeft: number
  refusal: Refusal | undefined
  /** Innermost first, both filled while unwinding: the steps to the offender, and the objects they start from. */
  readonly steps: Step[]
  readonly owners: object[]
}

const newWalk = (
  dialect: Dialect,
  { maxBytes, maxValues = Number.POSITIVE_INFINITY }: Partial<EncodeLimits>,
): Walk => ({
  json: dialect === 'json',
  maxBytes: maxBytes ?? USUAL_BYTES,
  maxValues,
  // The data itself is none of the values in it.
  valuesLeft: maxValues + 1,
  bytesLeft: maxBytes ?? USUAL_BYTES,
  effortLeft: effortFor(maxBytes),
  refusal: undefined,
  steps: [],
  owners: [],
})

/** Counts what takes so many bytes at least when it is encoded. */
const count = (walk: Walk, bytes: number): void => {
  walk.bytesLeft -= bytes
  walk.effortLeft -= bytes
}

const hasRoom = (walk: Walk): boolean => walk.bytesLeft >= 0 && walk.effortLeft >= 0 && walk.valuesLeft >= 0

/** False once something was refused: `walk.refusal` then says what, unless there is no room left. */
const visit = (walk: Walk, value: unknown, depth: number): boolean => {
  count(walk, 1)
  walk.valuesLeft -= 1
  if (!hasRoom(walk)) return false
  switch (typeof value) {
    case 'string':
      count(walk, value.length)
      if (!hasRoom(walk)) return false
      return true
    case 'number':
      return visitNumber(walk, value)
    case 'boolean':
      return true
    case 'object':
      return value === null || visitObject(walk, value, depth)
    case 'undefined':
      return walk.json ? refuse(walk, NOT_IN_JSON.undefined) : true
    case 'bigint':
      return visitBigInt(walk, value)
    case 'function':
      return refuse(walk, FUNCTION)
    case 'symbol':
      return refuse(walk, SYMBOL)
  }
}

const visitNumber = (walk: Walk, value: number): boolean => {
  if (value === 0) {
    if (!Object.is(value, -0)) return true
    return walk.json ? refuse(walk, NOT_IN_JSON.negativeZero) : true
  }
  return walk.json && !Number.isFinite(value) ? refuse(walk, NOT_IN_JSON.notFinite) : true
}

const WORD = 1n << 64n

const visitBigInt = (walk: Walk, value: bigint): boolean => {
  if (walk.json) return refuse(walk, NOT_IN_JSON.bigint)
  if (value >= WORD || value <= -WORD) count(walk, value.toString(16).length / 2)
  return true
}

const visitObject = (walk: Walk, value: object, depth: number): boolean => {
  if (depth >= MAX_DEPTH) return refuse(walk, TOO_DEEP)
  walk.effortLeft -= EFFORT_PER_OBJECT
  const prototype: unknown = Object.getPrototypeOf(value)
  if (prototype === Object.prototype) return visitRecord(walk, value, depth)
  if (prototype === Array.prototype && Array.isArray(value)) return visitArray(walk, value, depth)
  if (prototype === null) {
    if (walk.json) return refuse(walk, NOT_IN_JSON.nullPrototype)
    return visitRecord(walk, value, depth)
  }
  return visitOther(walk, value, prototype as object, depth)
}

/** What is no plain data of this realm: of another one, or a built-in object, or an instance of a class. */
const visitOther = (walk: Walk, value: object, prototype: object, depth: number): boolean => {
  const own = ownPrototype(prototype)
  if (own === Object.prototype) return visitRecord(walk, value, depth)
  if (own === Array.prototype && Array.isArray(value)) return visitArray(walk, value, depth)
  return walk.json ? refuse(walk, instanceOf(value, true)) : visitBuiltIn(walk, value, own, depth)
}

const visitRecord = (walk: Walk, value: object, depth: number): boolean => {
  let seen = 0
  // for-in and the two counts below cost a third of Reflect.ownKeys.
  for (const key in value) {
    const property = Object.getOwnPropertyDescriptor(value, key)
    // Somebody gave Object.prototype an enumerable property; it is not the session's.
    if (property === undefined) continue
    seen += 1
    countKey(walk, key)
    if (key === '__proto__') return refuse(walk, PROTO_KEY)
    if (property.writable === undefined) return refuseAt(walk, ACCESSOR, value, keyStep(key, seen - 1))
    if (!visit(walk, property.value, depth + 1)) return unwind(walk, value, keyStep(key, seen - 1))
  }
  if (Object.getOwnPropertyNames(value).length !== seen) return refuseHidden(walk, value)
  return Object.getOwnPropertySymbols(value).length === 0 || refuse(walk, SYMBOL_KEY)
}

/** msgpack may have written it already, for another object of the same shape. */
const countKey = (walk: Walk, key: string): void => {
  if (walk.json) count(walk, key.length)
  else walk.effortLeft -= key.length
}

const refuseHidden = (walk: Walk, value: object): boolean => {
  const names = Object.getOwnPropertyNames(value)
  const index = names.findIndex((key) => !Object.prototype.propertyIsEnumerable.call(value, key))
  const hidden = names[index]
  return hidden === undefined || hidden === '__proto__'
    ? refuse(walk, HIDDEN)
    : refuseAt(walk, HIDDEN, value, keyStep(hidden, index))
}

const visitArray = (walk: Walk, value: readonly unknown[], depth: number): boolean => {
  const { length } = value
  // Checked before its elements are looked at: `new Array(4e9)` costs nothing to make and minutes to walk.
  if (length > walk.valuesLeft) return giveUp(walk, 'valuesLeft')
  if (length > Math.min(walk.bytesLeft, walk.effortLeft)) return giveUp(walk, 'bytesLeft')
  for (let index = 0; index < length; index += 1) {
    const element: unknown = value[index]
    if (element === undefined && !Object.hasOwn(value, index)) return refuse(walk, HOLES)
    if (!visit(walk, element, depth + 1)) return unwind(walk, value, indexStep(index))
  }
  // One more than its elements, for `length`.
  if (Object.getOwnPropertyNames(value).length !== length + 1) return refuse(walk, ARRAY_EXTRAS)
  return Object.getOwnPropertySymbols(value).length === 0 || refuse(walk, ARRAY_EXTRAS)
}

const visitBuiltIn = (walk: Walk, value: object, prototype: unknown, depth: number): boolean => {
  if (isErrorClass(prototype)) return visitError(walk, value, depth)
  if (ArrayBuffer.isView(value)) return visitView(walk, value, prototype)
  // A prototype alone proves nothing: Object.create lends it to anything. Hence each kind has its own proof.
  switch (prototype) {
    case Date.prototype:
      return brandOf(value) === '[object Date]' ? visitBare(walk, value, 0) : refuse(walk, instanceOf(value, false))
    case Map.prototype:
      return visitMap(walk, value as Map<unknown, unknown>, depth)
    case Set.prototype:
      return visitSet(walk, value as Set<unknown>, depth)
    case RegExp.prototype:
      return visitRegExp(walk, value as RegExp)
    case ArrayBuffer.prototype:
      return visitArrayBuffer(walk, value as ArrayBuffer & { readonly resizable?: boolean })
    default:
      return refuse(walk, instanceOf(value, false))
  }
}

const brandOf = (value: object): string => Object.prototype.toString.call(value)

/** Own properties on a built-in would be lost; `expected` are those that belong there. */
const visitBare = (walk: Walk, value: object, expected: number): boolean =>
  Reflect.ownKeys(value).length === expected || refuse(walk, EXTRAS)

const sizeOfMap = Object.getOwnPropertyDescriptor(Map.prototype, 'size')?.get
const sizeOfSet = Object.getOwnPropertyDescriptor(Set.prototype, 'size')?.get

const visitMap = (walk: Walk, value: Map<unknown, unknown>, depth: number): boolean => {
  // Throws on what only claims to be a Map, and `examine` says so.
  sizeOfMap?.call(value)
  let index = 0
  for (const [key, entry] of value) {
    if (!visit(walk, key, depth + 1)) return unwind(walk, value, mapKeyStep(index))
    if (!visit(walk, entry, depth + 1)) return unwind(walk, value, mapValueStep(key, index))
    index += 1
  }
  return visitBare(walk, value, 0)
}

const visitSet = (walk: Walk, value: Set<unknown>, depth: number): boolean => {
  sizeOfSet?.call(value)
  let index = 0
  for (const member of value) {
    if (!visit(walk, member, depth + 1)) return unwind(walk, value, setStep(index))
    index += 1
  }
  return visitBare(walk, value, 0)
}

/** Its state is in slots that only a real RegExp has; `source` throws on anything else. */
const visitRegExp = (walk: Walk, value: RegExp): boolean => {
  count(walk, value.source.length)
  if (!Number.isSafeInteger(value.lastIndex) || value.lastIndex < 0 || Object.is(value.lastIndex, -0))
    return refuse(walk, LAST_INDEX)
  return visitBare(walk, value, 1)
}

/** The own properties are the error; only `stack` is left behind, and that may be a getter. */
const visitError = (walk: Walk, value: object, depth: number): boolean => {
  if (brandOf(value) !== '[object Error]') return refuse(walk, instanceOf(value, false))
  for (const [index, key] of Object.getOwnPropertyNames(value).entries()) {
    if (key === 'stack') continue
    if (key === '__proto__') return refuse(walk, PROTO_KEY)
    countKey(walk, key)
    const property = Object.getOwnPropertyDescriptor(value, key)
    if (property?.writable === undefined) return refuseAt(walk, ACCESSOR, value, keyStep(key, index))
    if (!visit(walk, property.value, depth + 1)) return unwind(walk, value, keyStep(key, index))
  }
  return Object.getOwnPropertySymbols(value).length === 0 || refuse(walk, SYMBOL_KEY)
}

const VIEWS: ReadonlyMap<unknown, string> = new Map<unknown, string>([
  [Buffer.prototype, '[object Uint8Array]'],
  ...VIEW_CLASSES.map(({ prototype, name }): [unknown, string] => [prototype, `[object ${name}]`]),
])

/** Names beside the bytes are not looked for: listing them would list every byte's index as well. */
const visitView = (walk: Walk, value: ArrayBufferView, prototype: unknown): boolean => {
  if (VIEWS.get(prototype) !== brandOf(value)) return refuse(walk, instanceOf(value, false))
  if (Object.hasOwn(value, 'constructor')) return refuse(walk, EXTRAS)
  if (!types.isArrayBuffer(value.buffer)) return refuse(walk, SHARED_MEMORY)
  count(walk, value.byteLength)
  return hasRoom(walk)
}

const visitArrayBuffer = (walk: Walk, value: ArrayBuffer & { readonly resizable?: boolean }): boolean => {
  if (value.resizable === true) return refuse(walk, RESIZABLE)
  // Throws on a detached one, which looks empty and is not.
  count(walk, new Uint8Array(value).length)
  return hasRoom(walk) && visitBare(walk, value, 0)
}

const refuse = (walk: Walk, refusal: Refusal): boolean => {
  walk.refusal = refusal
  return false
}

/** There is more than there is room for. */
const giveUp = (walk: Walk, room: 'bytesLeft' | 'valuesLeft'): boolean => {
  walk[room] = -1
  return false
}

const refuseAt = (walk: Walk, refusal: Refusal, owner: object, step: Step): boolean => {
  walk.refusal = refusal
  return unwind(walk, owner, step)
}

const unwind = (walk: Walk, owner: object, step: Step): boolean => {
  walk.owners.push(owner)
  walk.steps.push(step)
  return false
}

/** What came too deep may have gone in a circle: then the place where the circle closes is the offender. */
const complaint = (walk: Walk): SessionStoreError => {
  if (walk.refusal === undefined && walk.valuesLeft < 0) return tooManyValues(walk.maxValues)
  if (walk.refusal === undefined && !hasRoom(walk)) return tooLarge(walk.maxBytes)
  const steps = walk.steps.toReversed()
  const refusal = walk.refusal ?? UNREADABLE
  if (refusal !== TOO_DEEP) return refused(refusal, steps)
  const depthOf = new Map<object, number>()
  for (const [depth, owner] of walk.owners.toReversed().entries()) {
    const before = depthOf.get(owner)
    if (before !== undefined) return refused(cyclic(depth - before), steps.slice(0, depth))
    depthOf.set(owner, depth)
  }
  return refused(TOO_DEEP, steps)
}
