/** The stores that serve the requests, each as its own documentation says. */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import connectMemcached from 'connect-memcached'
import connectPgSimple from 'connect-pg-simple'
import { RedisStore } from 'connect-redis'
import session, { type SessionData as Kept, MemoryStore, Store } from 'express-session'
import { createSessionStore } from 'nonstick'
import { NonstickStore } from 'nonstick/express'
import { redis } from 'nonstick/redis'
import pg from 'pg'
import { createClient } from 'redis'
import { type BareSocket, bareSocket } from './bare-socket.js'
import { PATIENT, patientMemcached, patientPostgres } from './patient.js'

/** Where the servers are; each store takes what it needs. */
export interface Places {
  /** `host:port` */
  readonly memcached: string
  /** A URL. */
  readonly redis: string
  /** A URL. */
  readonly database: string
  /** What cookies are signed with: the same in all processes that share sessions. */
  readonly secret: string
}

const DAY_SECONDS = 86_400

/**
 * The least that a store in another process can do: a get, a set, and JSON. It knows of no touch, so a session that is only
 * read ends although it is used; nobody wants that, and nobody can be faster.
 */
class BareStore extends Store {
  readonly #socket: BareSocket

  constructor(socket: BareSocket) {
    super()
    this.#socket = socket
  }

  override get(sid: string, callback: (error: unknown, session?: Kept | null) => void): void {
    this.#socket.get(sid).then(
      (bytes) => callback(null, bytes === undefined ? null : (JSON.parse(bytes.toString()) as Kept)),
      (error: unknown) => callback(error),
    )
  }

  override set(sid: string, kept: Kept, callback?: (error?: unknown) => void): void {
    this.#socket.set(sid, Buffer.from(JSON.stringify(kept))).then(() => callback?.(), callback)
  }

  override destroy(_: string, callback?: (error?: unknown) => void): void {
    callback?.()
  }
}

const redisClient = async (url: string) => {
  const client = createClient({ url })
  client.on('error', () => {})
  return await client.connect()
}

/** The same in each process of a run, and of no worth beyond it. */
const sealingKey = createHash('sha256').update('the key of a benchmark').digest()

/** The store of nonstick on PostgreSQL, for the adapters. */
export const nonstickOnPostgres = async (places: Places, isSealed = false) => {
  const sessions = createSessionStore({
    cache: patientMemcached(places.memcached),
    backend: patientPostgres(places.database),
    ...PATIENT,
    ...(isSealed ? { sealing: { keys: [sealingKey] } } : {}),
  })
  await sessions.ready({ deadlineMs: 60_000 })
  return sessions
}

/** By the names that the tables show. */
export const STORES: Readonly<Record<string, (places: Places) => Store | Promise<Store>>> = {
  MemoryStore: () => new MemoryStore(),
  'connect-memcached': ({ memcached }) => new (connectMemcached(session))({ hosts: [memcached] }),
  'connect-redis': async ({ redis }) => new RedisStore({ client: await redisClient(redis), ttl: DAY_SECONDS }),
  'connect-pg-simple': async ({ database }) => {
    const pool = new pg.Pool({ connectionString: database, max: 10 })
    pool.on('error', () => {})
    const table = readFileSync(createRequire(import.meta.url).resolve('connect-pg-simple/table.sql'), 'utf8')
    await pool.query(table).catch((error: { code?: string }) => {
      // Another process of the same case has made it.
      if (error.code !== '42P07') throw error
    })
    return new (connectPgSimple(session))({ pool, pruneSessionInterval: false })
  },
  'bare socket with JSON': async ({ memcached }) => new BareStore(await bareSocket(memcached)),
  'nonstick on PostgreSQL': async (places) => new NonstickStore({ sessions: await nonstickOnPostgres(places) }),
  'nonstick on Redis': async (places) => {
    const store = new NonstickStore({
      cache: patientMemcached(places.memcached),
      backend: redis({ url: places.redis, queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }),
      ...PATIENT,
    })
    await store.sessions.ready({ deadlineMs: 60_000 })
    return store
  },
  'nonstick on PostgreSQL, sealed': async (places) =>
    new NonstickStore({ sessions: await nonstickOnPostgres(places, true) }),
}
