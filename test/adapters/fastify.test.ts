import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import cookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import express from 'express'
import session from 'express-session'
import fastify, { type FastifyInstance, type Session } from 'fastify'
import { afterEach, beforeEach, describe, expect, expectTypeOf, test, vi } from 'vitest'
import { NonstickStore as ExpressStore } from '../../src/adapters/express.js'
import { NonstickStore, type OwnStoreOptions } from '../../src/adapters/fastify.js'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { SessionStoreError } from '../../src/errors.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { QUIET_DAY } from '../support/calendar.js'
import { Browser, gate, idOf } from './express-cluster.js'

declare module 'fastify' {
  interface Session {
    user?: string
    cart?: string[]
    seen?: Map<string, number>
  }
}

const SECRET = 'a secret of a test, at least 32 characters long'
const HOUR_MS = 3_600_000

interface Place {
  readonly cache: ReturnType<typeof faultyCache>
  readonly backend: ReturnType<typeof faultyBackend>
  /** Another process on the same tiers. */
  process(options?: {
    readonly session?: Partial<FastifySessionOptions>
    readonly store?: OwnStoreOptions<Session>
  }): Promise<Process>
  cutOff(isCutOff: boolean): void
  callsDuring(work: () => Promise<unknown>): Promise<{ cache: string[]; backend: string[] }>
}

interface Process {
  readonly url: string
  readonly store: NonstickStore<Session>
  /** Lets requests to `/slow/…` wait once they have their session. */
  readonly place: ReturnType<typeof gate>
}

const routes = (app: FastifyInstance, place: ReturnType<typeof gate>): void => {
  interface Change {
    readonly Params: { readonly key: 'user'; readonly value: string }
  }
  app.get<Change>('/set/:key/:value', async ({ session: mine, params }) => {
    mine[params.key] = params.value
    return 'set'
  })
  app.get<Change>('/slow/set/:key/:value', async ({ session: mine, params }) => {
    await place.wait()
    mine[params.key] = params.value
    return 'set'
  })
  app.get('/slow/show', async ({ session: mine }) => {
    await place.wait()
    return mine.user ?? null
  })
  app.get('/show', async ({ session: { cookie: _, ...mine } }) => mine)
  app.get('/count', async ({ session: mine }) => {
    mine.seen ??= new Map()
    mine.seen.set('count', (mine.seen.get('count') ?? 0) + 1)
    return mine.seen.get('count')
  })
  app.get('/login', async ({ session: mine }) => {
    await mine.regenerate(['cart'])
    return 'in'
  })
  app.get('/login-and-set', async (request) => {
    await request.session.regenerate()
    request.session.user = 'ada'
    return 'in'
  })
  app.get('/twice/:other', async (request) => {
    request.session.user = 'ada'
    await request.session.save()
    await fetch(decodeURIComponent((request.params as { readonly other: string }).other), {
      headers: { cookie: request.headers.cookie ?? '' },
    })
    request.session.cart = ['tea']
    await request.session.save()
    await request.session.reload()
    const { cookie: _, ...mine } = request.session
    return mine
  })
  app.get('/reload', async (request) => {
    await place.wait()
    await request.session.reload()
    return request.session.user ?? null
  })
  app.get('/logout', async ({ session: mine }) => {
    await mine.destroy()
    return 'bye'
  })
  app.get('/options', async ({ session: mine }) => {
    mine.options({ maxAge: HOUR_MS })
    mine.user = 'ada'
    return mine.cookie.originalMaxAge
  })
}

let closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  vi.useRealTimers()
  for (const close of closing) await close()
  closing = []
})

const open = (): Place => {
  const cache = faultyCache(memoryCache())
  const backend = faultyBackend(memoryBackend())
  return {
    cache,
    backend,
    process: async (options = {}) => {
      const store = new NonstickStore<Session>({ cache, backend, ...options.store })
      store.sessions.on('fault', () => {})
      const place = gate()
      const app = fastify()
      await app.register(cookie)
      await app.register(fastifySession, {
        ...{ store, secret: SECRET, saveUninitialized: false, cookieName: 'connect.sid', cookiePrefix: 's:' },
        ...options.session,
        cookie: { secure: false, ...options.session?.cookie },
      })
      routes(app, place)
      app.setErrorHandler(async (error: { readonly code?: string }, _request, reply) => {
        await reply.status(500).send(error.code ?? String(error))
      })
      closing.push(async () => await app.close())
      return { url: await app.listen({ host: '127.0.0.1', port: 0 }), store, place }
    },
    cutOff: (isCutOff) => {
      cache.unreachable = isCutOff
      backend.unreachable = isCutOff
    },
    callsDuring: async (work) => {
      const before = { cache: cache.calls.length, backend: backend.calls.length }
      await work()
      return { cache: cache.calls.slice(before.cache), backend: backend.calls.slice(before.backend) }
    },
  }
}

const json = async (browser: Browser, url: string): Promise<unknown> => JSON.parse((await browser.get(url)).body)

describe('what a request costs', () => {
  test.for([{ rolling: true }, { rolling: false }])(
    'one that only reads costs one GET of the cache, and nothing is written, with %o',
    async (options) => {
      const place = open()
      const { url, store } = await place.process({ session: { ...options, cookie: { maxAge: HOUR_MS } } })
      const browser = new Browser()
      await browser.get(`${url}/set/user/ada`)
      for (let request = 0; request < 20; request += 1) {
        let answer: unknown
        const cost = await place.callsDuring(async () => {
          answer = await browser.get(`${url}/show`)
        })
        expect(cost).toEqual({ cache: ['get'], backend: [] })
        expect(answer).toMatchObject({
          body: '{"user":"ada"}',
          setCookie: options.rolling ? expect.stringMatching(/expires/i) : undefined,
        })
      }
      expect(store.sessions.stats().writes).toBe(0)
    },
  )

  test('one that changes the session costs one GET and one compare-and-set', async () => {
    const place = open()
    const { url } = await place.process()
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    await browser.get(`${url}/set/user/bob`)
    expect(await place.callsDuring(() => browser.get(`${url}/set/user/cleo`))).toEqual({
      cache: ['get', 'cas'],
      backend: [],
    })
  })

  test.for([{ rolling: true }, { rolling: false }])(
    'one that reads when the last touch is old costs one compare-and-set more, and extends the session, with %o',
    async (options) => {
      vi.useFakeTimers({ toFake: ['Date'], now: QUIET_DAY })
      const place = open()
      const { url, store } = await place.process({
        session: options,
        store: { idleTtlMs: 60_000, touchIntervalMs: 1_000, touchBackendMs: 60_000 },
      })
      const browser = new Browser()
      await browser.get(`${url}/set/user/ada`)
      const before = await store.sessions.load(idOf(browser), { touch: false })
      vi.setSystemTime(QUIET_DAY + 2_000)
      expect((await place.callsDuring(() => browser.get(`${url}/show`))).cache).toEqual(['get', 'cas'])
      const after = await store.sessions.load(idOf(browser), { touch: false })
      expect(after?.expiresAt).toBe((before?.expiresAt ?? Number.NaN) + 2_000)
      expect(store.sessions.stats().writes).toBe(0)
    },
  )

  test('a visitor without a session costs nothing unless @fastify/session is left to save what is uninitialized', async () => {
    const place = open()
    const one = await place.process()
    expect(await place.callsDuring(() => new Browser().get(`${one.url}/show`))).toEqual({ cache: [], backend: [] })
    const other = await place.process({ session: { saveUninitialized: true } })
    await new Browser().get(`${other.url}/show`)
    expect(await other.store.sessions.count()).toBe(1)
  })
})

describe('concurrent requests', () => {
  test.for([{ rolling: true }, { rolling: false }])(
    'that change different keys both have their way, in different processes too, with %o',
    async (options) => {
      const place = open()
      const [one, two] = [await place.process({ session: options }), await place.process({ session: options })]
      const browser = new Browser()
      await browser.get(`${one.url}/set/user/ada`)
      const slow = browser.tab().get(`${one.url}/slow/set/cart/tea`)
      await one.place.reached
      await browser.get(`${two.url}/set/user/bob`)
      one.place.open()
      await slow
      for (const { url } of [one, two]) expect(await json(browser, `${url}/show`)).toEqual({ user: 'bob', cart: 'tea' })
    },
  )

  test('one that only reads undoes nothing', async () => {
    const place = open()
    const { url, place: waiting } = await place.process()
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    const slow = browser.tab().get(`${url}/slow/show`)
    await waiting.reached
    await browser.get(`${url}/set/user/bob`)
    waiting.open()
    await slow
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'bob' })
  })

  test('one that saves twice undoes nothing that others changed in between, and sees it after a reload', async () => {
    const place = open()
    const { url } = await place.process()
    const browser = new Browser()
    await browser.get(`${url}/set/colour/red`)
    const other = encodeURIComponent(`${url}/set/colour/blue`)
    expect(await json(browser, `${url}/twice/${other}`)).toEqual({ user: 'ada', cart: ['tea'], colour: 'blue' })
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada', cart: ['tea'], colour: 'blue' })
  })

  test('one that changed a session that was logged out meanwhile is told so once, and brings nothing back', async () => {
    const place = open()
    const { url, store, place: waiting } = await place.process()
    const dropped: SessionStoreError[] = []
    store.on('dropped', (error: SessionStoreError) => dropped.push(error))
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    const slow = browser.tab().get(`${url}/slow/set/cart/tea`)
    await waiting.reached
    const before = browser.tab()
    await browser.get(`${url}/logout`)
    waiting.open()
    expect(await slow, 'as the error handler answers').toMatchObject({ status: 500, body: 'E_SESSION_DESTROYED' })
    expect(await json(before, `${url}/show`)).toEqual({})
    expect(dropped.map(({ code }) => code)).toContain('E_SESSION_DESTROYED')
  })

  test('one that only read it ends normally, and brings nothing back either', async () => {
    const place = open()
    const { url, place: waiting } = await place.process({ session: { rolling: true } })
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    const slow = browser.tab().get(`${url}/slow/show`)
    await waiting.reached
    const before = browser.tab()
    await browser.get(`${url}/logout`)
    waiting.open()
    expect((await slow).status).toBe(200)
    expect(await json(before, `${url}/show`)).toEqual({})
  })
})

describe('a session', () => {
  test('holds a Map, which is saved when it was changed in place', async () => {
    const { url } = await open().process()
    const browser = new Browser()
    for (const count of [1, 2, 3]) expect((await browser.get(`${url}/count`)).body).toBe(String(count))
  })

  test('gets a new id at a login, keeps the keys that are named, and the old id is worth nothing', async () => {
    const place = open()
    const { url } = await place.process()
    const browser = new Browser()
    await browser.get(`${url}/set/cart/tea`)
    await browser.get(`${url}/set/user/nobody`)
    const before = browser.tab()
    await browser.get(`${url}/login`)
    expect(idOf(browser)).not.toBe(idOf(before))
    expect(await json(browser, `${url}/show`)).toEqual({ cart: 'tea' })
    expect(await json(before, `${url}/show`)).toEqual({})
    await browser.get(`${url}/login-and-set`)
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada' })
  })

  test('takes the options of its cookie that a handler gives', async () => {
    const { url, store } = await open().process()
    const browser = new Browser()
    expect((await browser.get(`${url}/options`)).body).toBe(String(HOUR_MS))
    expect((await store.sessions.load(idOf(browser)))?.idleTtlMs).toBe(HOUR_MS)
    await browser.get(`${url}/set/cart/tea`)
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada', cart: 'tea' })
  })

  test('is open to express as well, where the cookie has its prefix', async () => {
    const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
    const app = express()
    app.use(session({ store: new ExpressStore({ sessions }), secret: SECRET, resave: false, saveUninitialized: false }))
    app.get('/show', (req, res) => {
      res.json((req.session as { user?: string }).user ?? null)
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(async () => {
      server.closeAllConnections()
      server.close()
      await sessions.close()
    })
    const store = new NonstickStore<Session>({ sessions })
    const made = fastify()
    await made.register(cookie)
    await made.register(fastifySession, {
      ...{ store, secret: SECRET, cookieName: 'connect.sid', cookiePrefix: 's:' },
      cookie: { secure: false },
    })
    routes(made, gate())
    closing.push(async () => await made.close())
    const browser = new Browser()
    await browser.get(`${await made.listen({ host: '127.0.0.1', port: 0 })}/set/user/ada`)
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    expect((await browser.get(`${url}/show`)).body).toBe('"ada"')
  })

  test('of another program without a cookie can be served and changed', async () => {
    const { url, store } = await open().process()
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    await store.sessions.put(idOf(browser), { user: 'bob' } as Session)
    await browser.get(`${url}/set/cart/tea`)
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'bob', cart: 'tea' })
  })
})

describe('its cookie', () => {
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: QUIET_DAY })
  })

  test('with a maxAge says how long the session lives', async () => {
    const { url, store } = await open().process({ session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    const loaded = await store.sessions.load(idOf(browser), { touch: false })
    expect([loaded?.idleTtlMs, (loaded?.data as Partial<Session> | undefined)?.cookie]).toEqual([
      HOUR_MS,
      { originalMaxAge: HOUR_MS, path: '/', httpOnly: true, secure: false, sameSite: null, domain: null },
    ])
  })

  test('with a fixed end ends then, and requests that only read write nothing', async () => {
    const { url, store } = await open().process({
      session: { cookie: { expires: new Date(QUIET_DAY + HOUR_MS) } },
    })
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    for (const minutes of [0, 20, 40]) {
      vi.setSystemTime(QUIET_DAY + minutes * 60_000)
      expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada' })
    }
    expect(store.sessions.stats().writes).toBe(0)
    vi.setSystemTime(QUIET_DAY + HOUR_MS)
    expect(await json(browser, `${url}/show`)).toEqual({})
  })

  test('that has ended before its session begins is an error', async () => {
    const { url } = await open().process({
      session: { cookie: { expires: new Date(QUIET_DAY - HOUR_MS) } },
    })
    expect(await new Browser().get(`${url}/set/user/ada`)).toMatchObject({
      status: 500,
      body: expect.stringContaining('E_CONFIG'),
    })
  })
})

describe('faults', () => {
  test('a reload that fails takes nothing from the session, also where the outage is over when the request ends', async () => {
    const place = open()
    const app = await place.process()
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const reloading = browser.get(`${app.url}/reload`)
    await app.place.reached
    place.cutOff(true)
    vi.spyOn(app.store, 'set').mockImplementationOnce((...given) => {
      place.cutOff(false)
      return NonstickStore.prototype.set.apply(app.store, given as never)
    })
    app.place.open()
    expect(await reloading).toMatchObject({ status: 500, body: expect.stringContaining('E_SESSION_UNAVAILABLE') })
    expect(await browser.get(`${app.url}/show`)).toMatchObject({ body: '{"user":"ada"}' })
  })

  test('a reload that finds the session ended is no error of a request that changes nothing', async () => {
    const app = await open().process()
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const reloading = browser.get(`${app.url}/reload`)
    await app.place.reached
    await app.store.destroy(idOf(browser))
    app.place.open()
    expect(await reloading).toMatchObject({ status: 200 })
    expect(await app.store.get(idOf(browser))).toBeUndefined()
  })

  test('unreachable tiers are an error of the request and never a new session', async () => {
    const place = open()
    const { url } = await place.process()
    const browser = new Browser()
    await browser.get(`${url}/set/user/ada`)
    const kept = browser.cookie
    place.cutOff(true)
    expect(await browser.get(`${url}/show`)).toEqual({
      status: 500,
      body: 'E_SESSION_UNAVAILABLE',
      setCookie: undefined,
    })
    expect(await new Browser().get(`${url}/set/user/bob`)).toMatchObject({
      status: 500,
      body: expect.stringContaining('E_SESSION_UNAVAILABLE'),
    })
    place.cutOff(false)
    expect(browser.cookie).toBe(kept)
    expect(await json(browser, `${url}/show`)).toEqual({ user: 'ada' })
  })

  test('a promise that nobody looks at ends nothing', async () => {
    const place = open()
    const { store } = await place.process()
    place.cutOff(true)
    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    void store.destroy('an-id')
    void store.get('an-id')
    void store.set('an-id', { user: 'ada' })
    await expect(store.get('an-id')).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  test('what is no store, and options beside one, are refused', () => {
    const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
    closing.push(async () => await sessions.close())
    expect(() => new NonstickStore({ sessions: {} as never })).toThrow('Expected `sessions` to be a session store')
    expect(() => new NonstickStore({ sessions, maxStaleCount: 2 } as never)).toThrow('`maxStaleCount`')
    expect(() => new NonstickStore({ recordClient: true } as never)).toThrow('`recordClient`')
    expect(() => new NonstickStore(null as never)).toThrow('Expected `options` to be an object')
  })

  test('close closes the store that was made here, and leaves one that was given', async () => {
    const own = new NonstickStore({ cache: memoryCache(), backend: memoryBackend() })
    expect(await own.close()).toMatchObject({ left: 0 })
    await expect(own.get('an-id')).rejects.toMatchObject({ code: 'E_CLOSED' })
    const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
    const shared = new NonstickStore({ sessions })
    expect(await shared.close()).toBeUndefined()
    expect(await shared.get('an-id')).toBeUndefined()
    await sessions.close()
  })
})

test('the data of the application has its types', () => {
  const options: OwnStoreOptions<Session> = {
    identify: (data) => {
      expectTypeOf(data.user).toEqualTypeOf<string | undefined>()
      return data.user
    },
  }
  const store = new NonstickStore<Session>({ cache: memoryCache(), backend: memoryBackend(), ...options })
  expectTypeOf(store).toExtend<NonNullable<FastifySessionOptions['store']>>()
  expectTypeOf(store.get('an-id')).resolves.toExtend<{ readonly cart?: string[] } | undefined>()
  closing.push(async () => await store.close())
})
