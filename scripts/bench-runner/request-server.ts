/** Runs in a process of its own: an application whose requests have sessions. */
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import fastifySession from '@fastify/session'
import { getRequestListener } from '@hono/node-server'
import { type SessionEnv, useSession } from '@hono/session'
import express from 'express'
import session from 'express-session'
import fastify from 'fastify'
import { Hono } from 'hono'
import { NonstickStore as FastifyStore } from 'nonstick/fastify'
import { NonstickStorage } from 'nonstick/hono'
import { nonstickOnPostgres, type Places, STORES } from './request-stores.js'
import { type SessionData, type Size, sessionOf } from './sessions.js'
import { answerAll, cpuUs } from './subject.js'

export interface ServerSetting {
  /** A name of `STORES`, or of `FRAMEWORKS`. */
  readonly store: string
  readonly places: Places
}

export type ServerQuestion = { readonly open: ServerSetting } | { readonly used: true } | { readonly heapUsed: true }

declare module 'express-session' {
  interface SessionData {
    bench?: import('./sessions.js').SessionData
  }
}

declare module 'fastify' {
  interface Session {
    bench?: import('./sessions.js').SessionData
  }
}

const sizeIn = (text: string | undefined): Size => Number(text) as Size

const withExpress = async (store: string, places: Places): Promise<RequestListener> => {
  const open = STORES[store]
  if (open === undefined) throw new Error(`there is no store ${store}`)
  const app = express()
  app.use(session({ store: await open(places), secret: places.secret, resave: false, saveUninitialized: false }))
  app.post('/start/:bytes/:user', (request, response) => {
    request.session.bench = sessionOf(sizeIn(request.params.bytes), Number(request.params.user))
    response.json({})
  })
  app.get('/read', (request, response) => {
    response.json({ count: request.session.bench?.count })
  })
  app.get('/write', (request, response) => {
    const data = request.session.bench
    if (data !== undefined) data.count += 1
    response.json({ count: data?.count })
  })
  return app
}

const withFastify = async (places: Places): Promise<RequestListener> => {
  const app = fastify()
  await app.register(cookie)
  const store = new FastifyStore({ sessions: await nonstickOnPostgres(places) })
  await app.register(fastifySession, {
    store: store as never,
    secret: places.secret,
    saveUninitialized: false,
    cookie: { secure: false },
  })
  app.post<{ Params: { bytes: string; user: string } }>('/start/:bytes/:user', async (request) => {
    request.session.bench = sessionOf(sizeIn(request.params.bytes), Number(request.params.user))
    return {}
  })
  app.get('/read', async (request) => ({ count: request.session.bench?.count }))
  app.get('/write', async (request) => {
    const data = request.session.bench
    if (data !== undefined) request.session.bench = { ...data, count: data.count + 1 }
    return { count: data?.count }
  })
  await app.ready()
  return (request, response) => app.routing(request, response)
}

type HonoData = { bench?: SessionData } & Record<string, unknown>

const withHono = async (places: Places): Promise<RequestListener> => {
  const sessions = await nonstickOnPostgres(places)
  const storage = new NonstickStorage<HonoData>({ sessions: sessions as never })
  const app = new Hono<SessionEnv<HonoData>>()
  app.use('*', storage.middleware as never, useSession<HonoData>({ secret: places.secret }))
  app.post('/start/:bytes/:user', async (c) => {
    const bench = sessionOf(sizeIn(c.req.param('bytes')), Number(c.req.param('user')))
    await c.var.session.update({ bench })
    return c.json({})
  })
  app.get('/read', async (c) => c.json({ count: (await c.var.session.get())?.bench?.count }))
  app.get('/write', async (c) => {
    let count: number | undefined
    await c.var.session.update((data) => {
      if (data?.bench === undefined || data === null) throw new Error('there is no session')
      count = data.bench.count + 1
      return { ...data, bench: { ...data.bench, count } }
    })
    return c.json({ count })
  })
  return getRequestListener(app.fetch)
}

export const FRAMEWORKS: Readonly<Record<string, (places: Places) => Promise<RequestListener>>> = {
  'fastify with nonstick on PostgreSQL': withFastify,
  'hono with nonstick on PostgreSQL': withHono,
}

let server: Server | undefined

answerAll(async (question: ServerQuestion): Promise<unknown> => {
  if ('open' in question) {
    const { store, places } = question.open
    const listener = await (FRAMEWORKS[store]?.(places) ?? withExpress(store, places))
    server = createServer({ keepAliveTimeout: 600_000 }, listener).listen(0, '127.0.0.1')
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  if ('used' in question) return cpuUs()
  globalThis.gc?.()
  return process.memoryUsage().heapUsed
})
