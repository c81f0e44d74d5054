/** A server that can be stopped at any moment: SIGTERM costs no request its answer, and no session a change. */
import express from 'express'
import session from 'express-session'
import { drainOnSignal } from 'nonstick'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

declare module 'express-session' {
  interface SessionData {
    visits?: number
  }
}

const store = new NonstickStore({
  cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? '127.0.0.1:11211' }),
  backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/nonstick' }),
})

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

const app = express()
app.use(session({ store, secret, resave: false, saveUninitialized: false }))
app.get('/', (req, res) => {
  req.session.visits = (req.session.visits ?? 0) + 1
  res.json(req.session.visits)
})
app.get('/slow', (req, res) => {
  setTimeout(() => {
    req.session.visits = (req.session.visits ?? 0) + 1
    res.json(req.session.visits)
  }, 1_000)
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), () => {
  console.log('listening on', server.address())
})

drainOnSignal({
  server,
  sessions: store,
  deadlineMs: 25_000, // less than the 30 seconds after which Kubernetes kills
  onReport: (report) => console.log('shut down', JSON.stringify(report)),
})
