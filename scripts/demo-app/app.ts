/**
 * One of the three app processes: express, express-session and nonstick, as anyone would put them together.
 * Nothing here knows that there are others.
 */
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import express, { type ErrorRequestHandler, type Request, type Response } from 'express'
import session from 'express-session'
import { type Backend, createSessionStore } from 'nonstick'
import { couchdb } from 'nonstick/couchdb'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'
import { redis } from 'nonstick/redis'
import pg from 'pg'
import { devices } from './devices.js'
import type { AppConfig, FromApp, ToApp } from './messages.js'
import { told } from './words.js'

const LIST = 'list:'
const NAME = /^[\w.-]{1,40}$/

/** A list of the session is a top-level key of its own, so that two requests which fill two lists merge. */
type Contents = Record<string, unknown>

const contentsOf = (req: Request): Contents => req.session as unknown as Contents

const tell = (message: FromApp): void => {
  if (process.connected) process.send?.(message)
}

/**
 * Longer than the library's defaults, as everything of the demo shares one machine, which may have much else to do. They
 * are for servers that hang; one that is killed refuses connections, and is gone round at once all the same.
 */
const CACHE_TIMEOUT_MS = 4_000
const BACKEND_TIMEOUT_MS = 8_000

const backendAt = (place: AppConfig['backend'], pool: pg.Pool | undefined): Backend => {
  if (place.kind === 'redis') return redis({ url: place.url, queryTimeoutMs: BACKEND_TIMEOUT_MS })
  if (place.kind === 'couchdb')
    return couchdb({
      url: place.url,
      database: place.database,
      absoluteTtlMs: 30 * 86_400_000,
      requestTimeoutMs: BACKEND_TIMEOUT_MS,
    })
  if (pool === undefined) throw new TypeError('PostgreSQL is reached by way of a pool')
  return postgres({ pool, queryTimeoutMs: BACKEND_TIMEOUT_MS })
}

/** Saves now: an error is still an answer with a status then, not a response cut off before its last byte. */
const save = (req: Request): Promise<void> =>
  new Promise((resolve, reject) => {
    req.session.save((error: unknown) => (error ? reject(error) : resolve()))
  })

const serve = (config: AppConfig): { readonly listen: () => Promise<number>; readonly close: () => Promise<void> } => {
  // The library could open its own pool; with ours, `settle` below can reach the connections.
  const pool =
    config.backend.kind === 'postgres'
      ? new pg.Pool({ connectionString: config.backend.databaseUrl, max: 5 })
      : undefined
  const sessions = createSessionStore({
    cache: memcached({
      servers: config.memcachedServer,
      operationTimeoutMs: CACHE_TIMEOUT_MS,
      connectTimeoutMs: CACHE_TIMEOUT_MS,
    }),
    backend: backendAt(config.backend, pool),
    maxStaleCount: config.maxStaleCount,
    ...(config.sealingKey === undefined ? {} : { sealing: { keys: [config.sealingKey] } }),
    // The account page lists the sessions of a user, and ends them.
    identify: ({ user }) => (typeof user === 'string' ? user : undefined),
    // The store's own bounds are a little longer, so that each tier tells what it waited for.
    cacheTimeoutMs: CACHE_TIMEOUT_MS + 1_000,
    backendTimeoutMs: BACKEND_TIMEOUT_MS + 1_000,
    deadlineMs: 30_000,
  })
  sessions.on('flush', ({ reason, count }) => tell({ type: 'flush', reason, count }))
  sessions.on('fault', ({ tier, operation }) => tell({ type: 'fault', tier, operation }))

  const show = (req: Request, res: Response): void => {
    const contents = contentsOf(req)
    const lists = Object.entries(contents).filter(([key]) => key.startsWith(LIST))
    res.json({
      process: config.name,
      pid: process.pid,
      session:
        typeof contents['user'] === 'string'
          ? {
              user: contents['user'],
              loggedInAt: contents['loggedInAt'],
              lists: Object.fromEntries(lists.map(([key, list]) => [key.slice(LIST.length), list])),
            }
          : null,
    })
  }

  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  app.use((_req, res, next) => {
    res.set('X-Answered-By', config.name)
    res.set('Cache-Control', 'no-store')
    next()
  })
  app.use(
    session({
      store: new NonstickStore({ sessions, recordClient: true }),
      name: 'nonstick.demo',
      secret: config.secret,
      resave: false,
      saveUninitialized: false,
      cookie: { httpOnly: true, sameSite: 'strict', maxAge: 3_600_000 },
    }),
  )
  app.use(express.json({ limit: '4kb' }))

  app.get('/api/session', show)

  app.post('/api/login', async (req, res) => {
    const user: unknown = req.body?.user
    if (typeof user !== 'string' || !NAME.test(user)) {
      res.status(400).json({ error: 'a name of letters and digits is needed' })
      return
    }
    Object.assign(contentsOf(req), { user, loggedInAt: new Date().toISOString() })
    await save(req)
    show(req, res)
  })

  app.post('/api/items', async (req, res) => {
    const { list, token }: { list?: unknown; token?: unknown } = req.body ?? {}
    if (typeof list !== 'string' || typeof token !== 'string' || !NAME.test(list) || !NAME.test(token)) {
      res.status(400).json({ error: 'the names of a list and of a thing are needed' })
      return
    }
    const contents = contentsOf(req)
    // Without a session there is nothing to put it in; `show` answers so.
    if (contents['user'] !== undefined) {
      const before = contents[LIST + list]
      contents[LIST + list] = [...(Array.isArray(before) ? before : []), token]
      await save(req)
    }
    show(req, res)
  })

  const logOut = async (req: Request, res: Response): Promise<void> => {
    await new Promise<void>((resolve, reject) => {
      req.session.destroy((error: unknown) => (error ? reject(error) : resolve()))
    })
    res.clearCookie('nonstick.demo')
  }
  const answerer = { process: config.name, pid: process.pid }

  app.post('/api/logout', async (req, res) => {
    await logOut(req, res)
    res.json({ ...answerer, session: null })
  })

  const userOf = (req: Request): string | undefined => {
    const { user } = contentsOf(req)
    return typeof user === 'string' ? user : undefined
  }
  app.use('/api/devices', devices({ sessions, userOf, answerer, logOut }))

  const broken: ErrorRequestHandler = (error: { code?: unknown; status?: unknown }, _req, res, next) => {
    if (res.headersSent) {
      next(error)
      return
    }
    const status = typeof error.status === 'number' ? error.status : 503
    res.status(status).json({ process: config.name, error: typeof error.code === 'string' ? error.code : 'E_UNKNOWN' })
  }
  app.use(broken)

  let server: Server | undefined

  const listen = (): Promise<number> =>
    new Promise((resolve, reject) => {
      const listening = app.listen(0, '127.0.0.1', (error?: Error) => {
        if (error) reject(error)
        else resolve((listening.address() as AddressInfo).port)
      })
      server = listening
    })

  const close = async (): Promise<void> => {
    server?.close()
    server?.closeAllConnections()
    closed ??= await sessions.close()
    if (pool?.ended === false) await pool.end()
  }
  let closed: Awaited<ReturnType<typeof sessions.close>> | undefined

  /**
   * PostgreSQL connections hand in their counters up to ten seconds late. Asked for, each does at once. (Before
   * version 15 there is no asking; the counters are then late.)
   */
  const settle = async (): Promise<void> => {
    if (pool === undefined) return
    const clients = await Promise.all(Array.from({ length: pool.totalCount }, () => pool.connect()))
    await Promise.all(
      clients.map((client) =>
        client
          .query('select pg_stat_force_next_flush()')
          .catch(() => undefined)
          .finally(() => client.release()),
      ),
    )
  }

  process.on('message', (message: ToApp) => {
    if (message.type !== 'ask') return
    const { id, question } = message
    const work = question === 'settle' ? settle() : question === 'close' ? close() : Promise.resolve()
    work
      .catch((error: unknown) => console.error(`${config.name} could not ${question}: ${told(error)}`))
      .finally(() => {
        tell({ type: 'answer', id, stats: sessions.stats(), ...(closed === undefined ? {} : { closed }) })
        // Nothing keeps this process alive after `close` but the channel.
        if (question === 'close') process.disconnect?.()
      })
      .catch(() => undefined)
  })
  return { listen, close }
}

// Ctrl-C reaches every process of the terminal's group; the launcher is the one that decides.
process.on('SIGINT', () => undefined)

process.once('message', (message: ToApp) => {
  if (message.type !== 'start') return
  const app = serve(message.config)
  const leave = (): void => {
    app.close().then(
      () => process.exit(0),
      () => process.exit(1),
    )
  }
  process.once('SIGTERM', leave)
  // The launcher is gone, in whatever way.
  process.once('disconnect', leave)
  app.listen().then(
    (port) => tell({ type: 'ready', port }),
    (error: unknown) => {
      tell({ type: 'failed', reason: told(error) })
      leave()
    },
  )
})
