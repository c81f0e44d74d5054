import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { jsonCodec, msgpackCodec } from '../../src/codecs/index.js'

const foreign = (source: string): unknown => runInNewContext(`(${source})`) as unknown
const here = (source: string): unknown => Function(`return (${source})`)() as unknown
const refusedBy = ({ encode }: typeof msgpackCodec, source: string): unknown => {
  try {
    encode({ value: foreign(source) })
  } catch (error) {
    return error
  }
  return expect.fail(`${source} was not refused`)
}

describe('what was made in another realm', () => {
  test.each([
    '{ name: "ann", address: { city: "Oslo" } }',
    '[1, [2], { three: 3 }]',
    '{ list: [undefined, null, -0, NaN, 10n] }',
    'new Date(5)',
    'new Date(NaN)',
    'new Map([[{ k: 1 }, new Set([[1]])]])',
    'Object.assign(/x/gi, { lastIndex: 3 })',
    'Uint8Array.of(1, 2, 3)',
    'new Uint16Array([1, 2, 3]).subarray(1)',
    'new DataView(new ArrayBuffer(4), 1, 2)',
    'new ArrayBuffer(3)',
    'Object.assign(new TypeError("x", { cause: [1] }), { code: "E1" })',
    'new AggregateError([new Error("one")], "several")',
  ])('is stored as the same bytes as what was made here: %s', (source) => {
    const bytes = msgpackCodec.encode({ value: foreign(source) })
    expect(Buffer.compare(bytes, msgpackCodec.encode({ value: here(source) }))).toBe(0)
    expect((msgpackCodec.decode(bytes) as { value: object }).value).toStrictEqual(here(source))
  })

  test.each([
    ['new (class Person { name = "ann" })()', 'the class Person'],
    ['new (class Object { name = "ann" })()', 'a class without a name'],
    ['new (class extends Map {})()', 'an instance of'],
    ['Object.create({ inherited: 1 })', 'an instance of'],
    ['Object.create(Date.prototype)', 'an instance of'],
    ['Promise.resolve(1)', 'the class Promise'],
    ['() => 1', 'a function'],
    ['{ [Symbol.iterator]: 1 }', 'a symbol as a key'],
    ['{ get a() { return 1 } }', 'a getter'],
    ['[1, , 2]', 'holes'],
    ['new Uint8Array(new SharedArrayBuffer(1))', 'shared with other threads'],
  ])('is refused where it would be refused from here: %s', (source, why) => {
    expect(refusedBy(msgpackCodec, source)).toMatchObject({
      code: 'E_SESSION_DATA',
      message: expect.stringContaining(why),
    })
  })

  test('is plain in JSON as well, as far as it is JSON', () => {
    const source = '{ a: [1, { b: "text" }] }'
    expect(jsonCodec.decode(jsonCodec.encode(foreign(source)))).toStrictEqual(here(source))
    expect(refusedBy(jsonCodec, 'new Date(5)')).toMatchObject({ code: 'E_SESSION_DATA' })
  })
})
