import { type Backend, canEnumerate, knowsUsers, MOST_SEATS } from '../contract/backend.js'
import type { Codec } from '../contract/codec.js'
import type { FrontCache } from '../contract/front-cache.js'
import type { LegacyStore } from '../contract/legacy.js'
import type { Runtime } from '../contract/time.js'
import { areOptions, SessionStoreError } from '../errors.js'
import type { FlushPolicy, PersistOn } from '../session/decisions.js'
import { LEAST_IDLE_TTL_MS, type LifeTimings, LONGEST_UNKNOWN_ID_MS } from '../session/expiry.js'
import { APP, NAMESPACE } from '../session/key.js'
import type { OnTooManySessions, SeatLimit } from '../session/seats.js'
import {
  aFunction,
  aRuntime,
  type Bound,
  checkedOption,
  checkOptions,
  having,
  type Kind,
  type Kinds,
  kindOf,
  milliseconds,
  oneOf,
  secret,
  trueOrFalse,
  whole,
} from '../tools/options.js'
import { type ConflictPolicy, conflictKind, conflictOf } from './conflict.js'
import { aKey, type SealingKey, type SealingOptions } from './sealing.js'

/** The options of a store, as its user types them. */
export interface StoreOptions<Data> {
  /** The cache in front. By default, where `backend` is left out too, an embedded one in this process only. */
  readonly cache?: FrontCache | undefined

  /** The tier that must not forget. By default, where `cache` is left out too, an embedded one in this process only. */
  readonly backend?: Backend | undefined

  /** Lets the embedded default start under `NODE_ENV=production`. @default false */
  readonly allowEmbedded?: boolean | undefined

  /**
   * The codec that makes bytes of the data. What the other codecs of this library wrote can be read as well.
   * @default msgpack
   */
  readonly codec?: Codec | undefined

  /**
   * The name that keeps applications apart which share the tiers: 1 to 64 letters, digits, `_`, `.` and `-`.
   * @default 'nonstick'
   */
  readonly namespace?: string | undefined

  /**
   * The application within the namespace to which the sessions belong that this store creates: up to 64 letters, digits,
   * `_`, `.` and `-`. Applications of one namespace share their sessions; `list`, `count`, `activity` and `destroyAll`
   * can be asked for those of one. @default '', none
   */
  readonly app?: string | undefined

  /**
   * How far the backend may fall behind: it is written on every n-th change of a session. Losing the cache can cost up
   * to n - 1 acknowledged changes of each session. With 1 each change is written through. 1 to 1_000_000.
   * @default 10
   */
  readonly maxStaleCount?: number | undefined

  /**
   * How long a change may stand in the cache only, while the process that made it lives. In ms, at least 100.
   * @default 60_000
   */
  readonly maxStaleMs?: number | undefined

  /**
   * How long a session lives that nobody uses, in ms, at least 1_000. A function tells it of the data, at each write; for
   * a session for which it returns `undefined`, the default counts. It must be quick, and go by the data alone. A call
   * that gives a session an idle time-out of its own goes before this option.
   * @default 86_400_000 (one day), or `absoluteTtlMs` where that is shorter and this is a function
   */
  readonly idleTtlMs?: number | ((data: Data) => number | undefined) | undefined

  /**
   * How long a session lives that nobody uses as long as it is nobody's, as `identify` tells; in ms, from 1_000 to
   * `absoluteTtlMs`. It goes before `idleTtlMs`, but not before what a function there returns. Absent: as long as any
   * other.
   */
  readonly anonymousTtlMs?: number | undefined

  /**
   * How long a session lives at most, used or not, in ms, at least `idleTtlMs`. It is counted from the creation of the
   * session, and no use and no write moves it. Where it was made shorter, that holds for the sessions that exist, too.
   * @default 2_592_000_000 (30 days)
   */
  readonly absoluteTtlMs?: number | undefined

  /**
   * How often a session in use is touched in the cache, in ms. The idle time-out is lengthened by it, so that a use
   * that was not written down shortens no session's life. For a session with a shorter idle time-out of its own it
   * shrinks in proportion.
   * @default a hundredth of `idleTtlMs`
   */
  readonly touchIntervalMs?: number | undefined

  /**
   * How often a session in use is touched in the backend, in ms, at least `touchIntervalMs`. After the cache was lost,
   * an idle session may live that much longer. It shrinks in the same way as `touchIntervalMs`.
   * @default a tenth of `idleTtlMs`
   */
  readonly touchBackendMs?: number | undefined

  /**
   * When a new session reaches the backend: at once (`create`), when a user is known (`identify`), or with its
   * `maxStaleCount`-th change or `maxStaleMs` after its second (`due`). The latter two keep robots and passing visitors
   * out of the backend; until then losing the cache loses the session.
   * @default 'create'
   */
  readonly persistOn?: PersistOn | undefined

  /**
   * Says whose session it is: returns a user id, or nothing for an anonymous session. A change of user is written
   * through at once and is never merged. The function must be quick, and read only what it needs.
   */
  readonly identify?: ((data: Data) => string | number | undefined | null) | undefined

  /** Called with the data before every save. It may change the data in place, or return what to store instead. */
  readonly beforeSave?: ((data: Data) => Data | undefined) | undefined

  /** What becomes of the changes of two requests that saved one session. @default 'merge' */
  readonly conflict?: ConflictPolicy<Data> | undefined

  /**
   * What happens when a change is due in the backend and the backend is down. `serve` acknowledges it as standing in
   * the cache only, and tries again; `reject` rejects the save. What must be durable (creation, change of user,
   * destroy) always rejects.
   * @default 'serve'
   */
  readonly onBackendDown?: 'serve' | 'reject' | undefined

  /**
   * What happens when a session was destroyed in the backend and the cache cannot be told. `acknowledge` resolves with
   * `{ cache: 'unreachable' }`; `reject` rejects. Either way the store goes on trying.
   * @default 'acknowledge'
   */
  readonly onCacheUnreachable?: 'acknowledge' | 'reject' | undefined

  /**
   * How often this process removes from the backend what nobody needs any longer, in ms, give or take a half: 0, or
   * 1_000 to ten years. 0: never by itself; then something else has to call `purge`. The first time is that long after
   * the first call of the store.
   * @default 3_600_000 (an hour)
   */
  readonly purgeEveryMs?: number | undefined

  /**
   * The time after which every call settles, in ms, at least `backendTimeoutMs`. `clear` and `purge` take as long as
   * there is something to do.
   * @default 10_000
   */
  readonly deadlineMs?: number | undefined

  /**
   * The time after which a call to the cache is given up, in ms. The cache's own deadline is usually shorter.
   * @default 2_000
   */
  readonly cacheTimeoutMs?: number | undefined

  /**
   * The time after which a call to the backend is given up, in ms. The backend's own deadline is usually shorter.
   * @default 3_000
   */
  readonly backendTimeoutMs?: number | undefined

  /**
   * After this many calls in a row that a server (of the cache, or the backend) did not answer, the server is left
   * alone: calls fail at once, and one at a time shows whether it is back. 1 to 1_000_000.
   * @default 5
   */
  readonly breakerFailures?: number | undefined

  /** How long a cache server is left alone, give or take a half, before one call tries it, in ms. @default 50 */
  readonly cacheRetryMs?: number | undefined

  /** How long the backend is left alone, give or take a half, before one call tries it, in ms. @default 500 */
  readonly backendRetryMs?: number | undefined

  /** How long a reader has to fill the cache before others take over, in ms, more than `backendTimeoutMs`. @default 5_000 */
  readonly leaseMs?: number | undefined

  /** How long a reader waits for another's fill before it reads the backend for itself, in ms. @default 1_000 */
  readonly leaseWaitMs?: number | undefined

  /**
   * How large the data of a session may be as its codec writes it, in bytes, 1_024 to 1_073_741_824. Larger data is
   * refused with `E_SESSION_TOO_LARGE`, and what stood there stands. A session that is larger than the cache takes
   * (about a megabyte) is kept in the backend alone, and each read of it is a read of the backend.
   * @default 4_194_304
   */
  readonly maxSessionBytes?: number | undefined

  /**
   * How many values the data of a session may hold, 100 to 1_000_000: the values of properties, elements, members of a
   * Set, and keys and values of a Map, at whatever depth. Data with more is refused with `E_SESSION_TOO_LARGE`, and what
   * stood there stands. It bounds for how long a load or a save can keep the event loop of the process, which every
   * visitor waits for. A session that holds more already, as another process stored it, can be loaded, and is refused at
   * the next save that leaves it so. A codec of one's own need not count.
   * @default 10_000
   */
  readonly maxSessionValues?: number | undefined

  /**
   * How many sessions this process reads from the backend at once, 1 to 10_000. Further reads wait in line, for
   * `backendTimeoutMs` at most, and for no longer than leaves the call time to answer.
   * @default 16
   */
  readonly maxBackendReads?: number | undefined

  /**
   * How many further reads of sessions may wait in line for the backend, 0 to 1_000_000. What finds the line full is refused
   * with `E_OVERLOADED`: calls whose id nobody has verified before others, and of those the ones of the caller that has the
   * most in line (`load`'s options `verified` and `caller`).
   * @default 64 times `maxBackendReads`
   */
  readonly maxWaitingReads?: number | undefined

  /**
   * How long the cache remembers that nothing stands under an id, in ms: 0, or 1_000 to 60_000. Until then, but at least for
   * half of it, whoever asks for the id once more is answered without a read of the backend. How long it is for each id is a
   * matter of chance, so that many are not forgotten at once. 0: it does not remember it.
   *
   * A session that is created under such an id takes the place of what the cache remembers. Only where its process cannot
   * reach the cache, and others can, may these be told for so long that there is no such session.
   * @default 3_000
   */
  readonly unknownIdTtlMs?: number | undefined

  /** How often a save is tried anew when others come between, 1 to 1_000. @default 20 */
  readonly maxAttempts?: number | undefined

  /** How many unflushed sessions the ledger of this process holds. One that falls out is flushed. @default 100_000 */
  readonly maxUnflushed?: number | undefined

  /**
   * How long the tombstone of a session is kept, in ms, at least `absoluteTtlMs`, so that it outlasts every copy of the
   * session.
   * @default `absoluteTtlMs` and a day
   */
  readonly tombstoneTtlMs?: number | undefined

  /** How far the processes' clocks may be apart, in ms. @default 2_000 */
  readonly maxClockSkewMs?: number | undefined

  /**
   * How many sessions a user may have at once, as `identify` names the user: 1 to 1_000. It is decided when a session
   * becomes the user's, and holds however many logins come at once. Absent: as many as there are.
   */
  readonly maxSessionsPerUser?: number | undefined

  /**
   * What becomes of a login of a user who has as many sessions already: `end-oldest` ends the session that has been the
   * user's for the longest time, `refuse` rejects the login with `E_SESSION_LIMIT`.
   * @default 'end-oldest'
   */
  readonly onTooManySessions?: OnTooManySessions | undefined

  /**
   * The store that the sessions were kept in before, for a change-over while the application runs. An id that neither tier
   * knows is asked for there once; what stands there is taken over, durably and under the same id, so that its visitor
   * notices nothing. A session that is ended here is ended there. Every process is given the same. Absent: none is asked.
   */
  readonly legacy?: LegacyStore | undefined

  /**
   * Seals what both tiers keep of a session, so that nobody without a key can read it, make it or change it. Every process
   * of a namespace is given the same keys. Absent: nothing is sealed, and what others have sealed is refused with
   * `E_SESSION_SEAL`.
   */
  readonly sealing?: SealingOptions | undefined

  /**
   * The key by which sessions are named in the audit trail (the event `audit`): 32 bytes, or a text of them in hexadecimal
   * digits, base64 or base64url. Processes with the same key give a session the same name; with another key, every
   * session has another name from then on. Absent: the trail tells all else, and does not name sessions.
   */
  readonly auditKey?: SealingKey | undefined

  /** The clock, timers and randomness. @default the system's */
  readonly runtime?: Runtime | undefined
}

/** The options with every default in its place, frozen. */
export interface ResolvedOptions {
  readonly namespace: string
  readonly app: string
  readonly maxStaleMs: number
  /** For a session of which no function and no other option says another. */
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly tombstoneTtlMs: number
  /** How long after the beginning of a creation its insert may still come in, by the clock of the backend. */
  readonly insertMs: number
  /**
   * How long a tombstone is kept where no session stood in the backend: as long as an insert under that id may come in.
   */
  readonly emptyTombstoneTtlMs: number
  /**
   * How long a tombstone is kept in the backend of a session that stood in the cache alone: not at all, or as long as the old
   * store may have a session under that id.
   */
  readonly aloneTombstoneTtlMs: number
  readonly onBackendDown: 'serve' | 'reject'
  readonly onCacheUnreachable: 'acknowledge' | 'reject'
  /** 0: no purge happens by itself. */
  readonly purgeEveryMs: number
  readonly deadlineMs: number
  readonly cacheTimeoutMs: number
  readonly backendTimeoutMs: number
  readonly breakerFailures: number
  readonly cacheRetryMs: number
  /** How long a server of the cache must have answered nothing before a writer goes round it. */
  readonly cacheAwayAfterMs: number
  readonly backendRetryMs: number
  readonly leaseMs: number
  readonly leaseWaitMs: number
  readonly maxBackendReads: number
  readonly maxWaitingReads: number
  /** 0: the cache does not remember that nothing stands under an id. */
  readonly unknownIdTtlMs: number
  readonly maxSessionBytes: number
  readonly maxSessionValues: number
  readonly maxAttempts: number
  readonly maxUnflushed: number
  /**
   * The time after which a regeneration that has not ended is dead: its call was rejected, and its last step is over.
   */
  readonly thawMs: number
  readonly maxClockSkewMs: number
  /** `undefined` where a user may have as many sessions as there are. */
  readonly seatLimit: SeatLimit | undefined
  readonly timings: LifeTimings
  readonly policy: FlushPolicy
}

const DAY_MS = 86_400_000
/** This is longer than it takes to replace a broken connection, and than most pauses of a busy server. */
const AWAY_AFTER_MS = 500
/** Every call is over long before that, even if the clock of a process, or of the backend, is an hour off. */
const INSERT_MS = 7_200_000
/** Moments are stored as 48-bit numbers. Ten years are longer than any session needs. */
export const LONGEST_MS: number = 3_650 * DAY_MS

const TEN_MINUTES_MS = 600_000
const HOUR_MS = 3_600_000

/** The name of an application within a namespace. */
export const anApp: Kind<string> = kindOf(
  'an application: up to 64 letters, digits, _, . and -',
  (value) => typeof value === 'string' && APP.test(value),
)

const idleTtlNumber = milliseconds(LEAST_IDLE_TTL_MS, LONGEST_MS)
const idleTtl: Kind<number | ((data: unknown) => number | undefined)> = {
  ...idleTtlNumber,
  ...kindOf(
    `${idleTtlNumber.expected}, or a function of the data`,
    (value) => typeof value === 'function' || idleTtlNumber.accepts(value),
    idleTtlNumber.cure,
  ),
}

const oldStore = having<LegacyStore>('an old store, such as fromExpressStore(store) gives', ['get', 'destroy'])
/** A store of express-session has both calls as well, but with callbacks. */
const isOfExpress = (value: unknown): boolean =>
  typeof value === 'object' && value !== null && typeof Reflect.get(value, 'createSession') === 'function'
const anOldStore: Kind<LegacyStore> = kindOf(
  oldStore.expected,
  (value) => oldStore.accepts(value) && !isOfExpress(value),
  (value) => (isOfExpress(value) ? 'give `fromExpressStore(store)` of nonstick/express' : oldStore.cure?.(value)),
)

/** What each option may be. Some have narrower bounds as well, which depend on other options. */
const KINDS: Kinds<StoreOptions<unknown>> = {
  cache: having('a front cache, such as memcached({ … }) gives', ['get', 'add', 'cas', 'set', 'delete', 'close']),
  backend: having('a backend, such as postgres({ … }) gives', [
    'read',
    'insert',
    'update',
    'extend',
    'destroy',
    'close',
  ]),
  allowEmbedded: trueOrFalse,
  codec: having('a codec, with encode and decode', ['encode', 'decode']),
  namespace: kindOf(
    '1 to 64 letters, digits, _, . and -',
    (value) => typeof value === 'string' && NAMESPACE.test(value),
  ),
  app: anApp,
  maxStaleCount: whole(1, 1_000_000),
  maxStaleMs: milliseconds(100, LONGEST_MS),
  idleTtlMs: idleTtl,
  anonymousTtlMs: milliseconds(LEAST_IDLE_TTL_MS, LONGEST_MS),
  absoluteTtlMs: milliseconds(1_000, LONGEST_MS),
  touchIntervalMs: milliseconds(0, LONGEST_MS),
  touchBackendMs: milliseconds(0, LONGEST_MS),
  persistOn: oneOf('create', 'identify', 'due'),
  identify: aFunction(),
  beforeSave: aFunction(),
  conflict: conflictKind,
  onBackendDown: oneOf('serve', 'reject'),
  onCacheUnreachable: oneOf('acknowledge', 'reject'),
  purgeEveryMs: kindOf(
    `0, or a whole number of milliseconds from 1000 to ${LONGEST_MS}`,
    (value) => value === 0 || milliseconds(1_000, LONGEST_MS).accepts(value),
  ),
  deadlineMs: milliseconds(10, HOUR_MS),
  cacheTimeoutMs: milliseconds(10, TEN_MINUTES_MS),
  backendTimeoutMs: milliseconds(10, TEN_MINUTES_MS),
  breakerFailures: whole(1, 1_000_000),
  cacheRetryMs: milliseconds(0, TEN_MINUTES_MS),
  backendRetryMs: milliseconds(0, TEN_MINUTES_MS),
  leaseMs: milliseconds(11, HOUR_MS),
  leaseWaitMs: milliseconds(0, TEN_MINUTES_MS),
  maxBackendReads: whole(1, 10_000),
  maxWaitingReads: whole(0, 1_000_000),
  unknownIdTtlMs: kindOf(
    `0, or a whole number of milliseconds from 1000 to ${LONGEST_UNKNOWN_ID_MS}`,
    (value) => value === 0 || milliseconds(1_000, LONGEST_UNKNOWN_ID_MS).accepts(value),
  ),
  maxSessionBytes: whole(1_024, 1_073_741_824),
  maxSessionValues: whole(100, 1_000_000),
  maxAttempts: whole(1, 1_000),
  maxUnflushed: whole(1, 10_000_000),
  tombstoneTtlMs: milliseconds(1_000, LONGEST_MS + DAY_MS),
  maxClockSkewMs: milliseconds(0, HOUR_MS),
  maxSessionsPerUser: whole(1, MOST_SEATS - 1),
  onTooManySessions: oneOf('end-oldest', 'refuse'),
  legacy: anOldStore,
  sealing: secret(kindOf('an object such as `{ keys: [key] }`', areOptions)),
  auditKey: aKey,
  runtime: aRuntime,
}

/**
 * Checks the options and fills in the defaults of those that were left out.
 *
 * @throws SessionStoreError `E_CONFIG`, which names the option as it was typed, what was expected and what came.
 */
export const resolveOptions = <Data>(options: StoreOptions<Data>): ResolvedOptions => {
  checkOptions('options', options as StoreOptions<unknown>, KINDS)
  conflictOf(options.conflict)
  if (options.codec !== undefined) checkedOption('codec.id', options.codec.id, whole(1, 255))

  const { backendTimeoutMs = 3_000, maxClockSkewMs = 2_000, maxBackendReads = 16 } = options
  const idleTtlMs = usualIdleTtl(options)
  const idleTtl: Bound = { value: idleTtlMs, because: '`idleTtlMs`' }
  const absoluteTtlMs = checkedOption(
    'absoluteTtlMs',
    options.absoluteTtlMs ?? Math.max(30 * DAY_MS, idleTtlMs),
    milliseconds(idleTtl, LONGEST_MS),
  )
  if (options.anonymousTtlMs !== undefined) checkAnonymousTtl(options.anonymousTtlMs, absoluteTtlMs, options.identify)
  const touchIntervalMs = checkedOption(
    'touchIntervalMs',
    options.touchIntervalMs ?? Math.ceil(idleTtlMs / 100),
    milliseconds(0, idleTtl),
  )
  const touchBackendMs = checkedOption(
    'touchBackendMs',
    options.touchBackendMs ?? Math.max(touchIntervalMs, Math.ceil(idleTtlMs / 10)),
    milliseconds({ value: touchIntervalMs, because: '`touchIntervalMs`' }, idleTtl),
  )
  const leaseMs = checkedOption(
    'leaseMs',
    options.leaseMs ?? Math.max(5_000, backendTimeoutMs + 1_000),
    milliseconds({ value: backendTimeoutMs + 1, because: 'more than `backendTimeoutMs`' }, HOUR_MS),
  )
  const deadlineMs = checkedOption(
    'deadlineMs',
    options.deadlineMs ?? Math.max(10_000, backendTimeoutMs),
    milliseconds({ value: backendTimeoutMs, because: '`backendTimeoutMs`' }, HOUR_MS),
  )
  const tombstoneTtlMs = checkedOption(
    'tombstoneTtlMs',
    options.tombstoneTtlMs ?? absoluteTtlMs + DAY_MS,
    milliseconds({ value: absoluteTtlMs, because: '`absoluteTtlMs`' }, LONGEST_MS + DAY_MS),
  )
  const timings: LifeTimings = Object.freeze({ touchIntervalMs, touchBackendMs, idleTtlMs })
  const persistOn = options.persistOn ?? 'create'
  // A step may begin just before the deadline, and may be sent twice.
  const thawMs = deadlineMs + 2 * backendTimeoutMs + maxClockSkewMs
  const insertMs = Math.min(absoluteTtlMs, Math.max(INSERT_MS, thawMs + maxClockSkewMs))
  return Object.freeze({
    namespace: options.namespace ?? 'nonstick',
    app: options.app ?? '',
    maxStaleMs: options.maxStaleMs ?? 60_000,
    idleTtlMs,
    absoluteTtlMs,
    tombstoneTtlMs,
    insertMs,
    // An insert that was put off may come as long as its session can live. Any other comes while its call is under way.
    // What the old store has, it may have for as long as a session can live.
    emptyTombstoneTtlMs:
      options.legacy === undefined
        ? Math.min(tombstoneTtlMs, (persistOn === 'create' ? insertMs : absoluteTtlMs) + insertMs)
        : tombstoneTtlMs,
    aloneTombstoneTtlMs: options.legacy === undefined ? 0 : tombstoneTtlMs,
    onBackendDown: options.onBackendDown ?? 'serve',
    onCacheUnreachable: options.onCacheUnreachable ?? 'acknowledge',
    purgeEveryMs: options.purgeEveryMs ?? HOUR_MS,
    deadlineMs,
    maxClockSkewMs,
    thawMs,
    cacheTimeoutMs: options.cacheTimeoutMs ?? 2_000,
    backendTimeoutMs,
    breakerFailures: options.breakerFailures ?? 5,
    cacheRetryMs: options.cacheRetryMs ?? 50,
    cacheAwayAfterMs: Math.min(AWAY_AFTER_MS, deadlineMs / 8),
    backendRetryMs: options.backendRetryMs ?? 500,
    leaseMs,
    leaseWaitMs: options.leaseWaitMs ?? 1_000,
    maxSessionBytes: options.maxSessionBytes ?? 4_194_304,
    maxSessionValues: options.maxSessionValues ?? 10_000,
    maxBackendReads,
    maxWaitingReads: options.maxWaitingReads ?? 64 * maxBackendReads,
    unknownIdTtlMs: options.unknownIdTtlMs ?? 3_000,
    maxAttempts: options.maxAttempts ?? 20,
    maxUnflushed: options.maxUnflushed ?? 100_000,
    seatLimit: seatLimitOf(options),
    timings,
    policy: Object.freeze({
      maxStaleCount: options.maxStaleCount ?? 10,
      persistOn,
      timings,
    }),
  })
}

/** The idle time-out of sessions of which no function and no other option says another. */
const usualIdleTtl = <Data>({ idleTtlMs, absoluteTtlMs = DAY_MS }: StoreOptions<Data>): number => {
  if (typeof idleTtlMs === 'number') return idleTtlMs
  return idleTtlMs === undefined ? DAY_MS : Math.min(DAY_MS, absoluteTtlMs)
}

const checkAnonymousTtl = (anonymousTtlMs: number, absoluteTtlMs: number, identify: unknown): void => {
  const most: Bound = { value: absoluteTtlMs, because: '`absoluteTtlMs`' }
  checkedOption('anonymousTtlMs', anonymousTtlMs, milliseconds(LEAST_IDLE_TTL_MS, most))
  if (identify === undefined)
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected `identify` beside `anonymousTtlMs`, to tell which sessions are nobody’s, got none',
    )
}

const seatLimitOf = <Data>({
  maxSessionsPerUser,
  onTooManySessions = 'end-oldest',
  identify,
  backend,
}: StoreOptions<Data>): SeatLimit | undefined => {
  if (maxSessionsPerUser === undefined) return undefined
  if (identify === undefined)
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected `identify` beside `maxSessionsPerUser`, to tell whose session it is, got none',
    )
  if (backend !== undefined && !(knowsUsers(backend) && canEnumerate(backend)))
    throw new SessionStoreError(
      'E_CONFIG',
      `Expected \`backend\` to be one that knows of users, as \`maxSessionsPerUser\` is given, got ${backend.name}`,
    )
  return Object.freeze({ maxSessionsPerUser, onTooManySessions })
}
