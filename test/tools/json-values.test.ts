import fc from 'fast-check'
import { expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import { showsInJson } from '../../src/tools/json-values.js'
import { anyJsonData, anySessionData } from '../codecs/any-session-data.js'
import { seed } from '../support/seed.js'

test('what shows in JSON is stored as the bytes of what its text says', () => {
  let shown = 0
  const property = fc.property(fc.oneof(anySessionData, anyJsonData), (value) => {
    if (!showsInJson(value)) return
    shown += 1
    const again: unknown = JSON.parse(JSON.stringify(value))
    expect(Buffer.compare(msgpackCodec.encode(value), msgpackCodec.encode(again))).toBe(0)
  })
  fc.assert(property, { numRuns: 1_000, seed })
  expect(shown).toBeGreaterThan(200)
})

test('all JSON values show in it', () => {
  fc.assert(
    fc.property(anyJsonData, (value) => showsInJson(value)),
    { numRuns: 500, seed },
  )
})

const circle: unknown[] = []
circle.push(circle)

test.each<[string, unknown]>([
  ['undefined', undefined],
  ['NaN', Number.NaN],
  ['an infinity', Number.NEGATIVE_INFINITY],
  ['negative zero', -0],
  ['a Date', new Date(0)],
  ['a Map', new Map()],
  ['a Set', new Set()],
  ['a Buffer', Buffer.from('x')],
  ['a typed array', Uint8Array.of(1)],
  ['a bigint', 1n],
  ['a symbol', Symbol('x')],
  ['a function', () => 1],
  ['a toJSON', { toJSON: () => 1 }],
  ['an instance of a class', new (class Person {})()],
  ['an array of a class of its own', new (class List extends Array {})()],
  ['an object without a prototype', Object.create(null)],
  ['a regular expression', /a/],
  ['an Error', new Error('x')],
  ['a boxed text', Object('x')],
  ['a circle', circle],
])('%s does not show, by itself or inside', (_, value) => {
  expect(showsInJson(value)).toBe(false)
  expect(showsInJson({ a: [1, { b: value }] })).toBe(false)
})

test('a hole does not show', () => {
  expect(showsInJson([1, ...new Array<number>(1)])).toBe(false)
  expect(showsInJson(Object.assign(new Array(2), { 1: 1 }))).toBe(false)
})
