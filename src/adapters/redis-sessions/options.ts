import type { SessionStore } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { createSessionStore } from '../../create-session-store.js'
import { areOptions, invalidOption, SessionStoreError } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import type { StoreOptions } from '../../store/options.js'
import { aRuntime, checkedOption, having, type Kind, type Kinds, oneOf, required, whole } from '../../tools/options.js'
import { MANNERS, type Manners, type ResolvedManners, resolveManners } from './manners.js'
import { type RedisSessionRecord, userOfRedisSession } from './record.js'
import { ReplyCache } from './reply-cache.js'

/** The options of the facade itself, whichever store it stands on. */
export interface OwnOptions extends Manners {
  /**
   * How long a session is kept after it has ended, in seconds: whole. As long it counts in `activity`, `killsoid` and
   * `killall`, as a session of redis-sessions does until it is wiped. 1 to 9 count as 10, and 0 counts as 600.
   * @default 600
   */
  readonly wipe?: number | undefined

  /**
   * How long this process goes on giving what it read of a session without asking the store, in seconds: whole, but half
   * of the session's `ttl` at most. Meanwhile it does not see what other processes do: it serves a session that was
   * killed there, and data that was changed there. 0: it always asks.
   * @default 0
   */
  readonly cachetime?: number | undefined

  /** How many sessions are kept for `cachetime`: whole. 0 counts as 5_000. @default 5_000 */
  readonly cachemax?: number | undefined

  /** The longest `ttl`, in seconds: whole, 60 to 31_536_000 (a year). @default 2_592_000 (30 days) */
  readonly maxTtl?: number | undefined

  /**
   * How `activity` counts. `exact` looks through the headers of all sessions that may have been used in the time asked
   * for, and asks the cache for each. `indexed` asks the backend alone for a number, from an index: it may miss a use that
   * the backend has not heard of yet, for `maxStaleMs` or, where that is longer, for `touchBackendMs`.
   * @default 'exact'
   */
  readonly activity?: 'exact' | 'indexed' | undefined

  /** The clock and the randomness. @default the system's */
  readonly runtime?: Runtime | undefined
}

/** A session store that was made elsewhere, which whoever made it closes. */
export interface GivenStoreOptions extends OwnOptions {
  /** Made with `identify: userOfRedisSession`, or an `identify` that calls it. */
  readonly sessions: SessionStore<never> | SessionStore<unknown> | SessionStore<RedisSessionRecord>
  readonly cache?: undefined
  readonly backend?: undefined
}

/**
 * The options of `createSessionStore`: the store is made here, and closed by `quit()`. Its defaults differ in that
 * `namespace` is `rs`, `idleTtlMs` goes by `defaultTtl`, `absoluteTtlMs` by `maxTtl`, and `maxAttempts` is 1_000.
 */
export interface OwnStoreOptions
  extends OwnOptions,
    Omit<StoreOptions<RedisSessionRecord>, 'app' | 'identify' | 'beforeSave' | 'conflict' | 'persistOn'> {
  readonly sessions?: undefined
}

export type RedisSessionsOptions = GivenStoreOptions | OwnStoreOptions

/** The options, seen through. */
export interface ResolvedRedisSessionsOptions {
  readonly sessions: SessionStore<unknown>
  readonly owned: boolean
  readonly runtime: Runtime
  readonly manners: ResolvedManners
  readonly maxTtl: number
  /** How long a session is kept after it has ended, in ms. */
  readonly keptMs: number
  /** `undefined` where every `get` asks the store. */
  readonly replies: ReplyCache | undefined
  readonly activity: 'exact' | 'indexed'
}

const DAY_SECONDS = 86_400
const DEFAULT_WIPE_SECONDS = 600
const LEAST_WIPE_SECONDS = 10
const DEFAULT_CACHEMAX = 5_000

const KINDS: Kinds<OwnOptions> = {
  ...MANNERS,
  wipe: whole(0, 365 * DAY_SECONDS),
  cachetime: whole(0, DAY_SECONDS),
  cachemax: whole(0, 10_000_000),
  maxTtl: whole(60, 365 * DAY_SECONDS),
  activity: oneOf('exact', 'indexed'),
  runtime: aRuntime,
}

const USED = [
  ...['create', 'update', 'destroy', 'list', 'activity', 'destroyAll', 'listByUser', 'destroyByUser'],
  ...['handleOf', 'inspect', 'health', 'close'],
]
const STORE = required(having<SessionStore<unknown>>('a session store, such as createSessionStore({ … }) gives', USED))

const NO_REDIS = 'sessions are kept by `cache` and `backend` here, such as memcached({ … }) and postgres({ … })'
const OURS = 'the sessions of this store are those of redis-sessions alone'
/** Options that somebody may come with and that mean nothing here, and what to do about each. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  ...{ port: NO_REDIS, host: NO_REDIS, options: NO_REDIS, client: NO_REDIS },
  app: 'each call names its application',
  ...{ identify: OURS, beforeSave: OURS, conflict: OURS, persistOn: OURS },
}

/** @throws SessionStoreError `E_CONFIG` */
export const resolveRedisSessionsOptions = (options: RedisSessionsOptions): ResolvedRedisSessionsOptions => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  for (const [name, cure] of Object.entries(ELSEWHERE)) {
    const value: unknown = Reflect.get(options, name)
    if (value !== undefined) throw invalidOption(name, 'left out', value, { secret: true, cure })
  }
  const own: Record<string, unknown> = {}
  const others: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(options))
    if (value !== undefined) (name in KINDS ? own : others)[name] = value
  for (const [name, value] of Object.entries(own))
    checkedOption(name, value, KINDS[name as keyof OwnOptions] as Kind<unknown>)
  return resolved(own as OwnOptions, others)
}

const resolved = (own: OwnOptions, others: Readonly<Record<string, unknown>>): ResolvedRedisSessionsOptions => {
  const manners = resolveManners(own)
  const { maxTtl = 30 * DAY_SECONDS, cachetime = 0 } = own
  checkSeconds('defaultTtl', manners.defaultTtl, manners.leastSeconds, maxTtl)
  if (manners.defaultDeltaTime !== undefined)
    checkSeconds('defaultDeltaTime', manners.defaultDeltaTime, manners.leastSeconds)
  const runtime = runtimeOf(own.runtime)
  const keptMs = Math.max(own.wipe || DEFAULT_WIPE_SECONDS, LEAST_WIPE_SECONDS) * 1_000
  return {
    ...storeOf(own, others, { idleTtlMs: manners.defaultTtl * 1_000 + keptMs, maxTtl }),
    ...{ runtime, manners, maxTtl, keptMs, activity: own.activity ?? 'exact' },
    replies: cachetime === 0 ? undefined : new ReplyCache(own.cachemax || DEFAULT_CACHEMAX, cachetime * 1_000, runtime),
  }
}

const checkSeconds = (name: string, value: number, leastSeconds: number, most?: number): void =>
  void checkedOption(
    name,
    value,
    whole(
      { value: leastSeconds, because: '`leastSeconds`' },
      most === undefined ? undefined : { value: most, because: '`maxTtl`' },
    ),
  )

const storeOf = (
  { runtime }: OwnOptions,
  { sessions, ...others }: Readonly<Record<string, unknown>>,
  defaults: { readonly idleTtlMs: number; readonly maxTtl: number },
): Pick<ResolvedRedisSessionsOptions, 'sessions' | 'owned'> => {
  if (sessions !== undefined) {
    for (const [name, value] of Object.entries(others))
      throw invalidOption(name, 'left to the store given as `sessions`', value, { secret: true })
    return { sessions: checkedOption('sessions', sessions, STORE), owned: false }
  }
  const { idleTtlMs, maxTtl } = defaults
  const store = createSessionStore<RedisSessionRecord>({
    namespace: 'rs',
    idleTtlMs,
    // A session that is used to the end of its life is kept for a while after it.
    absoluteTtlMs: Math.max(30 * DAY_SECONDS * 1_000, maxTtl * 1_000, idleTtlMs),
    maxAttempts: 1_000,
    ...others,
    ...(runtime === undefined ? {} : { runtime }),
    identify: userOfRedisSession,
  })
  return { sessions: store as SessionStore<unknown>, owned: true }
}

/** @throws SessionStoreError always */
export const refuseForeignStore = (): never => {
  throw new SessionStoreError(
    'E_CONFIG',
    'Expected `sessions` to be made with `identify: userOfRedisSession`, or an `identify` that calls it: otherwise killsoid and soid would find nothing',
    { applied: 'no' },
  )
}
