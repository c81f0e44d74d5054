import { TOO_DEEP } from '../../../src/codecs/guard-refusal.js'
import { jsonCodec, jsonLike, msgpackCodec } from '../../../src/codecs/index.js'
import type { Codec } from '../../../src/contract/codec.js'
import { isSessionStoreError } from '../../../src/errors.js'
import type { Chance } from '../chance.js'
import { anyBytes, mutatedJson, SECRET } from '../mutate.js'
import { assertEqual, Broken, type Target, targetOf } from '../target.js'

const SAMPLES: readonly unknown[] = [
  {
    user: { id: 7, name: SECRET },
    roles: ['admin', 'shop'],
    cart: [
      { id: 1, n: 2 },
      { id: 2, n: 3 },
    ],
  },
  { name: 'größer', list: Array.from({ length: 30 }, (_, at) => at * 1_000), nothing: null, empty: {} },
  [[[[[[[[['deep']]]]]]]]],
]

/** What only msgpack stores. */
const UNUSUAL: readonly unknown[] = [
  {
    at: new Date(1_700_000_000_123),
    roles: new Set(['a', SECRET]),
    carts: new Map<unknown, unknown>([
      ['k', { a: -0 }],
      [2, Number.NaN],
    ]),
    big: 1n << 70n,
    bytes: Buffer.from(SECRET),
    numbers: Float64Array.of(1, Number.NaN),
    error: new TypeError(SECRET, { cause: /a+/g }),
    odd: Object.assign(Object.create(null), { __keys__: '\ud800', undefined }),
  },
]

/** Where msgpack begins an array, a map, a record, an extension, a text, with lengths that are lies. */
const MSGPACK_TOKENS = [
  '91',
  '81',
  'dc7fff',
  'ddffffffff',
  'dfffffffff',
  'dbffffffff',
  'c6ffffffff',
  'c9ffffffff74',
  'd47240',
  'd473',
  'd46e00',
  'd8620000',
  'c1',
  '40',
  'a9',
  'cb7ff8000000000000',
  'c70042',
  'd6ffffffffff',
].map((hex) => Buffer.from(hex, 'hex'))
const JSON_TOKENS = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ',',
  ':',
  '\\u',
  '\\ud800',
  '1e999',
  '-0',
  'null',
  '{"__proto__":',
  '"toJSON":',
].map((text) => Buffer.from(text))

/** What is read can be written, to bytes that mean the same. Deeper than 256 levels nothing is written. */
const checkAgain =
  (codec: Codec) =>
  (value: unknown): void => {
    let bytes: Uint8Array
    try {
      bytes = codec.encode(value)
    } catch (error) {
      if (isSessionStoreError(error, 'E_SESSION_DATA') && error.message.includes(TOO_DEEP.found)) return
      throw error
    }
    assertEqual('what was read and written', codec.encode(codec.decode(bytes)), bytes)
  }

const decoding = (codec: Codec, samples: readonly unknown[], tokens: readonly Buffer[]): Target => {
  const encoded = samples.map((sample) => codec.encode(sample))
  return targetOf<Uint8Array, unknown>({
    name: codec.name,
    make: (chance) => anyBytes(chance, encoded, tokens),
    bytesOf: (bytes) => bytes,
    parse: (bytes) => codec.decode(bytes),
    check: checkAgain(codec),
    refuses: (error) =>
      error instanceof Error &&
      error.message.startsWith(`The bytes are damaged, or were not written by the ${codec.name} codec`),
    // The codecs would store it: what is cut short is seen by its class.
    cut: () => 'a function is no data',
    faults: {
      'gives what it cannot write': (parse) => (bytes) => {
        const value = parse(bytes)
        return typeof value === 'object' && value !== null && 'user' in value
          ? { ...value, [Symbol('x')]: 1, f() {} }
          : value
      },
    },
  })
}

export const msgpack = decoding(msgpackCodec, [...SAMPLES, ...UNUSUAL], MSGPACK_TOKENS)
export const json = decoding(jsonCodec, SAMPLES, JSON_TOKENS)

/** Beside what JSON has: what applications that come from such a store keep in their sessions. */
const oddValue = (chance: Chance): unknown =>
  chance.pick([
    () =>
      new (class Model {
        name = SECRET
      })(),
    () => ({ toJSON: () => ({ id: SECRET }) }),
    () => ({
      toJSON: () => {
        throw new TypeError(SECRET)
      },
    }),
    () =>
      Object.defineProperty({}, 'x', {
        enumerable: true,
        get: () => {
          throw new RangeError(SECRET)
        },
      }),
    () => {
      const circle: unknown[] = []
      circle.push(circle)
      return circle
    },
    () => () => SECRET,
    () => Symbol(SECRET),
    () => new URL(`http://u:${SECRET}@h/`),
    () =>
      new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error(SECRET)
          },
        },
      ),
    () => new Array(3),
    () => Object.create({ inherited: 1 }),
    () => new SharedArrayBuffer(4),
    () => Promise.resolve(1),
    () => new WeakMap(),
    () => new Date(Number.NaN),
    () => 10n ** 50n,
  ])()

const withOdd = (chance: Chance, value: unknown): unknown => {
  if (typeof value !== 'object' || value === null || chance.oneIn(3)) return oddValue(chance)
  const names = Object.keys(value)
  const name = names.length === 0 ? 'x' : chance.pick(names)
  // A frozen or odd object stays as it is.
  Reflect.set(value, name, withOdd(chance, Reflect.get(value, name)))
  return value
}

const like = jsonLike()

/** The codec for what JSON kept: it is given values, and its parser is what finds its way through them. */
export const jsonLikeTarget = targetOf<unknown, Uint8Array>({
  name: 'json-like',
  make: (chance) => {
    const value = mutatedJson(chance, chance.pick(SAMPLES))
    return chance.oneIn(2) ? value : withOdd(chance, value)
  },
  bytesOf: (value) => {
    try {
      return Buffer.from(JSON.stringify(value) ?? typeof value)
    } catch {
      return Buffer.from('what JSON cannot write')
    }
  },
  parse: (value) => like.encode(value),
  check: (bytes) => {
    if (!(bytes instanceof Uint8Array)) throw new Broken('it gives no bytes')
    assertEqual('what was written and read', like.encode(like.decode(bytes)), bytes)
  },
  // A getter or `toJSON` of the application throws what it likes.
  hasForeignCauses: true,
  cut: 'no bytes' as unknown as Uint8Array,
  faults: {
    'writes half of it': (parse) => (value) => {
      const bytes = parse(value)
      return bytes.length > 20 ? bytes.subarray(0, bytes.length - 1) : bytes
    },
  },
})
