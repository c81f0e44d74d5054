import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import type { Backend, Enumerable, KnowsUsers, Page, Which } from '../../../src/contract/backend.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY } from '../../support/calendar.js'
import { rounds } from '../../support/seed.js'
import { clusterForThisFile } from './cluster.js'
import { type Plan, plansOf } from './explaining.js'
import { type Noted, notingPool } from './noting-pool.js'

const cluster = clusterForThisFile()

const HOUR_MS = 3_600_000
const SESSIONS = 100_000
const USERS = 10_000
const APPS = ['', 'shop', 'blog', 'desk']
const NOW = QUIET_DAY + HOUR_MS / 2
const MIB = 1_048_576

/** For what inserts a hundred thousand rows, or with `scripts/test --long` two million, on a machine that is busy. */
const PATIENCE_MS = 3_600_000

let client: pg.Client
let backend: Backend & Enumerable & KnowsUsers
let statements: Noted[]
let relation: string
let records: string
let end = async (): Promise<void> => {}

beforeAll(async () => {
  const { url, schema, table } = cluster()
  relation = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(table)}`
  records = `${pg.escapeIdentifier(schema)}.${pg.escapeIdentifier(`${table}_user_record`)}`
  client = new pg.Client({ connectionString: url })
  await client.connect()
  const noting = notingPool(url)
  statements = noting.statements
  backend = postgres({ pool: noting.pool, schema, table, queryTimeoutMs: PATIENCE_MS })
  end = async () => {
    await backend.close()
    await noting.end()
    await client.end()
  }
  // It comes when it likes; here it comes when the test says so.
  for (const name of [relation, records]) await client.query(`alter table ${name} set (autovacuum_enabled = off)`)
  await client.query(
    `insert into ${relation} (namespace, id_hash, app, user_id, user_hash, lineage, version, data, created_at, seen_at,
       expires_at, absolute_expires_at, purge_hour)
     select 'many', sha256(int8send(i)), ($3::text[])[1 + i % 4], user_id, sha256(convert_to(user_id, 'UTF8')),
       int8send(i), 1, decode(repeat(md5(i::text), 64), 'hex'), seen_at, seen_at, seen_at + interval '1 day',
       seen_at + interval '30 days', 0
     from generate_series(1, $1::bigint) as i,
       lateral (select 'user ' || i % $4::bigint as user_id, $2::timestamptz - i % 86400 * interval '1 second' as seen_at) as s`,
    [SESSIONS, new Date(NOW), APPS, USERS],
  )
  await vacuumed(relation)
}, PATIENCE_MS)
afterAll(() => end())

/**
 * Vacuums and analyzes a table until all of its pages are marked as visible to everybody. A transaction of the server's own,
 * such as one that analyzes its catalogue, keeps those rows from it that were inserted while it runs.
 */
const vacuumed = async (table: string): Promise<void> => {
  for (let isWhole = false; !isWhole; ) {
    await client.query(`vacuum analyze ${table}`)
    const { rows } = await client.query<{ readonly isWhole: boolean }>(
      `select relallvisible = relpages as "isWhole" from pg_class where oid = $1::regclass`,
      [table],
    )
    isWhole = rows[0]?.isWhole === true
    if (!isWhole) await new Promise((resolve) => setTimeout(resolve, 100))
  }
}

/** What the call came to, and how its last statement was carried out. */
const explained = async <Result>(
  call: () => Promise<Result>,
): Promise<{ readonly result: Result; readonly plans: readonly Plan[] }> => {
  const result = await call()
  const last = statements.at(-1)
  if (last === undefined) throw new Error('the call should have sent a statement')
  return { result, plans: await plansOf(client, last) }
}

describe(`of ${SESSIONS} sessions of ${USERS} users`, () => {
  const all = { namespace: 'many', now: NOW }
  const page = { limit: 100, withData: true, maxBytes: MIB }

  test.each<[name: string, index: string, which: Partial<Which>, expected: number]>([
    ['all', 'session_live', {}, 100],
    ['one application', 'session_app', { app: 'shop' }, 100],
    ['one user', 'session_user_id', { userId: 'user 7' }, 10],
    ['one user in one application', 'session_user_id', { userId: 'user 7', app: 'desk' }, 10],
    ['one application, seen lately', 'session_app', { app: 'shop', seenSince: NOW - HOUR_MS }, 100],
  ])('a page of %s is found by its index', async (_name, index, which, expected) => {
    const asked = { ...all, ...which, ...page }
    for (const call of [() => backend.listKeys(asked), () => backend.list(asked)]) {
      const { result, plans } = await explained<Page<unknown>>(call)
      expect(result.entries).toHaveLength(expected)
      for (const { scans, pages } of plans) {
        expect(new Set(scans.map(({ of }) => of))).toEqual(new Set([index]))
        expect(pages).toBeLessThan(which.seenSince === undefined ? 150 : 3_000)
      }
    }
  })

  test('the sessions of a user are counted by their index', async () => {
    const { result, plans } = await explained(() => backend.count({ ...all, userId: 'user 7' }))
    expect(result).toBe(10)
    for (const { scans } of plans) expect(scans.map(({ of }) => of)).toEqual(['session_user_id'])
  })

  const ofAnHour = SESSIONS / 24
  test.each<[name: string, which: Partial<Which>, sessions: number]>([
    ['all', {}, SESSIONS],
    ['one application', { app: 'shop' }, SESSIONS / 4],
    ['all of no application', { app: '' }, SESSIONS / 4],
    ['one application, seen in ten hours', { app: 'shop', seenSince: NOW - 10 * HOUR_MS }, (10 * ofAnHour) / 4],
    ['all, seen in ten hours', { seenSince: NOW - 10 * HOUR_MS }, 10 * ofAnHour],
  ])(
    '%s are counted by the index of activity, and most of them without a look at the table',
    async (_name, which, about) => {
      const count = await explained(() => backend.count({ ...all, ...which }))
      expect(Math.abs(count.result - about)).toBeLessThan(about / 5)
      const users = await explained(() => backend.countUsers({ ...all, ...which }))
      expect(users.result).toBeLessThanOrEqual(USERS)
      expect(users.result).toBeGreaterThan(USERS / 5)
      for (const { scans } of [...count.plans, ...users.plans]) {
        expect(new Set(scans.map(({ of }) => of))).toEqual(new Set(['session_activity']))
        const alone = scans.filter(({ type }) => type === 'Index Only Scan')
        expect(alone).toMatchObject([{ heapFetches: 0 }])
      }
    },
  )

  test('the epoch comes with a session by the keys of both tables, also in a namespace that is new to the planner', async () => {
    const fill = (namespace: string) =>
      client.query(
        `insert into ${records} (namespace, user_hash, user_id, epoch, revision)
         select distinct $1, user_hash, user_id, 3, 1 from ${relation} where user_id is not null`,
        [namespace],
      )
    await fill('many')
    await vacuumed(records)
    await fill('new')
    const locator = sampleLocator({ namespace: 'new' })
    await backend.insert(locator, storedSession({ userId: 'user 7' }))
    const { result, plans } = await explained(() => backend.read(locator))
    expect(result).toMatchObject({ state: 'live', currentEpoch: 3 })
    for (const { scans, pages } of plans) {
      expect(scans.map(({ of }) => of).sort()).toEqual(['session_pkey', 'session_user_record_pkey'])
      expect(pages).toBeLessThan(20)
    }
  })
})

describe('tombstones before a page', () => {
  /** Many ended sessions, and behind all of them 300 that live. */
  const made = async (namespace: string, tombstones: number): Promise<void> => {
    await client.query(
      `insert into ${relation} (namespace, id_hash, app, lineage, version, data, created_at, seen_at, expires_at,
         absolute_expires_at, purge_hour)
       select $1, case when i <= $2 then '\\x00'::bytea else '\\xff' end || sha256(int8send(i)), 'shop', int8send(i), 1, '\\x00',
         moment, moment, moment + interval '1 day', moment + interval '1 day', 0
       from generate_series(1, $2::bigint + 300) as i, (select $3::timestamptz as moment) as now`,
      [namespace, tombstones, new Date(NOW)],
    )
    await client.query(
      `update ${relation} set data = null, app = '', destroyed_at = seen_at, keep_until = expires_at
       where namespace = $1 and id_hash < '\\x80'`,
      [namespace],
    )
  }

  const FEW = 1_000
  const MANY = rounds(100_000, 1_000_000)

  test(
    `make it no more work, whether ${FEW} or ${MANY} stand there`,
    async () => {
      await made('few', FEW)
      await made('lots', MANY)
      // What the planner knows of the table is older than they are.
      await client.query(`vacuum ${relation}`)
      const pagesOf = async (namespace: string, which: Partial<Which>): Promise<number> => {
        const page = { namespace, now: NOW, limit: 100, ...which }
        const keys = await explained(() => backend.listKeys(page))
        const list = await explained(() => backend.list({ ...page, withData: true, maxBytes: MIB }))
        expect([keys.result.entries.length, list.result.entries.length]).toEqual([100, 100])
        return Math.max(...[...keys.plans, ...list.plans].map(({ pages }) => pages))
      }
      for (const which of [{}, { app: 'shop' }]) {
        const [few, lots] = [await pagesOf('few', which), await pagesOf('lots', which)]
        console.log(`a page ${JSON.stringify(which)}: ${few} pages of the server behind ${FEW}, ${lots} behind ${MANY}`)
        // A larger index may have a level more to descend, and a page of it may be new.
        expect(lots).toBeLessThan(few + 10)
      }
      for (const [namespace, which] of [
        ['lots', {}],
        ['lots', { app: 'shop' }],
      ] as const) {
        const count = await explained(() => backend.count({ namespace, now: NOW, ...which }))
        expect(count.result).toBe(300)
        for (const { pages } of count.plans) expect(pages).toBeLessThan(1_000)
      }
    },
    PATIENCE_MS,
  )
})
