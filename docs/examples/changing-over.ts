import { RedisStore } from 'connect-redis'
import express from 'express'
import session from 'express-session'
import { fromExpressStore, NonstickStore } from 'nonstick/express'
import { createClient } from 'redis'

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
    // As in the old application: the cookies that browsers have go on.
    name: 'connect.sid',
    secret: process.env['SESSION_SECRET'] ?? 'as it was',
    resave: false,
    saveUninitialized: false,
  }),
)
app.listen(3000)
