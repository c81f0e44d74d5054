import type { Express } from 'express'
import { describe, expect, test } from 'vitest'
import { isSessionStoreError, type SessionStoreError } from '../../src/errors.js'
import { type App, type AppOptions, Browser, bag, type Cluster, gate, idOf, openCluster } from './express-cluster.js'

const HOUR_MS = 3_600_000

type Call = 'save' | 'reload' | 'regenerate' | 'destroy'

const routes =
  (place = gate()) =>
  (app: Express): void => {
    app.get('/set/:key/:value', (req, res) => {
      bag(req)[req.params.key] = req.params.value
      res.json({ id: req.sessionID ?? null })
    })
    app.get('/slow/set/:key/:value', async (req, res) => {
      await place.wait()
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.get('/show', (req, res) => {
      const { cookie: _, ...data } = bag(req)
      res.json({ id: req.sessionID ?? null, data })
    })
    // What a handler is told that asks for one of these itself, and what it then has.
    app.get('/call/:call', (req, res) => {
      req.session[req.params.call as Call]((error: unknown) => {
        const { cookie: _, ...data } = req.session === undefined ? { cookie: 0 } : bag(req)
        const code = isSessionStoreError(error) ? error.code : (error ?? null)
        res.json({ code, data, hasId: req.sessionID !== undefined })
      })
    })
    app.get('/login', (req, res) => {
      req.session.regenerate((error: unknown) => {
        bag(req)['user'] = 'ada'
        if (isSessionStoreError(error)) res.status(503).send(error.code)
        else req.session.save((failed) => res.send(failed ? String(failed) : 'in'))
      })
    })
    app.get('/unset', (req, res) => {
      Object.assign(req, { session: null })
      res.send('unset')
    })
  }

const ANONYMOUS: AppOptions = { store: { onUnavailable: 'anonymous' } }

/** A visitor with a session in an app whose store then cannot be asked. */
const inAnOutage = async (
  cluster: Cluster,
  options: AppOptions = ANONYMOUS,
): Promise<{ readonly app: App; readonly browser: Browser }> => {
  const app = await cluster.process(routes(), options)
  const browser = new Browser()
  await browser.get(`${app.url}/set/user/ada`)
  cluster.cutOff(true)
  return { app, browser }
}

const json = async (browser: Browser, url: string): Promise<unknown> => JSON.parse((await browser.get(url)).body)

describe('while neither tier can be asked', () => {
  test('a request with a session is an error unless the option says otherwise', async () => {
    await using cluster = openCluster()
    for (const store of [{}, { onUnavailable: 'error' as const }]) {
      const { app, browser } = await inAnOutage(cluster, { store })
      expect(await browser.get(`${app.url}/show`)).toMatchObject({ status: 500, body: 'E_SESSION_UNAVAILABLE' })
      cluster.cutOff(false)
    }
  })

  test.for<AppOptions['session']>([
    {},
    { rolling: true },
    { resave: true },
    { saveUninitialized: true },
    { unset: 'destroy' },
    { cookie: { maxAge: HOUR_MS } },
    { rolling: true, resave: true, saveUninitialized: true, cookie: { maxAge: HOUR_MS } },
  ])('it is served without its session, and keeps cookie and session, with %o', async (session) => {
    await using cluster = openCluster()
    const { app, browser } = await inAnOutage(cluster, { ...ANONYMOUS, session: session ?? {} })
    const cookie = browser.cookie
    const before = app.takeCalls().length
    expect(before).toBeGreaterThan(0)
    for (const path of ['/show', '/set/cart/tea', '/show']) {
      const answer = await browser.get(app.url + path)
      expect(answer).toMatchObject({ status: 200, setCookie: undefined })
      expect(JSON.parse(answer.body)).toMatchObject({ id: null })
    }
    expect(app.takeCalls(), 'nothing is stored').toEqual(['get', 'get', 'get'])
    cluster.cutOff(false)
    expect(await json(browser, `${app.url}/show`)).toEqual({ id: idOf(browser), data: { user: 'ada' } })
    expect(browser.cookie).toBe(cookie)
  })

  test.for<Call>(['save', 'reload', 'regenerate', 'destroy'])('its own %s is told so', async (call) => {
    await using cluster = openCluster()
    const { app, browser } = await inAnOutage(cluster)
    const told = await json(browser, `${app.url}/call/${call}`)
    if (call === 'reload') expect(told).toMatchObject({ code: {} })
    else expect(told).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', data: {} })
    cluster.cutOff(false)
    expect(await json(browser, `${app.url}/show`)).toMatchObject({ data: { user: 'ada' } })
  })

  test('a login is told so, and what the request puts into its session is nobody’s', async () => {
    await using cluster = openCluster()
    const { app, browser } = await inAnOutage(cluster, { ...ANONYMOUS, session: { rolling: true } })
    const cookie = browser.cookie
    expect(await browser.get(`${app.url}/login`)).toMatchObject({ status: 503, body: 'E_SESSION_UNAVAILABLE' })
    cluster.cutOff(false)
    expect(browser.cookie).toBe(cookie)
    expect(await json(browser, `${app.url}/show`)).toMatchObject({ data: { user: 'ada' } })
  })

  test('a logout by unset is told so, and takes effect where the store is back in time', async () => {
    await using cluster = openCluster()
    const { app, browser } = await inAnOutage(cluster, { ...ANONYMOUS, session: { unset: 'destroy' } })
    const faults: unknown[] = []
    app.store.sessions.on('fault', ({ operation }) => faults.push(operation))
    await browser.get(`${app.url}/unset`).catch(() => undefined)
    expect(app.takeCalls()).toContain('destroy')
    cluster.cutOff(false)
  })

  test('a visitor without a session is served, and what would begin one is dropped with an event', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes(), ANONYMOUS)
    const dropped: SessionStoreError[] = []
    app.store.on('dropped', (error: SessionStoreError) => dropped.push(error))
    cluster.cutOff(true)
    const browser = new Browser()
    expect((await browser.get(`${app.url}/show`)).status).toBe(200)
    expect((await browser.get(`${app.url}/set/cart/tea`)).status).toBe(200)
    expect(dropped.map(({ code }) => code)).toEqual(['E_SESSION_UNAVAILABLE'])
    cluster.cutOff(false)
    expect(await json(browser, `${app.url}/show`)).toMatchObject({ data: {} })
  })

  test('a change that cannot be stored at the end of its request is dropped with an event', async () => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process(routes(place), ANONYMOUS)
    const dropped: SessionStoreError[] = []
    app.store.on('dropped', (error: SessionStoreError) => dropped.push(error))
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const slow = browser.tab().get(`${app.url}/slow/set/cart/tea`)
    await place.reached
    cluster.cutOff(true)
    place.open()
    expect((await slow).status).toBe(200)
    expect(dropped.map(({ code }) => code)).toEqual(['E_SESSION_UNAVAILABLE'])
    cluster.cutOff(false)
    expect(await json(browser, `${app.url}/show`)).toMatchObject({ data: { user: 'ada' } })
  })

  test('a program that asks the store itself is given the error', async () => {
    await using cluster = openCluster()
    const { app, browser } = await inAnOutage(cluster)
    const unavailable = { code: 'E_SESSION_UNAVAILABLE' }
    await expect(app.store.get(idOf(browser))).rejects.toMatchObject(unavailable)
    await expect(app.store.load(idOf(browser))).rejects.toMatchObject(unavailable)
    await expect(app.store.set(idOf(browser), { cookie: { originalMaxAge: null } })).rejects.toMatchObject(unavailable)
    cluster.cutOff(false)
  })
})

describe('a request that began while neither tier could be asked, with the store back before its end', () => {
  /** Begins without its session; when `path` is done, the store is there again. */
  const served = async (path: string): Promise<{ readonly answer: unknown; readonly shown: unknown }> => {
    await using cluster = openCluster()
    const place = gate()
    const app = await cluster.process((made) => {
      made.use(async (req, _res, next) => {
        if (req.path.startsWith('/call') || req.path === '/login') await place.wait()
        next()
      })
      routes()(made)
    }, ANONYMOUS)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    cluster.cutOff(true)
    const slow = browser.get(app.url + path)
    await place.reached
    cluster.cutOff(false)
    place.open()
    const { body } = await slow
    return { answer: body, shown: await json(browser, `${app.url}/show`) }
  }

  test('has its session after a reload', async () => {
    const { answer, shown } = await served('/call/reload')
    expect(JSON.parse(String(answer))).toEqual({ code: null, data: { user: 'ada' }, hasId: true })
    expect(shown).toMatchObject({ data: { user: 'ada' } })
  })

  test('can log in, with a new id', async () => {
    const { answer, shown } = await served('/login')
    expect(answer).toBe('in')
    expect(shown).toMatchObject({ data: { user: 'ada' } })
  })

  test('can log out', async () => {
    const { answer, shown } = await served('/call/destroy')
    expect(JSON.parse(String(answer))).toMatchObject({ code: null })
    expect(shown).toMatchObject({ data: {} })
  })

  test('cannot save what it put into its empty session', async () => {
    const { answer, shown } = await served('/call/save')
    expect(JSON.parse(String(answer))).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    expect(shown).toMatchObject({ data: { user: 'ada' } })
  })
})

test.for(['anon', true, null])('%o is no answer to an outage', (onUnavailable) => {
  expect(() => openCluster().store({ onUnavailable: onUnavailable as never })).toThrow(
    "Expected `onUnavailable` to be 'error' or 'anonymous'",
  )
})
