import { NestFactory } from '@nestjs/core'
import type { NestExpressApplication } from '@nestjs/platform-express'
import session from 'express-session'
import { NonstickStore } from '../../../src/adapters/express.js'
import type { Framework } from '../framework.js'
import { express5, sessionOf } from './express5.js'
import { CodeFilter, moduleWith } from './nest.js'

export const nestExpress: Framework = {
  ...express5,
  name: 'NestJS 12 on Express',
  packages: ['@nestjs/platform-express', 'express-session'],
  start: async (routes, { sessions, secrets, maxAgeMs, rolling = false }) => {
    const app = await NestFactory.create<NestExpressApplication>(moduleWith(routes, sessionOf), { logger: false })
    app.useBodyParser('json', { limit: '1mb' })
    app.use(
      session({
        store: new NonstickStore({ sessions }),
        secret: [...secrets],
        resave: false,
        saveUninitialized: false,
        rolling,
        cookie: maxAgeMs === undefined ? {} : { maxAge: maxAgeMs },
      }),
    )
    app.useGlobalFilters(new CodeFilter())
    await app.listen(0, '127.0.0.1')
    return { url: await app.getUrl(), close: async () => await app.close() }
  },
}
