import { createServer } from 'node:net'
import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore, type SessionStore, type StoreOptions } from '../../src/index.js'
import {
  absent,
  type FreshSchema,
  freshSchema,
  type MemcachedServer,
  ownMemcached,
  type SharedPostgres,
  sharedPostgres,
  skipUnless,
} from '../support/servers.js'
import { startWatch } from '../support/stopwatch.js'
import { type Data, expectCode, increment, loaded } from './world.js'

const [postgresFound, memcachedFound] = [await sharedPostgres(), await ownMemcached()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { shared: postgresFound, start: memcachedFound }

skipUnless('sessions in real Memcached and PostgreSQL', servers, ({ shared, start }) => {
  let cache: MemcachedServer
  let place: FreshSchema
  let stores: SessionStore<Data>[] = []

  beforeAll(async () => {
    cache = await start()
    place = await freshSchema(shared)
    await postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }).setUp()
  })
  // What a store still does beside its answers must not be counted in the next test.
  afterEach(async () => {
    await Promise.all(stores.map((store) => store.close()))
    stores = []
  })
  afterAll(async () => {
    await cache.stop()
    await place.drop()
  })
  const process = (options: StoreOptions<Data> = {}): SessionStore<Data> => {
    const store = createSessionStore<Data>({
      cache: memcached({ servers: [[cache.address, 1]] }),
      backend: postgres({ connectionString: place.connectionString, schema: place.schema }),
      ...options,
    })
    stores.push(store)
    return store
  }

  test('one session travels through three processes', async () => {
    const [one, two, three] = [process(), process(), process()]
    const { id } = await one.create({ count: 0, at: new Date(7), tags: new Set(['a']) })
    for (let n = 0; n < 12; n += 1) await increment([one, two, three][n % 3] ?? one, id)
    expect((await loaded(three, id)).data).toEqual({ count: 12, at: new Date(7), tags: new Set(['a']) })
    const fresh = await two.regenerate(await loaded(two, id))
    expect(await three.load(id)).toBeUndefined()
    expect((await loaded(three, fresh.id)).data['count']).toBe(12)
    expect(await three.destroy(fresh.id)).toEqual({ cache: 'tombstone' })
    expect(await one.load(fresh.id)).toBeUndefined()
  })

  test('lists and counts of what was used lately take any window, however long', async () => {
    const store = process({ namespace: 'long-windows' })
    await store.create({})
    // They reach back to yesterday, to before the year 0, and to before the first moment of PostgreSQL and that of a Date.
    for (const seenWithinMs of [86_400_000, 70_000_000_000_000, 300_000_000_000_000, Number.MAX_SAFE_INTEGER]) {
      expect(await store.count({ seenWithinMs })).toBe(1)
      expect(await store.list({ seenWithinMs })).toHaveLength(1)
      expect(await store.list({ seenWithinMs, newest: true })).toHaveLength(1)
      expect(await store.activity({ withinMs: seenWithinMs })).toMatchObject({ sessions: 1, users: 0 })
    }
  })

  test('parallel requests of one session over three processes all survive', async () => {
    const all = [process(), process(), process()]
    const first = all[0] ?? process()
    const { id } = await first.create({})
    await Promise.all(
      Array.from({ length: 50 }, async (_, n) => {
        const store = all[n % 3] ?? first
        const session = await loaded(store, id)
        session.data[`key${n}`] = n
        await store.save(session)
      }),
    )
    expect(Object.keys((await loaded(first, id)).data)).toHaveLength(50)
  })

  test('losing a real Memcached costs at most nine of ten saves, and none with maxStaleCount 1', async () => {
    for (const [maxStaleCount, savesBefore] of [
      [10, 9],
      [10, 10],
      [10, 13],
      [1, 1],
      [1, 5],
    ] as const) {
      const store = process({ maxStaleCount })
      const { id } = await store.create({ count: 0 })
      for (let n = 0; n < savesBefore; n += 1) await increment(store, id)
      await cache.restart()
      const { data } = await loaded(store, id)
      expect(savesBefore - Number(data['count'])).toBeLessThanOrEqual(maxStaleCount - 1)
      await increment(store, id)
    }
  })

  test('with Memcached dead, sessions are read and written through PostgreSQL, and served from it again after', async () => {
    const store = process()
    const session = await store.create({ count: 0 })
    const { id } = session
    session.data['count'] = 1
    await store.save(session, { durable: true })
    await cache.kill9()
    for (let n = 0; n < 5; n += 1) await increment(store, id)
    expect((await loaded(store, id)).data['count']).toBe(6)
    expect(store.stats().flushes.bypass).toBeGreaterThanOrEqual(5)
    await cache.restart()
    await expect.poll(async () => (await store.health()).state, { timeout: 5_000 }).toBe('up')
    expect((await loaded(store, id)).data['count']).toBe(6)
  })

  describe('counted on the server', () => {
    let client: pg.Client
    beforeAll(async () => {
      client = new pg.Client({ connectionString: place.connectionString })
      client.on('error', () => {})
      await client.connect()
      await client.query('create extension if not exists pg_stat_statements')
    })
    afterAll(async () => {
      await client.end()
    })
    /** How often statements that name our table were run in our database, by their first word. */
    const statements = async (): Promise<Record<string, number>> => {
      const { rows } = await client.query<{ query: string; calls: string }>(
        `select query, calls from pg_stat_statements
         where dbid = (select oid from pg_database where datname = current_database())
           and query like '%session%' and query not like '%pg_stat_statements%'`,
      )
      const counts: Record<string, number> = { select: 0, insert: 0, update: 0 }
      for (const { query, calls } of rows) {
        const verb = /\b(insert into|update "|delete from)/.exec(query)?.[1]?.split(' ')[0] ?? 'select'
        counts[verb] = (counts[verb] ?? 0) + Number(calls)
      }
      return counts
    }
    const during = async (work: () => Promise<void>): Promise<Record<string, number>> => {
      const before = await statements()
      await work()
      const after = await statements()
      return Object.fromEntries(Object.entries(after).map(([verb, count]) => [verb, count - (before[verb] ?? 0)]))
    }

    countedTest(shared, 'a thousand reads of a warm session are no statement at all', async () => {
      const store = process()
      const { id } = await store.create({ cart: ['tea'] })
      await loaded(store, id)
      const counts = await during(async () => {
        for (let n = 0; n < 1_000; n += 1) await loaded(store, id)
      })
      expect(counts).toEqual({ select: 0, insert: 0, update: 0 })
    })

    countedTest(shared, 'a session and a hundred changes of it are one insert and ten updates', async () => {
      const store = process({ maxStaleCount: 10 })
      const counts = await during(async () => {
        const { id } = await store.create({ count: 0 })
        for (let n = 0; n < 100; n += 1) await increment(store, id)
      })
      expect(counts).toEqual({ select: 0, insert: 1, update: 10 })
    })
  })

  test('missing tables are an error that says which command creates them', async () => {
    const store = createSessionStore<Data>({
      cache: memcached({ servers: cache.address }),
      backend: postgres({ connectionString: place.connectionString, schema: 'nowhere' }),
    })
    stores.push(store)
    await expect(store.create({})).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringContaining('npx nonstick setup'),
    })
  })
})

/** A count of statements needs the extension that counts them; without it the machine’s lack is the reason. */
const countedTest = (shared: SharedPostgres, title: string, body: () => Promise<void>): void => {
  if (shared.hasStatStatements) test(title, body)
  else skipUnless(title, absent('this PostgreSQL has no pg_stat_statements'), () => {})
}

test('a port that nobody listens on is an error within the deadline, naming tier and address and no credentials', async () => {
  const free = await new Promise<number>((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const address = server.address()
      server.close(() => resolve(typeof address === 'object' && address !== null ? address.port : 0))
    })
  })
  const store = createSessionStore<Data>({
    cache: memcached({ servers: `127.0.0.1:${free}` }),
    backend: postgres({ connectionString: `postgres://user:very-secret@127.0.0.1:${free}/db` }),
  })
  const watch = startWatch()
  const error: unknown = await store.load('some-id').catch((reason: unknown) => reason)
  expect(watch()).toBeLessThan(3_000)
  expect(error).toMatchObject({ code: 'E_SESSION_UNAVAILABLE', message: expect.stringContaining(`127.0.0.1:${free}`) })
  expect(`${String(error)} ${JSON.stringify(error)}`).not.toContain('very-secret')
  await expectCode(store.create({}), 'E_SESSION_UNAVAILABLE')
  await store.close()
})
