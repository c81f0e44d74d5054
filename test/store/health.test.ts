import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { TierHealth } from '../../src/contract/health.js'
import { createSessionStore, type SessionStore } from '../../src/index.js'
import { faultyBackend, faultyCache } from '../../src/testing/faulty-tier.js'
import {
  absent,
  type MemcachedServer,
  ownMemcached,
  ownPostgres,
  type PostgresServer,
  skipUnless,
} from '../support/servers.js'
import type { Data } from './world.js'

const SILENT = (): Promise<never> => new Promise(() => {})

describe('the health of a store', () => {
  const up: TierHealth = { tier: 'memory', state: 'up', latencyMs: 1 }
  const degraded: TierHealth = { ...up, state: 'degraded', reason: '1 of 2 servers are not up' }
  const down: TierHealth = { ...up, state: 'down', reason: 'ECONNREFUSED' }

  test.each([
    [up, up, 'up'],
    [degraded, up, 'degraded'],
    [down, up, 'degraded'],
    [up, degraded, 'degraded'],
    [up, down, 'degraded'],
    // Sessions whose server answers are served.
    [degraded, down, 'degraded'],
    [down, degraded, 'degraded'],
    [down, down, 'down'],
  ])('with a cache that is $state and a backend that is $state', async (front, back, state) => {
    const [cache, backend] = [faultyCache(memoryCache()), faultyBackend(memoryBackend())]
    cache.intercept = async () => front
    backend.intercept = async () => back
    const store = createSessionStore<Data>({ cache, backend })
    expect(await store.health()).toEqual({ state, cache: front, backend: back })
  })

  test('is told within the tiers’ deadlines where they say nothing, with how long was waited', async () => {
    const [cache, backend] = [faultyCache(memoryCache()), faultyBackend(memoryBackend())]
    cache.intercept = SILENT
    backend.intercept = SILENT
    const store = createSessionStore<Data>({ cache, backend, cacheTimeoutMs: 100, backendTimeoutMs: 200 })
    const health = await store.health()
    expect(health).toMatchObject({
      state: 'down',
      cache: {
        tier: 'memory',
        state: 'down',
        reason: 'memory could not be asked to report its health: no answer within 100 ms',
      },
      backend: {
        tier: 'memory',
        state: 'down',
        reason: 'memory could not be asked to report its health: no answer within 200 ms',
      },
    })
    // A timer of Node's may be a moment early by this clock.
    expect(health.cache.latencyMs).toBeGreaterThanOrEqual(98)
    expect(health.backend.latencyMs).toBeGreaterThanOrEqual(198)
  })

  test('asks without touching any session, and is no fault of its own', async () => {
    const [cache, backend] = [faultyCache(memoryCache()), faultyBackend(memoryBackend())]
    const store = createSessionStore<Data>({ cache, backend })
    backend.unreachable = true
    expect(await store.health()).toMatchObject({
      state: 'degraded',
      cache: { state: 'up' },
      backend: { state: 'down' },
    })
    expect([cache.calls, backend.calls]).toEqual([['health'], ['health']])
    expect(store.stats().faults).toBe(0)
  })
})

const [memcachedFound, postgresFound] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : typeof postgresFound !== 'function'
      ? absent('there is no PostgreSQL that a test may stop')
      : { startMemcached: memcachedFound, startPostgres: postgresFound }

skipUnless('the health of a store on real servers', servers, ({ startMemcached, startPostgres }) => {
  let caches: MemcachedServer[]
  let backend: PostgresServer
  let store: SessionStore<Data>
  beforeAll(async () => {
    caches = await Promise.all([startMemcached(), startMemcached()])
    backend = await startPostgres({ fsync: false })
    const setUp = postgres({ connectionString: backend.adminUrl, migrate: true })
    await setUp.setUp()
    await setUp.close()
    store = createSessionStore<Data>({
      cache: memcached({ servers: caches.map(({ address }) => address) }),
      backend: postgres({ connectionString: backend.adminUrl, queryTimeoutMs: 1_000 }),
    })
  })
  afterEach(() => {
    backend.resume()
    for (const cache of caches) cache.resume()
  })
  afterAll(async () => {
    await store.close()
    await Promise.all([...caches.map((cache) => cache.stop()), backend.stop()])
  })
  const states = async () => {
    const health = await store.health()
    return {
      store: health.state,
      cache: health.cache.state,
      servers: health.cache.servers?.map(({ state }) => state),
      backend: health.backend.state,
    }
  }
  const well = { store: 'up', cache: 'up', servers: ['up', 'up'], backend: 'up' }

  test('names every server by its address, with its own state and latency', async () => {
    const { cache } = await store.health()
    expect(cache.servers).toEqual(
      caches.map(({ address }) => ({ tier: `memcached ${address}`, state: 'up', latencyMs: expect.any(Number) })),
    )
    expect(cache.latencyMs).toBe(Math.max(...(cache.servers ?? []).map(({ latencyMs }) => latencyMs)))
    expect(cache.latencyMs).toBeGreaterThan(0)
  })

  test('is degraded while one of two Memcached servers is frozen, and then killed, and up when it is back', async () => {
    expect(await states()).toEqual(well)
    const [, second] = caches
    second?.pause()
    // The signal takes a moment to reach all threads of a server.
    await expect
      .poll(states, { timeout: 30_000 })
      .toEqual({ store: 'degraded', cache: 'degraded', servers: ['up', 'down'], backend: 'up' })
    second?.resume()
    await second?.kill9()
    expect(await states()).toEqual({ store: 'degraded', cache: 'degraded', servers: ['up', 'down'], backend: 'up' })
    const { cache } = await store.health()
    expect(cache).toMatchObject({ tier: 'memcached', reason: '1 of 2 servers are not up' })
    expect(cache.servers?.[1]).toMatchObject({ tier: `memcached ${second?.address}`, reason: 'ECONNREFUSED' })
    await second?.restart()
    await expect.poll(states, { timeout: 10_000 }).toEqual(well)
  })

  test('shows the breaker of each server, and of the backend', async () => {
    const ids: string[] = []
    for (let made = 0; made < 40; made += 1) ids.push((await store.create({ made })).id)
    const breakers = async () => {
      const { cache, backend } = await store.health()
      return [...(cache.servers ?? []), backend].map(({ breaker }) => breaker)
    }
    expect(await breakers()).toEqual(['closed', 'closed', 'closed'])
    const [, second] = caches
    await second?.kill9()
    for (const id of ids) await store.load(id)
    expect(await breakers()).toEqual(['closed', expect.stringMatching(/^(half-)?open$/), 'closed'])
    await second?.restart()
    await expect.poll(states, { timeout: 10_000 }).toEqual(well)
  })

  test('is degraded while PostgreSQL is frozen, within its deadline, and up when it goes on', async () => {
    backend.pause()
    await expect.poll(states, { timeout: 30_000 }).toMatchObject({ backend: 'down' })
    const { state, backend: postgres } = await store.health()
    expect([state, postgres.state]).toEqual(['degraded', 'down'])
    expect(postgres.reason).not.toMatch(/postgres:\/\/|password/)
    expect(postgres.latencyMs).toBeGreaterThanOrEqual(990)
    backend.resume()
    await expect.poll(states, { timeout: 10_000 }).toEqual(well)
  })

  test('is down while nobody answers', async () => {
    for (const cache of caches) cache.pause()
    backend.pause()
    await expect
      .poll(states, { timeout: 30_000 })
      .toEqual({ store: 'down', cache: 'down', servers: ['down', 'down'], backend: 'down' })
  })
})
