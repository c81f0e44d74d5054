import { afterAll, afterEach, beforeAll, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore, type SessionStore, type StoreOptions } from '../../src/index.js'
import { rounds } from '../support/seed.js'
import { type MemcachedServer, ownMemcached, ownPostgres, type PostgresServer, skipUnless } from '../support/servers.js'
import { startWatch } from '../support/stopwatch.js'
import { type Data, increment, loaded } from './world.js'

const [startMemcached, startPostgres] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof startMemcached !== 'function'
    ? startMemcached
    : typeof startPostgres !== 'function'
      ? startPostgres
      : { startMemcached, startPostgres }

const SECONDS = rounds(3, 10)
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

skipUnless('on the worst night, with real Memcached and PostgreSQL', servers, (start) => {
  let cache: MemcachedServer
  let database: PostgresServer
  let stores: SessionStore<Data>[] = []

  beforeAll(async () => {
    ;[cache, database] = await Promise.all([start.startMemcached(), start.startPostgres()])
    const backend = postgres({ connectionString: database.adminUrl, migrate: true })
    await backend.setUp()
    await backend.close()
  }, 60_000)
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()))
    stores = []
  })
  afterAll(async () => {
    await Promise.all([cache.stop(), database.stop()])
  })
  const process = (options: StoreOptions<Data> = {}): SessionStore<Data> => {
    const store = createSessionStore<Data>({
      cache: memcached({ servers: cache.address }),
      backend: postgres({ connectionString: database.adminUrl }),
      ...options,
    })
    stores.push(store)
    return store
  }
  /** On a busy machine a second is soon over; whoever runs out of patience with a tier goes round it, as he should. */
  const patient = (options: StoreOptions<Data> = {}): SessionStore<Data> =>
    process({
      cache: memcached({ servers: cache.address, operationTimeoutMs: 60_000, connectTimeoutMs: 60_000 }),
      backend: postgres({ connectionString: database.adminUrl, queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }),
      cacheTimeoutMs: 60_000,
      backendTimeoutMs: 60_000,
      leaseMs: 120_000,
      leaseWaitMs: 120_000,
      deadlineMs: 120_000,
      ...options,
    })
  const sessionsOf = async (store: SessionStore<Data>, count: number): Promise<string[]> => {
    const ids: string[] = []
    for (let made = 0; made < count; made += 1) ids.push((await store.create({ count: 0 })).id)
    return ids
  }
  /** Calls one after the other until `over`; how long each took, less what the machine withheld, and what it failed with. */
  const underLoad = async (work: (turn: number) => Promise<unknown>, over: (turn: number) => boolean) => {
    const watch = startWatch()
    const tookMs: number[] = []
    const failed: unknown[] = []
    for (let turn = 0; !over(turn); turn += 1) {
      const startedAt = watch()
      await work(turn).catch((error: unknown) => failed.push(error))
      tookMs.push(watch() - startedAt)
    }
    return { failed, longestMs: Math.max(...tookMs), turns: tookMs.length }
  }

  test('a cold cache costs one read of the backend for each session, however many processes and requests ask', {
    timeout: 120_000,
  }, async () => {
    const three = [1, 2, 3].map(() => patient({ maxBackendReads: 4 }))
    const ids = await sessionsOf(three[0] as SessionStore<Data>, 60)
    await Promise.all(three.map((store) => loaded(store, ids[0] ?? '')))
    await cache.restart()
    // Everybody knows that it was away, so that nothing of what follows is a first meeting with a dead connection.
    for (const store of three)
      await expect.poll(async () => (await store.health()).state, { timeout: 10_000 }).toBe('up')
    const readsBefore = three.map((store) => store.stats().backendReads)
    await Promise.all(ids.flatMap((id) => three.flatMap((store) => Array.from({ length: 4 }, () => loaded(store, id)))))
    const reads = three.map((store, index) => store.stats().backendReads - (readsBefore[index] ?? 0))
    expect(reads.reduce((sum, each) => sum + each, 0)).toBe(ids.length)
  })

  test('a Memcached that falls silent fails no request, holds none up for longer than the deadlines, and serves again', async () => {
    const store = process({ cacheTimeoutMs: 500, backendTimeoutMs: 2_000 })
    const ids = await sessionsOf(store, 20)
    global.process.kill(cache.pid, 'SIGSTOP')
    let isOver = false
    const load = Promise.all(
      Array.from({ length: 4 }, (_, client) =>
        underLoad(
          (turn) => increment(store, ids[(turn * 4 + client) % ids.length] ?? ''),
          (turn) => isOver && turn > 10,
        ),
      ),
    )
    await pause(SECONDS * 1_000)
    global.process.kill(cache.pid, 'SIGCONT')
    const hitsBefore = store.stats().cacheHits
    await expect.poll(() => store.stats().cacheHits - hitsBefore, { timeout: 5_000 }).toBeGreaterThan(10)
    isOver = true
    for (const { failed, longestMs } of await load) {
      expect(failed).toEqual([])
      // A load and a save, each a look at the cache in vain and then the backend.
      expect(longestMs).toBeLessThan(2 * (500 + 2_000))
    }
  })

  test('a PostgreSQL that is away costs warm sessions nothing, and has all of it within ten seconds of its return', async () => {
    const store = patient({ maxStaleCount: 3, maxStaleMs: 1_000 })
    const ids = await sessionsOf(store, 20)
    await database.kill9()
    let isOver = false
    const load = underLoad(
      (turn) => increment(store, ids[turn % ids.length] ?? ''),
      (turn) => isOver && turn > ids.length * 3,
    )
    await pause(SECONDS * 1_000)
    isOver = true
    const { failed, turns } = await load
    expect(failed).toEqual([])
    await database.restart()
    const watch = startWatch()
    await expect.poll(() => store.stats().unflushed, { timeout: 60_000 }).toBe(0)
    expect(watch()).toBeLessThan(10_000)
    // The cache is asked no more: what another process finds now is what PostgreSQL has.
    await cache.restart()
    const witness = patient()
    const counts = await Promise.all(ids.map(async (id) => Number((await loaded(witness, id)).data['count'])))
    expect(counts.reduce((sum, count) => sum + count, 0)).toBe(turns)
  })
})
