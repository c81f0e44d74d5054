import {
  type BackendCopy,
  type BackendState,
  type DestroyOptions,
  type DestroyOutcome,
  type ExtendOutcome,
  type Extension,
  type GuardedUpdate,
  guardAdmits,
  type InsertOptions,
  type InsertOutcome,
  type KeyListOptions,
  type ListedSession,
  type ListOptions,
  NO_RECORD,
  type Page,
  type RecordToken,
  replacing,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
  type WriteId,
} from '../../src/contract/backend.js'
import { type CacheKey, type Locator, splitKey } from '../../src/contract/locator.js'

export type Row =
  /** `kept` is the session as it was sent, where it was sealed; its moments of use are those of `session`. */
  | { readonly state: 'live'; readonly session: StoredSession; readonly kept: StoredSession }
  | { readonly state: 'destroyed'; readonly writeId: WriteId; readonly keepUntil: number }

/**
 * Whether a copy took the place of another lineage's, round the cache; `unreached`: by a process that could not reach
 * the cache server, as far as anybody can tell.
 */
export type Taken = 'no' | 'reached' | 'unreached'

export interface BackendWatcher {
  /** A row is about to become another; `undefined` where there was none. */
  onRow(key: CacheKey, before: Row | undefined, after: Row, taken: Taken): void
}

interface Living {
  readonly key: CacheKey
  readonly session: StoredSession
}

const NO_TOKEN = new Uint8Array(0)
const NO_DATA = new Uint8Array(0)

/**
 * The one backend of the simulated world: the contract in its plainest words. Each insert, destroy and entry of an
 * update is one atomic step, and what was committed stays.
 */
export class BackendServer {
  readonly rows = new Map<CacheKey, Row>()
  /** The ids of which a destroy has left nothing, as nothing stood there. */
  readonly leftNothing = new Set<CacheKey>()
  /** The records of the users, each with the number of its version. */
  readonly #users = new Map<string, { readonly record: UserRecord; readonly version: number }>()
  readonly #watcher: BackendWatcher
  readonly #epochNow: () => number
  readonly #opened: (key: CacheKey, session: StoredSession) => StoredSession

  /** @param opened shows the judges a session that is sealed */
  constructor(
    watcher: BackendWatcher,
    epochNow: () => number,
    opened: (key: CacheKey, session: StoredSession) => StoredSession,
  ) {
    this.#watcher = watcher
    this.#epochNow = epochNow
    this.#opened = opened
  }

  read({ key }: Locator): BackendCopy {
    const row = this.rows.get(key)
    if (row === undefined) return { state: 'absent' }
    if (row.state !== 'live') return { state: 'destroyed' }
    const { userId } = row.session
    const epoch = userId === undefined ? {} : { currentEpoch: this.recordOf(userId).epoch }
    return { state: 'live', session: asKept(row), ...epoch, token: NO_TOKEN }
  }

  insert({ key }: Locator, session: StoredSession, { notAfter, over }: InsertOptions = {}): InsertOutcome {
    if (notAfter !== undefined && this.#epochNow() > notAfter) return { outcome: 'too-late' }
    const row = this.rows.get(key)
    const isEnded =
      row?.state === 'live' &&
      row.session.lineage === over?.lineage &&
      row.session.version === over.version &&
      row.session.expiresAt <= over.endedBy
    if (row !== undefined && !isEnded) return { outcome: 'exists', row: this.#stateOf(key) }
    this.#put(key, { state: 'live', session: this.#opened(key, session), kept: session }, 'no')
    return { outcome: 'inserted', token: NO_TOKEN }
  }

  update(entries: readonly GuardedUpdate[], isUnreached: (key: CacheKey) => boolean): UpdateOutcome[] {
    return entries.map(({ locator: { key }, guard, session }) => {
      const row = this.rows.get(key)
      if (row?.state !== 'live' || !guardAdmits(guard, row.session))
        return { outcome: 'refused', row: this.#stateOf(key) }
      const how = isUnreached(key) ? 'unreached' : 'reached'
      this.#put(
        key,
        { state: 'live', session: replacing(row.session, this.#opened(key, session)), kept: session },
        session.lineage === guard.lineage ? 'no' : how,
      )
      return { outcome: 'applied', token: NO_TOKEN }
    })
  }

  extend(extensions: readonly Extension[]): ExtendOutcome[] {
    return extensions.map(({ locator: { key }, seenAt, expiresAt }) => {
      const row = this.rows.get(key)
      if (row?.state !== 'live') return { outcome: row === undefined ? 'absent' : 'destroyed' }
      const { session } = row
      this.rows.set(key, {
        ...row,
        session: {
          ...session,
          seenAt: Math.max(session.seenAt, seenAt),
          expiresAt: Math.max(session.expiresAt, expiresAt),
        },
      })
      return { outcome: 'extended' }
    })
  }

  destroy(
    { key }: Locator,
    { writeId, at, only, keepUntil, keepUntilIfAbsent = keepUntil }: DestroyOptions,
  ): DestroyOutcome {
    const row = this.rows.get(key)
    if (row?.state === 'destroyed') {
      this.rows.set(key, { ...row, keepUntil: Math.max(row.keepUntil, keepUntilIfAbsent) })
      return row.writeId === writeId ? 'destroyed' : 'already-destroyed'
    }
    const fits = row?.session.lineage === only?.lineage && row?.session.version === only?.version
    if (only !== undefined && !fits) return 'refused'
    if (row === undefined && keepUntilIfAbsent <= at) {
      this.leftNothing.add(key)
      return 'absent'
    }
    this.leftNothing.delete(key)
    const kept = row === undefined ? keepUntilIfAbsent : keepUntil
    this.#put(key, { state: 'destroyed', writeId, keepUntil: kept }, 'no')
    return 'destroyed'
  }

  readUser({ userId }: UserLocator): { readonly record: UserRecord; readonly token: RecordToken } {
    const { record, version } = this.#users.get(userId) ?? { record: NO_RECORD, version: 0 }
    return { record, token: version === 0 ? '' : String(version) }
  }

  writeUser(user: UserLocator, record: UserRecord, token: RecordToken): 'written' | 'changed' {
    if (this.readUser(user).token !== token) return 'changed'
    this.#users.set(user.userId, { record, version: Number(token) + 1 })
    return 'written'
  }

  recordOf(userId: string): UserRecord {
    return this.#users.get(userId)?.record ?? NO_RECORD
  }

  list({ withData, ...options }: ListOptions): Page<ListedSession> {
    const { entries, next } = this.#page(options)
    const shown = ({ session }: Living): StoredSession => (withData ? session : { ...session, data: NO_DATA })
    return { entries: entries.map((entry) => ({ locator: { key: entry.key }, session: shown(entry) })), next }
  }

  listKeys(options: KeyListOptions): Page<Locator> {
    const { entries, next } = this.#page(options)
    return { entries: entries.map(({ key }) => ({ key })), next }
  }

  count(which: Which): number {
    return this.#living(which).length
  }

  countUsers(which: Which): number {
    return new Set(this.#living(which).flatMap(({ session: { userId = [] } }) => userId)).size
  }

  #page({ limit, after, ...which }: KeyListOptions): Page<Living> {
    const rest = this.#living(which)
      .filter(({ key }) => after === undefined || key > after)
      .sort((one, other) => (one.key < other.key ? -1 : 1))
    const entries = rest.slice(0, limit)
    return { entries, next: rest.length > limit ? entries.at(-1)?.key : undefined }
  }

  #living({ namespace, now, userId, app, seenSince = 0 }: Which): Living[] {
    const living: Living[] = []
    for (const [key, row] of this.rows) {
      if (row.state !== 'live' || splitKey(key).namespace !== namespace) continue
      const { session } = row
      const isMeant = session.expiresAt > now && session.seenAt >= seenSince
      const isOf = (userId ?? session.userId) === session.userId && (app ?? session.app) === session.app
      if (isMeant && isOf) living.push({ key, session: asKept(row) })
    }
    return living
  }

  /** Writes over whatever stands there, as no backend may; for a control. */
  force(key: CacheKey, session: StoredSession): void {
    this.#put(key, { state: 'live', session: this.#opened(key, session), kept: session }, 'no')
  }

  /**
   * What has expired for longer than the grace, or past its absolute lifetime; and tombstones whose time is up. Gives what
   * it removed.
   */
  purge(graceMs: number): readonly CacheKey[] {
    const now = this.#epochNow()
    const isOver = (row: Row): boolean =>
      row.state === 'live'
        ? row.session.expiresAt + graceMs <= now ||
          Math.max(row.session.expiresAt, row.session.absoluteExpiresAt) <= now
        : row.keepUntil <= now
    const keys = [...this.rows].filter(([, row]) => isOver(row)).map(([key]) => key)
    for (const key of keys) this.rows.delete(key)
    return keys
  }

  #put(key: CacheKey, after: Row, taken: Taken): void {
    this.#watcher.onRow(key, this.rows.get(key), after, taken)
    this.rows.set(key, after)
  }

  #stateOf(key: CacheKey): BackendState {
    const row = this.rows.get(key)
    if (row?.state !== 'live') return { state: row === undefined ? 'absent' : 'destroyed' }
    const { lineage, version, writeIds } = row.session
    return { state: 'live', lineage, version, writeIds, token: NO_TOKEN }
  }
}

/** A session as the server gives it back. */
const asKept = ({ session, kept }: Extract<Row, { state: 'live' }>): StoredSession => ({
  ...kept,
  seenAt: session.seenAt,
  expiresAt: session.expiresAt,
})
