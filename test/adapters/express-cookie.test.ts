import { runInNewContext } from 'node:vm'
import type { Express } from 'express'
import type { Cookie } from 'express-session'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { isSpent, revivedCookie, storedCookie, withoutDrift } from '../../src/adapters/express-cookie.js'
import { QUIET_DAY } from '../support/calendar.js'
import { type App, Browser, bag, idOf, openCluster } from './express-cluster.js'

const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

interface SeenCookie {
  readonly originalMaxAge: number | null | false
  readonly maxAge: number | null | false
  readonly expires: string | null | false
}

const routes = (app: Express): void => {
  app.get('/cookie', (req, res) => {
    const { originalMaxAge, maxAge, expires, ...rest } = req.session.cookie
    const { _expires: _, ...attributes } = rest as Record<string, unknown>
    res.json({ originalMaxAge, maxAge: req.session.cookie.maxAge, expires: req.session.cookie.expires, attributes })
  })
  app.get('/maxAge/:ms', (req, res) => {
    req.session.cookie.maxAge = Number(req.params.ms)
    res.send('set')
  })
  app.get('/browser-session', (req, res) => {
    Object.assign(req.session.cookie, { expires: false })
    res.send('set')
  })
  app.get('/attributes', (req, res) => {
    Object.assign(req.session.cookie, { path: '/', sameSite: 'strict', priority: 'high', partitioned: true })
    res.send('set')
  })
  app.get('/set/:key/:value', (req, res) => {
    bag(req)[req.params.key] = req.params.value
    res.send('set')
  })
}

const cookieSeen = async (browser: Browser, { url }: App): Promise<SeenCookie> =>
  JSON.parse((await browser.get(`${url}/cookie`)).body)

const idleTtlMs = async ({ store }: App, browser: Browser): Promise<number | undefined> =>
  (await store.sessions.load(idOf(browser), { touch: false }))?.idleTtlMs

/** The wall clock stands still; timers go on as they are. */
beforeEach(() => {
  vi.useFakeTimers({ toFake: ['Date'], now: QUIET_DAY })
})
afterEach(() => {
  vi.useRealTimers()
})

/** Moves the wall clock of express-session and of the stores. */
const moveClock = (ms: number): void => {
  vi.setSystemTime(Date.now() + ms)
}

describe("a session's cookie", () => {
  test("its maxAge is the session's idle time-out", async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const ttl = await idleTtlMs(app, browser)
    expect(ttl).toBeGreaterThan(HOUR_MS - 100)
    expect(ttl).toBeLessThanOrEqual(HOUR_MS)
  })

  test('with a maxAge below a second the cookie ends when it says, and the session after a second', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/maxAge/300`)
    expect(await idleTtlMs(app, browser)).toBe(1_000)
    const got = await app.store.get(idOf(browser))
    expect(got?.cookie).toMatchObject({ originalMaxAge: 300, expires: new Date(Date.now() + 300) })
  })

  test('without a maxAge the session lives as long untouched as the store says, and the cookie as the browser does', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { store: { idleTtlMs: 2 * HOUR_MS } })
    const browser = new Browser()
    const { setCookie } = await browser.get(`${app.url}/set/user/ada`)
    expect(setCookie).not.toMatch(/expires/i)
    expect(await idleTtlMs(app, browser)).toBe(2 * HOUR_MS)
    expect(await cookieSeen(browser, app)).toMatchObject({ originalMaxAge: null, maxAge: null, expires: null })
    cluster.loseCache()
    expect(await cookieSeen(browser, app)).toMatchObject({ originalMaxAge: null, maxAge: null, expires: null })
  })

  test('its expiry is in no stored byte, and follows the session when that is in use', async () => {
    await using cluster = openCluster()
    const cookie = { maxAge: HOUR_MS }
    const app = await cluster.process(routes, { session: { cookie }, store: { idleTtlMs: HOUR_MS } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const stored = await app.store.sessions.load(idOf(browser), { touch: false })
    expect(Object.keys(stored?.data.cookie ?? {}).sort()).toEqual(['httpOnly', 'originalMaxAge', 'path'])

    const start = Date.now()
    for (const lose of [() => undefined, () => cluster.loseCache()]) {
      lose()
      const seen = await cookieSeen(browser, app)
      expect(new Date(String(seen.expires)).getTime()).toBeGreaterThan(start + HOUR_MS - 5_000)
      expect(new Date(String(seen.expires)).getTime()).toBeLessThanOrEqual(Date.now() + HOUR_MS)
    }
    moveClock(HOUR_MS / 2)
    await browser.get(`${app.url}/cookie`)
    moveClock(HOUR_MS * 0.75)
    const seen = await cookieSeen(browser, app)
    expect(new Date(String(seen.expires)).getTime()).toBeGreaterThan(start + HOUR_MS * 1.45)
    cluster.loseCache()
    expect(await app.store.get(idOf(browser))).toMatchObject({ user: 'ada' })
  })

  test('a session is gone when nobody used it for its maxAge and the interval of touches', async () => {
    await using cluster = openCluster()
    const cookie = { maxAge: HOUR_MS }
    const app = await cluster.process(routes, { session: { cookie }, store: { idleTtlMs: HOUR_MS } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    moveClock(HOUR_MS - 1_000)
    expect(await app.store.get(idOf(browser))).toBeDefined()
    moveClock(HOUR_MS * 0.02)
    expect(await app.store.get(idOf(browser))).toBeUndefined()
  })

  test('a change of its maxAge alone reaches the store through touch', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    app.takeCalls()
    await browser.get(`${app.url}/maxAge/${7 * DAY_MS}`)
    expect(app.takeCalls()).toEqual(['get', 'touch'])
    const elsewhere = await cluster.process(routes)
    const { originalMaxAge, expires } = await cookieSeen(browser, elsewhere)
    expect(Math.abs(Number(originalMaxAge) - 7 * DAY_MS)).toBeLessThan(100)
    expect(new Date(String(expires)).getTime()).toBeGreaterThan(Date.now() + 7 * DAY_MS - 5_000)
    expect(await idleTtlMs(elsewhere, browser)).toBe(originalMaxAge)
  })

  test('taken back to a cookie of the browser, the session has the store’s idle time-out again', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/browser-session`)
    expect(await cookieSeen(browser, app)).toMatchObject({ originalMaxAge: false, expires: false })
    expect(await idleTtlMs(app, browser)).toBe(DAY_MS)
  })

  test('its other attributes are stored as they are, and the later request’s stand', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes)
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/attributes`)
    const attributes = { path: '/', httpOnly: true, sameSite: 'strict', priority: 'high', partitioned: true }
    expect(await cookieSeen(browser, app)).toEqual({ originalMaxAge: null, maxAge: null, expires: null, attributes })
  })

  test.each([
    ['both change the cookie: the later one’s stands whole, and the time-out with it', 2 * HOUR_MS, 2 * HOUR_MS],
    ['the later one leaves its cookie alone: it takes nothing back of what the other made of it', undefined, DAY_MS],
  ])('of two requests at once %s', async (_title, later, stands) => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const id = idOf(browser)
    const [one, two] = [await app.store.get(id), await app.store.get(id)]
    if (one === undefined || two === undefined) expect.fail()
    one.cookie.originalMaxAge = DAY_MS
    one.cookie.path = '/shop'
    await app.store.set(id, Object.assign(one, { cart: 'tea' }))
    if (later !== undefined) two.cookie.originalMaxAge = later
    await app.store.set(id, Object.assign(two, { colour: 'blue' }))
    expect(await app.store.get(id)).toMatchObject({
      cart: 'tea',
      colour: 'blue',
      cookie: { originalMaxAge: stands, path: later === undefined ? '/shop' : '/' },
    })
    expect(await idleTtlMs(app, browser)).toBe(stands)
  })

  test('a maxAge of 0 ends the session with this response', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/maxAge/0`)
    expect(await app.store.get(idOf(browser))).toBeUndefined()
    cluster.loseCache()
    expect(await app.store.get(idOf(browser))).toBeUndefined()
  })

  test("the lag of express-session's clock is no change: a hundred reads write nothing", async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    const data = await app.store.get(idOf(browser))
    if (data === undefined) expect.fail()
    for (let touches = 0; touches < 100; touches += 1) {
      data.cookie.originalMaxAge = Number(data.cookie.originalMaxAge) - (touches % 10)
      await app.store.touch(idOf(browser), data)
      data.cookie.originalMaxAge = (await app.store.get(idOf(browser)))?.cookie.originalMaxAge ?? null
    }
    expect(app.store.sessions.stats().writes).toBe(0)
  })
})

describe('what is stored of a cookie', () => {
  const NOW = 1_000_000
  const cases: readonly [string, unknown, unknown][] = [
    ['nothing', undefined, { originalMaxAge: null }],
    ['its original maxAge', { originalMaxAge: 5_000, expires: new Date(NOW) }, { originalMaxAge: 5_000 }],
    ['a maxAge, where it was made by hand', { maxAge: 5_000 }, { originalMaxAge: 5_000 }],
    ['an expiry, where it was made by hand', { expires: new Date(NOW + 7_000) }, { originalMaxAge: 7_000 }],
    [
      'an expiry, also beside an original maxAge that says nothing',
      { originalMaxAge: null, expires: new Date(NOW + 7_000) },
      { originalMaxAge: 7_000 },
    ],
    [
      'an expiry rather than a maxAge, which may be in seconds',
      { maxAge: 7, expires: new Date(NOW + 7_000) },
      { originalMaxAge: 7_000 },
    ],
    ['an expiry as JSON has it', { expires: new Date(NOW + 7_000).toISOString() }, { originalMaxAge: 7_000 }],
    ['false, which means the same as null', { originalMaxAge: false }, { originalMaxAge: false }],
    ['no endless maxAge', { originalMaxAge: Number.POSITIVE_INFINITY }, { originalMaxAge: null }],
    ['no invalid maxAge', { originalMaxAge: Number.NaN }, { originalMaxAge: null }],
    [
      'an expiry, also beside maxAges that are invalid',
      { originalMaxAge: Number.NaN, maxAge: 'an hour', expires: new Date(NOW + 7_000) },
      { originalMaxAge: 7_000 },
    ],
    [
      'an expiry that was made in another realm',
      { expires: runInNewContext(`new Date(${NOW + 7_000})`) as unknown },
      { originalMaxAge: 7_000 },
    ],
    ['no invalid expiry', { expires: new Date(Number.NaN) }, { originalMaxAge: null }],
    ['no expiry that is none', { expires: 0 }, { originalMaxAge: null }],
    ['no function', { originalMaxAge: null, encode: () => '' }, { originalMaxAge: null }],
    [
      'its attributes',
      { originalMaxAge: null, domain: 'a.example', secure: true },
      { originalMaxAge: null, secure: true, domain: 'a.example' },
    ],
  ]
  test.for(cases)('%s', ([, cookie, stored]) => {
    expect(storedCookie(cookie, NOW)).toEqual(stored)
  })

  test('comes back with the expiry of the session, at most a maxAge away', () => {
    const stored = storedCookie({ originalMaxAge: 5_000, path: '/shop' }, NOW)
    expect(revivedCookie(stored, NOW + 3_000, NOW)).toEqual({
      originalMaxAge: 5_000,
      path: '/shop',
      expires: new Date(NOW + 3_000),
    })
    expect(revivedCookie(stored, NOW + 9_000, NOW).expires).toEqual(new Date(NOW + 5_000))
    expect(revivedCookie(undefined, NOW + 9_000, NOW)).toEqual({ originalMaxAge: null, expires: null })
  })

  test('comes back with a moment that a Date can have, however far below zero its maxAge is', () => {
    const { expires } = revivedCookie({ originalMaxAge: -(2 ** 53) }, NOW + 9_000, NOW)
    expect(expires).toEqual(new Date(0))
  })

  test('keeps the maxAge it had where that only lags, and takes a change', () => {
    const was = { originalMaxAge: 60_000 }
    const keeps = (originalMaxAge: number | null) => withoutDrift({ originalMaxAge }, was).originalMaxAge
    expect([59_999, 59_900].map(keeps)).toEqual([60_000, 60_000])
    expect([59_899, 60_001, null, 0].map(keeps)).toEqual([59_899, 60_001, null, 0])
    expect(withoutDrift({ originalMaxAge: 0 }, { originalMaxAge: 50 }).originalMaxAge).toBe(0)
  })

  test('is spent at a maxAge of 0 and below', () => {
    const spent = (originalMaxAge: Cookie['originalMaxAge']) => isSpent({ originalMaxAge })
    expect([spent(1), spent(0), spent(-1), spent(null)]).toEqual([false, true, true, false])
  })
})
