import { describe, expect, test } from 'vitest'
import { jsonCodec, msgpackCodec } from '../../src/codecs/index.js'
import { samenessOf } from '../../src/session/sameness.js'

const { isSame, tokenOf } = samenessOf([msgpackCodec])

const bare = (entries: object): object => Object.assign(Object.create(null) as object, entries)
const withHidden = (value: unknown): Error =>
  Object.defineProperty(new Error('x'), 'detail', { value, writable: true, configurable: true })
const at = (lastIndex: number): RegExp => Object.assign(/x/g, { lastIndex })
const coded = (code: string): Error => Object.assign(new Error('x'), { code })

describe('Two values are the same where they are stored alike', () => {
  for (const [title, one, alike, other] of [
    ['an object without a prototype', bare({ a: 1 }), bare({ a: 1 }), { a: 1 }],
    ['an Invalid Date', new Date(Number.NaN), new Date('nonsense'), new Date(0)],
    ['an error with a code', coded('E1'), coded('E1'), coded('E2')],
    ['a hidden property of an error', withHidden(1), withHidden(1), withHidden(2)],
    ['the cause of an error', new Error('x', { cause: 1 }), new Error('x', { cause: 1 }), new Error('x', { cause: 2 })],
    ['a RegExp with a lastIndex', at(1), at(1), at(2)],
    ['a Proxy', new Proxy({ a: 1 }, {}), { a: 1 }, new Proxy({ a: 2 }, {})],
    [
      'the order in a Map',
      new Map(Object.entries({ a: 1, b: 1 })),
      new Map(Object.entries({ a: 1, b: 1 })),
      new Map(Object.entries({ b: 1, a: 1 })),
    ],
    ['the order in a Set', new Set(['a', 'b']), new Set(['a', 'b']), new Set(['b', 'a'])],
    ['the order of keys', { a: 1, b: 1 }, { a: 1, b: 1 }, { b: 1, a: 1 }],
    ['zero', 0, 0, -0],
    ['NaN', Number.NaN, Number.NaN, 0],
    ['NaN inside', [Number.NaN], [Number.NaN], [0]],
    ['bytes', Buffer.from('a'), Buffer.from('a'), Uint8Array.from(Buffer.from('a'))],
    ['a bigint', 1n, 1n, 1],
    ['undefined inside', { a: undefined }, { a: undefined }, {}],
    ['nothing', undefined, undefined, null],
  ] as const)
    test(title, () => {
      expect(isSame(one, alike)).toBe(true)
      expect(isSame(one, other)).toBe(false)
      expect(isSame(other, one)).toBe(false)
      expect(tokenOf(alike)).toBe(tokenOf(one))
      expect(Object.is(tokenOf(other), tokenOf(one))).toBe(false)
    })

  test('what cannot be stored is like no other, as nobody can tell whether it was changed', () => {
    expect(isSame({ total: () => 1 }, { total: () => 1 })).toBe(false)
    expect(isSame(Symbol('a'), Symbol('a'))).toBe(false)
    expect(tokenOf(() => 1)).not.toBe(tokenOf(() => 1))
  })

  test('a text has no token of another value', () => {
    const tokens = ['-0', 'text -0', '0', 'null', 'codec 1 x'].map(tokenOf)
    for (const other of [-0, 0, null, undefined, 1n, {}]) expect(tokens).not.toContain(tokenOf(other))
    expect(new Set(tokens).size).toBe(5)
  })

  test('what another codec stored is compared by that codec, where the own one does not know it', () => {
    const both = samenessOf([jsonCodec, msgpackCodec]).isSame
    expect(both({ at: new Date(1) }, { at: new Date(1) })).toBe(true)
    expect(both({ at: new Date(1) }, { at: new Date(2) })).toBe(false)
    expect(both({ at: new Date(1) }, { at: 1 })).toBe(false)
  })
})
