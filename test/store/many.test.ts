import pg from 'pg'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import { jsonCodec } from '../../src/codecs/json.js'
import { createSessionStore, type SessionStore } from '../../src/index.js'
import { notingPool } from '../backends/postgres/noting-pool.js'
import { type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../support/servers.js'

const SESSIONS = 100_000
const USERS = 10_000
/** Session n is of user n % USERS, and of the application whose turn it is: each has every fourth session of a user. */
const APPS = ['', 'shop', 'blog', 'desk'] as const
const EACH = SESSIONS / USERS
const numbers = (user: number): number[] => Array.from({ length: EACH }, (_, n) => n * USERS + user)
const appOf = (n: number): (typeof APPS)[number] => APPS[Math.floor(n / USERS) % APPS.length] ?? ''
const idOf = (n: number): string => `session ${n}`
const sizeOf = (app: string): number => numbers(0).filter((n) => appOf(n) === app).length * USERS

skipUnless(`a store with ${SESSIONS} sessions of ${USERS} users in PostgreSQL`, await sharedPostgres(), (shared) => {
  let place: FreshSchema
  let noting: ReturnType<typeof notingPool>
  let store: SessionStore

  beforeAll(async () => {
    place = await freshSchema(shared)
    const { connectionString, schema } = place
    const setUp = postgres({ connectionString, schema, migrate: true, queryTimeoutMs: 600_000 })
    await setUp.setUp()
    await setUp.close()
    noting = notingPool(connectionString)
    store = createSessionStore({
      cache: memoryCache(),
      backend: postgres({ pool: noting.pool, schema, queryTimeoutMs: 60_000 }),
      backendTimeoutMs: 60_000,
      codec: jsonCodec,
      identify: ({ user }) => user as string | undefined,
    })
    // The store itself writes one row as it has to be, and the server makes the others of it.
    const template = await store.create({ user: 'template' })
    const apps = `(array[${APPS.map((app) => `'${app}'`).join(', ')}])[1 + (n / ${USERS}) % ${APPS.length}]`
    const client = new pg.Client({ connectionString })
    await client.connect()
    await client.query(`
      insert into ${schema}.session (namespace, id_hash, app, user_id, user_hash, user_epoch, identified_at, lineage,
        version, write_ids, codec, data, reads, writes, created_at, seen_at, expires_at, absolute_expires_at, idle_ttl_ms,
        purge_hour)
      select namespace, sha256(convert_to('session ' || n, 'UTF8')), ${apps}, name, sha256(convert_to(name, 'UTF8')),
        user_epoch, identified_at, lineage, version, write_ids, codec,
        convert_to(json_build_object('user', name, 'n', n)::text, 'UTF8'), reads, writes, created_at, seen_at, expires_at,
        absolute_expires_at, idle_ttl_ms, purge_hour
      from ${schema}.session, generate_series(0, ${SESSIONS - 1}) n, lateral (select 'user ' || n % ${USERS} as name) u`)
    await client.query(`vacuum analyze ${schema}.session`)
    await client.end()
    await store.destroy(template)
  }, 1_200_000)
  afterAll(async () => {
    await store?.close()
    await noting?.end()
    await place?.drop()
  })

  /** What came of it, and how many statements it took. */
  const counted = async <T>(work: () => Promise<T>): Promise<{ readonly value: T; readonly statements: number }> => {
    noting.statements.length = 0
    return { value: await work(), statements: noting.statements.length }
  }
  const handlesOfUser = async (user: string): Promise<string[]> => {
    const handles = []
    for await (const { handle, userId } of store.listByUser(user)) {
      expect(userId).toBe(user)
      handles.push(handle)
    }
    return handles
  }
  const handlesOf = (user: number): string[] => numbers(user).map((n) => store.handleOf(idOf(n)))

  test('lists the sessions of one user in two statements, of which one reads his record, and counts them in one', async () => {
    const listed = await counted(() => handlesOfUser('user 1234'))
    expect(listed.value.toSorted()).toEqual(handlesOf(1234).toSorted())
    expect(listed.statements).toBe(2)
    expect(await counted(() => store.countByUser('user 1234'))).toEqual({ value: EACH, statements: 1 })
    expect(await counted(() => store.countByUser('user 10000'))).toEqual({ value: 0, statements: 1 })
  })

  test('pages through an application, one statement for each page, and each session once', async () => {
    const seen = new Set<string>()
    const { statements } = await counted(async () => {
      for (let after: string | undefined = ''; after !== undefined; ) {
        const page: Awaited<ReturnType<typeof store.list>> = await store.list({
          ...{ app: 'blog', limit: 1_000, data: false },
          ...(after === '' ? {} : { after }),
        })
        for (const { handle, app } of page) {
          expect(app).toBe('blog')
          seen.add(handle)
        }
        after = page.next
      }
    })
    expect(seen.size).toBe(sizeOf('blog'))
    for (const n of numbers(77)) expect(seen.has(store.handleOf(idOf(n)))).toBe(appOf(n) === 'blog')
    // The last page may be full, and nobody knows that nothing follows.
    expect(statements).toBeLessThanOrEqual(sizeOf('blog') / 1_000 + 1)
  })

  test('counts all, an application, and of late the sessions and the users, in one statement each', async () => {
    expect(await counted(() => store.count())).toEqual({ value: SESSIONS, statements: 1 })
    for (const app of APPS)
      expect(await counted(() => store.count({ app }))).toEqual({ value: sizeOf(app), statements: 1 })
    const { value, statements } = await counted(() => store.activity({ app: 'shop', withinMs: 24 * 3_600_000 }))
    expect(value).toMatchObject({ sessions: sizeOf('shop'), users: USERS })
    expect(statements).toBe(2)
  })

  test('logs one user out everywhere, with two statements for each of his sessions at most, and nobody else', async () => {
    const [here, ...others] = numbers(42).map(idOf)
    const { value, statements } = await counted(() => store.destroyByUser('user 42', { except: here ?? '' }))
    expect(value).toEqual({ destroyed: EACH - 1, cache: 'tombstone' })
    expect(statements).toBeLessThanOrEqual(2 * EACH)
    for (const id of others) expect(await store.load(id)).toBeUndefined()
    expect((await store.load(here ?? ''))?.data).toEqual({ user: 'user 42', n: 42 })
    expect(await store.countByUser('user 42')).toBe(1)
    expect(await handlesOfUser('user 43')).toHaveLength(EACH)
    expect(await store.count()).toBe(SESSIONS - (EACH - 1))
    expect((await store.destroyByUser('user 42')).destroyed).toBe(1)
    expect(await store.load(here ?? '')).toBeUndefined()
  })
})
