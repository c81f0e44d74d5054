import { AppFactory } from '@adonisjs/core/factories/app'
import { defineConfig, SessionCollection } from '@adonisjs/session'
import { afterEach, describe, expect, test } from 'vitest'
import { type AdonisStoreFactory, nonstickStore, userOfAdonisSession } from '../../src/adapters/adonis.js'
import { startAdonis } from '../frameworks/apps/adonis.js'
import type { Routes } from '../frameworks/framework.js'
import { SECRETS, Visitor } from '../frameworks/ground.js'
import { world } from '../store/world.js'
import { gate } from './express-cluster.js'

const closing: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closing.splice(0)) await close()
})

const ROUTES: Routes = {
  login: async (session, { user }) => {
    await session.regenerate()
    session.set('user', user)
    return {}
  },
  read: (session) => session.data(),
  set: (session, body) => {
    for (const [key, value] of Object.entries(body)) session.set(key, value)
    return {}
  },
  regenerate: async (session) => {
    await session.regenerate()
    return {}
  },
  logout: async (session) => {
    await session.destroy()
    return {}
  },
}

/** An AdonisJS over HTTP, on tiers of memory whose calls can be counted. */
const started = async (
  identify: ((data: unknown) => string | undefined) | undefined = userOfAdonisSession,
  routes: Routes = ROUTES,
) => {
  const { process, cache, backend, runtime } = world()
  const sessions = process(identify === undefined ? {} : { identify })
  const store = nonstickStore({ sessions })
  const app = await startAdonis(routes, { secrets: SECRETS, maxAgeMs: 3_600_000, store })
  closing.push(() => app.close())
  return { app, store, sessions, cache, backend, runtime }
}

const collectionOf = async (store: AdonisStoreFactory): Promise<SessionCollection> => {
  const config = defineConfig({ store: 'nonstick', age: 3_600, stores: { nonstick: store } })
  return new SessionCollection(
    (await config.resolver(new AppFactory().create(new URL('./', import.meta.url)) as never)) as never,
  )
}

describe('the sessions of a user', () => {
  test('are found by his tag, each by a name that lets nobody in and by which it can be ended', async () => {
    const { app, store, sessions } = await started()
    const [laptop, phone, stranger] = [new Visitor(), new Visitor(), new Visitor()]
    await laptop.ok(app, 'login', { user: 'ada' })
    await phone.ok(app, 'login', { user: 'ada' })
    await stranger.ok(app, 'login', { user: 'grace' })
    const collection = await collectionOf(store)
    const found = await collection.tagged('ada')
    expect(found.map(({ data }) => data)).toEqual([{ user: 'ada' }, { user: 'ada' }])
    expect(found.map(({ id }) => id).every((id) => id.startsWith('h.'))).toBe(true)
    expect(await collection.get(found[0]?.id ?? '')).toEqual({ user: 'ada' })
    await collection.destroy(found[0]?.id ?? '')
    expect(await collection.tagged('ada')).toHaveLength(1)
    const users = [await laptop.user(app), await phone.user(app), await stranger.user(app)]
    expect(users.sort()).toEqual(['ada', 'grace', undefined])
    await sessions.destroyByUser('ada')
    expect([await laptop.user(app), await phone.user(app)]).toEqual([undefined, undefined])
    expect(await stranger.user(app)).toBe('grace')
  })

  test('stay his when they get a new id, or are tagged from outside of a request', async () => {
    const { app, store } = await started()
    const [laptop, phone] = [new Visitor(), new Visitor()]
    await laptop.ok(app, 'login', { user: 'ada' })
    await laptop.ok(app, 'regenerate')
    const collection = await collectionOf(store)
    expect(await collection.tagged('ada')).toHaveLength(1)
    await phone.ok(app, 'set', { cart: ['tea'] })
    expect(await collection.tagged('grace')).toEqual([])
    await store.sessions.create({ made: 'elsewhere' }, { id: 'an id of the program’s own' })
    await collection.tag('an id of the program’s own', 'grace')
    expect((await collection.tagged('grace')).map(({ data }) => data)).toEqual([{ made: 'elsewhere' }])
    await collection.tag('an id that nobody has', 'grace')
    expect(await collection.tagged('grace')).toHaveLength(1)
  })

  test('are refused where the store was not told whose they are', async () => {
    const { app } = await started(() => undefined)
    const answer = await new Visitor().post(app, 'login', { user: 'ada' })
    expect(answer).toMatchObject({
      status: 500,
      body: { text: expect.stringContaining('`identify: userOfAdonisSession`') },
    })
  })
})

describe('an id', () => {
  test('of a session that has ended is not used again, though AdonisJS would', async () => {
    const { app, sessions, runtime } = await started()
    for (const end of ['logout', 'expiry']) {
      const visitor = new Visitor()
      await visitor.ok(app, 'login', { user: 'ada' })
      const before = await visitor.copy()
      if (end === 'logout') await visitor.ok(app, 'logout')
      else runtime.advance(2 * 3_600_000)
      // The browser still has the cookie with that id.
      await visitor.ok(app, 'set', { cart: ['tea'] })
      expect((await visitor.ok(app, 'read')).body).toEqual({ cart: ['tea'] })
      expect((await before.ok(app, 'read')).body).toEqual({})
    }
    // That of the first has ended by now.
    expect(await sessions.count()).toBe(1)
  })

  test('of a visitor who keeps nothing costs no write, and one that was just made up no question', async () => {
    const { app, cache, backend, sessions } = await started()
    const visitor = new Visitor()
    await visitor.ok(app, 'read')
    expect([...cache.calls, ...backend.calls]).toEqual([])
    await visitor.ok(app, 'read')
    await visitor.ok(app, 'regenerate')
    expect(backend.calls.filter((call) => call !== 'read')).toEqual([])
    expect(await sessions.count()).toBe(0)
  })
})

/** An AdonisJS whose route `slow` waits, and then does what another route does. */
const withSlow = async (route: keyof typeof ROUTES | Routes[string]) => {
  const slow = gate()
  const then = typeof route === 'string' ? ROUTES[route] : route
  const parts = await started(undefined, {
    ...ROUTES,
    slow: async (session, body) => {
      await slow.wait()
      return await then?.(session, body)
    },
  })
  return { ...parts, slow }
}

describe('a new id', () => {
  test('at a login takes along what other requests have stored since the login began', async () => {
    const { app, slow, sessions } = await withSlow('login')
    const visitor = new Visitor()
    await visitor.ok(app, 'set', { theme: 'light', cart: [] })
    const before = await visitor.copy()
    const login = visitor.ok(app, 'slow', { user: 'ada' })
    await slow.reached
    await before.ok(app, 'set', { cart: ['tea'] })
    slow.open()
    await login
    expect((await visitor.ok(app, 'read')).body).toEqual({ theme: 'light', cart: ['tea'], user: 'ada' })
    expect((await before.ok(app, 'read')).body).toEqual({})
    expect(await sessions.count()).toBe(1)
  })

  test('is given to no session that was logged out meanwhile', async () => {
    const { app, slow, sessions } = await withSlow('login')
    const visitor = new Visitor()
    await visitor.ok(app, 'set', { cart: ['tea'] })
    const login = (await visitor.copy()).post(app, 'slow', { user: 'ada' })
    await slow.reached
    await visitor.ok(app, 'logout')
    slow.open()
    expect((await login).status).toBe(500)
    expect(await sessions.count()).toBe(0)
  })

  test('takes nothing along of a session that was cleared before, nor whose it was', async () => {
    const { app, slow, sessions } = await withSlow(async (session) => {
      await session.destroy()
      await session.regenerate()
      session.set('goodbye', true)
      return {}
    })
    const visitor = new Visitor()
    await visitor.ok(app, 'login', { user: 'ada' })
    const before = await visitor.copy()
    const logout = visitor.ok(app, 'slow')
    await slow.reached
    await before.ok(app, 'set', { cart: ['tea'] })
    slow.open()
    await logout
    expect((await visitor.ok(app, 'read')).body).toEqual({ goodbye: true })
    expect((await before.ok(app, 'read')).body).toEqual({})
    expect(await sessions.countByUser('ada')).toBe(0)
  })
})

describe('a page that shows a flash message', () => {
  test('and leaves a guest with nothing else does not refuse what another of his requests stores meanwhile', async () => {
    const { app, slow } = await withSlow('set')
    const visitor = new Visitor()
    await visitor.ok(app, 'set', { __flash__: { notification: 'The name is missing' } })
    const cart = (await visitor.copy()).post(app, 'slow', { cart: ['tea'] })
    await slow.reached
    expect((await visitor.ok(app, 'read')).body).toEqual({})
    slow.open()
    expect((await cart).status).toBe(200)
    expect((await visitor.ok(app, 'read')).body).toEqual({ cart: ['tea'] })
  })

  test('keeps what another request has stored while the page was made', async () => {
    const { app, slow } = await withSlow('read')
    const visitor = new Visitor()
    await visitor.ok(app, 'set', { __flash__: { notification: 'The name is missing' } })
    const page = (await visitor.copy()).ok(app, 'slow')
    await slow.reached
    await visitor.ok(app, 'set', { cart: ['tea'] })
    slow.open()
    await page
    expect((await visitor.ok(app, 'read')).body).toEqual({ cart: ['tea'] })
  })

  test('is answered as ever where the session was ended meanwhile', async () => {
    const { app, slow, sessions } = await withSlow('read')
    const visitor = new Visitor()
    await visitor.ok(app, 'set', { __flash__: { notification: 'The name is missing' } })
    const page = visitor.post(app, 'slow')
    await slow.reached
    await sessions.destroyAll()
    slow.open()
    expect((await page).status).toBe(200)
    expect(await sessions.count()).toBe(0)
  })
})

describe('the age of the configuration', () => {
  test('is how long a session lives that nobody uses, and any use lengthens it', async () => {
    const { app, runtime } = await started()
    const visitor = new Visitor()
    await visitor.ok(app, 'login', { user: 'ada' })
    for (let use = 0; use < 4; use += 1) {
      runtime.advance(3_000_000)
      expect(await visitor.user(app)).toBe('ada')
    }
    runtime.advance(3_700_000)
    expect(await visitor.user(app)).toBeUndefined()
  })

  test('is refused as a text where AdonisJS makes no number of it, and an option names what it is not', () => {
    const store = nonstickStore({ sessions: world().process() })
    expect(() => store(null, { cookieName: 'c', age: '2h', cookie: {} })).toThrow('`age` to be a number of seconds')
    expect(() => nonstickStore({ identify: () => 'ann' } as never)).toThrow('`identify` to be left out')
    expect(() => nonstickStore({ sessions: {} } as never)).toThrow('`sessions` to be a session store')
    expect(() => nonstickStore({ idleTtlMs: 5 })).toThrow('`idleTtlMs`')
  })
})
