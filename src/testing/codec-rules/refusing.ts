import assert from 'node:assert/strict'
import { inspect } from 'node:util'
import { isRefused, type Rule, refusalOf } from './rule.js'

class Account {
  id = 1
}

const circle = (): unknown => {
  const value: { list: unknown[] } = { list: [] }
  value.list.push({ back: value })
  return value
}

const circleAt = (key: string): unknown => {
  const value: Record<string, unknown> = {}
  value[key] = value
  return value
}

const deep = (levels: number): unknown => {
  let value: unknown = 1
  for (let level = 0; level < levels; level += 1) value = [value]
  return value
}

/** Forty arrays, and a million million places. */
const explosive = (): unknown => {
  let value: unknown = []
  for (let level = 0; level < 40; level += 1) value = [value, value]
  return value
}

const SECRET = 'hunter2'

/** What cannot come back is refused, by name of its place and by none of its content. */
export const REFUSING: readonly Rule[] = [
  isRefused('a function is refused', () => [
    ['data', () => SECRET],
    ['data.cart[2].price', { cart: [1, 2, { price: () => SECRET }] }],
    ['data.toJSON', { toJSON: () => SECRET }],
    ['data["not a name"]', { 'not a name': Account }],
  ]),
  isRefused('a symbol is refused, as a value and as a key', () => [
    ['data.a', { a: Symbol(SECRET) }],
    ['data.a', { a: { [Symbol.for(SECRET)]: 1 } }],
    ['data', { [Symbol.iterator]: 1 }],
  ]),
  isRefused('an instance of a class is refused, also of one with a toJSON or derived from a known one', () => [
    ['data.account', { account: new Account() }],
    ['data', Object.create({ inherited: true })],
    ['data.url', { url: new URL('https://example.org') }],
    ['data[0]', [new (class extends Map {})()]],
    ['data[0]', [new (class extends Set {})()]],
    ['data[0]', [new (class extends Date {})(0)]],
    ['data[0]', [new (class extends Array {})()]],
    ['data[0]', [new (class extends Error {})()]],
    ['data[0]', [new (class extends Uint8Array {})()]],
    ['data[0]', [Object.create(Date.prototype)]],
    ['data[0]', [Object(1)]],
    ['data[0]', [Object('text')]],
    ['data[0]', [Promise.resolve()]],
    ['data[0]', [new WeakMap()]],
    ['data[0]', [new WeakRef({})]],
    ['data[0]', [(function* () {})()]],
    ['data[0]', [new Intl.NumberFormat()]],
    ['data[0]', [new Uint8Array(new SharedArrayBuffer(1))]],
  ]),
  isRefused('an array with holes or with properties of its own is refused', () => [
    ['data.list', { list: new Array(3) }],
    ['data.list', { list: Object.assign([1], { extra: 1 }) }],
    ['data.list', { list: Object.assign(new Array(1), { extra: 1 }) }],
    ['data.match', { match: /a/.exec('a') }],
  ]),
  isRefused('an own __proto__ key is refused', () => [
    ['data.a', JSON.parse('{ "a": { "__proto__": { "polluted": true } } }')],
  ]),
  isRefused('getters, setters and hidden properties are refused, and no getter is run', () => [
    [
      'data.a',
      {
        get a() {
          return assert.fail('the getter was run')
        },
      },
    ],
    ['data.b', Object.defineProperty({ a: 1 }, 'b', { set: () => {}, enumerable: true })],
    ['data.hidden', Object.defineProperty({ a: 1 }, 'hidden', { value: 1 })],
  ]),
  isRefused('a cycle is refused where it closes', () => [['data.list[0].back', circle()]]),
  {
    title: 'what is nested without bound, or grows without bound through shared references, is refused in time',
    run: (codec) => {
      const codes = ['E_SESSION_DATA', 'E_SESSION_TOO_LARGE'] as const
      refusalOf(codec, deep(1_000))
      refusalOf(codec, deep(100_000))
      assert.equal(refusalOf(codec, explosive(), codes).path, 'data')
      assert.equal(refusalOf(codec, new Array(4_000_000_000), codes).path, 'data')
    },
  },
  {
    title: 'a refusal quotes no content, and its path long keys only in part',
    run: (codec) => {
      const key = `token-${'0123456789abcdef'.repeat(4)}`
      const error = refusalOf(codec, { password: SECRET, [key]: Object.assign([SECRET], { extra: SECRET }) })
      assert.ok(!error.message.includes(SECRET), error.message)
      assert.ok(!error.message.includes(key), error.message)
      assert.equal(error.path, 'data["token-0123456789abcd…"]')
    },
  },
  {
    title: 'a refusal’s message and what a log shows of it hold no name of the data, which its path has',
    run: (codec) => {
      for (const value of [() => 1, [() => 1], { back: circleAt(SECRET) }]) {
        const error = refusalOf(codec, { carts: { [SECRET]: value } })
        assert.ok(!error.message.includes(SECRET), error.message)
        assert.ok(!inspect(error).includes(SECRET), inspect(error))
        assert.ok(!JSON.stringify(error).includes(SECRET), JSON.stringify(error))
        assert.ok(error.path?.startsWith(`data.carts.${SECRET}`), error.path)
      }
    },
  },
  {
    title: 'what fails when it is read is refused',
    run: (codec) => {
      const hostile = new Proxy(
        {},
        {
          ownKeys: () => {
            throw new Error(SECRET)
          },
        },
      )
      assert.ok(!refusalOf(codec, { hostile }).message.includes(SECRET))
    },
  },
  {
    title: 'after a refusal the next value is encoded as if nothing had been',
    run: (codec) => {
      const value = { a: [1, { b: 'text' }] }
      const before = codec.encode(value)
      refusalOf(codec, { a: [1, { b: () => 1 }] })
      refusalOf(codec, circle())
      assert.deepStrictEqual(codec.encode(value), before)
    },
  },
]
