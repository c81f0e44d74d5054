import { json } from 'node:stream/consumers'
import Koa, { type Context } from 'koa'
import koaSession from 'koa-session'
import { NonstickStore } from '../../../src/adapters/koa.js'
import type { App, AppOptions, Framework, RequestSession, Routes } from '../framework.js'
import { served } from './served.js'

type KoaOptions = NonNullable<Parameters<typeof koaSession>[0]>

interface LiveSession extends Record<string, unknown> {
  toJSON(): Record<string, unknown>
  regenerate(): Promise<void>
}

const sessionOf = (ctx: Context): RequestSession => {
  const request = ctx as unknown as { session: LiveSession | null }
  const live = (): LiveSession => {
    if (request.session === null) throw new Error('the session was ended by this request')
    return request.session
  }
  return {
    data: () => request.session?.toJSON() ?? {},
    set: (key, value) => {
      live()[key] = value
    },
    delete: (key) => {
      delete live()[key]
    },
    regenerate: async () => await live().regenerate(),
    // koa-session ends it before koa answers.
    destroy: async () => {
      request.session = null
    },
  }
}

/** The app of the suite; how koa-session is given the store is said by whoever calls. */
export const startKoa = async (
  routes: Routes,
  { secrets, maxAgeMs, rolling = false }: AppOptions,
  storing: object,
): Promise<App> => {
  const app = new Koa()
  app.keys = [...secrets]
  app.silent = true
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      ctx.status = 500
      ctx.body = { code: (error as { readonly code?: string }).code ?? String(error) }
    }
  })
  app.use(koaSession({ ...storing, maxAge: maxAgeMs ?? 'session', rolling } as KoaOptions, app))
  app.use(async (ctx) => {
    const route = routes[ctx.path.slice(1)]
    if (route === undefined) return
    ctx.body = await route(sessionOf(ctx), (await json(ctx.req)) as Record<string, unknown>)
  })
  return await served(app.listen(0, '127.0.0.1'))
}

export const koa: Framework = {
  name: 'koa',
  subpath: 'nonstick/koa',
  packages: ['koa', 'koa-session'],
  limits: {},
  costs: { reading: { cache: 1, backend: 0 }, changing: { cache: 2, backend: 0 } },
  start: async (routes, options) =>
    await startKoa(routes, options, { store: new NonstickStore({ sessions: options.sessions }) }),
}
