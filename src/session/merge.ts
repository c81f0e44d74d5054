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
  if (isDeepStrictEqual(base, current)) return { outcome: 'merged', data: mine }
  if (isDeepStrictEqual(base, mine)) return { outcome: 'merged', data: current }
  if (isDeepStrictEqual(mine, current)) return { outcome: 'merged', data: mine }
  if (!isPlainObject(base) || !isPlainObject(mine) || !isPlainObject(current)) return { outcome: 'conflict' }

  const merged: Record<string, unknown> = { ...current }
  for (const key of new Set([...Object.keys(base), ...Object.keys(mine)])) {
    const mineHas = Object.hasOwn(mine, key)
    const changedByMe = Object.hasOwn(base, key) !== mineHas || !isDeepStrictEqual(base[key], mine[key])
    if (!changedByMe && !unmergedKeys.has(key)) continue
    const currentHas = Object.hasOwn(current, key)
    const changedByThem = Object.hasOwn(base, key) !== currentHas || !isDeepStrictEqual(base[key], current[key])

    if (mineHas) {
      const deletedByThem = changedByThem && !currentHas
      if (!(deletedByThem && deletionWinsKeys.has(key) && !unmergedKeys.has(key))) merged[key] = mine[key]
    } else {
      const changeBeatsMyDeletion = changedByThem && currentHas && !deletionWinsKeys.has(key) && !unmergedKeys.has(key)
      if (!changeBeatsMyDeletion) delete merged[key]
    }
  }
  return { outcome: 'merged', data: merged }
}

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
