import { SessionStoreError } from '../errors.js'
import { pathOf, placeOf, type Step } from './guard-path.js'

/** Why a value cannot be stored: what was met, in words that hold none of its content, and what to do instead. */
export interface Refusal {
  readonly found: string
  readonly instead: string
}

const PLAIN = 'store its plain data (an object literal, an array, a Date, a Map) and rebuild it after loading'
const AS_TEXT = 'store a string or a number made from it, or use msgpackCodec'

export const FUNCTION: Refusal = { found: 'a function', instead: 'store the data it works on and keep it in code' }
export const SYMBOL: Refusal = { found: 'a symbol', instead: 'store a string' }
export const SYMBOL_KEY: Refusal = { found: 'an object with a symbol as a key', instead: 'use a string as the key' }
export const PROTO_KEY: Refusal = {
  found: 'an object with an own key "__proto__"',
  instead: 'use another key or a Map',
}
export const ACCESSOR: Refusal = { found: 'a getter or setter', instead: 'store the value as a plain property' }
export const HIDDEN: Refusal = {
  found: 'a property that is not enumerable',
  instead: 'make it an ordinary property, or leave it out',
}
export const HOLES: Refusal = { found: 'an array with holes', instead: 'fill them, with null for example' }
export const ARRAY_EXTRAS: Refusal = {
  found: 'an array with properties beside its elements',
  instead: 'use an object that holds the array and them',
}
export const EXTRAS: Refusal = {
  found: 'a built-in object with properties of its own',
  instead: 'use an object that holds it and them',
}
export const LAST_INDEX: Refusal = {
  found: 'a RegExp whose lastIndex is no whole number',
  instead: 'set its lastIndex to 0',
}
export const SHARED_MEMORY: Refusal = {
  found: 'memory that is shared with other threads',
  instead: 'store a copy of the bytes',
}
export const RESIZABLE: Refusal = { found: 'a resizable ArrayBuffer', instead: 'store a copy of fixed length' }
export const TOO_DEEP: Refusal = { found: 'objects nested too deeply', instead: 'store a flatter structure' }
export const UNREADABLE: Refusal = {
  found: 'something that fails when it is read',
  instead: 'look at `cause`; a detached buffer, a proxy or a getter can be the reason',
}

type Unjson = 'undefined' | 'bigint' | 'notFinite' | 'negativeZero' | 'nullPrototype'

export const NOT_IN_JSON: Readonly<Record<Unjson, Refusal>> = {
  undefined: { found: 'undefined', instead: 'leave the key out, store null, or use msgpackCodec' },
  bigint: { found: 'a bigint', instead: AS_TEXT },
  notFinite: { found: 'a number that is NaN or infinite', instead: 'store null, or use msgpackCodec' },
  negativeZero: { found: 'negative zero', instead: 'store 0, or use msgpackCodec' },
  nullPrototype: { found: 'an object without a prototype', instead: 'use an object literal, or use msgpackCodec' },
}

/** @param levels how many steps lead from the object that is referred to down to the reference */
export const cyclic = (levels: number): Refusal => ({
  found: `a reference back to an object that it stands in, ${levels} ${levels === 1 ? 'level' : 'levels'} further up`,
  instead: 'store an id in place of the object',
})

export const instanceOf = (value: object, inJson: boolean): Refusal => ({
  found: `an instance of ${classOf(value)}`,
  instead: inJson ? AS_TEXT : PLAIN,
})

/** The class's name as the code declares it; read without running a getter. */
const classOf = (value: object): string => {
  const declared = Object.getOwnPropertyDescriptor(Object.getPrototypeOf(value) ?? {}, 'constructor')?.value as unknown
  if (typeof declared !== 'function') return 'a class without a name'
  const name = Object.getOwnPropertyDescriptor(declared, 'name')?.value as unknown
  if (typeof name !== 'string' || name === '') return 'a class without a name'
  // An object literal used as a prototype has Object's constructor: "an instance of Object" would help nobody.
  return name === 'Object' ? 'a class without a name' : `the class ${name.slice(0, 60)}`
}

/** It holds more than it may, wherever that stands. */
export const tooLarge = (maxBytes: number): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_TOO_LARGE',
    `Expected session data of at most ${maxBytes} bytes, got more, counting an object once for each place that refers to it: store less, and large or shared things elsewhere under an id`,
    { path: pathOf([]) },
  )

/** It holds more values than it may, wherever they stand. */
export const tooManyValues = (maxValues: number): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_TOO_LARGE',
    `Expected session data of at most ${maxValues} values, got more, counting an object once for each place that refers to it: store less, and large or shared things elsewhere under an id`,
    { path: pathOf([]) },
  )

export const refused = (refusal: Refusal, steps: readonly Step[], cause?: unknown): SessionStoreError => {
  const where =
    steps.length === 0
      ? 'the data itself'
      : `in the data, by positions from 0: ${placeOf(steps)}; \`path\` of this error has the names`
  return new SessionStoreError(
    'E_SESSION_DATA',
    `The data holds ${refusal.found}, which cannot be stored in a session: ${refusal.instead} (${where})`,
    { path: pathOf(steps), ...(cause === undefined ? {} : { cause }) },
  )
}
