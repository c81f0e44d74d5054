import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import fastify, { type FastifyRequest } from 'fastify'
import { NonstickStore } from '../../../src/adapters/fastify.js'
import type { Framework, RequestSession } from '../framework.js'

export const sessionOf = (request: FastifyRequest): RequestSession => {
  const bag = (): Record<string, unknown> => request.session as unknown as Record<string, unknown>
  return {
    data: () => {
      const { cookie: _, ...data } = bag()
      return data
    },
    set: (key, value) => {
      bag()[key] = value
    },
    delete: (key) => {
      delete bag()[key]
    },
    regenerate: async () => await request.session.regenerate(),
    destroy: async () => await request.session.destroy(),
  }
}

export const fastify5: Framework = {
  name: 'fastify 5',
  subpath: 'nonstick/fastify',
  packages: ['fastify', '@fastify/session'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const app = fastify({ bodyLimit: 1_000_000 })
    await app.register(cookie)
    await app.register(fastifySession, {
      store: new NonstickStore({ sessions }),
      secret: [...secrets],
      saveUninitialized: false,
      rolling,
      cookie: { secure: false, ...(maxAgeMs === undefined ? {} : { maxAge: maxAgeMs }) },
    })
    for (const [name, route] of Object.entries(routes))
      app.post(`/${name}`, async (request) => await route(sessionOf(request), request.body as Record<string, unknown>))
    app.setErrorHandler(async (error: { readonly code?: string }, _request, reply) => {
      await reply.status(500).send({ code: error.code ?? String(error) })
    })
    const url = await app.listen({ host: '127.0.0.1', port: 0 })
    return { url, close: async () => await app.close() }
  },
}
