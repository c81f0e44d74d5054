/**
 * One process of an application with express-session, driven by `fleet.ts`: an old one, on the store that the application
 * leaves, or a new one, on this library's store with the old one as `legacy`. It ends with whoever started it.
 */
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express, { type Request } from 'express'
import session from 'express-session'
import { fromExpressStore, NonstickStore } from '../../src/adapters/express.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { Instructions, Report } from './fleet.js'
import { openOldStore } from './old-stores.js'

/** A busy machine must not look like a server that is away. */
const PATIENCE_MS = 8_000

type Bag = Record<string, unknown>
const bag = (req: Request): Bag => req.session as unknown as Bag

const { secret, old, fresh } = JSON.parse(process.argv[2] ?? '') as Instructions
const opened = await openOldStore(old)
const ours =
  fresh === undefined
    ? undefined
    : new NonstickStore({
        cache: memcached({
          servers: fresh.cacheAddress,
          operationTimeoutMs: PATIENCE_MS,
          connectTimeoutMs: PATIENCE_MS,
        }),
        backend: postgres({
          ...{ connectionString: fresh.connectionString, schema: fresh.schema, maxConnections: 6 },
          ...{ connectTimeoutMs: PATIENCE_MS, queryTimeoutMs: PATIENCE_MS },
        }),
        ...{ cacheTimeoutMs: PATIENCE_MS, backendTimeoutMs: PATIENCE_MS, deadlineMs: 3 * PATIENCE_MS },
        identify: (data) => (data as unknown as Bag)['user'] as string | undefined,
        legacy: fromExpressStore(opened.store),
      })

const app = express()
app.use(
  session({
    ...{ store: ours ?? opened.store, secret, resave: false, saveUninitialized: false },
    cookie: { maxAge: 3_600_000 },
  }),
)
const shown = (req: Request): Report => ({
  user: bag(req)['user'] as string | undefined,
  notes: Object.keys(bag(req)).filter((name) => name.startsWith('note ')),
})
app.get('/login', (req, res, next) => {
  req.session.regenerate((error) => {
    if (error) return next(error)
    bag(req)['user'] = req.query['user']
    res.json(shown(req))
  })
})
app.get('/note', (req, res) => {
  if (bag(req)['user'] !== undefined) bag(req)[`note ${String(req.query['note'])}`] = true
  res.json(shown(req))
})
app.get('/logout', (req, res, next) => {
  req.session.destroy((error) => (error ? next(error) : res.json({ notes: [] } satisfies Report)))
})
app.get('/', (req, res) => {
  res.json(shown(req))
})

const server = app.listen(0, '127.0.0.1')
await once(server, 'listening')
process.send?.({ port: (server.address() as AddressInfo).port, stats: undefined })
process.on('disconnect', () => process.exit(1))
process.on('message', async () => {
  // As a deployment ends a process: no new connection, and every request that has begun is answered.
  server.close()
  server.closeIdleConnections()
  await once(server, 'close')
  const stats = ours?.sessions.stats()
  const report = await ours?.close({ deadlineMs: PATIENCE_MS })
  await opened.close()
  process.send?.({ port: 0, stats: stats && { adopted: stats.adopted, ...report } }, () => process.exit(0))
})
