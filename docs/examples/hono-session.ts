/** Sessions in Hono by @hono/session: log in, fill a cart, log out; the same in each of many processes. */
import { serve } from '@hono/node-server'
import { type SessionEnv, type Storage, useSession } from '@hono/session'
import { Hono } from 'hono'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { NonstickStorage } from 'nonstick/hono'

interface ShopSession extends Record<string, unknown> {
  userId?: string
  cart?: string[]
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<ShopSession>({ identify: (data) => data.userId })
const storage = new NonstickStorage({ sessions })

const app = new Hono<{ Variables: SessionEnv<ShopSession>['Variables'] & { sessionStorage: Storage<ShopSession> } }>()

// The storage's middleware comes first, in place of useSessionStorage.
app.use('*', storage.middleware, useSession<ShopSession>({ secret }))

app.post('/login/:user', async (c) => {
  const { session, sessionStorage } = c.var
  const data = await session.get()
  // A new id for a new privilege: @hono/session makes one where nothing is stored under the old one any more.
  if (data !== null && session.id !== null) await sessionStorage.delete(session.id)
  await session.update({ ...data, userId: c.req.param('user') })
  return c.redirect('/')
})

app.post('/cart/:item', async (c) => {
  await c.var.session.update((data) => ({ ...data, cart: [...(data?.cart ?? []), c.req.param('item')] }))
  return c.json(c.var.session.data?.cart)
})

app.get('/', async (c) => {
  const data = await c.var.session.get()
  return c.json({ user: data?.userId, cart: data?.cart })
})

app.post('/logout', async (c) => {
  // Without get() first, delete() knows no session and ends none.
  await c.var.session.get()
  c.var.session.delete()
  return c.redirect('/')
})

const server = serve({ fetch: app.fetch, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' }, (info) => {
  console.log('listening on', info)
})

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })
