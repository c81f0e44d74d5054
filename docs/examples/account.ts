/** The account page of an express application: a user sees where he is logged in, and ends what he does not know. */
import express, { type Request } from 'express'
import session from 'express-session'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

declare module 'express-session' {
  interface SessionData {
    userId?: string
  }
}

const store = new NonstickStore({
  cache: memcached({ servers: process.env['MEMCACHED_SERVERS'] ?? '127.0.0.1:11211' }),
  backend: postgres({ connectionString: process.env['DATABASE_URL'] ?? 'postgres://127.0.0.1/nonstick' }),
  identify: (data) => data.userId, // whose session it is
  maxSessionsPerUser: 5, // the sixth login ends the oldest of the five
  recordClient: true, // the page shows address and browser
})
const { sessions } = store

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

const app = express()
app.use(session({ store, secret, resave: false, saveUninitialized: false }))

/** The user of this request. (Your own routes before this one send a visitor who is nobody to the login.) */
const userOf = (req: Request): string => req.session.userId ?? ''
app.use('/account', (req, res, next) => (userOf(req) === '' ? res.sendStatus(401) : next()))

app.get('/account/devices', async (req, res) => {
  const here = sessions.handleOf(req.sessionID)
  const devices = []
  for await (const { handle, createdAt, seenAt, address, userAgent } of sessions.listByUser(userOf(req)))
    devices.push({ handle, isThis: handle === here, createdAt, seenAt, address, userAgent })
  res.json(devices)
})

// A handle that comes from a browser may name anybody's session: a user ends his own, and nobody else's.
app.delete('/account/devices/:handle', async (req, res) => {
  for await (const { handle } of sessions.listByUser(userOf(req)))
    if (handle === req.params.handle) {
      await sessions.destroyByHandle(handle)
      return void res.sendStatus(204)
    }
  res.sendStatus(404)
})

app.post('/account/log-out-other-devices', async (req, res) => {
  await sessions.destroyByUser(userOf(req), { except: req.sessionID })
  res.sendStatus(204)
})

app.listen(3000)
