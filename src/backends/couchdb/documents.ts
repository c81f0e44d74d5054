import type { CacheKey } from '../../contract/locator.js'
import type { SessionStoreError } from '../../errors.js'
import { inHalves } from '../../tools/halves.js'
import { ofDocument, ofLeaves, ofManyDocuments, ofManyWrites, ofWrite, type RowAnswer } from './answers.js'
import type { Databases } from './databases.js'
import type { Content, Form, Leaf, Revision } from './document.js'
import { faultOf, RequestFailed, refusedValue } from './faults.js'
import type { Shelf } from './months.js'
import type { ResolvedCouchdbOptions } from './options.js'
import type { Call, Requests } from './requests.js'
import { UnreadAnswer } from './transport.js'

/** A document on its way to the server. */
export interface Written {
  /** What its id is made of. */
  readonly key: CacheKey
  /** The leaf it replaces; absent where none stands. */
  readonly revision: Revision | undefined
  readonly content: Content
}

/** What became of one document. `no-database`: there is none for it. */
export type WriteResult =
  | { readonly result: 'written'; readonly revision: Revision }
  | { readonly result: 'conflict' }
  | { readonly result: 'no-database' }
  /** This one was not acknowledged, for a reason of its own; `error.applied` says whether it may be there. */
  | { readonly result: 'failed'; readonly error: SessionStoreError }

/** What a document takes in an answer beside its data: its other fields, and the names of its leaves. */
const BESIDE_BYTES = 65_536

/** What an answer says of a document that was written. */
const WRITTEN_BYTES = 1_000

/** So many leaves of one document are read at once, where writes met that did not see each other. */
const MOST_LEAVES = 4

/** So much is read at once of many documents, unless a single one may have more; they are asked for in halves then. */
const LARGEST_LOOK_BYTES = 64_000_000

/** The documents of one kind, with all their leaves in sight. */
export class Documents<AnyLeaf extends { readonly kind: string; readonly revision: Revision } = Leaf> {
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #maxDocumentBytes: number
  readonly #log: (message: string) => void
  readonly #form: Form<AnyLeaf>

  constructor(
    requests: Requests,
    databases: Databases,
    { maxDocumentBytes, log }: Pick<ResolvedCouchdbOptions, 'maxDocumentBytes' | 'log'>,
    form: Form<AnyLeaf>,
  ) {
    this.#form = form
    this.#requests = requests
    this.#databases = databases
    this.#maxDocumentBytes = maxDocumentBytes
    this.#log = log
  }

  /** How many bytes the answer may have to a request for so many leaves. */
  #bytesOf(leaves: number): number {
    return leaves * (this.#maxDocumentBytes + BESIDE_BYTES)
  }

  /** The leaf that counts; `undefined` where there is none. */
  async read(call: Call, shelf: Shelf, key: CacheKey): Promise<AnyLeaf | undefined> {
    const leaf = await this.#read(call, shelf, key, {})
    const copies = this.#databases.copiesOf(shelf)
    // Of several copies the majority that was asked may be the one that does not have it yet.
    return leaf === undefined && copies > 1 ? this.#read(call, shelf, key, { r: copies }) : leaf
  }

  async #read(call: Call, shelf: Shelf, key: CacheKey, quorum: { readonly r?: number }): Promise<AnyLeaf | undefined> {
    const id = this.#form.idOf(key)
    const path = encodeURIComponent(id)
    const request = { method: 'get', path, qs: { conflicts: true, ...quorum }, maxBytes: this.#bytesOf(1) } as const
    const answer = await this.#databases.ask(call, shelf, request, ofDocument(id))
    if (answer.is !== 'document') return undefined
    const { _conflicts: conflicts } = answer.document
    if (!Array.isArray(conflicts) || conflicts.length === 0) return this.#form.leafOf(answer.document)
    const maxBytes = this.#bytesOf(Math.min(conflicts.length + 1, MOST_LEAVES))
    const all = { method: 'get', path, qs: { open_revs: 'all', ...quorum }, maxBytes } as const
    const leaves = await this.#databases.ask(call, shelf, all, ofLeaves(id))
    return this.#resolveConflict(call, shelf, key, leaves.is === 'leaves' ? this.#standing(leaves.leaves) : [])
  }

  /** The leaves that count, of those of many documents that have one. */
  async look(call: Call, shelf: Shelf, keys: readonly CacheKey[]): Promise<ReadonlyMap<CacheKey, AnyLeaf>> {
    if (keys.length === 0) return new Map()
    const leaves = await inHalves(keys, (part) => this.#lookAtOnce(call, shelf, part))
    return new Map(keys.flatMap((key, at) => (leaves[at] === undefined ? [] : [[key, leaves[at]]])))
  }

  /** One leaf for each key that has one; `undefined` where they are too much for one answer. */
  async #lookAtOnce(
    call: Call,
    shelf: Shelf,
    keys: readonly CacheKey[],
  ): Promise<readonly (AnyLeaf | undefined)[] | undefined> {
    const ids = keys.map(this.#form.idOf)
    const maxBytes = Math.max(Math.min(this.#bytesOf(keys.length), LARGEST_LOOK_BYTES), this.#bytesOf(MOST_LEAVES))
    // It asks a quorum of a cluster for all leaves, where `_all_docs` asks one node for one.
    const request = { method: 'post', path: '_bulk_get', body: { docs: ids.map((id) => ({ id })) }, maxBytes } as const
    const answer = await this.#databases.ask(call, shelf, request, ofManyDocuments(ids)).catch((raised: unknown) => {
      if (isTooLarge(raised) && keys.length > 1) return undefined
      throw raised
    })
    if (answer === undefined) return undefined
    if (answer.is === 'no-database') return keys.map(() => undefined)
    const found: (AnyLeaf | undefined)[] = []
    for (const key of keys) {
      const leaves = this.#standing(answer.leaves.get(this.#form.idOf(key)) ?? [])
      const isConfirmed = leaves.length > 0 || this.#databases.copiesOf(shelf) === 1
      found.push(await (isConfirmed ? this.#resolveConflict(call, shelf, key, leaves) : this.read(call, shelf, key)))
    }
    return found
  }

  /** One document, created or replaced. */
  async write(call: Call, shelf: Shelf, { key, revision, content }: Written): Promise<WriteResult> {
    if (this.#isTooLarge(content)) return { result: 'failed', error: this.#tooLarge(call) }
    if (!(await this.#databases.isThere(call, shelf))) return { result: 'no-database' }
    const id = this.#form.idOf(key)
    const body = { _id: id, ...(revision === undefined ? {} : { _rev: revision }), ...content }
    const request = { method: 'put', path: encodeURIComponent(id), body } as const
    const answer = await this.#databases.ask(call, shelf, request, ofWrite(id), { isChange: true })
    return answer.is === 'no-database' ? { result: 'no-database' } : this.#resultOf(call, answer)
  }

  /**
   * Many documents in one request; one result each, in their order. A request that is refused because of one document
   * is tried again in halves, until that one stands alone.
   */
  async writeMany(call: Call, shelf: Shelf, documents: readonly Written[]): Promise<readonly WriteResult[]> {
    const small = documents.filter(({ content }) => !this.#isTooLarge(content))
    if (small.length < documents.length) {
      const results = small.length === 0 ? [] : await this.writeMany(call, shelf, small)
      const error = this.#tooLarge(call)
      return documents.map((document) => results[small.indexOf(document)] ?? { result: 'failed', error })
    }
    if (!(await this.#databases.isThere(call, shelf))) return documents.map(() => ({ result: 'no-database' }))
    return await inHalves(documents, async (part): Promise<readonly WriteResult[] | undefined> => {
      try {
        return await this.#writeAtOnce(call, shelf, part)
      } catch (raised) {
        if (!(raised instanceof RequestFailed)) throw raised
        const { kind, error } = raised.fault
        if (kind === 'value' && part.length > 1) return undefined
        // What went well in one half is not to be forgotten over the failure of the other.
        if (kind === 'value' || part.length < documents.length) return part.map(() => ({ result: 'failed', error }))
        throw raised
      }
    })
  }

  async #writeAtOnce(call: Call, shelf: Shelf, documents: readonly Written[]): Promise<readonly WriteResult[]> {
    const ids = documents.map(({ key }) => this.#form.idOf(key))
    const docs = documents.map(({ revision, content }, at) => ({
      _id: ids[at],
      ...(revision === undefined ? {} : { _rev: revision }),
      ...content,
    }))
    const answer = await this.#bulk(call, shelf, ids, docs)
    if (answer === undefined) return documents.map(() => ({ result: 'no-database' }))
    return answer.map((row) => this.#resultOf(call, row))
  }

  /** Removes leaves; how many were still there. */
  async remove(
    call: Call,
    shelf: Shelf,
    leaves: readonly { readonly id: string; readonly revision: Revision }[],
  ): Promise<number> {
    if (leaves.length === 0) return 0
    const docs = leaves.map(({ id, revision }) => ({ _id: id, _rev: revision, _deleted: true }))
    const ids = leaves.map(({ id }) => id)
    const rows = (await this.#bulk(call, shelf, ids, docs)) ?? []
    return rows.filter(({ is }) => is === 'written').length
  }

  /** Of several leaves the one that counts; the others are removed, if that can be done. */
  async #resolveConflict(
    call: Call,
    shelf: Shelf,
    key: CacheKey,
    leaves: readonly AnyLeaf[],
  ): Promise<AnyLeaf | undefined> {
    const winner = this.#form.winnerOf(leaves)
    if (leaves.length < 2) return winner
    await this.#databases.isThere(call, shelf)
    // Where there are several copies, the leaf that wins may be on few of them, and one that loses be what a quorum
    // acknowledged: none is removed.
    if (this.#databases.copiesOf(shelf) > 1) return winner
    // A leaf of a newer program's is not ours to judge.
    const losers = leaves
      .filter((leaf) => leaf !== winner && leaf.kind !== 'unreadable')
      .map(({ revision }) => ({ id: this.#form.idOf(key), revision }))
    if (losers.length === 0) return winner
    try {
      await this.remove(call, shelf, losers)
      this.#log(`a conflict in ${this.#databases.nameOf(shelf)} was resolved`)
    } catch (raised) {
      if (!(raised instanceof RequestFailed)) throw raised
      this.#log(`a conflict in ${this.#databases.nameOf(shelf)} stays for now: ${raised.message}`)
    }
    return winner
  }

  /** `undefined` where there is no database. */
  async #bulk(
    call: Call,
    shelf: Shelf,
    ids: readonly string[],
    docs: readonly Content[],
  ): Promise<readonly RowAnswer[] | undefined> {
    const maxBytes = BESIDE_BYTES + ids.length * WRITTEN_BYTES
    const request = { method: 'post', path: '_bulk_docs', body: { docs }, maxBytes } as const
    const answer = await this.#databases.ask(call, shelf, request, ofManyWrites(ids), { isChange: true })
    return answer.is === 'no-database' ? undefined : answer.rows
  }

  /** Leaves that were deleted say nothing. */
  #standing(leaves: readonly Content[]): readonly AnyLeaf[] {
    return leaves.flatMap((leaf) => (leaf['_deleted'] === true ? [] : [this.#form.leafOf(leaf)]))
  }

  #isTooLarge({ data }: Content): boolean {
    return typeof data === 'string' && data.length > this.#maxDocumentBytes
  }

  #tooLarge(call: Call): SessionStoreError {
    const reason = `it is larger than \`maxDocumentBytes\`, ${this.#maxDocumentBytes}`
    return refusedValue('E_SESSION_TOO_LARGE', reason, this.#requests.context(call))
  }

  #resultOf(call: Call, answer: RowAnswer): WriteResult {
    if (answer.is === 'written') return { result: 'written', revision: answer.revision }
    if (answer.is === 'conflict') return { result: 'conflict' }
    const exchange = { wasSent: true, status: STATUSES[answer.is], headers: {}, body: {}, failure: undefined }
    return { result: 'failed', error: faultOf(exchange, false, this.#requests.context(call)).error }
  }
}

const isTooLarge = (raised: unknown): boolean =>
  raised instanceof RequestFailed && raised.fault.error.cause instanceof UnreadAnswer

/** The status that an answer about this document alone would have. */
const STATUSES = { refused: 403, accepted: 202, failed: 500 } as const
