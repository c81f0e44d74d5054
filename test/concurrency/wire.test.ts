import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import express from 'express'
import session from 'express-session'
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { NonstickStore } from '../../src/adapters/express.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore, type Session, type SessionStore } from '../../src/index.js'
import { Browser, bag } from '../adapters/express-cluster.js'
import { skipUnless } from '../support/servers.js'
import { findServers, openTiers, type Tiers } from './cluster.js'
import { type Counted, type CountingProxy, countingProxy } from './counting-proxy.js'

const GET = ['> 0c', '< 0c']
const REPLACE = ['> 03', '< 03']

/** What passed on both wires at once. */
interface Traffic {
  readonly cache: Counted
  readonly backend: Counted
}

skipUnless('counted on the wire', await findServers(), (servers) => {
  let tiers: Tiers
  let toCache: CountingProxy
  let toBackend: CountingProxy
  const closing: (() => Promise<unknown>)[] = []

  beforeAll(async () => {
    tiers = await openTiers(servers)
    const { hostname, port } = new URL(tiers.connectionString)
    toCache = await countingProxy('127.0.0.1', tiers.cachePort, 'memcached')
    toBackend = await countingProxy(hostname, Number(port || 5432), 'postgres')
  })
  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close()
  })
  afterAll(async () => {
    await toCache?.close()
    await toBackend?.close()
    await tiers?.stop()
  })

  const wires = () => {
    const connectionString = new URL(tiers.connectionString)
    connectionString.host = `127.0.0.1:${toBackend.port}`
    return {
      // What looks for several servers behind one name has connections of its own, now and then.
      cache: memcached({
        servers: `127.0.0.1:${toCache.port}`,
        operationTimeoutMs: 8_000,
        checkSharedNames: false,
      }),
      backend: postgres({
        connectionString: connectionString.href,
        schema: tiers.schema,
        queryTimeoutMs: 8_000,
        maxConnections: 1,
      }),
      cacheTimeoutMs: 8_000,
      backendTimeoutMs: 8_000,
      leaseMs: 10_000,
    }
  }
  const open = (): SessionStore => {
    const store = createSessionStore(wires())
    closing.push(() => store.close())
    return store
  }
  const during = async (work: () => Promise<unknown>): Promise<Traffic> => {
    let backend: Counted | undefined
    const cache = await toCache.during(async () => {
      backend = await toBackend.during(work)
    })
    if (backend === undefined) throw new Error('nothing was counted')
    return { cache, backend }
  }
  const NOTHING: Counted = { frames: [], roundTrips: 0 }
  const times = (count: number, frames: readonly string[]): Counted => ({
    frames: Array.from({ length: count }, () => frames).flat(),
    roundTrips: (count * frames.length) / 2,
  })
  const loaded = async (store: SessionStore, id: string): Promise<Session> => {
    const found = await store.load(id)
    if (found === undefined) throw new Error('the session is not there')
    return found
  }
  const change = async (store: SessionStore, id: string, value: number): Promise<void> => {
    const found = await loaded(store, id)
    found.data['value'] = value
    await store.save(found)
  }
  /** A session that was changed and flushed through this process, so that nothing about it is due. */
  const warm = async (store: SessionStore): Promise<string> => {
    const { id } = await store.create({ value: 0 })
    await loaded(store, id)
    await change(store, id, 1)
    const found = await loaded(store, id)
    found.data['value'] = 2
    await store.save(found, { durable: true })
    return id
  }

  test('a warm read is one round trip to Memcached, and nothing to PostgreSQL', async () => {
    const store = open()
    const id = await warm(store)
    expect(await during(() => loaded(store, id))).toEqual({ cache: times(1, GET), backend: NOTHING })
    const thousand = await during(async () => {
      for (let n = 0; n < 1_000; n += 1) await loaded(store, id)
    })
    expect(thousand).toEqual({ cache: times(1_000, GET), backend: NOTHING })
  })

  test('a warm save is exactly one round trip more', async () => {
    const store = open()
    const id = await warm(store)
    const found = await loaded(store, id)
    found.data['value'] = 3
    expect(await during(() => store.save(found))).toEqual({ cache: times(1, REPLACE), backend: NOTHING })
    expect(await during(() => change(store, id, 4))).toEqual({
      cache: times(1, [...GET, ...REPLACE]),
      backend: NOTHING,
    })
  })

  test('also in another process that reads and saves the session for the first time', async () => {
    const id = await warm(open())
    const other = open()
    await other.load('some other session, so that the connections are there')
    // It is marked as unknown beside the answer; whoever asks again is answered behind that.
    await other.load('some other session, so that the connections are there')
    const cost = await during(() => change(other, id, 3))
    expect(cost).toEqual({ cache: times(1, [...GET, ...REPLACE]), backend: NOTHING })
  })

  test('of ten saves one tells PostgreSQL, and marks it in Memcached with one round trip more', async () => {
    const store = open()
    const id = await warm(store)
    const nine = await during(async () => {
      for (let n = 1; n <= 9; n += 1) await change(store, id, 10 + n)
    })
    expect(nine).toEqual({ cache: times(9, [...GET, ...REPLACE]), backend: NOTHING })
    const tenth = await during(() => change(store, id, 20))
    expect(tenth.cache).toEqual(times(1, [...GET, ...REPLACE, ...REPLACE]))
    expect(tenth.backend.roundTrips).toBe(1)
    expect(tenth.backend.frames.filter((frame) => frame === '> S')).toHaveLength(1)
  })

  test('saving what was not changed is nothing at all', async () => {
    const store = open()
    const found = await loaded(store, await warm(store))
    expect(await during(() => store.save(found))).toEqual({ cache: NOTHING, backend: NOTHING })
  })

  test.each([{ resave: false }, { resave: true, rolling: true, cookie: { maxAge: 3_600_000 } }])(
    'through express, a request that only reads is one round trip, with %o',
    async (options) => {
      const store = new NonstickStore(wires())
      closing.push(() => store.close())
      const app = express()
      app.use(session({ store, secret: 'of a test', saveUninitialized: false, ...options }))
      app.get('/read', (req, res) => res.json(bag(req)['value']))
      app.get('/change/:value', (req, res) => {
        bag(req)['value'] = req.params.value
        res.send('changed')
      })
      const server = app.listen(0, '127.0.0.1')
      await once(server, 'listening')
      closing.push(async () => {
        server.closeAllConnections()
        server.close()
        await once(server, 'close')
      })
      const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
      const browser = new Browser()
      await browser.get(`${url}/change/1`)
      await browser.get(`${url}/change/2`)
      await browser.get(`${url}/read`)
      const reads = await during(async () => {
        for (let n = 0; n < 50; n += 1) expect((await browser.get(`${url}/read`)).body).toBe('"2"')
      })
      expect(reads).toEqual({ cache: times(50, GET), backend: NOTHING })
      const changed = await during(() => browser.get(`${url}/change/3`))
      expect(changed).toEqual({ cache: times(1, [...GET, ...REPLACE]), backend: NOTHING })
    },
  )
})
