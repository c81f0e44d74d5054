import { Client, Pool } from 'pg'
import { invalidOption } from '../../errors.js'
import type { OwnPoolOptions, ResolvedPostgresOptions } from './options.js'

export interface PostgresResult {
  readonly rows: readonly Record<string, unknown>[]
}

/** The part of a checked-out `pg` client that is used here. */
export interface PostgresClient {
  query(statement: {
    text: string
    values?: unknown[]
    name?: string
  }): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
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
  /** Read only to name the server in messages. */
  readonly options?: {
    readonly connectionString?: string | undefined
    readonly host?: string | undefined
    readonly port?: number | undefined
  }
}

/** A pool in use: what it reaches, and how to be done with it. */
export interface OpenedPool {
  readonly pool: PostgresPool
  /** `postgres 127.0.0.1:5432`: for messages, without credentials. */
  readonly tier: string
  /** Closes a pool that was opened here; leaves a given one open, without our listener. */
  close(): Promise<void>
}

export const openPool = ({ source, log }: ResolvedPostgresOptions): OpenedPool => {
  const own = 'open' in source ? ownPool(source.open) : undefined
  const pool = 'pool' in source ? source.pool : own
  if (pool === undefined) throw invalidOption('pool', 'a pg.Pool', pool)
  const tier = `postgres ${addressOf('open' in source ? source.open : (source.pool.options ?? {}))}`

  // Without a listener an idle connection that breaks would end the process: that is what 'error' events do.
  const listener = (error: Error): void => log(`${tier} lost an idle connection: ${codeOf(error)}`)
  const listening = own !== undefined || pool.listenerCount('error') === 0
  if (listening) pool.on('error', listener)
  // pg-pool takes its own listener off a new connection before it hands it out. What the server says in the same
  // breath as "ready" (that it is shutting down, say) would have none, and would end the process.
  const ignore = (): void => {}
  const onConnect = (client: PostgresClient): void => void client.on('error', ignore)
  pool.on('connect', onConnect)

  return {
    pool,
    tier,
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
const ownPool = (options: OwnPoolOptions): Pool => new Pool({ ...options, allowExitOnIdle: true, keepAlive: true })

/** pg reads URLs and the environment its own way, so a client that never connects is asked where it would go. */
const addressOf = ({ connectionString, host, port }: NonNullable<PostgresPool['options']>): string => {
  const client = readByPg({
    ...(connectionString === undefined ? {} : { connectionString }),
    ...(host === undefined ? {} : { host }),
    ...(port === undefined ? {} : { port }),
  })
  return `${client.host.includes(':') ? `[${client.host}]` : client.host}:${client.port}`
}

const readByPg = (options: { connectionString?: string; host?: string; port?: number }): Client => {
  try {
    return new Client(options)
  } catch {
    // The complaint of the URL parser holds the URL, and the URL holds the password.
    throw invalidOption('connectionString', 'a connection URL', options.connectionString, { secret: true })
  }
}

const codeOf = (error: Error): string => String((error as { readonly code?: unknown }).code ?? error.name)
