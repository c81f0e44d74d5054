import { Command } from 'commander'
import { resolveOptions as resolveMemcached } from '../../caches/memcached/options.js'
import { createSessionStore } from '../../create-session-store.js'
import type { FromEnvironment } from '../../environment/read.js'
import { memcachedOptionsOf } from '../../environment/tiers.js'
import { runtimeOf } from '../../runtime.js'
import type { StoreOptions } from '../../store/options.js'
import { isError } from '../../tools/is-error.js'
import { type StoreFlags, storeOptions, withStoreFlags } from '../configuration.js'
import { numberIn, type Statistics, statisticsOf } from '../doctor/memcached-statistics.js'
import { duration, report, size, table } from '../output.js'

const DESCRIPTION =
  'Shows how the tiers are, how full and how often hit each Memcached server is since it was started, and how many ' +
  'sessions the backend holds. The counters of a running process are its own: `sessions.stats()` tells them.'

/** `nonstick stats`: what the servers count. */
export const statsCommand = (): Command =>
  withStoreFlags(new Command('stats').summary('show what the servers count').description(DESCRIPTION)).action(
    async (flags: StoreFlags) => stats(flags),
  )

/** What one server counts; of one that could not be asked, why. */
type ServerStats =
  | {
      readonly server: string
      readonly entries: number
      readonly bytes: number
      readonly maxBytes: number
      readonly hits: number
      readonly misses: number
      readonly evictions: number
      readonly connections: number
      readonly uptimeMs: number
    }
  | { readonly server: string; readonly error: string }

const stats = async (flags: StoreFlags): Promise<void> => {
  const { options, read } = await storeOptions('stats', flags)
  const sessions = createSessionStore({ ...options, purgeEveryMs: 0 })
  sessions.on('fault', () => {})
  try {
    const [health, servers, count] = await Promise.all([
      sessions.health(),
      serverStats(read, options),
      sessions.count().catch((error: unknown) => (isError(error) ? error.message : 'it could not be asked')),
    ])
    const { namespace = 'nonstick' } = options
    report(flags, { health, servers, namespace, sessions: count }, () => [
      `cache    ${health.cache.tier} is ${health.cache.state} (${Math.round(health.cache.latencyMs)} ms)`,
      `backend  ${health.backend.tier} is ${health.backend.state} (${Math.round(health.backend.latencyMs)} ms)`,
      '',
      typeof count === 'number'
        ? `${count} sessions of ${namespace} live in the backend.`
        : `The sessions could not be counted: ${count}`,
      ...(servers.length === 0 ? [] : ['', ...serverTable(servers)]),
    ])
  } finally {
    await sessions.close()
  }
}

const serverStats = async (
  read: FromEnvironment,
  options: StoreOptions<Record<string, unknown>>,
): Promise<readonly ServerStats[]> => {
  if (read.cache?.kind !== 'memcached') return []
  const { servers, credentials, tls, connectTimeoutMs, operationTimeoutMs } = resolveMemcached(
    memcachedOptionsOf(read, read.cache) as never,
  )
  const runtime = runtimeOf(options.runtime)
  return await Promise.all(
    servers.map(async (server) => {
      try {
        const timeoutMs = connectTimeoutMs + operationTimeoutMs
        return {
          server: server.address,
          ...countersOf(await statisticsOf(server, { credentials, tls, timeoutMs, runtime })),
        }
      } catch (error) {
        return { server: server.address, error: isError(error) ? error.message : 'it could not be asked' }
      }
    }),
  )
}

const countersOf = ({ general }: Statistics): Omit<Exclude<ServerStats, { readonly error: string }>, 'server'> => {
  const number = (name: string): number => numberIn(general, name) ?? 0
  return {
    entries: number('curr_items'),
    bytes: number('bytes'),
    maxBytes: number('limit_maxbytes'),
    hits: number('get_hits'),
    misses: number('get_misses'),
    evictions: number('evictions'),
    connections: number('curr_connections'),
    uptimeMs: number('uptime') * 1_000,
  }
}

const serverTable = (servers: readonly ServerStats[]): readonly string[] =>
  table(
    ['server', 'entries', 'memory', 'hits', 'evictions', 'connections', 'up for'],
    servers.map((each) => {
      if ('error' in each) return [each.server, each.error]
      const asked = each.hits + each.misses
      return [
        each.server,
        String(each.entries),
        `${size(each.bytes)} of ${size(each.maxBytes)}`,
        asked === 0 ? '' : `${((each.hits / asked) * 100).toFixed(1)} %`,
        String(each.evictions),
        String(each.connections),
        duration(each.uptimeMs),
      ]
    }),
  )
