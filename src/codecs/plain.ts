import { types } from 'node:util'
import { isSessionStoreError } from '../errors.js'
import { indexStep, keyStep, mapKeyStep, type Step, setStep } from './guard-path.js'
import { cyclic, FUNCTION, refused, SYMBOL, TOO_DEEP, UNREADABLE } from './guard-refusal.js'
import { BUILT_INS, ownPrototype } from './realms.js'
import { bareError, errorClassOf } from './unusual.js'

/** One more than the guard lets stand inside each other, so that the guard says what is wrong. */
const DEEPEST = 257
/** The guard refuses a longer array before it looks at its elements. */
const LONGEST_ARRAY = 64 * 1024 * 1024

/** One walk over a value. */
interface Walk {
  /** What became of each object that the walk is done with. */
  readonly made: Map<object, unknown>
  /** The objects around the present one, and the steps from one to the next. */
  readonly around: object[]
  readonly steps: (() => Step)[]
}

/** What JSON leaves out, as it does functions: a property goes, and an element becomes null. */
const NOTHING: unique symbol = Symbol('nothing')

/**
 * A value as JSON would have stored it, but for what the codecs keep exactly, wherever it stands. What is given is not
 * changed; what is returned shares parts with it.
 *
 * @throws SessionStoreError `E_SESSION_DATA`, with the path, for a cycle, for what throws when it is read, and for a value
 *   of which JSON would have left nothing
 */
export const plainOf = (value: unknown): unknown => {
  const walk: Walk = { made: new Map(), around: [], steps: [] }
  try {
    const plain = convert(walk, value, '')
    // What is left out of an object can be no whole session: it would be stored as nothing.
    if (plain === NOTHING) throw refused(typeof value === 'symbol' ? SYMBOL : FUNCTION, [])
    return plain
  } catch (error) {
    throw isSessionStoreError(error, 'E_SESSION_DATA') ? error : refused(UNREADABLE, stepsOf(walk), error)
  }
}

const stepsOf = ({ steps }: Walk): readonly Step[] => steps.map((step) => step())

const convert = (walk: Walk, value: unknown, key: string): unknown => {
  if (typeof value === 'symbol') return NOTHING
  if (typeof value === 'function') return 'toJSON' in value ? convertObject(walk, value, key) : NOTHING
  return typeof value === 'object' && value !== null ? convertObject(walk, value, key) : value
}

const convertStep = (walk: Walk, value: unknown, key: string, step: () => Step): unknown => {
  walk.steps.push(step)
  const plain = convert(walk, value, key)
  walk.steps.pop()
  return plain
}

const convertObject = (walk: Walk, value: object, key: string): unknown => {
  const { made, around } = walk
  if (made.has(value)) return made.get(value)
  const place = around.indexOf(value)
  if (place >= 0) throw refused(cyclic(walk.steps.length - place), stepsOf(walk))
  if (around.length > DEEPEST) throw refused(TOO_DEEP, stepsOf(walk))
  around.push(value)
  const plain = asItIs(walk, value) ?? asItSays(walk, value, key)
  around.pop()
  made.set(value, plain)
  return plain
}

/** What becomes of an object that is asked by `toJSON` what to store, and of any other that is no built-in one. */
const asItSays = (walk: Walk, value: object, key: string): unknown => {
  const { toJSON } = value as { readonly toJSON?: unknown }
  if (typeof toJSON === 'function') {
    const said = toJSON.call(value, key) as unknown
    // As with JSON, what it says is not asked in its turn.
    return typeof said === 'object' && said !== null
      ? (asItIs(walk, said) ?? inParts(walk, said))
      : convert(walk, said, key)
  }
  if (typeof value === 'function') return NOTHING
  return types.isBoxedPrimitive(value) && !types.isSymbolObject(value) ? value.valueOf() : inParts(walk, value)
}

const inParts = (walk: Walk, value: object): unknown => {
  if (Array.isArray(value)) {
    if (value.length > LONGEST_ARRAY) return value
    return Array.from(value as unknown[], (element, index) => {
      const plain = index in value ? convertStep(walk, element, String(index), () => indexStep(index)) : NOTHING
      return plain === NOTHING ? null : plain
    })
  }
  const prototype = ownPrototype(Object.getPrototypeOf(value) as object | null)
  const isPlain = prototype === null || prototype === Object.prototype
  const entries: [string, unknown][] = []
  for (const [index, key] of Object.keys(value).entries()) {
    const plain = convertStep(walk, (value as Record<string, unknown>)[key], key, () => keyStep(key, index))
    // JSON leaves undefined out; it stays where the codecs keep it, in plain data.
    if (plain !== NOTHING && (isPlain || plain !== undefined)) entries.push([key, plain])
  }
  // Not by assignment: an own `__proto__` must stay one, for the guard to refuse.
  const made = Object.fromEntries(entries)
  return prototype === null ? Object.setPrototypeOf(made, null) : made
}

/** What the codecs keep exactly, without properties that are no part of it; `undefined` for anything else. */
const asItIs = (walk: Walk, value: object): unknown => {
  const kind = builtInOf(value)
  if (kind === undefined) return undefined
  if (types.isMap(value)) {
    const entries = [...Map.prototype.entries.call(value)].map(([key, entry], index) => [
      convertStep(walk, key, '', () => mapKeyStep(index)),
      convertStep(walk, entry, '', () => setStep(index)),
    ])
    return new Map(entries.filter((entry) => !entry.includes(NOTHING)) as [unknown, unknown][])
  }
  if (types.isSet(value)) {
    const members = [...Set.prototype.values.call(value)]
    const plain = members.map((member, index) => convertStep(walk, member, '', () => setStep(index)))
    return new Set(plain.filter((member) => member !== NOTHING))
  }
  if (types.isDate(value)) return new Date(Date.prototype.getTime.call(value))
  if (types.isRegExp(value)) return Object.assign(new RegExp(value.source, value.flags), { lastIndex: value.lastIndex })
  if (types.isNativeError(value)) return errorAsItIs(walk, value, kind)
  return bytesAsTheyAre(value, kind)
}

const errorAsItIs = (walk: Walk, error: Error, kind: object): unknown => {
  const made = bareError(errorClassOf(kind)) ?? new Error()
  for (const key of Object.getOwnPropertyNames(made)) Reflect.deleteProperty(made, key)
  for (const [index, [key, property]] of Object.entries(Object.getOwnPropertyDescriptors(error)).entries()) {
    const given = key === 'stack' ? undefined : (error as unknown as Record<string, unknown>)[key]
    const value = convertStep(walk, given, key, () => keyStep(key, index))
    if (key !== 'stack' && value !== NOTHING)
      Object.defineProperty(made, key, { value, enumerable: property.enumerable === true, writable: true })
  }
  return made
}

const bytesAsTheyAre = (value: object, kind: object): unknown => {
  if (Object.getPrototypeOf(value) === kind || types.isArrayBuffer(value)) return value
  const { buffer, byteOffset, byteLength } = value as ArrayBufferView
  const { constructor: Class } = kind as { readonly constructor: new (bytes: ArrayBuffer) => ArrayBufferView }
  return new Class(new Uint8Array(buffer, byteOffset, byteLength).slice().buffer)
}

/**
 * The prototype of what the codecs keep exactly, also for an instance of a class that extends it: unless the object or
 * its class has a `toJSON` of its own.
 */
const builtInOf = (value: object): object | undefined => {
  if (Object.hasOwn(value, 'toJSON')) return undefined
  for (let at = prototypeOf(value); at !== null; at = prototypeOf(at)) {
    const own = ownPrototype(at)
    if (own === null || own === Object.prototype || own === Array.prototype) return undefined
    // A prototype alone proves nothing: `Object.create` lends it to anything.
    if (BUILT_INS.has(own)) return BRANDS.some((isOne) => isOne(value)) ? own : undefined
    if (Object.hasOwn(at, 'toJSON')) return undefined
  }
  return undefined
}

const prototypeOf = (value: object): object | null => Object.getPrototypeOf(value) as object | null

const BRANDS: readonly ((value: unknown) => boolean)[] = [
  types.isDate,
  types.isMap,
  types.isSet,
  types.isRegExp,
  types.isNativeError,
  types.isArrayBuffer,
  ArrayBuffer.isView,
]
