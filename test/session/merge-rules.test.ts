import fc from 'fast-check'
import { describe, expect, expectTypeOf, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import { type MergeOptions, mergeThreeWay } from '../../src/session/merge.js'
import { combines, IN_DEPTH, type MergeRule, type Rule, type Rules } from '../../src/session/merge-rules.js'
import { samenessOf } from '../../src/session/sameness.js'
import { rounds, seed } from '../support/seed.js'

const rulesFor = (keys: Readonly<Record<string, Rule>>, rest: Rule = 'merge'): Rules => ({
  rest,
  keys: new Map(Object.entries(keys)),
})

const options = (rules: Rules, more: Partial<MergeOptions> = {}): MergeOptions => ({
  sameness: samenessOf([msgpackCodec]),
  rules,
  unmergedKeys: new Set(),
  deletionWinsKeys: new Set(),
  descends: true,
  ...more,
})

const merge = (
  rules: Rules,
  sides: readonly [unknown, unknown, unknown],
  more: Partial<MergeOptions> = {},
): unknown => {
  const before = msgpackCodec.encode(sides)
  const outcome = mergeThreeWay(...sides, options(rules, more))
  expect(Buffer.compare(msgpackCodec.encode(sides), before), 'nothing that was given is changed').toBe(0)
  return outcome.outcome === 'merged' ? outcome.data : outcome
}

/** What becomes of one key, `k`, under a rule; `undefined` as a base stands for a key that was not there. */
const ofKey = (rule: Rule, base: unknown, mine: unknown, current: unknown): unknown =>
  (
    merge(rulesFor({ k: rule }), [base === undefined ? {} : { k: base }, { k: mine }, { k: current }]) as {
      readonly k: unknown
    }
  ).k

/** Base, mine, current, and what comes of them. */
type Case = readonly [title: string, base: unknown, mine: unknown, current: unknown, expected: unknown]

const runAll = (rule: Rule, cases: readonly Case[]): void => {
  for (const [title, base, mine, current, expected] of cases)
    test(title, () => expect(ofKey(rule, base, mine, current)).toStrictEqual(expected))
}

describe('append: an array that only grew has both additions, in the order in which they were stored', () => {
  runAll('append', [
    ['both added', ['a'], ['a', 'mine'], ['a', 'theirs'], ['a', 'theirs', 'mine']],
    ['both added the same', ['a'], ['a', 'tea'], ['a', 'tea'], ['a', 'tea', 'tea']],
    ['both added several', [], [1, 2], [3, 4], [3, 4, 1, 2]],
    ['both made it', undefined, ['mine'], ['theirs'], ['theirs', 'mine']],
    ['both made it where null stood', null, ['mine'], ['theirs'], ['theirs', 'mine']],
    ['objects', [{ a: 1 }], [{ a: 1 }, { b: 1 }], [{ a: 1 }, { c: 1 }], [{ a: 1 }, { c: 1 }, { b: 1 }]],
    [
      'NaN and Dates',
      [Number.NaN, new Date(1)],
      [Number.NaN, new Date(1), 1],
      [Number.NaN, new Date(1), 2],
      [Number.NaN, new Date(1), 2, 1],
    ],
    ['mine did more than grow: mine', ['a', 'b'], ['b', 'mine'], ['a', 'b', 'theirs'], ['b', 'mine']],
    ['theirs did more than grow: mine', ['a', 'b'], ['a', 'b', 'mine'], ['b', 'theirs'], ['a', 'b', 'mine']],
    ['only I changed it, in whatever way', ['a', 'b'], ['b'], ['a', 'b'], ['b']],
    ['only they changed it, in whatever way', ['a', 'b'], ['a', 'b'], ['b'], ['b']],
    ['what is no array: mine', 'a', 'ab', 'ac', 'ab'],
    ['what I made an array: mine', 'a', ['a'], 'ac', ['a']],
  ])

  test('of any number of requests that appended, each finds all its items, in its order', () => {
    const items = fc.array(fc.oneof(fc.integer(), fc.string(), fc.record({ sku: fc.string() })), { maxLength: 4 })
    const property = fc.property(items, fc.array(items, { minLength: 1, maxLength: 6 }), (base, additions) => {
      const end = additions.reduce(
        (current, added) => ofKey('append', base, [...base, ...added], current) as typeof base,
        base,
      )
      expect(end).toEqual([...base, ...additions.flat()])
    })
    fc.assert(property, { seed, numRuns: rounds(100, 5_000) })
  })
})

describe('sum: a counter has both differences', () => {
  runAll('sum', [
    ['both raised it', 5, 6, 7, 8],
    ['both raised it by the same', 5, 6, 6, 7],
    ['one raised it, one lowered it', 5, 8, 1, 4],
    ['both made it', undefined, 1, 1, 2],
    ['both made it where null stood', null, 2, 3, 5],
    ['bigints', 5n, 6n, 6n, 7n],
    ['bigints that both made', undefined, 1n, 1n, 2n],
    ['only they raised it', 5, 5, 7, 7],
    ['a number and a bigint: mine', 5, 6n, 7, 6n],
    ['what is no number: mine', 'a', 'b', 'c', 'b'],
    ['NaN: mine', 5, Number.NaN, 6, Number.NaN],
    ['the infinite: mine', 5, Number.POSITIVE_INFINITY, 6, Number.POSITIVE_INFINITY],
  ])

  test('of any number of requests that counted, each counts', () => {
    const property = fc.property(
      fc.integer(),
      fc.array(fc.integer({ min: -1_000, max: 1_000 }), { maxLength: 20 }),
      (base, steps) => {
        const end = steps.reduce<unknown>((current, step) => ofKey('sum', base, base + step, current), base)
        expect(end).toBe(steps.reduce((total, step) => total + step, base))
      },
    )
    fc.assert(property, { seed, numRuns: rounds(100, 5_000) })
  })
})

describe('union: a Set has what either added, and lacks what either removed', () => {
  const set = (...members: unknown[]): Set<unknown> => new Set(members)
  runAll('union', [
    ['both added', set('a'), set('a', 'mine'), set('a', 'theirs'), set('a', 'theirs', 'mine')],
    ['both added the same', set(), set('a'), set('a'), set('a')],
    ['I removed, they added', set('a', 'b'), set('b'), set('a', 'b', 'c'), set('b', 'c')],
    ['I added, they removed', set('a', 'b'), set('a', 'b', 'c'), set('b'), set('b', 'c')],
    ['both made it', undefined, set('mine'), set('theirs'), set('theirs', 'mine')],
    [
      'members that are objects',
      set({ id: 1 }),
      set({ id: 1 }, { id: 2 }),
      set({ id: 1 }, { id: 3 }),
      set({ id: 1 }, { id: 3 }, { id: 2 }),
    ],
    ['arrays without equal members', ['a', 'b'], ['b', 'mine'], ['a', 'b', 'theirs'], ['b', 'theirs', 'mine']],
    ['arrays with equal members: mine', ['a', 'a'], ['a'], ['a', 'a', 'b'], ['a']],
    ['a Set and an array: mine', set('a'), set('b'), ['c'], set('b')],
    ['what is neither: mine', 1, 2, 3, 2],
  ])

  test('a Set of a hundred thousand members, reordered by one and added to by another, is merged in one pass', () => {
    const members = Array.from({ length: 100_000 }, (_, n) => `member ${n}`)
    const merged = ofKey('union', new Set(members), new Set(members.toReversed()), new Set([...members, 'theirs']))
    expect((merged as Set<string>).size).toBe(100_001)
  })
})

describe('deep: each value by what it is', () => {
  runAll('deep', [
    ['objects key by key', { a: 1, b: 1 }, { a: 2, b: 1 }, { a: 1, b: 2 }, { a: 2, b: 2 }],
    [
      'in any depth',
      { o: { p: { a: 1 } } },
      { o: { p: { a: 1, b: 1 } } },
      { o: { p: { c: 1 } } },
      { o: { p: { c: 1, b: 1 } } },
    ],
    ['objects that both made', undefined, { mine: 1 }, { theirs: 1 }, { theirs: 1, mine: 1 }],
    ['of one value the later', { a: 1 }, { a: 2 }, { a: 3 }, { a: 2 }],
    ['a change beats a deletion', { a: 1, b: 1 }, { b: 1 }, { a: 2, b: 1 }, { a: 2, b: 1 }],
    ['arrays that grew', { l: [1] }, { l: [1, 2] }, { l: [1, 3] }, { l: [1, 3, 2] }],
    ['arrays that did more than grow: mine', { l: [1, 2] }, { l: [2] }, { l: [1, 2, 3] }, { l: [2] }],
    ['Sets', { s: new Set([1]) }, { s: new Set([1, 2]) }, { s: new Set([1, 3]) }, { s: new Set([1, 3, 2]) }],
    [
      'Maps key by key, also by keys that are objects',
      new Map<unknown, unknown>([[{ k: 1 }, { a: 1 }]]),
      new Map<unknown, unknown>([[{ k: 1 }, { a: 1, b: 1 }]]),
      new Map<unknown, unknown>([
        [{ k: 1 }, { a: 1, c: 1 }],
        ['new', 1],
      ]),
      new Map<unknown, unknown>([
        [{ k: 1 }, { a: 1, c: 1, b: 1 }],
        ['new', 1],
      ]),
    ],
    ['numbers are no counters', { n: 1 }, { n: 2 }, { n: 3 }, { n: 2 }],
    ['two equal changes are one', { roles: [] }, { roles: ['user'] }, { roles: ['user'] }, { roles: ['user'] }],
    ['an object that one made something else: mine', { a: 1 }, 'mine', { a: 2 }, 'mine'],
    ['what is neither object, Map, Set nor array: mine', new Date(1), new Date(2), new Date(3), new Date(2)],
  ])

  test('for the whole session', () => {
    const sides = [
      { o: { a: 1 }, n: 1 },
      { o: { a: 1, b: 1 }, n: 2 },
      { o: { a: 1, c: 1 }, n: 3 },
    ] as const
    expect(merge(IN_DEPTH, sides)).toEqual({ o: { a: 1, b: 1, c: 1 }, n: 2 })
  })

  test('an object without a prototype stays one, and a key called __proto__ a key', () => {
    const bare = (entries: object): object => Object.assign(Object.create(null) as object, entries)
    expect(ofKey('deep', bare({ a: 1 }), bare({ a: 2 }), bare({ a: 1, b: 1 }))).toStrictEqual(bare({ a: 2, b: 1 }))
    const evil = JSON.parse('{ "k": { "__proto__": { "isAdmin": true } } }') as object
    const outcome = mergeThreeWay({ k: {} }, evil, { k: { a: 1 } }, options(IN_DEPTH))
    const made = (outcome as { data: { k: object } }).data.k
    expect(Object.keys(made).sort()).toEqual(['__proto__', 'a'])
    expect('isAdmin' in made).toBe(false)
  })
})

describe('Rules within rules', () => {
  const cart = rulesFor({ items: 'append', total: 'sum' })
  test('a cart’s items are appended and its total is added up, while the rest is the later one’s', () => {
    const merged = ofKey(
      cart,
      { items: ['tea'], total: 3, note: '' },
      { items: ['tea', 'milk'], total: 4, note: 'mine' },
      { items: ['tea', 'cake'], total: 8, note: 'theirs' },
    )
    expect(merged).toEqual({ items: ['tea', 'cake', 'milk'], total: 9, note: 'mine' })
  })

  test('a Map of counters is added up key by key', () => {
    const counts = (entries: object): unknown => new Map(Object.entries(entries))
    const rule = rulesFor({}, 'sum')
    expect(ofKey(rule, counts({ tea: 1 }), counts({ tea: 2, milk: 1 }), counts({ tea: 3, milk: 1 }))).toEqual(
      counts({ tea: 4, milk: 2 }),
    )
  })
})

describe('Whatever the rules', () => {
  const value = fc.oneof(
    fc.integer({ min: 0, max: 3 }),
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }),
    fc.dictionary(fc.constantFrom('x', 'y'), fc.integer({ min: 0, max: 3 })),
    fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 3 }).map((members) => new Set(members)),
  )
  const data = fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd'), value, { noNullPrototype: true })
  const anyRules = fc
    .dictionary(fc.constantFrom('a', 'b', 'c', 'd'), fc.constantFrom<Rule>('merge', 'sum', 'append', 'union', 'deep'))
    .map((keys) => rulesFor(keys))

  test('what becomes of one key does not depend on what either side did to others', () => {
    const property = fc.property(data, data, data, anyRules, (base, mine, current, rules) => {
      const all = merge(rules, [base, mine, current]) as Record<string, unknown>
      for (const key of ['a', 'b', 'c', 'd']) {
        const only = (side: Record<string, unknown>): object => (Object.hasOwn(side, key) ? { [key]: side[key] } : {})
        const alone = merge(rules, [only(base), only(mine), only(current)]) as object
        expect(only(all)).toEqual(alone)
      }
    })
    fc.assert(property, { seed, numRuns: rounds(100, 5_000) })
  })

  test('where only one side changed a key, that side’s value comes out', () => {
    const property = fc.property(data, data, anyRules, (base, other, rules) => {
      expect(merge(rules, [base, other, base])).toEqual(other)
      expect(merge(rules, [base, base, other])).toEqual(other)
    })
    fc.assert(property, { seed, numRuns: rounds(100, 5_000) })
  })

  test('in a key that identify reads a deletion wins, and in an unmerged one mine stands', () => {
    const rules = rulesFor({ a: 'sum' })
    expect(merge(rules, [{ a: 1 }, { a: 2 }, {}], { deletionWinsKeys: new Set(['a']) })).toEqual({})
    expect(merge(rules, [{ a: 1 }, { a: 2 }, { a: 3 }], { unmergedKeys: new Set(['a']) })).toEqual({ a: 2 })
  })
})

describe('Changes that are carried over to what was not made from their base', () => {
  const over = (rule: Rule, base: unknown, mine: unknown, onto: unknown): unknown =>
    (merge(rulesFor({ k: rule }), [{ k: base }, { k: mine }, { k: onto }], { descends: false }) as { k: unknown }).k
  test('what I added comes to what stands there', () => {
    expect(over('append', ['tea', 'mine'], ['tea', 'mine', 'more'], ['tea', 'theirs', 'mine'])).toEqual([
      'tea',
      'theirs',
      'mine',
      'more',
    ])
    expect(over('append', ['tea', 'mine'], ['tea', 'theirs', 'mine'], ['tea'])).toEqual(['tea', 'theirs'])
    expect(over('sum', 6, 8, 5)).toBe(7)
  })
  test('where I took something away, mine stands', () => {
    expect(over('append', ['tea', 'mine'], ['tea'], ['tea', 'theirs'])).toEqual(['tea'])
  })
})

test('two equal changes can be more than one of them where some rule combines values', () => {
  expect(combines(rulesFor({ a: 'merge' }))).toBe(false)
  expect(combines(rulesFor({ a: 'sum' }))).toBe(true)
  expect(combines(rulesFor({ a: rulesFor({ b: 'append' }) }))).toBe(true)
  expect(combines(rulesFor({}, 'deep'))).toBe(true)
})

/** Whether TypeScript takes this rule for values of this type. */
type Fits<Name, Value> = Name extends MergeRule<Value> ? 'fits' : 'does not'

test('a rule is typed by the value that it is for', () => {
  interface Cart {
    readonly items: string[]
    readonly total?: number
  }
  expectTypeOf<Fits<'append', string[]>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<'sum', string[]>>().toEqualTypeOf<'does not'>()
  expectTypeOf<Fits<'sum', number | undefined>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<'append', number>>().toEqualTypeOf<'does not'>()
  expectTypeOf<Fits<'union', Set<string>>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<{ keys: { items: 'append' } }, Cart>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<{ keys: { items: 'sum' } }, Cart>>().toEqualTypeOf<'does not'>()
  expectTypeOf<Fits<{ default: 'sum' }, Map<string, number>>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<'sum', unknown>>().toEqualTypeOf<'fits'>()
  expectTypeOf<Fits<'sum', string>>().toEqualTypeOf<'does not'>()
  expectTypeOf<Fits<'merge', string>>().toEqualTypeOf<'fits'>()
})
