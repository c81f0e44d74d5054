import type { KeyListOptions, ListedSession, ListOptions, Page, StoredSession, Which } from '../../contract/backend.js'
import { type CacheKey, type Locator, splitKey } from '../../contract/locator.js'
import type { IndexRow } from './answers.js'
import { hexOf } from './design.js'
import { keyOf, type Leaf, userHashOf } from './document.js'
import type { Documents } from './documents.js'
import type { Indexes } from './indexes.js'
import { candidateMonths, claimOf, type Month, type Window } from './months.js'
import type { Call } from './requests.js'

/** So many sessions that have ended, and are not purged yet, a page passes over without a further request. */
const ENDED = 100

/** Lines of an index that are read at once. A page reads no more than this and a few smaller requests of each month. */
const LARGEST_PAGE = 5_000

/** The data of so many sessions is asked for at once, */
const LARGEST_LOOK = 50

/** and of so many before anything is known of how large they are. */
const FIRST_LOOK = 4

const NO_DATA = new Uint8Array(0)

/** A key, and the month whose index it stands in. */
interface Line {
  readonly key: CacheKey
  readonly month: Month
}

/** A list in the index of lines, by the beginning of its keys. */
type List = readonly [namespace: string, by: 'all' | 'app' | 'user', of: string]

/** The shortest list that has everybody who is meant. */
const listOf = ({ namespace, app = '', userId }: Which): List => {
  if (userId !== undefined) return [namespace, 'user', userHashOf(userId)]
  return app === '' ? [namespace, 'all', ''] : [namespace, 'app', hexOf(app, 4)]
}

/** What the months hold together, in the order of the keys. */
export class Listing {
  readonly #documents: Documents
  readonly #indexes: Indexes
  readonly #window: Window

  constructor(documents: Documents, indexes: Indexes, window: Window) {
    this.#documents = documents
    this.#indexes = indexes
    this.#window = window
  }

  /** From the lines of the indexes it is known which documents to ask for; how many at once, by how large those before were. */
  async list(call: Call, { maxBytes, withData, ...options }: ListOptions): Promise<Page<ListedSession>> {
    const lines = await this.#lines(call, options)
    if (!withData) return { entries: await this.#bare(call, lines.entries, options), next: lines.next }
    const entries: ListedSession[] = []
    let bytes = 0
    let looked = 0
    while (looked < lines.entries.length) {
      const room = looked === 0 ? FIRST_LOOK : Math.floor(((maxBytes - bytes) * looked) / Math.max(bytes, 1))
      const part = lines.entries.slice(looked, looked + Math.min(Math.max(room, 1), LARGEST_LOOK))
      for (const listed of await this.#look(call, part, options)) {
        const more = 'session' in listed ? listed.session.data.byteLength : 0
        if (entries.length > 0 && bytes + more > maxBytes) return { entries, next: entries.at(-1)?.locator.key }
        entries.push(listed)
        bytes += more
      }
      looked += part.length
    }
    return { entries, next: lines.next }
  }

  async listKeys(call: Call, options: KeyListOptions): Promise<Page<Locator>> {
    const { entries, next } = await this.#lines(call, options)
    return { entries: entries.map(locatorOf), next }
  }

  /** CouchDB counts by itself where one index says who is meant; else their lines are counted here, page by page. */
  async count(call: Call, which: Which): Promise<number> {
    const { namespace, now, app, userId, seenSince } = which
    const counts = candidateMonths(now, this.#window).map(async (month) => {
      if (userId === undefined && seenSince === undefined && app !== '') {
        const list = [namespace, hexOf(app ?? '', 4)]
        const range = { startkey: [...list, Math.floor(now) + 1], endkey: [...list, {}] }
        return this.#indexes.count(call, month, 'living', range)
      }
      let count = 0
      for await (const _ of this.#meant(call, month, listOf(which), which)) count += 1
      return count
    })
    return (await Promise.all(counts)).reduce((sum, count) => sum + count, 0)
  }

  /**
   * Goes through the lines of all months side by side, in the order of the users, so that no more of them is in memory
   * than a page of each month.
   */
  async countUsers(call: Call, which: Which): Promise<number> {
    const { namespace, now, userId } = which
    const list = userId === undefined ? ([namespace, 'user'] as const) : listOf(which)
    const months = candidateMonths(now, this.#window).map((month) => this.#meant(call, month, list, which))
    const next = async (lines: AsyncGenerator<IndexRow>): Promise<string | undefined> => {
      const { value, done } = await lines.next()
      return done === true ? undefined : userHashIn(value)
    }
    const users = await Promise.all(months.map(next))
    for (let count = 0; ; count += 1) {
      const [first] = users.filter((user) => user !== undefined).sort()
      if (first === undefined) return count
      for (const [at, lines] of months.entries()) while (users[at] === first) users[at] = await next(lines)
    }
  }

  /** The lines of those who are meant, of one list of one month or of all that begin like it, in the order of the index. */
  async *#meant(call: Call, month: Month, list: readonly string[], which: Which): AsyncGenerator<IndexRow> {
    for (let startkey: readonly unknown[] = list; ; ) {
      const range = { startkey, endkey: [...list, {}], limit: LARGEST_PAGE }
      const rows = await this.#indexes.rows(call, month, 'lines', range)
      for (const row of rows) if (isMeantLine(row, which)) yield row
      const last = rows.at(-1)
      if (rows.length < LARGEST_PAGE || last === undefined) return
      startkey = behind(last)
    }
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
    return { entries, next: entries.length < lines.length ? entries.at(-1)?.key : end }
  }

  /** The first `limit` keys of one month whose sessions are meant, or as many as are found within the bound. */
  async #linesOf(call: Call, month: Month, { limit, after, ...which }: KeyListOptions): Promise<Page<CacheKey>> {
    const list = listOf(which)
    const entries: CacheKey[] = []
    let startkey: readonly unknown[] = after === undefined ? list : [...list, `${orderOf(after)}0`]
    for (let size = Math.min(limit + ENDED, LARGEST_PAGE); ; size = Math.min(size * 4, LARGEST_PAGE)) {
      const range = { startkey, endkey: [...list, {}], limit: size }
      const rows = await this.#indexes.rows(call, month, 'lines', range)
      entries.push(...rows.filter((row) => isMeantLine(row, which)).map(({ id }) => keyOf(id)))
      const last = rows.at(-1)
      if (rows.length < size || last === undefined) return { entries, next: undefined }
      if (entries.length >= limit || size === LARGEST_PAGE) return { entries, next: keyOf(last.id) }
      startkey = behind(last)
    }
  }

  /** Those of them that are meant still, or cannot be read. */
  async #look(call: Call, lines: readonly Line[], which: Which): Promise<readonly ListedSession[]> {
    const leaves = await byMonth(lines, (month, keys) => this.#documents.look(call, month, keys))
    return listed(lines, leaves, which)
  }

  /** The same without the data, which stays where it is unless a document is in conflict. */
  async #bare(call: Call, lines: readonly Line[], which: Which): Promise<readonly ListedSession[]> {
    const headers = await byMonth(lines, (month, keys) => this.#indexes.headers(call, month, keys))
    const leaves = new Map(headers)
    const unsure = lines.filter(({ key }) => headers.get(key) === 'in conflict')
    for (let start = 0; start < unsure.length; start += FIRST_LOOK) {
      const part = unsure.slice(start, start + FIRST_LOOK)
      for (const [key, leaf] of await byMonth(part, (month, keys) => this.#documents.look(call, month, keys)))
        leaves.set(key, leaf.kind === 'session' ? { ...leaf, session: { ...leaf.session, data: NO_DATA } } : leaf)
    }
    return listed(lines, leaves, which)
  }
}

/** What `ask` gives for the keys of each month, together. */
const byMonth = async <Found>(
  lines: readonly Line[],
  ask: (month: Month, keys: readonly CacheKey[]) => Promise<ReadonlyMap<CacheKey, Found>>,
): Promise<ReadonlyMap<CacheKey, Found>> => {
  const all = new Map<CacheKey, Found>()
  for (const month of new Set(lines.map((line) => line.month))) {
    const keys = lines.filter((line) => line.month === month).map(({ key }) => key)
    for (const [key, found] of await ask(month, keys)) all.set(key, found)
  }
  return all
}

const listed = (
  lines: readonly Line[],
  leaves: ReadonlyMap<CacheKey, Leaf | 'in conflict'>,
  which: Which,
): readonly ListedSession[] =>
  lines.flatMap((line): readonly ListedSession[] => {
    const leaf = leaves.get(line.key)
    if (leaf === undefined || leaf === 'in conflict') return []
    if (leaf.kind === 'unreadable') return [{ locator: locatorOf(line), unreadable: leaf.error }]
    const isListed = leaf.kind === 'session' && isMeant(leaf.session, which)
    return isListed ? [{ locator: locatorOf(line), session: leaf.session }] : []
  })

/** Whoever asks for the session by it looks in no other month, whatever its id says. */
const locatorOf = ({ key, month }: Line): Locator => ({ key, bornMonth: claimOf(month) })

const isMeant = (session: StoredSession, { now, app, userId, seenSince }: Which): boolean =>
  session.expiresAt > now &&
  (app === undefined || session.app === app) &&
  (userId === undefined || session.userId === userId) &&
  (seenSince === undefined || session.seenAt >= seenSince)

/** The same by its line, of those in one user's list. What is no moment is a newer program's, and not for the index to judge. */
const isMeantLine = ({ value }: IndexRow, { now, app, seenSince }: Which): boolean => {
  const [expiresAt, seenAt, ofApp] = Array.isArray(value) ? (value as readonly unknown[]) : []
  return (
    !(typeof expiresAt === 'number' && expiresAt <= now) &&
    (app === undefined || ofApp === app) &&
    !(seenSince !== undefined && typeof seenAt === 'number' && seenAt < seenSince)
  )
}

const orderOf = (key: CacheKey): string => hexOf(splitKey(key).hash, 2)

const partsIn = ({ key }: IndexRow): readonly string[] => (Array.isArray(key) ? key.map(String) : [])

const userHashIn = (row: IndexRow): string => partsIn(row)[2] ?? ''

/** The first place in the index after the one of a line. */
const behind = (row: IndexRow): readonly string[] => {
  const parts = partsIn(row)
  return [...parts.slice(0, -1), `${parts.at(-1)}0`]
}
