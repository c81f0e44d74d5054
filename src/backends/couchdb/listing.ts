import type { ListedSession, ListOptions } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import { orderOf } from './design.js'
import { idOf, keyOf } from './document.js'
import type { Documents } from './documents.js'
import type { Indexes } from './indexes.js'
import { candidateMonths, type Month, type Window } from './months.js'
import type { Places } from './places.js'
import type { Call } from './requests.js'

/** Behind every key of a namespace, which are letters, digits, `_` and `-`. */
const LAST = '~'

/** So many sessions that have ended, and are not purged yet, a page passes over without a further request. */
const ENDED = 100

/** Lines of the index that are read at once. */
const LARGEST_PAGE = 5_000

/** A look brings the data along, so that it is at fewer at once. */
const LARGEST_LOOK = 50

/** What the months hold together, in the order of the keys. */
export class Listing {
  readonly #documents: Documents
  readonly #indexes: Indexes
  readonly #places: Places
  readonly #window: Window

  constructor(documents: Documents, indexes: Indexes, places: Places, window: Window) {
    this.#documents = documents
    this.#indexes = indexes
    this.#places = places
    this.#window = window
  }

  async list(call: Call, options: ListOptions): Promise<readonly ListedSession[]> {
    const listed: ListedSession[] = []
    for (const month of candidateMonths(options.now, this.#window)) {
      const those = await this.#listIn(call, month, options)
      // Whoever goes on to ask for one of them asks with its key alone.
      for (const { key } of those) this.#places.remember({ key }, month)
      listed.push(...those)
    }
    return listed.sort((one, other) => (one.key < other.key ? -1 : 1)).slice(0, options.limit)
  }

  async count(call: Call, namespace: string, now: EpochMs): Promise<number> {
    let count = 0
    const range = { startkey: [namespace, Math.floor(now) + 1], endkey: [namespace, {}] }
    for (const month of candidateMonths(now, this.#window))
      count += await this.#indexes.count(call, month, 'living', range)
    return count
  }

  /** The first `limit` of one month. Of those that have ended only a line of the index is read. */
  async #listIn(
    call: Call,
    month: Month,
    { namespace, now, limit, after }: ListOptions,
  ): Promise<readonly ListedSession[]> {
    const listed: ListedSession[] = []
    const endkey = orderOf(idOf(`${namespace}:${LAST}`))
    let startkey = after === undefined ? orderOf(idOf(`${namespace}:`)) : behind(orderOf(idOf(after)))
    for (let size = Math.min(limit + ENDED, LARGEST_PAGE); ; size = Math.min(size * 4, LARGEST_PAGE)) {
      const rows = await this.#indexes.rows(call, month, 'sessions', { startkey, endkey, limit: size })
      const keys = rows.filter(({ value }) => !hasEnded(value, now)).map(({ id }) => keyOf(id))
      for (let start = 0; start < keys.length && listed.length < limit; start += LARGEST_LOOK)
        listed.push(...(await this.#living(call, month, keys.slice(start, start + LARGEST_LOOK), now)))
      const end = rows.at(-1)
      if (rows.length < size || listed.length >= limit || end === undefined) return listed
      startkey = behind(orderOf(end.id))
    }
  }

  async #living(call: Call, month: Month, keys: readonly CacheKey[], now: EpochMs): Promise<readonly ListedSession[]> {
    const leaves = await this.#documents.look(call, month, keys)
    return keys.flatMap((key) => {
      const leaf = leaves.get(key)
      if (leaf?.kind === 'unreadable') throw leaf.error
      return leaf?.kind === 'session' && leaf.session.expiresAt > now ? [{ key, session: leaf.session }] : []
    })
  }
}

/** The first place in the index after the one of a document. */
const behind = (order: string): string => `${order}0`

/** What is no moment is a newer program's, and not for the index to judge. */
const hasEnded = (expiresAt: unknown, now: EpochMs): boolean => typeof expiresAt === 'number' && expiresAt <= now
