import type { Runtime } from '../../contract/time.js'
import { areOptions, invalidOption } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import {
  aFunction,
  aRuntime,
  aText,
  checkOptions,
  type Kinds,
  kindOf,
  milliseconds,
  secret,
  trueOrFalse,
  whole,
} from '../../tools/options.js'
import { isHost } from './connection-string.js'
import { type Environment, ownPoolOptions, type ServerOptions } from './own-pool.js'
import { FEWEST_PARTITIONS, MOST_PARTITIONS } from './partitions.js'
import type { PoolSource, PostgresPool } from './pool.js'
import { LARGEST_DATA_BYTES } from './row.js'
import { checkTableNames } from './setup-names.js'

/**
 * Where the server is, told in one way: `connectionString`, `pool`, or any of `host` to `database`. Nothing at
 * all means the `PG*` environment variables, as libpq and pg read them.
 */
export interface PostgresOptions extends ServerOptions {
  /** A `pg.Pool` of your own. It is never closed here; one without an `error` listener gets one until `close()`. */
  readonly pool?: PostgresPool | undefined

  /** Schema of the table: 1 to 63 bytes without control characters, taken literally. @default 'nonstick' */
  readonly schema?: string | undefined
  /** The table of sessions: 1 to 40 bytes, taken literally; not `migration`. @default 'session' */
  readonly table?: string | undefined
  /**
   * Create and migrate the table at the first call, under a lock that other processes wait for. The role then
   * needs the right to create; without it, `npx nonstick setup` does the same once, beforehand.
   * @default false
   */
  readonly migrate?: boolean | undefined
  /**
   * In how many parts `migrate` and `setUp()` make the table of sessions, over which the server spreads the rows by a
   * hash of their keys: 2 to 1024. A table that is there already must have as many, or they reject with
   * `E_BACKEND_SCHEMA`; nothing else looks at this. @default one table, or what is there
   */
  readonly partitions?: number | undefined

  /**
   * How long a whole call may take, in ms, waiting for a connection included: 1 to 2147483647. A statement that is
   * not answered by then costs its connection, which is destroyed. @default 2_000
   */
  readonly queryTimeoutMs?: number | undefined
  /**
   * After how long the server gives up on a statement, in ms; 0 leaves that to the server and the role
   * (`npx nonstick setup` sets it on the role, which costs nothing). Any other value wraps each statement in a
   * transaction with `set local`: three round trips in place of one. @default 0
   */
  readonly statementTimeoutMs?: number | undefined
  /**
   * Let the server keep parsed statements by name: a fifth less CPU here. Off, because pgbouncer in transaction
   * mode before 1.21 (or without `max_prepared_statements`) breaks on them. @default false
   */
  readonly namedStatements?: boolean | undefined

  /**
   * How much data a session may have, in bytes: 1024 to 268000000, its user id counted in. More is refused with
   * `E_SESSION_TOO_LARGE` before it is sent, and an answer that has more than was asked for may come to is not read; its
   * connection is ended. Give every process the same, and at least the `maxSessionBytes` of the store.
   * @default 16_777_216
   */
  readonly maxDataBytes?: number | undefined

  /** Clock and timers of the deadlines. @default systemRuntime */
  readonly runtime?: Runtime | undefined
  /** Told of connections that were lost while nobody used them; no ids, no credentials. @default silence */
  readonly log?: ((message: string) => void) | undefined
}

export interface ResolvedPostgresOptions {
  readonly source: PoolSource
  readonly schema: string
  readonly table: string
  readonly migrate: boolean
  readonly partitions: number | undefined
  readonly queryTimeoutMs: number
  readonly statementTimeoutMs: number
  readonly namedStatements: boolean
  readonly maxDataBytes: number
  readonly runtime: Runtime
  readonly log: (message: string) => void
}

const DISCRETE = ['host', 'port', 'user', 'password', 'database'] as const
const OF_OUR_OWN_POOL = ['ssl', 'maxConnections', 'connectTimeoutMs', 'applicationName'] as const

const aName = aText('a name')

const KINDS: Kinds<PostgresOptions> = {
  connectionString: aText('a connection URL'),
  pool: secret(kindOf('a pg.Pool', (value) => isPool(value))),
  host: secret(
    kindOf(
      'one host name, one address, or the folder of a socket',
      (value) => typeof value === 'string' && isHost(value),
    ),
  ),
  port: whole(1, 65_535),
  user: aName,
  password: secret(kindOf('a text or a function', (value) => typeof value === 'string' || typeof value === 'function')),
  database: aName,
  ssl: secret(kindOf('a boolean or TLS options', (value) => typeof value === 'boolean' || areOptions(value))),
  schema: aName,
  table: aName,
  migrate: trueOrFalse,
  partitions: whole(FEWEST_PARTITIONS, MOST_PARTITIONS),
  maxConnections: whole(1, 10_000),
  connectTimeoutMs: milliseconds(1),
  queryTimeoutMs: milliseconds(1),
  statementTimeoutMs: milliseconds(0),
  namedStatements: trueOrFalse,
  maxDataBytes: whole(1_024, LARGEST_DATA_BYTES),
  applicationName: aText('a text that is not empty'),
  runtime: aRuntime,
  log: aFunction(),
}

/**
 * @param env the environment, for what the options leave out
 * @throws SessionStoreError `E_CONFIG`
 */
export const resolvePostgresOptions = (
  options: PostgresOptions,
  env: Environment = process.env,
): ResolvedPostgresOptions => {
  checkOptions('postgres(options)', options, KINDS, '{ connectionString }')
  const { schema = 'nonstick', table = 'session' } = options
  checkTableNames({ schema, table })
  return Object.freeze({
    source: sourceOf(options, env),
    schema,
    table,
    migrate: options.migrate ?? false,
    partitions: options.partitions,
    queryTimeoutMs: options.queryTimeoutMs ?? 2_000,
    statementTimeoutMs: options.statementTimeoutMs ?? 0,
    namedStatements: options.namedStatements ?? false,
    maxDataBytes: options.maxDataBytes ?? 16_777_216,
    runtime: runtimeOf(options.runtime),
    log: options.log ?? (() => {}),
  })
}

/** Two ways of naming the server would leave it to chance which one counts. */
const sourceOf = (options: PostgresOptions, env: Environment): PoolSource => {
  const { pool, connectionString } = options
  const refuseWith = (given: string, names: readonly (keyof PostgresOptions)[]): void => {
    for (const name of names)
      if (options[name] !== undefined)
        throw invalidOption(name, `left out where \`${given}\` is given`, options[name], { secret: true })
  }
  if (pool !== undefined) {
    refuseWith('pool', ['connectionString', ...DISCRETE, ...OF_OUR_OWN_POOL])
    return { pool }
  }
  if (connectionString !== undefined) refuseWith('connectionString', DISCRETE)
  return { open: ownPoolOptions(options, env) }
}

const isPool = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (['connect', 'on', 'removeListener', 'listenerCount'] as const).every(
    (name) => typeof Reflect.get(value, name) === 'function',
  )
