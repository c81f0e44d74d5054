import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express, { type Express } from 'express'
import session, { type SessionData } from 'express-session'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import { NonstickStore } from '../../src/adapters/express.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { QUIET_DAY } from '../support/calendar.js'
import { bag, type Cluster, openCluster } from './express-cluster.js'

/** What a request comes from: an address as a trusted proxy tells it, and a name. */
interface Visit {
  readonly address?: string
  readonly userAgent?: string
  readonly cookie?: string | undefined
}

const visit = async (url: string, { address, userAgent, cookie }: Visit): Promise<string | undefined> => {
  const headers = {
    ...(address === undefined ? {} : { 'x-forwarded-for': address }),
    ...(userAgent === undefined ? {} : { 'user-agent': userAgent }),
    ...(cookie === undefined ? {} : { cookie }),
  }
  const response = await fetch(url, { headers })
  expect(response.status).toBe(200)
  return response.headers.getSetCookie()[0]?.split(';')[0] ?? cookie
}

const routes = (app: Express): void => {
  app.set('trust proxy', true)
  app.get('/set/:key/:value', (req, res) => {
    bag(req)[req.params.key] = req.params.value
    res.send('set')
  })
  app.get('/show', (req, res) => {
    res.json(bag(req)['user'] ?? null)
  })
  app.get('/login', (req, res, next) => {
    req.session.regenerate((error) => {
      if (error) return next(error)
      bag(req)['user'] = 'ada'
      req.session.save((problem) => (problem ? next(problem) : res.send('in')))
    })
  })
}

/** What the only session has recorded of its client. */
const recorded = async (store: NonstickStore): Promise<unknown> => {
  const sessions = await store.sessions.list()
  expect(sessions).toHaveLength(1)
  const { address, userAgent } = sessions[0] as { address?: string; userAgent?: string }
  return { address, userAgent }
}

const processOf = (cluster: Cluster, recordClient?: NonNullable<Parameters<Cluster['store']>[0]>['recordClient']) =>
  cluster.process(routes, { store: { maxStaleCount: 1, ...(recordClient === undefined ? {} : { recordClient }) } })

const FIRST = { address: '192.0.2.1', userAgent: 'First/1.0' }
const SECOND = { address: '2001:db8::2', userAgent: 'Second/2.0' }

describe('recordClient', () => {
  test('unless it is asked for, nothing is recorded of the client', async () => {
    await using cluster = openCluster()
    for (const recordClient of [undefined, false]) {
      const app = await processOf(cluster, recordClient)
      await visit(`${app.url}/set/cart/tea`, FIRST)
      expect(await recorded(app.store)).toEqual({ address: undefined, userAgent: undefined })
      await app.store.clear()
    }
  })

  test('the address and the name of the client are those of the last request that wrote', async () => {
    await using cluster = openCluster()
    const app = await processOf(cluster, true)
    const cookie = await visit(`${app.url}/set/cart/tea`, FIRST)
    expect(await recorded(app.store)).toEqual(FIRST)
    await visit(`${app.url}/show`, { ...SECOND, cookie })
    expect(await recorded(app.store), 'a request that only reads writes nothing').toEqual(FIRST)
    await visit(`${app.url}/set/cart/coffee`, { ...SECOND, cookie })
    expect(await recorded(app.store)).toEqual(SECOND)
  })

  test('it costs no call: a request that only reads asks the cache once', async () => {
    await using cluster = openCluster()
    const app = await processOf(cluster, true)
    const cookie = await visit(`${app.url}/set/cart/tea`, FIRST)
    await visit(`${app.url}/show`, { ...SECOND, cookie })
    const cost = await cluster.callsDuring(() => visit(`${app.url}/show`, { ...SECOND, cookie }))
    expect(cost).toEqual({ cache: ['get'], backend: [] })
  })

  test('a login with a new id records the client of that request', async () => {
    await using cluster = openCluster()
    const app = await processOf(cluster, true)
    const cookie = await visit(`${app.url}/set/cart/tea`, FIRST)
    await visit(`${app.url}/login`, { ...SECOND, cookie })
    expect(await recorded(app.store)).toEqual(SECOND)
  })

  test('a function of the request says what is recorded, and may say nothing', async () => {
    await using cluster = openCluster()
    const app = await processOf(cluster, (req) =>
      req.path.endsWith('secretly') ? undefined : { address: req.ip?.replace(/\d+$/, '0') },
    )
    const cookie = await visit(`${app.url}/set/cart/tea`, FIRST)
    expect(await recorded(app.store)).toEqual({ address: '192.0.2.0', userAgent: undefined })
    await visit(`${app.url}/set/cart/secretly`, { ...SECOND, cookie })
    expect(await recorded(app.store), 'then it stays as it was').toEqual({ address: '192.0.2.0', userAgent: undefined })
  })

  test('a function that says what is no client is told so by the request', async () => {
    await using cluster = openCluster()
    const app = await processOf(cluster, (() => '192.0.2.1') as never)
    const response = await fetch(`${app.url}/login`)
    expect([response.status, await response.text()]).toEqual([500, 'E_CONFIG'])
  })

  test('a function that gives a promise is told so by the request, and a promise that rejects ends nothing', async () => {
    await using cluster = openCluster()
    const unhandled: unknown[] = []
    const listen = (reason: unknown): number => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const app = await processOf(cluster, (async () => await Promise.reject(new Error('no such place'))) as never)
    const response = await fetch(`${app.url}/login`)
    expect([response.status, await response.text()]).toEqual([500, 'E_CONFIG'])
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })

  test('a session that a program stores by hand has no client', async () => {
    await using cluster = openCluster()
    const store = cluster.store({ recordClient: true })
    session({ store, secret: 'of a test', resave: false, saveUninitialized: false })
    await store.set('by hand', { cookie: { originalMaxAge: null } } as unknown as SessionData)
    expect(await recorded(store)).toEqual({ address: undefined, userAgent: undefined })
  })

  test('it works with a store that was made elsewhere, too', async () => {
    const sessions = createSessionStore({ cache: memoryCache(), backend: memoryBackend() })
    const store = new NonstickStore({ sessions, recordClient: true })
    const app = express()
    app.use(session({ store, secret: 'of a test', resave: false, saveUninitialized: false }))
    routes(app)
    const server = app.listen(0, '127.0.0.1')
    try {
      await once(server, 'listening')
      await visit(`http://127.0.0.1:${(server.address() as AddressInfo).port}/set/cart/tea`, FIRST)
      expect(await recorded(store)).toEqual(FIRST)
    } finally {
      server.closeAllConnections()
      server.close()
      await sessions.close()
    }
  })

  test.each(['yes', 1, null, {}])('%o is refused', (recordClient) => {
    expect(() => new NonstickStore({ recordClient: recordClient as never })).toThrow(
      'Expected `recordClient` to be true, false or a function of the request',
    )
  })
})

describe('idle time-outs of express', () => {
  // express-session works a maxAge out with two looks at the clock, and a tick between them is lost.
  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: QUIET_DAY })
  })
  afterEach(() => {
    vi.useRealTimers()
  })

  const HOUR_MS = 3_600_000
  const handleOf = async (store: NonstickStore): Promise<number | undefined> => {
    const sessions = await store.sessions.list()
    const info = sessions[0]
    return info?.error === undefined ? info?.idleTtlMs : undefined
  }

  test('a session without a maxAge has the one that the options of the store say, as they say it', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(routes, {
      store: {
        maxStaleCount: 1,
        anonymousTtlMs: 3 * HOUR_MS,
        identify: (data) => (data as { readonly user?: string }).user,
      },
    })
    const cookie = await visit(`${app.url}/set/cart/tea`, {})
    expect(await handleOf(app.store)).toBe(3 * HOUR_MS)
    await visit(`${app.url}/set/user/ada`, { cookie })
    expect(await handleOf(app.store)).toBe(24 * HOUR_MS)
  })

  test('a maxAge is the session’s own time-out, until the cookie has none any more', async () => {
    await using cluster = openCluster()
    const app = await cluster.process(
      (made) => {
        made.get('/for/:ms', (req, res) => {
          const { ms } = req.params
          bag(req)['for'] = ms
          if (ms === 'ever') delete (req.session.cookie as { maxAge?: unknown }).maxAge
          req.session.cookie.maxAge = ms === 'ever' ? (null as unknown as number) : Number(ms)
          res.send('set')
        })
      },
      { store: { maxStaleCount: 1, idleTtlMs: 2 * HOUR_MS } },
    )
    const cookie = await visit(`${app.url}/for/${HOUR_MS}`, {})
    expect(await handleOf(app.store)).toBe(HOUR_MS)
    await visit(`${app.url}/for/ever`, { cookie })
    expect(await handleOf(app.store)).toBe(2 * HOUR_MS)
  })
})
