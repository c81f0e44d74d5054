import { Pool } from 'pg'
import type { Runtime } from '../../contract/time.js'
import { invalidOption, SessionStoreError } from '../../errors.js'
import type { Metered } from './answer-meter.js'
import { type ConnectionString, isHost, readConnectionString } from './connection-string.js'
import { MeteredClient, meteredByBytes } from './metered-client.js'
import type { OwnPoolOptions } from './own-pool.js'
import type { ValueTypes } from './types.js'

export interface PostgresResult {
  readonly rows: readonly Record<string, unknown>[]
}

/** A statement as `pg` takes it. */
export interface PostgresQuery {
  text: string
  values?: unknown[]
  name?: string
  types?: ValueTypes
}

/**
 * The part of a checked-out `pg` client that is used here. To cancel a statement that is given up, its `host`, `port`,
 * `ssl`, `processID` and `secretKey` are read as well, where it has them.
 */
export interface PostgresClient {
  query(statement: PostgresQuery): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
  /** `I`: no transaction is open. Where it is missing, that is taken for granted. */
  getTransactionStatus?(): string | null
  /** Lets the process end while it is open. */
  unref?(): void
  /** Gives it back; with an error or `true` it is closed instead. */
  release(destroy?: Error | boolean): void
  on(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
}

/** The part of `pg.Pool` that is used here, so that these types never pin a version of `pg`. */
export interface PostgresPool {
  connect(): Promise<PostgresClient>
  on(event: 'error', listener: (error: Error) => void): unknown
  on(event: 'connect', listener: (client: PostgresClient) => void): unknown
  removeListener(event: 'error', listener: (error: Error) => void): unknown
  removeListener(event: 'connect', listener: (client: PostgresClient) => void): unknown
  listenerCount(event: 'error'): number
  /** Read only to name the server in messages, and to refuse what would end the process. */
  readonly options?: {
    readonly connectionString?: string | undefined
    readonly host?: string | undefined
    readonly port?: number | undefined
    readonly ssl?: unknown
    readonly binary?: unknown
  }
}

/** The application's own pool, or how to open one. */
export type PoolSource = { readonly pool: PostgresPool } | { readonly open: OwnPoolOptions }

export interface PoolSettings {
  readonly source: PoolSource
  readonly log: (message: string) => void
  readonly runtime: Runtime
  readonly queryTimeoutMs: number
}

/** A pool in use: what it reaches, and how to be done with it. */
export interface OpenedPool {
  readonly pool: PostgresPool
  /** `postgres 127.0.0.1:5432`: for messages, without credentials. */
  readonly tier: string
  /** When a connection was opened, by the monotonic clock; nothing of one that was opened before this pool was ours. */
  openedAt(client: object): number | undefined
  /** Who counts the answers on a connection that is lent out; nobody where pg is not what reads it. */
  meterOf(client: object): Metered | undefined
  /** What a new connection is told first, where it is ours alone. */
  readonly limits: ((client: object) => PostgresQuery) | undefined
  /** Closes a pool that was opened here; leaves a given one open, without our listener. */
  close(): Promise<void>
}

export const openPool = ({ source, log, runtime, queryTimeoutMs }: PoolSettings): OpenedPool => {
  const own = 'open' in source ? ownPool(source.open) : undefined
  const pool = 'pool' in source ? source.pool : own
  if (pool === undefined) throw invalidOption('pool', 'a pg.Pool', pool)
  if ('pool' in source) {
    refuseOtherThings(source.pool)
    refuseFatalSsl(source.pool.options ?? {})
    if (source.pool.options?.binary)
      throw invalidOption('pool', 'a pg.Pool without `binary`, which damages bytes', pool)
  }
  const tier = ['postgres', addressOf('open' in source ? source.open : (source.pool.options ?? {}))].join(' ').trimEnd()

  // Without a listener an idle connection that breaks would end the process: that is what 'error' events do.
  const listener = (error: Error): void => log(`${tier} lost an idle connection: ${codeOf(error)}`)
  const listening = own !== undefined || pool.listenerCount('error') === 0
  if (listening) pool.on('error', listener)
  // pg-pool takes its own listener off a new connection before it hands it out. What the server says in the same
  // breath as "ready" (that it is shutting down, say) would have none, and would end the process.
  const ignore = (): void => {}
  const openedAt = new WeakMap<object, number>()
  const meters = new WeakMap<object, Metered | undefined>()
  const onConnect = (client: PostgresClient | undefined): void => {
    // Something else that has an event of this name may tell it without a client, and what throws here ends the process.
    if (typeof client?.on !== 'function') return
    client.on('error', ignore)
    openedAt.set(client, runtime.monotonicMs())
  }
  pool.on('connect', onConnect)

  return {
    pool,
    tier,
    openedAt: (client) => openedAt.get(client),
    meterOf: (client) => {
      if (client instanceof MeteredClient) return client
      if (!meters.has(client)) meters.set(client, meteredByBytes(client))
      return meters.get(client)
    },
    limits: own === undefined ? undefined : (client) => limitsFor(client, queryTimeoutMs),
    close: async () => {
      // Our own pool keeps its listener: its last connections may break while they are being closed.
      if (own !== undefined) await own.end()
      else {
        if (listening) pool.removeListener('error', listener)
        pool.removeListener('connect', onConnect)
      }
    },
  }
}

/** The pool never keeps a process alive by itself: only a statement under way does. */
const ownPool = (options: OwnPoolOptions): Pool =>
  new Pool({ ...options, Client: MeteredClient, allowExitOnIdle: true, keepAlive: true })

/** What a client has, whichever of its kinds: `pg.Client`, the native one, or one that a pool has lent out. */
const OF_A_CLIENT = ['escapeLiteral', 'getTransactionStatus', 'processID', 'connectionParameters', 'release'] as const

/** What is easily given in place of a pool, and has all the methods that a pool must have. */
const refuseOtherThings = (pool: PostgresPool): void => {
  if (OF_A_CLIENT.some((name) => name in pool))
    throw invalidOption(
      'pool',
      'a pg.Pool, as `new pg.Pool({ … })` makes it, since calls at once need connections of their own; a single client is none',
      pool,
    )
  if (Reflect.get(pool, 'ending') === true || Reflect.get(pool, 'ended') === true)
    throw invalidOption('pool', 'a pg.Pool that is open; this one was ended', pool)
}

/** Whether a pool gave us a connection, by the methods that are needed of one. */
export const isClient = (given: unknown): given is PostgresClient =>
  typeof given === 'object' &&
  given !== null &&
  (['query', 'release', 'on', 'removeListener'] as const).every(
    (name) => typeof Reflect.get(given, name) === 'function',
  )

/** Of a pool whose `connect()` gave something else. */
export const noClient = (): SessionStoreError =>
  new SessionStoreError('E_CONFIG', 'Expected `pool` to be a pg.Pool, whose `connect()` gives a client; it gave none')

const NOTHING_SAID: ConnectionString = { parameters: new Map() }

type GivenPoolOptions = NonNullable<PostgresPool['options']>

/** Where a pool leads; nothing where that cannot be told from a password. What a URL says counts more than `host`. */
const addressOf = ({ connectionString, host, port }: GivenPoolOptions): string => {
  const url = connectionString === undefined ? NOTHING_SAID : readOrNothing(connectionString)
  if (url === undefined) return ''
  const name = url.host ?? (host || process.env['PGHOST'] || 'localhost')
  if (!isHost(name)) return ''
  return `${name.includes(':') ? `[${name}]` : name}:${url.port ?? (port || process.env['PGPORT'] || 5432)}`
}

/** The texts that pg makes a boolean or TLS options of, in a URL and as an option. */
const SSL_IN_URL: ReadonlySet<unknown> = new Set(['true', '1', '0', 'no-verify', ''])
const SSL_AS_OPTION: ReadonlySet<unknown> = new Set(['true', 'no-verify', ''])

/** pg takes any other text for TLS options, and ends the process over it at the first connection. */
const refuseFatalSsl = ({ connectionString, ssl }: GivenPoolOptions): void => {
  const parameters = connectionString === undefined ? undefined : readOrNothing(connectionString)?.parameters
  const isOverruled = ['sslmode', 'sslcert', 'sslkey', 'sslrootcert'].some((name) => parameters?.get(name))
  const inUrl = parameters?.get('ssl')
  const text = inUrl ?? ssl
  const isUnderstood = typeof text !== 'string' || (inUrl === undefined ? SSL_AS_OPTION : SSL_IN_URL).has(text)
  if (!isUnderstood && !isOverruled)
    throw invalidOption('pool', 'a pg.Pool whose `ssl` is a boolean or TLS options', text, { secret: true })
}

const readOrNothing = (connectionString: string): ConnectionString | undefined => {
  try {
    return readConnectionString(connectionString)
  } catch {
    return undefined
  }
}

/** How much longer than a call a statement may go on at the server, whose client cannot cancel it any more. */
const BEYOND_THE_CALL_MS = 8_000

/**
 * Time-outs of the connection, for a process that dies or freezes and cancels nothing. Only where neither role, database
 * nor server sets them; and not through a pooler, whose connections others use as well: it shows by another process id
 * than the server's. None of it goes into the start-up packet, since poolers refuse what they do not know there.
 */
const limitsFor = (client: object, queryTimeoutMs: number): PostgresQuery => ({
  text: `
select set_config(name, $1, false)
from (values ('statement_timeout'), ('idle_in_transaction_session_timeout')) as missing (name)
where current_setting(name) = '0' and pg_backend_pid() = $2::integer`,
  values: [`${queryTimeoutMs + BEYOND_THE_CALL_MS}ms`, Number(Reflect.get(client, 'processID') ?? 0)],
})

const codeOf = (error: Error): string => String((error as { readonly code?: unknown }).code ?? error.name)
