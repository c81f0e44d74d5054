import { isPlainObject } from '../tools/is-plain-object.js'
import { atOnce, LARGE_BYTES, type Steps } from '../tools/turns.js'
import { append, type Combined, sum, union } from './combine.js'
import { IN_DEPTH, type Rule, type Rules } from './merge-rules.js'
import type { Sameness } from './sameness.js'

export interface MergeOptions {
  readonly sameness: Sameness
  /** How a value is merged that both sides changed. */
  readonly rules: Rules
  /** The top-level keys whose value in mine always stands. */
  readonly unmergedKeys: ReadonlySet<string>
  /**
   * The top-level keys in which a deletion beats a change. They are those that `identify` reads, so that nobody is
   * logged in again.
   */
  readonly deletionWinsKeys: ReadonlySet<string>
  /**
   * Whether `current` was made from `base`, as between two requests that loaded the same copy. Where it was not, the
   * changes are made to it all the same.
   */
  readonly descends: boolean
}

export type MergeOutcome =
  | {
      readonly outcome: 'merged'
      readonly data: unknown
      /**
       * Whether everything that either side changed is in `data`, so that no change had to give way to another of the
       * same key.
       */
      readonly isWhole: boolean
    }
  | { readonly outcome: 'conflict' }

/**
 * Merges three copies of the data by top-level key: what I changed since `base` is laid over `current`.
 *
 * Changes of different keys all survive. Of a key that both sides changed, its rule decides; where the rule does not
 * fit the value, the later write, mine, stands. A change beats a deletion. Data that is no plain object is one single
 * value, and is merged only where one side did not change it.
 */
export const mergeThreeWay = (base: unknown, mine: unknown, current: unknown, options: MergeOptions): MergeOutcome =>
  atOnce(mergingThreeWay(base, mine, current, options))

/** The same in steps, of which each compares large parts of the data. */
export function* mergingThreeWay(
  base: unknown,
  mine: unknown,
  current: unknown,
  { sameness, rules, unmergedKeys, deletionWinsKeys, descends }: MergeOptions,
): Steps<MergeOutcome> {
  const merging: Merging = { sameness, descends, isWhole: true, comparedBytes: sameness.comparedBytes }
  if (isPlainObject(base) && isPlainObject(mine) && isPlainObject(current)) {
    const data = yield* mergeObjects(merging, rules, { base, mine, current }, { unmergedKeys, deletionWinsKeys })
    return { outcome: 'merged', data, isWhole: merging.isWhole }
  }
  const { isSame } = sameness
  if (isSame(base, current) || isSame(mine, current)) return { outcome: 'merged', data: mine, isWhole: true }
  return isSame(base, mine) ? { outcome: 'merged', data: current, isWhole: true } : { outcome: 'conflict' }
}

/** A merge that is under way. */
interface Merging {
  readonly sameness: Sameness
  readonly descends: boolean
  isWhole: boolean
  /** What `sameness` had compared when the last step began. */
  comparedBytes: number
}

/** Ends a step where enough was compared since it began. */
function* afterComparing(merging: Merging): Steps<void> {
  const bytes = merging.sameness.comparedBytes - merging.comparedBytes
  if (bytes < LARGE_BYTES) return
  yield bytes
  merging.comparedBytes = merging.sameness.comparedBytes
}

interface Sides<Value> {
  readonly base: Value
  readonly mine: Value
  readonly current: Value
}

/**
 * The entries of an object or a Map, each under the token that tells its key from others. A token of an object is the
 * key itself.
 */
interface Entries {
  readonly tokens: Iterable<unknown>
  has(token: unknown): boolean
  /** `undefined` where there is none. */
  valueOf(token: unknown): unknown
  keyOf(token: unknown): unknown
}

/** What a merge makes: a copy of what stands, in which entries are changed. */
interface Merged {
  set(token: unknown, key: unknown, value: unknown): void
  delete(token: unknown): void
}

type Exceptions = Pick<MergeOptions, 'unmergedKeys' | 'deletionWinsKeys'>

const NO_EXCEPTIONS: Exceptions = { unmergedKeys: new Set(), deletionWinsKeys: new Set() }

function* mergeEntries(
  merging: Merging,
  { rest, keys }: Rules,
  { base, mine, current }: Sides<Entries>,
  merged: Merged,
  { unmergedKeys, deletionWinsKeys }: Exceptions,
): Steps<void> {
  const { isSame } = merging.sameness
  const differsIn = (token: unknown, a: Entries, b: Entries): boolean =>
    a.has(token) && b.has(token) ? !isSame(a.valueOf(token), b.valueOf(token)) : a.has(token) !== b.has(token)
  const isIn = (token: unknown, of: ReadonlySet<unknown>): boolean => of.has(token)

  function* mergeChanged(token: unknown, unmerged: boolean): Steps<void> {
    yield* afterComparing(merging)
    const changedByThem = !unmerged && differsIn(token, base, current)
    yield* afterComparing(merging)
    const deletionWins = changedByThem && isIn(token, deletionWinsKeys)
    const [isOwn, isTheirs] = [mine.has(token), current.has(token)]
    const [key, own] = [mine.keyOf(token), mine.valueOf(token)]

    if (isOwn && isTheirs && changedByThem) {
      const sides = { base: base.valueOf(token), mine: own, current: current.valueOf(token) }
      merged.set(token, key, yield* combine(merging, keys.get(key) ?? rest, sides))
      return
    }
    if (changedByThem && isOwn !== isTheirs) merging.isWhole = false
    if (isOwn) {
      if (!deletionWins) merged.set(token, key, own)
    } else if (!changedByThem || deletionWins) merged.delete(token)
  }

  for (const token of base.tokens) {
    const unmerged = isIn(token, unmergedKeys)
    if (unmerged || differsIn(token, base, mine)) yield* mergeChanged(token, unmerged)
    else if (merging.sameness.comparedBytes > merging.comparedBytes) yield* afterComparing(merging)
  }
  for (const token of mine.tokens) if (!base.has(token)) yield* mergeChanged(token, isIn(token, unmergedKeys))
  for (const token of unmergedKeys) if (!base.has(token) && !mine.has(token)) yield* mergeChanged(token, true)
}

/** Merges a value that both sides changed, also where they changed it alike. */
function* combine(merging: Merging, rule: Rule, sides: Sides<unknown>): Steps<unknown> {
  const combined = yield* combinedBy(rule, merging, sides)
  if (combined !== undefined) return combined.value
  if (!merging.sameness.isSame(sides.mine, sides.current)) merging.isWhole = false
  return sides.mine
}

function* combinedBy(rule: Rule, merging: Merging, { base, mine, current }: Sides<unknown>): Steps<Combined> {
  const appended = (): Combined => append(base, mine, current, merging)
  switch (rule) {
    case 'merge':
      return undefined
    case 'sum':
      return sum(base, mine, current)
    case 'append':
      return appended()
    case 'union':
      return union(base, mine, current, merging.sameness)
    case 'deep':
      // Where nobody has said what the value is, two equal changes are one.
      if (merging.sameness.isSame(mine, current)) return { value: mine }
      if (mine instanceof Set) return union(base, mine, current, merging.sameness)
      return (yield* inParts(merging, IN_DEPTH, { base, mine, current })) ?? appended()
    default:
      return yield* inParts(merging, rule, { base, mine, current })
  }
}

/** Merges a plain object or a Map entry by entry. One that was not there counts as empty. */
function* inParts(merging: Merging, rules: Rules, { base, mine, current }: Sides<unknown>): Steps<Combined> {
  if (isPlainObject(mine) && isPlainObject(current)) {
    const from = base ?? {}
    if (!isPlainObject(from)) return undefined
    return { value: yield* mergeObjects(merging, rules, { base: from, mine, current }, NO_EXCEPTIONS) }
  }
  if (!(mine instanceof Map && current instanceof Map)) return undefined
  const from: unknown = base ?? new Map()
  if (!(from instanceof Map)) return undefined
  return { value: yield* mergeMaps(merging, rules, { base: from, mine, current }) }
}

type AnObject = Record<string, unknown>

/** Merges objects by their keys. What is made has the prototype of mine, which may have none. */
function* mergeObjects(
  merging: Merging,
  rules: Rules,
  { base, mine, current }: Sides<AnObject>,
  exceptions: Exceptions,
): Steps<unknown> {
  const made: AnObject = { ...current }
  const prototype = Object.getPrototypeOf(mine) as object | null
  if (prototype !== Object.prototype) Object.setPrototypeOf(made, prototype)
  const merged: Merged = {
    // The entry is defined and not assigned, as a key called `__proto__` must stay a key.
    set: (key, _key, value) =>
      Object.defineProperty(made, String(key), { value, configurable: true, enumerable: true, writable: true }),
    delete: (key) => Reflect.deleteProperty(made, String(key)),
  }
  const sides = { base: entriesOf(base), mine: entriesOf(mine), current: entriesOf(current) }
  yield* mergeEntries(merging, rules, sides, merged, exceptions)
  return made
}

const entriesOf = (object: AnObject): Entries => {
  const has = (key: unknown): boolean => Object.hasOwn(object, String(key))
  return {
    tokens: Object.keys(object),
    has,
    valueOf: (key) => (has(key) ? object[String(key)] : undefined),
    keyOf: (key) => key,
  }
}

function* mergeMaps(
  merging: Merging,
  rules: Rules,
  { base, mine, current }: Sides<ReadonlyMap<unknown, unknown>>,
): Steps<ReadonlyMap<unknown, unknown>> {
  interface Entry {
    readonly key: unknown
    readonly value: unknown
  }
  const byToken = (map: ReadonlyMap<unknown, unknown>): Map<unknown, Entry> =>
    new Map([...map].map(([key, value]) => [merging.sameness.tokenOf(key), { key, value }]))
  const entriesIn = (map: ReadonlyMap<unknown, Entry>): Entries => ({
    tokens: map.keys(),
    has: (token) => map.has(token),
    valueOf: (token) => map.get(token)?.value,
    keyOf: (token) => map.get(token)?.key,
  })
  const standing = byToken(current)
  const made = new Map(standing)
  const merged: Merged = {
    set: (token, key, value) => made.set(token, { key, value }),
    delete: (token) => made.delete(token),
  }
  const sides = { base: entriesIn(byToken(base)), mine: entriesIn(byToken(mine)), current: entriesIn(standing) }
  yield* mergeEntries(merging, rules, sides, merged, NO_EXCEPTIONS)
  return new Map([...made.values()].map(({ key, value }) => [key, value]))
}

/**
 * Finds out which top-level keys a function reads of an object, by calling it once with a proxy that notes them. What
 * it reads of nested values counts as their top-level key. Where the function cannot work with a proxy (`structuredClone`
 * takes none), it may have read any of them.
 */
export const keysRead = (read: (data: never) => unknown, data: unknown): ReadonlySet<string> => {
  const keys = new Set<string>()
  if (!isPlainObject(data)) return keys
  const watched = new Proxy(data, {
    get: (target, key, receiver) => {
      if (typeof key === 'string') keys.add(key)
      return Reflect.get(target, key, receiver) as unknown
    },
    has: (target, key) => {
      if (typeof key === 'string') keys.add(key)
      return Reflect.has(target, key)
    },
    getOwnPropertyDescriptor: (target, key) => {
      if (typeof key === 'string') keys.add(key)
      return Reflect.getOwnPropertyDescriptor(target, key)
    },
  })
  try {
    read(watched as never)
  } catch {
    return new Set(Object.keys(data))
  }
  return keys
}
