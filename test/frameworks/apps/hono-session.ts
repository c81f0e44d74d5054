import { type SessionEnv, type Storage, useSession } from '@hono/session'
import { Hono } from 'hono'
import { NonstickStorage } from '../../../src/adapters/hono.js'
import type { Framework } from '../framework.js'
import { serveHono } from './hono-sessions.js'

type Data = Record<string, unknown>
type Variables = SessionEnv<Data>['Variables'] & { readonly sessionStorage: Storage<Data> }

export const honoSession: Framework = {
  name: 'hono, @hono/session',
  subpath: 'nonstick/hono',
  packages: ['hono', '@hono/session'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, { sessions, secrets, maxAgeMs }) => {
    const app = new Hono<{ Variables: Variables }>()
    const storage = new NonstickStorage({ sessions, ...(maxAgeMs === undefined ? {} : { idleTtlMs: maxAgeMs }) })
    app.use('*', storage.middleware, useSession<Data>({ secret: secrets[0] }))
    for (const [name, route] of Object.entries(routes))
      app.post(`/${name}`, async (c) => {
        const { session, sessionStorage } = c.var
        let data = { ...(await session.get()) }
        let isChanged = false
        const answer = await route(
          {
            data: () => data,
            set: (key, value) => {
              data[key] = value
              isChanged = true
            },
            delete: (key) => {
              delete data[key]
              isChanged = true
            },
            // @hono/session makes a new id where the storage has nothing under the old one.
            regenerate: async () => await sessionStorage.delete(String(session.id)),
            destroy: async () => {
              session.delete()
              data = {}
            },
          },
          await c.req.json(),
        )
        if (isChanged) await session.update(data)
        return c.json(answer as Data)
      })
    return await serveHono(app)
  },
}
