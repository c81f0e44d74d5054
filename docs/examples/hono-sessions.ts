/** Sessions in Hono by hono-sessions: log in, fill a cart, log out; the same in each of many processes. */
import { serve } from '@hono/node-server'
import { Hono } from 'hono'
import { type Session, sessionMiddleware } from 'hono-sessions'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { NonstickStore } from 'nonstick/hono'

interface ShopSession {
  userId?: string
  cart?: string[]
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<ShopSession>({ identify: (data) => data.userId })

const app = new Hono<{ Variables: { session: Session<ShopSession>; session_key_rotation: boolean } }>()

app.use(
  '*',
  sessionMiddleware({
    store: new NonstickStore({ sessions, encrypted: true }),
    encryptionKey: secret,
    expireAfterSeconds: 8 * 3_600,
    cookieOptions: { path: '/', httpOnly: true, sameSite: 'Lax', maxAge: 8 * 3_600 },
  }),
)

app.post('/login/:user', (c) => {
  // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
  c.set('session_key_rotation', true)
  c.get('session').set('userId', c.req.param('user'))
  return c.redirect('/')
})

app.post('/cart/:item', (c) => {
  const session = c.get('session')
  const cart = [...(session.get('cart') ?? []), c.req.param('item')]
  session.set('cart', cart)
  return c.json(cart)
})

app.get('/', (c) => {
  const session = c.get('session')
  return c.json({ user: session.get('userId'), cart: session.get('cart') })
})

app.post('/logout', (c) => {
  c.get('session').deleteSession()
  return c.redirect('/')
})

const server = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' }, (info) => {
  console.log('listening on', info)
})

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })
