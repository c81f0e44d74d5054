import { describe, expect, test } from 'vitest'
import { jsonCodec, msgpackCodec } from '../../src/codecs/index.js'
import { SessionStoreError } from '../../src/errors.js'

const bad = (): void => {}

const complaintOf = (value: unknown, codec = msgpackCodec): SessionStoreError => {
  try {
    codec.encode(value)
  } catch (error) {
    if (error instanceof SessionStoreError) return error
    throw error
  }
  throw new Error('It was accepted')
}

describe('The path to what cannot be stored', () => {
  test.each<[string, unknown]>([
    ['data', bad],
    ['data.a.b[1]', { a: { b: [0, bad] } }],
    ['data["a b"][""]["0"]', { 'a b': { '': { 0: bad } } }],
    ['data.map.get("k").x', { map: new Map([['k', { x: bad }]]) }],
    ['data.get(7)', new Map([[7, bad]])],
    ['data.get(null)', new Map([[null, bad]])],
    [
      'data.values()[1]',
      new Map<unknown, unknown>([
        ['k', 1],
        [{}, bad],
      ]),
    ],
    [
      'data.keys()[1]',
      new Map<unknown, unknown>([
        ['k', 1],
        [bad, 1],
      ]),
    ],
    ['data.set.values()[1][0]', { set: new Set([1, [bad]]) }],
    ['data.get("aaaaaaaaaaaaaaaaaaaa…")', new Map([['a'.repeat(41), bad]])],
    ['data.error.cause.details', { error: new Error('', { cause: Object.assign(new Error(), { details: bad }) }) }],
    ['data[0].bare.x', [{ bare: Object.assign(Object.create(null), { x: bad }) }]],
  ])('is written as the code that fetches it: %s', (path, value) => {
    expect(complaintOf(value).path).toBe(path)
  })

  test('leaves out the middle of a very long way', () => {
    let value: unknown = bad
    for (let level = 0; level < 200; level += 1) value = { next: value }
    expect(complaintOf(value).path).toBe(`data${'.next'.repeat(10)}….next.next`)
  })

  test('ends where a cycle closes, and the message says where it leads', () => {
    const user: Record<string, unknown> = { name: 'Jane' }
    user['best'] = { friends: new Set([user]) }
    const error = complaintOf({ account: { user } })
    expect(error.path).toBe('data.account.user.best.friends.values()[0]')
    expect(error.message).toContain('a reference back to an object that it stands in, 3 levels further up')
  })
})

describe('The complaint', () => {
  test('says what was found, that it cannot be stored, and what to do', () => {
    expect(complaintOf({ id: 1, cart: [{ a: 1, b: 1, price: bad }] }).message).toBe(
      'The data holds a function, which cannot be stored in a session: store the data it works on and keep it in code (in the data, by positions from 0: property 1, element 0, property 2; `path` of this error has the names)',
    )
  })

  test('tells the place in each kind of collection by its position', () => {
    const data = { map: new Map<unknown, unknown>([[1, new Set([0, new Map([[bad, 1]])])]]) }
    expect(complaintOf(data).message).toContain('property 0, value 0 of a Map, member 1 of a Set, key 0 of a Map;')
    expect(complaintOf(bad).message).toContain('(the data itself)')
  })

  test('names the class of an instance, without running its code', () => {
    class Basket {}
    const refuse = (): never => {
      throw new Error('was run')
    }
    Object.defineProperty(Basket.prototype, 'constructor', { get: refuse })
    expect(complaintOf(new URL('https://example.org')).message).toContain('an instance of the class URL')
    expect(complaintOf(new Basket()).message).toContain('an instance of a class without a name')
    expect(complaintOf(Object.create({})).message).toContain('an instance of a class without a name')
  })

  test('keeps what went wrong while reading as its cause', () => {
    const cause = new Error('revoked')
    const proxy = new Proxy(
      {},
      {
        getPrototypeOf: () => {
          throw cause
        },
      },
    )
    expect(complaintOf([proxy])).toMatchObject({ code: 'E_SESSION_DATA', path: 'data', cause })
  })

  test('of the json codec names the codec that could', () => {
    expect(complaintOf({ at: new Date(0) }, jsonCodec).message).toContain('an instance of the class Date')
    expect(complaintOf({ at: new Date(0) }, jsonCodec).message).toContain('msgpackCodec')
    expect(complaintOf({ at: undefined }, jsonCodec).message).toContain('holds undefined')
  })
})

describe('The bounds', () => {
  const nested = (levels: number): unknown => {
    let value: unknown = 1
    for (let level = 0; level < levels; level += 1) value = [value]
    return value
  }

  test.each([msgpackCodec, jsonCodec])('256 levels are stored and 257 refused: $name', (codec) => {
    expect(codec.decode(codec.encode(nested(256)))).toEqual(nested(256))
    expect(complaintOf(nested(257), codec).message).toContain('nested too deeply')
  })

  test('256 levels of what takes the way round are stored as well', () => {
    let value: unknown = -0
    for (let level = 0; level < 256; level += 1) value = Object.assign(Object.create(null), { value })
    expect(msgpackCodec.encode(msgpackCodec.decode(msgpackCodec.encode(value)))).toEqual(msgpackCodec.encode(value))
  })

  test.each([msgpackCodec, jsonCodec])('64 MiB of text are refused, wherever they stand: $name', (codec) => {
    const text = 'x'.repeat(64 * 1024 * 1024)
    expect(complaintOf(text, codec).path).toBe('data')
    expect(complaintOf({ text, more: 1 }, codec).path).toBe('data')
    expect(
      complaintOf(
        Array.from({ length: 65 }, () => text.slice(0, 1024 * 1024)),
        codec,
      ).path,
    ).toBe('data')
  })

  test.each([msgpackCodec, jsonCodec])(
    'more than was said is refused as too large, and as much is stored: $name',
    (codec) => {
      const limits = { maxBytes: 200_000_000 }
      const text = 'x'.repeat(100_000_000)
      expect(codec.encode([text], limits).length).toBeGreaterThan(100_000_000)
      for (const [value, maxBytes] of [
        [[text, text], limits.maxBytes],
        ['x'.repeat(11), 10],
        [new Array(11).fill(null), 10],
      ] as const)
        expect(() => codec.encode(value, { maxBytes })).toThrow(
          expect.objectContaining({
            code: 'E_SESSION_TOO_LARGE',
            path: 'data',
            message: expect.stringContaining(String(maxBytes)),
          }),
        )
    },
  )

  test.each([msgpackCodec, jsonCodec])(
    'more values than were said are refused as too large, and as many are stored: $name',
    (codec) => {
      const limits = { maxBytes: 1_000_000, maxValues: 10 }
      for (const of of [
        (count: number) => Object.fromEntries(new Array(count).fill(0).map((_, at) => [`key${at}`, at])),
        (count: number) => new Array(count).fill(null),
        (count: number) => [new Array(count - 2).fill(''), true],
      ]) {
        expect(codec.decode(codec.encode(of(10), limits))).toEqual(of(10))
        for (const count of [11, 100])
          expect(() => codec.encode(of(count), limits)).toThrow(
            expect.objectContaining({
              code: 'E_SESSION_TOO_LARGE',
              path: 'data',
              message: expect.stringContaining('at most 10 values'),
            }),
          )
      }
    },
  )

  test.each([msgpackCodec, jsonCodec])('the keys of an object with too many are listed once: $name', (codec) => {
    let listings = 0
    const huge = new Proxy(Object.fromEntries(Array.from({ length: 100 }, (_, at) => [`key${at}`, at])), {
      ownKeys: (target) => {
        listings += 1
        return Reflect.ownKeys(target)
      },
    })
    expect(() => codec.encode({ huge }, { maxBytes: 1_000_000, maxValues: 10 })).toThrow('at most 10 values')
    expect(listings).toBe(1)
  })

  test('a Map or a Set with too many values is refused before one of them is looked at', () => {
    const limits = { maxBytes: 1_000_000, maxValues: 10 }
    for (const of of [
      (count: number) => new Set(Array.from({ length: count }, (_, at) => at)),
      (count: number) => new Map(Array.from({ length: count / 2 }, (_, at) => [at, null])),
    ]) {
      expect(msgpackCodec.decode(msgpackCodec.encode(of(10), limits))).toEqual(of(10))
      expect(() => msgpackCodec.encode(of(12), limits)).toThrow('at most 10 values')
    }
    expect(() => msgpackCodec.encode(new Set([bad, ...Array(11).keys()]), limits)).toThrow('at most 10 values')
  })

  test('what is stored can be read, however large it is', () => {
    const value = ['x'.repeat(70_000_000)]
    expect(jsonCodec.decode(jsonCodec.encode(value, { maxBytes: 100_000_000 }))).toEqual(value)
  })

  test('a small bound is no bound for what repeats long names', () => {
    const name = 'n'.repeat(100)
    const value = Array.from({ length: 10_000 }, () => ({ [name]: 1 }))
    const bytes = msgpackCodec.encode(value)
    expect(bytes.length).toBeLessThan(50_000)
    expect(msgpackCodec.encode(value, { maxBytes: bytes.length })).toEqual(bytes)
  })

  test('bytes and bigints count too', () => {
    const megabyte = Buffer.alloc(1024 * 1024)
    const large = 1n << BigInt(8 * 1024 * 1024)
    expect(complaintOf(new Array(65).fill(megabyte)).path).toBe('data')
    expect(complaintOf(new Array(65).fill(megabyte.buffer)).path).toBe('data')
    expect(complaintOf(new Array(65).fill(large)).path).toBe('data')
  })
})

test('memory that is gone, shared or of changing size is refused', () => {
  const gone = new ArrayBuffer(8)
  const view = new Float64Array(gone)
  structuredClone(gone, { transfer: [gone] })
  const resizable: unknown = Reflect.construct(ArrayBuffer, [8, { maxByteLength: 16 }])
  for (const value of [gone, view, resizable, new SharedArrayBuffer(8), new DataView(new SharedArrayBuffer(8))])
    expect(complaintOf({ value }).code).toBe('E_SESSION_DATA')
})

test('an own constructor, by which msgpackr tells bytes from bytes, is refused', () => {
  for (const bytes of [Uint8Array.of(1), Buffer.of(1), new DataView(new ArrayBuffer(1))])
    expect(complaintOf({ bytes: Object.assign(bytes, { constructor: 1 }) }).path).toBe('data.bytes')
})

test.each([new Date(0), new Map(), new Set(), /a/, new ArrayBuffer(1)])(
  'a built-in with a property of its own is refused: %o',
  (value) => {
    expect(complaintOf({ value: Object.assign(value, { note: 1 }) }).path).toBe('data.value')
  },
)

test('an enumerable property that somebody gave to every object is not the session’s', () => {
  Object.defineProperty(Object.prototype, 'everywhere', {
    value: () => 1,
    enumerable: true,
    writable: true,
    configurable: true,
  })
  try {
    for (const value of [{ a: 1 }, { hasOwnProperty: 1, a: { b: 2 } }, Object.assign(Object.create(null), { a: 1 })])
      expect(Object.entries(msgpackCodec.decode(msgpackCodec.encode(value)) as object)).toEqual(Object.entries(value))
  } finally {
    Reflect.deleteProperty(Object.prototype, 'everywhere')
  }
})
