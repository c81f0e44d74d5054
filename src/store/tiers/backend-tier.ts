import {
  type Backend,
  type BackendCopy,
  type BackendState,
  type BackendToken,
  canEnumerate,
  type DestroyOptions,
  type DestroyOutcome,
  type Enumerable,
  type ExtendOutcome,
  type Extension,
  type GuardedUpdate,
  type InsertOptions,
  type InsertOutcome,
  type KeyListOptions,
  type KnowsUsers,
  knowsUsers,
  type ListedSession,
  type ListOptions,
  type Page,
  type PurgeOptions,
  type PurgeOutcome,
  type RecordToken,
  type StoredSession,
  type UpdateOutcome,
  type UserLocator,
  type UserRecord,
  type Which,
} from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { TierHealth } from '../../contract/health.js'
import type { Locator } from '../../contract/locator.js'
import type { Runtime } from '../../contract/time.js'
import { butMayBeApplied, isSessionStoreError, overloaded, SessionStoreError } from '../../errors.js'
import { line, type Place } from '../../tools/line.js'
import type { Telemetry } from '../observed/telemetry.js'
import { batcher } from './batcher.js'
import { tierCalls } from './tier-calls.js'

export type Updated =
  | { readonly outcome: 'applied'; readonly token: BackendToken }
  /**
   * `mayBeIn` says that the update had been sent before without an answer. It may have been applied then, and replaced
   * since.
   */
  | { readonly outcome: 'refused'; readonly row: BackendState; readonly mayBeIn: boolean }

/**
 * An update that was not sent, as it was no longer due. `mayBeIn` says that it had been sent before, without an answer.
 */
export interface NotSent {
  readonly outcome: 'not sent'
  readonly mayBeIn: boolean
}

/**
 * The backend as the protocol sees it. Each call has a deadline and is counted. Only so many reads are in flight at
 * once, and so many wait in line; a read that is refused there rejects with `E_OVERLOADED`. Updates and touches are sent in batches, and an update whose answer was lost is sent once more, which its guard
 * makes harmless. A call rejects when the backend could not be asked, or answered too late.
 */
export interface BackendTier {
  readonly name: string
  /** Reads in its turn, before all that is read for callers of whom nothing is known. */
  read(locator: Locator): Promise<BackendCopy>
  /**
   * Does the work when its turn among the reads has come, and gives it the one way to read in that turn. So nothing need
   * be begun in the cache for a read that is refused.
   *
   * @param asker whose turn it is. Left out: one of the store's own
   */
  inTurn<T>(asker: Asker | undefined, work: (read: BackendTier['read']) => Promise<T>): Promise<T>
  insert(locator: Locator, session: StoredSession, reason: FlushReason, options?: InsertOptions): Promise<InsertOutcome>
  update(entry: GuardedUpdate, reason: FlushReason): Promise<Updated>
  /** The same, but the update is not sent if `isStillDue` answers `false` when its turn in line has come. */
  updateIfDue(entry: GuardedUpdate, reason: FlushReason, isStillDue: () => boolean): Promise<Updated | NotSent>
  extend(extension: Extension): Promise<ExtendOutcome>
  destroy(locator: Locator, options: DestroyOptions): Promise<DestroyOutcome>
  /** `list` and the three after it reject with `E_CONFIG` where the backend cannot tell what it holds. */
  list(options: ListOptions): Promise<Page<ListedSession>>
  listKeys(options: KeyListOptions): Promise<Page<Locator>>
  count(which: Which): Promise<number>
  countUsers(which: Which): Promise<number>
  /** Whether it keeps records of users. If it does not, both calls for them reject with `E_CONFIG`. */
  readonly knowsUsers: boolean
  readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }>
  writeUser(user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'>
  /** Has a deadline of its own, as it has more to do than other calls. */
  purge(options: PurgeOptions): Promise<PurgeOutcome>
  health(): Promise<TierHealth>
  close(): Promise<void>
}

/** On whose behalf something is read. */
export interface Asker extends Pick<Place, 'isFirst' | 'caller' | 'signal'> {
  /** How long he can still wait, in ms. */
  leftMs(): number
}

export interface BackendTierOptions {
  readonly runtime: Runtime
  readonly telemetry: Telemetry
  readonly backendTimeoutMs: number
  readonly breakerFailures: number
  readonly backendRetryMs: number
  readonly maxBackendReads: number
  readonly maxWaitingReads: number
}

/** A session on its way to the backend, and the reason for which it is written. */
interface Flush {
  readonly entry: GuardedUpdate
  readonly reason: FlushReason
}

/** How many sessions of a batch the backend has written, by reason. */
const written = (flushes: readonly Flush[], outcomes: readonly UpdateOutcome[]): ReadonlyMap<FlushReason, number> => {
  const counts = new Map<FlushReason, number>()
  for (const [at, { reason }] of flushes.entries())
    if (outcomes[at]?.outcome === 'applied') counts.set(reason, (counts.get(reason) ?? 0) + 1)
  return counts
}

/** After how long a purge is given up, in ms, if no other call is given longer. It may have an index to wait for. */
const PURGE_TIMEOUT_MS = 60_000

/** The caller of all that the store reads by itself. No caller is given a name that begins with a space. */
const OURSELVES = ' '

/** The share of the time that is left to a caller which he may spend in line: he is to be told why before he is late. */
const PATIENCE = 0.75

/** How often a change that is safe to send again is tried before the backend is taken for unreachable. */
const TRIES = 2

export const backendTier = (backend: Backend, options: BackendTierOptions): BackendTier => {
  const { runtime, telemetry, backendTimeoutMs } = options
  const calls = tierCalls(backend.name, { ...options, timeoutMs: backendTimeoutMs, retryMs: options.backendRetryMs })
  const reads = line({
    limit: options.maxBackendReads,
    maxWaiting: options.maxWaitingReads,
    after: (delayMs, callback) => runtime.after(delayMs, callback),
    refused: (why) => {
      if (why === 'given up') return overloaded(backend.name, 'read', 'its caller has left the line')
      telemetry.count('readsRefused')
      const because =
        why === 'full'
          ? `${options.maxWaitingReads} other reads wait in line`
          : 'its turn in line behind other reads did not come in time'
      return overloaded(backend.name, 'read', because)
    },
  })
  const { ask, health } = calls

  const placeOf = (asker: Asker | undefined): Place =>
    asker === undefined
      ? { isFirst: true, caller: OURSELVES, patienceMs: backendTimeoutMs }
      : {
          isFirst: asker.isFirst,
          caller: asker.caller,
          signal: asker.signal,
          patienceMs: Math.min(backendTimeoutMs, PATIENCE * asker.leftMs()),
        }
  const read: BackendTier['read'] = async (locator) => {
    telemetry.count('backendReads')
    return await ask('read', false, () => backend.read(locator))
  }

  const again = async <T>(call: (mayBeApplied: boolean) => Promise<T>): Promise<T> => {
    let mayBeApplied = false
    for (let tried = 1; ; tried += 1) {
      try {
        return await call(mayBeApplied)
      } catch (error) {
        // The error of the last try says nothing about the try before it, which may have been applied.
        if (tried >= TRIES || !isSessionStoreError(error, 'E_SESSION_UNAVAILABLE'))
          throw mayBeApplied ? butMayBeApplied(error) : error
        mayBeApplied ||= error.applied === 'unknown'
      }
    }
  }
  const updates = batcher<Flush, UpdateOutcome>({
    runtime,
    keyOf: ({ entry }) => entry.locator.key,
    bytesOf: ({ entry }) => entry.session.data.byteLength,
    send: async (flushes) => {
      const outcomes = await ask('update', true, () => backend.update(flushes.map(({ entry }) => entry)))
      for (const [reason, count] of written(flushes, outcomes)) telemetry.flushed(reason, count)
      return outcomes
    },
  })
  const updated = (outcome: UpdateOutcome, mayBeIn: boolean): Updated => {
    if (outcome.outcome === 'failed') throw outcome.error
    return outcome.outcome === 'refused' ? { ...outcome, mayBeIn } : outcome
  }
  const extensions = batcher<Extension, ExtendOutcome>({
    runtime,
    keyOf: ({ locator }) => locator.key,
    bytesOf: () => 0,
    send: (entries) => ask('extend', true, () => backend.extend(entries)),
  })

  const enumerable = (): Enumerable => {
    if (canEnumerate(backend)) return backend
    throw new SessionStoreError(
      'E_CONFIG',
      `Expected \`backend\` to be one that can list its sessions, got ${backend.name}`,
    )
  }

  const withUsers = (): KnowsUsers => {
    if (knowsUsers(backend)) return backend
    throw new SessionStoreError('E_CONFIG', `Expected \`backend\` to be one that knows of users, got ${backend.name}`)
  }

  return {
    name: backend.name,
    knowsUsers: knowsUsers(backend),
    read: (locator) => reads.run(placeOf(undefined), () => read(locator)),
    inTurn: (asker, work) => reads.run(placeOf(asker), () => work(read)),
    insert: async (locator, session, reason, insertOptions) => {
      const outcome = await ask('insert', true, () => backend.insert(locator, session, insertOptions))
      if (outcome.outcome === 'inserted') telemetry.flushed(reason, 1)
      return outcome
    },
    update: (entry, reason) => again(async (mayBeIn) => updated(await updates.submit({ entry, reason }), mayBeIn)),
    updateIfDue: (entry, reason, isStillDue) =>
      again(async (mayBeIn) => {
        const outcome = await updates.submitIfDue({ entry, reason }, isStillDue)
        return outcome === 'not sent' ? { outcome, mayBeIn } : updated(outcome, mayBeIn)
      }),
    extend: async (extension) => {
      const outcome = await extensions.submit(extension)
      if (outcome.outcome === 'failed') throw outcome.error
      if (outcome.outcome === 'extended') telemetry.count('extensions')
      return outcome
    },
    destroy: (locator, destroyOptions) =>
      again(() => ask('destroy', true, () => backend.destroy(locator, destroyOptions))),
    list: async (listOptions) => {
      const lister = enumerable()
      return await ask('list', false, () => lister.list(listOptions))
    },
    listKeys: async (listOptions) => {
      const lister = enumerable()
      return await ask('list', false, () => lister.listKeys(listOptions))
    },
    count: async (which) => {
      const counter = enumerable()
      return await ask('count', false, () => counter.count(which))
    },
    countUsers: async (which) => {
      const counter = enumerable()
      return await ask('count', false, () => counter.countUsers(which))
    },
    readUser: async (user) => {
      const keeper = withUsers()
      return await reads.run(placeOf(undefined), () => ask('readUser', false, () => keeper.readUser(user)))
    },
    writeUser: async (user, record, token) => {
      const keeper = withUsers()
      return await ask('writeUser', true, () => keeper.writeUser(user, record, token))
    },
    purge: async (purgeOptions) => {
      const timeoutMs = Math.max(backendTimeoutMs, PURGE_TIMEOUT_MS)
      const outcome = await ask('purge', true, () => backend.purge(purgeOptions), { timeoutMs })
      telemetry.count('purged', outcome.removed)
      return outcome
    },
    health: () => health(() => backend.health()),
    close: () => backend.close(),
  }
}
