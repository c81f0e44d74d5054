import type { ServerOptions } from '../../backends/postgres/own-pool.js'
import { RedisBackend } from '../../backends/redis/redis.js'
import { MemcachedCache } from '../../caches/memcached/memcached-cache.js'
import { type ResolvedMemcachedOptions, resolveOptions as resolveMemcached } from '../../caches/memcached/options.js'
import type { TierHealth } from '../../contract/health.js'
import type { Runtime } from '../../contract/time.js'
import type { Environment, FromEnvironment } from '../../environment/read.js'
import { memcachedOptionsOf } from '../../environment/tiers.js'
import { runtimeOf } from '../../runtime.js'
import { resolveOptions, type StoreOptions } from '../../store/options.js'
import { isError } from '../../tools/is-error.js'
import { examineCouchdb } from './couchdb-facts.js'
import { type Finding, worstFirst } from './finding.js'
import { judgeMemcached } from './judge-memcached.js'
import { judgePostgres } from './judge-postgres.js'
import { statisticsOf } from './memcached-statistics.js'
import { postgresFacts } from './postgres-facts.js'
import { examineRedis, redisInTheClear } from './redis-facts.js'
import { examineServerLists } from './server-lists.js'

export interface Examination {
  readonly findings: readonly Finding[]
  readonly cache: TierHealth
  readonly backend: TierHealth
}

export interface Patient {
  readonly options: StoreOptions<Record<string, unknown>>
  /** What the environment says of the tiers; a backend that a program made itself can be asked only what any tells. */
  readonly read: FromEnvironment
  readonly env: Environment
}

/** Looks at both tiers, and says what is wrong. Nothing is changed. Resolves also where neither can be reached. */
export const examine = async ({ options, read, env }: Patient): Promise<Examination> => {
  const { cache, backend } = options
  if (cache === undefined || backend === undefined) throw new TypeError('Both tiers are to be there')
  const [cacheHealth, backendHealth] = await Promise.all([cache.health(), backend.health()])
  const both = cacheHealth.state !== 'down' && backendHealth.state !== 'down'
  const groups = await Promise.all([
    healthFindings('cache', cacheHealth),
    healthFindings('backend', backendHealth),
    waits(options, read),
    memcachedFindings({ options, read, env }, cacheHealth),
    backendFindings({ options, read, env }, backendHealth),
    both ? lookedAt(cacheHealth.tier, () => examineServerLists({ cache, backend }, namespaceAndClock(options))) : [],
  ])
  return { findings: worstFirst(groups.flat()), cache: cacheHealth, backend: backendHealth }
}

const namespaceAndClock = (
  options: StoreOptions<Record<string, unknown>>,
): { readonly namespace: string; readonly runtime: Runtime } => ({
  namespace: resolveOptions(options).namespace,
  runtime: runtimeOf(options.runtime),
})

/** What could not be looked at is said: a doctor who saw nothing must not pass for one who found nothing. */
const lookedAt = async (tier: string, look: () => Promise<readonly Finding[]>): Promise<readonly Finding[]> => {
  try {
    return await look()
  } catch (error) {
    const because = isError(error) ? error.message || String((error as NodeJS.ErrnoException).code) : 'it failed'
    return [
      {
        check: 'not-looked-at',
        severity: 'warning',
        tier,
        finding: `It could not be looked at more closely: ${because}.`,
        cure: 'See to it that this machine and this user may ask it, and run this again.',
      },
    ]
  }
}

const healthFindings = (part: 'cache' | 'backend', health: TierHealth): readonly Finding[] =>
  (health.servers ?? [health]).flatMap(({ tier, state, reason }): readonly Finding[] => {
    const words = reason ?? 'it gave no reason'
    if (state !== 'up')
      return [
        {
          ...about(part, tier),
          check: `${part}-${state}`,
          severity: 'fault',
          finding: sentence(`it is ${state}: ${words}`),
        },
      ]
    return reason === undefined ? [] : [{ ...about(part, tier), severity: 'note', finding: sentence(words) }]
  })

const about = (part: 'cache' | 'backend', tier: string): Omit<Finding, 'finding' | 'severity'> => ({
  check: `${part}-health`,
  tier,
  cure:
    part === 'cache'
      ? 'Start the server, let this machine reach it, or take it out of the list of every process.'
      : 'Do what the sentence says; otherwise start the server, or let this machine reach it. docs/set-up.md has the rest.',
})

const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}.`

/** A tier whose own deadline is the longer one is given up by the store before it has said anything. */
const waits = (
  options: StoreOptions<Record<string, unknown>>,
  { options: given }: FromEnvironment,
): readonly Finding[] => {
  const { cacheTimeoutMs, backendTimeoutMs } = resolveOptions(options)
  const waiting = (
    tier: string,
    own: unknown,
    ownName: string,
    storeMs: number,
    storeName: string,
  ): readonly Finding[] =>
    typeof own !== 'number' || own <= storeMs
      ? []
      : [
          {
            check: 'timeouts',
            severity: 'warning',
            tier,
            finding: `The store gives a call up after ${storeMs} ms (\`${storeName}\`), and the tier itself only after ${own} ms (\`${ownName}\`), so that what went wrong is never told.`,
            cure: `Set \`${storeName}\` to more than \`${ownName}\`.`,
          },
        ]
  return [
    ...waiting(
      'memcached',
      given.memcached['operationTimeoutMs'],
      'operationTimeoutMs',
      cacheTimeoutMs,
      'cacheTimeoutMs',
    ),
    ...waiting('postgres', given.postgres['queryTimeoutMs'], 'queryTimeoutMs', backendTimeoutMs, 'backendTimeoutMs'),
    ...waiting('redis', given.redis['queryTimeoutMs'], 'queryTimeoutMs', backendTimeoutMs, 'backendTimeoutMs'),
    ...waiting('couchdb', given.couchdb['requestTimeoutMs'], 'requestTimeoutMs', backendTimeoutMs, 'backendTimeoutMs'),
  ]
}

/** How the store reaches its Memcached, whether the environment says it or a program made the cache. */
const memcachedOf = ({ cache }: Patient['options'], read: FromEnvironment): ResolvedMemcachedOptions | undefined => {
  if (read.cache?.kind === 'memcached') return resolveMemcached(memcachedOptionsOf(read, read.cache) as never)
  return cache === undefined ? undefined : MemcachedCache.optionsOf(cache)
}

const memcachedFindings = async ({ options, read }: Patient, health: TierHealth): Promise<readonly Finding[]> => {
  const resolved = memcachedOf(options, read)
  if (resolved === undefined) return []
  const runtime = runtimeOf(options.runtime)
  const { maxClockSkewMs, timings } = resolveOptions(options)
  const down = new Set((health.servers ?? []).filter(({ state }) => state === 'down').map(({ tier }) => tier))
  const groups = resolved.servers.map((server) => {
    const tier = `memcached ${server.address}`
    if (down.has(tier)) return []
    return lookedAt(tier, async () => {
      const before = runtime.now()
      const statistics = await statisticsOf(server, {
        credentials: resolved.credentials,
        tls: resolved.tls,
        timeoutMs: resolved.connectTimeoutMs + resolved.operationTimeoutMs,
        runtime,
      })
      return judgeMemcached({
        tier,
        host: 'host' in server.target ? server.target.host : server.target.path,
        tls: resolved.tls,
        statistics,
        askedAtMs: (before + runtime.now()) / 2,
        maxClockSkewMs,
        maxValueBytes: resolved.maxValueBytes,
        idleTtlMs: timings.idleTtlMs,
      })
    })
  })
  return (await Promise.all(groups)).flat()
}

const redisFindings = async (backend: RedisBackend, { tier, state }: TierHealth): Promise<readonly Finding[]> =>
  state === 'down' ? examineRedis(backend).catch(() => []) : lookedAt(tier, () => examineRedis(backend))

const backendFindings = async (patient: Patient, health: TierHealth): Promise<readonly Finding[]> => {
  const { options, read } = patient
  const { backend } = read
  const { maxClockSkewMs, absoluteTtlMs, namespace } = resolveOptions(options)
  const runtime = runtimeOf(options.runtime)
  if (backend?.kind === 'couchdb')
    return (await Promise.all(backend.urls.map((url) => examineCouchdb(url, { runtime, maxClockSkewMs })))).flat()
  if (options.backend instanceof RedisBackend)
    return [...redisInTheClear(health.tier, read), ...(await redisFindings(options.backend, health))]
  if (backend?.kind !== 'postgres') return []
  const {
    schema = 'nonstick',
    table = 'session',
    partitions,
  } = read.options.postgres as {
    readonly schema?: string
    readonly table?: string
    readonly partitions?: number
  }
  const server: ServerOptions = { connectionString: backend.connectionString }
  const look = async (): Promise<readonly Finding[]> => {
    const facts = await postgresFacts({ server, env: patient.env, namespace, runtime, schema, table })
    return judgePostgres(facts, { tier: health.tier, schema, table, partitions, maxClockSkewMs, absoluteTtlMs })
  }
  // Where it cannot be reached, that has been said already.
  return health.state === 'down' ? look().catch(() => []) : lookedAt(health.tier, look)
}
