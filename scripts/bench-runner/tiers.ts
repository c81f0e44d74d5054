/** The servers of a run, and what they count of what is asked of them. */
import pg from 'pg'
import {
  ensureMemcached,
  ensureRedis,
  type MemcachedServer,
  memcachedCounts,
  memcachedVersion,
  type PostgresServer,
  type RedisServer,
  startMemcached,
  startPostgres,
  startRedis,
} from '../servers/index.js'

/** What a server was asked since it started. */
export interface Counts {
  readonly commands?: number
  readonly bytes?: number
  readonly statements?: number
  /** Rows that were inserted, updated or deleted. Of a batch that is filled up, what fills it up counts as well. */
  readonly rows?: number
}

/** A server, or a database of one, that one case has for itself, so that nothing else is counted there. */
export interface Counted<Server> {
  readonly server: Server
  counts(): Promise<Counts>
}

export interface Tiers {
  /** The versions of the servers that were started so far. */
  versions(): Promise<Readonly<Record<string, string>>>
  memcached(memoryMb?: number): Promise<Counted<MemcachedServer>>
  redis(): Promise<Counted<RedisServer>>
  /** A new database, by the URL of its owner. */
  database(): Promise<Counted<string>>
  stop(): Promise<void>
}

const STATS_OF_CALLS = ['cmd_get', 'cmd_set', 'cmd_touch', 'delete_hits', 'delete_misses', 'incr_hits', 'decr_hits']

const countsOfMemcached = async (address: string): Promise<Counts> => {
  const count = await memcachedCounts(address)
  const sum = (names: readonly string[]): number => names.reduce((all, name) => all + count(name), 0)
  return { commands: sum(STATS_OF_CALLS), bytes: sum(['bytes_read', 'bytes_written']) }
}

const redisCounts = async (server: RedisServer): Promise<Counts> => {
  const text = await server.ask('info', 'stats')
  const figure = (name: string): number => Number(new RegExp(`^${name}:(\\d+)`, 'm').exec(text)?.[1] ?? 0)
  return {
    commands: figure('total_commands_processed'),
    bytes: figure('total_net_input_bytes') + figure('total_net_output_bytes'),
  }
}

const COUNTS = `
  select sum(calls)::int as statements,
    coalesce(sum(rows) filter (where query ~* '(insert into|update|delete from)'), 0)::int as rows
  from pg_stat_statements where dbid = (select oid from pg_database where datname = $1)`

export const startTiers = async (): Promise<Tiers> => {
  const started: { stop(): Promise<void> }[] = []
  const keep = <Server extends { stop(): Promise<void> }>(server: Server): Server => {
    started.push(server)
    return server
  }
  let database: Promise<{ server: PostgresServer; client: pg.Pool }> | undefined
  let databases = 0

  const openDatabase = async () => {
    const server = keep(await startPostgres({ useEnvironment: false }))
    // One connection: no two databases can be made at once.
    const client = new pg.Pool({ connectionString: server.adminUrl, max: 1 })
    client.on('error', () => {})
    if (server.hasStatStatements) await client.query('create extension pg_stat_statements')
    started.unshift({ stop: () => client.end() })
    return { server, client }
  }

  const versions: Record<string, string> = {}
  return {
    versions: async () => {
      if (database !== undefined) versions['PostgreSQL'] = (await database).server.version.split(' ')[0] ?? ''
      return versions
    },
    memcached: async (memoryMb = 256) => {
      if (ensureMemcached() === undefined) throw new Error('There is no memcached, which is measured with')
      const server = keep(await startMemcached({ memoryMb }))
      versions['memcached'] = await memcachedVersion(server.address)
      return { server, counts: () => countsOfMemcached(server.address) }
    },
    redis: async () => {
      if (ensureRedis() === undefined) throw new Error('There is no redis-server, which is measured with')
      const server = keep(await startRedis())
      versions['Redis'] = /^redis_version:(\S+)/m.exec(await server.ask('info', 'server'))?.[1] ?? ''
      return { server, counts: () => redisCounts(server) }
    },
    database: async () => {
      database ??= openDatabase()
      const { server, client } = await database
      databases += 1
      const name = `bench_${databases}`
      await client.query(`create database ${name}`)
      const url = new URL(server.adminUrl)
      url.pathname = `/${name}`
      return {
        server: url.href,
        counts: async () => {
          if (!server.hasStatStatements)
            throw new Error('This PostgreSQL has no pg_stat_statements (Debian: apt-get install postgresql)')
          const { rows } = await client.query<{ statements: number; rows: number }>(COUNTS, [name])
          return rows[0] ?? {}
        },
      }
    },
    stop: async () => {
      for (const server of started) await server.stop()
    },
  }
}

/** What came on top between two counts, for one of so many operations. */
export const perOperation = (
  before: Counts,
  after: Counts,
  operations: number,
): Partial<Record<keyof Counts, number>> =>
  Object.fromEntries(
    (Object.keys(after) as (keyof Counts)[]).map((name) => [
      name,
      ((after[name] ?? 0) - (before[name] ?? 0)) / operations,
    ]),
  )
