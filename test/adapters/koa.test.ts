import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import Koa, { type Context } from 'koa'
import koaSession from 'koa-session'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { contextStore, type KoaExternalStore, NonstickStore } from '../../src/adapters/koa.js'
import type { SessionStore } from '../../src/contract/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { systemRuntime } from '../../src/runtime.js'
import type { StoreOptions } from '../../src/store/options.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { gate } from './express-cluster.js'
import { copyOf, visitor } from './visitor.js'

type Data = Record<string, unknown>
type Live = Data & {
  maxAge: number | 'session' | undefined
  save(): Promise<void>
  regenerate(): Promise<void>
  toJSON(): Data
  readonly externalKey: string
}
type Route = (session: Live, ctx: Context) => unknown
type KoaOptions = Omit<NonNullable<Parameters<typeof koaSession>[0]>, 'use'>

const MINUTE_MS = 60_000
const COOKIE = 'koa.sess'

afterEach(() => void vi.useRealTimers())

/** Two tiers that a test can break, with a clock that it moves. */
const world = (options: Partial<StoreOptions<Data>> = {}) => {
  const runtime = movableRuntime(systemRuntime.now())
  const cache = faultyCache(memoryCache({ runtime }))
  const backend = faultyBackend(memoryBackend({ runtime }))
  const sessions: SessionStore<Data> = createSessionStore<Data>({ cache, backend, runtime, ...options })
  return { runtime, cache, backend, sessions, store: new NonstickStore<Data>({ sessions }) }
}

const serve = async (routes: Readonly<Record<string, Route>>, options: object) => {
  const app = new Koa()
  app.silent = true
  app.keys = ['of a test']
  app.use(async (ctx, next) => {
    try {
      await next()
    } catch (error) {
      ctx.status = 500
      ctx.body = { code: (error as { code?: string }).code ?? String(error) }
    }
  })
  app.use(koaSession({ maxAge: 60 * MINUTE_MS, ...options } as KoaOptions, app))
  app.use(async (ctx) => {
    const { session } = ctx as unknown as { session: Live }
    ctx.body = JSON.stringify((await routes[ctx.path.slice(1)]?.(session, ctx)) ?? null)
  })
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

const ROUTES: Readonly<Record<string, Route>> = {
  read: (session) => session.toJSON(),
  login: async (session) => {
    await session.regenerate()
    session['user'] = 'ada'
  },
  visit: (session) => {
    session['visits'] = Number(session['visits'] ?? 0) + 1
  },
  logout: (_session, ctx) => {
    Object.assign(ctx, { session: null })
  },
  id: (session) => session.externalKey,
}

const callsDuring = async ({ cache, backend }: ReturnType<typeof world>, work: () => Promise<unknown>) => {
  const before = [cache.calls.length, backend.calls.length]
  await work()
  return [cache.calls.slice(before[0]).join(' '), backend.calls.slice(before[1]).join(' ')]
}

describe('koa-session', () => {
  test('keeps a session from request to request, and each kind of request costs what the documentation says', async () => {
    const tiers = world()
    await using app = await serve(ROUTES, { store: tiers.store })
    const ada = visitor()
    const costs: Record<string, unknown> = {}
    for (const path of ['read', 'visit', 'read', 'visit', 'login', 'read', 'logout', 'logout'])
      costs[`${Object.keys(costs).length} ${path}`] = await callsDuring(tiers, async () => {
        expect((await ada.get(`${app.url}/${path}`)).status).toBe(200)
      })
    expect(costs).toEqual({
      '0 read': ['', ''],
      '1 visit': ['add cas', 'insert'],
      '2 read': ['get', ''],
      '3 visit': ['get cas', ''],
      '4 login': ['get get get cas cas set get add cas cas cas', 'update insert destroy read update'],
      '5 read': ['get', ''],
      '6 logout': ['get get set set', 'destroy'],
      '7 logout': ['get add delete', 'destroy'],
    })
  })

  test('two requests that run at once and change different keys both keep their change', async () => {
    const { store } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        cart: async (session) => {
          await slow.wait()
          session['cart'] = ['tea']
        },
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const cart = (await copyOf(ada)).get(`${app.url}/cart`)
    await slow.reached
    await ada.get(`${app.url}/visit`)
    slow.open()
    expect((await cart).status).toBe(200)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ user: 'ada', visits: 1, cart: ['tea'] })
  })

  test('a request that changes a session which was logged out meanwhile is told so, and does not bring it back', async () => {
    const { store, sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session) => {
          await slow.wait()
          session['late'] = true
        },
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const { body: id } = await ada.get(`${app.url}/id`)
    const tab = await copyOf(ada)
    const late = tab.get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/logout`)
    slow.open()
    const { status, body, setCookie } = await late
    expect([status, body, setCookie]).toEqual([500, { code: 'E_SESSION_DESTROYED' }, []])
    expect(await sessions.load(String(id))).toBeUndefined()
    expect((await tab.get(`${app.url}/read`)).body).toEqual({})
  })

  test('a request that only reads a session which is logged out meanwhile is answered, also when it is rolling', async () => {
    const { store, sessions } = world()
    const slow = gate()
    await using app = await serve({ ...ROUTES, slow: () => slow.wait() }, { store, rolling: true })
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const { body: id } = await ada.get(`${app.url}/id`)
    const late = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/logout`)
    slow.open()
    expect((await late).status).toBe(200)
    expect(await sessions.load(String(id))).toBeUndefined()
  })

  test('with rolling, a request that changes nothing is a touch, and mostly not even that', async () => {
    const tiers = world()
    const { store, sessions, runtime } = tiers
    await using app = await serve(ROUTES, { store, rolling: true })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    expect(await callsDuring(tiers, () => ada.get(`${app.url}/read`))).toEqual(['get', ''])
    runtime.advance(5 * MINUTE_MS)
    expect(await callsDuring(tiers, () => ada.get(`${app.url}/read`))).toEqual(['get cas', ''])
    const session = await sessions.load(id, { touch: false })
    expect([session?.writes, session?.idleTtlMs]).toEqual([1, 60 * MINUTE_MS])
  })

  test('without rolling or renew a session ends its maxAge after the last change, however often it is read', async () => {
    const { store, runtime } = world()
    await using app = await serve(ROUTES, { store })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    for (const minutes of [25, 25]) {
      runtime.advance(minutes * MINUTE_MS)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    }
    runtime.advance(12 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({})
  })

  test('with renew a session lives on when it is used in the last half of its life', async () => {
    // koa-session looks at the clock of the machine.
    vi.useFakeTimers({ toFake: ['Date'], now: systemRuntime.now() })
    const sessions = createSessionStore<Data>({ cache: memoryCache(), backend: memoryBackend() })
    await using app = await serve(ROUTES, { store: new NonstickStore({ sessions }), renew: true })
    const pass = (minutes: number): void => void vi.setSystemTime(systemRuntime.now() + minutes * MINUTE_MS)
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    pass(15)
    expect((await ada.get(`${app.url}/read`)).setCookie).toEqual([])
    for (let reads = 0; reads < 4; reads += 1) {
      pass(40)
      const { body, setCookie } = await ada.get(`${app.url}/read`)
      expect([body, setCookie.length]).toEqual([{ visits: 1 }, 2])
    }
    pass(62)
    expect((await (await copyOf(ada)).get(`${app.url}/read`)).body).toEqual({})
  })

  test('with maxAge "session" the cookie ends with the browser, and the session when it was not used for long', async () => {
    const { sessions, runtime } = world({ idleTtlMs: 30 * MINUTE_MS })
    await using app = await serve(ROUTES, { store: new NonstickStore({ sessions }), maxAge: 'session' })
    const ada = visitor()
    const { setCookie } = await ada.get(`${app.url}/visit`)
    expect(setCookie[0]).not.toMatch(/expires|max-age/i)
    for (let reads = 0; reads < 4; reads += 1) {
      runtime.advance(20 * MINUTE_MS)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    }
    runtime.advance(31 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({})
  })

  test('idleTtlMs beside a given store is the life of the sessions that end with the browser', async () => {
    const { sessions } = world()
    const store = new NonstickStore({ sessions, idleTtlMs: 7 * MINUTE_MS })
    await using app = await serve(ROUTES, { store, maxAge: 'session' })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    expect((await sessions.load(id))?.idleTtlMs).toBe(7 * MINUTE_MS)
  })

  test('a maxAge of its own is the life of one session, and a request that loaded it before does not undo it', async () => {
    const { store, sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        remember: (session) => {
          session.maxAge = 30 * 24 * 60 * MINUTE_MS
        },
        slow: async (session) => {
          await slow.wait()
          session['late'] = true
        },
        maxAge: (session) => session.maxAge,
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    const late = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/remember`)
    slow.open()
    expect((await late).status).toBe(200)
    const stored = await sessions.load(id)
    expect(stored?.idleTtlMs).toBe(30 * 24 * 60 * MINUTE_MS)
    expect(stored?.data).toEqual({ user: 'ada', late: true, _maxAge: 30 * 24 * 60 * MINUTE_MS })
    expect((await ada.get(`${app.url}/maxAge`)).body).toBe(30 * 24 * 60 * MINUTE_MS)
  })

  test('a session that was told to end with the browser does so from then on, in an application whose sessions have a maxAge', async () => {
    const { sessions } = world({ idleTtlMs: 30 * MINUTE_MS })
    await using app = await serve(
      {
        ...ROUTES,
        forget: (session) => {
          session.maxAge = 'session'
        },
        maxAge: (session) => session.maxAge,
      },
      { store: new NonstickStore({ sessions }) },
    )
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    await ada.get(`${app.url}/forget`)
    expect((await ada.get(`${app.url}/maxAge`)).body).toBe('session')
    expect((await ada.get(`${app.url}/visit`)).setCookie[0]).not.toMatch(/expires|max-age/i)
    const stored = await sessions.load(String((await ada.get(`${app.url}/id`)).body))
    expect([stored?.data, stored?.idleTtlMs]).toEqual([{ visits: 2, _maxAge: 'session' }, 30 * MINUTE_MS])
  })

  test('a negative maxAge ends the session', async () => {
    const { store, sessions } = world()
    await using app = await serve(
      {
        ...ROUTES,
        end: (session) => {
          session.maxAge = -1
        },
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    expect((await (await copyOf(ada)).get(`${app.url}/end`)).status).toBe(200)
    expect(await sessions.load(id)).toBeUndefined()
  })

  test('a login gives the session a new id with the same data, and the old id is dead', async () => {
    const { store } = world()
    await using app = await serve(ROUTES, { store })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const before = await copyOf(ada)
    const oldId = (await ada.get(`${app.url}/id`)).body
    await ada.get(`${app.url}/login`)
    expect((await ada.get(`${app.url}/id`)).body).not.toBe(oldId)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1, user: 'ada' })
    expect((await before.get(`${app.url}/read`)).body).toEqual({})
  })

  describe('a new id at a login', () => {
    const start = async (options: object = {}) => {
      const tiers = world()
      const slow = gate()
      const routes: Readonly<Record<string, Route>> = {
        ...ROUTES,
        'slow-login': async (session) => {
          await slow.wait()
          await session.regenerate()
          session['user'] = 'ada'
        },
        'slow-anew': async (_session, ctx) => {
          await slow.wait()
          Object.assign(ctx, { session: { fresh: true } })
          await (ctx as unknown as { session: Live }).session.regenerate()
        },
        'twice-anew': async (session) => {
          await session.regenerate()
          session['user'] = 'ada'
          await session.regenerate()
        },
        theme: (session) => {
          session['theme'] = 'dark'
        },
      }
      const app = await serve(routes, { store: tiers.store, ...options })
      return { ...tiers, slow, app }
    }

    test('takes along what other requests have stored since the login began, and what it changes itself', async () => {
      const { app: served, slow, sessions } = await start()
      await using app = served
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      const tab = await copyOf(ada)
      const login = ada.get(`${app.url}/slow-login`)
      await slow.reached
      for (const path of ['theme', 'visit']) expect((await tab.get(`${app.url}/${path}`)).status).toBe(200)
      slow.open()
      expect((await login).status).toBe(200)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 2, theme: 'dark', user: 'ada' })
      expect((await tab.get(`${app.url}/read`)).body).toEqual({})
      expect(await sessions.count()).toBe(1)
    })

    test('is not given to a session that was logged out while the login was on its way', async () => {
      const { app: served, slow, sessions } = await start()
      await using app = served
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      const login = (await copyOf(ada)).get(`${app.url}/slow-login`)
      await slow.reached
      await ada.get(`${app.url}/logout`)
      slow.open()
      expect(await login).toMatchObject({ status: 500, body: { code: 'E_SESSION_DESTROYED' } })
      expect(await sessions.count()).toBe(0)
    })

    test('takes nothing along where the application has put another session in place of what it had', async () => {
      const { app: served, slow, sessions } = await start()
      await using app = served
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      const tab = await copyOf(ada)
      const anew = ada.get(`${app.url}/slow-anew`)
      await slow.reached
      await tab.get(`${app.url}/theme`)
      slow.open()
      expect((await anew).status).toBe(200)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ fresh: true })
      expect((await tab.get(`${app.url}/read`)).body).toEqual({})
      expect(await sessions.count()).toBe(1)
    })

    test('can be given twice in one request, and the last one is what the visitor keeps', async () => {
      const { app: served, sessions } = await start()
      await using app = served
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      expect((await ada.get(`${app.url}/twice-anew`)).status).toBe(200)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1, user: 'ada' })
      expect(await sessions.count()).toBe(1)
    })

    test('ends the old session also where the application throws before koa-session has stored the new one', async () => {
      const isBroken = { now: false }
      const { app: served, sessions } = await start({
        beforeSave: () => {
          if (isBroken.now) throw new Error('of the application')
        },
      })
      await using app = served
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      isBroken.now = true
      expect((await (await copyOf(ada)).get(`${app.url}/login`)).status).toBe(500)
      isBroken.now = false
      await vi.waitFor(async () => expect(await sessions.count()).toBe(0))
      expect((await ada.get(`${app.url}/read`)).body).toEqual({})
    })
  })

  test('save() stores what the session holds as it is called, whatever the request does to it before that has ended', async () => {
    const { store } = world()
    await using app = await serve(
      {
        ...ROUTES,
        begin: (session) => {
          session['queue'] = []
        },
        push: async (session) => {
          const queue = session['queue'] as string[]
          queue.push('job')
          const saved = session.save()
          queue.pop()
          await saved
        },
        'push-twice': async (session) => {
          const lists = { sets: new Set(['tea']), deep: [{ jobs: ['one'] }] }
          session['lists'] = lists
          const first = session.save()
          lists.deep[0]?.jobs.push('two')
          lists.sets.add('milk')
          const second = session.save()
          lists.deep[0]?.jobs.push('three')
          lists.sets.clear()
          await Promise.all([first, second])
          lists.deep[0]?.jobs.pop()
          lists.sets.add('tea').add('milk')
        },
        lists: (session) => {
          const { sets, deep } = session['lists'] as { readonly sets: Set<string>; readonly deep: unknown }
          return { sets: [...sets], deep }
        },
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/begin`)
    await ada.get(`${app.url}/push`)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ queue: ['job'] })
    for (const who of [ada, visitor()]) {
      expect((await who.get(`${app.url}/push-twice`)).status).toBe(200)
      expect((await who.get(`${app.url}/lists`)).body).toEqual({
        sets: ['tea', 'milk'],
        deep: [{ jobs: ['one', 'two'] }],
      })
    }
  })

  test('an unknown id is not taken over, be it signed, unsigned or of no shape at all', async () => {
    const { store } = world()
    await using app = await serve(ROUTES, { store, signed: false })
    for (const planted of ['planted-id-of-somebody', 'x'.repeat(3_000)]) {
      const mallory = visitor()
      await mallory.jar.setCookie(`${COOKIE}=${planted}; Path=/`, app.url)
      expect((await mallory.get(`${app.url}/visit`)).status).toBe(200)
      expect((await mallory.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
      expect(await mallory.cookie(app.url, COOKIE)).not.toBe(planted)
    }
  })

  test('another tier than the cache being down is an error, and the visitor keeps session and cookie', async () => {
    const { store, cache, backend, runtime } = world()
    await using app = await serve(ROUTES, { store })
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const cookie = await ada.cookie(app.url, COOKIE)
    cache.unreachable = true
    backend.unreachable = true
    const { status, body, setCookie } = await ada.get(`${app.url}/read`)
    expect([status, body, setCookie]).toEqual([500, { code: 'E_SESSION_UNAVAILABLE' }, []])
    cache.unreachable = false
    backend.unreachable = false
    runtime.advance(MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ user: 'ada' })
    expect(await ada.cookie(app.url, COOKIE)).toBe(cookie)
  })

  test('what another part of the program stores under a hidden name outlives the requests', async () => {
    const { store, sessions } = world()
    await using app = await serve(ROUTES, { store })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    await sessions.update(id, (data) => Object.assign(data, { _audit: 'seen' }))
    await ada.get(`${app.url}/visit`)
    expect((await sessions.load(id))?.data).toEqual({ visits: 2, _audit: 'seen', _maxAge: 60 * MINUTE_MS })
  })

  test('a session saved twice in a request is stored under one id', async () => {
    const { store, sessions } = world()
    await using app = await serve(
      {
        twice: async (session) => {
          session['first'] = 1
          await session.save()
          session['second'] = 2
        },
        ...ROUTES,
      },
      { store },
    )
    const ada = visitor()
    await ada.get(`${app.url}/twice`)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ first: 1, second: 2 })
    expect(await sessions.count()).toBe(1)
  })

  test('a logout of a visitor who has no session leaves nothing in the backend', async () => {
    const { store, sessions, backend } = world()
    await using app = await serve(ROUTES, { store })
    await visitor().get(`${app.url}/logout`)
    expect(await sessions.count()).toBe(0)
    expect(backend.calls).not.toContain('insert')
  })
})

describe('a ContextStore', () => {
  test('serves each tenant from the store that its request names', async () => {
    const tenants: Readonly<Record<string, ReturnType<typeof world>>> = { one: world(), two: world() }
    const ContextStore = contextStore<Context>((ctx) => {
      const tenant = tenants[String(ctx.query['tenant'])]
      if (tenant === undefined) throw Object.assign(new Error('no such tenant'), { code: 'E_NO_TENANT' })
      return tenant.store
    })
    await using app = await serve(ROUTES, { ContextStore })
    const ada = visitor()
    await ada.get(`${app.url}/visit?tenant=one`)
    expect((await ada.get(`${app.url}/read?tenant=one`)).body).toEqual({ visits: 1 })
    expect((await ada.get(`${app.url}/read?tenant=two`)).body).toEqual({})
    expect((await ada.get(`${app.url}/read?tenant=three`)).body).toEqual({ code: 'E_NO_TENANT' })
    expect([await tenants['one']?.sessions.count(), await tenants['two']?.sessions.count()]).toEqual([1, 0])
  })
})

describe('the options', () => {
  test('a bad option is refused when the store is made', () => {
    const { sessions } = world()
    const made = (options: object): unknown => new NonstickStore(options as never)
    for (const options of [
      { sessions: {} },
      { sessions, idleTtlMs: 10 },
      { sessions: [] },
      { sessions, cache: memoryCache() },
      [],
      null,
    ])
      expect(() => made(options as object)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
  })

  test('a store that was made here is closed with the adapter, and one that was given stays open', async () => {
    const { sessions, store } = world()
    expect(await store.close()).toBeUndefined()
    await sessions.create({})
    const own = new NonstickStore({ cache: memoryCache(), backend: memoryBackend() })
    expect(await own.close()).toEqual({ flushed: 0, left: 0, destroysLeft: 0 })
    await expect(own.get('an id')).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  test('it can be called without a request, as by a program of its own', async () => {
    const store: KoaExternalStore & NonstickStore<Data> = world().store
    await store.set('an id', { user: 'ada', _maxAge: MINUTE_MS })
    await store.set('an id', { user: 'bea', _maxAge: MINUTE_MS })
    expect(await store.get('an id')).toMatchObject({ user: 'bea', _maxAge: MINUTE_MS })
    await store.destroy('an id')
    expect(await store.get('an id')).toBeUndefined()
  })
})
