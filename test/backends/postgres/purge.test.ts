import pg from 'pg'
import { expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { statementsFor } from '../../../src/backends/postgres/statements.js'
import { memoryCache } from '../../../src/caches/memory/index.js'
import type { PurgeOutcome } from '../../../src/contract/backend.js'
import { createSessionStore } from '../../../src/create-session-store.js'
import { sampleLineage, sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const open = (options: PostgresOptions = {}) => {
  const { url, schema, table } = cluster()
  // A busy machine takes long for a new connection.
  return postgres({
    connectionString: url,
    schema,
    table,
    connectTimeoutMs: 20_000,
    queryTimeoutMs: 20_000,
    ...options,
  })
}

const relation = (): string => `${pg.escapeIdentifier(cluster().schema)}.${pg.escapeIdentifier(cluster().table)}`

/** Puts so many sessions there that expired three days ago, without going through a backend for each. */
const putExpired = async (namespace: string, count: number): Promise<void> => {
  const expired = new Date(cluster().now() - 3 * DAY_MS)
  await cluster().query(
    `insert into ${relation()} (namespace, id_hash, lineage, version, write_ids, codec, data, created_at, seen_at, expires_at,
       absolute_expires_at, idle_ttl_ms, purge_hour)
     select $1, decode(md5(i::text) || md5((-i)::text), 'hex'), decode('00000000000000aa', 'hex'), 1,
       decode('00000000000000bb', 'hex'), 1, decode('80', 'hex'), moment, moment, moment, moment + interval '30 days',
       86400000, ceil(extract(epoch from moment + interval '1 day') / 3600)::integer
     from generate_series(1, $2::integer) as i, (select $3::timestamptz as moment) as moments`,
    [namespace, count, expired],
  )
}

const rowsOf = async (namespace: string): Promise<number> =>
  Number((await cluster().query(`select count(*) from ${relation()} where namespace = $1`, [namespace])).rows[0].count)

test('50,000 expired sessions go in batches, while requests are served and no living one is touched', async () => {
  const namespace = `live${sampleLineage()}`
  await putExpired(namespace, 50_000)
  const backend = open()
  const removed: number[] = []
  let underWay = 0
  const watched = new Proxy(backend, {
    get: (target, name) => {
      const member: unknown = Reflect.get(target, name)
      if (typeof member !== 'function') return member
      if (name !== 'purge') return member.bind(target) as unknown
      return async (options: Parameters<typeof backend.purge>[0]): Promise<PurgeOutcome> => {
        underWay += 1
        try {
          const outcome = await backend.purge(options)
          removed.push(outcome.removed)
          return outcome
        } finally {
          underWay -= 1
        }
      }
    },
  })
  const sessions = createSessionStore<{ count: number }>({
    cache: memoryCache(),
    backend: watched,
    namespace,
    purgeEveryMs: 0,
    maxStaleCount: 1,
    backendTimeoutMs: 20_000,
    deadlineMs: 60_000,
  })
  const ids = await Promise.all(Array.from({ length: 20 }, async () => (await sessions.create({ count: 0 })).id))
  let isPurged = false
  let servedMeanwhile = 0
  const purging = sessions.purge().finally(() => {
    isPurged = true
  })
  for (let round = 0; !isPurged; round += 1) {
    const id = ids[round % ids.length] ?? ''
    const wasUnderWay = underWay > 0
    await sessions.update(id, (data) => ({ count: data.count + 1 }), { durable: true })
    if (wasUnderWay) servedMeanwhile += 1
  }
  expect(await purging).toEqual({ removed: 50_000, inUse: 0, unsure: 0, more: false })
  expect(Math.max(...removed)).toBeLessThanOrEqual(500)
  expect(servedMeanwhile).toBeGreaterThan(0)
  expect(await rowsOf(namespace)).toBe(20)
  const counts = await Promise.all(ids.map(async (id) => (await sessions.load(id))?.data.count ?? Number.NaN))
  expect(counts.every((count) => count >= 0)).toBe(true)
  await sessions.close()
})

test('several processes purge at once, one of them at a time, and each row is removed once', async () => {
  const namespace = `once${sampleLineage()}`
  await putExpired(namespace, 10_000)
  const stores = Array.from({ length: 4 }, () =>
    createSessionStore({
      cache: memoryCache(),
      backend: open({ maxConnections: 2 }),
      namespace,
      purgeEveryMs: 0,
      backendTimeoutMs: 20_000,
    }),
  )
  const reports = await Promise.all(stores.map((store) => store.purge()))
  expect(reports.reduce((sum, { removed }) => sum + removed, 0)).toBe(10_000)
  expect(await rowsOf(namespace)).toBe(0)
  await Promise.all(stores.map((store) => store.close()))
})

test('a purge that has no turn says so and removes nothing, and no lock outlasts its statement', async () => {
  const { url, schema, table, query, now } = cluster()
  const namespace = `turn${sampleLineage()}`
  await putExpired(namespace, 3)
  const backend = open()
  const lock = /'(nonstick purge [0-9a-f]+)'/.exec(statementsFor(schema, table).purge.text)?.[1]
  // Another process, in the middle of its purge.
  const other = new pg.Client({ connectionString: url })
  await other.connect()
  await other.query('begin')
  await other.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [lock])
  expect(await backend.purge({ now: now(), limit: 10 })).toEqual({ removed: 0, more: true, isBusy: true })
  expect(await rowsOf(namespace)).toBe(3)
  await other.query('rollback')
  await other.end()
  expect(await backend.purge({ now: now(), limit: 10 })).toEqual({ removed: 3, more: false })
  expect((await query(`select count(*) from pg_locks where locktype = 'advisory'`)).rows[0].count).toBe('0')
  await backend.close()
})

test('a row that somebody holds locked is left, and does not hold up the purge', async () => {
  const { url, now } = cluster()
  const backend = open()
  const [locked, free] = [sampleLocator(), sampleLocator()]
  const session = storedSession({ createdAt: now() - 3 * DAY_MS, expiresAt: now() - 2 * DAY_MS })
  for (const locator of [locked, free]) await backend.insert(locator, session)
  const other = new pg.Client({ connectionString: url })
  await other.connect()
  await other.query('begin')
  const hash = Buffer.from(locked.key.split(':')[1] ?? '', 'base64url')
  await other.query(`select 1 from ${relation()} where id_hash = $1 for update`, [hash])
  expect(await backend.purge({ now: now(), limit: 10 })).toEqual({ removed: 1, more: false })
  expect((await backend.read(locked)).state).toBe('live')
  await other.query('rollback')
  await other.end()
  expect(await backend.purge({ now: now(), limit: 10 })).toEqual({ removed: 1, more: false })
  await backend.close()
})

test('what a purge looks at comes from the index of hours, and what it removes by its keys', async () => {
  const { schema, table, query, now } = cluster()
  const namespace = `plan${sampleLineage()}`
  await putExpired(namespace, 5_000)
  await query(`analyze ${relation()}`)
  const { ended, purge } = statementsFor(schema, table)
  const moments = [new Date(now()).toISOString(), new Date(now() - DAY_MS).toISOString()]
  const planOf = async (text: string, values: unknown[]): Promise<string> =>
    (await query(`explain ${text}`, values)).rows.map((row) => String(row['QUERY PLAN'])).join('\n')
  expect(await planOf(ended.text, [Math.ceil(now() / HOUR_MS), ...moments, 100])).toContain(
    `Index Scan using ${table}_purge_hour`,
  )
  const plan = await planOf(purge.text, [JSON.stringify([{ namespace, id_hash: '00' }]), ...moments])
  // Once to lock it, and once to remove it.
  expect(plan.match(new RegExp(`Index Scan using ${table}_pkey`, 'g'))).toHaveLength(2)
  expect(plan).not.toContain('Seq Scan')
})
