import {
  assertCursor,
  type Backend,
  type BackendCopy,
  type BackendState,
  type DestroyOptions,
  type DestroyOutcome,
  type Ended,
  type Enumerable,
  type ExtendOutcome,
  type Extension,
  type GuardedUpdate,
  guardAdmits,
  type InsertOptions,
  type InsertOutcome,
  type KeyListOptions,
  type KnowsUsers,
  type ListedSession,
  type ListOptions,
  NO_RECORD,
  type Page,
  type PurgeOptions,
  type PurgeOutcome,
  purgeGraceOf,
  type RecordToken,
  replacing,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
  type WriteId,
} from '../../contract/backend.js'
import type { TierHealth } from '../../contract/health.js'
import { type CacheKey, type Locator, splitKey } from '../../contract/locator.js'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { SessionStoreError } from '../../errors.js'
import { type MemoryBackendOptions, resolveMemoryOptions } from './options.js'

type Row =
  | { readonly state: 'live'; readonly session: StoredSession }
  | { readonly state: 'destroyed'; readonly writeId: WriteId; readonly keepUntil: EpochMs }

interface Living {
  readonly key: CacheKey
  readonly session: StoredSession
}

const NO_TOKEN = new Uint8Array(0)
const NO_DATA = new Uint8Array(0)

/**
 * A backend inside this process: the embedded default, and the contract in its plainest words. It keeps every
 * promise of `Backend` but one: nothing survives the process, and no other process sees it.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const memoryBackend = (options: MemoryBackendOptions = {}): Backend & Enumerable & KnowsUsers =>
  new MemoryBackend(resolveMemoryOptions(options).runtime)

/** Each method does its work before it first yields, so that one call is one atomic step. */
class MemoryBackend implements Backend, Enumerable, KnowsUsers {
  readonly name = 'memory'
  readonly #rows = new Map<CacheKey, Row>()
  readonly #users = new Map<string, { readonly record: UserRecord; readonly token: RecordToken }>()
  readonly #runtime: Runtime
  #closed = false

  constructor(runtime: Runtime) {
    this.#runtime = runtime
  }

  async read({ key }: Locator): Promise<BackendCopy> {
    this.#assertOpen()
    const row = this.#rows.get(key)
    if (row?.state !== 'live') return { state: row === undefined ? 'absent' : 'destroyed' }
    const { userId } = row.session
    const { namespace } = splitKey(key)
    const current = userId === undefined ? undefined : this.#recordOf({ namespace, userId }).record.epoch
    return {
      ...{ state: 'live', session: copyOf(row.session), token: NO_TOKEN },
      ...(current === undefined ? {} : { currentEpoch: current }),
    }
  }

  async insert(
    { key }: Locator,
    session: StoredSession,
    { notAfter, over }: InsertOptions = {},
  ): Promise<InsertOutcome> {
    this.#assertOpen()
    // What stands there comes first: an insert that is sent again after a lost answer must find itself.
    const row = this.#rows.get(key)
    const isLate = notAfter !== undefined && this.#runtime.now() > notAfter
    if (row !== undefined && (isLate || !isEnded(row, over))) return { outcome: 'exists', row: stateOf(row) }
    if (isLate) return { outcome: 'too-late' }
    this.#rows.set(key, { state: 'live', session: copyOf(session) })
    return { outcome: 'inserted', token: NO_TOKEN }
  }

  async update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]> {
    this.#assertOpen()
    return entries.map(({ locator: { key }, guard, session }): UpdateOutcome => {
      const row = this.#rows.get(key)
      if (row?.state !== 'live' || !guardAdmits(guard, row.session)) return { outcome: 'refused', row: stateOf(row) }
      this.#rows.set(key, { state: 'live', session: copyOf(replacing(row.session, session)) })
      return { outcome: 'applied', token: NO_TOKEN }
    })
  }

  async extend(entries: readonly Extension[]): Promise<readonly ExtendOutcome[]> {
    this.#assertOpen()
    return entries.map(({ locator: { key }, seenAt, expiresAt }): ExtendOutcome => {
      const row = this.#rows.get(key)
      if (row?.state !== 'live') return { outcome: row === undefined ? 'absent' : 'destroyed' }
      const session = {
        ...row.session,
        seenAt: Math.max(row.session.seenAt, seenAt),
        expiresAt: Math.max(row.session.expiresAt, expiresAt),
      }
      this.#rows.set(key, { state: 'live', session })
      return { outcome: 'extended' }
    })
  }

  async destroy(
    { key }: Locator,
    { writeId, at, keepUntil, keepUntilIfAbsent = keepUntil, only }: DestroyOptions,
  ): Promise<DestroyOutcome> {
    this.#assertOpen()
    const row = this.#rows.get(key)
    if (row?.state === 'destroyed') {
      this.#rows.set(key, { ...row, keepUntil: Math.max(row.keepUntil, keepUntilIfAbsent) })
      return row.writeId === writeId ? 'destroyed' : 'already-destroyed'
    }
    if (only !== undefined && !isExactly(row, only)) return 'refused'
    if (row === undefined && keepUntilIfAbsent <= at) return 'absent'
    this.#rows.set(key, { state: 'destroyed', writeId, keepUntil: row === undefined ? keepUntilIfAbsent : keepUntil })
    return 'destroyed'
  }

  /** Nobody but this process purges here, so that nobody has to take turns. */
  async purge({ now, limit, graceMs, livesOn, knownToStay = 0 }: PurgeOptions): Promise<PurgeOutcome> {
    this.#assertOpen()
    const grace = purgeGraceOf(graceMs)
    const due = [...this.#rows]
      .map(([key, row]) => ({ key, row, endsAt: row.state === 'live' ? endOf(row.session, grace) : row.keepUntil }))
      .filter(({ endsAt }) => endsAt <= now)
      .sort((one, other) => one.endsAt - other.endsAt)
      .slice(0, limit + knownToStay)
    const inQuestion = due.filter(({ row }) => row.state === 'live' && row.session.absoluteExpiresAt > now)
    const living = inQuestion.length === 0 ? undefined : await livesOn?.(inQuestion.map(({ key }) => key))
    const doomed = due.filter(({ key }) => living?.has(key) !== true).slice(0, limit)
    let removed = 0
    for (const { key, row } of doomed) {
      // What was changed meanwhile is another row.
      if (this.#rows.get(key) !== row) continue
      this.#rows.delete(key)
      removed += 1
    }
    return { removed, more: due.length === limit + knownToStay }
  }

  async setUp(): Promise<void> {
    this.#assertOpen()
  }

  async health(): Promise<TierHealth> {
    this.#assertOpen()
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#rows.clear()
    this.#users.clear()
  }

  async list({ maxBytes, withData, ...options }: ListOptions): Promise<Page<ListedSession>> {
    const { entries, next } = this.#page(options)
    let bytes = 0
    const end = entries.findIndex(({ session }, index) => {
      bytes += session.data.byteLength
      return withData && index > 0 && bytes > maxBytes
    })
    const taken = end < 0 ? entries : entries.slice(0, end)
    const listed = taken.map(({ key, session }) => ({
      locator: { key },
      session: copyOf(withData ? session : { ...session, data: NO_DATA }),
    }))
    return { entries: listed, next: end < 0 ? next : taken.at(-1)?.key }
  }

  async listKeys(options: KeyListOptions): Promise<Page<Locator>> {
    const { entries, next } = this.#page(options)
    return { entries: entries.map(({ key }) => ({ key })), next }
  }

  async count(which: Which): Promise<number> {
    this.#assertOpen()
    return this.#living(which).length
  }

  async countUsers(which: Which): Promise<number> {
    this.#assertOpen()
    const users = this.#living(which).map(({ session: { userId } }) => userId)
    return new Set(users.filter((userId) => userId !== undefined)).size
  }

  async readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }> {
    this.#assertOpen()
    return this.#recordOf(user)
  }

  async writeUser(user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'> {
    this.#assertOpen()
    if (this.#recordOf(user).token !== token) return 'changed'
    this.#users.set(userNameOf(user), { record, token: String(Number(token) + 1) })
    return 'written'
  }

  #recordOf(user: UserLocator): { readonly record: UserRecord; readonly token: RecordToken } {
    return this.#users.get(userNameOf(user)) ?? { record: NO_RECORD, token: '' }
  }

  #page({ limit, after, ...which }: KeyListOptions): Page<Living> {
    this.#assertOpen()
    assertCursor({ namespace: which.namespace, after })
    const rest = this.#living(which)
      .filter(({ key }) => after === undefined || key > after)
      .sort((one, other) => (one.key < other.key ? -1 : 1))
    const entries = rest.slice(0, limit)
    return { entries, next: rest.length > limit ? entries.at(-1)?.key : undefined }
  }

  #living(which: Which): Living[] {
    const living: Living[] = []
    for (const [key, row] of this.#rows)
      if (row.state === 'live' && splitKey(key).namespace === which.namespace && isMeant(which, row.session))
        living.push({ key, session: row.session })
    return living
  }

  #assertOpen(): void {
    if (this.#closed) throw new SessionStoreError('E_CLOSED', 'The memory backend was closed', { tier: this.name })
  }
}

const isMeant = ({ now, app, userId, seenSince }: Which, session: StoredSession): boolean =>
  session.expiresAt > now &&
  (app === undefined || session.app === app) &&
  (userId === undefined || session.userId === userId) &&
  (seenSince === undefined || session.seenAt >= seenSince)

/** A namespace has no colon. */
const userNameOf = ({ namespace, userId }: UserLocator): string => `${namespace}:${userId}`

/** From when on no copy of it can be in use: after the grace, or once it has ended whether it was used or not. */
const endOf = ({ expiresAt, absoluteExpiresAt }: StoredSession, graceMs: number): EpochMs =>
  Math.max(expiresAt, Math.min(expiresAt + graceMs, absoluteExpiresAt))

const isExactly = (row: Row | undefined, { lineage, version }: { lineage: string; version: number }): boolean =>
  row?.state === 'live' && row.session.lineage === lineage && row.session.version === version

/** It is the copy that a new session may take the place of. */
const isEnded = (row: Row, over: Ended | undefined): boolean =>
  over !== undefined && isExactly(row, over) && row.state === 'live' && row.session.expiresAt <= over.endedBy

const stateOf = (row: Row | undefined): BackendState => {
  if (row?.state !== 'live') return { state: row === undefined ? 'absent' : 'destroyed' }
  const { lineage, version, writeIds } = row.session
  return { state: 'live', lineage, version, writeIds: [...writeIds], token: NO_TOKEN }
}

/** Copies on the way in and on the way out, so that nobody's later change reaches what is kept. */
const copyOf = (session: StoredSession): StoredSession => ({
  ...session,
  writeIds: [...session.writeIds],
  data: new Uint8Array(session.data),
})
