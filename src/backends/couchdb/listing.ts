import type { ListedSession, ListOptions } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import type { Databases } from './databases.js'
import { type Content, idOf, keyOf, leafOf } from './document.js'
import type { Documents } from './documents.js'
import type { Indexes } from './indexes.js'
import { candidateMonths, type Month, type Window } from './months.js'
import type { Places } from './places.js'
import type { Call, Requests } from './requests.js'

/** Behind every key of a namespace, which are letters, digits, `_` and `-`. */
const LAST = '~'

/** What the months hold together, in the order of the keys. */
export class Listing {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #documents: Documents
  readonly #indexes: Indexes
  readonly #places: Places
  readonly #window: Window

  constructor(
    requests: Requests,
    databases: Databases,
    documents: Documents,
    indexes: Indexes,
    places: Places,
    window: Window,
  ) {
    this.#requests = requests
    this.#databases = databases
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

  /** The first `limit` of one month. */
  async #listIn(
    call: Call,
    month: Month,
    { namespace, now, limit, after }: ListOptions,
  ): Promise<readonly ListedSession[]> {
    const listed: ListedSession[] = []
    let last = after
    for (;;) {
      const page = await this.#page(call, month, namespace, limit + 1, last)
      for (const document of page) {
        const key = keyOf(String(document['_id']))
        if (key === last) continue
        const { _conflicts: conflicts } = document
        const leaf = conflicts === undefined ? leafOf(document) : await this.#documents.read(call, month, key)
        if (leaf?.kind === 'unreadable') throw leaf.error
        if (leaf?.kind === 'session' && leaf.session.expiresAt > now) listed.push({ key, session: leaf.session })
      }
      const end = page.at(-1)
      if (page.length <= limit || listed.length >= limit || end === undefined) return listed
      last = keyOf(String(end['_id']))
    }
  }

  /** Documents from `from` on, which is among them if it still stands. */
  async #page(
    call: Call,
    month: Month,
    namespace: string,
    limit: number,
    from: CacheKey | undefined,
  ): Promise<readonly Content[]> {
    const startkey = idOf(from ?? `${namespace}:`)
    const qs = { startkey, endkey: idOf(`${namespace}:${LAST}`), limit, include_docs: true, conflicts: true }
    const request = { method: 'get', db: this.#databases.nameOf(month), path: '_all_docs', qs } as const
    const { status, body } = await this.#requests.send(call, request, { expect: [404] })
    const { rows } = body
    if (status === 404 || !Array.isArray(rows)) return []
    return (rows as readonly { readonly doc?: Content | null }[]).flatMap(({ doc }) => (doc ? [doc] : []))
  }
}
