import assert from 'node:assert/strict'
import { comesBack, type Rule, refusalOf } from './rule.js'

const nested = (levels: number): unknown => {
  let value: unknown = { end: true }
  for (let level = 1; level < levels; level += 1) value = level % 2 === 0 ? { value } : [value]
  return value
}

const lengths = [0, 1, 15, 16, 31, 32, 63, 64, 65, 85, 86, 255, 256, 21_845, 21_846, 65_535, 65_536]

const shapes = (count: number): unknown =>
  Array.from({ length: count }, (_, index) => ({ [`key${index % (count / 2)}`]: index, [`other${index}`]: {} }))

/** What every session holds; no codec may be without it. */
const ORDINARY: readonly Rule[] = [
  comesBack('null, booleans and finite numbers come back', () => [
    null,
    true,
    false,
    ...[0, 1, 31, 32, 63, 64, 127, 128, 255, 256, 65_535, 65_536, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 53, 2 ** 64],
    ...[-1, -32, -33, -128, -129, -32_768, -32_769, -(2 ** 31), -(2 ** 31) - 1, -(2 ** 53) + 1, -(2 ** 53)],
    ...[0.1, -1.5, Number.MAX_VALUE, Number.MIN_VALUE, Number.EPSILON, Number.MAX_SAFE_INTEGER],
  ]),
  comesBack('texts come back, of every length and in every script', () => [
    ...lengths.flatMap((length) => ['a'.repeat(length), 'ü'.repeat(length), '漢'.repeat(length), '🙂'.repeat(length)]),
    'line\nbreak\u0000\u2028\u{10ffff}\ufffe',
  ]),
  comesBack('texts that are no well-formed Unicode, or begin with U+FEFF, come back', () => [
    '\ud800',
    'a\udc00b',
    `${'x'.repeat(100)}\ud83d`,
    '\ufeff',
    `\ufeff${'x'.repeat(100)}`,
    { ['\udfff']: '\ufeff' },
    { [`\ufeff${'k'.repeat(100)}`]: 1 },
  ]),
  comesBack('arrays and objects come back, empty, nested and large', () => [
    [],
    {},
    [[], {}, [[{}]]],
    Array.from({ length: 70_000 }, (_, index) => index),
    Object.fromEntries(Array.from({ length: 70_000 }, (_, index) => [`key${index}`, index])),
  ]),
  comesBack('objects of hundreds of shapes come back', () => [
    shapes(64),
    shapes(66),
    shapes(500),
    [shapes(70), shapes(70)],
  ]),
  comesBack('keys come back whatever they are called', () => [
    { constructor: 1, prototype: { polluted: true }, toJSON: 'text', toString: null, valueOf: [], hasOwnProperty: 1 },
    { '': 1, ' ': 2, 'a.b': 3, '"': 4, '0': 5, '-1': 6, '007': 7, [`${'long'.repeat(100)}`]: 8, 漢字: 9 },
    { a: 1, __keys__: 2 },
    { a: 1 },
    { __keys__: {} },
    {},
    [{ b: 1 }, { b: 1, __keys__: [] }, { b: 2 }],
    JSON.parse('{ "then": 1, "catch": 2 }'),
    { length: 2, name: 3, default: 4, get: 5, async: 6, __defineGetter__: 7, __proto: 8, __proto_: 9 },
  ]),
  comesBack('a hundred levels come back', () => [nested(100)]),
]

/** What JSON has no words for. */
const BEYOND_JSON: readonly Rule[] = [
  comesBack('undefined comes back, as a property, as an element and by itself', () => [
    undefined,
    [undefined],
    { a: undefined },
  ]),
  comesBack('negative zero, NaN and the infinities come back', () => [
    -0,
    Number.NaN,
    Number.POSITIVE_INFINITY,
    Number.NEGATIVE_INFINITY,
    { list: [1, -0] },
  ]),
  comesBack('objects without a prototype come back without one', () => [
    Object.create(null),
    { query: Object.assign(Object.create(null), { a: 1, __keys__: [-0] }) },
  ]),
  comesBack('bigints of any size come back', () => [
    0n,
    -1n,
    ...[63n, 64n, 65n, 127n, 128n, 4096n, 65_536n, 100_001n].flatMap((bits) => {
      const power = 1n << bits
      return [power, power - 1n, -power, -power - 1n, 1n - power, power / 3n, power / -3n]
    }),
  ]),
  comesBack('a Date comes back to the millisecond', () => [
    ...[0, 1, 999, 1000, -1, -999, -1000, -1001, 1_700_000_000_123, 2 ** 32 * 1000, 2 ** 32 * 1000 - 1].map(
      (at) => new Date(at),
    ),
    new Date(8_640_000_000_000_000),
    new Date(-8_640_000_000_000_000),
    { at: new Date(123) },
  ]),
  {
    title: 'an invalid Date comes back invalid',
    run: (codec) => {
      const [date] = codec.decode(codec.encode([new Date(Number.NaN)])) as unknown[]
      assert.ok(date instanceof Date && Number.isNaN(date.getTime()))
    },
    runRefused: (codec) => {
      refusalOf(codec, new Date(Number.NaN))
    },
  },
  comesBack('a Map comes back in order and with keys of any kind', () => [
    new Map(),
    new Map<unknown, unknown>([
      ['text', 1],
      [2, 'two'],
      [Number.NaN, Number.NaN],
      [null, undefined],
      [10n, new Map([[{ a: 1 }, new Set([1])]])],
      [new Date(5), [new Map()]],
      ['__proto__', { polluted: true }],
    ]),
    new Map(Array.from({ length: 70_000 }, (_, index) => [index, index])),
  ]),
  comesBack('a Set comes back in order', () => [
    new Set(),
    new Set<unknown>(['b', 'a', 1, Number.NaN, null, undefined, new Set([{}]), '\ud800']),
  ]),
  comesBack('a Buffer comes back a Buffer, and a Uint8Array a Uint8Array', () => [
    ...[0, 1, 2, 3, 4, 8, 16, 255, 256, 65_536].flatMap((length) => [
      Buffer.alloc(length, 0xc1),
      new Uint8Array(length),
    ]),
    { both: [Buffer.from('bytes'), Uint8Array.of(1, 2, 3)] },
    Uint8Array.of(1, 2, 3, 4, 5).subarray(1, 3),
  ]),
  comesBack('typed arrays, ArrayBuffers and DataViews come back', () => [
    Int8Array.of(-1, 2),
    Uint8ClampedArray.of(1, 255),
    Int16Array.of(-1, 2),
    Uint16Array.of(1, 65_535),
    Int32Array.of(-1, 2),
    Uint32Array.of(1, 2 ** 32 - 1),
    Float32Array.of(0.5, Number.NaN, -0),
    Float64Array.of(1.1, Number.NaN, -0, Number.NEGATIVE_INFINITY),
    BigInt64Array.of(-1n, 2n),
    BigUint64Array.of(1n, 2n ** 64n - 1n),
    new Float64Array(0),
    new Float64Array(Float64Array.of(1, 2, 3).buffer, 8, 1),
    Uint8Array.of(1, 2, 3).buffer,
    new ArrayBuffer(0),
    new DataView(Uint8Array.of(1, 2, 3, 4).buffer, 1, 2),
  ]),
  comesBack('a RegExp comes back with its flags and its lastIndex', () => [
    /a|b[/]\/\n/dgimsy,
    /(?:)/u,
    /\ud800/,
    Object.assign(/x/g, { lastIndex: 3 }),
    [/^\p{L}+$/u],
  ]),
  comesBack('an Error comes back with its class, its cause and its properties', () => [
    new Error(),
    new Error('plain', { cause: undefined }),
    ...[EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError].map((Class) => new Class('message')),
    new Error('outer', { cause: new TypeError('inner', { cause: { at: new Date(1) } }) }),
    Object.assign(new Error('with a code'), { code: 'E_CODE', name: 'Named', constructor: 1 }),
    new AggregateError([new Error('one'), 2], 'several'),
  ]),
]

/** What is stored comes back: equal, of the same class, in the same order. */
export const KEEPING: readonly Rule[] = [...ORDINARY, ...BEYOND_JSON]
