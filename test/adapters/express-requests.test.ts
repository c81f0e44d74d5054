import type { Express, NextFunction, Request, Response } from 'express'
import { describe, expect, test } from 'vitest'
import { Browser, bag, gate, idOf, openCluster } from './express-cluster.js'

/** Stores whatever the address says, and shows what is there. */
const routes = (app: Express): void => {
  app.get('/set/:key/:value', (req, res) => {
    bag(req)[req.params.key] = req.params.value
    res.send('set')
  })
  app.get('/delete/:key', (req, res) => {
    delete bag(req)[req.params.key]
    res.send('deleted')
  })
  app.get('/show', (req, res) => {
    const { cookie: _, ...data } = bag(req)
    res.json(data)
  })
  app.get('/logout', (req, res, next) => {
    req.session.destroy((error) => (error ? next(error) : res.send('bye')))
  })
}

const shown = async (browser: Browser, url: string): Promise<unknown> =>
  JSON.parse((await browser.get(`${url}/show`)).body)

describe('what a request costs', () => {
  const SETUPS = [
    { options: {}, calls: ['set', 'get touch', 'get set', 'get touch'] },
    { options: { resave: true }, calls: ['set', 'get set', 'get set', 'get set'] },
    { options: { rolling: true }, calls: ['set', 'get touch', 'get set', 'get touch'] },
    { options: { saveUninitialized: true }, calls: ['set', 'get touch', 'get set', 'get touch'] },
  ]
  test.for(SETUPS)('the store is called as ever by express-session with $options', async ({ options, calls }) => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: options })
    const browser = new Browser()
    const made: string[] = []
    for (const path of ['/set/user/ada', '/show', '/set/cart/tea', '/show']) {
      await browser.get(app.url + path)
      made.push(app.takeCalls().join(' '))
    }
    expect(made).toEqual(calls)
    expect(await shown(browser, app.url)).toEqual({ user: 'ada', cart: 'tea' })
  })

  test.for([{ resave: false }, { resave: true }])(
    'a request that only reads costs one GET of the cache and no backend, with %o',
    async (options) => {
      await using cluster = openCluster()
      const app = await cluster.process(routes, { session: { ...options, cookie: { maxAge: 3_600_000 } } })
      const browser = new Browser()
      await browser.get(`${app.url}/set/user/ada`)
      await browser.get(`${app.url}/show`)
      for (let request = 0; request < 20; request += 1)
        expect(await cluster.callsDuring(() => browser.get(`${app.url}/show`))).toEqual({ cache: ['get'], backend: [] })
      expect(app.store.sessions.stats().writes).toBe(0)
    },
  )

  test('a request that changes the session costs one GET and one compare-and-set', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/set/cart/tea`)
    const cost = await cluster.callsDuring(() => browser.get(`${app.url}/set/cart/coffee`))
    expect(cost).toEqual({ cache: ['get', 'cas'], backend: [] })
  })

  test('a visitor without a session costs nothing, and gets no cookie', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    const cost = await cluster.callsDuring(() => browser.get(`${app.url}/show`))
    expect(cost).toEqual({ cache: [], backend: [] })
    expect(browser.cookie).toBeUndefined()
  })

  test('a new visitor is stored at once where express-session saves what is uninitialized, and then only read', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { saveUninitialized: true } })
    const browser = new Browser()
    await browser.get(`${app.url}/show`)
    expect(await app.store.length()).toBe(1)
    await browser.get(`${app.url}/show`)
    expect(app.takeCalls()).toEqual(['set', 'get', 'touch'])
    expect(app.store.sessions.stats().writes).toBe(0)
  })

  test('a rolling cookie goes out with each answer, and writes nothing', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { rolling: true, cookie: { maxAge: 3_600_000 } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    expect((await browser.get(`${app.url}/show`)).setCookie).toMatch(/expires/i)
    expect(app.store.sessions.stats().writes).toBe(0)
  })

  test('a session in use is extended by requests that only read, once the last touch is old enough', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, {
      store: { idleTtlMs: 60_000, touchIntervalMs: 0, touchBackendMs: 60_000 },
    })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const before = await app.store.sessions.load(idOf(browser), { touch: false })
    await new Promise((resolve) => setTimeout(resolve, 5))
    await browser.get(`${app.url}/show`)
    const after = await app.store.sessions.load(idOf(browser), { touch: false })
    expect(after?.expiresAt).toBeGreaterThan(before?.expiresAt ?? Number.NaN)
    expect(app.store.sessions.stats().writes).toBe(0)
  })
})

describe('concurrent requests', () => {
  /** Requests that load the session, and go on when the test lets them. */
  const slowRoutes = (place: ReturnType<typeof gate>) => (app: Express) => {
    routes(app)
    app.get('/slow/set/:key/:value', async (req, res) => {
      await place.wait()
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.get('/slow/show', async (req, res) => {
      await place.wait()
      res.json(Object.keys(bag(req)))
    })
  }

  test('two requests that change different keys at once both survive, in different processes too', async () => {
    await using cluster = openCluster()
    const place = gate()
    const one = await cluster.process(slowRoutes(place))
    const two = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${one.url}/set/user/ada`)
    const slow = browser.tab().get(`${one.url}/slow/set/cart/tea`)
    await place.reached
    await browser.get(`${two.url}/set/colour/blue`)
    place.open()
    await slow
    expect(await shown(browser, two.url)).toEqual({ user: 'ada', cart: 'tea', colour: 'blue' })
  })

  test.for([{ resave: true }, { resave: false }])(
    'a slow request that only read does not undo a login, with %o',
    async (options) => {
      await using cluster = openCluster()
      const place = gate()
      const app = await cluster.process(slowRoutes(place), { session: { ...options, rolling: true } })
      const browser = new Browser()
      await browser.get(`${app.url}/set/cart/tea`)
      const slow = browser.tab().get(`${app.url}/slow/show`)
      await place.reached
      await browser.get(`${app.url}/set/user/ada`)
      place.open()
      await slow
      expect(await shown(browser, app.url)).toEqual({ cart: 'tea', user: 'ada' })
    },
  )

  test.for([
    { what: 'a change', path: '/slow/set/cart/tea', options: {} },
    { what: 'a read with resave', path: '/slow/show', options: { resave: true } },
    { what: 'a rolling read', path: '/slow/show', options: { rolling: true } },
  ])('$what that ends after the logout ends well, and brings nothing back', async ({ path, options }) => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process(slowRoutes(place), { session: options, store: { touchIntervalMs: 0 } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const slow = browser.tab()
    const answer = slow.get(app.url + path)
    await place.reached
    const id = idOf(browser)
    await browser.get(`${app.url}/logout`)
    place.open()
    expect((await answer).status).toBe(200)
    expect(await app.store.get(id)).toBeUndefined()
    cluster.loseCache()
    expect(await app.store.get(id)).toBeUndefined()
    expect(await shown(slow, app.url)).toEqual({})
  })

  test('a change dropped because of a logout is told to whoever listens, without the id', async () => {
    await using cluster = openCluster()
    const place = gate()
    const errors: unknown[] = []
    const app = await cluster.process((routed) => {
      slowRoutes(place)(routed)
      routed.use((error: unknown, _req: Request, _res: Response, next: NextFunction) => {
        errors.push(error)
        next(error)
      })
    })
    const dropped: unknown[] = []
    app.store.on('dropped', (error) => dropped.push(error))
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const slow = browser.tab().get(`${app.url}/slow/set/cart/tea`)
    await place.reached
    await browser.get(`${app.url}/logout`)
    place.open()
    await slow
    await expect.poll(() => dropped).toMatchObject([{ code: 'E_SESSION_DESTROYED' }])
    await new Promise((resolve) => setImmediate(resolve))
    expect(errors).toEqual([])
    expect(String(dropped[0])).not.toContain(idOf(browser))
  })

  test('a request that saves before it answers is told that its session was logged out meanwhile', async () => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process((routed) => {
      routes(routed)
      routed.get('/save', async (req, res) => {
        bag(req)['cart'] = 'tea'
        await place.wait()
        req.session.save((error) => res.send(String((error as { code?: unknown } | null)?.code)))
      })
    })
    app.store.on('dropped', () => {})
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const saving = browser.tab().get(`${app.url}/save`)
    await place.reached
    await browser.get(`${app.url}/logout`)
    place.open()
    expect(await saving).toMatchObject({ status: 200, body: 'E_SESSION_DESTROYED' })
  })

  test('a conflict that may not be merged is an error of the later request', async () => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process(slowRoutes(place), { store: { conflict: 'reject' } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const data = await app.store.get(idOf(browser))
    await browser.get(`${app.url}/set/cart/tea`)
    if (data === undefined) throw new Error('the session is not there')
    Object.assign(data, { cart: 'coffee' })
    await expect(app.store.set(idOf(browser), data)).rejects.toMatchObject({ code: 'E_SESSION_CONFLICT' })
    expect(await shown(browser, app.url)).toEqual({ user: 'ada', cart: 'tea' })
  })

  test('a request that saves twice undoes nothing that others changed in between', async () => {
    await using cluster = openCluster()
    const early = gate()
    const late = gate()
    const app = await cluster.process((each) => {
      routes(each)
      each.get('/twice', async (req, res) => {
        bag(req)['mine'] = 'one'
        await early.wait()
        await new Promise<void>((done, failed) => req.session.save((error) => (error ? failed(error) : done())))
        await late.wait()
        bag(req)['mine'] = 'two'
        bag(req)['more'] = 'three'
        res.send('saved twice')
      })
    })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/set/old/gone`)
    await browser.get(`${app.url}/set/colour/red`)
    const twice = browser.tab().get(`${app.url}/twice`)
    await early.reached
    await browser.get(`${app.url}/set/cart/tea`)
    await browser.get(`${app.url}/set/colour/blue`)
    await browser.get(`${app.url}/delete/old`)
    early.open()
    await late.reached
    await browser.get(`${app.url}/set/late/yes`)
    late.open()
    expect((await twice).body).toBe('saved twice')
    const merged = { user: 'ada', cart: 'tea', colour: 'blue', late: 'yes', mine: 'two', more: 'three' }
    expect(await shown(browser, app.url)).toEqual(merged)
  })

  test('a save that nobody waits for comes before the one at the end of its response', async () => {
    await using cluster = openCluster()
    const app = await cluster.process((each) => {
      routes(each)
      each.get('/hasty', (req, res) => {
        bag(req)['step'] = 'one'
        req.session.save()
        bag(req)['step'] = 'two'
        res.send('done')
      })
    })
    const browser = new Browser()
    await browser.get(`${app.url}/hasty`)
    expect(await shown(browser, app.url)).toEqual({ step: 'two' })
    await browser.get(`${app.url}/hasty`)
    expect(await shown(browser, app.url)).toEqual({ step: 'two' })
  })

  test('a reloaded session shows what others stored, and saves against that', async () => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process((each) => {
      routes(each)
      each.get('/reload', async (req, res) => {
        await place.wait()
        await new Promise<void>((done, failed) => req.session.reload((error) => (error ? failed(error) : done())))
        const seen = bag(req)['cart']
        delete bag(req)['cart']
        res.send(String(seen))
      })
    })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const reloading = browser.tab().get(`${app.url}/reload`)
    await place.reached
    await browser.get(`${app.url}/set/cart/tea`)
    place.open()
    expect((await reloading).body).toBe('tea')
    expect(await shown(browser, app.url)).toEqual({ user: 'ada' })
  })
})

describe('what JSON cannot see', () => {
  test.for([
    {
      what: 'Map',
      first: new Map([['tea', 1]]),
      change: (value: unknown) => (value as Map<string, number>).set('tea', 2),
      changed: new Map([['tea', 2]]),
    },
    {
      what: 'Set',
      first: new Set(['tea']),
      change: (value: unknown) => (value as Set<string>).add('milk'),
      changed: new Set(['tea', 'milk']),
    },
    {
      what: 'Date',
      first: { at: new Date(0) },
      change: (value: unknown) => (value as { at: Date }).at.setTime(86_400_000),
      changed: { at: new Date(86_400_000) },
    },
    {
      what: 'Buffer',
      first: Buffer.from('tea'),
      change: (value: unknown) => (value as Buffer).write('TEA'),
      changed: Buffer.from('TEA'),
    },
  ])('a $what that was changed in place is saved', async ({ first, change, changed }) => {
    await using cluster = openCluster()
    const app = await cluster.process((each) => {
      each.get('/first', (req, res) => {
        bag(req)['value'] = first
        res.send('stored')
      })
      each.get('/change', (req, res) => {
        change(bag(req)['value'])
        res.send('changed')
      })
    })
    const browser = new Browser()
    await browser.get(`${app.url}/first`)
    await browser.get(`${app.url}/change`)
    expect(await cluster.store().get(idOf(browser))).toMatchObject({ value: changed })
  })
})

describe('login and logout', () => {
  const withLogin = (app: Express): void => {
    routes(app)
    app.get('/login', (req, res, next) => {
      req.session.regenerate((error) => {
        if (error) return next(error)
        bag(req)['user'] = 'ada'
        req.session.save((failed) => (failed ? next(failed) : res.redirect('/show')))
      })
    })
  }

  test('a login by regenerate gives a new id, and the old one is worth nothing', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(withLogin)
    const browser = new Browser()
    await browser.get(`${app.url}/set/cart/tea`)
    const old = browser.tab()
    app.takeCalls()
    expect((await browser.get(`${app.url}/login`)).status).toBe(302)
    // The second `set` is express-session's own: it does not know that a regenerated session is saved already.
    expect(app.takeCalls()).toEqual(['get', 'destroy', 'set', 'set'])
    expect(app.store.sessions.stats().writes).toBe(0)
    expect(idOf(browser)).not.toBe(idOf(old))
    expect(await shown(browser, app.url)).toEqual({ user: 'ada' })
    expect(await shown(old, app.url)).toEqual({})
    cluster.loseCache()
    expect(await app.store.get(idOf(old))).toBeUndefined()
  })

  test('a session saved before the redirect is there for the next request, in any process', async () => {
    await using cluster = openCluster()
    const apps = await Promise.all([1, 2, 3].map(() => cluster.process(withLogin)))
    const browser = new Browser()
    for (let round = 0; round < 9; round += 1) {
      const { url } = apps[round % 3] ?? expect.fail()
      const next = apps[(round + 1) % 3] ?? expect.fail()
      await browser.get(`${url}/login`)
      expect(await shown(browser, next.url)).toEqual({ user: 'ada' })
    }
  })

  test('an unset session is destroyed where express-session is told to', async () => {
    await using cluster = openCluster()
    const unsetting = (app: Express): void => {
      routes(app)
      app.get('/unset', (req, res) => {
        Object.assign(req, { session: null })
        res.send('unset')
      })
    }
    const keeping = await cluster.process(unsetting)
    const destroying = await cluster.process(unsetting, { session: { unset: 'destroy' } })
    const browser = new Browser()
    await browser.get(`${keeping.url}/set/user/ada`)
    await browser.get(`${keeping.url}/unset`)
    expect(await shown(browser, keeping.url)).toEqual({ user: 'ada' })
    destroying.takeCalls()
    await browser.get(`${destroying.url}/unset`)
    expect(destroying.takeCalls()).toEqual(['get', 'destroy'])
    expect(await keeping.store.get(idOf(browser))).toBeUndefined()
  })

  test('a logout in one process holds in the others, and after a loss of the cache', async () => {
    await using cluster = openCluster()
    const [one, two] = [await cluster.process(routes), await cluster.process(routes)]
    const browser = new Browser()
    await browser.get(`${one.url}/set/user/ada`)
    expect(await shown(browser, two.url)).toEqual({ user: 'ada' })
    const stolen = browser.tab()
    await browser.get(`${one.url}/logout`)
    expect(await shown(stolen, two.url)).toEqual({})
    cluster.loseCache()
    expect(await shown(stolen, one.url)).toEqual({})
  })
})

describe('faults', () => {
  test('unreachable tiers are an error of the request and never a new session', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const { cookie } = browser
    cluster.cache.unreachable = true
    cluster.backend.unreachable = true
    expect(await browser.get(`${app.url}/show`)).toEqual({
      status: 500,
      body: 'E_SESSION_UNAVAILABLE',
      setCookie: undefined,
    })
    cluster.cache.unreachable = false
    cluster.backend.unreachable = false
    expect(await shown(browser, app.url)).toEqual({ user: 'ada' })
    expect(browser.cookie).toBe(cookie)
  })

  test('with the cache unreachable, sessions are served and changed from the backend', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    cluster.cache.unreachable = true
    await browser.get(`${app.url}/set/cart/tea`)
    expect(await shown(browser, app.url)).toEqual({ user: 'ada', cart: 'tea' })
    expect(await new Browser().get(`${app.url}/set/user/bob`)).toMatchObject({ status: 200 })
  })

  test('a bare logout during an outage of the backend ends neither the request nor the process', async () => {
    await using cluster = openCluster()
    const app = await cluster.process((each) => {
      routes(each)
      each.get('/bare', (req, res) => {
        const { session } = req as unknown as { session: { destroy(): void } }
        session.destroy()
        res.send('gone, it is hoped')
      })
    })
    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    cluster.backend.unreachable = true
    expect((await browser.get(`${app.url}/bare`)).status).toBe(200)
    for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve))
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
    expect(app.store.sessions.stats().faults).toBeGreaterThan(0)
    cluster.backend.unreachable = false
    await app.store.close()
  })
})
