import { createHash } from 'node:crypto'
import pg from 'pg'
import {
  type MemcachedServer,
  type PostgresServer,
  startMemcached,
  startPostgres,
} from '../../scripts/servers/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { Backend } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { systemRuntime } from '../../src/runtime.js'
import { locate } from '../../src/session/key.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { SealingOptions } from '../../src/store/sealing.js'
import { PATIENT } from '../robots/visitors.js'
import type { Random } from './random.js'

export type Data = Record<string, unknown>
export type Options = Partial<Omit<StoreOptions<Data>, 'cache' | 'backend'>> & {
  readonly cache?: FrontCache
  readonly backend?: Backend
}

/** Real servers, and an attacker's hands in them. Each attempt has a namespace that nobody else uses. */
export interface Ground {
  readonly random: Random
  readonly namespace: string
  readonly memcached: MemcachedServer
  readonly postgres: PostgresServer
  readonly schema: string
  /** A store of the application, in this attempt's namespace. */
  store(options?: Options): SessionStore<Data>
  tiers(): { readonly cache: FrontCache; readonly backend: Backend }
  /** The bytes that Memcached has of a session; `undefined` where it has none. */
  entry(id: string, namespace?: string): Promise<Buffer | undefined>
  /** Puts bytes there, as everybody can who reaches the server. */
  plant(id: string, bytes: Uint8Array, namespace?: string): Promise<void>
  removeEntry(id: string): Promise<void>
  /** Asks PostgreSQL as its administrator. */
  sql(text: string, values?: readonly unknown[]): Promise<readonly Record<string, unknown>[]>
  /** The table of sessions, to be put into a statement. */
  readonly table: string
  /** What PostgreSQL names a session by. */
  rowIdOf(id: string): Buffer
  /** Is called when the attempt is over, the last one first. */
  afterwards(close: () => unknown): void
}

/** The same key for the same name. */
export const keyNamed = (name: string): Uint8Array =>
  createHash('sha256').update(`a key for an attack: ${name}`).digest()

export const SEALED: SealingOptions = { keys: [keyNamed('current')], hashUserIds: keyNamed('users') }

export interface Servers {
  readonly memcached: MemcachedServer
  readonly postgres: PostgresServer
  readonly schema: string
  readonly sql: pg.Client
  stop(): Promise<void>
}

export const startServers = async (): Promise<Servers> => {
  const [cacheServer, database] = await Promise.all([
    startMemcached(),
    startPostgres({ useEnvironment: false, fsync: false }),
  ])
  const sql = new pg.Client({ connectionString: database.adminUrl })
  await sql.connect()
  const schema = 'attack'
  const backend = postgres({ connectionString: database.adminUrl, schema, migrate: true })
  await backend.setUp?.()
  await backend.close()
  return {
    memcached: cacheServer,
    postgres: database,
    schema,
    sql,
    stop: async () => {
      await sql.end()
      await Promise.all([cacheServer.stop(), database.stop()])
    },
  }
}

/** What one attempt stands on. */
export const groundOn = (
  servers: Servers,
  random: Random,
  namespace: string,
): { readonly ground: Ground; readonly leave: () => Promise<void> } => {
  const { schema, sql } = servers
  const closers: (() => unknown)[] = []
  const tiers = (): { readonly cache: FrontCache; readonly backend: Backend } => ({
    cache: memcached({ servers: servers.memcached.address, ...PATIENT.cache }),
    backend: postgres({ connectionString: servers.postgres.adminUrl, schema, ...PATIENT.postgres }),
  })
  const raw = memcached({ servers: servers.memcached.address })
  closers.push(() => raw.close())
  const keyOf = (id: string, of = namespace): string => locate(of, id).key
  const ground: Ground = {
    random,
    namespace,
    memcached: servers.memcached,
    postgres: servers.postgres,
    schema,
    table: `${schema}.session`,
    store: (options = {}) => {
      const store = createSessionStore<Data>({ ...tiers(), namespace, purgeEveryMs: 0, ...options })
      closers.push(() => store.close())
      return store
    },
    tiers,
    entry: async (id, of) => {
      const found = await raw.get(keyOf(id, of))
      return found === undefined ? undefined : Buffer.from(found.value)
    },
    plant: async (id, bytes, of) => {
      await raw.set(keyOf(id, of), bytes, systemRuntime.now() + 600_000)
    },
    removeEntry: async (id) => {
      const found = await raw.get(keyOf(id))
      if (found !== undefined) await raw.delete(keyOf(id), found.token)
    },
    sql: async (text, values = []) => (await sql.query(text, [...values])).rows as readonly Record<string, unknown>[],
    rowIdOf: (id) => Buffer.from(keyOf(id).slice(namespace.length + 1), 'base64url'),
    afterwards: (close) => closers.push(close),
  }
  const leave = async (): Promise<void> => {
    for (const close of closers.splice(0).reverse()) await close()
  }
  return { ground, leave }
}
