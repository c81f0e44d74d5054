import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { NestFactory } from '@nestjs/core'
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify'
import { NonstickStore } from '../../../src/adapters/fastify.js'
import type { Framework } from '../framework.js'
import { fastify5, sessionOf } from './fastify.js'
import { CodeFilter, moduleWith } from './nest.js'

export const nestFastify: Framework = {
  ...fastify5,
  name: 'NestJS 12 on Fastify',
  packages: ['@nestjs/platform-fastify', '@fastify/session'],
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const app = await NestFactory.create<NestFastifyApplication>(
      moduleWith(routes, sessionOf),
      new FastifyAdapter({ bodyLimit: 1_000_000 }),
      { logger: false },
    )
    await app.register(cookie)
    await app.register(fastifySession, {
      store: new NonstickStore({ sessions }),
      secret: [...secrets],
      saveUninitialized: false,
      rolling,
      cookie: { secure: false, ...(maxAgeMs === undefined ? {} : { maxAge: maxAgeMs }) },
    })
    app.useGlobalFilters(new CodeFilter())
    await app.listen(0, '127.0.0.1')
    return { url: await app.getUrl(), close: async () => await app.close() }
  },
}
