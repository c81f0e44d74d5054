import assert from 'node:assert/strict'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { examine } from '../../src/codecs/guard.js'
import { msgpackCodec } from '../../src/codecs/index.js'
import { GIVEN_BACK, readPlain } from '../../src/codecs/msgpack-read.js'
import { substitute } from '../../src/codecs/msgpack-unusual.js'
import { writePlain } from '../../src/codecs/msgpack-write.js'
import { pack, unpack } from '../../src/codecs/msgpackr.js'
import { mulberry32 } from '../support/mulberry32.js'
import { seed } from '../support/seed.js'
import { anyJsonData, anySessionData } from './any-session-data.js'

/** What msgpackr makes of a value by itself: every release has written this, and reads it. */
const packed = (value: unknown): Uint8Array => pack(examine(value, 'msgpack') ? substitute(value) : value)

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

describe('Plain data', () => {
  test('is written as the bytes that msgpackr makes of it, and read as msgpackr reads it', () => {
    let written = 0
    let read = 0
    const property = fc.property(fc.oneof(anySessionData, anyJsonData), (value) => {
      const bytes = packed(value)
      const mine = writePlain(value, {})
      if (mine !== undefined) assert.deepStrictEqual(mine, bytes)
      const back = readPlain(Buffer.from(bytes))
      if (back !== GIVEN_BACK) assert.deepStrictEqual(back, unpack(Buffer.from(bytes)))
      // Whatever is written here is read here.
      assert.ok(mine === undefined || back !== GIVEN_BACK)
      written += mine === undefined ? 0 : 1
      read += back === GIVEN_BACK ? 0 : 1
    })
    fc.assert(property, { numRuns: 2_000, ...again })
    expect(written).toBeGreaterThan(500)
    expect(read).toBeGreaterThan(500)
  })

  test('is never given back, whatever usual sessions hold', () => {
    expect(writePlain(session(), {})).toEqual(packed(session()))
    expect(readPlain(Buffer.from(packed(session())))).toStrictEqual(session())
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
    ['many keys', Object.fromEntries(new Array(300).fill(0).map((_, at) => [`key${at}`, at]))],
    ['long keys', { ['k'.repeat(31)]: 1, ['k'.repeat(32)]: 2, ['ü'.repeat(300)]: 3, '': 4, '0': 5 }],
    [
      'more shapes than have names',
      new Array(200).fill(0).map((_, at) => ({ [`k${at % 70}`]: at, z: [{ [`l${at % 3}`]: 1 }] })),
    ],
  ])('is written and read alike: %s', (_, value) => {
    const bytes = writePlain(value, {})
    expect(bytes).toEqual(packed(value))
    expect(readPlain(Buffer.from(packed(value)))).toStrictEqual(value)
  })

  test('that was damaged is given back, or read as msgpackr reads it', () => {
    const next = mulberry32(seed)
    const bytes = packed({ ...session(), name: 'ascii' })
    let read = 0
    for (let turn = 0; turn < 5_000; turn += 1) {
      const damaged = Buffer.from(bytes)
      for (let flips = 1 + (next() % 3); flips > 0; flips -= 1) damaged[next() % damaged.length] = next() & 0xff
      const back = readPlain(damaged)
      if (back === GIVEN_BACK) continue
      read += 1
      assert.deepStrictEqual(back, unpack(damaged), `seed ${seed}, turn ${turn}: ${damaged.toString('hex')}`)
    }
    expect(read).toBeGreaterThan(100)
  })
})

describe('The pass that writes', () => {
  const hidden = (): object => Object.defineProperty({ a: 1 }, 'b', { value: 2 })

  test.each<[string, () => object]>([
    ['an object', () => ({})],
    ['an array', () => []],
  ])('gives back %s with a property that hides', (_, make) => {
    expect(writePlain([Object.defineProperty(make(), 'b', { value: 2 })], {})).toBeUndefined()
  })

  test('gives back an array in which a hole makes up for a property too many', () => {
    expect(writePlain([Object.assign(new Array(1), { extra: 1 })], {})).toBeUndefined()
  })

  test('is not deceived by what somebody gave to every object', () => {
    Object.defineProperty(Object.prototype, 'everywhere', {
      value: 1,
      enumerable: true,
      writable: true,
      configurable: true,
    })
    try {
      expect(writePlain(hidden(), {})).toBeUndefined()
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
    const bytes = msgpackCodec.encode(data)
    expect(Object.keys(msgpackCodec.decode(bytes) as object)).toEqual(['first', 'proxy'])
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
    const bytes = writePlain(value, {})
    for (let at = 0; at < 3_000; at += 1) writePlain({ [`x${at}`]: 1, [`y${at}`]: { z: 1 } }, {})
    expect(writePlain(value, {})).toEqual(bytes)
  })
})
