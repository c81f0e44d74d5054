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
 * A session object belongs to the store that made it and to one request. It remembers the copy it was loaded from, so
 * that changes made meanwhile by others can be told from its own and merged.
 */
export interface Session<Data = Record<string, unknown>> {
  /** The public bearer token. It stands in no tier, log, event or error. */
  readonly id: string
  data: Data
  readonly createdAt: EpochMs
  /**
   * The last use that was written down before this request's own: as exact as `touchIntervalMs`. It moves when this
   * request touches or saves the session.
   */
  readonly seenAt: EpochMs
  /** When it ends unless it is used again, as known when it was loaded, saved or touched. */
  readonly expiresAt: EpochMs
  /** When it ends, used or not. */
  readonly absoluteExpiresAt: EpochMs
  /** How long it lives untouched. */
  readonly idleTtlMs: number
  /**
   * How many uses were written down that changed nothing. It is no count of requests but a lower bound: at most one use is
   * written down for each `touchIntervalMs`, none beside a change, and those since the last flush are lost with the
   * cache. With `touchIntervalMs: 0` it counts each `load` and `touch`, except one that met another write. At most
   * 2^32 - 1.
   */
  readonly reads: number
  /**
   * How many changes were accepted, the creation and a change of the idle time-out included, and without those that `nonstick
   * import` brought. Like the changes, those since the last flush are lost with the cache. At most 2^32 - 1.
   */
  readonly writes: number
  /** The application within the namespace, as `create` was given it; empty where none was named. */
  readonly app: string
  /** The network address of the client, as the last write knew it; `undefined` where nobody recorded one. */
  readonly address: string | undefined
  /** What the client calls itself, as the last write knew it; `undefined` where nobody recorded it. */
  readonly userAgent: string | undefined
}

/**
 * What is known of the client at the other end, to be recorded beside the data; for an adapter, which has the request.
 * Nothing is recorded unless a call is given this. Of each text 255 bytes of UTF-8 are kept, and U+FFFD stands for control
 * characters and halves of surrogate pairs. What is `undefined` or empty is not known, and is forgotten where it was
 * known before.
 *
 * Both are personal data: they stand in both tiers as they are, and in listings.
 */
export interface ClientInfo {
  readonly address?: string | undefined
  readonly userAgent?: string | undefined
}

/**
 * An idle time-out that a call gives to one session: in ms, whole, at least 1_000; no more than `absoluteTtlMs` counts.
 * The session keeps it, whatever the store's options say. `'default'` takes it back: from then on the session has the
 * idle time-out that the options say.
 */
export type GivenIdleTtl = number | 'default'

/** What every call can be told that may have to wait. */
export interface CallOptions {
  /**
   * Gives the call up, for instance as its visitor has gone. The call then rejects with `E_ABORTED`, whose `cause` is
   * the signal's reason. If the signal was aborted before the call began, nothing was done (`applied: 'no'` on a call
   * that changes something). If it is aborted later, no further step of the call begins; a change may be in then
   * (`applied: 'unknown'`), and a `destroy` that has begun is finished all the same. Aborted after the call has settled,
   * the signal does nothing. One signal may be given to any number of calls.
   */
  readonly signal?: AbortSignal | undefined
}

/** What a call by an id can be told of who asks. It matters where many ask the backend at once. */
export interface AskerOptions extends CallOptions {
  /**
   * Whether it is certain that this program has given out the id, as a signature has shown that comes with it: of a cookie,
   * say. Such a read of the backend goes before those of ids of which nobody knows. To be set by who has checked the
   * signature, and by nobody else.
   * @default false
   */
  readonly verified?: boolean | undefined
  /**
   * On whose behalf the id is asked for: the address of the client, say. Callers take turns at the backend, so that one of
   * them who asks for very many sessions keeps nobody else from his. 1 to 255 characters; it is stored nowhere.
   * @default the one caller of all calls that name none
   */
  readonly caller?: string | undefined
}

export interface CreateOptions extends CallOptions {
  /** An id of the caller's own making, 1 to 1024 characters. Default: one as `generateSessionId()` makes. */
  readonly id?: string | undefined
  /** @default 'default' */
  readonly idleTtlMs?: GivenIdleTtl | undefined
  /**
   * The application within the namespace to which the session belongs, for lists and counts: up to 64 letters, digits,
   * `_`, `.` and `-`. It stays that for good. @default the store's `app`
   */
  readonly app?: string | undefined
  /** What is to be recorded of the client. Absent: nothing. */
  readonly client?: ClientInfo | undefined
}

export interface LoadOptions extends AskerOptions {
  /**
   * Whether loading counts as use of the session and may extend it. The touch goes out beside the answer.
   * @default true
   */
  readonly touch?: boolean | undefined
}

/** What `update` and `put` can be told. Neither merges: `update` begins again on a fresh copy, `put` overwrites. */
export interface WriteOptions extends AskerOptions {
  /**
   * Resolve only when the backend has this session as it stands.
   * @default false
   */
  readonly durable?: boolean | undefined
  /** The session's idle time-out from now on. Default: its own where it has one, or what the store's options say. */
  readonly idleTtlMs?: GivenIdleTtl | undefined
  /**
   * What is to be recorded of the client from now on. It comes with what this call writes; a save that changes nothing
   * else writes nothing for it, and leaves it to the next save of the same session object. Absent: as it was.
   */
  readonly client?: ClientInfo | undefined
}

export interface SaveOptions extends WriteOptions {
  /**
   * Top-level keys that take no part in merging: this save's value stands, whatever others wrote. For what a
   * framework keeps beside the data, like cookie attributes.
   */
  readonly unmergedKeys?: readonly string[] | undefined
  /**
   * Keeps `session.data` as the request has it: others' changes that this save merges are stored, and do not come into
   * `data`. What the next save stores is then told from what `data` was at this one, so that it undoes nothing of
   * theirs. For frameworks whose requests go on with a session object of their own.
   * @default false
   */
  readonly isolated?: boolean | undefined
}

export interface SaveReport {
  /** `false`: the data is what was loaded, and nothing was written for it. */
  readonly changed: boolean
  /** Another request's change came between and was merged: `session.data` now holds both, unless `isolated`. */
  readonly merged: boolean
  /** Where the newest acknowledged copy stands. `cache`: losing the cache may cost this write. */
  readonly durability: 'cache' | 'backend'
}

export interface TouchOptions extends AskerOptions {
  /** The session's idle time-out from now on. Default: as it is. */
  readonly idleTtlMs?: GivenIdleTtl | undefined
}

export interface RegenerateOptions extends AskerOptions {
  /**
   * Whether the new session ends, used or not, when the old one would have. Otherwise its absolute lifetime begins anew,
   * as that of any session which begins with a login.
   * @default false
   */
  readonly keepDeadline?: boolean | undefined
  /**
   * The new id, of the caller's own making: 1 to 1024 characters, of which nobody else has heard yet. One that is taken, or
   * was destroyed, rejects with `E_SESSION_CONFLICT`, and the session stays under the old id. Default: one as
   * `generateSessionId()` makes.
   */
  readonly id?: string | undefined
  /** The session's idle time-out from now on. Default: as it is. */
  readonly idleTtlMs?: GivenIdleTtl | undefined
  /**
   * Keeps the `data` of the new session as the request has it, as the same option of `save` does: others' changes are
   * stored, and do not come into `data`.
   * @default false
   */
  readonly isolated?: boolean | undefined
  /** What is to be recorded of the client from now on. Absent: as it was. */
  readonly client?: ClientInfo | undefined
}

export interface DestroySessionOptions extends CallOptions {
  /**
   * The id was made by the caller a moment ago, and nobody else has heard of it, nor was a session stored under it: then
   * nothing is left of it where nothing stands, whereas otherwise a tombstone is kept for a while. A session that stands
   * there all the same is destroyed as ever.
   * @default false
   */
  readonly isNew?: boolean | undefined
  /** Who ends it, for the audit trail. @default 'request' */
  readonly by?: EndedBy | undefined
}

/** Who ends a session, as a call tells it: a request that has the session, its user from beside, or an operator. */
export type EndedBy = 'request' | 'user' | 'operator'

export interface DestroyByHandleOptions extends CallOptions {
  /** Who ends it, for the audit trail. @default 'user', who ends it from a list of his sessions */
  readonly by?: EndedBy | undefined
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
  readonly deadlineMs?: number | undefined
}

export interface PurgeSessionsOptions extends CallOptions {
  /** At most so many are removed one by one: whole, at least 1. Absent: all. What is dropped whole is, beyond it. */
  readonly limit?: number | undefined
  /**
   * How long a session is kept after it has expired in the backend, in ms: whole, 0 to ten years. Whether it is in use
   * by way of the cache is asked all the same, so that the grace is for what cannot be asked. A session of another
   * namespace is kept for a day at least, as it may be in another cache.
   * @default 86_400_000 (a day)
   */
  readonly graceMs?: number | undefined
  /** Called after each batch, with what was done so far. What it throws rejects the call. */
  readonly onProgress?: ((soFar: PurgeReport) => void) | undefined
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
  readonly deadlineMs?: number | undefined
}

export interface StoreHealth {
  /** `down`: no session can be served. `degraded`: sessions are served, with one tier impaired. */
  readonly state: 'up' | 'degraded' | 'down'
  readonly cache: TierHealth
  readonly backend: TierHealth
}

/** What is recorded of a session beside its data. */
export interface SessionFacts {
  /**
   * Which tier this is from. The backend's copy is as old as the session's last flush: it lacks changes of the last
   * `maxStaleMs`, and uses of the last `touchBackendMs`.
   */
  readonly from: 'cache' | 'backend'
  /** The application within the namespace; empty where none was named. */
  readonly app: string
  /** Whose session it is, as `identify` told; `undefined` for nobody's. */
  readonly userId: string | undefined
  readonly createdAt: EpochMs
  /** Since when it is that user's; `undefined` for nobody's. */
  readonly identifiedAt: EpochMs | undefined
  /** The last use that was written down: as exact as `touchIntervalMs`. */
  readonly seenAt: EpochMs
  /** When it ends unless it is used again. */
  readonly expiresAt: EpochMs
  /** When it ends, used or not. */
  readonly absoluteExpiresAt: EpochMs
  readonly idleTtlMs: number
  /** How many uses were written down that changed nothing: at most one for each `touchIntervalMs`. */
  readonly reads: number
  /** How many changes were acknowledged, the creation included. */
  readonly writes: number
  /** The network address of the client, where an adapter recorded it. */
  readonly address: string | undefined
  /** What the client calls itself, where an adapter recorded it. */
  readonly userAgent: string | undefined
}

/**
 * A session as a listing shows it. One that this program cannot read, as a codec that it does not have has written it, has
 * an `error` (`E_SESSION_FORMAT`) in place of its data, and its facts as far as they can be read.
 */
export type SessionInfo<Data = Record<string, unknown>> =
  | (SessionFacts & {
      /**
       * The name by which the session can be looked at (`inspect`) and ended (`destroyByHandle`). It is no id: nobody is let
       * in by it, and no id can be made of it.
       */
      readonly handle: string
      /** The same as `handle`, as the name by which a page begins (`after`). */
      readonly key: string
      /** `undefined` unless it was asked for. */
      readonly data: Data | undefined
      readonly error?: undefined
    })
  | (Partial<SessionFacts> & {
      readonly handle: string
      readonly key: string
      readonly data: undefined
      readonly error: SessionStoreError
    })

/** By how much a listing of the backend may be behind what the requests see, in ms. */
export interface Lag {
  /** A change, or a new user, of the last so many ms may be missing: the store's `maxStaleMs`. */
  readonly changesMs: number
  /** A use of the last so many ms may be missing: the store's `touchBackendMs`. */
  readonly usesMs: number
}

/** The sessions of a page, and what is known of the page besides. */
export type SessionPage<Data = Record<string, unknown>> = readonly SessionInfo<Data>[] & {
  /** Where the next page begins, to be given as `after`. `undefined`: nothing follows. */
  readonly next: string | undefined
  readonly lag: Lag
}

export interface CountOptions extends CallOptions {
  /** Only the sessions of this application; the empty text means those of none. @default all of the namespace */
  readonly app?: string | undefined
  /** Only those that were used in the last so many ms, as far as the backend was told. A number from 1 on. */
  readonly seenWithinMs?: number | undefined
}

export interface ListSessionsOptions extends CountOptions {
  /** 1 to 1_000. @default 100 */
  readonly limit?: number | undefined
  /** The `next` of the page before, or the handle of any session. @default the first page */
  readonly after?: string | undefined
  /** Whether the data is wanted as well. With `false`, no data is read. @default true */
  readonly data?: boolean | undefined
  /**
   * Whether each session is looked up in the cache, and shown as the cache has it where that can be asked: a question
   * to the cache for each. Sessions that have ended there are left out, and `seenWithinMs` goes by what the cache knows
   * of their use. What still lags is a session whose last change or use no backend was told of within `lag`, as the
   * process that owed it to the backend has died, or the backend was away. @default false
   */
  readonly newest?: boolean | undefined
}

export interface ActivityOptions extends CallOptions {
  readonly app?: string | undefined
  /** In ms, a number from 1 on: for instance 600_000 for the last ten minutes. */
  readonly withinMs: number
}

export interface Activity {
  readonly sessions: number
  /** How many different users these sessions have. */
  readonly users: number
  readonly lag: Lag
}

export interface ListByUserOptions extends CallOptions {
  /** Whether the data is wanted as well. @default false */
  readonly data?: boolean | undefined
}

export interface DestroyByUserOptions extends CallOptions {
  /** A session of the user that stays, for "log out all my other devices": its id, or a session of this store. */
  readonly except?: Pick<Session, 'id'> | string | undefined
  /** Who ends them, for the audit trail. @default 'user' */
  readonly by?: EndedBy | undefined
}

export interface DestroyAllOptions extends CallOptions {
  /** Only the sessions of this application; the empty text means those of none. @default all of the namespace */
  readonly app?: string | undefined
  /** Who ends them, for the audit trail. @default 'operator' */
  readonly by?: EndedBy | undefined
  /** Called after each batch, with how many were destroyed so far. What it throws rejects the call. */
  readonly onProgress?: ((progress: { readonly destroyed: number }) => void) | undefined
}

export interface DestroyManyReport {
  /** How many sessions were ended. */
  readonly destroyed: number
  /** As `DestroyReport` says it: `unreachable` where it is so for one of them. */
  readonly cache: 'tombstone' | 'unreachable'
}

/** What is stored of a user's sessions, for a request for one's data. It is plain data but for what the sessions hold. */
export interface UserExport<Data = Record<string, unknown>> {
  readonly userId: string
  readonly exportedAt: EpochMs
  readonly sessions: readonly SessionInfo<Data>[]
}

export interface SessionInspection<Data = Record<string, unknown>> {
  /** What each tier says. A `lease` is being filled, and `large` is kept in the backend alone. */
  readonly tiers: {
    readonly cache: 'live' | 'tombstone' | 'lease' | 'large' | 'missing' | 'unreachable'
    readonly backend: 'live' | 'destroyed' | 'absent' | 'unreachable'
  }
  /** How many changes the cache has that the backend has not. */
  readonly unflushed: number
  /** The newest copy: that of the cache, else that of the backend. `undefined` where the session has ended. */
  readonly session: SessionInfo<Data> | undefined
}

/**
 * Sessions for a cluster. Every call settles within its deadline, except those that go through many sessions, which take
 * as long as there are sessions, and each of them can be given up before (`signal`). A session that is not there is `undefined`; a rejection means that the store could not know
 * (`E_SESSION_UNAVAILABLE`) or would not (`docs/errors.md` has each code). An id that is no string, empty or absurdly
 * long, or a handle, rejects with `E_INVALID_ID` before any I/O. After `close()` every call
 * that reads or changes sessions rejects with `E_CLOSED`; `health`, `stats` and `on` go on.
 */
export interface SessionStore<Data = Record<string, unknown>> {
  /**
   * A new session, durable when this resolves (unless `persistOn` says otherwise). A given id that is taken,
   * or was destroyed, rejects with `E_SESSION_CONFLICT` or `E_SESSION_DESTROYED`. One whose session has expired is free
   * again; what a session object of that one saves later is not stored.
   *
   * The session's `data` is a copy of what is given, so that many sessions may begin with one object.
   */
  create(data: Data, options?: CreateOptions): Promise<Session<Data>>

  /** The session, or `undefined` if there is none: unknown, expired or destroyed. */
  load(id: string, options?: LoadOptions): Promise<Session<Data> | undefined>

  /**
   * Stores what this request changed. Meets a change by another request with a merge by top-level key (or as
   * `conflict` says). Data equal to what was loaded is not a write; it counts as use, like `touch`. After it
   * resolves the session object holds the stored state and may be changed and saved again.
   *
   * Rejects with `E_SESSION_DESTROYED` if the session was destroyed or expired meanwhile, `E_SESSION_CONFLICT`
   * if the change could not be merged, `E_SESSION_UNKNOWN_OUTCOME` if it cannot be told whether it is in,
   * `E_SESSION_DATA` if the data cannot be stored.
   */
  save(session: Session<Data>, options?: SaveOptions): Promise<SaveReport>

  /**
   * Atomic load, change and save: `change` alters the data in place, or returns a new plain object, which is stored
   * instead. A promise is awaited. Whatever else it returns is ignored, and so is a part of the data, such as what `pop`
   * took out of it. `change` is called again on a fresh copy when another write came between, or when it saw what another
   * update had made that was not stored in the end, so it must have no other effects. What it throws rejects the call and
   * changes nothing. `undefined` if there is no such session.
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
  regenerate(session: Session<Data> | string, options?: RegenerateOptions): Promise<Session<Data>>

  /**
   * Logs out: after it resolved, no request anywhere is served this session and no late save brings it back.
   * Destroying what is not there succeeds. Rejects if the backend could not be told; the store then goes on
   * trying, and the session is already gone from the cache where that was reachable.
   *
   * @param session its id, or a session of this store. What can be no id rejects with `E_INVALID_ID`: a handle,
   *   `undefined`, an empty text
   */
  destroy(session: Session<Data> | string, options?: DestroySessionOptions): Promise<DestroyReport>

  /**
   * Stores `data` under `id` whether or not it is there, over whatever stands: for frameworks that save
   * without having loaded. A destroyed session stays destroyed (`E_SESSION_DESTROYED`).
   */
  put(id: string, data: Data, options?: WriteOptions): Promise<Session<Data>>

  /**
   * A page of what the backend holds, which lags as `lag` says. A page may hold
   * fewer than `limit`, or none, although more follow: it ends with about 8 MiB of data, and earlier where the backend is
   * slow. Where `next` is `undefined`, nothing follows. One session that cannot be read makes no page reject: it has an
   * `error`, and a `fault` event tells of it.
   *
   * Rejects with `E_CONFIG` if the backend cannot list, or `after` is no handle.
   */
  list(options?: ListSessionsOptions): Promise<SessionPage<Data>>

  /** How many live sessions the backend holds. Lags like `list`. Rejects with `E_CONFIG` if the backend cannot count. */
  count(options?: CountOptions): Promise<number>

  /** How many sessions were in use lately, and of how many users. Lags like `list`. */
  activity(options: ActivityOptions): Promise<Activity>

  /**
   * Destroys every session of this namespace, or of one application, that the backend holds, in batches and without
   * reading their data. It takes as long as that takes: the deadline is that of each of its steps. The first step that
   * fails rejects it, as do `close()` (`E_CLOSED`) and an aborted `signal`; what was destroyed until then is, and calling
   * it again goes on.
   */
  destroyAll(options?: DestroyAllOptions): Promise<DestroyManyReport>

  /** `destroyAll` of the whole namespace, for who wants to know only how many sessions were ended. */
  clear(options?: CallOptions): Promise<number>

  /**
   * The live sessions of a user, the newest state of each from the cache where that can be asked. Those that became the
   * user's before the call are all among them. It asks for a page at a time, each within the deadline.
   *
   * The iterator throws `E_SESSION_UNAVAILABLE` if the backend cannot be asked, and `E_CONFIG` if it knows of no users.
   */
  listByUser(userId: string, options?: ListByUserOptions): AsyncIterableIterator<SessionInfo<Data>>

  /** How many live sessions a user has in the backend. */
  countByUser(userId: string, options?: CallOptions): Promise<number>

  /**
   * Logs a user out everywhere. After it resolved, no session that was the user's before the call is served by any
   * process, under whatever id. A login that runs at the same time either ends as well, or counts as one that came after
   * the call and stays. `except` stays logged in.
   *
   * It takes as long as the user has sessions: the deadline is that of each of its steps. Where it rejects, the sessions
   * that were ended are, and calling it again goes on. Needs `identify`.
   */
  destroyByUser(userId: string, options?: DestroyByUserOptions): Promise<DestroyManyReport>

  /** All that is stored of a user's sessions, their data included. */
  exportByUser(userId: string, options?: CallOptions): Promise<UserExport<Data>>

  /**
   * The handle of a session, by which it can be found in a listing: without asking anybody, and also where no such session
   * stands. Throws `E_INVALID_ID` for what can be no id.
   */
  handleOf(session: Session<Data> | string): string

  /**
   * What both tiers have of a session; `undefined` where neither has anything. A look is no use of the session. Rejects
   * with `E_INVALID_ID` for what is no handle, and with `E_SESSION_UNAVAILABLE` where neither tier can be asked.
   */
  inspect(handle: string, options?: ListByUserOptions): Promise<SessionInspection<Data> | undefined>

  /** `destroy`, by a handle. Rejects with `E_INVALID_ID` for what is no handle. */
  destroyByHandle(handle: string, options?: DestroyByHandleOptions): Promise<DestroyReport>

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
