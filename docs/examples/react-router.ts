/** Sessions in React Router: log in, fill a cart, log out; the same in each of many processes. */
import { serve } from '@hono/node-server'
import { drainOnSignal, sessionStoreFromEnv } from 'nonstick'
import { nonstickSessionStorage } from 'nonstick/react-router'
import {
  type ActionFunctionArgs,
  createCookie,
  createSessionStorage,
  createStaticHandler,
  isRouteErrorResponse,
  type LoaderFunctionArgs,
  redirect,
} from 'react-router'

// From here to the storage: what stands in app/sessions.server.ts of an application in framework mode.
interface ShopSession {
  userId: string
  cart: string[]
}

interface ShopFlash {
  message: string
}

const secret = process.env['SESSION_SECRET']
if (!secret) throw new Error('Set SESSION_SECRET to a long random text: openssl rand -base64 32')

// NONSTICK_CACHE and DATABASE_URL say where Memcached and PostgreSQL are; "memory" will do to try this out.
const sessions = await sessionStoreFromEnv<Partial<ShopSession>>({ identify: (data) => data.userId })

const maxAge = 8 * 3_600
const cookie = createCookie('__session', { secrets: [secret], httpOnly: true, sameSite: 'lax', maxAge })

const { getSession, commitSession, destroySession } = nonstickSessionStorage(
  createSessionStorage<ShopSession, ShopFlash>,
  { sessions, cookie },
)

// The loaders and actions of the routes.
const home = async ({ request }: LoaderFunctionArgs): Promise<Response> => {
  const session = await getSession(request.headers.get('Cookie'))
  const shown = { user: session.get('userId'), cart: session.get('cart'), message: session.get('message') }
  // Committed, as reading a flash value takes it out; where it was none, this writes nothing.
  return Response.json(shown, { headers: { 'Set-Cookie': await commitSession(session) } })
}

const login = async ({ request, params }: ActionFunctionArgs): Promise<Response> => {
  const before = await getSession(request.headers.get('Cookie'))
  // A new session for a new privilege, so that an id planted before the login is worth nothing after it.
  await destroySession(before)
  const session = await getSession()
  session.set('userId', params['user'] ?? '')
  session.set('cart', before.get('cart') ?? [])
  session.flash('message', 'Welcome back')
  return redirect('/', { headers: { 'Set-Cookie': await commitSession(session) } })
}

const addToCart = async ({ request, params }: ActionFunctionArgs): Promise<Response> => {
  const session = await getSession(request.headers.get('Cookie'))
  session.set('cart', [...(session.get('cart') ?? []), params['item'] ?? ''])
  return redirect('/', { headers: { 'Set-Cookie': await commitSession(session) } })
}

const logout = async ({ request }: ActionFunctionArgs): Promise<Response> => {
  const session = await getSession(request.headers.get('Cookie'))
  return redirect('/', { headers: { 'Set-Cookie': await destroySession(session) } })
}

// A server of one's own, as in data mode. In framework mode React Router's own server does the rest.
const { queryRoute } = createStaticHandler([
  { path: '/', loader: home },
  { path: '/login/:user', action: login },
  { path: '/cart/:item', action: addToCart },
  { path: '/logout', action: logout },
])

const answer = async (request: Request): Promise<Response> => {
  try {
    return (await queryRoute(request)) as Response
  } catch (error) {
    return new Response(null, { status: isRouteErrorResponse(error) ? error.status : 500 })
  }
}

const server = serve({ fetch: answer, port: Number(process.env['PORT'] ?? 3000), hostname: '127.0.0.1' }, (info) => {
  console.log('listening on', info)
})

// What only the cache has yet goes to the backend before the process ends.
drainOnSignal({ server, sessions })
