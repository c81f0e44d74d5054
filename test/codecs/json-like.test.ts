import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { jsonLike, msgpackCodec } from '../../src/codecs/index.js'
import { createSessionStore } from '../../src/create-session-store.js'

const codec = jsonLike()
const stored = (value: unknown): unknown => codec.decode(codec.encode(value))
const refusalOf = (value: unknown): unknown => {
  try {
    codec.encode(value)
  } catch (error) {
    return error
  }
  return expect.fail('it was not refused')
}

// Small classes that store themselves as those of well-known libraries do.

/** As bson's: bytes inside, its hexadecimal digits in JSON. */
class ObjectId {
  readonly #digits: string
  readonly buffer = Buffer.alloc(12)
  constructor(digits: string) {
    this.#digits = digits
  }
  toJSON(): string {
    return this.#digits
  }
}

/** As mongoose's: what belongs to it is behind getters and hidden properties, and `toJSON` gives the plain fields. */
class Document {
  readonly $__ = { activePaths: new Map(), isNew: false }
  readonly _doc: Record<string, unknown>
  constructor(fields: Record<string, unknown>) {
    this._doc = fields
    Object.defineProperty(this, '$isDocument', { value: true })
  }
  get id(): unknown {
    return this._doc['_id']
  }
  toJSON(): object {
    return { ...this._doc }
  }
}

/** As decimal.js and luxon have it: a text. */
class Decimal {
  readonly d = [1]
  readonly constructorName = Symbol('decimal')
  readonly text: string
  constructor(text: string) {
    this.text = text
  }
  toJSON(): string {
    return this.text
  }
}

/** As moment has it: the text of a Date inside. */
class Moment {
  readonly _d: Date
  readonly _locale = { parse: (): void => {} }
  constructor(at: number) {
    this._d = new Date(at)
  }
  toJSON(): string | null {
    return Number.isNaN(this._d.getTime()) ? null : this._d.toISOString()
  }
}

class Cart {
  readonly items = ['tea']
  readonly note = undefined
  add = (item: string): void => void this.items.push(item)
  get size(): number {
    return this.items.length
  }
}

describe('what JSON would have made something of', () => {
  const id = new ObjectId('65a1b2c3d4e5f60718293a4b')
  test.each([
    ['an ObjectId', id],
    [
      'a document with others in it',
      new Document({ _id: id, name: 'Ada', roles: [new ObjectId('00')], nested: new Document({ _id: id }) }),
    ],
    ['a Decimal', new Decimal('0.1')],
    ['a moment', new Moment(0)],
    ['a moment that is none', new Moment(Number.NaN)],
    ['an instance of a class', new Cart()],
    ['an instance in an instance', Object.assign(new Cart(), { owner: new Cart() })],
    ['a URL', new URL('https://example.org/a')],
    ['a plain object with a toJSON', { secret: 1, toJSON: () => ({ shown: 1 }) }],
    ['an object that a toJSON gave, which is not asked again', { toJSON: () => ({ a: 1, toJSON: () => 2 }) }],
    ['an inherited toJSON', Object.create({ toJSON: () => 'inherited' })],
    [
      'functions, symbols and keys that are symbols',
      { f: () => 1, s: Symbol('s'), [Symbol('k')]: 1, l: [() => 1, Symbol('s'), 1] },
    ],
    [
      'getters and hidden properties',
      Object.defineProperty(
        {
          get a() {
            return 1
          },
        },
        'hidden',
        { value: 1 },
      ),
    ],
    ['arrays with holes and extra properties', [/a/.exec('a'), [1, new Array(2), 2]]],
    ['an instance of a class that extends Array', class extends Array<number> {}.from([1, 2])],
    [
      'an instance of a class that extends Date, with a toJSON',
      new (class extends Date {
        override toJSON(): string {
          return 'own'
        }
      })(0),
    ],
    ['boxed values', [Object('text'), Object(1), Object(true)]],
    ['a promise', Promise.resolve(1)],
    ['an object that only claims to be a Date', Object.create(Date.prototype, { toJSON: { value: () => 'claimed' } })],
    ['a proxy', new Proxy({ a: [1] }, {})],
  ])('%s is stored as that', (_what, value) => {
    expect(stored({ value, list: [value] })).toEqual(JSON.parse(JSON.stringify({ value, list: [value] })))
  })
})

describe('what the codec keeps', () => {
  const exact = (): Record<string, unknown> => ({
    at: new Date(5),
    never: new Date(Number.NaN),
    map: new Map<unknown, unknown>([[{ k: 1 }, new Date(1)]]),
    set: new Set([1n, { a: 1 }]),
    big: 12n ** 30n,
    bytes: Buffer.from('tea'),
    words: Uint16Array.of(1, 2),
    nothing: undefined,
    nan: Number.NaN,
    pattern: Object.assign(/x/gi, { lastIndex: 2 }),
    error: Object.assign(new TypeError('wrong', { cause: { at: new Date(2) } }), { code: 'E1' }),
    bare: Object.assign(Object.create(null) as object, { a: 1 }),
  })

  test('stays exact, and is stored as the same bytes as without the switch', () => {
    expect(codec.encode(exact())).toEqual(msgpackCodec.encode(exact()))
    expect(stored(exact())).toEqual(exact())
  })

  test('stays exact inside what is stored as JSON would have it', () => {
    expect(stored(new Document(exact()))).toEqual(stored({ ...exact(), nothing: undefined }))
    expect((stored(new Document(exact())) as { at: unknown }).at).toStrictEqual(new Date(5))
  })

  test('of a class that extends it, is stored as what it extends', () => {
    class Basket extends Map<string, unknown> {}
    class Day extends Date {}
    class Bytes extends Uint8Array {}
    class Refusal extends TypeError {}
    const value = { basket: new Basket([['tea', new ObjectId('01')]]), day: new Day(1), bytes: new Bytes([1, 2]) }
    expect(stored(value)).toStrictEqual({
      basket: new Map([['tea', '01']]),
      day: new Date(1),
      bytes: Uint8Array.of(1, 2),
    })
    expect(stored(new Refusal('no'))).toStrictEqual(new TypeError('no'))
  })

  test('holds what JSON would have made of its parts', () => {
    const value = {
      map: new Map<unknown, unknown>([
        ['id', new ObjectId('01')],
        [new ObjectId('02'), 1],
        ['f', () => 1],
      ]),
      set: new Set<unknown>([new ObjectId('03'), Symbol('s')]),
      error: Object.assign(new Error('x'), { request: new Cart(), retry: () => 1 }),
      day: Object.assign(new Date(1), { tag: 1 }),
    }
    const { error, ...rest } = stored(value) as typeof value
    expect(rest).toStrictEqual({
      map: new Map<unknown, unknown>([
        ['id', '01'],
        ['02', 1],
      ]),
      set: new Set(['03']),
      day: new Date(1),
    })
    expect(Object.entries(error)).toEqual([['request', { items: ['tea'] }]])
    expect(error.message).toBe('x')
  })
})

describe('what was given', () => {
  test('is not changed, and a value that was decoded gives the same bytes', () => {
    const document = new Document({ _id: new ObjectId('01'), at: new Date(1), list: [new Cart()] })
    const value = { document, [Symbol('mark')]: 1 }
    const bytes = codec.encode(value)
    expect(value.document).toBe(document)
    expect(document._doc['list']).toEqual([expect.any(Cart)])
    expect(codec.encode(codec.decode(bytes))).toEqual(bytes)
  })

  test('from another realm is plain data', () => {
    const foreign = runInNewContext('({ list: [1, { a: new Date(3) }], map: new Map([[1, new Set([2])]]) })') as unknown
    expect(stored(foreign)).toStrictEqual({ list: [1, { a: new Date(3) }], map: new Map([[1, new Set([2])]]) })
  })
})

describe('what is refused', () => {
  test('is a cycle, also one through instances, with the place where it closes', () => {
    const cart = Object.assign(new Cart(), { list: [] as unknown[] })
    cart.list.push({ back: cart })
    expect(refusalOf({ cart })).toMatchObject({ code: 'E_SESSION_DATA', path: 'data.cart.list[0].back' })
  })

  test('is what throws when it is asked, with its path', () => {
    const throwing = { toJSON: () => expect.fail('hunter2') }
    const refusal = refusalOf({ list: [throwing] }) as Error
    expect(refusal).toMatchObject({ code: 'E_SESSION_DATA', path: 'data.list[0]' })
    expect(refusal.message).not.toContain('hunter2')
  })

  test('is what goes on for ever', () => {
    const endless = (): object => ({ toJSON: () => ({ next: endless() }) })
    expect(refusalOf(endless())).toMatchObject({ code: 'E_SESSION_DATA' })
    expect(refusalOf(new Array(4_000_000_000))).toMatchObject({ code: 'E_SESSION_TOO_LARGE', path: 'data' })
  })

  test('is a whole value of which JSON would have left nothing', () => {
    for (const nothing of [() => 1, Symbol('mark')])
      expect(refusalOf(nothing)).toMatchObject({ code: 'E_SESSION_DATA', path: 'data' })
  })

  test('is more than the store allows, and no less', () => {
    const large = { text: 'x'.repeat(70_000_000) }
    expect(codec.encode(large, { maxBytes: 80_000_000 }).length).toBeGreaterThan(70_000_000)
    const encode = (): unknown => codec.encode({ text: 'x'.repeat(2_000) }, { maxBytes: 1_000 })
    expect(encode).toThrow(expect.objectContaining({ code: 'E_SESSION_TOO_LARGE' }))
  })

  test('is an own __proto__ key, which reaches no prototype', () => {
    const evil = JSON.parse('{ "a": { "__proto__": { "isAdmin": true } } }') as unknown
    expect(refusalOf(evil)).toMatchObject({ code: 'E_SESSION_DATA', path: 'data.a' })
  })
})

test('a store with the switch merges what it stores, and shares its sessions with one without', async () => {
  const store = createSessionStore({ codec, allowEmbedded: true })
  const { id } = await store.create({ user: new Document({ _id: new ObjectId('01') }), step: 0 })
  const [one, other] = [await store.load(id), await store.load(id)]
  if (one === undefined || other === undefined) expect.fail()
  other.data['user'] = new Document({ _id: new ObjectId('02') })
  await store.save(other)
  one.data['step'] = new Decimal('1')
  await store.save(one)
  expect((await store.load(id))?.data).toEqual({ user: { _id: '02' }, step: '1' })
  expect(msgpackCodec.decode(codec.encode({ id: new ObjectId('01') }))).toEqual({ id: '01' })
  await store.close()
})
