import { createServer } from 'node:http'
import { getRequestListener } from '@hono/node-server'
import { createWebSessions, type WebSession } from '../../../src/adapters/web.js'
import type { Framework, RequestSession } from '../framework.js'
import { served } from './served.js'

const requestSession = (session: WebSession): RequestSession => ({
  data: () => session.data,
  set: (key, value) => {
    session.data[key] = value
  },
  delete: (key) => {
    delete session.data[key]
  },
  regenerate: async () => await session.regenerate(),
  destroy: async () => await session.destroy(),
})

const failed = (error: unknown): Response =>
  Response.json({ code: (error as { readonly code?: string }).code ?? String(error) }, { status: 500 })

export const web: Framework = {
  name: 'Request and Response',
  subpath: 'nonstick/web',
  packages: ['cookie', 'cookie-signature'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const web = createWebSessions({
      sessions,
      cookie: { keys: secrets, secure: false, ...(maxAgeMs === undefined ? {} : { maxAgeMs }) },
      rolling,
    })
    const answer = async (request: Request): Promise<Response> => {
      const route = routes[new URL(request.url).pathname.slice(1)]
      if (route === undefined) return new Response(null, { status: 404 })
      const body = (await request.json()) as Record<string, unknown>
      return await web
        .withSession(request, async (session) => Response.json((await route(requestSession(session), body)) ?? null))
        .catch(failed)
    }
    const server = createServer(getRequestListener(answer, { overrideGlobalObjects: false }))
    return await served(server.listen(0, '127.0.0.1'))
  },
}
