import { isDeepStrictEqual } from 'node:util'

export interface MergeOptions {
  /** In these keys mine stands, and never conflicts. */
  readonly unmergedKeys: ReadonlySet<string>
  /** In these keys a deletion beats a change: what `identify` reads, so that nobody is logged in again. */
  readonly deletionWinsKeys: ReadonlySet<string>
}

export type MergeOutcome = { readonly outcome: 'merged'; readonly data: unknown } | { readonly outcome: 'conflict' }

/**
 * Three-way merge by top-level key: what I changed since `base`, laid over `current`.
 *
 * Different keys all survive. In one key the later write, mine, wins; a change beats a deletion. Nested values
 * count as one and arrays are not interleaved. Data that is no plain object is one single value: it merges
 * only where one side did not change it.
 */
export const mergeThreeWay = (
  base: unknown,
  mine: unknown,
  current: unknown,
  { unmergedKeys, deletionWinsKeys }: MergeOptions,
): MergeOutcome => {
  if (isSame(base, current) || isSame(mine, current)) return { outcome: 'merged', data: mine }
  if (!isPlainObject(base) || !isPlainObject(mine) || !isPlainObject(current))
    return isSame(base, mine) ? { outcome: 'merged', data: current } : { outcome: 'conflict' }

  const merged: Record<string, unknown> = { ...current }
  for (const key of new Set([...Object.keys(base), ...Object.keys(mine), ...unmergedKeys])) {
    const unmerged = unmergedKeys.has(key)
    if (!unmerged && !differsIn(key, base, mine)) continue
    const changedByThem = differsIn(key, base, current)
    const currentHas = Object.hasOwn(current, key)

    if (Object.hasOwn(mine, key)) {
      const deletedByThem = changedByThem && !currentHas
      if (!(deletedByThem && deletionWinsKeys.has(key) && !unmerged)) put(merged, key, mine[key])
    } else {
      const changeBeatsMyDeletion = changedByThem && currentHas && !deletionWinsKeys.has(key) && !unmerged
      if (!changeBeatsMyDeletion) delete merged[key]
    }
  }
  return { outcome: 'merged', data: merged }
}

const differsIn = (key: string, a: Record<string, unknown>, b: Record<string, unknown>): boolean =>
  Object.hasOwn(a, key) !== Object.hasOwn(b, key) || (Object.hasOwn(a, key) && !isSame(a[key], b[key]))

/** Defined rather than assigned: a key called `__proto__` must stay a key. */
const put = (target: object, key: string, value: unknown): void => {
  Object.defineProperty(target, key, { value, configurable: true, enumerable: true, writable: true })
}

/** Equal, with everything in the same order: who moved an entry of a Map to its end has changed the Map. */
const isSame = (a: unknown, b: unknown): boolean => isDeepStrictEqual(a, b) && isInSameOrder(a, b)

/** Of two deeply equal values, which `isDeepStrictEqual` also finds where keys and members are ordered otherwise. */
const isInSameOrder = (a: unknown, b: unknown): boolean => {
  if (typeof a !== 'object' || a === null || typeof b !== 'object' || b === null || ArrayBuffer.isView(a)) return true
  const mine = membersOf(a)
  const theirs = membersOf(b)
  // Members of a Map or a Set were matched wherever they stood; what stands under a key was compared already.
  const same = a instanceof Map || a instanceof Set ? isSame : isInSameOrder
  return isDeepStrictEqual(Object.keys(a), Object.keys(b)) && mine.every((member, at) => same(member, theirs[at]))
}

const membersOf = (value: object): readonly unknown[] =>
  value instanceof Map || value instanceof Set ? [...value] : Object.values(value)

const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== 'object' || value === null) return false
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/**
 * Which top-level keys a function reads of an object: run once on a copy that watches. What it reads of
 * nested values counts as their top-level key.
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
  read(watched as never)
  return keys
}
