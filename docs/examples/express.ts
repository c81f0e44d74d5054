/** Sessions in express: log in, fill a cart, log out; the same in each of many processes. */
import express from 'express'
import session from 'express-session'
import { drainOnSignal } from 'nonstick'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

declare module 'express-session' {
  interface SessionData {
    userId?: string
    cart?: string[]
  }
}

const IDLE_MS = 8 * 3_600_000

const store = new NonstickStore({
  cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? '127.0.0.1:11211' }),
  backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/nonstick' }),
  idleTtlMs: IDLE_MS,
  identify: (data) => data.userId,
})

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

const app = express()
app.use(
  session({
    store,
    secret,
    resave: false,
    saveUninitialized: false,
    rolling: true,
    cookie: { maxAge: IDLE_MS, httpOnly: true, sameSite: 'lax' },
  }),
)

app.post('/login/:user', (req, res, next) => {
  // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
  req.session.regenerate((error: unknown) => {
    if (error) return next(error)
    req.session.userId = req.params.user
    // Saved before the redirect goes out: the browser may be back before this response has ended.
    req.session.save((failed: unknown) => (failed ? next(failed) : res.redirect('/')))
  })
})

app.post('/cart/:item', (req, res) => {
  req.session.cart = [...(req.session.cart ?? []), req.params.item]
  res.json(req.session.cart)
})

app.get('/', (req, res) => {
  res.json({ user: req.session.userId, cart: req.session.cart })
})

app.post('/logout', (req, res, next) => {
  req.session.destroy((error: unknown) => (error ? next(error) : res.redirect('/')))
})

const server = app.listen(Number(process.env['PORT'] ?? 3000))

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions: store })
