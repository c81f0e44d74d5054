import { invalidOption, type SessionStoreError } from '../errors.js'
import type { TierHealth } from './health.js'
import type { CacheKey, Locator } from './locator.js'
import type { EpochMs } from './time.js'

/** Sixteen hexadecimal digits, in lower case: the random name of one life of a session in the cache. */
export type Lineage = string

/** Sixteen hexadecimal digits, in lower case: the random name of one write. */
export type WriteId = string

/** The lineage of nothing: what stands where no copy is in the backend yet. */
export const NO_LINEAGE: Lineage = '0000000000000000'

/** How many write ids an envelope and a row remember. */
export const WRITE_ID_RING_SIZE = 8

/**
 * The backend's own proof of having seen a copy (CouchDB's `_rev`), at most 64 bytes; empty where the backend
 * needs none. It travels in the envelope, so that a flush needs no read first.
 */
export type BackendToken = Uint8Array

/** Everything a backend keeps of a live session. */
export interface StoredSession {
  readonly lineage: Lineage
  /** A positive integer below 2^48; strictly grows while the session lives, whatever the lineage. */
  readonly version: number
  /** Newest last, at most `WRITE_ID_RING_SIZE`. */
  readonly writeIds: readonly WriteId[]
  /** The codec that wrote `data`. */
  readonly codecId: number
  readonly data: Uint8Array
  /** The application within the namespace that the session belongs to; empty where none was named. */
  readonly app: string
  /** Whose session it is, as `identify` told; `undefined` for an anonymous one. */
  readonly userId: string | undefined
  /**
   * The epoch of the user when the session became his; 0 where no user is known. The session has ended once the user's
   * record has a higher one.
   */
  readonly userEpoch: number
  /** When the session became that user's; 0 where no user is known. */
  readonly identifiedAt: EpochMs
  /** The network address of the client, as an adapter gave it; `undefined` where none did. */
  readonly address: string | undefined
  /** What the client calls itself, as an adapter gave it; `undefined` where none did. */
  readonly userAgent: string | undefined
  /** How many touches there were, which is roughly the number of uses that changed nothing. At most 2^32 - 1. */
  readonly reads: number
  /** How many writes were accepted, the first included. At most 2^32 - 1. */
  readonly writes: number
  readonly createdAt: EpochMs
  /** When the session was last known to be used. */
  readonly seenAt: EpochMs
  /** When it ends unless it is used. The store judges it; a backend only keeps it, and purges by it after a grace. */
  readonly expiresAt: EpochMs
  /** When it ends, used or not. */
  readonly absoluteExpiresAt: EpochMs
  readonly idleTtlMs: number
  /**
   * Whether a call gave the session this idle time-out. If not, it has the one that the options of the store say, and a
   * store whose options have changed since does not go by `idleTtlMs`.
   */
  readonly hasOwnIdleTtl: boolean
  /**
   * By what the audit trail goes on naming a session that was given a new id: a number from 1 to 2^48 - 1, made of the key
   * that it had first. Absent where it still stands under that key.
   */
  readonly origin?: number
}

/** What stands in the backend, without its data. */
export type BackendState =
  | { readonly state: 'absent' }
  | { readonly state: 'destroyed' }
  | {
      readonly state: 'live'
      readonly lineage: Lineage
      readonly version: number
      readonly writeIds: readonly WriteId[]
      readonly token: BackendToken
    }

/** What stands in the backend. `destroyed` is a tombstone: the session was there and must not come back. */
export type BackendCopy =
  | { readonly state: 'absent' }
  | { readonly state: 'destroyed' }
  | {
      readonly state: 'live'
      readonly session: StoredSession
      readonly token: BackendToken
      /**
       * The epoch of the session's user by now, not read before the session itself was. Absent where the session has no
       * user, or the backend knows of no users. If it is higher than `session.userEpoch`, the session has ended.
       */
      readonly currentEpoch?: number
    }

/**
 * Which copy an update may replace: an older version of one lineage, or exactly one version of another.
 * `guardAdmits` says it in code; a backend says it in its own language, in the same atomic step as the write.
 */
export interface Guard {
  readonly lineage: Lineage
  /** A copy of `lineage` is admitted when its version is smaller than this. */
  readonly belowVersion: number
  readonly parentLineage: Lineage
  /** A copy of `parentLineage` is admitted when its version is exactly this. */
  readonly parentVersion: number
}

/** The guard's meaning. A tombstone and an absent session are never admitted. */
export const guardAdmits = (guard: Guard, row: { readonly lineage: Lineage; readonly version: number }): boolean =>
  (row.lineage === guard.lineage && row.version < guard.belowVersion) ||
  (row.lineage === guard.parentLineage && row.version === guard.parentVersion)

/**
 * What an update makes of the copy that stands there. It replaces all of it but the moment of the last use, which never
 * goes back, and the deadline, which only comes closer where the idle time-out has changed: another process, which went
 * round the cache, may have extended the session, and whoever flushes does not know of that.
 */
export const replacing = (
  standing: Pick<StoredSession, 'seenAt' | 'expiresAt' | 'idleTtlMs'>,
  session: StoredSession,
): StoredSession => ({
  ...session,
  seenAt: Math.max(standing.seenAt, session.seenAt),
  expiresAt:
    standing.idleTtlMs === session.idleTtlMs ? Math.max(standing.expiresAt, session.expiresAt) : session.expiresAt,
})

export interface GuardedUpdate {
  readonly locator: Locator
  readonly guard: Guard
  /** Replaces the copy, as `replacing` says. */
  readonly session: StoredSession
  /**
   * The token of the copy the guard expects, where the caller knows it; empty otherwise. It saves a look, and never
   * opens what the guard does not.
   */
  readonly token: BackendToken
}

export type UpdateOutcome =
  | { readonly outcome: 'applied'; readonly token: BackendToken }
  /** The guard did not admit what stands there, and this is what stands there. Nothing was changed. */
  | { readonly outcome: 'refused'; readonly row: BackendState }
  /** This entry could not be written, for a reason of its own; `error.applied` says what is known. */
  | { readonly outcome: 'failed'; readonly error: SessionStoreError }

export type InsertOutcome =
  | { readonly outcome: 'inserted'; readonly token: BackendToken }
  /** A live session or a tombstone stands there, and was left as it is. */
  | { readonly outcome: 'exists'; readonly row: BackendState }
  /** It arrived after `notAfter`, by the backend's clock. Nothing was changed. */
  | { readonly outcome: 'too-late' }

export interface InsertOptions {
  /**
   * The insert counts only until this moment. It keeps a late insert from outliving the tombstone that forbids it.
   * Absent: no bound.
   */
  readonly notAfter?: EpochMs

  /** A copy whose place it takes. Absent: it takes nobody's. */
  readonly over?: Ended
}

/** One copy of a session, which has expired: what a new session under the same id may take the place of. */
export interface Ended {
  readonly lineage: Lineage
  readonly version: number
  /** Only if its `expiresAt` is not after this moment as it stands: it may have been extended since it was seen. */
  readonly endedBy: EpochMs
}

export interface Extension {
  readonly locator: Locator
  readonly seenAt: EpochMs
  readonly expiresAt: EpochMs
}

export type ExtendOutcome =
  | { readonly outcome: 'extended' }
  | { readonly outcome: 'destroyed' }
  | { readonly outcome: 'absent' }
  | { readonly outcome: 'failed'; readonly error: SessionStoreError }

export interface DestroyOptions {
  /** The random name of this destruction: kept in the tombstone, so that whoever asks again finds its own. */
  readonly writeId: WriteId
  /** When it was destroyed. */
  readonly at: EpochMs
  /** The tombstone is kept at least this long, and purged some time after. */
  readonly keepUntil: EpochMs
  /**
   * In place of `keepUntil`, where no session stands: how long a tombstone is kept there at least. If it is not after
   * `at`, none is put there.
   */
  readonly keepUntilIfAbsent?: EpochMs
  /** Only if the live copy is exactly this one; without it, whatever is there, or is not. */
  readonly only?: { readonly lineage: Lineage; readonly version: number }
}

export type DestroyOutcome =
  /** The tombstone that stands there is this one, also where it was put there by an earlier asking. */
  | 'destroyed'
  /** Another's tombstone stood there, and was left but for being kept as long as this one asks. */
  | 'already-destroyed'
  /** Nothing stood there, and nothing was put there, as `keepUntilIfAbsent` said. */
  | 'absent'
  /** `only` did not fit what stands there (another copy, or nothing). Nothing was changed. */
  | 'refused'

export interface PurgeOptions {
  readonly now: EpochMs
  /** At most this many are removed one by one by one call: a positive integer. What can be dropped whole is, beyond it. */
  readonly limit: number
  /**
   * How long a session is kept after its `expiresAt`, in milliseconds: 0 or more. While the backend was away nobody
   * could tell it of the use of a session, so a session that has expired here may be in use by way of the cache. An
   * outage that lasts longer than a session's idle time-out and this together, with a purge right after it, ends
   * sessions that are in use. A session whose `absoluteExpiresAt` has passed can be in use nowhere, and needs no such
   * time. @default 86_400_000 (a day)
   */
  readonly graceMs?: number
  /**
   * Asked once at most in a call, before anything is removed one by one: which of these sessions live on, though they
   * have expired here? Those that it names are left. So is every other that is extended, replaced or destroyed between
   * the question and its removal. It is not asked about tombstones, nor about what can be in use nowhere; if nothing else
   * is left, it is not asked at all. Where it rejects, the call does so with the same error, and removes none of them.
   * Absent: none lives on.
   */
  readonly livesOn?: (keys: readonly CacheKey[]) => Promise<ReadonlySet<CacheKey>>
  /**
   * So many of the oldest sessions are known to live on, or not known to have ended: the call looks at that many beyond
   * `limit`, and removes no more for it. Without this, a call that may look at nothing else would remove nothing for as
   * long as they stand. @default 0
   */
  readonly knownToStay?: number
}

const DEFAULT_PURGE_GRACE_MS = 86_400_000

/**
 * The grace of a purge, for backends: what was asked for, or a day.
 *
 * @throws SessionStoreError `E_CONFIG` for anything but a number from 0 on
 */
export const purgeGraceOf = (graceMs: number = DEFAULT_PURGE_GRACE_MS): number => {
  if (Number.isFinite(graceMs) && graceMs >= 0) return graceMs
  throw invalidOption('graceMs', 'a number of milliseconds, 0 or more', graceMs)
}

export interface PurgeOutcome {
  /** How many, those that were dropped whole among them. */
  readonly removed: number
  /** As many were found as the call was to look at, or another was purging; there may be more. */
  readonly more: boolean
  /**
   * Another call, of this process or another, was purging at this moment. So nothing was removed one by one. Absent: the
   * turn was this call's.
   */
  readonly isBusy?: true
}

/** Of which moment, and with which grace, a purge is foreseen. */
export type PurgeForecastOptions = Pick<PurgeOptions, 'now' | 'graceMs'>

/** What a purge would do with one part of what a backend keeps. */
export interface PurgeForecast {
  /** Sessions and tombstones that would be removed, as far as they are worth counting. */
  readonly removable: number
}

/** A backend that can say what a purge would do, without doing it. */
export interface ForeseesPurge {
  /** What `purge` would do, until nothing is left to do. Nothing is changed. */
  planPurge(options: PurgeForecastOptions): Promise<readonly PurgeForecast[]>
}

export const foreseesPurge = (backend: Backend): backend is Backend & ForeseesPurge =>
  typeof (backend as Partial<ForeseesPurge>).planPurge === 'function'

/**
 * The tier that must not forget: consulted on every cache miss, written every N-th time.
 *
 * It translates and never decides. Each call settles within a deadline of the backend's own. A call rejects
 * when the backend could not be asked or did not answer (`E_SESSION_UNAVAILABLE`, with `tier`, `operation`
 * and for a change `applied`), or when its tables are missing (`E_BACKEND_SCHEMA`, the message naming the
 * command that makes them). What is not there is a value. What was acknowledged is committed to stable storage
 * and is what any later call sees. Each of `insert`, `destroy` and one entry of `update` or `extend` is one
 * atomic step; sending one again after a lost answer is safe, and the answer then tells what stands. A backend
 * itself sends neither `insert` nor `update` again: the store must know what was sent twice.
 *
 * Every implementation passes `backendContract` from `nonstick/testing`.
 */
export interface Backend {
  /** Lower-case, for errors, metrics and test titles: 'postgres'. */
  readonly name: string

  /** The copy that stands there, expired or not: the store judges expiry. */
  read(locator: Locator): Promise<BackendCopy>

  /**
   * Creates a session where nothing stands, tombstones included; or in the place of exactly the copy that `over` names,
   * if that has ended. Sent again, it finds itself.
   */
  insert(locator: Locator, session: StoredSession, options?: InsertOptions): Promise<InsertOutcome>

  /**
   * Replaces copies under their guards; never creates one. One outcome per entry, in the order given; a bad
   * entry does not disturb its neighbours. The entries' keys are distinct (the caller sees to it). An empty
   * list resolves to an empty list without I/O. Rejects only if no entry could be tried.
   */
  update(entries: readonly GuardedUpdate[]): Promise<readonly UpdateOutcome[]>

  /** Moves `seenAt` and `expiresAt` forward, never back, leaving all else. Answers like `update`. */
  extend(entries: readonly Extension[]): Promise<readonly ExtendOutcome[]>

  /** Puts a tombstone there, also where nothing was, unless `only` forbids it. Data is erased at once. */
  destroy(locator: Locator, options: DestroyOptions): Promise<DestroyOutcome>

  /**
   * Removes tombstones whose `keepUntil` has passed, and sessions whose `expiresAt` has passed by `graceMs`, oldest
   * first. A backend may remove a session as soon as both `expiresAt` and `absoluteExpiresAt` have passed, and may keep
   * a tombstone for `graceMs` as well. It never removes a session that lives: one that drops many at once rejects with
   * `E_CONFIG`, naming how many live among them, once it has done all else. Rejects with `E_CONFIG` for a `graceMs`
   * that is no number from 0 on.
   *
   * What was looked at is removed only if it has still ended then, so that any number of purges at once remove each
   * session once, and none that was extended meanwhile. Where several processes share the backend, it sees to it that one
   * of them purges at a time; the others are told so, and do not wait (`isBusy`). A process that dies over it must not
   * keep the others from purging for more than a few minutes.
   */
  purge(options: PurgeOptions): Promise<PurgeOutcome>

  /** Creates what the backend needs and lacks. May run twice, and in several processes at once. */
  setUp(): Promise<void>

  /** Resolves also when the backend is down. */
  health(): Promise<TierHealth>

  /** Releases what this backend opened itself. Twice is fine; calls after it reject with `E_CLOSED`. */
  close(): Promise<void>
}

/** Which sessions of a namespace are meant: those that live and have not expired at `now`, and fit all that is given. */
export interface Which {
  readonly namespace: string
  readonly now: EpochMs
  /** Only those of this application; the empty text means those of none. */
  readonly app?: string
  /** Only those of this user. */
  readonly userId?: string
  /** Only those whose `seenAt` is not before this moment. */
  readonly seenSince?: EpochMs
}

/** Which part of these sessions is wanted. */
export interface KeyListOptions extends Which {
  /** At most this many: a positive integer. */
  readonly limit: number
  /** Where the page before ended, its `next`, or any other key of this namespace. Absent for the first page. */
  readonly after?: CacheKey
}

export interface ListOptions extends KeyListOptions {
  /** Whether the data is wanted. Without it, the backend does not read the data, and gives none (no bytes). */
  readonly withData: boolean
  /**
   * The page ends before the session whose data would make it more than this many bytes of data: a positive number. It
   * holds one session all the same, however large that is. It has no meaning where no data is wanted.
   */
  readonly maxBytes: number
}

/**
 * A part of a listing, in the order of the backend. It may hold fewer entries than were asked for, or none, although more
 * follow: large sessions end a page, and so do many tombstones in a row.
 */
export interface Page<Entry> {
  readonly entries: readonly Entry[]
  /** Where the next page begins, to be given as `after`. `undefined`: nothing follows. */
  readonly next: CacheKey | undefined
}

export type ListedSession =
  | { readonly locator: Locator; readonly session: StoredSession }
  /** What stands there is a session that this program cannot read; a newer one wrote it, perhaps. */
  | { readonly locator: Locator; readonly unreadable: SessionStoreError }

/**
 * A backend that can tell what it holds. The cache cannot; so a listing is as old as the last flush.
 *
 * A listing goes from page to page: each call does a bounded piece of work, and the next one begins where it ended, however
 * many tombstones stand before that. What was there before a call began it finds, also where that is written to meanwhile:
 * a session that a listing passes over survives when its user is logged out everywhere. Both listings reject with `E_CONFIG`, before anything is asked, where `after` is no
 * key of the namespace (`assertCursor`). The locators name the session where it stands: also its birth month, for a backend
 * that needs it.
 */
export interface Enumerable {
  /** The sessions, in an order that is stable from page to page. */
  list(options: ListOptions): Promise<Page<ListedSession>>

  /** Where they stand alone, in the same order. One may be among them that has ended meanwhile. */
  listKeys(options: KeyListOptions): Promise<Page<Locator>>

  /** How many `list` would give in all. */
  count(which: Which): Promise<number>

  /** How many different users these sessions have. Sessions of nobody do not count. */
  countUsers(which: Which): Promise<number>
}

export const canEnumerate = (backend: Backend): backend is Backend & Enumerable =>
  hasMethods<Enumerable>(backend, ['list', 'listKeys', 'count', 'countUsers'])

/** A user of one namespace, as `identify` names him. */
export interface UserLocator {
  readonly namespace: string
  readonly userId: string
}

/** A place among the sessions that a user may have at once. */
export interface Seat {
  readonly locator: Locator
  /** When it was taken. */
  readonly takenAt: EpochMs
}

/** What a backend keeps of a user beside his sessions. It outlives them, and is never purged. */
export interface UserRecord {
  /** Raised by one each time the user is logged out everywhere; 0 at first. Below 2^31. */
  readonly epoch: number
  /** Who has a place, the oldest first; `undefined` where nobody has ever counted. At most `MOST_SEATS`. */
  readonly seats: readonly Seat[] | undefined
}

/** How many seats a record can have: one more than a user may have sessions, for one that is getting a new id. */
export const MOST_SEATS = 1_001

/** What stands there of a user whom nobody has written a record for. */
export const NO_RECORD: UserRecord = { epoch: 0, seats: undefined }

/** Which version of a record somebody has seen; the empty one for a record that is not there. */
export type RecordToken = string

/**
 * A backend that keeps a record of each user. It keeps what it acknowledged, like a session, and a `read` of it is what
 * was written last; `read` of a session tells the epoch of its user in `currentEpoch`.
 */
export interface KnowsUsers {
  /** The record, or `NO_RECORD` and the empty token. */
  readUser(user: UserLocator): Promise<{ readonly record: UserRecord; readonly token: RecordToken }>

  /**
   * Replaces the record if the version that `token` names still stands there; the empty one: if none does. One atomic
   * step. `changed` means that another version stands there, and nothing was written. Where the answer was lost, what is
   * sent again is told `changed`; what stands then tells.
   */
  writeUser(user: UserLocator, record: UserRecord, token: RecordToken): Promise<'written' | 'changed'>
}

export const knowsUsers = (backend: Backend): backend is Backend & KnowsUsers =>
  hasMethods<KnowsUsers>(backend, ['readUser', 'writeUser'])

const hasMethods = <Capability>(backend: Backend, names: readonly (keyof Capability)[]): boolean =>
  names.every((name) => typeof (backend as Backend & Partial<Capability>)[name] === 'function')

/** The base64url of 32 bytes, in the one spelling that encoding gives. */
const HASH = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/**
 * Refuses what is no key of the namespace, for backends and for whoever asks them: a key of another one would show its
 * sessions, or pass all of this one over. `undefined` is the beginning, and fine.
 *
 * @throws SessionStoreError `E_CONFIG`, without the text of the cursor
 */
export const assertCursor = ({ namespace, after }: { readonly namespace: string; readonly after?: unknown }): void => {
  if (after === undefined) return
  const prefix = `${namespace}:`
  if (typeof after !== 'string' || !after.startsWith(prefix) || !HASH.test(after.slice(prefix.length)))
    throw invalidOption('after', 'a `key` of this namespace, as a page before gave it', after, { secret: true })
}
