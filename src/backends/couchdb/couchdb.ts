import {
  assertCursor,
  type Backend,
  type BackendCopy,
  type DestroyOptions,
  type DestroyOutcome,
  type Ended,
  type Enumerable,
  type ExtendOutcome,
  type Extension,
  type ForeseesPurge,
  type GuardedUpdate,
  guardAdmits,
  type InsertOptions,
  type InsertOutcome,
  type KeyListOptions,
  type KnowsUsers,
  type ListedSession,
  type ListOptions,
  type Page,
  type PurgeForecastOptions,
  type PurgeOptions,
  type PurgeOutcome,
  type RecordToken,
  replacing,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
} from '../../contract/backend.js'
import type { TierHealth } from '../../contract/health.js'
import { type Locator, splitKey } from '../../contract/locator.js'
import { SessionStoreError } from '../../errors.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { Databases } from './databases.js'
import {
  type Content,
  contentOf,
  copyOf,
  type FoundLeaf,
  knownLeafIn,
  type Leaf,
  SESSIONS,
  stateOf,
  tokenOf,
  tombstoneOf,
} from './document.js'
import { Documents } from './documents.js'
import { contractError, RequestFailed, refusedValue } from './faults.js'
import { Indexes } from './indexes.js'
import { Listing } from './listing.js'
import { type CouchdbOptions, type ResolvedCouchdbOptions, resolveCouchdbOptions } from './options.js'
import { Places } from './places.js'
import { Purge, type PurgePlan } from './purge.js'
import { type Call, Requests } from './requests.js'
import { USER_RECORDS } from './user-document.js'
import { Users } from './users.js'
import { type WritePlan, writeAll } from './write-all.js'

/** What walks through whole months may have an index to wait for. */
const LONG_TIMEOUT_MS = 60_000

/** A tombstone meets other writes of its session; each of them can only come so often. */
const DESTROY_ATTEMPTS = 100

export interface CouchdbBackend extends Backend, Enumerable, ForeseesPurge, KnowsUsers {
  /** What `purge` would do at `now`, without doing it; one entry per month's database, oldest first. */
  planPurge(options: PurgeForecastOptions): Promise<readonly PurgePlan[]>
}

/**
 * Sessions in CouchDB, 3.0 or newer: one database for each month in which sessions are born, made as the months come,
 * and one for the records of users, made by the first record. Nothing connects before the first call.
 *
 * A call rejects with `E_SESSION_UNAVAILABLE` within `requestTimeoutMs` (`purge`, lists and counts: within a minute)
 * when no server can be asked, when none answers, when what answers is no CouchDB, and when a database is gone that was
 * there; with `E_BACKEND_SCHEMA` when a database is missing that must not be made here, or keeps more copies of a
 * document than `replicas`; with `E_SESSION_TOO_LARGE` when a document exceeds `maxDocumentBytes` or the server's `max_document_size`, and with
 * `E_SESSION_FORMAT` when a newer program wrote it.
 *
 * Acknowledged means that the node which keeps the document has it on its disk; with more than one copy, that a quorum
 * has it, which is less than a backend promises: see `replicas`. CouchDB has no clock that a write can be made to depend
 * on: the bound of an `insert` is judged by this process's, before it is sent and while its answer is waited for.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const couchdb = (options: CouchdbOptions): CouchdbBackend => new Couchdb(resolveCouchdbOptions(options))

class Couchdb implements CouchdbBackend {
  readonly name = 'couchdb'
  readonly #options: ResolvedCouchdbOptions
  readonly #requests: Requests
  readonly #databases: Databases
  readonly #documents: Documents
  readonly #places: Places
  readonly #purge: Purge
  readonly #listing: Listing
  readonly #users: Users
  /** Calls that have not settled. */
  readonly #underWay = new Set<Promise<unknown>>()
  #closing: Promise<void> | undefined

  constructor(options: ResolvedCouchdbOptions) {
    this.#options = options
    const requests = new Requests(options)
    const databases = new Databases(requests, options)
    const documents = new Documents(requests, databases, options, SESSIONS)
    const indexes = new Indexes(databases)
    this.#requests = requests
    this.#databases = databases
    this.#documents = documents
    this.#places = new Places(requests, databases, documents, options)
    this.#purge = new Purge(requests, databases, documents, indexes, options)
    this.#listing = new Listing(documents, indexes, options)
    this.#users = new Users(requests, databases, new Documents(requests, databases, options, USER_RECORDS))
  }

  read(locator: Locator): Promise<BackendCopy> {
    return this.#run('read', false, async (call) => {
      const copy = copyOf(await this.#places.find(call, locator))
      if (copy.state !== 'live' || copy.session.userId === undefined) return copy
      const { namespace } = splitKey(locator.key)
      const { record } = await this.#users.read(call, { namespace, userId: copy.session.userId })
      return { ...copy, currentEpoch: record.epoch }
    })
  }

  insert(locator: Locator, session: StoredSession, { notAfter, over }: InsertOptions = {}): Promise<InsertOutcome> {
    return this.#run('insert', true, async (call): Promise<InsertOutcome> => {
      const content = this.#contentOf(call, session)
      const { home } = this.#places.placeOf(locator)
      const leftMs = notAfter === undefined ? Number.POSITIVE_INFINITY : notAfter - this.#options.runtime.now()
      // What stands there comes first: an insert that is sent again after a lost answer must find itself. A place that
      // the id names says so by itself.
      if (leftMs <= 0 || locator.bornMonth === undefined || over !== undefined) {
        const found = await this.#places.find(call, locator)
        const isCleared = leftMs > 0 && isEnded(found, over) && (await this.#places.clear(call, locator, found))
        if (found !== undefined && !isCleared) return { outcome: 'exists', row: stateOf(found) }
      }
      if (home === undefined) throw this.#bornWrong(call)
      if (leftMs <= 0) return { outcome: 'too-late' }
      this.#databases.makeAhead()
      // The answer is waited for no longer than the insert may count.
      const deadline = deadlineAfter(this.#options.runtime, Math.min(call.deadline.leftMs(), leftMs))
      const created = await this.#places.create({ ...call, deadline }, locator, content, home)
      return created.created
        ? { outcome: 'inserted', token: tokenOf({ ...created, lineage: session.lineage, version: session.version }) }
        : { outcome: 'exists', row: stateOf(created.found) }
    })
  }

  update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]> {
    return this.#write<GuardedUpdate, UpdateOutcome>('update', entries, {
      unseen: ({ locator, guard, token, session }) => {
        const known = knownLeafIn(token)
        // A token from a cache is a claim: it picks one of the months that the clock names, or none.
        if (known === undefined || !this.#places.candidatesOf(locator).includes(known.month)) return undefined
        if (!guardAdmits(guard, known)) return undefined
        return { month: known.month, revision: known.revision, content: contentOf(session) }
      },
      judge: ({ guard, session }, found) => {
        const standing = stateOf(found)
        if (found?.leaf.kind !== 'session' || standing.state !== 'live' || !guardAdmits(guard, standing))
          return { outcome: { outcome: 'refused', row: standing } }
        const { leaf, month } = found
        return { put: { month, revision: leaf.revision, content: contentOf(replacing(leaf.session, session)) } }
      },
      written: ({ session }, { month }, revision) => ({
        outcome: 'applied',
        token: tokenOf({ revision, month, lineage: session.lineage, version: session.version }),
      }),
      failed: (error) => ({ outcome: 'failed', error }),
    })
  }

  extend(entries: readonly Extension[]): Promise<readonly ExtendOutcome[]> {
    return this.#write<Extension, ExtendOutcome>('extend', entries, {
      unseen: () => undefined,
      judge: ({ seenAt, expiresAt }, found) => {
        const standing = stateOf(found)
        if (found?.leaf.kind !== 'session')
          return { outcome: { outcome: standing.state === 'destroyed' ? 'destroyed' : 'absent' } }
        const { session, revision } = found.leaf
        if (seenAt <= session.seenAt && expiresAt <= session.expiresAt) return { outcome: { outcome: 'extended' } }
        const later = { seenAt: Math.max(seenAt, session.seenAt), expiresAt: Math.max(expiresAt, session.expiresAt) }
        return { put: { month: found.month, revision, content: contentOf({ ...session, ...later }) } }
      },
      written: () => ({ outcome: 'extended' }),
      failed: (error) => ({ outcome: 'failed', error }),
    })
  }

  /**
   * The data is gone from what anybody can ask for as a session; old revisions are on the server's disk until it is
   * compacted. An id whose month can be of no living session needs no tombstone, and gets none.
   */
  destroy(locator: Locator, options: DestroyOptions): Promise<DestroyOutcome> {
    return this.#run('destroy', true, async (call) => {
      const { home } = this.#places.placeOf(locator)
      if (home === undefined) return options.only === undefined ? 'destroyed' : 'refused'
      for (let attempt = 1; attempt <= DESTROY_ATTEMPTS; attempt++) {
        const outcome = await this.#tryDestroy(call, locator, options, home)
        if (outcome !== undefined) return outcome
      }
      throw this.#requests.untouched(call, 'what stands there keeps changing')
    })
  }

  /** `undefined` where another write came between. */
  async #tryDestroy(
    call: Call,
    locator: Locator,
    { writeId, at, keepUntil, keepUntilIfAbsent = keepUntil, only }: DestroyOptions,
    home: string,
  ): Promise<DestroyOutcome | undefined> {
    const found = await this.#places.find(call, locator)
    if (found?.leaf.kind === 'tombstone') {
      const { leaf } = found
      const isLonger = keepUntilIfAbsent > leaf.keepUntil
      const longer = tombstoneOf(leaf.writeId, at, keepUntilIfAbsent)
      if (isLonger && !(await this.#replace(call, locator, found, longer))) return undefined
      return leaf.writeId === writeId ? 'destroyed' : 'already-destroyed'
    }
    if (only !== undefined && !isExactly(found?.leaf, only)) return 'refused'
    if (found === undefined && keepUntilIfAbsent <= at) return 'absent'
    const tombstone = tombstoneOf(writeId, at, found === undefined ? keepUntilIfAbsent : keepUntil)
    if (found !== undefined) return (await this.#replace(call, locator, found, tombstone)) ? 'destroyed' : undefined
    try {
      return (await this.#places.create(call, locator, tombstone, home)).created ? 'destroyed' : undefined
    } catch (raised) {
      // Nothing can be made in a month that has no database and gets none: that is as good as a tombstone.
      if (isLacking(raised) && !this.#databases.isBornIn(home)) return 'destroyed'
      throw raised
    }
  }

  /** Whether it was replaced; otherwise another write came between. */
  async #replace(call: Call, { key }: Locator, { month, leaf }: FoundLeaf, content: Content): Promise<boolean> {
    const written = await this.#documents.write(call, month, { key, revision: leaf.revision, content })
    if (written.result === 'failed') throw written.error
    return written.result === 'written'
  }

  /**
   * Drops the months that are over, beside `limit`, and counts what was in them; removes what has ended in the others.
   *
   * @throws SessionStoreError `E_CONFIG` once all else is done, if a month that is over holds sessions that live
   */
  purge(options: PurgeOptions): Promise<PurgeOutcome> {
    return this.#run('purge', true, (call) => this.#purge.run(call, options), LONG_TIMEOUT_MS)
  }

  planPurge(options: PurgeForecastOptions): Promise<readonly PurgePlan[]> {
    return this.#run('plan a purge', false, (call) => this.#purge.plan(call, options), LONG_TIMEOUT_MS)
  }

  /**
   * Makes the databases of the users, of the months that count now, and of the next; empty ones also in place of those that were there
   * and are gone. What is there stays.
   */
  setUp(): Promise<void> {
    return this.#run('set up', false, () => this.#databases.setUp())
  }

  async health(): Promise<TierHealth> {
    this.#assertOpen()
    const servers = await Promise.all(this.#requests.servers.map((_, at) => this.#healthOf(at)))
    const ups = servers.filter(({ state }) => state === 'up').length
    const reason = (
      servers.find(({ state }) => state !== 'up') ?? servers.find((server) => server.reason !== undefined)
    )?.reason
    return {
      tier: this.name,
      state: ups === servers.length ? 'up' : ups === 0 ? 'down' : 'degraded',
      latencyMs: Math.max(...servers.map(({ latencyMs }) => latencyMs)),
      ...(reason === undefined ? {} : { reason }),
      ...(servers.length > 1 ? { servers } : {}),
    }
  }

  /** Whether it gives what the store needs: `Databases.assertServes` says what that is. */
  async #healthOf(at: number): Promise<TierHealth> {
    const { runtime } = this.#options
    const startedAt = runtime.monotonicMs()
    const tier = this.#requests.servers[at]?.tier ?? this.name
    const call = this.#requests.call('report its health', false)
    try {
      const reason = await this.#databases.assertServes(at, call)
      const latencyMs = runtime.monotonicMs() - startedAt
      return { tier, state: 'up', latencyMs, ...(reason === undefined ? {} : { reason }) }
    } catch (raised) {
      const error = contractError(raised)
      const reason = isError(error) ? error.message : String(error)
      return { tier, state: 'down', latencyMs: runtime.monotonicMs() - startedAt, reason }
    }
  }

  /** Waits for calls under way, at most `requestTimeoutMs`. */
  async close(): Promise<void> {
    this.#closing ??= this.#requests.close(Promise.allSettled(this.#underWay))
    await this.#closing
  }

  async list(options: ListOptions): Promise<Page<ListedSession>> {
    assertCursor(options)
    return await this.#run('list', false, (call) => this.#listing.list(call, options), LONG_TIMEOUT_MS)
  }

  async listKeys(options: KeyListOptions): Promise<Page<Locator>> {
    assertCursor(options)
    return await this.#run('list', false, (call) => this.#listing.listKeys(call, options), LONG_TIMEOUT_MS)
  }

  count(which: Which): Promise<number> {
    return this.#run('count', false, (call) => this.#listing.count(call, which), LONG_TIMEOUT_MS)
  }

  countUsers(which: Which): Promise<number> {
    return this.#run('count', false, (call) => this.#listing.countUsers(call, which), LONG_TIMEOUT_MS)
  }

  readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    return this.#run('readUser', false, (call) => this.#users.read(call, user))
  }

  writeUser(user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    return this.#run('writeUser', true, (call) => this.#users.write(call, user, record, token))
  }

  #write<Entry extends { readonly locator: Locator }, Outcome>(
    operation: string,
    entries: readonly Entry[],
    plan: WritePlan<Entry, Outcome>,
  ): Promise<readonly Outcome[]> {
    return this.#run(operation, true, async (call) => {
      if (entries.length === 0) return []
      const desk = { requests: this.#requests, documents: this.#documents, places: this.#places, call }
      return writeAll(desk, entries, plan)
    })
  }

  /** Every call: open, with a deadline, and failing in the contract's words. */
  async #run<Result>(
    operation: string,
    isChange: boolean,
    work: (call: Call) => Promise<Result>,
    timeoutMs?: number,
  ): Promise<Result> {
    this.#assertOpen()
    const call = work(this.#requests.call(operation, isChange, timeoutMs))
    this.#underWay.add(call)
    try {
      return await call
    } catch (raised) {
      throw contractError(raised)
    } finally {
      this.#underWay.delete(call)
    }
  }

  #contentOf(call: Call, session: StoredSession): Content {
    try {
      return contentOf(session)
    } catch (cause) {
      const reason = isError(cause) ? cause.message : 'unreadable'
      throw refusedValue('E_SESSION_DATA', reason, this.#requests.context(call), cause)
    }
  }

  #bornWrong(call: Call): SessionStoreError {
    const { tier, operation } = this.#requests.context(call)
    return new SessionStoreError('E_INVALID_ID', 'A session id claims a month in which no living session can be born', {
      tier,
      operation,
      applied: 'no',
    })
  }

  #assertOpen(): void {
    if (this.#closing !== undefined)
      throw new SessionStoreError('E_CLOSED', 'The couchdb backend was closed', { tier: this.name })
  }
}

const isLacking = (raised: unknown): boolean => raised instanceof RequestFailed && raised.fault.kind === 'schema'

/** It is the copy that a new session may take the place of. */
const isEnded = (found: FoundLeaf | undefined, over: Ended | undefined): found is FoundLeaf =>
  over !== undefined &&
  isExactly(found?.leaf, over) &&
  found?.leaf.kind === 'session' &&
  found.leaf.session.expiresAt <= over.endedBy

const isExactly = (leaf: Leaf | undefined, { lineage, version }: { lineage: string; version: number }): boolean =>
  leaf?.kind === 'session' && leaf.session.lineage === lineage && leaf.session.version === version
