import { expect, test } from 'vitest'
import { jsonCodec } from '../../src/codecs/index.js'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('a session is readable as it stands, its keys in the order they were set', () => {
  const text = new TextDecoder().decode(jsonCodec.encode({ user: { name: 'Zoë', id: 7 }, cart: ['tea', null] }))
  expect(text).toBe('{"user":{"name":"Zoë","id":7},"cart":["tea",null]}')
})

test('a toJSON that is no function is a key like any other', () => {
  expect(jsonCodec.decode(jsonCodec.encode({ toJSON: 'text' }))).toEqual({ toJSON: 'text' })
})

test.each([
  ['bytes that are no UTF-8', Uint8Array.of(0x22, 0xff, 0x22)],
  ['a byte order mark', bytes('\ufeff{}')],
  ['a number that is no number to us', bytes('1e999')],
  ['negative zero', bytes('-0')],
  ['an own __proto__ key', bytes('{"\\u005f_proto__":{"polluted":true}}')],
  ['more levels than encode writes', bytes('['.repeat(257) + ']'.repeat(257))],
  ['a million levels', bytes('['.repeat(1_000_000) + ']'.repeat(1_000_000))],
])('what encode cannot have written throws: %s', (_, input) => {
  expect(() => jsonCodec.decode(input)).toThrow('damaged')
})
