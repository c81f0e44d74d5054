/** Behind a proxy that ends TLS: the browser speaks HTTPS with the proxy, and the proxy speaks HTTP with this program. */
import express from 'express'
import session from 'express-session'
import { NonstickStore } from 'nonstick/express'

declare module 'express-session' {
  interface SessionData {
    userId?: string
  }
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

const app = express()

// How many proxies a request passes on its way from the browser to this program. Set before any middleware.
app.set('trust proxy', Number(process.env['PROXY_HOPS'] ?? 1))

app.use(
  session({
    // Without options the sessions are in this process only: good enough to try this out.
    store: new NonstickStore(),
    secret,
    resave: false,
    saveUninitialized: false,
    cookie: { secure: true, httpOnly: true, sameSite: 'lax' },
  }),
)

app.get('/login', (_req, res) => {
  res.type('html').send('<form method="post" action="/login/ada"><button>Log in as Ada</button></form>')
})

app.post('/login/:user', (req, res, next) => {
  req.session.regenerate((error: unknown) => {
    if (error) return next(error)
    req.session.userId = req.params.user
    req.session.save((failed: unknown) => (failed ? next(failed) : res.redirect(303, '/')))
  })
})

app.get('/', (req, res) => {
  if (req.session.userId === undefined) res.redirect(303, '/login')
  else res.json({ user: req.session.userId })
})

// What this program believes about the browser. Take it out again when it is right: it shows addresses.
app.get('/proxy', (req, res) => {
  res.json({
    secure: req.secure,
    ip: req.ip,
    'x-forwarded-proto': req.get('x-forwarded-proto') ?? null,
    'x-forwarded-for': req.get('x-forwarded-for') ?? null,
  })
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log('listening on', server.address())
})
