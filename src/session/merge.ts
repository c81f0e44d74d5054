import type { Sameness } from './sameness.js'

export interface MergeOptions {
  readonly isSame: Sameness
  /** In these keys mine stands, and never conflicts. */
  readonly unmergedKeys: ReadonlySet<string>
  /** In these keys a deletion beats a change: what `identify` reads, so that nobody is logged in again. */
  readonly deletionWinsKeys: ReadonlySet<string>
}

export type MergeOutcome =
  | {
      readonly outcome: 'merged'
      readonly data: unknown
      /** Whether all that either side changed is in `data`: no change had to give way to another of the same key. */
      readonly isWhole: boolean
    }
  | { readonly outcome: 'conflict' }

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
  { isSame, unmergedKeys, deletionWinsKeys }: MergeOptions,
): MergeOutcome => {
  if (!isPlainObject(base) || !isPlainObject(mine) || !isPlainObject(current)) {
    if (isSame(base, current) || isSame(mine, current)) return { outcome: 'merged', data: mine, isWhole: true }
    return isSame(base, mine) ? { outcome: 'merged', data: current, isWhole: true } : { outcome: 'conflict' }
  }
  const differsIn = (key: string, a: Record<string, unknown>, b: Record<string, unknown>): boolean =>
    Object.hasOwn(a, key) !== Object.hasOwn(b, key) || (Object.hasOwn(a, key) && !isSame(a[key], b[key]))

  const data = likeOf(mine, current)
  let isWhole = true
  for (const key of new Set([...Object.keys(base), ...Object.keys(mine), ...unmergedKeys])) {
    const unmerged = unmergedKeys.has(key)
    if (!unmerged && !differsIn(key, base, mine)) continue
    const changedByThem = differsIn(key, base, current)
    const currentHas = Object.hasOwn(current, key)
    if (changedByThem && differsIn(key, mine, current)) isWhole = false

    if (Object.hasOwn(mine, key)) {
      const deletedByThem = changedByThem && !currentHas
      if (!(deletedByThem && deletionWinsKeys.has(key) && !unmerged)) put(data, key, mine[key])
    } else {
      const changeBeatsMyDeletion = changedByThem && currentHas && !deletionWinsKeys.has(key) && !unmerged
      if (!changeBeatsMyDeletion) delete data[key]
    }
  }
  return { outcome: 'merged', data, isWhole }
}

/** The entries of one object, with the prototype of another: of an object without one nothing else is made. */
const likeOf = (object: object, entries: Record<string, unknown>): Record<string, unknown> => {
  const made = Object.create(Object.getPrototypeOf(object) as object | null) as Record<string, unknown>
  for (const key of Object.keys(entries)) put(made, key, entries[key])
  return made
}

/** Defined rather than assigned: a key called `__proto__` must stay a key. */
const put = (target: object, key: string, value: unknown): void => {
  Object.defineProperty(target, key, { value, configurable: true, enumerable: true, writable: true })
}

/** Of this realm or of another, as in Jest: nothing stands above the prototype of a plain object. */
const isPlainObject = (value: unknown): value is Record<string, unknown> => {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const prototype = Object.getPrototypeOf(value) as object | null
  return prototype === null || Object.getPrototypeOf(prototype) === null
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
