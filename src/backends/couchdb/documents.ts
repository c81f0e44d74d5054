import type { CacheKey } from '../../contract/locator.js'
import type { SessionStoreError } from '../../errors.js'
import type { Databases } from './databases.js'
import { type Content, idOf, type Leaf, leafOf, type Revision, winnerOf } from './document.js'
import { faultOf, RequestFailed } from './faults.js'
import type { Month } from './months.js'
import type { Answer, Call, Requests } from './requests.js'

/** A document on its way to the server. */
export interface Written {
  readonly key: CacheKey
  /** The leaf it replaces; absent where none stands. */
  readonly revision: Revision | undefined
  readonly content: Content
}

/** What became of one document. `no-database`: the month has none. */
export type WriteResult =
  | { readonly result: 'written'; readonly revision: Revision }
  | { readonly result: 'conflict' }
  | { readonly result: 'no-database' }
  /** The server would not have this one; a `validate_doc_update` function, perhaps. */
  | { readonly result: 'refused'; readonly error: SessionStoreError }

/** The documents of the months' databases, with all their leaves in sight. */
export class Documents {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #log: (message: string) => void

  constructor(requests: Requests, databases: Databases, log: (message: string) => void) {
    this.#requests = requests
    this.#databases = databases
    this.#log = log
  }

  /** The leaf that counts; `undefined` where there is none. */
  async read(call: Call, month: Month, key: CacheKey): Promise<Leaf | undefined> {
    const at = this.#at(month, key)
    const { status, body } = await this.#requests.send(
      call,
      { method: 'get', ...at, qs: { conflicts: true } },
      { expect: [404] },
    )
    if (status === 404) {
      await this.#databases.assertThere(call, month)
      return undefined
    }
    const { _rev: revision, _conflicts: conflicts } = body
    if (typeof revision !== 'string') throw this.#odd(call)
    if (!Array.isArray(conflicts) || conflicts.length === 0) return leafOf(body)
    return this.settle(call, month, key, await this.#leavesOf(call, at))
  }

  /** The leaves that count, of those of many documents that have one. */
  async look(call: Call, month: Month, keys: readonly CacheKey[]): Promise<ReadonlyMap<CacheKey, Leaf>> {
    const found = new Map<CacheKey, Leaf>()
    if (keys.length === 0) return found
    const docs = keys.map((key) => ({ id: idOf(key) }))
    // It asks a quorum of a cluster for all leaves, where `_all_docs` asks one node for one.
    const request = { method: 'post', db: this.#databases.nameOf(month), path: '_bulk_get', body: { docs } } as const
    const { status, body } = await this.#requests.send(call, request, { expect: [404] })
    if (status === 404) {
      await this.#databases.assertThere(call, month)
      return found
    }
    const results = new Map(listOf(body['results']).map(({ id, docs: leaves }) => [id, listOf(leaves)]))
    for (const key of keys) {
      const answers = results.get(idOf(key))
      if (answers === undefined) throw this.#odd(call)
      for (const { error } of answers) if (isRecord(error) && error['error'] !== 'not_found') throw this.#odd(call)
      const leaf = await this.settle(call, month, key, standing(answers))
      if (leaf !== undefined) found.set(key, leaf)
    }
    return found
  }

  /** One document, created or replaced. */
  async write(call: Call, month: Month, { key, revision, content }: Written): Promise<WriteResult> {
    const body = { ...content, ...(revision === undefined ? {} : { _rev: revision }) }
    const request = { method: 'put', ...this.#at(month, key), body } as const
    const { status, body: answer } = await this.#requests.send(call, request, { expect: [404, 409], isChange: true })
    if (status === 404) return { result: 'no-database' }
    if (status === 409) return { result: 'conflict' }
    if (typeof answer['rev'] !== 'string') throw this.#odd(call, true)
    return { result: 'written', revision: answer['rev'] }
  }

  /** Many documents in one request; one result each, in their order. */
  async writeMany(call: Call, month: Month, documents: readonly Written[]): Promise<readonly WriteResult[]> {
    const docs = documents.map(({ key, revision, content }) => ({
      _id: idOf(key),
      ...(revision === undefined ? {} : { _rev: revision }),
      ...content,
    }))
    const answer = await this.#bulk(call, month, docs)
    if (answer.status === 404) return documents.map(() => ({ result: 'no-database' }))
    const rows = new Map(listOf(answer.body).map((row) => [row['id'], row]))
    return documents.map(({ key }): WriteResult => {
      const row = rows.get(idOf(key))
      if (row === undefined) throw this.#odd(call, true)
      if (typeof row['rev'] === 'string' && row['error'] === undefined) {
        if (row['accepted'] === true) return this.#failed(call, 202)
        return { result: 'written', revision: row['rev'] }
      }
      return row['error'] === 'conflict' ? { result: 'conflict' } : this.#failed(call, 403)
    })
  }

  /** Removes leaves; how many were still there. */
  async remove(
    call: Call,
    month: Month,
    leaves: readonly { readonly id: string; readonly revision: Revision }[],
  ): Promise<number> {
    if (leaves.length === 0) return 0
    const docs = leaves.map(({ id, revision }) => ({ _id: id, _rev: revision, _deleted: true }))
    const { status, body } = await this.#bulk(call, month, docs)
    return status === 404 ? 0 : listOf(body).filter(({ rev, error }) => rev !== undefined && error === undefined).length
  }

  /** Of several leaves the one that counts; the others are removed, if that can be done. */
  async settle(call: Call, month: Month, key: CacheKey, leaves: readonly Leaf[]): Promise<Leaf | undefined> {
    const winner = winnerOf(leaves)
    // A leaf of a newer program's is not ours to judge.
    const losers = leaves
      .filter((leaf) => leaf !== winner && leaf.kind !== 'unreadable')
      .map(({ revision }) => ({ id: idOf(key), revision }))
    if (losers.length === 0) return winner
    try {
      await this.remove(call, month, losers)
      this.#log(`a conflict in ${this.#databases.nameOf(month)} was resolved`)
    } catch (raised) {
      if (!(raised instanceof RequestFailed)) throw raised
      this.#log(`a conflict in ${this.#databases.nameOf(month)} stays for now: ${raised.message}`)
    }
    return winner
  }

  async #leavesOf(call: Call, at: { readonly db: string; readonly path: string }): Promise<readonly Leaf[]> {
    const { status, body } = await this.#requests.send(
      call,
      { method: 'get', ...at, qs: { open_revs: 'all' } },
      { expect: [404] },
    )
    return status === 404 ? [] : standing(listOf(body))
  }

  #bulk(call: Call, month: Month, docs: readonly Content[]): Promise<Answer> {
    const request = { method: 'post', db: this.#databases.nameOf(month), path: '_bulk_docs', body: { docs } } as const
    return this.#requests.send(call, request, { expect: [404], isChange: true })
  }

  #at(month: Month, key: CacheKey): { readonly db: string; readonly path: string } {
    return { db: this.#databases.nameOf(month), path: encodeURIComponent(idOf(key)) }
  }

  #failed(call: Call, status: number): WriteResult {
    const exchange = { wasSent: true, status, headers: {}, body: {}, failure: undefined }
    const fault = faultOf(exchange, false, [], this.#requests.context(call))
    if (fault === undefined) throw new TypeError('neither 202 nor 403 is expected')
    return { result: 'refused', error: fault.error }
  }

  /** An answer of another shape than CouchDB's is no answer. */
  #odd(call: Call, isSentToChange = false): RequestFailed {
    const exchange = { wasSent: true, status: 200, headers: {}, body: '', failure: undefined }
    const fault = faultOf(exchange, false, [], { ...this.#requests.context(call), isSentToChange })
    if (fault === undefined) throw new TypeError('an empty body is always a fault')
    return new RequestFailed(fault)
  }
}

const standing = (answers: readonly Content[]): readonly Leaf[] =>
  answers.flatMap(({ ok }) => (isRecord(ok) && ok['_deleted'] !== true ? [leafOf(ok)] : []))

const isRecord = (value: unknown): value is Content =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const listOf = (value: unknown): readonly Content[] => (Array.isArray(value) ? value.filter(isRecord) : [])
