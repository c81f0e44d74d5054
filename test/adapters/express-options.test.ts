import { request as httpRequest } from 'node:http'
import express, { type Express } from 'express'
import type { SessionData } from 'express-session'
import express4 from 'express4'
import { describe, expect, expectTypeOf, test } from 'vitest'
import type { ExpressData, OwnStoreOptions } from '../../src/adapters/express.js'
import { type App, type AppOptions, Browser, bag, type Cluster, gate, idOf, openCluster } from './express-cluster.js'

const HOUR_MS = 3_600_000

declare module 'express-session' {
  interface SessionData {
    basket?: readonly string[]
  }
}

const routes =
  (place = gate()) =>
  (app: Express): void => {
    app.get('/set/:key/:value', (req, res) => {
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.get('/show', (req, res) => {
      const { cookie: _, ...data } = bag(req)
      res.json(data)
    })
    app.get('/slow/set/:key/:value', async (req, res) => {
      await place.wait()
      bag(req)[req.params.key] = req.params.value
      res.send('x'.repeat(100))
    })
    app.get('/slow/show', async (req, res) => {
      await place.wait()
      res.json(Object.keys(bag(req)))
    })
    app.get('/login', (req, res, next) => {
      req.session.regenerate((error: unknown) => {
        if (error) return next(error)
        bag(req)['user'] = 'ada'
        req.session.save((failed: unknown) => (failed ? next(failed) : res.redirect('/show')))
      })
    })
    app.get('/logout', (req, res, next) => {
      req.session.destroy((error: unknown) => (error ? next(error) : res.send('bye')))
    })
    app.get('/unset', (req, res) => {
      Object.assign(req, { session: null })
      res.send('unset')
    })
  }

const json = async (browser: Browser, url: string): Promise<unknown> => JSON.parse((await browser.get(url)).body)

describe.each([
  ['express 5', express],
  ['express 4', express4],
])('%s', (_name, framework) => {
  const open = async (
    cluster: Cluster,
    session: AppOptions['session'] = {},
    place = gate(),
  ): Promise<{ readonly app: App; readonly browser: Browser }> => ({
    app: await cluster.process(routes(place), { framework, session }),
    browser: new Browser(),
  })

  test.for<NonNullable<AppOptions['session']>>([
    { resave: false, saveUninitialized: false },
    { resave: true, saveUninitialized: false },
    { resave: false, saveUninitialized: true },
    { resave: true, saveUninitialized: true, rolling: true, cookie: { maxAge: HOUR_MS } },
    { unset: 'destroy' },
    { unset: 'keep' },
    { cookie: { maxAge: HOUR_MS, sameSite: 'auto' as never, secure: 'auto' } },
    { cookie: (req) => ({ maxAge: req.path.startsWith('/set') ? HOUR_MS : 2 * HOUR_MS }) },
    { secret: ['the newest', 'of a test'] },
  ])('a visit is what it should be, and reading writes nothing, with %o', async (session) => {
    await using cluster = openCluster()
    const { app, browser } = await open(cluster, session)
    await browser.get(`${app.url}/set/cart/tea`)
    await browser.get(`${app.url}/set/colour/red`)
    expect(await json(browser, `${app.url}/show`)).toEqual({ cart: 'tea', colour: 'red' })
    const { writes } = app.store.sessions.stats()
    for (let request = 0; request < 5; request += 1) await browser.get(`${app.url}/show`)
    expect(app.store.sessions.stats().writes).toBe(writes)
    const before = browser.tab()
    const login = await browser.get(`${app.url}/login`)
    expect(login.status).toBe(302)
    expect(await json(browser, `${app.url}/show`), 'nothing of the old data is kept').toEqual({ user: 'ada' })
    expect(idOf(browser)).not.toBe(idOf(before))
    expect(await json(before, `${app.url}/show`)).toEqual({})
    const inside = browser.tab()
    await browser.get(`${app.url}/logout`)
    expect(await json(inside, `${app.url}/show`)).toEqual({})
  })

  test('the options of the cookie may come from a function of the request', async () => {
    await using cluster = openCluster()
    const { app, browser } = await open(cluster, {
      cookie: (req) => ({ maxAge: Number(req.headers['x-hours'] ?? 1) * HOUR_MS }),
    })
    await browser.get(`${app.url}/set/cart/tea`)
    const { idleTtlMs } = (await app.store.sessions.load(idOf(browser), { touch: false })) ?? {}
    expect(Math.round((idleTtlMs ?? 0) / 1_000)).toBe(HOUR_MS / 1_000)
  })

  test('a request that asks for no session any more ends it, or leaves it, as unset says', async () => {
    await using cluster = openCluster()
    for (const [unset, left] of [
      ['destroy', {}],
      ['keep', { cart: 'tea' }],
    ] as const) {
      const { app, browser } = await open(cluster, { unset })
      await browser.get(`${app.url}/set/cart/tea`)
      const before = browser.tab()
      await browser.get(`${app.url}/unset`)
      expect(await json(before, `${app.url}/show`)).toEqual(left)
    }
  })

  test('a session is there for the request that a redirect leads to, in another process', async () => {
    await using cluster = openCluster()
    const [{ app, browser }, { app: other }] = [await open(cluster), await open(cluster)]
    for (let time = 0; time < 5; time += 1) {
      expect((await browser.get(`${app.url}/login`)).status).toBe(302)
      expect(await json(browser, `${other.url}/show`)).toEqual({ user: 'ada' })
    }
  })

  test('a change is stored whose visitor has gone before the answer', async () => {
    await using cluster = openCluster()
    const place = gate()
    const { app, browser } = await open(cluster, {}, place)
    await browser.get(`${app.url}/set/user/ada`)
    const visitor = httpRequest(`${app.url}/slow/set/cart/tea`, { headers: { cookie: browser.cookie ?? '' } })
    visitor.on('error', () => {})
    const gone = new Promise((resolve) => visitor.on('close', resolve))
    visitor.end()
    await place.reached
    visitor.destroy()
    await gone
    place.open()
    await expect.poll(() => json(browser, `${app.url}/show`)).toEqual({ user: 'ada', cart: 'tea' })
  })

  test.for(['/slow/set/cart/tea', '/slow/show'])(
    'a session that another request has ended meanwhile is not brought back, and %s ends normally',
    async (path) => {
      await using cluster = openCluster()
      const place = gate()
      const { app, browser } = await open(cluster, { resave: true, rolling: true }, place)
      const { app: other } = await open(cluster)
      app.store.on('dropped', () => {})
      await browser.get(`${app.url}/set/user/ada`)
      const before = browser.tab()
      const slow = browser.tab().get(app.url + path)
      await place.reached
      await browser.get(`${other.url}/logout`)
      place.open()
      expect((await slow).status).toBe(200)
      for (const { url } of [app, other]) expect(await json(before, `${url}/show`)).toEqual({})
    },
  )
})

test('the data of the application has its types', () => {
  const options: OwnStoreOptions = {
    identify: (data) => {
      expectTypeOf(data.basket).toEqualTypeOf<readonly string[] | undefined>()
      return data.basket?.[0]
    },
  }
  expectTypeOf(options.identify).not.toBeUndefined()
  expectTypeOf<ExpressData>().toEqualTypeOf<Partial<SessionData>>()
})
