/** Sessions in fastify: log in, fill a cart, log out; the same in each of many processes. */
import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify, { type Session } from 'fastify'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { NonstickStore } from 'nonstick/fastify'

declare module 'fastify' {
  interface Session {
    userId?: string
    cart?: string[]
  }
}

const IDLE_MS = 8 * 3_600_000

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<Session>({ identify: (data) => data.userId })

const app = fastify()
await app.register(cookie)
await app.register(fastifySession, {
  store: new NonstickStore<Session>({ sessions }),
  secret,
  saveUninitialized: false,
  cookie: { maxAge: IDLE_MS, sameSite: 'lax', secure: process.env['NODE_ENV'] === 'production' },
})

app.post<{ Params: { user: string } }>('/login/:user', async (request, reply) => {
  // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
  await request.session.regenerate()
  request.session.userId = request.params.user
  return reply.redirect('/')
})

app.post<{ Params: { item: string } }>('/cart/:item', async ({ session, params }) => {
  session.cart = [...(session.cart ?? []), params.item]
  return session.cart
})

app.get('/', async ({ session }) => ({ user: session.userId, cart: session.cart }))

app.post('/logout', async (request, reply) => {
  await request.session.destroy()
  return reply.redirect('/')
})

await app.listen({ host: '127.0.0.1', port: Number(process.env['PORT'] ?? 3000) })
console.log('listening on', app.server.address())

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server: app.server, sessions })
