import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { fromExpressStore, NonstickStore } from 'nonstick/express'
import { createClient } from 'redis'

const secret = process.env['SESSION_SECRET']
if (!secret)
  throw new Error('Set SESSION_SECRET to the secret of the old application (a new one: openssl rand -base64 32)')

// The store that the application had, made as it was made there.
const client = createClient({ url: process.env['REDIS_URL'] ?? 'redis://127.0.0.1:6379' })
client.on('error', (error) => console.error(error))
await client.connect()
const oldStore = new RedisStore({ client })

const app = express()
app.use(
  session({
    // Nothing else given: an embedded cache and backend in this process, to try it out.
    store: new NonstickStore({ legacy: fromExpressStore(oldStore) }),
    // The name and the secret of the old application: the cookies that browsers have go on.
    name: 'connect.sid',
    secret,
    resave: false,
    saveUninitialized: false,
  }),
)
app.listen(3000)
