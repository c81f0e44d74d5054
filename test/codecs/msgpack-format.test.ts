import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import { writeValue } from '../../src/codecs/msgpack-write.js'
import { mulberry32 } from '../support/mulberry32.js'
import { seed } from '../support/seed.js'
import { anyJsonData, anySessionData } from './any-session-data.js'
import { read, written } from './first-release.js'

const again = process.env['FC_SEED'] === undefined ? {} : { seed: Number(process.env['FC_SEED']) }

const session = (): Record<string, unknown> => ({
  user: { id: 7, name: 'größer', roles: new Set(['admin']), since: new Date(1_700_000_000_123) },
  cart: new Map([['a', { count: 2, price: 12.5 }]]),
  views: [1, -1, 300, -300, 70_000, -70_000, 2 ** 32, -(2 ** 40), 0.1, Number.POSITIVE_INFINITY],
  picture: Buffer.from('bytes'),
  visits: 12n,
  note: 'A text of more than thirty-one characters',
  nothing: [undefined, null, true, false, '', {}, []],
})

describe('Every release, the first one included,', () => {
  test('writes the same bytes, and reads what the others write', () => {
    const property = fc.property(fc.oneof(anySessionData, anyJsonData), (value) => {
      const bytes = msgpackCodec.encode(value)
      assert.deepStrictEqual(bytes, written(value))
      assert.deepStrictEqual(read(bytes), value)
      assert.deepStrictEqual(msgpackCodec.decode(written(value)), value)
    })
    fc.assert(property, { numRuns: 2_000, ...again })
  })

  test('does so with a usual session', () => {
    expect(msgpackCodec.encode(session())).toEqual(written(session()))
    expect(msgpackCodec.decode(written(session()))).toStrictEqual(session())
  })

  test.each([
    [
      'numbers around the ends of each length',
      [31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 32 - 1, 2 ** 32],
    ],
    ['the same below zero', [-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1]],
    ['texts of each length of head', [0, 1, 12, 13, 31, 32, 255, 256, 65_535, 65_536].map((size) => 'x'.repeat(size))],
    ['texts that grow by their encoding', [10, 31, 32, 100, 127, 128, 255, 30_000].map((size) => 'ü€😀'.repeat(size))],
    ['arrays of each length of head', [0, 15, 16, 65_535, 65_536].map((length) => new Array<number>(length).fill(1))],
    [
      'Maps of each length of head',
      [0, 15, 16, 70_000].map((size) => new Map(new Array(size).fill(0).map((_, at) => [at, 1]))),
    ],
    ['very many keys', Object.fromEntries(new Array(70_000).fill(0).map((_, at) => [`key${at}`, at]))],
    ['a very long key', { ['k'.repeat(70_000)]: 1 }],
    ['many keys', Object.fromEntries(new Array(300).fill(0).map((_, at) => [`key${at}`, at]))],
    ['long keys', { ['k'.repeat(31)]: 1, ['k'.repeat(32)]: 2, ['ü'.repeat(300)]: 3, '': 4, '0': 5 }],
    [
      'more shapes than have names',
      new Array(200).fill(0).map((_, at) => ({ [`k${at % 70}`]: at, z: [{ [`l${at % 3}`]: 1 }] })),
    ],
  ])('writes and reads alike: %s', (_, value) => {
    expect(Buffer.compare(msgpackCodec.encode(value), written(value))).toBe(0)
    assert.deepStrictEqual(msgpackCodec.decode(written(value)), value)
  })

  test('reads damaged bytes alike, where it takes them for a session at all', () => {
    const next = mulberry32(seed)
    const bytes = written({ ...session(), name: 'ascii' })
    let taken = 0
    for (let turn = 0; turn < 5_000; turn += 1) {
      const damaged = Buffer.from(bytes)
      for (let flips = 1 + (next() % 3); flips > 0; flips -= 1) damaged[next() % damaged.length] = next() & 0xff
      let value: unknown
      try {
        value = msgpackCodec.decode(damaged)
      } catch {
        continue
      }
      taken += 1
      // By their bytes, as no invalid Date is equal to another.
      assert.deepStrictEqual(
        written(value),
        written(read(damaged)),
        `seed ${seed}, turn ${turn}: ${damaged.toString('hex')}`,
      )
    }
    expect(taken).toBeGreaterThan(100)
  })
})

describe('The pass that writes', () => {
  const hidden = (): object => Object.defineProperty({ a: 1 }, 'b', { value: 2 })

  // Without the guard, which would find it as well.
  test.each<[string, () => unknown]>([
    ['a property that hides', hidden],
    ['a property of an array that hides', () => Object.defineProperty([1], 'b', { value: 2 })],
    ['a hole that makes up for a property too many', () => Object.assign(new Array(1), { extra: 1 })],
    ['a getter', () => Object.defineProperty({}, 'a', { get: () => 1, enumerable: true })],
    ['a setter', () => Object.defineProperty({}, 'a', { set: () => {}, enumerable: true })],
    ['a getter of an object without a prototype', () => Object.create(null, { a: { get: () => 1, enumerable: true } })],
    ['a getter of an error', () => Object.defineProperty(new Error(), 'a', { get: () => 1 })],
    ['a key that is a symbol', () => ({ [Symbol('x')]: 1 })],
    ['a symbol on an error', () => Object.assign(new Error(), { [Symbol('x')]: 1 })],
    ['__proto__ as a key', () => JSON.parse('{"__proto__":1}')],
    [
      '__proto__ as a key of an object without a prototype',
      () => Object.assign(Object.create(null), JSON.parse('{"__proto__":1}')),
    ],
    ['a Map with a property', () => Object.assign(new Map(), { a: 1 })],
    ['a Set with a property', () => Object.assign(new Set(), { a: 1 })],
    ['what only claims to be a Map', () => Object.create(Map.prototype)],
    ['what only claims to be an Error', () => Object.create(Error.prototype)],
  ])('does not write %s', (_, make) => {
    expect(() => writeValue([make()])).toThrow()
    expect(writeValue([[]])).toEqual(written([[]]))
  })

  test('is not deceived by what somebody gave to every object', () => {
    const bytes = writeValue({ a: 1 })
    Object.defineProperty(Object.prototype, 'everywhere', {
      value: 1,
      enumerable: true,
      writable: true,
      configurable: true,
    })
    try {
      expect(() => writeValue(hidden())).toThrow()
      expect(writeValue({ a: 1 })).toEqual(bytes)
      expect(() => msgpackCodec.encode(hidden())).toThrow('not enumerable')
    } finally {
      Reflect.deleteProperty(Object.prototype, 'everywhere')
    }
  })

  test('writes no damaged bytes where a proxy changes the data meanwhile', () => {
    const data: Record<string, unknown> = { first: 1 }
    data['proxy'] = new Proxy(
      {},
      {
        getPrototypeOf: () => {
          delete data['last']
          return Object.prototype
        },
      },
    )
    data['last'] = 1
    expect(() => msgpackCodec.encode(data)).toThrow(expect.objectContaining({ code: 'E_SESSION_DATA' }))
    expect(msgpackCodec.encode({ a: 1 })).toEqual(written({ a: 1 }))
  })

  test('can be begun again by what it reads', () => {
    const inner = { a: [1, { b: 'inner' }] }
    let bytes: Uint8Array | undefined
    const proxy = new Proxy(
      { c: 1 },
      {
        ownKeys: (target) => {
          bytes = msgpackCodec.encode(inner)
          return Reflect.ownKeys(target)
        },
      },
    )
    const outer = { a: [2, { b: 'outer' }], proxy, d: 'end' }
    expect(msgpackCodec.decode(msgpackCodec.encode(outer))).toEqual({ ...outer, proxy: { c: 1 } })
    expect(msgpackCodec.decode(bytes ?? new Uint8Array())).toEqual(inner)
  })

  test('makes the same bytes once the shapes it remembers are dropped', () => {
    const value = { a: 1, b: [{ c: 1 }, { c: 2 }] }
    const bytes = writeValue(value)
    for (let at = 0; at < 3_000; at += 1) writeValue({ [`x${at}`]: 1, [`y${at}`]: { z: 1 } })
    expect(writeValue(value)).toEqual(bytes)
  })
})
