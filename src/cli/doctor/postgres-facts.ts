/** What `nonstick doctor` asks a PostgreSQL. It reads, and changes nothing. */
import { type OwnPoolOptions, ownPoolOptions, type ServerOptions } from '../../backends/postgres/own-pool.js'
import { quoteIdentifier, type TableNames } from '../../backends/postgres/setup-names.js'
import type { Runtime } from '../../contract/time.js'
import type { Environment } from '../../environment/read.js'
import { isError } from '../../tools/is-error.js'
import { dumpSchema } from './schema-dump.js'

export interface PostgresFacts {
  readonly host: string
  /** Whether the connection is encrypted. */
  readonly isEncrypted: boolean
  /** How far the server's clock is ahead of this machine's; the question took `uncertaintyMs`. */
  readonly aheadMs: number
  readonly uncertaintyMs: number
  /** As `show` gives them. */
  readonly settings: Readonly<Record<string, string>>
  readonly connections: { readonly open: number; readonly most: number }
  /** What could not be asked, and why, in words of the server's. What it would have said is `undefined` then. */
  readonly unseen: readonly string[]
  readonly schema: string | undefined
  /** Of up to a thousand sessions of the namespace: the longest time, in ms, for which one was made. */
  readonly longestLifeMs: number | undefined
  /** How many rows could have been purged for two days; counted to `OVERDUE_AT_MOST`. */
  readonly overdue: number | undefined
}

export interface PostgresQuestion extends TableNames {
  readonly server: ServerOptions
  readonly env: Environment
  readonly namespace: string
  readonly runtime: Runtime
}

export const OVERDUE_AT_MOST = 10_000
const OVERDUE_HOURS = 48
const STATEMENT_TIMEOUT_MS = 5_000

const SETTINGS = [
  'fsync',
  'full_page_writes',
  'synchronous_commit',
  'autovacuum',
  'statement_timeout',
  'idle_in_transaction_session_timeout',
  'transaction_read_only',
] as const

interface Client {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

/** Rejects where no connection can be had. */
export const postgresFacts = async (question: PostgresQuestion): Promise<PostgresFacts> => {
  const { server, env, runtime } = question
  const options: OwnPoolOptions = ownPoolOptions(server, env)
  const { default: pg } = await import('pg')
  const client = new pg.Client({ ...options, application_name: 'nonstick doctor' } as never)
  client.on('error', () => {})
  await client.connect()
  try {
    const settings = await settingsOf(client)
    await client.query(`set statement_timeout = ${STATEMENT_TIMEOUT_MS}`)
    const unseen: string[] = []
    const orUnseen = async <T>(what: string, ask: () => Promise<T>): Promise<T | undefined> => {
      try {
        return await ask()
      } catch (error) {
        unseen.push(`${what}: ${isError(error) ? error.message : 'it failed'}`)
        return undefined
      }
    }
    return {
      host: options.host,
      settings,
      ...(await clockOf(client, runtime)),
      isEncrypted: (await oneOf(client, 'select ssl from pg_stat_ssl where pid = pg_backend_pid()'))['ssl'] === true,
      connections: await connectionsOf(client),
      longestLifeMs: await orUnseen('the lives of sessions', () => longestLifeOf(client, question)),
      overdue: await orUnseen('what could be purged', () => overdueOf(client, question)),
      schema: await orUnseen('the schema', () => dumpSchema(client, question.schema)),
      unseen,
    }
  } finally {
    await client.end().catch(() => {})
  }
}

const oneOf = async (client: Client, text: string, values: unknown[] = []): Promise<Record<string, unknown>> =>
  (await client.query(text, values)).rows[0] ?? {}

const settingsOf = async (client: Client): Promise<Readonly<Record<string, string>>> => {
  const { rows } = await client.query('select name, current_setting(name) as value from unnest($1::text[]) as name', [
    [...SETTINGS],
  ])
  return Object.fromEntries(rows.map(({ name, value }) => [String(name), String(value)]))
}

const clockOf = async (client: Client, runtime: Runtime): Promise<Pick<PostgresFacts, 'aheadMs' | 'uncertaintyMs'>> => {
  const before = runtime.now()
  const row = await oneOf(client, 'select extract(epoch from clock_timestamp()) * 1000 as now')
  const after = runtime.now()
  return { aheadMs: Math.round(Number(row['now']) - (before + after) / 2), uncertaintyMs: (after - before) / 2 }
}

const connectionsOf = async (client: Client): Promise<PostgresFacts['connections']> => {
  const row = await oneOf(
    client,
    `select
       (select count(*) from pg_stat_activity where datid is not null) as open,
       current_setting('max_connections')::integer - current_setting('superuser_reserved_connections')::integer as most`,
  )
  return { open: Number(row['open']), most: Number(row['most']) }
}

const relation = ({ schema, table }: TableNames): string => `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`

const longestLifeOf = async (client: Client, question: PostgresQuestion): Promise<number> => {
  const row = await oneOf(
    client,
    `select coalesce(max(extract(epoch from absolute_expires_at - created_at)), 0) * 1000 as life
     from (
       select absolute_expires_at, created_at
       from ${relation(question)}
       where namespace = $1 and destroyed_at is null and expires_at > now()
       limit 1000
     ) as sample`,
    [question.namespace],
  )
  return Math.round(Number(row['life']))
}

const overdueOf = async (client: Client, question: PostgresQuestion): Promise<number> => {
  const row = await oneOf(
    client,
    `select count(*) as overdue
     from (
       select 1
       from ${relation(question)}
       where purge_hour < floor(extract(epoch from now()) / 3600) - ${OVERDUE_HOURS}
       limit ${OVERDUE_AT_MOST}
     ) as sample`,
  )
  return Number(row['overdue'])
}
