/** What a careful application adds: re-authentication, a session bound to its device, and a logout that leaves nothing. */
import { createHash, timingSafeEqual } from 'node:crypto'
import express, { type NextFunction, type Request, type Response } from 'express'
import session, { type SessionData } from 'express-session'
import { NonstickStore } from 'nonstick/express'

declare module 'express-session' {
  interface SessionData {
    userId?: string
    /** When the user last showed his password, in ms since 1970. */
    authenticatedAt?: number
    /** The browser in which he did so. */
    device?: string
  }
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')
const password = process.env['ADA_PASSWORD']
if (!password) throw new Error('Set ADA_PASSWORD to the password of Ada, the only user of this program')

const MINUTE_MS = 60_000
const FRESH_MS = Number(process.env['FRESH_MINUTES'] ?? 5) * MINUTE_MS
const COOKIE = '__Host-id'

const store = new NonstickStore({
  // cache: memcached({ … }), backend: postgres({ … }), sealing: { keys: [ … ] },
  idleTtlMs: 15 * MINUTE_MS,
  absoluteTtlMs: 8 * 60 * MINUTE_MS,
  anonymousTtlMs: 15 * MINUTE_MS,
  identify: (data) => data.userId,
})

const app = express()
app.set('trust proxy', 1)
app.use(
  session({
    store,
    secret,
    name: COOKIE,
    resave: false,
    saveUninitialized: false,
    // Without `maxAge` and `expires` the cookie ends with the browser. `__Host-` needs `secure`, `path: '/'` and no domain.
    cookie: { secure: true, httpOnly: true, sameSite: 'strict', path: '/' },
  }),
)

/** Neither the browser nor a proxy keeps a page that was made for one user, nor an answer that sets a cookie. */
app.use((_req, res, next) => {
  res.set('cache-control', 'no-store')
  next()
})

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
const deviceOf = (req: Request): string => digest(req.get('user-agent') ?? '').toString('base64url')
const isRight = (user: unknown, given: unknown): boolean =>
  user === 'ada' && timingSafeEqual(digest(String(given)), digest(password))

/** A new id, and with it what is given; of the old session nothing else is left. */
const begin = (req: Request, data: Partial<SessionData>): Promise<void> =>
  new Promise((resolve, reject) => {
    req.session.regenerate((error: unknown) => {
      if (error) return reject(error)
      Object.assign(req.session, data)
      req.session.save((failed: unknown) => (failed ? reject(failed) : resolve()))
    })
  })

const end = (req: Request): Promise<void> =>
  new Promise((resolve, reject) => {
    req.session.destroy((error: unknown) => (error ? reject(error) : resolve()))
  })

/** Lets a user in, and ends his session where it comes from another browser than he logged in with. */
const loggedIn = async (req: Request, res: Response, next: NextFunction): Promise<void> => {
  if (req.session.userId === undefined) return void res.status(401).json({ need: 'login' })
  if (req.session.device === deviceOf(req)) return next()
  await end(req) // and tell the user, by mail
  res.clearCookie(COOKIE, { secure: true, path: '/' }).status(401).json({ need: 'login' })
}

/** Lets a user on who showed his password a short time ago, and asks all others for it. */
const justAuthenticated = (req: Request, res: Response, next: NextFunction): void => {
  const { authenticatedAt = 0 } = req.session
  if (Date.now() - authenticatedAt < FRESH_MS) next()
  else res.status(401).json({ need: 'password' })
}

app.use(express.json())

app.post('/login', async (req, res) => {
  const { user, password: given } = (req.body ?? {}) as Record<string, unknown>
  if (!isRight(user, given)) return void res.status(403).json({ need: 'login' })
  await begin(req, { userId: String(user), authenticatedAt: Date.now(), device: deviceOf(req) })
  res.sendStatus(204)
})

app.get('/', loggedIn, (req, res) => {
  res.json({ user: req.session.userId, authenticatedAt: req.session.authenticatedAt })
})

// The password once more. The id is a new one afterwards, and the rest of the session stays.
app.post('/again', loggedIn, async (req, res) => {
  const { password: given } = (req.body ?? {}) as Record<string, unknown>
  if (!isRight(req.session.userId, given)) return void res.status(403).json({ need: 'password' })
  const { cookie: _, ...kept } = req.session
  await begin(req, { ...kept, authenticatedAt: Date.now() })
  res.sendStatus(204)
})

// What an intruder would do to keep the account: only with a fresh password, and it ends the sessions everywhere else.
app.post('/mail-address', loggedIn, justAuthenticated, async (req, res) => {
  // … store the new address …
  await store.sessions.destroyByUser(req.session.userId ?? '', { except: req.sessionID })
  res.sendStatus(204)
})

app.post('/logout', async (req, res) => {
  await end(req)
  res.clearCookie(COOKIE, { secure: true, path: '/' })
  res.set('clear-site-data', '"cache", "cookies", "storage"').sendStatus(204)
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log('listening on', server.address())
})
