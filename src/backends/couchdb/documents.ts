import type { CacheKey } from '../../contract/locator.js'
import type { SessionStoreError } from '../../errors.js'
import { ofDocument, ofLeaves, ofManyDocuments, ofManyWrites, ofWrite, type RowAnswer } from './answers.js'
import type { Databases } from './databases.js'
import { type Content, idOf, type Leaf, leafOf, type Revision, winnerOf } from './document.js'
import { faultOf, RequestFailed } from './faults.js'
import type { Month } from './months.js'
import type { Call, Requests } from './requests.js'

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
  /** This one was not acknowledged, for a reason of its own; `error.applied` says whether it may be there. */
  | { readonly result: 'failed'; readonly error: SessionStoreError }

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
    const leaf = await this.#read(call, month, key, {})
    const copies = this.#databases.copiesOf(month)
    // Of several copies the majority that was asked may be the one that does not have it yet.
    return leaf === undefined && copies > 1 ? this.#read(call, month, key, { r: copies }) : leaf
  }

  async #read(call: Call, month: Month, key: CacheKey, quorum: { readonly r?: number }): Promise<Leaf | undefined> {
    const id = idOf(key)
    const path = encodeURIComponent(id)
    const request = { method: 'get', path, qs: { conflicts: true, ...quorum } } as const
    const answer = await this.#databases.ask(call, month, request, ofDocument(id))
    if (answer.is !== 'document') return undefined
    const { _conflicts: conflicts } = answer.document
    if (!Array.isArray(conflicts) || conflicts.length === 0) return leafOf(answer.document)
    const all = { method: 'get', path, qs: { open_revs: 'all', ...quorum } } as const
    const leaves = await this.#databases.ask(call, month, all, ofLeaves(id))
    return this.#settle(call, month, key, leaves.is === 'leaves' ? standing(leaves.leaves) : [])
  }

  /** The leaves that count, of those of many documents that have one. */
  async look(call: Call, month: Month, keys: readonly CacheKey[]): Promise<ReadonlyMap<CacheKey, Leaf>> {
    const found = new Map<CacheKey, Leaf>()
    if (keys.length === 0) return found
    const ids = keys.map(idOf)
    // It asks a quorum of a cluster for all leaves, where `_all_docs` asks one node for one.
    const request = { method: 'post', path: '_bulk_get', body: { docs: ids.map((id) => ({ id })) } } as const
    const answer = await this.#databases.ask(call, month, request, ofManyDocuments(ids))
    if (answer.is === 'no-database') return found
    for (const key of keys) {
      const leaves = standing(answer.leaves.get(idOf(key)) ?? [])
      const isConfirmed = leaves.length > 0 || this.#databases.copiesOf(month) === 1
      const leaf = await (isConfirmed ? this.#settle(call, month, key, leaves) : this.read(call, month, key))
      if (leaf !== undefined) found.set(key, leaf)
    }
    return found
  }

  /** One document, created or replaced. */
  async write(call: Call, month: Month, { key, revision, content }: Written): Promise<WriteResult> {
    if (!(await this.#databases.isThere(call, month))) return { result: 'no-database' }
    const id = idOf(key)
    const body = { _id: id, ...(revision === undefined ? {} : { _rev: revision }), ...content }
    const request = { method: 'put', path: encodeURIComponent(id), body } as const
    const answer = await this.#databases.ask(call, month, request, ofWrite(id), { isChange: true })
    return answer.is === 'no-database' ? { result: 'no-database' } : this.#resultOf(call, answer)
  }

  /**
   * Many documents in one request; one result each, in their order. A request that is refused because of one document
   * is tried again in halves, until that one stands alone.
   */
  async writeMany(call: Call, month: Month, documents: readonly Written[]): Promise<readonly WriteResult[]> {
    if (!(await this.#databases.isThere(call, month))) return documents.map(() => ({ result: 'no-database' }))
    try {
      const ids = documents.map(({ key }) => idOf(key))
      const docs = documents.map(({ revision, content }, at) => ({
        _id: ids[at],
        ...(revision === undefined ? {} : { _rev: revision }),
        ...content,
      }))
      const answer = await this.#bulk(call, month, ids, docs)
      if (answer === undefined) return documents.map(() => ({ result: 'no-database' }))
      return answer.map((row) => this.#resultOf(call, row))
    } catch (raised) {
      if (!(raised instanceof RequestFailed && raised.fault.kind === 'value')) throw raised
      if (documents.length === 1) return [{ result: 'failed', error: raised.fault.error }]
      const middle = Math.ceil(documents.length / 2)
      const first = await this.#writeHalf(call, month, documents.slice(0, middle))
      return [...first, ...(await this.#writeHalf(call, month, documents.slice(middle)))]
    }
  }

  /** What went well in the other half is not to be forgotten over the failure of this one. */
  async #writeHalf(call: Call, month: Month, documents: readonly Written[]): Promise<readonly WriteResult[]> {
    try {
      return await this.writeMany(call, month, documents)
    } catch (raised) {
      if (!(raised instanceof RequestFailed)) throw raised
      return documents.map(() => ({ result: 'failed', error: raised.fault.error }))
    }
  }

  /** Removes leaves; how many were still there. */
  async remove(
    call: Call,
    month: Month,
    leaves: readonly { readonly id: string; readonly revision: Revision }[],
  ): Promise<number> {
    if (leaves.length === 0) return 0
    const docs = leaves.map(({ id, revision }) => ({ _id: id, _rev: revision, _deleted: true }))
    const ids = leaves.map(({ id }) => id)
    const rows = (await this.#bulk(call, month, ids, docs)) ?? []
    return rows.filter(({ is }) => is === 'written').length
  }

  /** Of several leaves the one that counts; the others are removed, if that can be done. */
  async #settle(call: Call, month: Month, key: CacheKey, leaves: readonly Leaf[]): Promise<Leaf | undefined> {
    const winner = winnerOf(leaves)
    if (leaves.length < 2) return winner
    await this.#databases.isThere(call, month)
    // Where there are several copies, the leaf that wins may be on few of them, and one that loses be what a quorum
    // acknowledged: none is removed.
    if (this.#databases.copiesOf(month) > 1) return winner
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

  /** `undefined` where the month has no database. */
  async #bulk(
    call: Call,
    month: Month,
    ids: readonly string[],
    docs: readonly Content[],
  ): Promise<readonly RowAnswer[] | undefined> {
    const request = { method: 'post', path: '_bulk_docs', body: { docs } } as const
    const answer = await this.#databases.ask(call, month, request, ofManyWrites(ids), { isChange: true })
    return answer.is === 'no-database' ? undefined : answer.rows
  }

  #resultOf(call: Call, answer: RowAnswer): WriteResult {
    if (answer.is === 'written') return { result: 'written', revision: answer.revision }
    if (answer.is === 'conflict') return { result: 'conflict' }
    const exchange = { wasSent: true, status: STATUSES[answer.is], headers: {}, body: {}, failure: undefined }
    return { result: 'failed', error: faultOf(exchange, false, this.#requests.context(call)).error }
  }
}

/** The status that an answer about this document alone would have. */
const STATUSES = { refused: 403, accepted: 202, failed: 500 } as const

/** Leaves that were deleted say nothing. */
const standing = (leaves: readonly Content[]): readonly Leaf[] =>
  leaves.flatMap((leaf) => (leaf['_deleted'] === true ? [] : [leafOf(leaf)]))
