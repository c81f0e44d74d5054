import type { EpochMs } from '../../contract/time.js'
import { openRedis } from './redis-client.js'
import type { Item, Source, SourceOptions } from './source.js'

/** What stands under a key. */
export interface Scanned {
  readonly ref: string
  /** The key without the prefix. */
  readonly name: string
  readonly value: Buffer
  /** When Redis removes it; `undefined`: never. */
  readonly expiresAt: EpochMs | undefined
  readonly now: EpochMs
}

/**
 * A source that is all keys of a Redis which begin with a prefix, a string under each.
 */
export const scanned = async (
  { at, prefix: given, runtime }: SourceOptions,
  usualPrefix: string,
  itemOf: (found: Scanned) => Item,
): Promise<Source> => {
  const prefix = given ?? usualPrefix
  const redis = await openRedis(at, runtime)
  return {
    // How many of them begin with the prefix nobody knows before they were all looked at.
    count: async () => await redis.size(),
    page: async (after) => {
      const { found: keys, next } = await redis.scan(after, prefix)
      const now = runtime.now()
      const values = await redis.values(keys)
      const items = keys.flatMap((ref, at): readonly Item[] => {
        const { value, leftMs } = values[at] ?? { value: undefined, leftMs: -2 }
        if (value === undefined) return [] // it has ended meanwhile, or is of another type
        const expiresAt = leftMs < 0 ? undefined : now + leftMs
        return [itemOf({ ref, name: ref.slice(prefix.length), value, expiresAt, now })]
      })
      return { items, next, resumeAt: next }
    },
    remove: async (refs) => await redis.remove(refs),
    close: async () => await redis.close(),
  }
}
