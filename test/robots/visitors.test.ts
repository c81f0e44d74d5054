import pg from 'pg'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import {
  type Backend,
  createSessionStore,
  type FrontCache,
  generateSessionId,
  type SessionStore,
} from '../../src/index.js'
import { memoryCache } from '../../src/memory.js'
import { sessionIdFrom } from '../../src/session/id.js'
import { couchdb } from '../backends/couchdb/backend.js'
import { couchForThisFile } from '../backends/couchdb/server.js'
import { quietRuntime } from '../support/calendar.js'
import { seed } from '../support/seed.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../support/servers.js'
import { PATIENT, type VisitorData, visit } from './visitors.js'

const [postgresFound, memcachedFound] = [await sharedPostgres(), await sharedMemcached()]
const servers =
  postgresFound.kind === 'absent'
    ? postgresFound
    : memcachedFound.kind === 'absent'
      ? memcachedFound
      : { shared: postgresFound, cache: memcachedFound }

let stores: SessionStore<VisitorData>[] = []
afterEach(async () => {
  await Promise.all(stores.map((store) => store.close()))
  stores = []
})

/** Three processes whose visitors stay in the cache until they log in. */
const cluster = (
  namespace: string,
  cache: () => FrontCache,
  backend: () => Backend,
  more: { readonly runtime?: typeof quietRuntime } = {},
): readonly SessionStore<VisitorData>[] => {
  stores = [1, 2, 3].map(() =>
    createSessionStore<VisitorData>({
      ...{ namespace, persistOn: 'identify', purgeEveryMs: 0, ...PATIENT.store, ...more },
      cache: cache(),
      backend: backend(),
      identify: (data) => data['user'] as string | undefined,
    }),
  )
  return stores
}

skipUnless('visitors who never log in, with PostgreSQL', servers, ({ shared, cache }) => {
  let place: FreshSchema
  beforeAll(async () => {
    place = await freshSchema(shared)
    await postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }).setUp()
  })
  afterAll(() => place.drop())

  /** All rows of a namespace, sessions and tombstones, as the server counts them. */
  const rows = async (namespace: string): Promise<number> => {
    const client = new pg.Client({ connectionString: place.connectionString })
    await client.connect()
    try {
      const counted = await client.query(
        `select count(*)::int as n from ${place.schema}.session where namespace = $1`,
        [namespace],
      )
      return Number(counted.rows[0]?.n)
    } finally {
      await client.end()
    }
  }
  const processes = (namespace: string) =>
    cluster(
      namespace,
      () => memcached({ servers: [[cache.address, 1]], ...PATIENT.cache }),
      () => postgres({ connectionString: place.connectionString, schema: place.schema, ...PATIENT.postgres }),
    )

  test('leave no row and no tombstone, whatever they call, and then one logs in and has a row', async () => {
    const namespace = `${cache.namespace}-visitors`
    const all = processes(namespace)
    const { calls } = await visit({ stores: all, visitors: 3_000, seed })
    for (const [name, times] of Object.entries(calls)) expect(times, `${name}, seed ${seed}`).toBeGreaterThan(100)
    expect(await rows(namespace), `seed ${seed}`).toBe(0)

    const [first] = all
    const session = await first?.create({})
    if (first === undefined || session === undefined) throw new Error('there is no store')
    session.data['user'] = 'ann'
    await first.save(session)
    expect(await rows(namespace)).toBe(1)
    await first.destroy(session)
    expect(await rows(namespace), 'the tombstone of a session that was in the backend').toBe(1)
  }, 120_000)

  test('leave nothing when the processes end, and nothing that a later process brings to the backend', async () => {
    const namespace = `${cache.namespace}-ends`
    await visit({ stores: processes(namespace), visitors: 300, seed: seed + 1 })
    expect(await Promise.all(stores.map((store) => store.close()))).toEqual(
      stores.map(() => ({ flushed: 0, left: 0, destroysLeft: 0 })),
    )
    await visit({ stores: processes(namespace), visitors: 300, seed: seed + 1 })
    expect(await rows(namespace), `seed ${seed}`).toBe(0)
  }, 120_000)

  test('leave what the guarantees say: a tombstone for a destroy of an id that no tier knows, a row for a durable save', async () => {
    const namespace = `${cache.namespace}-left`
    const [first, second] = processes(namespace)
    if (first === undefined || second === undefined) throw new Error('there is no store')
    await first.destroy(generateSessionId())
    await second.destroy('an id of their own')
    expect(await rows(namespace)).toBe(2)
    const { id } = await first.create({})
    await second.update(id, (data) => void Object.assign(data, { a: 1 }), { durable: true })
    expect(await rows(namespace)).toBe(3)
    await first.destroy(id)
    expect(await rows(namespace)).toBe(3)
  })
})

describe('visitors who never log in, with CouchDB', () => {
  const couch = couchForThisFile()
  /** All documents of sessions, tombstones among them, in the databases of all months. */
  const documents = async (database: string): Promise<number> => {
    let found = 0
    for (const name of await couch().databases(database)) {
      const { body } = await couch().ask(`${name}/_all_docs`)
      found += (body as { rows: { id: string }[] }).rows.filter(({ id }) => id.startsWith('s:')).length
    }
    return found
  }

  test('leave no document, whatever they call', async () => {
    const database = couch().pattern()
    const open = (): Backend => couchdb(couch().options({ database }))
    await open().setUp()
    // By the clock of the quiet day, which no Memcached goes by.
    const cache = memoryCache({ runtime: quietRuntime })
    const all = cluster('visitors', () => cache, open, { runtime: quietRuntime })
    const newId = (): string => sessionIdFrom(quietRuntime.now(), quietRuntime.randomBytes(32))
    const { calls } = await visit({ stores: all, visitors: 1_000, seed, atOnce: 16, newId })
    expect(calls.destroy, `seed ${seed}`).toBeGreaterThan(20)
    expect(await documents(database), `seed ${seed}`).toBe(0)
    await all[0]?.create({ user: 'ann' })
    expect(await documents(database)).toBe(1)
  }, 120_000)
})

describe('the drawn calls', () => {
  test('are the same for the same seed', async () => {
    const callsOf = async (from: number): Promise<object> => {
      const store = createSessionStore<VisitorData>({ allowEmbedded: true, persistOn: 'identify', purgeEveryMs: 0 })
      stores.push(store)
      return (await visit({ stores: [store], visitors: 50, seed: from, atOnce: 1 })).calls
    }
    expect(await callsOf(5)).toEqual(await callsOf(5))
    expect(await callsOf(5)).not.toEqual(await callsOf(6))
  })
})
