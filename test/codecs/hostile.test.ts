import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { jsonCodec, msgpackCodec } from '../../src/codecs/index.js'
import { mulberry32 } from '../support/mulberry32.js'
import { seed } from '../support/seed.js'

const sample: unknown = {
  user: { id: 7, name: 'Jane', roles: new Set(['a', 'b']) },
  at: new Date(1_700_000_000_123),
  carts: [
    new Map<unknown, unknown>([
      ['k', { a: 1 }],
      [2, { a: -0 }],
    ]),
  ],
  big: 1n << 70n,
  bytes: Buffer.from('bytes'),
  numbers: Float64Array.of(1, Number.NaN),
  error: new TypeError('m', { cause: /a/g }),
  odd: Object.assign(Object.create(null), { __keys__: '\ud800', undefined }),
}

const prototypes = [Object.prototype, Array.prototype, Map.prototype, Error.prototype, Date.prototype]
const shapeOfPrototypes = (): number[] => prototypes.map((prototype) => Reflect.ownKeys(prototype).length)

/** What came out is a value that could have been stored, or an Error came out. */
const outcomeOf = (bytes: Uint8Array): 'value' | 'error' => {
  let value: unknown
  try {
    value = msgpackCodec.decode(bytes)
  } catch (error) {
    expect(error).toBeInstanceOf(Error)
    return 'error'
  }
  msgpackCodec.encode(value)
  return 'value'
}

describe('Bytes that encode did not write', () => {
  test('every truncation of a value of all kinds throws', () => {
    const bytes = msgpackCodec.encode(sample)
    for (let length = 0; length < bytes.length; length += 1)
      expect(outcomeOf(bytes.subarray(0, length)), `${length} of ${bytes.length} bytes`).toBe('error')
    expect(outcomeOf(bytes)).toBe('value')
  })

  test('every single flipped bit gives an error or a value that can be stored', () => {
    const bytes = msgpackCodec.encode(sample)
    const before = shapeOfPrototypes()
    for (let bit = 0; bit < bytes.length * 8; bit += 1) {
      const flipped = Uint8Array.from(bytes)
      flipped[bit >> 3] = (flipped[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      outcomeOf(flipped)
    }
    expect(shapeOfPrototypes()).toEqual(before)
    expect(msgpackCodec.encode(sample)).toEqual(bytes)
    expect(msgpackCodec.encode(msgpackCodec.decode(bytes))).toEqual(bytes)
  })

  test('twenty thousand random buffers give errors or values that can be stored', () => {
    const next = mulberry32(seed)
    const before = shapeOfPrototypes()
    // Half of them are drawn from the tokens that lead somewhere.
    const leading = [
      0xd4, 0x6e, 0x72, 0x73, 0x74, 0x42, 0xc7, 0x91, 0x92, 0x81, 0x40, 0x41, 0xa1, 0xff, 0xdd, 0xc1, 0x00,
    ]
    const outcomes = { value: 0, error: 0 }
    for (let turn = 0; turn < 20_000; turn += 1) {
      const bytes = Uint8Array.from({ length: next() % 80 }, () =>
        turn % 2 === 0 ? next() & 0xff : (leading[next() % leading.length] ?? 0),
      )
      try {
        outcomes[outcomeOf(bytes)] += 1
      } catch (cause) {
        throw new Error(`seed ${seed}, turn ${turn}: ${Buffer.from(bytes).toString('hex')}`, { cause })
      }
    }
    expect(outcomes.value).toBeGreaterThan(0)
    expect(outcomes.error).toBeGreaterThan(0)
    expect(shapeOfPrototypes(), `seed ${seed}`).toEqual(before)
  })

  test('the bytes of the other codec throw', () => {
    expect(() => msgpackCodec.decode(jsonCodec.encode({ a: 1 }))).toThrow('damaged')
    expect(() => jsonCodec.decode(msgpackCodec.encode({ a: 1 }))).toThrow('damaged')
  })
})

test('what was made to hurt neither crashes, hangs, fills the memory nor reaches a prototype', {
  timeout: 300_000,
}, async () => {
  const child = fileURLToPath(new URL('./hostile.child.ts', import.meta.url))
  const { stdout } = await promisify(execFile)(
    process.execPath,
    ['--max-old-space-size=96', '--import', 'tsx', child],
    { timeout: 280_000 },
  )
  const lines = stdout.trim().split('\n')
  expect(lines.pop()).toBe('works')
  const outcomes = new Map(lines.map((line) => line.split(': ') as [string, string]))
  const accepted = [...outcomes].filter(([, outcome]) => outcome !== 'an error')
  // Odd, but whole values.
  expect(accepted).toEqual([
    ['a hundred thousand empty maps', 'a value'],
    ['a bigint of a megabyte', 'a value'],
  ])
  expect(outcomes.size).toBeGreaterThan(35)
})
