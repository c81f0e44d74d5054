import { isDeepStrictEqual } from 'node:util'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import { keysRead, type MergeOptions, mergeThreeWay } from '../../src/session/merge.js'
import { BY_KEY } from '../../src/session/merge-rules.js'
import { samenessOf } from '../../src/session/sameness.js'
import { rounds, seed } from '../support/seed.js'

const plain: MergeOptions = {
  sameness: samenessOf([msgpackCodec]),
  rules: BY_KEY,
  unmergedKeys: new Set(),
  deletionWinsKeys: new Set(),
  descends: true,
}
const unmerged: MergeOptions = { ...plain, unmergedKeys: new Set(['a']) }
const identity: MergeOptions = { ...plain, deletionWinsKeys: new Set(['a']) }

const conflict = { outcome: 'conflict' } as const
const merged = (data: unknown) => ({ outcome: 'merged', data }) as const

/** What comes of a merge, without whether a change had to give way. */
const merge = (base: unknown, mine: unknown, current: unknown, options: MergeOptions = plain): unknown => {
  const outcome = mergeThreeWay(base, mine, current, options)
  return outcome.outcome === 'merged' ? merged(outcome.data) : outcome
}

/** Base, mine, current, and what comes of them. */
type Case = readonly [title: string, base: unknown, mine: unknown, current: unknown, expected: unknown]

const runAll = (options: MergeOptions, cases: readonly Case[]): void => {
  for (const [title, base, mine, current, expected] of cases)
    test(title, () => {
      const before = structuredClone([base, mine, current])
      expect(merge(base, mine, current, options)).toStrictEqual(merged(expected))
      expect([base, mine, current], 'nothing that was given is changed').toStrictEqual(before)
    })
}

describe('Different keys all survive (I3)', () => {
  runAll(plain, [
    ['I changed one, they changed another', { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }, { a: 2, b: 2 }],
    ['I added one, they added another', {}, { a: 1 }, { b: 2 }, { a: 1, b: 2 }],
    ['I added one, they changed another', { b: 1 }, { a: 1, b: 1 }, { b: 2 }, { a: 1, b: 2 }],
    ['I deleted one, they changed another', { a: 1, b: 1 }, { b: 1 }, { a: 1, b: 2 }, { b: 2 }],
    ['I changed one, they deleted another', { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1 }, { a: 2 }],
    ['I deleted one, they deleted another', { a: 1, b: 1, c: 1 }, { b: 1, c: 1 }, { a: 1, c: 1 }, { c: 1 }],
    ['I changed nothing', { a: 1 }, { a: 1 }, { a: 2, b: 3 }, { a: 2, b: 3 }],
    ['they changed nothing', { a: 1 }, { a: 2, b: 3 }, { a: 1 }, { a: 2, b: 3 }],
    ['we both did the same', { a: 1 }, { a: 2, b: 3 }, { a: 2, b: 3 }, { a: 2, b: 3 }],
    [
      'we both did the same to one, and each something else',
      { a: 1 },
      { a: 2, b: 1 },
      { a: 2, c: 1 },
      { a: 2, b: 1, c: 1 },
    ],
  ])

  test('whatever each of several writers added or changed under keys of its own is there in the end', () => {
    const value = fc.oneof(fc.integer(), fc.string(), fc.array(fc.integer(), { maxLength: 3 }))
    const changes = fc.dictionary(fc.string({ maxLength: 8 }), value, { maxKeys: 6 })
    const property = fc.property(changes, fc.array(changes, { minLength: 1, maxLength: 5 }), (base, writers) => {
      // Each writer has a prefix of its own, so that no two change one key. All started from the same base.
      const owned = writers.map((each, writer) =>
        Object.fromEntries(Object.entries(each).map(([key, own]) => [`${writer}:${key}`, own])),
      )
      const end = owned.reduce<unknown>((current, own) => {
        const outcome = mergeThreeWay(base, { ...base, ...own }, current, plain)
        return outcome.outcome === 'merged' ? outcome.data : outcome
      }, base)
      expect(end).toEqual(Object.assign({}, base, ...owned))
    })
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })
})

describe('In one key the later write stands, and a change beats a deletion', () => {
  runAll(plain, [
    ['we both changed it: mine', { a: 1 }, { a: 2 }, { a: 3 }, { a: 2 }],
    ['we both added it: mine', {}, { a: 2 }, { a: 3 }, { a: 2 }],
    ['I changed it, they deleted it: my change', { a: 1 }, { a: 2 }, {}, { a: 2 }],
    ['I deleted it, they changed it: their change', { a: 1 }, {}, { a: 3 }, { a: 3 }],
    ['we both deleted it, and they changed another', { a: 1, b: 1 }, { b: 1 }, { b: 2 }, { b: 2 }],
    ['I deleted it, they left it: deleted', { a: 1, b: 1 }, { b: 1 }, { a: 1, b: 2 }, { b: 2 }],
    ['I left it, they deleted it: deleted', { a: 1, b: 1 }, { a: 1, b: 2 }, { b: 1 }, { b: 2 }],
    [
      'I set it to undefined, they changed it: mine, since undefined is a value',
      { a: 1 },
      { a: undefined },
      { a: 3 },
      { a: undefined },
    ],
    [
      'I deleted what was undefined, they changed another',
      { a: undefined, b: 1 },
      { b: 1 },
      { a: undefined, b: 2 },
      { b: 2 },
    ],
    ['I added undefined, they added another', {}, { a: undefined }, { b: 1 }, { a: undefined, b: 1 }],
    [
      'I changed undefined to null, they added another',
      { a: undefined },
      { a: null },
      { a: undefined, b: 1 },
      { a: null, b: 1 },
    ],
    ['I changed 0 to -0, they added another', { a: 0 }, { a: -0 }, { a: 0, b: 1 }, { a: -0, b: 1 }],
    [
      'NaN that stayed NaN is no change',
      { a: Number.NaN, b: 1 },
      { a: Number.NaN, b: 2 },
      { a: 7, b: 1 },
      { a: 7, b: 2 },
    ],
  ])
})

describe('A value is one thing: nothing inside it is merged', () => {
  const cart = (...items: string[]): { cart: { items: string[] } } => ({ cart: { items } })
  runAll(plain, [
    [
      'nested objects count as one',
      { o: { x: 1, y: 1 } },
      { o: { x: 2, y: 1 } },
      { o: { x: 1, y: 2 } },
      { o: { x: 2, y: 1 } },
    ],
    [
      'a nested change of mine and another key of theirs',
      { o: { x: 1 } },
      { o: { x: 2 } },
      { o: { x: 1 }, b: 1 },
      { o: { x: 2 }, b: 1 },
    ],
    [
      'a nested change of theirs and another key of mine',
      { o: { x: 1 } },
      { o: { x: 1 }, a: 1 },
      { o: { x: 2 } },
      { o: { x: 2 }, a: 1 },
    ],
    ['arrays are not interleaved', cart('tea'), cart('tea', 'milk'), cart('tea', 'cake'), cart('tea', 'milk')],
    [
      'Maps count as one',
      { m: new Map([['x', 1]]) },
      { m: new Map([['x', 2]]) },
      { m: new Map([['y', 3]]) },
      { m: new Map([['x', 2]]) },
    ],
    [
      'equal Maps are no change',
      { m: new Map([['x', 1]]), b: 1 },
      { m: new Map([['x', 1]]), b: 2 },
      { m: new Map([['x', 9]]), b: 1 },
      { m: new Map([['x', 9]]), b: 2 },
    ],
    [
      'equal Dates are no change',
      { d: new Date(5), b: 1 },
      { d: new Date(5), b: 2 },
      { d: new Date(6), b: 1 },
      { d: new Date(6), b: 2 },
    ],
    ['a Date is no number', { d: new Date(5), b: 1 }, { d: 5, b: 1 }, { d: new Date(5), b: 2 }, { d: 5, b: 2 }],
    ['an array is no object', { d: [], b: 1 }, { d: {}, b: 1 }, { d: [], b: 2 }, { d: {}, b: 2 }],
    [
      'bytes are compared by what they are',
      { d: Uint8Array.of(1), b: 1 },
      { d: Uint8Array.of(1), b: 2 },
      { d: Uint8Array.of(2), b: 1 },
      { d: Uint8Array.of(2), b: 2 },
    ],
  ])
})

describe('Order is part of a value, as it is for the codec', () => {
  const recent = (...names: string[]): Map<string, number> => new Map(names.map((name) => [name, 1]))
  const nested = (...names: string[]): unknown => [{ seen: new Set([recent(...names)]) }]
  const ordered = (...keys: string[]): unknown => Object.fromEntries(keys.map((key) => [key, 1]))
  for (const [title, before, after] of [
    ['an entry moved to the end of a Map', recent('x', 'y'), recent('y', 'x')],
    ['a member moved to the end of a Set', new Set(['x', 'y']), new Set(['y', 'x'])],
    ['the same deep inside other values', nested('x', 'y'), nested('y', 'x')],
    ['a Map as the key of a Map', new Map([[recent('x', 'y'), 1]]), new Map([[recent('y', 'x'), 1]])],
    ['a Map as the value in a Map', new Map([[1, recent('x', 'y')]]), new Map([[1, recent('y', 'x')]])],
    ['a nested key moved to the end', ordered('x', 'y'), ordered('y', 'x')],
    ['keys that only run together alike', ordered('x\ny', 'x', 'y\nx'), ordered('x', 'y\nx', 'x\ny')],
  ] as const)
    test(`${title}: that is a change, and it survives a change of another key`, () => {
      const show = (value: unknown): string => JSON.stringify(value, withMembers)
      const mine = merge({ a: before }, { a: after }, { a: before, b: 1 }, plain)
      expect(show(mine)).toBe(show(merged({ a: after, b: 1 })))
      const theirs = merge({ a: before }, { a: before, b: 1 }, { a: after }, plain)
      expect(show(theirs)).toBe(show(merged({ a: after, b: 1 })))
      expect(show(after), 'the test can tell them apart').not.toBe(show(before))
    })

  const withMembers = (_key: string, value: unknown): unknown =>
    value instanceof Map || value instanceof Set ? [...value] : value
})

describe('Merging costs no more than reading both sides a few times', () => {
  test('each side of each key is encoded twice at most', () => {
    let encoded = 0
    const counting = {
      id: 1,
      encode: (value: unknown) => {
        encoded += 1
        return Buffer.from(JSON.stringify(value))
      },
    }
    const sides = ([0, 1, 2] as const).map((side) =>
      Object.fromEntries(Array.from({ length: 100 }, (_, key) => [`key${key}`, { side, key }])),
    )
    mergeThreeWay(sides[0], sides[1], sides[2], { ...plain, sameness: samenessOf([counting]) })
    expect(encoded).toBeGreaterThan(0)
    expect(encoded).toBeLessThanOrEqual(600)
  })

  test('a Set of two hundred thousand members, reordered, is compared in one pass over its bytes', () => {
    // Matching each member with each other would take hours.
    const members = Array.from({ length: 200_000 }, (_, n) => `member ${n}`)
    const [before, after] = [new Set(members), new Set(members.toReversed())]
    const outcome = merge({ a: before, b: 1 }, { a: after, b: 1 }, { a: before, b: 2 })
    expect(outcome).toMatchObject({ data: { b: 2 } })
    expect([...(outcome as { data: { a: Set<string> } }).data.a].at(0)).toBe('member 199999')
  })
})

describe('Whether each change of both sides is in what comes out', () => {
  const isWhole = (base: object, mine: object, current: object): boolean | undefined => {
    const outcome = mergeThreeWay(base, mine, current, plain)
    return outcome.outcome === 'merged' ? outcome.isWhole : undefined
  }
  test.each([
    ['different keys', true, { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }],
    ['one key, changed alike', true, { a: 1 }, { a: 2, b: 1 }, { a: 2 }],
    ['one key, changed differently', false, { a: 1 }, { a: 2 }, { a: 3 }],
    ['one key, added differently', false, {}, { a: 2 }, { a: 3 }],
    ['changed by one and deleted by the other', false, { a: 1 }, {}, { a: 2 }],
    ['deleted by both', true, { a: 1, b: 1 }, { b: 1 }, { b: 2 }],
  ])('%s: %s', (_title, expected, base, mine, current) => {
    expect(isWhole(base, mine, current)).toBe(expected)
    expect(isWhole(base, current, mine)).toBe(expected)
  })
})

describe('In keys that identify reads a deletion wins both ways: nobody is logged in again', () => {
  runAll(identity, [
    ['I changed it, they deleted it: deleted', { a: 1, b: 1 }, { a: 2, b: 2 }, { b: 1 }, { b: 2 }],
    ['I deleted it, they changed it: deleted', { a: 1 }, {}, { a: 3 }, {}],
    ['I left it, they deleted it: deleted', { a: 1, b: 1 }, { a: 1, b: 2 }, { b: 1 }, { b: 2 }],
    ['I deleted it, they left it: deleted', { a: 1, b: 1 }, { b: 1 }, { a: 1, b: 2 }, { b: 2 }],
    ['I added it where nobody was: mine', {}, { a: 2 }, { b: 1 }, { a: 2, b: 1 }],
    ['they added it where nobody was: theirs', {}, { b: 1 }, { a: 2 }, { a: 2, b: 1 }],
    ['we both changed it: mine', { a: 1 }, { a: 2 }, { a: 3 }, { a: 2 }],
    ['we both added it: mine', {}, { a: 2 }, { a: 3 }, { a: 2 }],
    ['I changed it, they left it: mine', { a: 1 }, { a: 2 }, { a: 1, b: 1 }, { a: 2, b: 1 }],
    ['other keys are merged as ever: a change beats a deletion', { b: 1 }, { b: 2 }, { c: 1 }, { b: 2, c: 1 }],
  ])
})

describe('In unmerged keys mine stands, whatever others wrote', () => {
  runAll(unmerged, [
    ['they changed it, I left it: mine', { a: 1, b: 1 }, { a: 1, b: 2 }, { a: 3, b: 1 }, { a: 1, b: 2 }],
    ['they changed it, I changed nothing at all: mine', { a: 1 }, { a: 1 }, { a: 3, b: 1 }, { a: 1, b: 1 }],
    ['they deleted it, I left it: mine', { a: 1, b: 1 }, { a: 1, b: 2 }, { b: 1 }, { a: 1, b: 2 }],
    ['they changed it, I deleted it: deleted', { a: 1, b: 1 }, { b: 2 }, { a: 3, b: 1 }, { b: 2 }],
    ['they added it, I do not have it: it goes', { b: 1 }, { b: 2 }, { a: 3, b: 1 }, { b: 2 }],
    ['nobody has it: it stays away', { b: 1 }, { b: 2 }, { b: 1, c: 1 }, { b: 2, c: 1 }],
    [
      'other keys are merged as ever',
      { a: 1, b: 1, c: 1 },
      { a: 2, b: 2, c: 1 },
      { a: 3, b: 1, c: 2 },
      { a: 2, b: 2, c: 2 },
    ],
  ])

  const both: MergeOptions = { ...unmerged, deletionWinsKeys: new Set(['a']) }
  test('that holds also for a key that identify reads', () => {
    expect(merge({ a: 1 }, { a: 2 }, { b: 1 }, both)).toStrictEqual(merged({ a: 2, b: 1 }))
  })
})

describe('Keys with names that mean something to the language are keys like others', () => {
  for (const key of ['__proto__', 'constructor', 'hasOwnProperty', 'toString', 'prototype', '', '0'])
    test(`${JSON.stringify(key)}: added, changed and deleted, without touching a prototype`, () => {
      const having = (value: unknown, more: object = {}): object =>
        Object.defineProperty({ ...more }, key, { value, configurable: true, enumerable: true, writable: true })
      const outcome = (base: unknown, mine: unknown, current: unknown, options = plain): unknown => {
        const result = mergeThreeWay(base, mine, current, options)
        if (result.outcome === 'conflict') return result
        expect(Object.getPrototypeOf(result.data)).toBe(Object.prototype)
        return Object.entries(result.data as object).sort(([a], [b]) => (a < b ? -1 : 1))
      }
      const evil = { isAdmin: true }
      const x = ['x', 1]
      const sorted = (...entries: unknown[][]): unknown[][] =>
        entries.sort(([a], [b]) => (String(a) < String(b) ? -1 : 1))
      expect(outcome({}, having(evil), { x: 1 })).toEqual(sorted([key, evil], x))
      expect(outcome({}, { x: 1 }, having(evil))).toEqual(sorted([key, evil], x))
      expect(outcome(having(1), having(evil), having(1, { x: 1 }))).toEqual(sorted([key, evil], x))
      expect(outcome(having(1), {}, having(1, { x: 1 }))).toEqual([x])
      const wins = { ...plain, deletionWinsKeys: new Set([key]) }
      expect(outcome(Object.create(null), having(evil), { x: 1 }, wins), 'nobody deleted it').toEqual(
        sorted([key, evil], x),
      )
      expect(Object.hasOwn(Object.prototype, 'isAdmin')).toBe(false)
    })

  test('objects without a prototype are merged like others', () => {
    const bare = (entries: object): object => Object.assign(Object.create(null), entries)
    expect(merge(bare({ a: 1 }), bare({ a: 2 }), bare({ a: 1, b: 1 }), plain)).toStrictEqual(
      merged(bare({ a: 2, b: 1 })),
    )
  })
})

describe('Data that is no plain object is one single value', () => {
  class Cart {}
  for (const [title, base, mine, current, expected] of [
    ['a text that both changed', 'a', 'b', 'c', conflict],
    ['a text that only I changed', 'a', 'b', 'a', merged('b')],
    ['a text that only they changed', 'a', 'a', 'c', merged('c')],
    ['a text that both changed alike', 'a', 'b', 'b', merged('b')],
    ['arrays', [1], [1, 2], [1, 3], conflict],
    ['Maps', new Map(), new Map([[1, 1]]), new Map([[2, 2]]), conflict],
    ['null, then two objects', null, { a: 1 }, { b: 1 }, conflict],
    ['an object that I made a text', { a: 1 }, 'text', { a: 2 }, conflict],
    ['an object that they made a text', { a: 1 }, { a: 2 }, 'text', conflict],
    ['an object that only they made a text', { a: 1 }, { a: 1 }, 'text', merged('text')],
    [
      'instances of a class',
      new Cart(),
      Object.assign(new Cart(), { a: 1 }),
      Object.assign(new Cart(), { b: 1 }),
      conflict,
    ],
  ] as const)
    test(`${title}: ${expected.outcome}`, () => {
      expect(merge(base, mine, current, plain)).toStrictEqual(expected)
    })
})

describe('For any data', () => {
  const anyData = fc.oneof(
    { weight: 4, arbitrary: fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.jsonValue({ maxDepth: 2 })) },
    fc.anything({ withDate: true, withMap: true, withSet: true, withTypedArray: true, withNullPrototype: true }),
  )
  const anyOptions = fc
    .subarray(['a', 'b', 'c', 'd'])
    .map((keys): MergeOptions => ({ ...plain, deletionWinsKeys: new Set(keys) }))

  test('where only I changed something, mine comes out; where only they did, theirs', () => {
    const property = fc.property(anyData, anyData, anyOptions, (base, other, options) => {
      expect(merge(base, other, base, options)).toEqual(merged(other))
      expect(merge(base, base, other, options)).toEqual(merged(other))
      expect(merge(base, other, other, options)).toEqual(merged(other))
    })
    fc.assert(property, { seed, numRuns: rounds(500, 10_000) })
  })

  test('each key of a merged object is as it stands on one of the two sides', () => {
    const objects = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.integer({ min: 0, max: 3 }), {
      noNullPrototype: true,
    })
    const property = fc.property(objects, objects, objects, anyOptions, (base, mine, current, options) => {
      const outcome = mergeThreeWay(base, mine, current, options)
      const data = outcome.outcome === 'merged' ? (outcome.data as Record<string, number>) : {}
      expect(outcome.outcome).toBe('merged')
      for (const key of ['a', 'b', 'c', 'd']) {
        const inMine = isDeepStrictEqual(base[key], mine[key])
        const inCurrent = isDeepStrictEqual(base[key], current[key])
        if (inMine) expect(data[key], 'I left it').toBe(current[key])
        else if (inCurrent) expect(data[key], 'they left it').toBe(mine[key])
        else expect([mine[key], current[key]]).toContain(data[key])
      }
    })
    fc.assert(property, { seed, numRuns: rounds(500, 10_000) })
  })
})

describe('Which keys a function reads', () => {
  const data = { userId: 7, profile: { name: 'Ada', tags: ['x'] }, cart: [] }
  for (const [title, read, keys] of [
    ['a key', (d: typeof data) => d.userId, ['userId']],
    ['nested values count as their top-level key', (d: typeof data) => d.profile.name, ['profile']],
    ['a key that is not there', (d: typeof data & { admin?: string }) => d.admin ?? d.userId, ['admin', 'userId']],
    ['destructuring', ({ userId, cart }: typeof data) => [userId, cart], ['userId', 'cart']],
    ['`in`', (d: typeof data) => 'userId' in d, ['userId']],
    ['hasOwn', (d: typeof data) => Object.hasOwn(d, 'userId'), ['userId']],
    ['all of them', (d: typeof data) => Object.values({ ...d }), ['userId', 'profile', 'cart']],
    ['none', () => 'somebody', []],
    ['a symbol is no key', (d: typeof data) => (d as Record<symbol, unknown>)[Symbol.iterator], []],
  ] as const)
    test(`${title}`, () => {
      expect([...keysRead(read as (data: never) => unknown, data)].sort()).toEqual([...keys].sort())
    })

  test('a function that cannot work with a Proxy may have read all of them', () => {
    const read = (d: typeof data): unknown => structuredClone(d).userId
    expect([...keysRead(read as (data: never) => unknown, data)]).toEqual(Object.keys(data))
  })

  test('the data is not changed by looking', () => {
    const before = structuredClone(data)
    keysRead(((d: typeof data) => d.profile.tags) as (data: never) => unknown, data)
    expect(data).toStrictEqual(before)
  })

  test('data that is no plain object has no keys, and the function is not run on it', () => {
    for (const other of [undefined, null, 'text', [1], new Map([['userId', 7]]), new Date(0)])
      expect(
        keysRead(() => {
          throw new Error('was run')
        }, other),
      ).toEqual(new Set())
  })
})
