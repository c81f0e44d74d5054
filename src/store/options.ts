import type { Backend } from '../contract/backend.js'
import type { Codec } from '../contract/codec.js'
import type { FrontCache } from '../contract/front-cache.js'
import type { Runtime } from '../contract/time.js'
import { invalidOption, refuseUnknownOptions } from '../errors.js'
import type { FlushPolicy, PersistOn } from '../session/decisions.js'
import type { LifeTimings } from '../session/expiry.js'
import { NAMESPACE } from '../session/key.js'

/** What a conflict function is given: three copies of the data, each the function's own. */
export interface ConflictSides<Data> {
  /** What this request loaded. */
  readonly base: Data
  readonly mine: Data
  /** What another request stored meanwhile. */
  readonly current: Data
}

/**
 * What `save` does when another request stored the session meanwhile: `merge` by top-level key, `reject` with
 * `E_SESSION_CONFLICT`, `overwrite` the other's change, or a function that returns the data to store and
 * throws to reject.
 */
export type ConflictPolicy<Data> = 'merge' | 'reject' | 'overwrite' | ((sides: ConflictSides<Data>) => Data)

/** The options of a store, as its user types them. */
export interface StoreOptions<Data> {
  /** The cache in front. Default, together with `backend`: an embedded one, in this process only. */
  readonly cache?: FrontCache

  /** The tier that must not forget. Default, together with `cache`: an embedded one, in this process only. */
  readonly backend?: Backend

  /** Lets the embedded default start under `NODE_ENV=production`. @default false */
  readonly allowEmbedded?: boolean

  /** How data becomes bytes; what older codecs of this library wrote can always be read. @default msgpack */
  readonly codec?: Codec

  /** Keeps applications apart that share the tiers: 1 to 64 letters, digits, `_`, `.` and `-`. @default 'nonstick' */
  readonly namespace?: string

  /**
   * How far the backend may fall behind: it is written on every n-th change of a session. Losing the cache can
   * cost up to n - 1 acknowledged changes per session; 1 writes each change through. 1 to 1_000_000.
   * @default 10
   */
  readonly maxStaleCount?: number

  /**
   * How long a change may stand in the cache only, while the process that made it lives. In ms, at least 100.
   * @default 60_000
   */
  readonly maxStaleMs?: number

  /** How long an untouched session lives. In ms, at least 1_000. @default 86_400_000 (one day) */
  readonly idleTtlMs?: number

  /** How long a session lives at most, used or not. In ms, at least `idleTtlMs`. @default 2_592_000_000 (30 days) */
  readonly absoluteTtlMs?: number

  /**
   * How often a session in use is touched in the cache. In ms. The idle time-out is lengthened by it, so that a
   * use that was not written down shortens no life. For a session with a shorter idle time-out of its own it
   * shrinks in proportion. @default a hundredth of `idleTtlMs`
   */
  readonly touchIntervalMs?: number

  /**
   * How often a session in use is touched in the backend. In ms, at least `touchIntervalMs`. After a loss of the
   * cache an idle session may live that much longer. Shrinks likewise. @default a tenth of `idleTtlMs`
   */
  readonly touchBackendMs?: number

  /**
   * When a new session reaches the backend: at once; when a user is known; or with its `maxStaleCount`-th
   * change (or `maxStaleMs` after its second). The latter two spare the backend from robots and visitors, and
   * until then losing the cache loses the session. @default 'create'
   */
  readonly persistOn?: PersistOn

  /**
   * Whose session it is: a user id, or nothing for an anonymous one. A change of user is written through at
   * once and never merged. Must be quick and read only what it needs.
   */
  readonly identify?: (data: Data) => string | number | undefined | null

  /** Called with the data before every save; may change it in place, or return what to store instead. */
  readonly beforeSave?: (data: Data) => Data | undefined

  /** What becomes of two requests' changes. @default 'merge' */
  readonly conflict?: ConflictPolicy<Data>

  /**
   * A change is due in the backend, and the backend is down: `serve` acknowledges it as cache-only and retries,
   * `reject` rejects the save. What must be durable (creation, change of user, destroy) always rejects.
   * @default 'serve'
   */
  readonly onBackendDown?: 'serve' | 'reject'

  /**
   * A session was destroyed in the backend, and the cache cannot be told: `acknowledge` resolves with
   * `{ cache: 'unreachable' }`, `reject` rejects. Either way the store goes on trying. @default 'acknowledge'
   */
  readonly onCacheUnreachable?: 'acknowledge' | 'reject'

  /** After this every call settles, in ms, at least `backendTimeoutMs`. @default 10_000 */
  readonly deadlineMs?: number

  /** After this a call to the cache is given up, in ms; the cache's own deadline is usually shorter. @default 2_000 */
  readonly cacheTimeoutMs?: number

  /** After this a call to the backend is given up, in ms; the backend's own deadline is usually shorter. @default 3_000 */
  readonly backendTimeoutMs?: number

  /**
   * After this many calls in a row that a server (of the cache, or the backend) did not answer, it is left alone: calls
   * fail at once, and one at a time shows whether it is back. 1 to 1_000_000. @default 5
   */
  readonly breakerFailures?: number

  /** How long a cache server is left alone, give or take a half, before one call tries it, in ms. @default 50 */
  readonly cacheRetryMs?: number

  /** How long the backend is left alone, give or take a half, before one call tries it, in ms. @default 500 */
  readonly backendRetryMs?: number

  /** How long a reader has to fill the cache before others take over, in ms, more than `backendTimeoutMs`. @default 5_000 */
  readonly leaseMs?: number

  /** How long a reader waits for another's fill before it reads the backend for itself, in ms. @default 1_000 */
  readonly leaseWaitMs?: number

  /**
   * How large a session's data may be as its codec writes it, in bytes, 1_024 to 1_073_741_824: more is refused with
   * `E_SESSION_TOO_LARGE`, and what stood there stands. Beyond what the cache takes (about a megabyte) a session is
   * kept in the backend alone, and each read of it is a read of the backend. @default 4_194_304
   */
  readonly maxSessionBytes?: number

  /**
   * How many sessions this process reads from the backend at once, 1 to 10_000. More wait in line, for
   * `backendTimeoutMs` at most. @default 16
   */
  readonly maxBackendReads?: number

  /** How often a save is tried anew when others come between, 1 to 1_000. @default 20 */
  readonly maxAttempts?: number

  /** How many unflushed sessions this process keeps in mind; one that falls out is flushed. @default 100_000 */
  readonly maxUnflushed?: number

  /**
   * How long a destroyed session is remembered, in ms, at least `absoluteTtlMs`: longer than any copy could
   * return. @default `absoluteTtlMs` and a day
   */
  readonly tombstoneTtlMs?: number

  /** How far the processes' clocks may be apart, in ms. @default 2_000 */
  readonly maxClockSkewMs?: number

  /** The clock, timers and randomness. @default the system's */
  readonly runtime?: Runtime
}

/** The options with every default in its place, frozen. */
export interface ResolvedOptions {
  readonly namespace: string
  readonly maxStaleMs: number
  readonly idleTtlMs: number
  readonly absoluteTtlMs: number
  readonly tombstoneTtlMs: number
  /** How long after a creation began its insert may still come in, by the backend's clock. */
  readonly insertMs: number
  /** The same as `tombstoneTtlMs`, where nothing stood in the backend: as long as an insert under that id may come in. */
  readonly emptyTombstoneTtlMs: number
  readonly onBackendDown: 'serve' | 'reject'
  readonly onCacheUnreachable: 'acknowledge' | 'reject'
  readonly deadlineMs: number
  readonly cacheTimeoutMs: number
  readonly backendTimeoutMs: number
  readonly breakerFailures: number
  readonly cacheRetryMs: number
  /** For so long a server of the cache must have answered nothing before a writer goes round it. */
  readonly cacheAwayAfterMs: number
  readonly backendRetryMs: number
  readonly leaseMs: number
  readonly leaseWaitMs: number
  readonly maxBackendReads: number
  readonly maxSessionBytes: number
  readonly maxAttempts: number
  readonly maxUnflushed: number
  /** After this a regeneration that has not ended is dead: its call was rejected, and its last step is over. */
  readonly thawMs: number
  readonly maxClockSkewMs: number
  readonly timings: LifeTimings
  readonly policy: FlushPolicy
}

const DAY_MS = 86_400_000
/** Longer than a broken connection takes to be made anew, and than most pauses of a busy server. */
const AWAY_AFTER_MS = 500
/** A call is over long before that; the backend's clock may be minutes off. */
const INSERT_MS = 600_000
/** Moments travel as 48-bit numbers; ten years is further than any session. */
const LONGEST_MS = 3_650 * DAY_MS

const OPTION_NAMES: ReadonlySet<string> = new Set([
  'cache',
  'backend',
  'allowEmbedded',
  'codec',
  'namespace',
  'maxStaleCount',
  'maxStaleMs',
  'idleTtlMs',
  'absoluteTtlMs',
  'touchIntervalMs',
  'touchBackendMs',
  'persistOn',
  'identify',
  'beforeSave',
  'conflict',
  'onBackendDown',
  'onCacheUnreachable',
  'deadlineMs',
  'cacheTimeoutMs',
  'backendTimeoutMs',
  'breakerFailures',
  'cacheRetryMs',
  'backendRetryMs',
  'leaseMs',
  'leaseWaitMs',
  'maxBackendReads',
  'maxSessionBytes',
  'maxAttempts',
  'maxUnflushed',
  'tombstoneTtlMs',
  'maxClockSkewMs',
  'runtime',
] satisfies (keyof StoreOptions<unknown>)[])

/**
 * Fills in what was left out, and complains about what cannot be.
 *
 * @throws SessionStoreError `E_CONFIG`, naming the option as it was typed, what was expected and what came.
 */
export const resolveOptions = <Data>(options: StoreOptions<Data>): ResolvedOptions => {
  if (typeof options !== 'object' || options === null) throw invalidOption('options', 'an object', options)
  refuseUnknownOptions(options, OPTION_NAMES)

  const given = options as Readonly<Record<string, unknown>>
  const whole = (name: string, fallback: number, least: number, most: number): number => {
    const value = given[name] ?? fallback
    if (typeof value !== 'number' || !Number.isInteger(value) || value < least || value > most)
      throw invalidOption(name, `a whole number from ${least} to ${most}`, value)
    return value
  }
  const oneOf = <Choice extends string>(name: string, choices: readonly [Choice, ...Choice[]]): Choice => {
    const value = given[name] ?? choices[0]
    const choice = choices.find((each) => each === value)
    if (choice === undefined)
      throw invalidOption(name, `one of ${choices.map((each) => `'${each}'`).join(', ')}`, value)
    return choice
  }
  const callable = (name: string): void => {
    if (given[name] !== undefined && typeof given[name] !== 'function')
      throw invalidOption(name, 'a function', given[name])
  }
  const having = (name: string, what: string, methods: readonly string[]): void => {
    const value = given[name]
    if (value === undefined) return
    const has = (method: string): boolean => typeof (value as Record<string, unknown>)[method] === 'function'
    if (typeof value !== 'object' || value === null || !methods.every(has)) throw invalidOption(name, what, value)
  }

  if (given['allowEmbedded'] !== undefined && typeof given['allowEmbedded'] !== 'boolean')
    throw invalidOption('allowEmbedded', 'true or false', given['allowEmbedded'])
  callable('identify')
  callable('beforeSave')
  if (typeof given['conflict'] !== 'function') oneOf('conflict', ['merge', 'reject', 'overwrite'])
  having('cache', 'a front cache, such as memcached({ … }) gives', ['get', 'add', 'cas', 'set', 'delete', 'close'])
  having('backend', 'a backend, such as postgres({ … }) gives', [
    'read',
    'insert',
    'update',
    'extend',
    'destroy',
    'close',
  ])
  having('codec', 'a codec, with encode and decode', ['encode', 'decode'])
  having('runtime', 'a runtime, with now, after and randomBytes', [
    'now',
    'monotonicMs',
    'after',
    'randomBytes',
    'random',
  ])
  if (given['codec'] !== undefined) {
    const id = (given['codec'] as Partial<Codec>).id
    if (!Number.isInteger(id) || Number(id) < 1 || Number(id) > 255)
      throw invalidOption('codec.id', 'a whole number from 1 to 255', id)
  }
  const namespace = given['namespace'] ?? 'nonstick'
  if (typeof namespace !== 'string' || !NAMESPACE.test(namespace))
    throw invalidOption('namespace', '1 to 64 letters, digits, _, . and -', namespace)

  const idleTtlMs = whole('idleTtlMs', DAY_MS, 1_000, LONGEST_MS)
  const absoluteTtlMs = whole('absoluteTtlMs', Math.max(30 * DAY_MS, idleTtlMs), idleTtlMs, LONGEST_MS)
  const touchIntervalMs = whole('touchIntervalMs', Math.ceil(idleTtlMs / 100), 0, idleTtlMs)
  const touchBackendMs = whole(
    'touchBackendMs',
    Math.max(touchIntervalMs, Math.ceil(idleTtlMs / 10)),
    touchIntervalMs,
    idleTtlMs,
  )
  const backendTimeoutMs = whole('backendTimeoutMs', 3_000, 10, 600_000)
  const leaseMs = whole('leaseMs', Math.max(5_000, backendTimeoutMs + 1_000), backendTimeoutMs + 1, 3_600_000)
  const deadlineMs = whole('deadlineMs', Math.max(10_000, backendTimeoutMs), backendTimeoutMs, 3_600_000)
  const maxClockSkewMs = whole('maxClockSkewMs', 2_000, 0, 3_600_000)
  const timings: LifeTimings = Object.freeze({ touchIntervalMs, touchBackendMs, idleTtlMs })
  const persistOn = oneOf('persistOn', ['create', 'identify', 'due'])
  const tombstoneTtlMs = whole('tombstoneTtlMs', absoluteTtlMs + DAY_MS, absoluteTtlMs, LONGEST_MS + DAY_MS)
  // A step may begin just before the deadline, and be sent twice.
  const thawMs = deadlineMs + 2 * backendTimeoutMs + maxClockSkewMs
  const insertMs = Math.min(absoluteTtlMs, Math.max(INSERT_MS, thawMs + maxClockSkewMs))
  return Object.freeze({
    namespace,
    maxStaleMs: whole('maxStaleMs', 60_000, 100, LONGEST_MS),
    idleTtlMs,
    absoluteTtlMs,
    tombstoneTtlMs,
    insertMs,
    // One that was put off may come as long as its session can live; one that was not, while its call is under way.
    emptyTombstoneTtlMs: Math.min(tombstoneTtlMs, (persistOn === 'create' ? insertMs : absoluteTtlMs) + insertMs),
    onBackendDown: oneOf('onBackendDown', ['serve', 'reject']),
    onCacheUnreachable: oneOf('onCacheUnreachable', ['acknowledge', 'reject']),
    deadlineMs,
    maxClockSkewMs,
    thawMs,
    cacheTimeoutMs: whole('cacheTimeoutMs', 2_000, 10, 600_000),
    backendTimeoutMs,
    breakerFailures: whole('breakerFailures', 5, 1, 1_000_000),
    cacheRetryMs: whole('cacheRetryMs', 50, 0, 600_000),
    cacheAwayAfterMs: Math.min(AWAY_AFTER_MS, deadlineMs / 8),
    backendRetryMs: whole('backendRetryMs', 500, 0, 600_000),
    leaseMs,
    leaseWaitMs: whole('leaseWaitMs', 1_000, 0, 600_000),
    maxSessionBytes: whole('maxSessionBytes', 4_194_304, 1_024, 1_073_741_824),
    maxBackendReads: whole('maxBackendReads', 16, 1, 10_000),
    maxAttempts: whole('maxAttempts', 20, 1, 1_000),
    maxUnflushed: whole('maxUnflushed', 100_000, 1, 10_000_000),
    timings,
    policy: Object.freeze({
      maxStaleCount: whole('maxStaleCount', 10, 1, 1_000_000),
      persistOn,
      timings,
    }),
  })
}
