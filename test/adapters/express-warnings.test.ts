import { randomUUID } from 'node:crypto'
import type { Express } from 'express'
import session from 'express-session'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { NonstickStore } from '../../src/adapters/express.js'
import { isSessionStoreError } from '../../src/errors.js'
import { systemRuntime } from '../../src/runtime.js'
import { type App, type AppOptions, Browser, bag, type Cluster, openCluster } from './express-cluster.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

let emitted: unknown[][] = []
/** The warnings of this library, as [code, text]. */
const said = (): string[][] =>
  emitted
    .map(([text, options]) => [(options as { readonly code?: string } | undefined)?.code ?? '', String(text)])
    .filter(([code = '']) => code.startsWith('NONSTICK_'))

beforeEach(() => {
  emitted = []
  vi.spyOn(process, 'emitWarning').mockImplementation((...given: unknown[]) => void emitted.push(given))
})
afterEach(() => {
  vi.restoreAllMocks()
})

/** What the error handlers were given at the end of requests. */
const late: unknown[] = []
const routes = (app: Express): void => {
  app.get('/set/:key/:value', (req, res) => {
    bag(req)[req.params.key] = req.params.value
    res.send('set')
  })
  app.get('/save/:key/:value', (req, res) => {
    bag(req)[req.params.key] = req.params.value
    req.session.save((error: unknown) => res.send(isSessionStoreError(error) ? error.message : 'saved'))
  })
  app.get('/out', (req, res) => {
    req.session.cookie.maxAge = 0
    bag(req)['user'] = 'nobody'
    res.send('out')
  })
  app.get('/show', (req, res) => {
    res.json(bag(req)['user'] ?? null)
  })
}

const appOf = async (cluster: Cluster, options: AppOptions): Promise<App> =>
  await cluster.process((app) => {
    routes(app)
    app.use((error: unknown, _req: unknown, _res: unknown, next: () => void) => {
      late.push(error)
      next()
    })
  }, options)

describe('a cookie that has ended before its session begins', () => {
  test.for([{ expires: new Date(systemRuntime.now() - HOUR_MS) }, { maxAge: -HOUR_MS }])(
    'is said by the save of the new session, with %o',
    async (cookie) => {
      await using cluster = openCluster()
      const app = await appOf(cluster, { session: { cookie } })
      const browser = new Browser()
      const { body } = await browser.get(`${app.url}/save/user/ada`)
      expect(body).toMatch(/^Expected the cookie of a new session to end later, got one that ended 36\d{5} ms before/)
      expect(body).toContain('`maxAge`')
      late.length = 0
      await browser.get(`${app.url}/set/user/ada`)
      await vi.waitFor(() => expect(late).toMatchObject([{ code: 'E_CONFIG', applied: 'no' }]))
      expect(await app.store.length()).toBe(0)
    },
  )

  test('is no matter for a visitor who stores nothing', async () => {
    await using cluster = openCluster()
    const app = await appOf(cluster, { session: { cookie: { maxAge: -HOUR_MS } } })
    expect(await new Browser().get(`${app.url}/show`)).toMatchObject({ status: 200 })
  })

  test('is how an application ends a session, and then nothing is said', async () => {
    await using cluster = openCluster()
    const app = await appOf(cluster, { session: { cookie: { maxAge: HOUR_MS } } })
    const browser = new Browser()
    late.length = 0
    await browser.get(`${app.url}/out`)
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/out`)
    expect(await app.store.length()).toBe(0)
    expect([late, said()]).toEqual([[], []])
  })

  test('a fixed moment to come is how long the session lives', async () => {
    await using cluster = openCluster()
    const app = await appOf(cluster, { session: { cookie: { expires: new Date(systemRuntime.now() + HOUR_MS) } } })
    const browser = new Browser()
    expect((await browser.get(`${app.url}/save/user/ada`)).body).toBe('saved')
    expect((await browser.get(`${app.url}/show`)).body).toBe('"ada"')
  })
})

describe('a maxAge beyond the absolute lifetime', () => {
  test('is a warning, once for a store', async () => {
    await using cluster = openCluster()
    const app = await appOf(cluster, {
      session: { cookie: { maxAge: 90 * DAY_MS } },
      store: { absoluteTtlMs: 30 * DAY_MS },
    })
    for (let visitor = 0; visitor < 3; visitor += 1) await new Browser().get(`${app.url}/set/user/ada`)
    expect(said()).toEqual([
      ['NONSTICK_MAX_AGE', expect.stringMatching(/^A session's cookie has a maxAge of 77\d{8} ms/)],
    ])
    expect(said()[0]?.[1]).toContain(`ends after ${30 * DAY_MS} ms`)
  })

  test('is none where both are equal', async () => {
    await using cluster = openCluster()
    const app = await appOf(cluster, {
      session: { cookie: { maxAge: 30 * DAY_MS } },
      store: { absoluteTtlMs: 30 * DAY_MS },
    })
    const browser = new Browser()
    await browser.get(`${app.url}/set/user/ada`)
    await browser.get(`${app.url}/set/cart/tea`)
    expect(said()).toEqual([])
  })
})

describe('several session middlewares', () => {
  const OPTIONS = { secret: 'of a test', resave: false, saveUninitialized: false }

  test('with one store are a warning, once: the later one’s cookie options count for both', async () => {
    await using cluster = openCluster()
    const store = cluster.store()
    session({ ...OPTIONS, store })
    expect(said()).toEqual([])
    session({ ...OPTIONS, store, name: 'other' })
    session({ ...OPTIONS, store, name: 'third' })
    expect(said()).toEqual([['NONSTICK_SHARED_STORE', expect.stringContaining('{ sessions: store.sessions }')]])
  })

  test('with a store each, on the same sessions, have their own cookies and ids, and share what is stored', async () => {
    await using cluster = openCluster()
    const shop = new NonstickStore({ sessions: cluster.store().sessions })
    const admin = new NonstickStore({ sessions: shop.sessions })
    const app = await cluster.process(
      (made) => {
        made.use(
          '/admin',
          session({
            ...OPTIONS,
            store: admin,
            name: 'admin',
            genid: () => `admin-${randomUUID()}`,
            cookie: { path: '/admin', maxAge: HOUR_MS, sameSite: 'strict' },
          }),
        )
        made.use(
          '/shop',
          session({ ...OPTIONS, store: shop, name: 'shop', cookie: { path: '/shop', sameSite: 'lax' } }),
        )
        for (const part of ['admin', 'shop'])
          made.get(`/${part}/:user`, (req, res) => {
            bag(req)['user'] = req.params.user
            res.json({ id: req.sessionID, maxAge: req.session.cookie.originalMaxAge })
          })
      },
      { session: { cookie: { path: '/nowhere' } } },
    )
    const set = async (path: string): Promise<[string, Record<string, unknown>]> => {
      const response = await fetch(app.url + path)
      return [String(response.headers.getSetCookie()), (await response.json()) as Record<string, unknown>]
    }
    const [[ofAdmin, one], [ofShop, other]] = [await set('/admin/ada'), await set('/shop/bob')]
    expect(ofAdmin).toMatch(/^admin=s%3Aadmin-.*Path=\/admin;.*SameSite=Strict$/)
    expect(ofShop).toMatch(/^shop=s%3A(?!admin).*Path=\/shop;.*SameSite=Lax$/)
    expect([one['maxAge'], other['maxAge']]).toEqual([expect.closeTo(HOUR_MS, -3), null])
    expect(await shop.get(String(one['id']))).toMatchObject({ user: 'ada' })
    expect(await admin.get(String(other['id']))).toMatchObject({ user: 'bob' })
    expect(said()).toEqual([])
  })
})
