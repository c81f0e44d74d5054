import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type ServerType, serve as serveHono } from '@hono/node-server'
import { useSession } from '@hono/session'
import { type Context, Hono } from 'hono'
import { type Session, sessionMiddleware } from 'hono-sessions'
import { describe, expect, test } from 'vitest'
import { NonstickStorage, NonstickStore } from '../../src/adapters/hono.js'
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

const MINUTE_MS = 60_000
const SECRET = 'of a test, and of no use anywhere else'

/** Two tiers that a test can break, with a clock that it moves. */
const world = (options: Partial<StoreOptions<Data>> = {}) => {
  const runtime = movableRuntime(systemRuntime.now())
  const cache = faultyCache(memoryCache({ runtime }))
  const backend = faultyBackend(memoryBackend({ runtime }))
  const sessions: SessionStore<Data> = createSessionStore<Data>({ cache, backend, runtime, ...options })
  return { runtime, cache, backend, sessions }
}

const callsDuring = async ({ cache, backend }: ReturnType<typeof world>, work: () => Promise<unknown>) => {
  const before = [cache.calls.length, backend.calls.length]
  await work()
  return [cache.calls.slice(before[0]).join(' '), backend.calls.slice(before[1]).join(' ')]
}

const listening = async (app: Hono) => {
  app.onError((error, c) => c.json({ code: (error as { code?: string }).code ?? String(error) }, 500))
  const server: ServerType = serveHono({ fetch: app.fetch, port: 0, hostname: '127.0.0.1' })
  if (!server.listening) await once(server, 'listening')
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      if ('closeAllConnections' in server) server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

describe('hono-sessions', () => {
  type Route = (session: Session<Data>, c: Context) => unknown
  type Options = Omit<Parameters<typeof sessionMiddleware>[0], 'store'>

  const serve = async (routes: Readonly<Record<string, Route>>, store: NonstickStore<Data>, options: Options = {}) => {
    const app = new Hono<{ Variables: { session: Session<Data>; session_key_rotation: boolean } }>()
    const cookieOptions = { path: '/', httpOnly: true, sameSite: 'Lax' } as const
    app.use('*', sessionMiddleware({ store, cookieOptions, ...options }))
    for (const [name, route] of Object.entries(routes))
      app.get(`/${name}`, async (c) => c.json(((await route(c.get('session'), c as Context)) as Data) ?? null))
    return await listening(app as unknown as Hono)
  }

  const ROUTES: Readonly<Record<string, Route>> = {
    read: (session) => valuesOf(session),
    login: (session, c) => {
      c.set('session_key_rotation', true)
      session.set('user', 'ada')
    },
    visit: (session) => session.set('visits', Number(session.get('visits') ?? 0) + 1),
    logout: (session) => session.deleteSession(),
    flash: (session) => session.flash('message', 'saved'),
    'read-flash': (session) => session.get('message'),
  }

  const valuesOf = (session: Session<Data>): Data =>
    Object.fromEntries(Object.entries(session.getCache()._data).map(([name, { value }]) => [name, value]))

  const idIn = async (url: string, ada: ReturnType<typeof visitor>) => String(await ada.cookie(url, 'session'))

  test('keeps a session from request to request, and each kind of request costs what the documentation says', async () => {
    const tiers = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions: tiers.sessions }))
    const ada = visitor()
    const costs: Record<string, unknown> = {}
    for (const path of ['read', 'visit', 'read', 'visit', 'login', 'read', 'logout', 'read'])
      costs[`${Object.keys(costs).length} ${path}`] = await callsDuring(tiers, async () => {
        expect((await ada.get(`${app.url}/${path}`)).status).toBe(200)
      })
    expect(costs).toEqual({
      '0 read': ['', ''],
      '1 visit': ['get add cas add cas', 'read insert'],
      '2 read': ['get', ''],
      '3 visit': ['get cas', ''],
      '4 login': ['get get get cas cas set', 'update insert destroy'],
      '5 read': ['get add cas', 'read'],
      '6 logout': ['get get set set', 'destroy'],
      '7 read': ['get', ''],
    })
  })

  test('nothing is stored for visitors into whose session nothing is put, nor when they log out', async () => {
    const { sessions, backend, cache } = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions }))
    for (const path of ['read', 'read', 'logout']) await visitor().get(`${app.url}/${path}`)
    expect(await sessions.count()).toBe(0)
    expect(backend.calls.filter((call) => call !== 'count' && call !== 'destroy')).toEqual([])
    expect(cache.calls.filter((call) => !['add', 'get', 'delete'].includes(call))).toEqual([])
  })

  test('what is stored is the values by their names, and no id, expiry or bookkeeping of hono-sessions', async () => {
    const { sessions } = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions }), { expireAfterSeconds: 600 })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    await ada.get(`${app.url}/flash`)
    const session = await sessions.load(await idIn(app.url, ada))
    expect(session?.data).toEqual({ visits: 1, __flash_message__: 'saved' })
    expect(session?.idleTtlMs).toBe(600_000)
  })

  test('a flash value is read once, and is no change of another key', async () => {
    const { sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session) => {
          await slow.wait()
          session.set('late', true)
        },
      },
      new NonstickStore({ sessions }),
    )
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const late = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/flash`)
    slow.open()
    await late
    expect((await ada.get(`${app.url}/read-flash`)).body).toBe('saved')
    expect((await ada.get(`${app.url}/read-flash`)).body).toBeNull()
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1, late: true })
  })

  test('a request that only reads writes nothing, though hono-sessions persists each one', async () => {
    const tiers = world()
    const { sessions, runtime } = tiers
    await using app = await serve(ROUTES, new NonstickStore({ sessions }), { expireAfterSeconds: 3_600 })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = await idIn(app.url, ada)
    for (let reads = 0; reads < 3; reads += 1)
      expect(await callsDuring(tiers, () => ada.get(`${app.url}/read`))).toEqual(['get', ''])
    runtime.advance(5 * MINUTE_MS)
    expect(await callsDuring(tiers, () => ada.get(`${app.url}/read`))).toEqual(['get cas', ''])
    expect((await sessions.load(id, { touch: false }))?.writes).toBe(1)
    runtime.advance(57 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    runtime.advance(62 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({})
  })

  test('without autoExtendExpiration a session that is only read ends its time after the last change', async () => {
    const { sessions, runtime } = world()
    const options = { expireAfterSeconds: 3_600, autoExtendExpiration: false }
    await using app = await serve(ROUTES, new NonstickStore({ sessions }), options)
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    runtime.advance(40 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    runtime.advance(22 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({})
  })

  test('a session whose expiry is set to the past ends with the request', async () => {
    const { sessions } = world()
    const end: Route = (session) => session.setExpiration('2020-01-01T00:00:00.000Z')
    await using app = await serve({ ...ROUTES, end }, new NonstickStore({ sessions }))
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const device = await copyOf(ada)
    await ada.get(`${app.url}/end`)
    expect((await device.get(`${app.url}/read`)).body).toEqual({})
    expect(await sessions.count()).toBe(0)
  })

  test('a request that changes a session which was logged out meanwhile is told so, and does not bring it back', async () => {
    const { sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session) => {
          await slow.wait()
          session.set('late', true)
        },
        'slow-read': () => slow.wait(),
      },
      new NonstickStore({ sessions }),
    )
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const [tab, reader] = [await copyOf(ada), await copyOf(ada)]
    const late = tab.get(`${app.url}/slow`)
    await slow.reached
    const reading = reader.get(`${app.url}/slow-read`)
    await ada.get(`${app.url}/logout`)
    slow.open()
    expect(await late).toMatchObject({ status: 500, body: { code: 'E_SESSION_DESTROYED' } })
    expect((await reading).status).toBe(200)
    expect((await reader.get(`${app.url}/read`)).body).toEqual({})
    expect(await sessions.count()).toBe(0)
  })

  test('a rotated session has a new id and the same data, and the old id is dead', async () => {
    const { sessions } = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions }))
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const before = await copyOf(ada)
    await ada.get(`${app.url}/login`)
    expect(await idIn(app.url, ada)).not.toBe(await idIn(app.url, before))
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1, user: 'ada' })
    expect((await before.get(`${app.url}/read`)).body).toEqual({})
  })

  test('a rotated session takes along what others have stored since the login began, unless it begins anew', async () => {
    const { sessions } = world({ identify: (data) => data['user'] as string | undefined })
    for (const begins of ['on', 'anew']) {
      const slow = gate()
      await using app = await serve(
        {
          ...ROUTES,
          slow: async (session, c) => {
            await slow.wait()
            c.set('session_key_rotation', true)
            if (begins === 'anew') session.forget('visits')
            session.set('user', 'ada')
          },
          theme: (session) => session.set('theme', 'dark'),
        },
        new NonstickStore({ sessions }),
        { expireAfterSeconds: 600 },
      )
      const ada = visitor()
      await ada.get(`${app.url}/visit`)
      const tab = await copyOf(ada)
      const login = ada.get(`${app.url}/slow`)
      await slow.reached
      expect((await tab.get(`${app.url}/theme`)).status).toBe(200)
      slow.open()
      expect((await login).status).toBe(200)
      const expected = begins === 'on' ? { visits: 1, user: 'ada', theme: 'dark' } : { user: 'ada' }
      expect((await ada.get(`${app.url}/read`)).body).toEqual(expected)
      expect((await tab.get(`${app.url}/read`)).body).toEqual({})
      expect((await sessions.load(await idIn(app.url, ada)))?.idleTtlMs).toBe(600_000)
    }
    expect(await sessions.count()).toBe(2)
  })

  test('a session that was logged out while a login was on its way goes on under no new id', async () => {
    const { sessions } = world()
    const slow = gate()
    const store = new NonstickStore({ sessions })
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session, c) => {
          await slow.wait()
          c.set('session_key_rotation', true)
          session.set('user', 'ada')
        },
      },
      store,
    )
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const login = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/logout`)
    slow.open()
    expect(await login).toMatchObject({ status: 500, body: { code: 'E_SESSION_DESTROYED' } })
    expect(await sessions.count()).toBe(0)
  })

  test('deleteSession of a program ends the session before it resolves, also while requests have it', async () => {
    const { sessions } = world()
    const slow = gate()
    const store = new NonstickStore({ sessions })
    await using app = await serve({ ...ROUTES, slow: () => slow.wait() }, store)
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = await idIn(app.url, ada)
    const reading = ada.get(`${app.url}/slow`)
    await slow.reached
    await store.deleteSession(id)
    expect(await sessions.load(id)).toBeUndefined()
    slow.open()
    expect((await reading).status).toBe(200)
  })

  test('an unknown id is not taken over', async () => {
    const { sessions } = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions }))
    for (const planted of ['planted-id-of-somebody', 'x'.repeat(3_000)]) {
      const mallory = visitor()
      await mallory.jar.setCookie(`session=${planted}; Path=/`, app.url)
      expect((await mallory.get(`${app.url}/visit`)).status).toBe(200)
      expect(await idIn(app.url, mallory)).not.toBe(planted)
      expect((await mallory.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    }
  })

  test('a store that cannot know is an error, and no new session: the visitor keeps session and cookie', async () => {
    const { sessions, cache, backend, runtime } = world()
    await using app = await serve(ROUTES, new NonstickStore({ sessions, encrypted: true }), { encryptionKey: SECRET })
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    cache.unreachable = true
    backend.unreachable = true
    const answer = await ada.get(`${app.url}/read`)
    expect(answer).toEqual({ status: 500, body: { code: 'E_SESSION_UNAVAILABLE' }, setCookie: [] })
    cache.unreachable = false
    backend.unreachable = false
    runtime.advance(MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
  })

  test('bad options are refused when the store is made', async () => {
    const { sessions } = world()
    for (const options of [null, { sessions: {} }, { sessions, cache: memoryCache() }, { encrypted: 'yes' }])
      expect(() => new NonstickStore(options as never)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    expect(await new NonstickStore({ sessions }).close()).toBeUndefined()
    await sessions.create({})
  })
})

describe('@hono/session', () => {
  test('two saves of one request store what the session held when each of them was called', async () => {
    const { sessions } = world()
    const held: Data & { cart: string[] } = { cart: [] }
    let storage: { set(id: string, data: Data): Promise<void> } | undefined
    const context = {
      set: (_name: string, given: typeof storage) => {
        storage = given
      },
    }
    await new NonstickStorage({ sessions }).middleware(context, async () => {
      void storage?.set('an id', held)
      held.cart.push('tea')
      void storage?.set('an id', held)
      held.cart.push('never saved')
      await Promise.resolve()
    })
    expect((await sessions.load('an id'))?.data).toEqual({ cart: ['tea'] })
    await sessions.close()
  })

  interface Live {
    readonly id: string | null
    get(): Promise<Data | null>
    update(data: Data | ((data: Data | null) => Data)): Promise<void>
    delete(): void
  }
  type Route = (session: Live, storage: { delete(sid: string): Promise<void> }) => unknown

  const serve = async (routes: Readonly<Record<string, Route>>, storage: NonstickStorage<Data>) => {
    const app = new Hono<{ Variables: { session: Live; sessionStorage: { delete(sid: string): Promise<void> } } }>()
    app.use('*', storage.middleware, useSession({ secret: SECRET }) as never)
    for (const [name, route] of Object.entries(routes))
      app.get(`/${name}`, async (c) => c.json(((await route(c.var.session, c.var.sessionStorage)) as Data) ?? null))
    return await listening(app as unknown as Hono)
  }

  const ROUTES: Readonly<Record<string, Route>> = {
    read: (session) => session.get(),
    visit: (session) => session.update((data) => ({ ...data, visits: Number(data?.['visits'] ?? 0) + 1 })),
    login: async (session, storage) => {
      const data = await session.get()
      if (data !== null) await storage.delete(String(session.id))
      await session.update({ ...data, user: 'ada' })
    },
    logout: async (session) => {
      await session.get()
      session.delete()
    },
  }

  test('keeps a session from request to request, and each kind of request costs what the documentation says', async () => {
    const tiers = world()
    await using app = await serve(ROUTES, new NonstickStorage({ sessions: tiers.sessions }))
    const ada = visitor()
    const costs: Record<string, unknown> = {}
    for (const path of ['read', 'visit', 'read', 'visit', 'login', 'read', 'logout', 'read'])
      costs[`${Object.keys(costs).length} ${path}`] = await callsDuring(tiers, async () => {
        expect((await ada.get(`${app.url}/${path}`)).status).toBe(200)
      })
    expect(costs).toEqual({
      '0 read': ['', ''],
      '1 visit': ['get add cas add cas', 'read insert'],
      '2 read': ['get', ''],
      '3 visit': ['get cas', ''],
      '4 login': ['get get set set get add cas', 'destroy insert'],
      '5 read': ['get', ''],
      '6 logout': ['get get set set', 'destroy'],
      '7 read': ['', ''],
    })
  })

  test('no answer goes out before the session is stored', async () => {
    const { sessions, backend } = world()
    const slow = gate()
    backend.intercept = async (call, proceed) => {
      if (call === 'insert') await slow.wait()
      return await proceed()
    }
    await using app = await serve(ROUTES, new NonstickStorage({ sessions }))
    const ada = visitor()
    let isAnswered = false
    const answer = ada.get(`${app.url}/visit`).then(() => {
      isAnswered = true
    })
    await slow.reached
    await visitor().get(`${app.url}/read`)
    expect(isAnswered).toBe(false)
    slow.open()
    await answer
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
  })

  test('a session that could not be stored fails the request, and ends no process', async () => {
    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    try {
      const { sessions, cache, backend } = world()
      await using app = await serve(ROUTES, new NonstickStorage({ sessions }))
      const ada = visitor()
      cache.unreachable = true
      backend.unreachable = true
      const failed = { status: 500, body: { code: 'E_SESSION_UNAVAILABLE' } }
      expect(await ada.get(`${app.url}/visit`)).toMatchObject(failed)
      expect(await ada.get(`${app.url}/logout`)).toMatchObject(failed)
      await new Promise((resolve) => setImmediate(resolve))
      expect(unhandled).toEqual([])
    } finally {
      process.off('unhandledRejection', listen)
    }
  })

  test('requests that run at once keep the changes of both, be it a function or data that update is given', async () => {
    const { sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session) => {
          const data = await session.get()
          await slow.wait()
          await session.update({ ...data, late: true })
        },
      },
      new NonstickStorage({ sessions }),
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const late = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/visit`)
    slow.open()
    expect((await late).status).toBe(200)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ user: 'ada', visits: 1, late: true })
  })

  test('a request that changes a session which was logged out meanwhile is told so, and does not bring it back', async () => {
    const { sessions } = world()
    const slow = gate()
    await using app = await serve(
      {
        ...ROUTES,
        slow: async (session) => {
          await session.get()
          await slow.wait()
          await session.update((data) => ({ ...data, late: true }))
        },
      },
      new NonstickStorage({ sessions }),
    )
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const tab = await copyOf(ada)
    const late = tab.get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/logout`)
    slow.open()
    expect(await late).toMatchObject({ status: 500, body: { code: 'E_SESSION_DESTROYED' } })
    expect((await tab.get(`${app.url}/read`)).body).toBeNull()
    expect(await sessions.count()).toBe(0)
  })

  test('a session lives as long as it is read, and ends when it was not used for idleTtlMs', async () => {
    const { sessions, runtime } = world()
    await using app = await serve(ROUTES, new NonstickStorage({ sessions, idleTtlMs: 30 * MINUTE_MS }))
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    for (let reads = 0; reads < 4; reads += 1) {
      runtime.advance(20 * MINUTE_MS)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    }
    runtime.advance(31 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toBeNull()
    // The cookie still names the old id, which nobody gets again.
    await ada.get(`${app.url}/visit`)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
  })

  test('a login under a new id leaves the old one dead', async () => {
    const { sessions } = world()
    await using app = await serve(ROUTES, new NonstickStorage({ sessions }))
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const before = await copyOf(ada)
    await ada.get(`${app.url}/login`)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1, user: 'ada' })
    expect((await before.get(`${app.url}/read`)).body).toBeNull()
  })
})
