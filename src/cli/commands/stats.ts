import { Command } from 'commander'
import { resolveOptions as resolveMemcached } from '../../caches/memcached/options.js'
import type { TierHealth } from '../../contract/health.js'
import type { FromEnvironment } from '../../environment/read.js'
import { memcachedOptionsOf } from '../../environment/tiers.js'
import { isSessionStoreError } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import type { StoreOptions } from '../../store/options.js'
import { isError } from '../../tools/is-error.js'
import { type Sessions, type StoreFlags, withSessions, withStoreFlags } from '../configuration.js'
import { numberIn, type Statistics, statisticsOf } from '../doctor/memcached-statistics.js'
import { EndsWith, EXIT } from '../exits.js'
import { duration, report, size, table } from '../output.js'

const DESCRIPTION =
  'Shows how the tiers are, how full and how often hit each Memcached server is since it was started, and how many ' +
  'sessions the backend holds. Ends with 1 if one of them is not up or could not be asked. The counters of a running ' +
  'process are its own: `sessions.stats()` tells them.'

/** `nonstick stats`: what the servers count. */
export const statsCommand = (): Command =>
  withStoreFlags(new Command('stats').summary('show what the servers count').description(DESCRIPTION)).action(
    async (flags: StoreFlags) =>
      withSessions('stats', flags, (sessions, options, read) => stats(sessions, options, read, flags)),
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

const stats = async (
  sessions: Sessions,
  options: StoreOptions<Record<string, unknown>>,
  read: FromEnvironment,
  flags: StoreFlags,
): Promise<void> => {
  const [health, servers, counted] = await Promise.all([
    sessions.health(),
    serverStats(read, options),
    sessions.count().catch((error: unknown) => ({
      error: messageOf(error),
      // A backend of somebody else's may be one that cannot count.
      isFault: !isSessionStoreError(error, 'E_CONFIG'),
    })),
  ])
  const { namespace = 'nonstick' } = options
  const isCounted = typeof counted === 'number'
  report(flags, { health, servers, namespace, sessions: isCounted ? counted : counted.error }, () => [
    `cache    ${stateOf(health.cache)}`,
    `backend  ${stateOf(health.backend)}`,
    '',
    isCounted
      ? `${counted} sessions of ${namespace} live in the backend.`
      : `The sessions could not be counted: ${counted.error}`,
    ...(servers.length === 0 ? [] : ['', ...serverTable(servers)]),
  ])
  const isWell =
    health.state === 'up' && (isCounted || !counted.isFault) && servers.every((server) => !('error' in server))
  if (!isWell)
    throw new EndsWith(EXIT.fault, 'not everything is up, or could be asked. `nonstick doctor` says what to do')
}

const stateOf = ({ tier, state, latencyMs, reason }: TierHealth): string =>
  `${tier} is ${state} (${Math.round(latencyMs)} ms)${reason === undefined ? '' : `: ${reason}`}`

const messageOf = (error: unknown): string => (isError(error) ? error.message : 'it could not be asked')

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
        return { server: server.address, error: messageOf(error) }
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
