import { execFileSync } from 'node:child_process'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { addExtension, Packr } from 'msgpackr'
import { describe, expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'

const again = <T>(value: T): T => msgpackCodec.decode(msgpackCodec.encode(value)) as T
const hex = (value: unknown): string => Buffer.from(msgpackCodec.encode(value)).toString('hex')

describe('The stored format, which other versions of this program read', () => {
  test.each<[string, unknown, string]>([
    ['a record', { a: 1, b: 'x' }, 'd4724092a161a16201a178'],
    ['records of one shape', [{ a: 1 }, { a: 2 }], '92d4724091a161014002'],
    ['undefined', undefined, 'd40000'],
    ['a Date', new Date(1_700_000_000_123), 'd7ff1d5353006553f100'],
    ['an invalid Date', new Date(Number.NaN), 'd4ffff'],
    ['a Map', new Map([[1, 2]]), '810102'],
    ['a Set', new Set([1]), 'd473009101'],
    ['a Buffer', Buffer.of(1), 'c40101'],
    ['a Uint8Array', Uint8Array.of(1), 'c702740101'],
    ['a bigint', 5n, 'd30000000000000005'],
    ['a large bigint', 1n << 64n, 'd84200000000000000010000000000000000'],
    ['negative zero', -0, 'd46e009100'],
    ['NaN', Number.NaN, 'd46e009101'],
    ['a lone surrogate', '\ud800', 'd46e009202c40200d8'],
    ['a key msgpackr cannot bear', { __keys__: 1 }, 'd46e009303a85f5f6b6579735f5f01'],
    ['no prototype', Object.assign(Object.create(null), { a: 1 }), 'd46e009304a16101'],
    ['an Error', new TypeError('m'), 'd46e009505a9547970654572726f72a76d657373616765c2a16d'],
    ['a RegExp', /a/g, 'd46e009406a161a16700'],
  ])('%s', (_, value, bytes) => {
    expect(hex(value)).toBe(bytes)
    expect(hex(msgpackCodec.decode(Buffer.from(bytes, 'hex')))).toBe(bytes)
  })
})

describe('An Error that was stored', () => {
  const original = Object.assign(new RangeError('too far', { cause: new TypeError('inner') }), { code: 'E_FAR' })

  test('keeps its class, its cause and its properties as they were', () => {
    const error = again(original)
    expect(error).toBeInstanceOf(RangeError)
    expect(error.cause).toBeInstanceOf(TypeError)
    expect(Object.keys(error)).toEqual(['code'])
    expect(Object.hasOwn(again(new Error('no cause')), 'cause')).toBe(false)
    expect(Object.hasOwn(again(new Error()), 'message')).toBe(false)
  })

  test('keeps the first line of its stack and no frames', () => {
    expect(again(original).stack).toBe('RangeError: too far')
    expect(again(Object.assign(new Error('m'), { name: 'Own' })).stack).toBe('Own: m')
    expect(hex(original)).not.toContain(Buffer.from('msgpack.test').toString('hex'))
  })

  test('keeps the errors of an AggregateError', () => {
    const error = again(new AggregateError([new Error('one'), 'two'], 'both'))
    expect(error).toBeInstanceOf(AggregateError)
    expect(error.message).toBe('both')
    expect(error.errors).toEqual([new Error('one'), 'two'])
  })
})

describe('Other users of msgpackr in the process', () => {
  test('do not change what is written or read', () => {
    const before = hex({ at: new Date(0), list: new Set([1]) })
    addExtension({ Class: Date, type: 0x73, pack: () => Buffer.of(1), unpack: () => 'not a date' })
    addExtension({ Class: Set, type: 0xff, pack: () => Buffer.of(1), unpack: () => 'not a set' })
    expect(new Packr({ moreTypes: true }).unpack(new Packr({ moreTypes: true }).pack(new Date(0)))).toBe('not a date')
    expect(hex({ at: new Date(0), list: new Set([1]) })).toBe(before)
    expect(again({ at: new Date(0), list: new Set([1]) })).toEqual({ at: new Date(0), list: new Set([1]) })
  })

  test('are the only ones who load its native add-on', () => {
    const loaded = (specifier: string): string =>
      execFileSync(process.execPath, [
        '--input-type=module',
        '--eval',
        `await import(${JSON.stringify(specifier)})
         const { sharedObjects } = process.report.getReport()
         console.log(sharedObjects.filter((file) => file.includes('msgpackr')).length)`,
      ]).toString()
    expect(loaded('msgpackr/index-no-eval')).toBe('0\n')
  })
})

test('one session’s key names do not spoil the encoding of the next session', () => {
  again({ a: 1, b: { __keys__: 1 }, __keys__: 1 })
  expect(again({ a: 5 })).toEqual({ a: 5 })
  expect(again({ a: 5, b: {} })).toEqual({ a: 5, b: {} })
})

test('decoded bytes hold on to nothing of the input', () => {
  const value = { buffer: Buffer.from('abc'), view: Uint8Array.of(1), plain: Uint8Array.of(2).buffer }
  const bytes = msgpackCodec.encode(value)
  const decoded = msgpackCodec.decode(bytes) as typeof value
  for (const memory of [decoded.buffer.buffer, decoded.view.buffer, decoded.plain])
    expect(memory).not.toBe(bytes.buffer)
  bytes.fill(0xff)
  expect(decoded).toEqual(value)
})

test('decoding leaves no mark on the input', () => {
  const bytes = msgpackCodec.encode({ a: 1 })
  msgpackCodec.decode(bytes)
  expect(Reflect.ownKeys(bytes)).toHaveLength(bytes.length)
})

test('the sessions after a very large one still stand in buffers of their own size', () => {
  const large = Buffer.alloc(4 * 1024 * 1024, 1)
  expect(again(large).equals(large)).toBe(true)
  expect(msgpackCodec.encode({ a: 1 }).buffer.byteLength).toBe(7)
  expect(again({ a: 1 })).toEqual({ a: 1 })
})

test('a very large session does not leave a very large working buffer behind', async () => {
  setFlagsFromString('--expose-gc')
  const collect = runInNewContext('gc') as () => void
  const MIB = 1024 * 1024
  const heldMiB = (): number => {
    collect()
    return process.memoryUsage().arrayBuffers / MIB
  }
  const before = heldMiB()
  // In a function of its own, or this frame would hold on to the result.
  const encodeLarge = (): number => msgpackCodec.encode(Buffer.alloc(32 * MIB)).length
  expect(encodeLarge()).toBeGreaterThan(32 * MIB)
  // V8 gives array buffers back some time after the collection that found them.
  await expect.poll(() => heldMiB() - before, { timeout: 5_000 }).toBeLessThan(8)
})

test('properties that were put on a Buffer are not stored, as listing them would list every byte', () => {
  expect(Reflect.ownKeys(again(Object.assign(Buffer.of(1), { note: 'x' })))).toEqual(['0'])
})
