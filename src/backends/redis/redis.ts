import {
  assertCursor,
  type Backend,
  type BackendCopy,
  type DestroyOptions,
  type DestroyOutcome,
  type Enumerable,
  type ExtendOutcome,
  type Extension,
  type ForeseesPurge,
  type GuardedUpdate,
  type InsertOptions,
  type InsertOutcome,
  type KeyListOptions,
  type KnowsUsers,
  type ListedSession,
  type ListOptions,
  type Page,
  type PurgeForecast,
  type PurgeForecastOptions,
  type PurgeOptions,
  type PurgeOutcome,
  type RecordToken,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
} from '../../contract/backend.js'
import type { TierHealth } from '../../contract/health.js'
import type { Locator } from '../../contract/locator.js'
import { SessionStoreError } from '../../errors.js'
import { isError } from '../../tools/is-error.js'
import { type Call, Calls, type Manner, type Run, type Settled } from './calls.js'
import { factsOf, type ServerFacts, unfitBecause, type Weakness, weaknessesOf } from './facts.js'
import { contractError, tooLarge, valueRefused } from './faults.js'
import { DESTROY, EXTEND, FACTS, INSERT, UPDATE, WRITE_USER } from './functions.js'
import { GivenConnection } from './given-client.js'
import { GROUPS, Keys, memberOf, type Place, placeOfKey } from './keys.js'
import { Listing } from './listing.js'
import { type RedisOptions, type ResolvedRedisOptions, resolveRedisOptions } from './options.js'
import { OwnClient } from './own-client.js'
import { tierOf } from './places.js'
import { Purge } from './purge.js'
import {
  ALL_FIELDS,
  isTombstone,
  NO_TOKEN,
  nameText,
  numberIn,
  recordOf,
  rowOf,
  seatsText,
  sessionOf,
  stands,
  stateOf,
  textIn,
  textOf,
  unreadableRow,
} from './rows.js'
import type { Argument, Connection } from './wire.js'

/**
 * How long after its time a key is removed by Redis itself, beyond the grace: the clocks of two machines differ, and the
 * store judges by its own.
 */
const SLACK_MS = 3_600_000

/** So many groups are asked for the nodes of a cluster: enough to find each of some dozens. */
const NODES_ASKED_BY = GROUPS

/**
 * Sessions in Redis 6.0 or newer, or Valkey: on one server, behind Sentinel, or in a cluster. Nothing connects before the
 * first call.
 *
 * A call rejects with `E_SESSION_UNAVAILABLE` within `queryTimeoutMs` when the server cannot be asked or does not answer,
 * with `E_SESSION_DATA` when it cannot keep a value (a user id with half a surrogate pair), with `E_SESSION_TOO_LARGE`
 * for more data than `maxDataBytes`, and with `E_SESSION_FORMAT` for what this program cannot read.
 *
 * Acknowledged means done in the memory of the master. How much of that a crash or a failover can lose is the server's to
 * say (`appendonly`, `appendfsync`, replicas) and that of `wait`; docs/redis.md and docs/guarantees.md have it in figures.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const redis = (options: RedisOptions): Backend & Enumerable & ForeseesPurge & KnowsUsers =>
  new RedisBackend(resolveRedisOptions(options))

/** What is weak about the servers of a backend; `undefined` for a backend that is not this one. */
export interface LookedAt {
  /** `redis 127.0.0.1:6379`, and the version of the server. */
  readonly tier: string
  readonly facts: ServerFacts
  readonly weaknesses: readonly Weakness[]
}

export class RedisBackend implements Backend, Enumerable, ForeseesPurge, KnowsUsers {
  readonly name = 'redis'
  readonly #options: ResolvedRedisOptions
  readonly #calls: Calls
  readonly #keys: Keys
  readonly #listing: Listing
  readonly #purge: Purge
  /** Namespaces that are known to stand in the set of all, by which a purge finds them. */
  readonly #namespaces = new Set<string>()
  #asking: Promise<TierHealth> | undefined
  #closing: Promise<void> | undefined

  constructor(options: ResolvedRedisOptions) {
    const { source, queryTimeoutMs, wait, runtime, log } = options
    this.#options = options
    const open = (): Connection =>
      'given' in source ? new GivenConnection(source.given) : new OwnClient({ ...source, queryTimeoutMs, runtime, log })
    const reader = open()
    const writer = wait === undefined ? reader : 'given' in source ? (source.given.connection?.() ?? reader) : open()
    const tier = 'given' in source ? this.name : tierOf(source.place)
    this.#calls = new Calls({ tier, queryTimeoutMs, wait, runtime }, reader, writer)
    this.#keys = new Keys(options.prefix)
    this.#listing = new Listing(this.#calls, this.#keys)
    this.#purge = new Purge(this.#calls, this.#keys, runtime, () => [...this.#namespaces])
  }

  /** What the servers of this backend say of themselves, for `nonstick doctor`. Rejects where they cannot be asked. */
  static async lookAt(backend: Backend): Promise<readonly LookedAt[] | undefined> {
    return backend instanceof RedisBackend ? await backend.#lookAtAll() : undefined
  }

  async read({ key }: Locator): Promise<BackendCopy> {
    return this.#do('read', 'reads', async (call) => {
      const place = this.#placeOf(call, key)
      const session = this.#keys.session(place)
      const fields = await this.#calls.ask(call, session, 'HMGET', session, ...ALL_FIELDS)
      if (!stands(fields)) return { state: 'absent' }
      if (isTombstone(fields)) return { state: 'destroyed' }
      const found = { state: 'live', session: sessionOf(fields), token: NO_TOKEN } as const
      const { userId } = found.session
      if (userId === undefined) return found
      const user = this.#keys.user({ namespace: place.namespace, userId })
      const epoch = await this.#calls.ask(call, user, 'HGET', user, 'epoch')
      return { ...found, currentEpoch: epoch === null ? 0 : epochIn(epoch) }
    })
  }

  async insert(
    { key }: Locator,
    session: StoredSession,
    { notAfter, over }: InsertOptions = {},
  ): Promise<InsertOutcome> {
    return this.#do('insert', 'changes for good', async (call) => {
      const place = this.#placeOf(call, key)
      const args = this.#sessionArgs(call, place, session)
      await this.#register(call, [place.namespace])
      const ended =
        over === undefined ? ['', '', ''] : [nameText(over.lineage), String(over.version), String(over.endedBy)]
      const bound = notAfter === undefined ? '' : String(notAfter)
      const reply = await this.#calls.run(call, {
        function: INSERT,
        keys: this.#keys.all(place),
        args: [...this.#times, bound, ...ended, ...args],
      })
      const words = this.#wordsOf(call, reply)
      switch (textIn(words[0])) {
        case 'inserted':
          return { outcome: 'inserted', token: NO_TOKEN }
        case 'too-late':
          return { outcome: 'too-late' }
        default:
          return { outcome: 'exists', row: stateOf(words) }
      }
    })
  }

  async update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]> {
    return this.#doAll<GuardedUpdate, UpdateOutcome>('update', 'changes for good', entries, {
      runOf: (call, { locator, guard, session }) => {
        const place = this.#placeOf(call, locator.key)
        const { lineage, belowVersion, parentLineage, parentVersion } = guard
        const guarding = [lineage, String(belowVersion), parentLineage, String(parentVersion)]
        const args = [...this.#times, ...guarding, ...this.#sessionArgs(call, place, session)]
        return { function: UPDATE, keys: this.#keys.all(place), args }
      },
      outcomeOf: (words) =>
        textIn(words[0]) === 'applied'
          ? { outcome: 'applied', token: NO_TOKEN }
          : { outcome: 'refused', row: stateOf(words) },
    })
  }

  async extend(entries: readonly Extension[]): Promise<readonly ExtendOutcome[]> {
    return this.#doAll<Extension, ExtendOutcome>('extend', 'changes', entries, {
      runOf: (call, { locator, seenAt, expiresAt }) => ({
        function: EXTEND,
        keys: this.#keys.all(this.#placeOf(call, locator.key)),
        args: [...this.#times, String(seenAt), String(expiresAt)],
      }),
      outcomeOf: (words) => {
        const word = textIn(words[0])
        if (word === 'extended' || word === 'destroyed' || word === 'absent') return { outcome: word }
        throw unreadableRow()
      },
    })
  }

  async destroy(
    { key }: Locator,
    { writeId, at, keepUntil, keepUntilIfAbsent = keepUntil, only }: DestroyOptions,
  ): Promise<DestroyOutcome> {
    return this.#do('destroy', 'changes for good', async (call) => {
      const place = this.#placeOf(call, key)
      await this.#register(call, [place.namespace])
      const moments = [at, keepUntil, keepUntilIfAbsent].map(String)
      const exactly = only === undefined ? ['', ''] : [only.lineage, String(only.version)]
      const reply = await this.#calls.run(call, {
        function: DESTROY,
        keys: this.#keys.all(place),
        args: [String(SLACK_MS), place.hash, nameText(writeId), ...moments, ...exactly],
      })
      const word = textIn(this.#wordsOf(call, reply)[0])
      if (word === 'destroyed' || word === 'already-destroyed' || word === 'absent' || word === 'refused') return word
      throw unreadableRow()
    })
  }

  /**
   * Redis removes by itself what has ended, an hour and `purgeGraceMs` after its time; this tidies the indexes behind it, and
   * removes at the time and with the grace that are asked for. Each part of the work has `queryTimeoutMs`.
   */
  async purge(options: PurgeOptions): Promise<PurgeOutcome> {
    return this.#told(() => this.#purge.purge(options))
  }

  async planPurge(options: PurgeForecastOptions): Promise<readonly PurgeForecast[]> {
    return this.#told(() => this.#purge.planPurge(options))
  }

  /**
   * There is nothing to make. It looks whether the server can be used, and tells `log` what is weak about its settings.
   *
   * Rejects with `E_BACKEND_SCHEMA` where the server cannot be used at all.
   */
  async setUp(): Promise<void> {
    await this.#told(async () => {
      for (const { tier, facts, weaknesses } of await this.#lookAtAll()) {
        const because = unfitBecause(facts, { throughCluster: this.#isCluster })
        if (because !== undefined)
          throw new SessionStoreError('E_BACKEND_SCHEMA', `${tier} cannot be used: ${because}`, {
            tier,
            operation: 'set up',
          })
        for (const { finding, cure } of weaknesses) this.#options.log(`${tier}: ${finding} ${cure}`)
      }
    })
  }

  /** `up` where a master answers that takes changes. However many ask at once, the server is asked once. */
  async health(): Promise<TierHealth> {
    this.#assertOpen()
    this.#asking ??= this.#askForHealth().finally(() => {
      this.#asking = undefined
    })
    return await this.#asking
  }

  async #askForHealth(): Promise<TierHealth> {
    const { monotonicMs } = this.#options.runtime
    const startedAt = monotonicMs()
    try {
      const facts = await this.#factsBy(this.#calls.call('report its health', 'reads'), this.#keys.namespaces)
      const latencyMs = monotonicMs() - startedAt
      const because = unfitBecause(facts, { throughCluster: this.#isCluster }) ?? fullBecause(facts)
      return because === undefined
        ? { tier: this.name, state: 'up', latencyMs }
        : { tier: this.name, state: 'down', latencyMs, reason: because }
    } catch (raised) {
      const error = contractError(raised)
      const reason = isError(error) ? error.message : String(error)
      return { tier: this.name, state: 'down', latencyMs: monotonicMs() - startedAt, reason }
    }
  }

  /** Closes connections of our own; a given client stays open. */
  async close(): Promise<void> {
    this.#closing ??= this.#calls.close()
    await this.#closing
  }

  async list(options: ListOptions): Promise<Page<ListedSession>> {
    return this.#do('list', 'reads', async (call) => {
      assertCursor(options)
      return this.#listing.list(call, options)
    })
  }

  async listKeys(options: KeyListOptions): Promise<Page<Locator>> {
    return this.#do('list', 'reads', async (call) => {
      assertCursor(options)
      const { entries, next } = await this.#listing.listKeys(call, options)
      return { entries: entries.map((key) => ({ key })), next }
    })
  }

  async count(which: Which): Promise<number> {
    return this.#do('count', 'reads', (call) => this.#listing.count(call, which))
  }

  async countUsers(which: Which): Promise<number> {
    return this.#do('count users', 'reads', (call) => this.#listing.countUsers(call, which))
  }

  async readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    return this.#do('read a user', 'reads', async (call) => {
      const key = this.#userKey(call, user)
      return recordOf(await this.#calls.ask(call, key, 'HMGET', key, 'epoch', 'seats', 'revision'))
    })
  }

  async writeUser(user: UserLocator, { epoch, seats }: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    return this.#do('write a user', 'changes for good', async (call) => {
      const keys = [this.#userKey(call, user)]
      const written = await this.#calls.run(call, {
        function: WRITE_USER,
        keys,
        args: [token, String(epoch), seatsText(seats)],
      })
      return written === 1 ? 'written' : 'changed'
    })
  }

  get #isCluster(): boolean {
    const { source } = this.#options
    return 'given' in source ? source.given.isCluster : source.place.kind === 'cluster'
  }

  /** What the functions need to say when Redis itself removes a session. */
  get #times(): readonly [graceMs: string, slackMs: string] {
    return [String(this.#options.purgeGraceMs), String(SLACK_MS)]
  }

  /** A session as the functions take it. */
  #sessionArgs(call: Call, { hash }: Place, session: StoredSession): readonly Argument[] {
    const { maxDataBytes } = this.#options
    const bytes = session.data.byteLength
    if (bytes > maxDataBytes) throw tooLarge(bytes, maxDataBytes, this.#calls.contextOf(call, false))
    return this.#checked(call, () => {
      const row = rowOf(session)
      return [
        row.lineage,
        row.version,
        row.writeIds,
        row.expiresAt,
        row.idleTtlMs,
        row.seenAt,
        row.absoluteExpiresAt,
        row.header,
        row.data,
        memberOf(hash, session.userId, session.app),
      ]
    })
  }

  #placeOf(call: Call, key: string): Place {
    return this.#checked(call, () => placeOfKey(key))
  }

  #userKey(call: Call, user: UserLocator): string {
    return this.#checked(call, () => {
      textOf('a user id', user.userId)
      return this.#keys.user(user)
    })
  }

  /** @throws SessionStoreError `E_SESSION_DATA` when something in it has no place in Redis */
  #checked<Made>(call: Call, make: () => Made): Made {
    try {
      return make()
    } catch (cause) {
      throw valueRefused(isError(cause) ? cause.message : 'unreadable', cause, this.#calls.contextOf(call, false))
    }
  }

  /** Before anything stands in a namespace, the namespace stands in the set of all. */
  async #register(call: Call, namespaces: readonly string[]): Promise<void> {
    const unknown = namespaces.filter((namespace) => !this.#namespaces.has(namespace))
    if (unknown.length === 0) return
    const key = this.#keys.namespaces
    await this.#calls.ask({ ...call, isLasting: false }, key, 'SADD', key, ...unknown)
    for (const namespace of unknown) this.#namespaces.add(namespace)
  }

  #wordsOf(call: Call, reply: unknown): readonly unknown[] {
    if (Array.isArray(reply)) return reply
    throw this.#calls.odd(call)
  }

  async #lookAtAll(): Promise<readonly LookedAt[]> {
    const call = this.#calls.call('look at its settings', 'reads')
    const waitsFor = this.#options.wait?.replicas ?? 0
    const looked = (facts: ServerFacts, tier: string): LookedAt => ({
      tier,
      facts,
      weaknesses: weaknessesOf(facts, waitsFor),
    })
    if (!this.#isCluster) {
      const info = await this.#infoBy(call, this.#keys.namespaces)
      const config = await this.#configuration(call)
      return [looked(factsOf(info, config), this.#calls.tier)]
    }
    const keys = Array.from({ length: NODES_ASKED_BY }, (_, group) => this.#keys.indexes('nonstick', group).ends)
    const infos = await this.#calls.runAll(
      call,
      keys.map((key): Run => ({ function: FACTS, keys: [key], args: [] })),
    )
    const byNode = new Map(infos.map((info) => [factsOf(textIn(info) ?? '').runId, factsOf(textIn(info) ?? '')]))
    return [...byNode.values()].map((facts, at) =>
      looked(facts, `${this.#calls.tier}, node ${at + 1} of ${byNode.size}`),
    )
  }

  async #factsBy(call: Call, key: string): Promise<ServerFacts> {
    return factsOf(await this.#infoBy(call, key))
  }

  /** A cluster sends a function to the node of a key; by itself it would ask any node, or all of them. */
  async #infoBy(call: Call, key: string): Promise<string> {
    if (!this.#isCluster) return textIn(await this.#calls.ask(call, undefined, 'INFO')) ?? ''
    return textIn(await this.#calls.run(call, { function: FACTS, keys: [key], args: [] })) ?? ''
  }

  /** A hosted server often lets nobody ask. */
  async #configuration(call: Call): Promise<ReadonlyMap<string, string>> {
    const settings = new Map<string, string>()
    for (const name of ['appendfsync', 'min-replicas-to-write']) {
      const reply = await this.#calls.ask(call, undefined, 'CONFIG', 'GET', name).catch(() => undefined)
      const value = settingIn(reply)
      if (value !== undefined) settings.set(name, value)
    }
    return settings
  }

  async #do<Result>(operation: string, manner: Manner, work: (call: Call) => Promise<Result>): Promise<Result> {
    return this.#told(() => work(this.#calls.call(operation, manner)))
  }

  async #told<Result>(work: () => Promise<Result>): Promise<Result> {
    this.#assertOpen()
    try {
      return await work()
    } catch (raised) {
      throw contractError(raised)
    }
  }

  /** One outcome per entry, in the order given. An entry that cannot even be sent fails by itself. */
  async #doAll<Entry extends { readonly locator: Locator }, Outcome>(
    operation: string,
    manner: Manner,
    entries: readonly Entry[],
    {
      runOf,
      outcomeOf,
    }: {
      readonly runOf: (call: Call, entry: Entry) => Run
      /** @throws SessionStoreError for what this program cannot read */
      readonly outcomeOf: (words: readonly unknown[]) => Outcome
    },
  ): Promise<readonly (Outcome | Failed)[]> {
    this.#assertOpen()
    if (entries.length === 0) return []
    return this.#do(operation, manner, async (call) => {
      const prepared = entries.map((entry) => attempt(() => runOf(call, entry)))
      const settled = await this.#calls.tryAll(
        call,
        prepared.flatMap((each) => ('value' in each ? [each.value] : [])),
      )
      let next = 0
      const outcomes = prepared.map((each): Outcome | Failed => {
        if ('error' in each) return { outcome: 'failed', error: each.error }
        const answer = settled[next]
        next += 1
        return this.#outcomeOf(call, answer, outcomeOf)
      })
      this.#assertTried(settled)
      return outcomes
    })
  }

  #outcomeOf<Outcome>(
    call: Call,
    settled: Settled | undefined,
    outcomeOf: (words: readonly unknown[]) => Outcome,
  ): Outcome | Failed {
    if (settled === undefined) throw this.#calls.odd(call)
    if ('fault' in settled) return { outcome: 'failed', error: settled.fault.error }
    const outcome = attempt(() => outcomeOf(this.#wordsOf(call, settled.reply)))
    return 'value' in outcome ? outcome.value : { outcome: 'failed', error: outcome.error }
  }

  /** Where no entry reached a server, that is the failure of the call. */
  #assertTried(settled: readonly Settled[]): void {
    const [first] = settled
    if (first === undefined || !('fault' in first)) return
    if (settled.every((each) => 'fault' in each && each.fault.error.code === 'E_SESSION_UNAVAILABLE'))
      throw settled.some((each) => 'fault' in each && each.fault.error.applied === 'unknown')
        ? (settled.flatMap((each) =>
            'fault' in each && each.fault.error.applied === 'unknown' ? [each.fault.error] : [],
          )[0] ?? first.fault.error)
        : first.fault.error
  }

  #assertOpen(): void {
    if (this.#closing !== undefined)
      throw new SessionStoreError('E_CLOSED', 'The redis backend was closed', { tier: this.name })
  }
}

interface Failed {
  readonly outcome: 'failed'
  readonly error: SessionStoreError
}

/** @throws what is no error of this library */
const attempt = <Value>(work: () => Value): { readonly value: Value } | { readonly error: SessionStoreError } => {
  try {
    return { value: work() }
  } catch (raised) {
    const error = contractError(raised)
    if (error instanceof SessionStoreError) return { error }
    throw error
  }
}

/** @throws SessionStoreError `E_SESSION_FORMAT` */
const epochIn = (value: unknown): number => {
  const epoch = numberIn(value)
  if (!Number.isSafeInteger(epoch) || epoch < 0) throw unreadableRow()
  return epoch
}

/** Its memory is full, and it refuses changes. */
const fullBecause = ({ maxMemoryBytes, usedMemoryBytes, evictionPolicy }: ServerFacts): string | undefined =>
  evictionPolicy === 'noeviction' && maxMemoryBytes > 0 && usedMemoryBytes >= maxMemoryBytes
    ? 'its memory is full; raise `maxmemory`'
    : undefined

/** RESP 2 gives a name and a value, RESP 3 a map of them. */
const settingIn = (reply: unknown): string | undefined => {
  if (Array.isArray(reply)) return textIn(reply[1])
  if (reply instanceof Map) return textIn([...reply.values()][0])
  if (typeof reply === 'object' && reply !== null) return textIn(Object.values(reply)[0])
  return undefined
}
