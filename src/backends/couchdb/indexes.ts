import type { CacheKey } from '../../contract/locator.js'
import { type IndexRow, isRecord, type NoIndex, ofIndexCount, ofIndexRows, type Reader } from './answers.js'
import type { Databases } from './databases.js'
import { DESIGN_ID, hexOf } from './design.js'
import { idOf, keyOf, type Leaf, leafOfHeader } from './document.js'
import type { Month } from './months.js'
import type { Call } from './requests.js'
import type { Request } from './transport.js'

type Query = Readonly<Record<string, unknown>>

/** What one line of an index comes to at most: an id, its characters and those of an application in hexadecimal, and more. */
const LINE_BYTES = 3_000

/** The same with all that is in a document beside its data. */
const HEADER_BYTES = 65_536

/** So many headers are asked for at once. */
const HEADERS = 500

/** What an answer has beside its lines, or in their place. */
const ANSWER_BYTES = 65_536

/** nano writes keys as JSON, whatever they are. */
const inUrl = (query: Query): NonNullable<Request['qs']> => query as NonNullable<Request['qs']>

/** Asks the indexes of a month's database; puts them there where somebody made the database by hand. */
export class Indexes {
  readonly #databases: Databases

  constructor(databases: Databases) {
    this.#databases = databases
  }

  /** In the index's order; none where there is no database. */
  async rows(
    call: Call,
    month: Month,
    view: string,
    query: Query & { readonly limit: number },
  ): Promise<readonly IndexRow[]> {
    const maxBytes = ANSWER_BYTES + query.limit * LINE_BYTES
    const request = { method: 'get', qs: inUrl({ reduce: false, ...query }), maxBytes } as const
    const answer = await this.#ask(call, month, view, request, ofIndexRows)
    return answer?.rows ?? []
  }

  /**
   * What stands there without its data, for each key whose session stands there. `'in conflict'`: that is for a look to
   * say.
   */
  async headers(
    call: Call,
    month: Month,
    keys: readonly CacheKey[],
  ): Promise<ReadonlyMap<CacheKey, Leaf | 'in conflict'>> {
    const headers = new Map<CacheKey, Leaf | 'in conflict'>()
    for (let start = 0; start < keys.length; start += HEADERS) {
      const part = keys.slice(start, start + HEADERS)
      const body = { keys: part.map((key) => hexOf(idOf(key), 2)) }
      const maxBytes = ANSWER_BYTES + part.length * HEADER_BYTES
      const answer = await this.#ask(call, month, 'headers', { method: 'post', body, maxBytes }, ofIndexRows)
      for (const { id, value } of answer?.rows ?? [])
        headers.set(keyOf(id), isRecord(value) ? leafOfHeader(value) : 'in conflict')
    }
    return headers
  }

  /** How many there are; 0 where there is no database. */
  async count(call: Call, month: Month, view: string, query: Query = {}): Promise<number> {
    const request = { method: 'get', qs: inUrl(query), maxBytes: ANSWER_BYTES } as const
    return (await this.#ask(call, month, view, request, ofIndexCount))?.count ?? 0
  }

  /** `undefined` where there is no database. */
  async #ask<Answer extends { readonly is: string }>(
    call: Call,
    month: Month,
    view: string,
    how: Request,
    read: Reader<Answer | NoIndex | { readonly is: 'no-database' }>,
  ): Promise<Exclude<Answer, NoIndex | { readonly is: 'no-database' }> | undefined> {
    const request = { ...how, path: `${DESIGN_ID}/_view/${view}` }
    let answer = await this.#databases.ask(call, month, request, read)
    if (answer.is === 'no-index') {
      await this.#databases.putIndexes(call, month)
      answer = await this.#databases.ask(call, month, request, read)
    }
    if (answer.is === 'no-index') throw this.#databases.missingIndexes(call, month)
    if (answer.is === 'no-database') return undefined
    return answer as Exclude<Answer, NoIndex | { readonly is: 'no-database' }>
  }
}
