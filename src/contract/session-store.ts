import type { SessionStoreError } from '../errors.js'
import type { StoreEventName, StoreEvents, StoreStats } from './events.js'
import type { TierHealth } from './health.js'
import type { EpochMs } from './time.js'

declare global {
  // As `@types/node` declares it, too: TypeScript before 5.2 has no library of its own that could be referred to.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol
  }
}

/**
 * One session as one request holds it. `data` is this request's own copy: change it freely, then `save`.
 *
 * A handle belongs to the store that made it and to one request. It remembers the copy it was loaded from, so
 * that changes made meanwhile by others can be told from its own and merged.
 */
export interface Session<Data = Record<string, unknown>> {
  /** The public bearer token. It stands in no tier, log, event or error. */
  readonly id: string
  data: Data
  readonly createdAt: EpochMs
  /** When it ends unless it is used again, as known when it was loaded, saved or touched. */
  readonly expiresAt: EpochMs
  /** When it ends, used or not. */
  readonly absoluteExpiresAt: EpochMs
  /** How long it lives untouched. */
  readonly idleTtlMs: number
}

/** What every call can be told that may have to wait. */
export interface CallOptions {
  /**
   * Gives the call up, for instance as its visitor has gone. The call then rejects with `E_ABORTED`, whose `cause` is
   * the signal's reason. If the signal was aborted before the call began, nothing was done (`applied: 'no'` on a call
   * that changes something). If it is aborted later, no further step of the call begins; a change may be in then
   * (`applied: 'unknown'`), and a `destroy` that has begun is finished all the same. Aborted after the call has settled,
   * the signal does nothing. One signal may be given to any number of calls.
   */
  readonly signal?: AbortSignal
}

export interface CreateOptions extends CallOptions {
  /** An id of the caller's own making, 1 to 1024 characters. Default: one as `generateSessionId()` makes. */
  readonly id?: string
  /** In ms, at least 1_000; no more than `absoluteTtlMs` counts. @default the store's `idleTtlMs` */
  readonly idleTtlMs?: number
}

export interface LoadOptions extends CallOptions {
  /**
   * Whether loading counts as use of the session and may extend it. The touch goes out beside the answer.
   * @default true
   */
  readonly touch?: boolean
}

/** What `update` and `put` can be told. Neither merges: `update` begins again on a fresh copy, `put` overwrites. */
export interface WriteOptions extends CallOptions {
  /**
   * Resolve only when the backend has this session as it stands.
   * @default false
   */
  readonly durable?: boolean
  /** The session's idle time-out from now on, in ms, at least 1_000. Default: as it is. */
  readonly idleTtlMs?: number
}

export interface SaveOptions extends WriteOptions {
  /**
   * Top-level keys that take no part in merging: this save's value stands, whatever others wrote. For what a
   * framework keeps beside the data, like cookie attributes.
   */
  readonly unmergedKeys?: readonly string[]
  /**
   * Keeps `session.data` as the request has it: others' changes that this save merges are stored, and do not come into
   * `data`. What the next save stores is then told from what `data` was at this one, so that it undoes nothing of
   * theirs. For frameworks whose requests go on with a session object of their own.
   * @default false
   */
  readonly isolated?: boolean
}

export interface SaveReport {
  /** `false`: the data is what was loaded, and nothing was written for it. */
  readonly changed: boolean
  /** Another request's change came between and was merged: `session.data` now holds both, unless `isolated`. */
  readonly merged: boolean
  /** Where the newest acknowledged copy stands. `cache`: losing the cache may cost this write. */
  readonly durability: 'cache' | 'backend'
}

export interface TouchOptions extends CallOptions {
  /** The session's idle time-out from now on, in ms, at least 1_000. Default: as it is. */
  readonly idleTtlMs?: number
}

export interface DestroySessionOptions extends CallOptions {
  /**
   * The id was made by the caller a moment ago, and nobody else has heard of it, nor was a session stored under it: then
   * nothing is left of it where nothing stands, whereas otherwise a tombstone is kept for a while. A session that stands
   * there all the same is destroyed as ever.
   * @default false
   */
  readonly isNew?: boolean
}

export interface DestroyReport {
  /**
   * `tombstone`: whoever asks the cache finds that there is none any more.
   *
   * `unreachable`: the backend's tombstone stands, the cache could not be told; the store goes on trying.
   * Until it succeeds, a process that still reaches that cache may serve the session from it.
   */
  readonly cache: 'tombstone' | 'unreachable'
}

export interface CloseReport {
  /** Unflushed sessions that the drain saw into the backend, whoever wrote them there. */
  readonly flushed: number
  /** Sessions that this process knows to be newer in the cache than in the backend, after the deadline. */
  readonly left: number
  /** Destroys whose cache tombstone, or backend tombstone after a rejection, was still outstanding. */
  readonly destroysLeft: number
}

export interface CloseOptions {
  /** Within this `close` settles, in ms: whole, 0 to 2_147_483_647. @default 5_000 */
  readonly deadlineMs?: number
}

export interface PurgeSessionsOptions extends CallOptions {
  /** At most so many are removed one by one: whole, at least 1. Absent: all. What is dropped whole is, beyond it. */
  readonly limit?: number
  /**
   * How long a session is kept after it has expired in the backend, in ms: whole, 0 to ten years. Whether it is in use
   * by way of the cache is asked all the same, so that the grace is for what cannot be asked. A session of another
   * namespace is kept for a day at least, as it may be in another cache.
   * @default 86_400_000 (a day)
   */
  readonly graceMs?: number
  /** Called after each batch, with what was done so far. What it throws rejects the call. */
  readonly onProgress?: (soFar: PurgeReport) => void
}

export interface PurgeReport {
  /** Sessions and tombstones that were removed, those of months that were dropped whole among them. */
  readonly removed: number
  /** Sessions that had expired in the backend and live in the cache: they were extended. */
  readonly inUse: number
  /** Sessions that were left, as the cache that may have them could not be asked. */
  readonly unsure: number
  /**
   * There may be more to remove: the limit was reached, or more than a thousand sessions were `unsure`, or others kept
   * the rows locked.
   */
  readonly more: boolean
}

export interface ReadyOptions extends CallOptions {
  /** Within this `ready` settles, in ms: whole, 0 to 2_147_483_647. @default the store's `deadlineMs` */
  readonly deadlineMs?: number
}

/** Which page of a listing is wanted; see `list`. */
export interface ListSessionsOptions extends CallOptions {
  /** At most so many sessions: whole, 1 to 1_000. @default 100 */
  readonly limit?: number
  /** The `key` of the session behind which the page begins. Absent: the first page. */
  readonly after?: string
}

export interface StoreHealth {
  /** `down`: no session can be served. `degraded`: sessions are served, with one tier impaired. */
  readonly state: 'up' | 'degraded' | 'down'
  readonly cache: TierHealth
  readonly backend: TierHealth
}

/**
 * A session as a listing shows it: there is no way back from a key to an id. One that this program cannot read, as a
 * codec that it does not have has written it, has an `error` (`E_SESSION_FORMAT`) in place of its data.
 */
export type ListedData<Data> =
  | {
      readonly key: string
      readonly data: Data
      readonly userId: string | undefined
      readonly createdAt: EpochMs
      readonly expiresAt: EpochMs
      readonly error?: undefined
    }
  | {
      readonly key: string
      readonly data: undefined
      /** This and the moments are there as far as they can be read. */
      readonly userId: string | undefined
      readonly createdAt: EpochMs | undefined
      readonly expiresAt: EpochMs | undefined
      readonly error: SessionStoreError
    }

/**
 * Sessions for a cluster. Every call settles within its deadline, except `clear` and `purge`, which take as long as there
 * is something to do, and each of them can be given up before (`signal`). A session that is not there is `undefined`; a rejection means that the store could not know
 * (`E_SESSION_UNAVAILABLE`) or would not (`docs/errors.md` has each code). An id that is no string, empty or absurdly
 * long, or one of the keys that `list` gives, rejects with `E_INVALID_ID` before any I/O. After `close()` every call
 * that reads or changes sessions rejects with `E_CLOSED`; `health`, `stats` and `on` go on.
 */
export interface SessionStore<Data = Record<string, unknown>> {
  /**
   * A new session, durable when this resolves (unless `persistOn` says otherwise). A given id that is taken,
   * or was destroyed, rejects with `E_SESSION_CONFLICT` or `E_SESSION_DESTROYED`. One whose session has expired is free
   * again; what a handle of that session saves later is not stored.
   */
  create(data: Data, options?: CreateOptions): Promise<Session<Data>>

  /** The session, or `undefined` if there is none: unknown, expired or destroyed. */
  load(id: string, options?: LoadOptions): Promise<Session<Data> | undefined>

  /**
   * Stores what this request changed. Meets a change by another request with a merge by top-level key (or as
   * `conflict` says). Data equal to what was loaded is not a write; it counts as use, like `touch`. After it
   * resolves the handle holds the stored state and may be changed and saved again.
   *
   * Rejects with `E_SESSION_DESTROYED` if the session was destroyed or expired meanwhile, `E_SESSION_CONFLICT`
   * if the change could not be merged, `E_SESSION_UNKNOWN_OUTCOME` if it cannot be told whether it is in,
   * `E_SESSION_DATA` if the data cannot be stored.
   */
  save(session: Session<Data>, options?: SaveOptions): Promise<SaveReport>

  /**
   * Atomic load, change and save: `change` alters the data in place, or returns a new plain object, which is stored
   * instead. A promise is awaited. Whatever else it returns is ignored, and so is a part of the data, such as what `pop`
   * took out of it. `change` is called again on a fresh copy when another write came between, so it must have no other
   * effects. What it throws rejects the call and changes nothing. `undefined` if there is no such session.
   */
  update(id: string, change: (data: Data) => unknown, options?: WriteOptions): Promise<Session<Data> | undefined>

  /**
   * Extends the session without a write of its data. Cheap: the cache is only told when the last touch is
   * older than `touchIntervalMs`, the backend when its own is older than `touchBackendMs`. A session that is
   * gone is left gone, silently; so is a touch that lost a race.
   *
   * @param session a session of this store or, where the caller has only that, its id; that costs a read
   */
  touch(session: Session<Data> | string, options?: TouchOptions): Promise<void>

  /**
   * The same data under a new id, durable; the old id is destroyed. For logins and other changes of privilege.
   * Requests that still write to the old id are refused. Rejects with `E_SESSION_DESTROYED` if it is gone.
   *
   * @param session a session of this store, with what the request changed in it; or its id: then as it is stored
   */
  regenerate(session: Session<Data> | string, options?: CallOptions): Promise<Session<Data>>

  /**
   * Logs out: after it resolved, no request anywhere is served this session and no late save brings it back.
   * Destroying what is not there succeeds. Rejects if the backend could not be told; the store then goes on
   * trying, and the session is already gone from the cache where that was reachable.
   *
   * @param session its id, or a session of this store. What can be no id rejects with `E_INVALID_ID`: the `key` of a
   *   listed session, `undefined`, an empty text
   */
  destroy(session: Session<Data> | string, options?: DestroySessionOptions): Promise<DestroyReport>

  /**
   * Stores `data` under `id` whether or not it is there, over whatever stands: for frameworks that save
   * without having loaded. A destroyed session stays destroyed (`E_SESSION_DESTROYED`).
   */
  put(id: string, data: Data, options?: WriteOptions): Promise<Session<Data>>

  /**
   * A page of what the backend holds, which is as old as the last flush. The next page begins after the `key` of the last
   * one of this page. A page may hold fewer than `limit` (1 to 1_000, 100 where it is left out): it ends with about 8 MiB
   * of data, and earlier where the backend is slow. Only an empty page is the end. One that cannot be read makes no page
   * reject: it has an `error` in place of its data, and a `fault` event tells of it.
   *
   * Rejects with `E_CONFIG` if the backend cannot list, or `after` is no `key` of this namespace.
   */
  list(options?: ListSessionsOptions): Promise<readonly ListedData<Data>[]>

  /** How many live sessions the backend holds. Rejects with `E_CONFIG` if the backend cannot count. */
  count(options?: CallOptions): Promise<number>

  /**
   * Destroys every session of this namespace that the backend holds, one after the other, without reading their data.
   * Resolves with how many. It takes as long as that takes: the deadline is that of each of its steps. The first step that
   * fails rejects it, as do `close()` (`E_CLOSED`) and an aborted `signal`; what was destroyed until then is, and calling
   * it again goes on.
   */
  clear(options?: CallOptions): Promise<number>

  /**
   * Removes from the backend what nobody needs any longer: sessions that have expired, and tombstones whose time is over,
   * of all namespaces that share the table, the oldest first. A store does so by itself (`purgeEveryMs`); this is for a
   * job of one's own, or to wait for it.
   *
   * It works in batches of 500 with pauses between them, and takes as long as there is something to remove. Before a
   * session is removed the cache is asked about it, and one that lives there is extended. Where another process is
   * purging, it takes turns with that. Keeps the process alive until it has settled; may be called at any time and again.
   *
   * The first batch that fails rejects it, as do `close()` (`E_CLOSED`) and an aborted `signal`; what was removed until
   * then is, and calling it again goes on. Rejects with `E_CONFIG` where CouchDB has sessions that live longer than its
   * `absoluteTtlMs` says.
   */
  purge(options?: PurgeSessionsOptions): Promise<PurgeReport>

  /**
   * For the start of a process: resolves as soon as both tiers answer and the backend can be read, with what `health`
   * says then; a tier of several servers may be `degraded`. Asks again four times a second while one is down. The first
   * connections, and a backend's own migration, are made by then. Keeps the process alive until it has settled; may be
   * called at any time and again.
   *
   * Rejects with `E_SESSION_UNAVAILABLE` when a tier is still down after `deadlineMs`, naming it and what it said; at
   * once with `E_BACKEND_SCHEMA` where the backend's tables are missing or of another version, naming the cure; with
   * `E_CONFIG`, and after `close()` with `E_CLOSED`.
   */
  ready(options?: ReadyOptions): Promise<StoreHealth>

  /** Asks both tiers now. Never rejects. */
  health(): Promise<StoreHealth>

  stats(): StoreStats

  /** Listens; returns a function that stops listening. Throws `E_CONFIG` for the name of an event that does not exist. */
  on<Name extends StoreEventName>(name: Name, listener: (event: StoreEvents[Name]) => void): () => void

  /**
   * The end of this process's part in the sessions: refuses new calls, lets those under way end, flushes what this
   * process knows to be unflushed, tries again what fails for as long as there is time, closes both tiers, and
   * reports. Settles within the deadline, whatever the tiers do; what is left then is in the report, and an
   * `abandoned` event tells of it. Keeps the process alive until it has settled.
   *
   * Calling it again, also while the first call runs and with another deadline, gives the first call's report.
   * Rejects with `E_CONFIG` only.
   */
  close(options?: CloseOptions): Promise<CloseReport>

  /** `close()`, for `await using`. What it could not flush is told by the `abandoned` event alone. */
  [Symbol.asyncDispose](): Promise<void>
}
