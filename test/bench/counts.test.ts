import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { sessionOf } from '../../scripts/bench-runner/sessions.js'
import { type Counted, startTiers, type Tiers } from '../../scripts/bench-runner/tiers.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore, generateSessionId, type Session, type SessionStore } from '../../src/index.js'
import { absent, type MemcachedServer, ownMemcached, ownPostgres, skipUnless } from '../support/servers.js'

type Data = Record<string, unknown>

const [cacheFound, databaseFound] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof cacheFound === 'function' && typeof databaseFound === 'function'
    ? ('there' as const)
    : absent('memcached or PostgreSQL is missing here')

/** How many commands Memcached, and how many statements PostgreSQL gets for one call, beside it included. */
interface Cost {
  readonly commands: number
  readonly statements: number
}

skipUnless('what a call asks of its servers', servers, () => {
  let tiers: Tiers
  let cache: Counted<MemcachedServer>
  let pool: pg.Pool
  let store: SessionStore<Data>
  let statements = 0

  beforeAll(async () => {
    tiers = await startTiers()
    cache = await tiers.memcached()
    pool = new pg.Pool({ connectionString: (await tiers.database()).server, max: 4 })
    pool.on('connect', (client) => {
      const query = client.query.bind(client) as (...args: unknown[]) => unknown
      Object.assign(client, {
        query: (...args: unknown[]) => {
          statements += 1
          return query(...args)
        },
      })
    })
    store = createSessionStore<Data>({
      // What is asked to find out whether several servers have one name is no part of a call.
      cache: memcached({ servers: cache.server.address, checkSharedNames: false }),
      backend: postgres({ pool, migrate: true }),
      maxStaleMs: 3_600_000,
      purgeEveryMs: 0,
    })
    await store.ready({ deadlineMs: 60_000 })
    // The first of everything: connections, the names behind an address.
    const session = await made()
    await store.load(session.id)
    await store.destroy(session.id)
  })
  afterAll(async () => {
    await store.close()
    await pool.end()
    await tiers.stop()
  })

  const made = (): Promise<Session<Data>> => store.create({ ...sessionOf(1_500) })

  /** Waits until nothing is asked any more: no call's answer waits for what the call does beside it. */
  const commandsWhenQuiet = async (): Promise<number> => {
    let [last, now] = [-1, (await cache.counts()).commands ?? 0]
    while (last !== now || pool.totalCount !== pool.idleCount) {
      await new Promise((resolve) => setTimeout(resolve, 30))
      ;[last, now] = [now, (await cache.counts()).commands ?? 0]
    }
    return now
  }

  const costOf = async (call: () => Promise<unknown>): Promise<Cost> => {
    // The call before may still be at work beside its answer.
    const [before, asked] = [await commandsWhenQuiet(), statements]
    await call()
    return { commands: (await commandsWhenQuiet()) - before, statements: statements - asked }
  }

  const expectAtMost = (cost: Cost, most: Cost): void => {
    expect(cost.commands, 'commands at Memcached').toBeLessThanOrEqual(most.commands)
    expect(cost.statements, 'statements at PostgreSQL').toBeLessThanOrEqual(most.statements)
  }

  test('a read is one command, and no statement', async () => {
    const { id } = await made()
    expect(await costOf(() => store.load(id))).toEqual({ commands: 1, statements: 0 })
    expect(await costOf(() => store.touch(id))).toEqual({ commands: 1, statements: 0 })
  })

  test('of ten changes one is a statement, and a change that is not flushed is one command', async () => {
    const session = await made()
    const change = async (count: number): Promise<Cost> => {
      session.data['count'] = count
      return await costOf(() => store.save(session))
    }
    const costs: Cost[] = []
    for (let count = 0; count < 30; count += 1) costs.push(await change(count))
    expect(costs.filter((cost) => cost.statements > 0).length).toBe(3)
    expect(costs.reduce((sum, cost) => sum + cost.statements, 0)).toBe(3)
    expect(costs.filter((cost) => cost.statements === 0).map(({ commands }) => commands)).toEqual(Array(27).fill(1))
    for (const cost of costs) expectAtMost(cost, { commands: 2, statements: 1 })
  })

  test('a save of what stands there already is no command', async () => {
    const session = await made()
    expect(await costOf(() => store.save(session))).toEqual({ commands: 0, statements: 0 })
  })

  test('an id that nobody has is asked for in few commands, and soon afterwards in one', async () => {
    const id = generateSessionId()
    expectAtMost(await costOf(() => store.load(id)), { commands: 3, statements: 1 })
    expect(await costOf(() => store.load(id))).toEqual({ commands: 1, statements: 0 })
  })

  test('a new session, a new id and the end of a session take few commands and statements', async () => {
    expectAtMost(await costOf(made), { commands: 3, statements: 1 })
    const { id } = await made()
    const session = await store.load(id)
    if (session === undefined) throw new Error('the session is not there')
    expectAtMost(await costOf(() => store.regenerate(session)), { commands: 6, statements: 3 })
    const other = await made()
    expectAtMost(await costOf(() => store.destroy(other.id)), { commands: 3, statements: 1 })
  })
})
