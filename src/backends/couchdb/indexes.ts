import { type IndexRow, type NoIndex, ofIndexCount, ofIndexRows, type Reader } from './answers.js'
import type { Databases } from './databases.js'
import { DESIGN_ID } from './design.js'
import type { Month } from './months.js'
import type { Call } from './requests.js'

type Query = Readonly<Record<string, unknown>>

/** What one line of an index comes to at most: an id, its characters in hexadecimal, and a revision. */
const LINE_BYTES = 1_000

/** What an answer has beside its lines, or in their place. */
const ANSWER_BYTES = 65_536

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
    const answer = await this.#ask(call, month, view, { reduce: false, ...query }, ofIndexRows, maxBytes)
    return answer?.rows ?? []
  }

  /** How many there are; 0 where there is no database. */
  async count(call: Call, month: Month, view: string, query: Query = {}): Promise<number> {
    return (await this.#ask(call, month, view, query, ofIndexCount))?.count ?? 0
  }

  /** `undefined` where there is no database. */
  async #ask<Answer extends { readonly is: string }>(
    call: Call,
    month: Month,
    view: string,
    qs: Query,
    read: Reader<Answer | NoIndex | { readonly is: 'no-database' }>,
    maxBytes: number = ANSWER_BYTES,
  ): Promise<Exclude<Answer, NoIndex | { readonly is: 'no-database' }> | undefined> {
    const path = `${DESIGN_ID}/_view/${view}`
    const request = { method: 'get', path, qs: qs as Record<string, string>, maxBytes } as const
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
