import { createCookie, createSession, createSessionStorage, type Session } from 'react-router'
import { describe, expect, test } from 'vitest'
import { nonstickSessionStorage } from '../../src/adapters/react-router.js'
import type { SessionStore } from '../../src/contract/index.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { systemRuntime } from '../../src/runtime.js'
import type { StoreOptions } from '../../src/store/options.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { type Handle, serveReactRouter } from '../frameworks/apps/react-router.js'
import { gate } from './express-cluster.js'
import { copyOf, visitor } from './visitor.js'

type Data = Record<string, unknown>

const MINUTE_MS = 60_000

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

const storageOn = (sessions: SessionStore<Data>, cookie: Parameters<typeof createCookie>[1] = {}) =>
  nonstickSessionStorage(createSessionStorage<Data>, {
    sessions,
    cookie: createCookie('__session', { secrets: ['of a test'], ...cookie }),
  })
type OurStorage = ReturnType<typeof storageOn>

/** A route that does something with the session, and commits it. */
const committing =
  (storage: OurStorage, work: (session: Session<Data>) => unknown): Handle =>
  async (request) => {
    const session = await storage.getSession(request.headers.get('Cookie'))
    const answer = (await work(session)) ?? null
    return Response.json(answer, { headers: { 'Set-Cookie': await storage.commitSession(session) } })
  }

const routesOf = (storage: OurStorage): Readonly<Record<string, Handle>> => ({
  read: async (request) => Response.json((await storage.getSession(request.headers.get('Cookie'))).data),
  id: async (request) => Response.json((await storage.getSession(request.headers.get('Cookie'))).id),
  commit: committing(storage, () => null),
  visit: committing(storage, (session) => session.set('visits', Number(session.get('visits') ?? 0) + 1)),
  flash: committing(storage, (session) => session.flash('message', 'saved')),
  'read-flash': committing(storage, (session) => session.get('message')),
  login: async (request) => {
    const old = await storage.getSession(request.headers.get('Cookie'))
    await storage.destroySession(old)
    const session = await storage.getSession()
    session.set('user', 'ada')
    return Response.json(null, { headers: { 'Set-Cookie': await storage.commitSession(session) } })
  },
  logout: async (request) => {
    const session = await storage.getSession(request.headers.get('Cookie'))
    return Response.json(null, { headers: { 'Set-Cookie': await storage.destroySession(session) } })
  },
})

const serve = async (routes: Readonly<Record<string, Handle>>) => {
  const app = await serveReactRouter(routes)
  return { url: app.url, [Symbol.asyncDispose]: app.close }
}

describe('React Router', () => {
  test('keeps a session from request to request, and each kind of request costs what the documentation says', async () => {
    const tiers = world()
    await using app = await serve(routesOf(storageOn(tiers.sessions)))
    const ada = visitor()
    const costs: Record<string, unknown> = {}
    for (const path of ['read', 'logout', 'commit', 'visit', 'read', 'visit', 'commit', 'login', 'read', 'logout'])
      costs[`${Object.keys(costs).length} ${path}`] = await callsDuring(tiers, async () => {
        expect((await ada.get(`${app.url}/${path}`)).status).toBe(200)
      })
    expect(costs).toEqual({
      '0 read': ['', ''],
      '1 logout': ['', ''],
      '2 commit': ['', ''],
      '3 visit': ['add cas', 'insert'],
      '4 read': ['get', ''],
      '5 visit': ['get cas', ''],
      '6 commit': ['get', ''],
      '7 login': ['get get set set add cas', 'destroy insert'],
      '8 read': ['get', ''],
      '9 logout': ['get get set set', 'destroy'],
    })
  })

  test('two requests that run at once and change different keys both keep their change', async () => {
    const storage = storageOn(world().sessions)
    const slow = gate()
    await using app = await serve({
      ...routesOf(storage),
      slow: committing(storage, async (session) => {
        await slow.wait()
        session.set('cart', ['tea'])
      }),
    })
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const late = (await copyOf(ada)).get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/visit`)
    slow.open()
    expect((await late).status).toBe(200)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({ user: 'ada', visits: 1, cart: ['tea'] })
  })

  test('a request that commits a change to a session which was logged out meanwhile is told so', async () => {
    const { sessions } = world()
    const storage = storageOn(sessions)
    const slow = gate()
    await using app = await serve({
      ...routesOf(storage),
      slow: committing(storage, async (session) => {
        await slow.wait()
        session.set('late', true)
      }),
    })
    const ada = visitor()
    await ada.get(`${app.url}/login`)
    const tab = await copyOf(ada)
    const late = tab.get(`${app.url}/slow`)
    await slow.reached
    await ada.get(`${app.url}/logout`)
    slow.open()
    expect(await late).toEqual({ status: 500, body: { code: 'E_SESSION_DESTROYED' }, setCookie: [] })
    expect((await tab.get(`${app.url}/read`)).body).toEqual({})
    expect(await sessions.count()).toBe(0)
  })

  test('an id that nobody has is not taken over: what is committed with it is stored under a new one', async () => {
    const { sessions } = world()
    const cookie = createCookie('__session', { secrets: ['of a test'] })
    await using app = await serve(routesOf(storageOn(sessions)))
    for (const planted of ['planted-id-of-somebody', 'x'.repeat(2_000), { an: 'object' }, 7]) {
      const mallory = visitor()
      await mallory.jar.setCookie(await cookie.serialize(planted), app.url)
      expect((await mallory.get(`${app.url}/id`)).body).toBe('')
      await mallory.get(`${app.url}/visit`)
      expect((await mallory.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
      const id = (await mallory.get(`${app.url}/id`)).body
      expect(id).toEqual(expect.any(String))
      expect(['', planted]).not.toContain(id)
    }
  })

  test('a session object that somebody else has made is stored where its session stands, and nowhere else', async () => {
    const { sessions } = world()
    const [one, other] = [storageOn(sessions), storageOn(sessions)]
    const session = await one.getSession()
    session.set('user', 'ada')
    const setCookie = await one.commitSession(session)
    const again = await one.getSession(setCookie.split(';')[0])
    again.set('theme', 'dark')
    await other.commitSession(again)
    expect((await sessions.load(again.id))?.data).toEqual({ user: 'ada', theme: 'dark' })
    await one.destroySession(again)
    await expect(other.commitSession(again)).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
    await expect(one.commitSession(again)).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
    const madeUp = createSession<Data>({ user: 'eve' }, 'an id that nobody has')
    await expect(one.commitSession(madeUp)).rejects.toMatchObject({ code: 'E_SESSION_DESTROYED' })
    expect(await sessions.count()).toBe(0)
  })

  test('a new session that is committed twice is one session, and can be destroyed', async () => {
    const { sessions } = world()
    const storage = storageOn(sessions)
    const session = await storage.getSession()
    session.set('user', 'ada')
    const first = await storage.commitSession(session)
    session.set('theme', 'dark')
    expect(await storage.commitSession(session)).toBe(first)
    expect(await sessions.count()).toBe(1)
    expect((await storage.getSession(first.split(';')[0])).data).toEqual({ user: 'ada', theme: 'dark' })
    await storage.destroySession(session)
    expect(await sessions.count()).toBe(0)
  })

  test('a flash value is read once, where the request that read it commits', async () => {
    await using app = await serve(routesOf(storageOn(world().sessions)))
    const ada = visitor()
    await ada.get(`${app.url}/flash`)
    expect((await ada.get(`${app.url}/read-flash`)).body).toBe('saved')
    expect((await ada.get(`${app.url}/read-flash`)).body).toBeNull()
  })

  test('the maxAge of the cookie is the life of the session, and a commit without a change writes nothing', async () => {
    const tiers = world()
    const { sessions, runtime } = tiers
    await using app = await serve(routesOf(storageOn(sessions, { maxAge: 3_600 })))
    const ada = visitor()
    await ada.get(`${app.url}/visit`)
    const id = String((await ada.get(`${app.url}/id`)).body)
    expect((await sessions.load(id, { touch: false }))?.idleTtlMs).toBe(60 * MINUTE_MS)
    for (let commits = 0; commits < 3; commits += 1)
      expect(await callsDuring(tiers, () => ada.get(`${app.url}/commit`))).toEqual(['get', ''])
    expect((await sessions.load(id, { touch: false }))?.writes).toBe(1)
    for (let reads = 0; reads < 3; reads += 1) {
      runtime.advance(40 * MINUTE_MS)
      expect((await ada.get(`${app.url}/read`)).body).toEqual({ visits: 1 })
    }
    runtime.advance(62 * MINUTE_MS)
    expect((await ada.get(`${app.url}/read`)).body).toEqual({})
  })

  test('a maxAge of one commit is the life of that session; one of 0 ends it', async () => {
    const { sessions } = world()
    const storage = storageOn(sessions)
    const session = await storage.getSession()
    session.set('user', 'ada')
    const remembered = await storage.commitSession(session, { maxAge: 7 * 86_400 })
    const again = await storage.getSession(remembered.split(';')[0])
    expect((await sessions.load(again.id))?.idleTtlMs).toBe(7 * 86_400_000)
    await storage.commitSession(again)
    expect((await sessions.load(again.id))?.idleTtlMs).toBe(7 * 86_400_000)
    await storage.commitSession(again, { maxAge: 0 })
    expect(await sessions.load(again.id)).toBeUndefined()
  })

  test('idleTtlMs beside a given store is the life of sessions whose cookie ends with the browser', async () => {
    const { sessions } = world()
    const { getSession, commitSession } = nonstickSessionStorage(createSessionStorage<Data>, {
      sessions,
      idleTtlMs: 7 * MINUTE_MS,
      cookie: { name: 'sid', secrets: ['of a test'] },
    })
    const session = await getSession()
    session.set('user', 'ada')
    const { id } = await getSession((await commitSession(session)).split(';')[0])
    expect((await sessions.load(id))?.idleTtlMs).toBe(7 * MINUTE_MS)
  })

  test('a store that cannot know is an error, and the visitor keeps session and cookie', async () => {
    const { sessions, cache, backend, runtime } = world()
    await using app = await serve(routesOf(storageOn(sessions)))
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

  test('an older secret still opens the cookies that it signed', async () => {
    const { sessions } = world()
    const before = storageOn(sessions, { secrets: ['the older'] })
    const session = await before.getSession()
    session.set('user', 'ada')
    const [cookie] = (await before.commitSession(session)).split(';')
    const after = storageOn(sessions, { secrets: ['the newer', 'the older'] })
    expect((await after.getSession(cookie)).data).toEqual({ user: 'ada' })
    const forgotten = storageOn(sessions, { secrets: ['the newer'] })
    expect((await forgotten.getSession(cookie)).data).toEqual({})
  })

  test('the types of the data are those that createSessionStorage is given', async () => {
    interface Shop {
      user: string
    }
    interface Flash {
      message: string
    }
    const sessions = createSessionStore<Partial<Shop>>({ cache: memoryCache(), backend: memoryBackend() })
    const storage = nonstickSessionStorage(createSessionStorage<Shop, Flash>, { sessions, cookie: { secrets: ['s'] } })
    const session = await storage.getSession()
    session.set('user', 'ada')
    session.flash('message', 'hello')
    // @ts-expect-error a user is a text
    session.set('user', 7)
    // @ts-expect-error there is no such key
    session.set('visits', 7)
    const user: string | undefined = session.get('user')
    expect(user).toBe(7)
    const stored = (await storage.sessions.load('nobody'))?.data
    const { user: ada, __flash_message__: flash }: { user?: string; __flash_message__?: string } = stored ?? {}
    expect([ada, flash]).toEqual([undefined, undefined])
  })

  test('bad options are refused when the storage is made', async () => {
    const { sessions } = world()
    const made = (options: unknown) => nonstickSessionStorage(createSessionStorage<Data>, options as never)
    for (const options of [null, { sessions: {} }, { sessions, cache: memoryCache() }, { sessions, cookie: 'sid' }])
      expect(() => made(options)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    expect(await made({ sessions }).close()).toBeUndefined()
    await sessions.create({})
    const own = made({ cache: memoryCache(), backend: memoryBackend() })
    expect(await own.close()).toEqual({ flushed: 0, left: 0, destroysLeft: 0 })
  })
})
