/** Sessions in koa: log in, fill a cart, log out; the same in each of many processes. */
import Koa from 'koa'
import session from 'koa-session'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { type KoaSession, NonstickStore } from 'nonstick/koa'

interface ShopSession {
  userId?: string
  cart?: string[]
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<ShopSession>({ identify: (data) => data.userId })

const app = new Koa<Koa.DefaultState, { session: KoaSession<ShopSession> | null }>()
app.keys = [secret]

// A visitor who comes back in the last half of these eight hours keeps the session for eight more.
const store = new NonstickStore({ sessions })
app.use(session({ store, maxAge: 8 * 3_600_000, renew: true, sameSite: 'lax' }, app))

app.use(async (ctx) => {
  const [, action, name] = ctx.path.split('/')
  const { session } = ctx
  if (session === null) return // only after it was ended in this request
  if (ctx.method === 'POST' && action === 'login' && name) {
    // A new id for a new privilege, so that an id planted before the login is worth nothing after it.
    await session.regenerate()
    session.userId = name
    ctx.redirect('/')
  } else if (ctx.method === 'POST' && action === 'cart' && name) {
    session.cart = [...(session.cart ?? []), name]
    ctx.body = session.cart
  } else if (ctx.method === 'POST' && action === 'logout') {
    ctx.session = null
    ctx.redirect('/')
  } else {
    ctx.body = { user: session.userId, cart: session.cart }
  }
})

const server = app.listen(Number(process.env['PORT'] ?? 3000), '127.0.0.1', () => {
  console.log('listening on', server.address())
})

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })
