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
  guardAdmits,
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
  purgeGraceOf,
  type RecordToken,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
} from '../../contract/backend.js'
import type { TierHealth } from '../../contract/health.js'
import type { CacheKey, Locator } from '../../contract/locator.js'
import { butNotApplied, isSessionStoreError, SessionStoreError } from '../../errors.js'
import { DeadlinePassed, deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { type AnswerBound, boundOf, KEY_ROW_BYTES } from './answer-meter.js'
import { type Call, Connections, contractError, type Statement, StatementFailed } from './connections.js'
import { schemaUnfit } from './faults.js'
import { migrate } from './migrate.js'
import { type PostgresOptions, type ResolvedPostgresOptions, resolvePostgresOptions } from './options.js'
import { openPool, type PostgresResult } from './pool.js'
import {
  addressOf,
  copyOf,
  extensionHourOf,
  hexOf,
  hourOf,
  keyOf,
  lastPurgeHourOf,
  NO_TOKEN,
  nameBytes,
  purgeHourOf,
  type Row,
  recordOf,
  seatsText,
  sessionOf,
  sessionValues,
  stateOf,
  timestampOf,
  userValues,
} from './row.js'
import { appliedOf, lackOf, refusalOf, SET_UP_CURE } from './schema-version.js'
import { relationOf, type Statements, statementsFor, type Way } from './statements.js'
import { VALUE_TYPES } from './types.js'
import { type WritePlan, writeAll } from './write-all.js'

type Manner = Pick<Call, 'isChange' | 'isRepeatable'>
const READING: Manner = { isChange: false, isRepeatable: true }
/** Sent again it would meet itself and be refused: that is for the store to ask for. */
const CHANGING: Manner = { isChange: true, isRepeatable: false }
const CHANGING_REPEATABLY: Manner = { isChange: true, isRepeatable: true }

/** Of more than that nobody needs the number. */
const COUNTED_AT_MOST = 1_000_000

/** Migrations wait for those of other processes, and may have a table to rewrite. */
const SET_UP_TIMEOUT_MS = 60_000

/** How long reads do without another attempt at a migration that failed. */
const MIGRATION_PAUSE_MS = 1_000

/** Whether a table that could not be set up is worth reading all the same: perhaps it is there, on a standby. */
const mayBeRead = (error: unknown): boolean =>
  !isSessionStoreError(error, 'E_BACKEND_SCHEMA') && !(isError(error) && error.cause instanceof DeadlinePassed)

/** A page of a listing passes over at most so many rows that are not meant. */
const ROWS_PASSED_OVER = 10_000

/** Data of more bytes than this is read in pieces of as many: one takes a few milliseconds. */
const PIECE_BYTES = 256 * 1024

/** How often a copy is read in pieces. Where each was replaced meanwhile, it is read at once. */
const READS_IN_PIECES = 2

/** As many bytes as a value of PostgreSQL may have. */
const WHOLE = 2 ** 31 - 1

/** How often an insert is sent that met a row which was gone a moment later. */
const ATTEMPTS = 3

/**
 * Sessions in a PostgreSQL table, 13 or newer. Nothing connects before the first call.
 *
 * A call rejects with `E_SESSION_UNAVAILABLE` within `queryTimeoutMs` when the server cannot be asked or does not
 * answer, with `E_BACKEND_SCHEMA` when its table is missing or does not fit this version of nonstick, and with
 * `E_SESSION_DATA` when it cannot keep a value (a user id with a NUL character). The role needs select, insert, update
 * and delete on the table, the first three on that of the records of users (`session_user_record`), and should have select
 * on `migration` beside them, by which the first call sees what fits.
 *
 * A count is one statement and within `queryTimeoutMs` like any call.
 *
 * Acknowledged means committed as the server's `synchronous_commit` says; leave that `on`.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const postgres = (options: PostgresOptions = {}): Backend & Enumerable & KnowsUsers =>
  new PostgresBackend(resolvePostgresOptions(options))

class PostgresBackend implements Backend, Enumerable, ForeseesPurge, KnowsUsers {
  readonly name = 'postgres'
  readonly #options: ResolvedPostgresOptions
  readonly #relation: string
  readonly #statements: Statements
  readonly #connections: Connections
  #isMigrated: boolean
  #migrating: Promise<void> | undefined
  /** The list of migrations was read, and this program and the table fit each other. */
  #fits = false
  #checking: Promise<void> | undefined
  /** When a migration failed last, by the monotonic clock. */
  #migrationFailedAt = Number.NEGATIVE_INFINITY
  #asking: Promise<TierHealth> | undefined
  #closing: Promise<void> | undefined

  constructor(options: ResolvedPostgresOptions) {
    this.#options = options
    this.#relation = relationOf(options.schema, options.table)
    this.#statements = statementsFor(options.schema, options.table)
    this.#connections = new Connections(openPool(options), { ...options, relation: this.#relation })
    this.#isMigrated = !options.migrate
  }

  async read(locator: Locator): Promise<BackendCopy> {
    const call = await this.#begin('read', READING)
    const { namespace, idHash } = addressOf(locator.key)
    const bound = boundOf({ rows: 1, dataBytes: this.#options.maxDataBytes })
    const row = async (atOnceBytes: number): Promise<Row | undefined> =>
      (await this.#ask(call, this.#statements.read, [namespace, idHash, atOnceBytes], bound)).rows[0]
    for (let attempt = 1; attempt <= READS_IN_PIECES; attempt++) {
      const found = await row(PIECE_BYTES)
      const bytes = Number(found?.['data_bytes'] ?? 0)
      if (found === undefined || !(bytes > PIECE_BYTES)) return copyOf(found)
      // What is too large is refused in the words of the bound.
      if (bytes > this.#options.maxDataBytes) break
      const data = await this.#dataInPieces(call, [namespace, idHash], found, bytes)
      if (data !== undefined) return copyOf({ ...found, data })
    }
    return copyOf(await row(WHOLE))
  }

  /**
   * The data of the copy that was found, each piece with a turn of its own: pg makes bytes of the digits that the server
   * sends, which for some megabytes holds up everything else. `undefined` where somebody has replaced the copy meanwhile.
   */
  async #dataInPieces(
    call: Call,
    key: readonly unknown[],
    { lineage, version }: Row,
    bytes: number,
  ): Promise<Buffer | undefined> {
    const bound = boundOf({ rows: 1, dataBytes: PIECE_BYTES })
    const pieces: Buffer[] = []
    for (let from = 1; from <= bytes; from += PIECE_BYTES) {
      const values = [...key, from, PIECE_BYTES, lineage, version]
      const { rows } = await this.#ask(call, this.#statements.readPiece, values, bound)
      const piece = rows[0]?.['piece']
      if (!Buffer.isBuffer(piece)) return undefined
      pieces.push(piece)
    }
    return Buffer.concat(pieces)
  }

  async insert(
    locator: Locator,
    session: StoredSession,
    { notAfter, over }: InsertOptions = {},
  ): Promise<InsertOutcome> {
    const call = await this.#begin('insert', CHANGING)
    const { namespace, idHash } = addressOf(locator.key)
    const bound = notAfter === undefined ? null : timestampOf(notAfter)
    const values = [
      namespace,
      idHash,
      ...this.#connections.checked(call, () => sessionValues(session, this.#options.maxDataBytes)),
      bound,
    ]
    const { insert, insertOver } = this.#statements
    const ended = over && [nameBytes(over.lineage), over.version, timestampOf(over.endedBy)]
    for (let attempt = 1; attempt <= ATTEMPTS; attempt++) {
      const { rows } = await (ended === undefined
        ? this.#ask(call, insert, values)
        : this.#ask(call, insertOver, [...values, ...ended]))
      if (rows.length > 0) return { outcome: 'inserted', token: NO_TOKEN }
      const row = await this.#lookAfterInsert(call, [namespace, idHash, bound])
      // What stands there comes first: an insert that is sent again after a lost answer must find itself.
      if (row?.['found'] === true) return { outcome: 'exists', row: stateOf(row) }
      if (row?.['late'] === true) return { outcome: 'too-late' }
      // What stood in the way was purged in between.
    }
    throw this.#connections.untouched(call, 'what stands there keeps changing')
  }

  async #lookAfterInsert(call: Call, values: readonly unknown[]): Promise<Row | undefined> {
    try {
      return (await this.#ask({ ...call, ...READING }, this.#statements.lookLate, values)).rows[0]
    } catch (cause) {
      throw this.#connections.untouched(call, 'it was not inserted, and why could not be asked', cause)
    }
  }

  async update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]> {
    this.#assertOpen()
    if (entries.length === 0) return []
    const call = await this.#begin('update', CHANGING)
    return this.#write<GuardedUpdate, UpdateOutcome>(call, entries, {
      statementOf: this.#statements.updateOf,
      valuesOf: ({ guard, session }) => {
        const { lineage, belowVersion, parentLineage, parentVersion } = guard
        const guarding = [nameBytes(lineage), belowVersion, nameBytes(parentLineage), parentVersion]
        return [...guarding, ...sessionValues(session, this.#options.maxDataBytes)]
      },
      written: { outcome: 'applied', token: NO_TOKEN },
      judge: ({ guard }, standing) =>
        standing.state === 'live' && guardAdmits(guard, standing) ? undefined : { outcome: 'refused', row: standing },
      failed: (error) => ({ outcome: 'failed', error }),
    })
  }

  async extend(entries: readonly Extension[]): Promise<readonly ExtendOutcome[]> {
    this.#assertOpen()
    if (entries.length === 0) return []
    const call = await this.#begin('extend', CHANGING_REPEATABLY)
    return this.#write<Extension, ExtendOutcome>(call, entries, {
      statementOf: this.#statements.extendOf,
      valuesOf: ({ seenAt, expiresAt }) => [timestampOf(seenAt), timestampOf(expiresAt), extensionHourOf(expiresAt)],
      written: { outcome: 'extended' },
      judge: (_, standing) => (standing.state === 'live' ? undefined : { outcome: standing.state }),
      failed: (error) => ({ outcome: 'failed', error }),
    })
  }

  async destroy(
    locator: Locator,
    { writeId, at, keepUntil, keepUntilIfAbsent = keepUntil, only }: DestroyOptions,
  ): Promise<DestroyOutcome> {
    const call = await this.#begin('destroy', CHANGING_REPEATABLY)
    const { namespace, idHash } = addressOf(locator.key)
    const moments = [timestampOf(at), timestampOf(keepUntil), purgeHourOf(keepUntil)]
    const values = [namespace, idHash, ...moments, nameBytes(writeId)]
    const ifAbsent = [timestampOf(keepUntilIfAbsent), purgeHourOf(keepUntilIfAbsent)]
    const ask = async (): Promise<PostgresResult> => {
      if (only !== undefined)
        return await this.#ask(call, this.#statements.destroyOnly, [...values, nameBytes(only.lineage), only.version])
      if (keepUntilIfAbsent <= at)
        return await this.#ask(call, this.#statements.destroyStanding, [...values, ...ifAbsent])
      return await this.#ask(call, this.#statements.destroy, [...values, ...ifAbsent])
    }
    const [tombstone] = (await ask()).rows
    if (tombstone === undefined) {
      await this.#assertSight(call)
      return only === undefined ? 'absent' : 'refused'
    }
    return tombstone['mine'] === true ? 'destroyed' : 'already-destroyed'
  }

  /** Removes a session or a tombstone up to an hour after its time: the index that finds it counts in hours. */
  async purge({ now, limit, graceMs, livesOn, knownToStay = 0 }: PurgeOptions): Promise<PurgeOutcome> {
    const grace = purgeGraceOf(graceMs)
    const moments = [timestampOf(now), timestampOf(now - grace)]
    const looking = await this.#begin('purge', CHANGING)
    const most = limit + knownToStay
    const values = [lastPurgeHourOf(now, grace), ...moments, most]
    const { rows } = await this.#ask(
      { ...looking, ...READING },
      this.#statements.ended,
      values,
      boundOf({ rows: most, rowBytes: KEY_ROW_BYTES }),
    ).catch((error) => {
      throw butNotApplied(error)
    })
    const ended = rows
      .filter(({ namespace }) => namespace !== null)
      .map((row) => ({ row, key: keyOf(row, String(row['namespace'])) }))
    const more = ended.length === most
    const inQuestion = ended.filter(({ row }) => row['may_live'] === true).map(({ key }) => key)
    const living = inQuestion.length === 0 ? undefined : await livesOn?.(inQuestion)
    const doomed = ended.filter(({ key }) => living?.has(key) !== true).slice(0, limit)
    if (doomed.length === 0) return { removed: 0, more }
    const named = JSON.stringify(
      doomed.map(({ row }) => ({ namespace: row['namespace'], id_hash: hexOf(row['id_hash']) })),
    )
    // Whoever was asked may have taken long, so this is a call of its own.
    const removing = await this.#begin('purge', CHANGING)
    const [turn] = (await this.#ask(removing, this.#statements.purge, [named, ...moments])).rows
    if (turn?.['mine'] !== true) return { removed: 0, more: true, isBusy: true }
    return { removed: Number(turn['removed'] ?? 0), more }
  }

  async planPurge({ now, graceMs }: PurgeForecastOptions): Promise<readonly PurgeForecast[]> {
    const grace = purgeGraceOf(graceMs)
    const call = await this.#begin('plan a purge', READING)
    const values = [lastPurgeHourOf(now, grace), timestampOf(now), timestampOf(now - grace), COUNTED_AT_MOST]
    const { rows } = await this.#ask(call, this.#statements.purgeable, values)
    return [{ removable: Number(rows[0]?.['removable'] ?? 0) }]
  }

  /** Runs the migrations, whatever `migrate` says. Settles within a minute rather than `queryTimeoutMs`. */
  async setUp(): Promise<void> {
    this.#assertOpen()
    await this.#migrateOnce().catch((raised: unknown) => {
      throw contractError(raised)
    })
  }

  /**
   * `up` where all that the store needs is possible: the table is there, fits this program, and nobody keeps it locked;
   * the role may do what it must, sees all rows, and may write. Nothing is written, but that with `migrate` a missing
   * table is made, as by any first call. However many ask at once, the server is asked once.
   */
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
    const latencyMs = (): number => monotonicMs() - startedAt
    try {
      const call = this.#connections.call('report its health', READING)
      // A server that can be read may have a better reason than that the table could not be set up: it is a standby.
      const unmade = this.#isMigrated ? undefined : await this.#makeTable(call).catch((error: unknown) => error)
      if (unmade !== undefined && !mayBeRead(unmade)) throw unmade
      await this.#ask(call, this.#statements.health, [])
      if (unmade !== undefined) throw unmade
      await this.#check(call)
      return { tier: this.name, state: 'up', latencyMs: latencyMs() }
    } catch (error) {
      const reason = isError(error) ? error.message : String(error)
      return { tier: this.name, state: 'down', latencyMs: latencyMs(), reason }
    }
  }

  /** Closes a pool of our own once its calls under way have settled; a given pool stays open. */
  async close(): Promise<void> {
    this.#closing ??= this.#connections.close()
    await this.#closing
  }

  async list({ maxBytes, withData, ...options }: ListOptions): Promise<Page<ListedSession>> {
    // A page may go beyond its bytes by one session, as one alone may have more.
    const dataBytes = withData ? maxBytes + this.#options.maxDataBytes : 0
    const { rows, next } = await this.#list(this.#statements.listOf, options, [maxBytes, withData], { dataBytes })
    const listed = rows.map((row): ListedSession => {
      const locator = { key: keyOf(row, options.namespace) }
      try {
        return { locator, session: sessionOf(row, withData) }
      } catch (unreadable) {
        if (!isSessionStoreError(unreadable, 'E_SESSION_FORMAT')) throw unreadable
        return { locator, unreadable }
      }
    })
    return { entries: listed, next }
  }

  async listKeys(options: KeyListOptions): Promise<Page<Locator>> {
    const { rows, next } = await this.#list(this.#statements.listKeysOf, options, [], { rowBytes: KEY_ROW_BYTES })
    return { entries: rows.map((row) => ({ key: keyOf(row, options.namespace) })), next }
  }

  /** The rows of a page, and where the next one begins. */
  async #list(
    statementOf: (way: Way) => Statement,
    { limit, after, ...which }: KeyListOptions,
    more: readonly unknown[],
    sizes: { readonly rowBytes?: number; readonly dataBytes?: number },
  ): Promise<{ readonly rows: readonly Row[]; readonly next: CacheKey | undefined }> {
    const { namespace } = which
    assertCursor({ namespace, after })
    const call = await this.#begin('list', READING)
    const last = after === undefined ? Buffer.alloc(0) : addressOf(after).idHash
    const { way, values } = this.#connections.checked(call, () => pageWayOf(which))
    const page = [...values, last, limit, Math.max(limit, ROWS_PASSED_OVER), ...more]
    const answer = (await this.#ask(call, statementOf(way), page, boundOf({ rows: limit, ...sizes }))).rows
    const rows = answer.filter((row) => row['id_hash'] !== null)
    const living = Number(answer[0]?.['living'] ?? 0)
    const end = rows.at(-1)
    const isCut = rows.length < living || living === limit
    if (isCut && end !== undefined) return { rows, next: keyOf(end, namespace) }
    const scannedTo = answer[0]?.['scanned_to']
    return { rows, next: scannedTo instanceof Uint8Array ? keyOf({ id_hash: scannedTo }, namespace) : undefined }
  }

  async count(which: Which): Promise<number> {
    const call = await this.#begin('count', READING)
    return await this.#count(call, which)
  }

  async countUsers(which: Which): Promise<number> {
    const call = await this.#begin('count users', READING)
    if (which.userId !== undefined) return Math.min(1, await this.#count(call, which))
    const { way, values } = activityWayOf(which)
    const { rows } = await this.#ask(call, this.#statements.countUsersOf(way), values)
    return Number(rows[0]?.['users'] ?? 0)
  }

  async #count(call: Call, which: Which): Promise<number> {
    const { way, values } = this.#connections.checked(call, () =>
      which.userId === undefined ? activityWayOf(which) : pageWayOf(which),
    )
    const { rows } = await this.#ask(call, this.#statements.countOf(way), values)
    return Number(rows[0]?.['living'] ?? 0)
  }

  async readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    const call = await this.#begin('read a user', READING)
    const values = this.#connections.checked(call, () => userValues(user))
    const { rows } = await this.#ask(call, this.#statements.readUser, values)
    return recordOf(rows[0])
  }

  async writeUser(user: UserLocator, { epoch, seats }: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    const call = await this.#begin('write a user', CHANGING)
    const values = this.#connections.checked(call, () => [...userValues(user), epoch, seatsText(seats)])
    const { rows } = await (token === ''
      ? this.#ask(call, this.#statements.insertUser, values)
      : this.#ask(call, this.#statements.updateUser, [...values, token]))
    if (rows.length > 0) return 'written'
    await this.#assertSight(call)
    return 'changed'
  }

  /** Every call starts here: open, with a deadline, and with a table that fits, made if that is ours to see to. */
  async #begin(operation: string, manner: Manner): Promise<Call> {
    this.#assertOpen()
    const call = this.#connections.call(operation, manner)
    if (!this.#isMigrated) await this.#makeTableFor(call)
    if (!this.#fits) await this.#checkOnce(call)
    return call
  }

  /** A standby cannot be migrated and can be read, so a read goes on where the migration fails, and seldom tries one. */
  async #makeTableFor(call: Call): Promise<void> {
    const { runtime } = this.#options
    if (call.isChange) return await this.#makeTable(call)
    if (runtime.monotonicMs() - this.#migrationFailedAt < MIGRATION_PAUSE_MS) return
    await this.#makeTable(call).catch((error: unknown) => {
      if (!mayBeRead(error)) throw error
      this.#migrationFailedAt = runtime.monotonicMs()
    })
  }

  async #makeTable(call: Call): Promise<void> {
    try {
      await call.deadline.race(this.#migrateOnce())
    } catch (raised) {
      const cause = contractError(raised)
      if (isSessionStoreError(cause, 'E_BACKEND_SCHEMA')) throw call.isChange ? butNotApplied(cause) : cause
      // The migration itself may go on, and the next call finds it further along.
      if (cause instanceof DeadlinePassed)
        throw this.#connections.untouched(call, 'its table is still being set up', cause)
      const why = raised instanceof StatementFailed ? `: ${raised.fault.because}` : ''
      throw this.#connections.untouched(call, `its table could not be set up${why}`, cause)
    }
  }

  /** The first call of a process checks, and those that come meanwhile wait for it. If it fails, each tries by itself. */
  async #checkOnce(call: Call): Promise<void> {
    if (this.#checking !== undefined) await call.deadline.race(this.#checking).catch(() => {})
    if (this.#fits) return
    const checking = this.#check(call).finally(() => {
      if (this.#checking === checking) this.#checking = undefined
    })
    this.#checking ??= checking
    await checking
  }

  /** Rejects where this program and the table do not fit each other, by the list of migrations, if it can be read. */
  async #check(call: Call): Promise<void> {
    const reading = { ...call, ...READING }
    try {
      const list = await this.#ask(reading, this.#statements.migrationList, [])
      if (list.rows[0]?.['readable'] === true) {
        const applied = appliedOf((await this.#ask(reading, this.#statements.migrations, [])).rows)
        const lack = lackOf(applied, this.#relation)
        const because =
          refusalOf(applied, this.#relation) ?? (lack === undefined ? undefined : `${lack}; ${SET_UP_CURE}`)
        if (because !== undefined) throw schemaUnfit(because, undefined, { ...reading, tier: this.#connections.tier })
      }
      this.#fits = true
    } catch (error) {
      if (isSessionStoreError(error, 'E_BACKEND_SCHEMA')) this.#fits = false
      throw call.isChange ? butNotApplied(error) : error
    }
  }

  /** A call that is one statement: its failure is the call's. */
  async #ask(
    call: Call,
    statement: Statement,
    values: readonly unknown[],
    bound?: AnswerBound,
  ): Promise<PostgresResult> {
    return this.#connections.run(call, statement, values, bound).catch((raised) => this.#reject(raised))
  }

  /** Rejects where rows are hidden from this role: what was not found may be there. */
  async #assertSight(call: Call): Promise<void> {
    await this.#ask({ ...call, ...READING }, this.#statements.sight, [])
  }

  async #write<Entry extends { readonly locator: Locator }, Outcome>(
    call: Call,
    entries: readonly Entry[],
    plan: WritePlan<Entry, Outcome>,
  ): Promise<readonly Outcome[]> {
    const desk = { connections: this.#connections, lookOf: this.#statements.lookOf, call }
    return writeAll(desk, entries, plan).catch((raised) => this.#reject(raised))
  }

  #reject(raised: unknown): never {
    // A table that was dropped or changed under a running program is made again, or checked, by the next call.
    if (raised instanceof StatementFailed && raised.fault.kind === 'schema') {
      this.#isMigrated = !this.#options.migrate
      this.#fits = false
    }
    throw contractError(raised)
  }

  /**
   * A migration under way serves all who ask; one that failed is forgotten, and tried again by the next call.
   *
   * @throws StatementFailed, or `E_BACKEND_SCHEMA`
   */
  #migrateOnce(): Promise<void> {
    this.#migrating ??= this.#migrate().finally(() => {
      this.#migrating = undefined
    })
    return this.#migrating
  }

  async #migrate(): Promise<void> {
    const { schema, table, partitions, runtime } = this.#options
    const deadline = deadlineAfter(runtime, SET_UP_TIMEOUT_MS)
    const call = { operation: 'set up', ...READING, deadline }
    await this.#connections.borrow(call, async (ask) => {
      const query = (text: string, values?: readonly unknown[]): Promise<PostgresResult> =>
        ask({ text, types: VALUE_TYPES, ...(values === undefined ? {} : { values: [...values] }) })
      await migrate({ query }, { schema, table, partitions, timeoutMs: SET_UP_TIMEOUT_MS })
    })
    this.#isMigrated = true
    this.#fits = true
  }

  #assertOpen(): void {
    if (this.#closing !== undefined)
      throw new SessionStoreError('E_CLOSED', 'The postgres backend was closed', { tier: this.name })
  }
}

/** What every way is given first: the namespace, the moment, and since when the sessions were seen. */
const commonValues = ({ namespace, now, seenSince }: Which): readonly unknown[] => [
  namespace,
  timestampOf(now),
  seenSince === undefined ? '-infinity' : timestampOf(seenSince),
]

interface Found<Ways extends Way> {
  readonly way: Ways
  readonly values: readonly unknown[]
}

/**
 * By which index a page of sessions is found. Those of no application are looked for among all: their index would be a
 * second one of all sessions, where applications are not named.
 *
 * @throws TypeError for a user id that no row can have
 */
const pageWayOf = (which: Which): Found<Way> => {
  const { namespace, app, userId } = which
  const values = [...commonValues(which), app ?? null]
  if (userId === undefined) return { way: app === undefined || app === '' ? 'namespace' : 'app', values }
  const [, ...user] = userValues({ namespace, userId })
  return { way: 'user', values: [...values, ...user] }
}

/** The hour before all. */
const EVER = -1

/** By which part of the index of activity a count is made. */
const activityWayOf = (which: Which): Found<Exclude<Way, 'user'>> => {
  const { app, seenSince, now } = which
  const hours = [seenSince === undefined ? EVER : hourOf(seenSince), hourOf(now)]
  return app === undefined
    ? { way: 'namespace', values: [...commonValues(which), ...hours] }
    : { way: 'app', values: [...commonValues(which), app, ...hours] }
}
