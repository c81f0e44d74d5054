import assert from 'node:assert/strict'
import type { Codec } from '../../contract/codec.js'
import type { Rule } from './rule.js'

const sample = (): { user: { id: number; name: string }; cart: { sku: string; price: number }[]; note: string } => ({
  user: { id: 123_456, name: 'Jane' },
  cart: [
    { sku: 'A-1', price: 1.25 },
    { sku: 'B-2', price: 3 },
  ],
  note: 'hunter2 '.repeat(20),
})

/** Either a value or an error: never a crash, and never a changed prototype. */
const readsOrThrows = (codec: Codec, bytes: Uint8Array): unknown => {
  let value: unknown
  try {
    value = codec.decode(bytes)
  } catch (error) {
    assert.ok(error instanceof Error)
  }
  assert.equal(Reflect.get({}, 'polluted'), undefined)
  return value
}

/** Small, repeatable and good enough to make rubbish with. */
const rubbish = (seed: number): (() => number) => {
  let state = seed
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    return state >>> 24
  }
}

/** The same value is the same bytes, and nothing but those bytes is ever read. */
export const READING: readonly Rule[] = [
  {
    title: 'has a name in lower case and an id from 1 to 255',
    run: ({ name, id }) => {
      assert.match(name, /^[a-z][a-z0-9-]*$/)
      assert.ok(Number.isInteger(id) && id >= 1 && id <= 255)
    },
  },
  {
    title: 'the same value gives the same bytes, and so does what was decoded from them',
    run: (codec) => {
      const bytes = codec.encode(sample())
      assert.deepStrictEqual(codec.encode(sample()), bytes)
      assert.deepStrictEqual(codec.encode(codec.decode(bytes)), bytes)
    },
  },
  {
    title: 'an object that is referred to twice comes back as two equal ones',
    run: (codec) => {
      const shared = { a: [1] }
      const decoded = codec.decode(codec.encode({ first: shared, second: shared })) as Record<string, unknown>
      assert.deepStrictEqual(decoded, { first: { a: [1] }, second: { a: [1] } })
      assert.notEqual(decoded['first'], decoded['second'])
    },
  },
  {
    title: 'encoded bytes are not changed by later calls, nor by a change of what was encoded',
    run: (codec) => {
      const value = sample()
      const bytes = codec.encode(value)
      const copy = Uint8Array.from(bytes)
      value.user.name = 'changed'
      for (let turn = 0; turn < 100; turn += 1) codec.encode([value, turn])
      assert.deepStrictEqual(Uint8Array.from(bytes), copy)
    },
  },
  {
    title: 'encoded bytes stand alone in their buffer, apart from what was encoded before',
    run: (codec) => {
      codec.encode(sample())
      const bytes = codec.encode({ a: 1 })
      assert.equal(bytes.buffer.byteLength, bytes.byteLength)
    },
  },
  {
    title: 'two calls of decode give two values',
    run: (codec) => {
      const bytes = codec.encode(sample())
      const first = codec.decode(bytes) as ReturnType<typeof sample>
      first.user.name = 'changed'
      assert.deepStrictEqual(codec.decode(bytes), sample())
    },
  },
  {
    title: 'a decoded value does not change with the bytes it was read from, nor they with it',
    run: (codec) => {
      // A part of a larger piece of memory, as a driver hands it out.
      const encoded = codec.encode(sample())
      const memory = new Uint8Array(encoded.length + 20).fill(0x7f)
      memory.set(encoded, 10)
      const decoded = codec.decode(memory.subarray(10, 10 + encoded.length))
      assert.deepStrictEqual(memory.subarray(10, 10 + encoded.length), encoded)
      memory.fill(0)
      assert.deepStrictEqual(decoded, sample())
    },
  },
  {
    title: 'every truncation throws, and so does nothing at all',
    run: (codec) => {
      const bytes = codec.encode(sample())
      for (let length = 0; length < bytes.length; length += 1)
        assert.throws(() => codec.decode(bytes.subarray(0, length)), Error, `${length} of ${bytes.length} bytes`)
    },
  },
  {
    title: 'bytes after the value throw',
    run: (codec) => {
      const bytes = codec.encode(sample())
      for (const extra of [[1], [0], [0xc0], [...bytes]])
        assert.throws(() => codec.decode(Uint8Array.from([...bytes, ...extra])), Error)
    },
  },
  {
    title: 'an error of decode quotes nothing of what it read',
    run: (codec) => {
      // At the front, as a message that quotes quotes the beginning.
      const bytes = codec.encode({ password: 'hunter2', rest: sample() })
      for (const damaged of [bytes.subarray(0, -1), Uint8Array.from([...bytes, 1])])
        assert.throws(
          () => codec.decode(damaged),
          (error: Error) => !`${error.stack} ${JSON.stringify(error)} ${String(error.cause)}`.includes('hunter2'),
        )
    },
  },
  {
    title: 'single flipped bits never crash it, and leave it working',
    run: (codec) => {
      const bytes = codec.encode(sample())
      for (let bit = 0; bit < bytes.length * 8; bit += 1) {
        const flipped = Uint8Array.from(bytes)
        flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        readsOrThrows(codec, flipped)
      }
      assert.deepStrictEqual(codec.decode(bytes), sample())
    },
  },
  {
    title: 'rubbish never crashes it, and leaves it working',
    run: (codec) => {
      const bytes = codec.encode(sample())
      for (let seed = 0; seed < 5_000; seed += 1) {
        const next = rubbish(seed)
        readsOrThrows(codec, Uint8Array.from({ length: 1 + (next() % 64) }, next))
      }
      assert.deepStrictEqual(codec.decode(bytes), sample())
      assert.deepStrictEqual(codec.encode(sample()), bytes)
    },
  },
  {
    title: 'a __proto__ key that was written into the bytes reaches no prototype',
    run: (codec) => {
      const honest = { __prxtx__: { polluted: true }, list: [{ __prxtx__: { polluted: true } }] }
      const bytes = Buffer.from(
        Buffer.from(codec.encode(honest)).toString('latin1').replaceAll('__prxtx__', '__proto__'),
        'latin1',
      )
      const value = readsOrThrows(codec, bytes)
      if (typeof value !== 'object' || value === null) return
      assert.equal(Object.getPrototypeOf(value), Object.prototype)
      assert.equal(Reflect.get(value, 'polluted'), undefined)
    },
  },
]
