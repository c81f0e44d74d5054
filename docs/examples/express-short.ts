import express from 'express'
import session from 'express-session'
import { NonstickStore } from 'nonstick/express'
import { memcached } from 'nonstick/memcached'
import { postgres } from 'nonstick/postgres'

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')
const app = express()
const store = new NonstickStore({ cache: memcached({ servers: 'localhost:11211' }), backend: postgres() })
app.use(session({ store, secret, resave: false, saveUninitialized: false }))
app.get('/', ({ session }, response) => void response.json(Object.assign(session, { [Date.now()]: 'a visit' })))
app.listen(3000)
