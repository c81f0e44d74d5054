import { describe, expect, test } from 'vitest'
import { dataInJson } from '../../src/cli/data-in-json.js'
import { msgpackCodec } from '../../src/codecs/index.js'

const printed = (data: unknown): unknown => JSON.parse(JSON.stringify(dataInJson(data)))

const searched = /a+/gi
searched.lastIndex = 2
const bare: object = Object.assign(Object.create(null) as object, { a: 1 })

describe('what the default codec has stored is printed in full', () => {
  test.each<readonly [string, unknown, unknown]>([
    ['undefined', undefined, { $undefined: true }],
    ['null', null, null],
    ['a boolean', true, true],
    ['a number', 1.5, 1.5],
    ['NaN', Number.NaN, { $Number: 'NaN' }],
    ['an infinite number', Number.POSITIVE_INFINITY, { $Number: 'Infinity' }],
    ['an infinite number below zero', Number.NEGATIVE_INFINITY, { $Number: '-Infinity' }],
    ['a negative zero', -0, { $Number: '-0' }],
    ['a text', 'text', 'text'],
    ['a small BigInt', 123n, { $BigInt: '123' }],
    ['a large BigInt', -(2n ** 70n), { $BigInt: '-1180591620717411303424' }],
    ['a Date', new Date(0), { $Date: '1970-01-01T00:00:00.000Z' }],
    ['a Date that is none', new Date(Number.NaN), { $Date: null }],
    ['a Map', new Map([[{ key: 1n }, undefined]]), { $Map: [[{ key: { $BigInt: '1' } }, { $undefined: true }]] }],
    ['a Set', new Set(['a', 1n]), { $Set: ['a', { $BigInt: '1' }] }],
    ['a RegExp', searched, { $RegExp: { source: 'a+', flags: 'gi', lastIndex: 2 } }],
    ['a Buffer', Buffer.from('abc'), { $Buffer: 'YWJj' }],
    ['an ArrayBuffer', Uint8Array.of(97, 98, 99).buffer, { $ArrayBuffer: 'YWJj' }],
    ['a DataView', new DataView(Uint8Array.of(0, 97, 98, 99).buffer, 1), { $DataView: 'YWJj' }],
    ['a Uint8Array', Uint8Array.of(1, 2), { $Uint8Array: [1, 2] }],
    ['a Float64Array', Float64Array.of(0.5, Number.NaN), { $Float64Array: [0.5, { $Number: 'NaN' }] }],
    ['a BigInt64Array', BigInt64Array.of(1n), { $BigInt64Array: [{ $BigInt: '1' }] }],
    [
      'an error with its cause',
      new TypeError('it failed', { cause: new Error('why') }),
      { $TypeError: { message: 'it failed', cause: { $Error: { message: 'why' } } } },
    ],
    [
      'an error of several',
      new AggregateError([new Error('one')], 'all'),
      { $AggregateError: { message: 'all', errors: [{ $Error: { message: 'one' } }] } },
    ],
    [
      'an error with a property that is named as the class is told',
      Object.assign(new Error('it failed'), { constructor: 'x' }),
      { $Error: { message: 'it failed', constructor: 'x' } },
    ],
    ['an array', [1, [undefined]], [1, [{ $undefined: true }]]],
    ['an object', { a: { b: 1n } }, { a: { b: { $BigInt: '1' } } }],
    ['an object without a prototype', bare, { a: 1 }],
    [
      'an object that looks like what is printed for another value',
      { $BigInt: '1', $$: 1, a$: 1 },
      { $$BigInt: '1', $$$: 1, a$: 1 },
    ],
    ['the same object twice', ((one) => [one, one])({ a: 1 }), [{ a: 1 }, { a: 1 }]],
  ])('%s', (_what, value, expected) => {
    expect(printed({ value: msgpackCodec.decode(msgpackCodec.encode(value)) })).toEqual({ value: expected })
  })
})

test('what only a codec of the application can give is printed as far as it can be', () => {
  class Money {
    readonly cents = 5n
  }
  const data: Record<string, unknown> = { price: new Money(), call: () => {}, mark: Symbol('mark') }
  data['again'] = [data]
  expect(printed(data)).toEqual({
    price: { $Money: { cents: { $BigInt: '5' } } },
    call: { $function: true },
    mark: { $symbol: true },
    again: [{ $cycle: true }],
  })
})
