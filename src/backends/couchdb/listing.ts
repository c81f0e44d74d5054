import type { KeyListOptions, ListedSession, ListOptions, Page } from '../../contract/backend.js'
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

/** Lines of an index that are read at once. A page reads no more than this and a few smaller requests of each month. */
const LARGEST_PAGE = 5_000

/** The data of so many sessions is asked for at once, */
const LARGEST_LOOK = 50

/** and of so many before anything is known of how large they are. */
const FIRST_LOOK = 4

/** A key, and the month whose index it stands in. */
interface Line {
  readonly key: CacheKey
  readonly month: Month
}

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

  /** From the lines of the indexes it is known which documents to ask for; how many at once, by how large those before were. */
  async list(call: Call, { maxBytes, ...options }: ListOptions): Promise<Page<ListedSession>> {
    const lines = await this.#lines(call, options)
    const entries: ListedSession[] = []
    let bytes = 0
    let looked = 0
    while (looked < lines.entries.length) {
      const room = looked === 0 ? FIRST_LOOK : Math.floor(((maxBytes - bytes) * looked) / Math.max(bytes, 1))
      const part = lines.entries.slice(looked, looked + Math.min(Math.max(room, 1), LARGEST_LOOK))
      const found = await this.#look(call, part, options.now)
      for (const { key } of part) {
        const listed = found.get(key)
        const more = listed !== undefined && 'session' in listed ? listed.session.data.byteLength : 0
        if (entries.length > 0 && bytes + more > maxBytes) return { entries, next: entries.at(-1)?.key }
        if (listed !== undefined) entries.push(listed)
        bytes += more
      }
      looked += part.length
    }
    return { entries, next: lines.next }
  }

  async listKeys(call: Call, options: KeyListOptions): Promise<Page<CacheKey>> {
    const { entries, next } = await this.#lines(call, options)
    return { entries: entries.map(({ key }) => key), next }
  }

  async count(call: Call, namespace: string, now: EpochMs): Promise<number> {
    let count = 0
    const range = { startkey: [namespace, Math.floor(now) + 1], endkey: [namespace, {}] }
    for (const month of candidateMonths(now, this.#window))
      count += await this.#indexes.count(call, month, 'living', range)
    return count
  }

  /** The first `limit` lines of all months' indexes together. */
  async #lines(call: Call, options: KeyListOptions): Promise<Page<Line>> {
    const months = new Map<CacheKey, Month>()
    let end: CacheKey | undefined
    for (const month of candidateMonths(options.now, this.#window)) {
      const { entries, next } = await this.#linesOf(call, month, options)
      for (const key of entries) if (!months.has(key)) months.set(key, month)
      if (next !== undefined && (end === undefined || next < end)) end = next
    }
    // Where one month was read only so far, others may hold keys that come behind what is not read yet.
    const lines = [...months]
      .map(([key, month]) => ({ key, month }))
      .filter(({ key }) => end === undefined || key <= end)
      .sort((one, other) => (one.key < other.key ? -1 : 1))
    const entries = lines.slice(0, options.limit)
    // Whoever goes on to ask for one of them asks with its key alone.
    for (const { key, month } of entries) this.#places.remember({ key }, month)
    return { entries, next: entries.length < lines.length ? entries.at(-1)?.key : end }
  }

  /** The first `limit` keys of one month whose sessions have not ended, or as many as are found within the bound. */
  async #linesOf(call: Call, month: Month, { namespace, now, limit, after }: KeyListOptions): Promise<Page<CacheKey>> {
    const entries: CacheKey[] = []
    const endkey = orderOf(idOf(`${namespace}:${LAST}`))
    let startkey = after === undefined ? orderOf(idOf(`${namespace}:`)) : behind(orderOf(idOf(after)))
    for (let size = Math.min(limit + ENDED, LARGEST_PAGE); ; size = Math.min(size * 4, LARGEST_PAGE)) {
      const rows = await this.#indexes.rows(call, month, 'sessions', { startkey, endkey, limit: size })
      entries.push(...rows.filter(({ value }) => !hasEnded(value, now)).map(({ id }) => keyOf(id)))
      const last = rows.at(-1)
      if (rows.length < size || last === undefined) return { entries, next: undefined }
      if (entries.length >= limit || size === LARGEST_PAGE) return { entries, next: keyOf(last.id) }
      startkey = behind(orderOf(last.id))
    }
  }

  /** Those of them that live still, or cannot be read. */
  async #look(call: Call, lines: readonly Line[], now: EpochMs): Promise<ReadonlyMap<CacheKey, ListedSession>> {
    const listed = new Map<CacheKey, ListedSession>()
    for (const month of new Set(lines.map((line) => line.month))) {
      const keys = lines.filter((line) => line.month === month).map(({ key }) => key)
      for (const [key, leaf] of await this.#documents.look(call, month, keys))
        if (leaf.kind === 'unreadable') listed.set(key, { key, unreadable: leaf.error })
        else if (leaf.kind === 'session' && leaf.session.expiresAt > now)
          listed.set(key, { key, session: leaf.session })
    }
    return listed
  }
}

/** The first place in the index after the one of a document. */
const behind = (order: string): string => `${order}0`

/** What is no moment is a newer program's, and not for the index to judge. */
const hasEnded = (expiresAt: unknown, now: EpochMs): boolean => typeof expiresAt === 'number' && expiresAt <= now
