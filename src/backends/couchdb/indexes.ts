import type { Databases } from './databases.js'
import { DESIGN_ID } from './design.js'
import type { Month } from './months.js'
import type { Answer, Call, Requests } from './requests.js'

export interface IndexRow {
  readonly id: string
  readonly key: unknown
  readonly value: unknown
}

type Query = Readonly<Record<string, unknown>>

/** Asks the indexes of a month's database; puts them there where somebody made the database by hand. */
export class Indexes {
  readonly #requests: Requests
  readonly #databases: Databases

  constructor(requests: Requests, databases: Databases) {
    this.#requests = requests
    this.#databases = databases
  }

  /** In the index's order; none where there is no database. */
  async rows(call: Call, month: Month, view: string, query: Query): Promise<readonly IndexRow[]> {
    const qs = { reduce: false, ...query }
    const rows = await this.#ask(call, month, view, qs)
    return rows.map(({ id, key, value }) => ({ id: String(id), key, value }))
  }

  async count(call: Call, month: Month, view: string, query: Query = {}): Promise<number> {
    const [row] = await this.#ask(call, month, view, query)
    return Number(row?.['value'] ?? 0)
  }

  async #ask(call: Call, month: Month, view: string, qs: Query): Promise<readonly Readonly<Record<string, unknown>>[]> {
    let answer = await this.#get(call, month, view, qs)
    if (answer.status === 404) {
      await this.#databases.putIndexes(call, month)
      answer = await this.#get(call, month, view, qs)
    }
    const { rows } = answer.body
    return answer.status === 404 || !Array.isArray(rows) ? [] : rows
  }

  #get(call: Call, month: Month, view: string, qs: Query): Promise<Answer> {
    const path = `${DESIGN_ID}/_view/${view}`
    const request = {
      method: 'get',
      db: this.#databases.nameOf(month),
      path,
      qs: qs as Record<string, string>,
    } as const
    return this.#requests.send(call, request, { expect: [404] })
  }
}
