import { sessionStoreFromEnv } from 'nonstick'
import { createWebSessions, type WebSession } from 'nonstick/web'

interface Visit {
  user?: string
  visits?: number
}

const keys = process.env['SESSION_KEYS']?.split(',')
if (!keys) throw new Error('Set SESSION_KEYS to a long random text: openssl rand -base64 32')

// The tiers are those of NONSTICK_CACHE and NONSTICK_BACKEND.
const sessions = await sessionStoreFromEnv<Visit>({ identify: ({ user }) => user })
const web = createWebSessions({ sessions, cookie: { keys, secure: process.env['NODE_ENV'] === 'production' } })

const answer = async (request: Request, session: WebSession<Visit>): Promise<Response> => {
  switch (`${request.method} ${new URL(request.url).pathname}`) {
    case 'POST /login': {
      const { user } = (await request.json()) as { user: string } // Check the password here.
      await session.regenerate()
      session.data.user = user
      return Response.json({ user })
    }
    case 'POST /logout':
      await session.destroy()
      return Response.json({})
    case 'GET /me':
      session.data.visits = (session.data.visits ?? 0) + 1
      return Response.json(session.data)
    default:
      return new Response('There is no such page', { status: 404 })
  }
}

process.once('SIGTERM', async () => {
  await sessions.close()
  process.exit()
})

// `bun web.ts` serves this on PORT, and so does `deno serve --port 3000 web.ts`; web-node.ts does so for Node.
export default {
  hostname: process.env['HOST'] ?? '0.0.0.0',
  fetch: (request: Request): Promise<Response> =>
    web.withSession(request, async (session) => await answer(request, session)),
}
