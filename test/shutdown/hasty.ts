/** An express program with a second to shut down in, and a route that never answers. */
import express from 'express'
import session from 'express-session'
import { NonstickStore } from '../../src/adapters/express.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { drainOnSignal } from '../../src/index.js'

const store = new NonstickStore({
  cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? '' }),
  backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? '' }),
})
const app = express()
app.use(session({ store, secret: 'of a test', resave: false, saveUninitialized: false }))
app.get('/', (req, res) => {
  const bag = req.session as unknown as { visits?: number }
  bag.visits = (bag.visits ?? 0) + 1
  res.json(bag.visits)
})
app.get('/never', () => {})
const server = app.listen(0, () => console.log('listening on', server.address()))
drainOnSignal({
  server,
  sessions: store,
  deadlineMs: 1_000,
  onReport: (report) => console.log('shut down', JSON.stringify(report)),
})
