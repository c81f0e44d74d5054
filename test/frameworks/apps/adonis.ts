import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { AppFactory } from '@adonisjs/core/factories/app'
import { BodyParserMiddlewareFactory } from '@adonisjs/core/factories/bodyparser'
import { EncryptionFactory } from '@adonisjs/core/factories/encryption'
import { ServerFactory } from '@adonisjs/core/factories/http'
import type { HttpContext } from '@adonisjs/core/http'
import { SessionMiddlewareFactory } from '@adonisjs/session/factories'
import { type AdonisStoreFactory, nonstickStore, userOfAdonisSession } from '../../../src/adapters/adonis.js'
import type { AppOptions, Framework, RequestSession, Routes } from '../framework.js'

type Next = () => Promise<unknown>

const sessionOf = ({ session }: HttpContext): RequestSession => ({
  data: () => session.all(),
  set: (key, value) => session.put(key, value as string),
  delete: (key) => void session.forget(key),
  regenerate: async () => session.regenerate(),
  destroy: async () => session.clear(),
})

/** Answers by a route, and says after a login whose session it is. What fails, AdonisJS answers by itself. */
const around =
  (routes: Routes) =>
  async (context: HttpContext): Promise<void> => {
    const route = routes[String(context.params['name'])]
    if (route === undefined) throw new Error('There is no such route')
    const before: unknown = context.session.get('user')
    const answer = await route(sessionOf(context), context.request.body())
    const user: unknown = context.session.get('user')
    if (user !== undefined && user !== before) await context.session.tag(String(user))
    context.response.json(answer)
  }

const asMiddleware = (handle: (context: HttpContext, next: Next) => Promise<unknown>) => async () => ({
  default: class {
    handle(context: HttpContext, next: Next): Promise<unknown> {
      return handle(context, next)
    }
  },
})

/** An AdonisJS with one route for each of `routes`, whose sessions the store has that is given. */
export const startAdonis = async (
  routes: Routes,
  { secrets, maxAgeMs, store }: Pick<AppOptions, 'secrets' | 'maxAgeMs'> & { readonly store: AdonisStoreFactory },
): ReturnType<Framework['start']> => {
  const app = new AppFactory().create(new URL('./', import.meta.url), () => {})
  await app.init()
  const encryption = new EncryptionFactory().merge({ options: { secret: secrets[0] } } as never).create()
  const server = new ServerFactory().merge({ app, encryption }).create()
  const session = await new SessionMiddlewareFactory()
    .merge({
      config: {
        store: 'nonstick',
        stores: { nonstick: store },
        clearWithBrowser: maxAgeMs === undefined,
        age: (maxAgeMs ?? 86_400_000) / 1_000,
      },
    })
    .create()
  const bodyParser = new BodyParserMiddlewareFactory().create()
  server.use([
    asMiddleware((context, next) => bodyParser.handle(context, next)),
    asMiddleware((context, next) => session.handle(context, next)),
  ] as never)
  server.getRouter().post('/:name', around(routes))
  await server.boot()
  const http = createServer((request, response) => void server.handle(request, response))
  http.listen(0, '127.0.0.1')
  await once(http, 'listening')
  return {
    url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
    close: async () => {
      http.closeAllConnections()
      http.close()
      await once(http, 'close')
    },
  }
}

export const adonis: Framework = {
  name: 'AdonisJS',
  subpath: 'nonstick/adonis',
  packages: ['@adonisjs/core', '@adonisjs/session'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  identify: userOfAdonisSession,
  start: (routes, { sessions, ...options }) => startAdonis(routes, { ...options, store: nonstickStore({ sessions }) }),
}
