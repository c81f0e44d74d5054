import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { serve } from '@hono/node-server'
import { type Env, Hono } from 'hono'
import { type Session, sessionMiddleware } from 'hono-sessions'
import { NonstickStore } from '../../../src/adapters/hono.js'
import type { App, Framework, RequestSession } from '../framework.js'

type Data = Record<string, unknown>

/** Serves an app of Hono's on Node. */
export const serveHono = async <Variables extends Env>(app: Hono<Variables>): Promise<App> => {
  app.onError((error, c) => c.json({ code: (error as { readonly code?: string }).code ?? String(error) }, 500))
  const server = serve({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      if ('closeAllConnections' in server) server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const sessionOf = (session: Session<Data>, rotate: () => void): RequestSession => ({
  data: () =>
    Object.fromEntries(Object.entries(session.getCache()._data).map(([name, { value }]) => [name, value as unknown])),
  set: (key, value) => session.set(key, value),
  delete: (key) => session.forget(key),
  // hono-sessions does both when the handler has returned, before Hono answers.
  regenerate: async () => rotate(),
  destroy: async () => session.deleteSession(),
})

export const honoSessions: Framework = {
  name: 'hono, hono-sessions',
  subpath: 'nonstick/hono',
  packages: ['hono', 'hono-sessions'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const app = new Hono<{ Variables: { session: Session<Data>; session_key_rotation: boolean } }>()
    app.use(
      '*',
      sessionMiddleware({
        store: new NonstickStore({ sessions, encrypted: true }),
        encryptionKey: secrets[0],
        autoExtendExpiration: rolling,
        ...(maxAgeMs === undefined ? {} : { expireAfterSeconds: maxAgeMs / 1_000 }),
        cookieOptions: { path: '/', httpOnly: true, ...(maxAgeMs === undefined ? {} : { maxAge: maxAgeMs / 1_000 }) },
      }),
    )
    for (const [name, route] of Object.entries(routes))
      app.post(`/${name}`, async (c) => {
        const session = sessionOf(c.get('session'), () => c.set('session_key_rotation', true))
        return c.json((await route(session, await c.req.json())) as Data)
      })
    return await serveHono(app)
  },
}
