import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import session, { type SessionOptions } from 'express-session'
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest'
import { NonstickStore, type OwnStoreOptions } from '../../src/adapters/express.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { isSessionStoreError } from '../../src/errors.js'
import type { ConflictPolicy } from '../../src/store/conflict.js'
import { type Answer, Browser, bag, gate } from '../adapters/express-cluster.js'
import { rounds, seed } from '../support/seed.js'
import { skipUnless } from '../support/servers.js'
import { chance } from './chance.js'
import { findServers, openTiers, type Tiers } from './cluster.js'

const ROUNDS = rounds(100, 1_000)
vi.setConfig({ testTimeout: rounds(300_000, 30 * 60_000) })

interface Shop {
  readonly cart: string[]
  visits: number
}
type ShopConflict = ConflictPolicy<Shop>

/** One app for each process that a load balancer would choose from, each with connections of its own. */
interface Apps {
  readonly urls: readonly [string, string, string]
  /** Where the slow requests of this name wait, after they loaded their session. */
  readonly gates: Map<string, ReturnType<typeof gate>>
}

skipUnless('express-session on three app instances', await findServers(), (servers) => {
  let tiers: Tiers
  const closing: (() => Promise<unknown>)[] = []
  beforeAll(async () => {
    tiers = await openTiers(servers)
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  afterAll(async () => {
    await tiers?.stop()
  })

  const startApps = async (options: Partial<SessionOptions>, conflict?: ShopConflict): Promise<Apps> => {
    const gates: Apps['gates'] = new Map()
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => startApp(options, gates, conflict)))
    if (one === undefined || two === undefined || three === undefined) throw new Error('there are not three apps')
    return { urls: [one, two, three], gates }
  }

  const startApp = async (
    options: Partial<SessionOptions>,
    gates: Apps['gates'],
    conflict: ShopConflict = 'merge',
  ): Promise<string> => {
    const store = new NonstickStore({
      cache: memcached({ servers: tiers.cacheAddress, operationTimeoutMs: 8_000 }),
      backend: postgres({ connectionString: tiers.connectionString, schema: tiers.schema, queryTimeoutMs: 8_000 }),
      cacheTimeoutMs: 8_000,
      backendTimeoutMs: 8_000,
      leaseMs: 10_000,
      // Requests that only read then write a touch each, as those of a busy site do at times.
      touchIntervalMs: 0,
      conflict: conflict as NonNullable<OwnStoreOptions['conflict']>,
    })
    closing.push(() => store.close())
    const app = express()
    app.use(session({ store, secret: 'of a test', resave: false, saveUninitialized: false, ...options }))
    app.get('/set/:key/:value', (req, res) => {
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.get('/slow/set/:gate/:key/:value', async (req, res) => {
      await gates.get(req.params.gate)?.wait()
      bag(req)[req.params.key] = req.params.value
      res.send('set')
    })
    app.get('/slow/save/:gate/:key/:value', async (req, res, next) => {
      await gates.get(req.params.gate)?.wait()
      bag(req)[req.params.key] = req.params.value
      req.session.save((error: unknown) => {
        if (isSessionStoreError(error, 'E_SESSION_DESTROYED')) res.send('logged out meanwhile')
        else if (error) next(error)
        else res.send('saved')
      })
    })
    app.get('/slow/read/:gate', async (req, res) => {
      await gates.get(req.params.gate)?.wait()
      res.json(bag(req)['user'] ?? null)
    })
    app.get('/slow/buy/:gate/:item', async (req, res) => {
      await gates.get(req.params.gate)?.wait()
      const shop = bag(req) as unknown as Shop
      shop.cart.push(req.params.item)
      shop.visits += 1
      res.send('bought')
    })
    app.get('/open-shop', (req, res) => {
      Object.assign(req.session, { cart: [], visits: 0 })
      res.send('open')
    })
    app.get('/show', (req, res) => {
      const { cookie: _, ...data } = bag(req)
      res.json(data)
    })
    app.get('/logout', (req, res, next) => {
      req.session.destroy((error) => (error ? next(error) : res.send('bye')))
    })
    const server = app.listen(0, '127.0.0.1')
    await once(server, 'listening')
    closing.push(async () => {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    })
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }

  const shownEverywhere = async ({ urls }: Apps, browser: Browser): Promise<unknown[]> =>
    await Promise.all(urls.map(async (url) => JSON.parse((await browser.tab().get(`${url}/show`)).body) as unknown))
  const NOBODY = [{}, {}, {}]

  /** Neither where the cache still knows of the logouts, nor where only the backend does. */
  const nobodyIsBack = async (apps: Apps, loggedOut: readonly Browser[]): Promise<void> => {
    await tiers.emptyCache()
    const shown = await Promise.all(loggedOut.map((browser) => shownEverywhere(apps, browser)))
    for (const [round, each] of shown.entries())
      expect(each, `round ${round}, with the cache emptied, seed: ${seed}`).toEqual(NOBODY)
  }

  const slowPath = (round: number, options: Partial<SessionOptions>): string => {
    if (options.resave === true) return `/slow/read/${round}`
    return `/slow/${round % 2 === 0 ? 'set' : 'save'}/${round}/cart/tea`
  }

  const SETUPS: readonly Partial<SessionOptions>[] = [{}, { resave: true, rolling: true }]

  test.each(SETUPS)(
    `a request that saves after the logout finished brings nothing back, ${ROUNDS} times, with %o`,
    async (options) => {
      const apps = await startApps(options)
      const loggedOut: Browser[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        const place = gate()
        apps.gates.set(String(round), place)
        const [first, slow, last] = rotated(apps.urls, round)
        const browser = new Browser()
        await browser.get(`${first}/set/user/ada`)
        const loggedIn = browser.tab()
        const answering = browser.tab().get(`${slow}${slowPath(round, options)}`)
        await place.reached
        expect((await browser.get(`${last}/logout`)).body).toBe('bye')
        place.open()
        const answer = await answering
        expectWell(answer)
        if (answer.body === 'saved') expect.fail(`in round ${round} a save of what was logged out was told as stored`)
        if (options.rolling !== true) expect(answer.setCookie).toBeUndefined()
        expect(await shownEverywhere(apps, loggedIn), `round ${round}`).toEqual(NOBODY)
        loggedOut.push(loggedIn)
      }
      await nobodyIsBack(apps, loggedOut)
    },
  )

  test.each(SETUPS)(
    `nor does one that saves at any moment of the logout, ${ROUNDS} times, with %o`,
    async (options) => {
      const apps = await startApps(options)
      const loggedOut: Browser[] = []
      for (let round = 0; round < ROUNDS; round += 1) {
        const random = chance(round)
        const place = gate()
        apps.gates.set(String(round), place)
        const [first, slow, last] = rotated(apps.urls, round)
        const browser = new Browser()
        await browser.get(`${first}/set/user/ada`)
        const loggedIn = browser.tab()
        const answering = browser.tab().get(`${slow}${slowPath(round, options)}`)
        await place.reached
        const [bye] = await Promise.all([browser.get(`${last}/logout`), pause(random.waitMs(12)).then(place.open)])
        expect(bye.body).toBe('bye')
        expectWell(await answering)
        expect(await shownEverywhere(apps, loggedIn), `round ${round}, seed: ${seed}`).toEqual(NOBODY)
        loggedOut.push(loggedIn)
      }
      await nobodyIsBack(apps, loggedOut)
    },
  )

  test(`two parallel requests that change different keys both survive, ${ROUNDS} times`, async () => {
    const apps = await startApps({})
    for (let round = 0; round < ROUNDS; round += 1) {
      const places = ['a', 'b'].map((name) => {
        const place = gate()
        apps.gates.set(`${round}${name}`, place)
        return place
      })
      const [first, other, last] = rotated(apps.urls, round)
      const browser = new Browser()
      await browser.get(`${last}/set/user/ada`)
      // Both have loaded the session before either saves it; on one instance or on two.
      const second = round % 4 === 3 ? first : other
      const answers = [
        browser.tab().get(`${first}/slow/set/${round}a/cart/tea`),
        browser.tab().get(`${second}/slow/set/${round}b/colour/blue`),
      ]
      await Promise.all(places.map(({ reached }) => reached))
      for (const place of places) place.open()
      for (const answer of await Promise.all(answers)) expectWell(answer)
      const all = { user: 'ada', cart: 'tea', colour: 'blue' }
      expect(await shownEverywhere(apps, browser), `round ${round}`).toEqual([all, all, all])
    }
  })

  test('fifty parallel requests over the three instances, each with a key of its own, all survive', async () => {
    const apps = await startApps({})
    for (let round = 0; round < rounds(4, 40); round += 1) {
      const browser = new Browser()
      await browser.get(`${apps.urls[0]}/set/user/ada`)
      const answers = Array.from({ length: 50 }, (_, n) => browser.tab().get(`${apps.urls[n % 3]}/set/key${n}/${n}`))
      for (const answer of await Promise.all(answers)) expectWell(answer)
      for (const shown of await shownEverywhere(apps, browser)) expect(Object.keys(shown as object)).toHaveLength(51)
    }
  })

  /** Twenty requests that have all loaded the session before any of them saves it. */
  const buyTwenty = async (apps: Apps, items: readonly string[]): Promise<Shop[]> => {
    const browser = new Browser()
    await browser.get(`${apps.urls[0]}/open-shop`)
    const answers = items.map((item, n) => {
      const place = gate()
      apps.gates.set(String(n), place)
      return { place, answer: browser.tab().get(`${apps.urls[n % 3]}/slow/buy/${n}/${item}`) }
    })
    await Promise.all(answers.map(({ place }) => place.reached))
    for (const { place } of answers) place.open()
    for (const { answer } of answers) expectWell(await answer)
    return (await shownEverywhere(apps, browser)) as Shop[]
  }
  const TWENTY = Array.from({ length: 20 }, (_, n) => `item${n}`)

  test('twenty parallel requests over the three instances, each with an item for the cart: twenty items', async () => {
    const byRule = { default: 'merge', keys: { cart: 'append', visits: 'sum' } } as const
    const apps = await startApps({}, byRule)
    for (const { cart, visits } of await buyTwenty(apps, TWENTY)) {
      expect(cart.toSorted()).toEqual(TWENTY.toSorted())
      expect(visits).toBe(20)
    }
    const same = TWENTY.map(() => 'tea')
    for (const { cart, visits } of await buyTwenty(apps, same)) expect([cart, visits]).toEqual([same, 20])
  })

  test('without a rule for the cart, of two parallel requests the later one’s cart stands', async () => {
    for (const { cart } of await buyTwenty(await startApps({}), ['milk', 'cake'])) expect(cart).toHaveLength(1)
  })
})

/** It ended as any request does. */
const expectWell = ({ status }: Answer): void => expect(status).toBe(200)

const rotated = ([one, two, three]: Apps['urls'], by: number): Apps['urls'] => {
  const turns: readonly Apps['urls'][] = [
    [one, two, three],
    [two, three, one],
    [three, one, two],
  ]
  return turns[by % 3] ?? [one, two, three]
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))
