import { readFileSync } from 'node:fs'
import pg from 'pg'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { postgres } from '../../../src/backends/postgres/index.js'
import { type MigrationReport, migrate } from '../../../src/backends/postgres/migrate.js'
import { MIGRATIONS } from '../../../src/backends/postgres/migrations.js'
import { partitionedTable, partitionNameOf } from '../../../src/backends/postgres/partitions.js'
import { judgePostgres, type PostgresExpectation } from '../../../src/cli/doctor/judge-postgres.js'
import { postgresFacts } from '../../../src/cli/doctor/postgres-facts.js'
import { systemRuntime } from '../../../src/runtime.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { sampleLineage, sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'
import { type Plan, plansOf } from './explaining.js'
import { notingPool } from './noting-pool.js'
import { connected } from './reload-support.js'

const PARTITIONS = 16
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const cluster = clusterForThisFile({}, PARTITIONS)

/** The rules are about what is done, and not about how fast. */
const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

const open = (options: { readonly schema?: string; readonly partitions?: number; readonly migrate?: boolean } = {}) => {
  const { url, schema, table } = cluster()
  return postgres({ connectionString: url, schema, table, ...PATIENCE, ...options })
}

backendContract(test, {
  now: () => cluster().now(),
  purgeResolutionMs: HOUR_MS,
  name: `postgres in ${PARTITIONS} partitions`,
  open: async () => ({ backend: open() }),
})

const migrateHere = (names: { schema?: string; table?: string; partitions?: number }): Promise<MigrationReport> => {
  const { url, schema, table } = cluster()
  return connected(url, (client) =>
    migrate({ query: (text, values) => client.query(text, values && [...values]) }, { schema, table, ...names }),
  )
}

const ALL = { applied: MIGRATIONS.map(({ name }) => name), version: MIGRATIONS.length }

/** How many rows each part has, in their order. */
const spread = async (schema: string, table = 'session'): Promise<readonly number[]> => {
  const parts = Array.from({ length: PARTITIONS }, (_, part) => `${schema}.${partitionNameOf(table, part)}`)
  const counts = parts.map((part) => cluster().query(`select count(*) from ${part}`))
  return (await Promise.all(counts)).map(({ rows }) => Number(rows[0].count))
}

/** Puts sessions there of which the last expires so long ago, and the others in the day before that. */
const put = async (namespace: string, sessions: number, agoMs: number, table = 'session'): Promise<void> => {
  const { query, now, schema } = cluster()
  await query(
    `insert into ${schema}.${table} (namespace, id_hash, app, user_id, user_hash, lineage, version, data, created_at,
       seen_at, expires_at, absolute_expires_at, purge_hour)
     select $1, sha256(int8send(i)), (array['', 'shop', 'blog', 'desk'])[1 + i % 4], user_id,
       sha256(convert_to(user_id, 'UTF8')), int8send(i), 1, decode(repeat(md5(i::text), 64), 'hex'),
       expires_at - interval '1 day', expires_at - interval '1 day', expires_at, expires_at + interval '30 days',
       ceil(extract(epoch from expires_at + interval '1 day') / 3600)::integer
     from generate_series(1, $2::integer) as i, lateral (
       select 'user ' || i % ($2::integer / 10) as user_id, $3::timestamptz - i % 86400 * interval '1 second' as expires_at
     ) as s`,
    [namespace, sessions, new Date(now() - agoMs)],
  )
}

test('what the migrations make in parts is what they make in one, and each part is stored as that one is', async () => {
  const { query, schema } = cluster()
  await migrateHere({ table: 'plain' })
  const columnsOf = async (table: string) =>
    (
      await query(
        `select attname, format_type(atttypid, atttypmod) as type, attnotnull, attcollation, attstorage, attgenerated,
           pg_get_expr(adbin, adrelid) as value, col_description(attrelid, attnum) as words
         from pg_attribute left join pg_attrdef on adrelid = attrelid and adnum = attnum
         where attrelid = $1::regclass and attnum > 0 order by attnum`,
        [`${schema}.${table}`],
      )
    ).rows
  const rulesOf = async (table: string) =>
    (
      await query(
        `select replace(conname, $2, '') as name, pg_get_constraintdef(oid) as rule from pg_constraint
         where conrelid = $1::regclass and contype <> 'n' order by 1`,
        [`${schema}.${table}`, `${table}_`],
      )
    ).rows
  const indexesOf = async (table: string) =>
    (
      await query(
        `select regexp_replace(replace(pg_get_indexdef(indexrelid), 'ON ONLY', 'ON'), $2, 'it', 'g') as line
         from pg_index where indrelid = $1::regclass order by 1`,
        [`${schema}.${table}`, `\\m${table}`],
      )
    ).rows
  for (const look of [columnsOf, rulesOf, indexesOf]) expect(await look('session')).toEqual(await look('plain'))
  const storageOf = async (table: string) =>
    (
      await query(
        `select c.reloptions, t.reloptions as toast from pg_class c left join pg_class t on t.oid = c.reltoastrelid
         where c.oid = $1::regclass`,
        [`${schema}.${table}`],
      )
    ).rows
  for (let part = 0; part < PARTITIONS; part += 1)
    expect(await storageOf(partitionNameOf('session', part))).toEqual(await storageOf('plain'))
  const left = await query("select relname from pg_class where relname like '%\\_pattern%'")
  expect(left.rows).toEqual([])
})

test('sessions are spread over all parts, and each is found again', async () => {
  const { schema } = cluster()
  const before = await spread(schema)
  await put('spread', 16_000, 0)
  const grown = (await spread(schema)).map((rows, part) => rows - (before[part] ?? 0))
  expect(grown.reduce((sum, rows) => sum + rows)).toBe(16_000)
  for (const rows of grown) expect(Math.abs(rows - 1_000)).toBeLessThan(200)
})

test('a purge removes from all parts what has ended, and nothing that lies at the same place of another part', async () => {
  const backend = open()
  const [dead, alive] = [`dead${sampleLineage()}`, `alive${sampleLineage()}`]
  await put(alive, 4_000, -2 * DAY_MS)
  await put(dead, 4_000, 3 * DAY_MS)
  let removed = 0
  for (let more = true; more; ) {
    const purged = await backend.purge({ now: cluster().now(), limit: 500 })
    removed += purged.removed
    more = purged.more
  }
  expect(removed).toBe(4_000)
  expect(await backend.count({ namespace: alive, now: cluster().now() })).toBe(4_000)
  await backend.close()
})

describe('of 32,000 sessions of 3,200 users', () => {
  const namespace = 'many'
  let client: pg.Client
  let end = async (): Promise<void> => {}
  let backend: ReturnType<typeof postgres>
  let statements: { readonly text: string; readonly values?: readonly unknown[] }[]
  beforeAll(async () => {
    const { url, schema, table, query } = cluster()
    await put(namespace, 32_000, -2 * DAY_MS)
    await query(`vacuum analyze ${schema}.${table}`)
    const noting = notingPool(url)
    client = new pg.Client({ connectionString: url })
    await client.connect()
    statements = noting.statements
    backend = postgres({ pool: noting.pool, schema, table, queryTimeoutMs: PATIENCE.queryTimeoutMs })
    end = async () => {
      await backend.close()
      await noting.end()
      await client.end()
    }
  })
  afterAll(() => end())

  const plansFor = async (call: () => Promise<unknown>): Promise<readonly Plan[]> => {
    await call()
    const last = statements.at(-1)
    if (last === undefined) throw new Error('the call should have sent a statement')
    return await plansOf(client, last)
  }

  test('one is read in one part, by its key', async () => {
    const locator = sampleLocator({ namespace })
    await backend.insert(locator, storedSession())
    for (const { scans, pages } of await plansFor(() => backend.read(locator))) {
      expect(scans.filter(({ of }) => /_part_\d+_pkey$/.test(of))).toHaveLength(1)
      expect(scans.every(({ type }) => type.startsWith('Index'))).toBe(true)
      expect(pages).toBeLessThan(20)
    }
  })

  test.each<[name: string, index: RegExp, call: () => Promise<unknown>]>([
    ['a page of all', /live_namespace_id_hash/, () => page({})],
    ['a page of one application', /live_namespace_app_id_hash/, () => page({ app: 'shop' })],
    ['a page of one user', /live_namespace_user_hash_id_hash/, () => page({ userId: 'user 7' })],
    ['the count of the sessions of one user', /live_namespace_user_hash_id_hash/, () => count({ userId: 'user 7' })],
    ['the count of all', /live_namespace_app_seen_hour/, () => count({})],
    ['what a purge would remove', /purge_hour/, () => backend.purge({ now: cluster().now(), limit: 100 })],
  ])('%s comes from the indexes of all parts', async (_name, index, call) => {
    for (const { scans } of await plansFor(call)) {
      expect(new Set(scans.filter(({ of }) => index.test(of)).map(({ of }) => of)).size).toBe(PARTITIONS)
      expect(
        scans.filter(({ type, of }) => type === 'Seq Scan' || (type.startsWith('Index') && !index.test(of))),
      ).toEqual([])
    }
  })

  const page = (which: object): Promise<unknown> =>
    backend.list({ namespace, now: cluster().now(), limit: 100, withData: true, maxBytes: 1_048_576, ...which })
  const count = (which: object): Promise<unknown> => backend.count({ namespace, now: cluster().now(), ...which })
})

describe('a table that is there already', () => {
  test('is taken as it is where no number is asked for, and where it is the number that it has', async () => {
    expect(await migrateHere({})).toEqual({ ...ALL, applied: [] })
    expect(await migrateHere({ partitions: PARTITIONS })).toEqual({ ...ALL, applied: [] })
    const backend = open({ migrate: true, partitions: PARTITIONS })
    await backend.setUp()
    expect((await backend.health()).state).toBe('up')
    await backend.close()
  })

  test.each([
    ['in one part', 'single', undefined, 'is there already, not partitioned, and 16 partitions were asked for'],
    ['with another number', 'eight', 8, 'is there already, with 8 partitions, and 16 partitions were asked for'],
  ] as const)('%s is refused with the cure, and keeps what is in it', async (_name, table, partitions, words) => {
    const { url, schema, query } = cluster()
    await migrateHere({ table, ...(partitions === undefined ? {} : { partitions }) })
    await put('kept', 100, 0, table)
    const refusal = { code: 'E_BACKEND_SCHEMA', message: expect.stringContaining(words) }
    await expect(migrateHere({ table, partitions: PARTITIONS })).rejects.toMatchObject(refusal)
    const backend = postgres({
      connectionString: url,
      schema,
      table,
      migrate: true,
      partitions: PARTITIONS,
      ...PATIENCE,
    })
    await expect(backend.setUp()).rejects.toMatchObject(refusal)
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({
      ...refusal,
      message: expect.stringContaining('docs/set-up.md'),
    })
    await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({ ...refusal, applied: 'no' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining(words) })
    await backend.close()
    expect((await query(`select count(*) from ${schema}.${table}`)).rows).toEqual([{ count: '100' }])
    // The sentence is about making a table, so that a program that makes none goes on.
    const without = postgres({ connectionString: url, schema, table, partitions: PARTITIONS, ...PATIENCE })
    expect((await without.health()).state).toBe('up')
    await without.close()
  })

  test.each(['session', 'someones_pattern'])('is never dropped by the statements that make one: %s', async (there) => {
    const { url, schema, query } = cluster()
    if (there !== 'session') await query(`create table ${schema}.${there} as select 1 as kept`)
    const table = there.replace('_pattern', '')
    await expect(
      connected(url, (client) => client.query(partitionedTable({ schema, table }, PARTITIONS))),
    ).rejects.toMatchObject({ code: '42P07' })
    expect((await query(`select to_regclass($1) as still`, [`${schema}.${there}`])).rows[0].still).not.toBe(null)
  })
})

test.each([0, 1, 1_025, 2.5, Number.NaN])('%s partitions are refused before any statement', async (partitions) => {
  expect(() => open({ partitions })).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
  await expect(migrateHere({ partitions })).rejects.toMatchObject({
    code: 'E_CONFIG',
    message: expect.stringContaining('`partitions`'),
  })
})

test('eight processes that make the table at once make it once', async () => {
  const schema = `${cluster().schema}_eight`
  const reports = await Promise.all(Array.from({ length: 8 }, () => migrateHere({ schema, partitions: PARTITIONS })))
  expect(reports.filter(({ applied }) => applied.length > 0)).toEqual([ALL])
  expect(await spread(schema)).toEqual(Array.from({ length: PARTITIONS }, () => 0))
  await cluster().query(`drop schema ${schema} cascade`)
})

describe('the doctor', () => {
  const findings = async (expected: Partial<PostgresExpectation> = {}): Promise<readonly string[]> => {
    const { url, schema, table } = cluster()
    const names = { schema, table, ...expected }
    const facts = await postgresFacts({
      ...names,
      server: { connectionString: url },
      env: {},
      namespace: 'nobody',
      runtime: systemRuntime,
    })
    const of = { tier: 'postgres', partitions: undefined, maxClockSkewMs: 60_000, absoluteTtlMs: 90 * DAY_MS, ...names }
    return judgePostgres(facts, of)
      .filter(({ check }) => /schema|storage|partitions|not-looked-at/.test(check))
      .map(({ check, severity, finding }) => `${severity} ${check} ${finding}`)
  }

  test('finds nothing wrong with a table in parts', async () => {
    expect(await findings()).toEqual([])
    expect(await findings({ partitions: PARTITIONS })).toEqual([])
  })

  test('finds a configuration that says another number', async () => {
    expect(await findings({ partitions: 32 })).toEqual([
      'warning backend-partitions The configuration says 32 partitions, and the table has 16.',
    ])
    expect(await findings({ table: 'plain', partitions: 4 })).toEqual([
      'warning backend-partitions The configuration says 4 partitions, and the table has none.',
    ])
  })

  test('finds a part that was detached, which health says too, and a part that is stored in another way', async () => {
    const { schema, table, query } = cluster()
    const part = `${schema}.${partitionNameOf(table, 5)}`
    await query(`alter table ${part} reset (fillfactor)`)
    expect(await findings()).toEqual([expect.stringMatching(/^note backend-storage .*of each partition/)])
    await query(`alter table ${part} set (fillfactor = 70)`)
    await query(`alter table ${schema}.${table} detach partition ${part}`)
    const backend = open()
    try {
      expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('partition') })
      expect(await findings()).toEqual([
        expect.stringMatching(/^fault backend-schema .*the partition with modulus 16, remainder 5/),
      ])
    } finally {
      await query(
        `alter table ${schema}.${table} attach partition ${part} for values with (modulus ${PARTITIONS}, remainder 5)`,
      )
    }
    expect(await backend.health()).toMatchObject({ state: 'up' })
    await backend.close()
    expect((await findings()).filter((finding) => finding.startsWith('fault'))).toEqual([])
  })
})

test('the sessions of a table in one part move into one with parts, under a program that goes on', async () => {
  const { query, url } = cluster()
  const docs = readFileSync(new URL('../../../docs/set-up.md', import.meta.url), 'utf8')
  const move = /```sql\n(begin;\n[^`]*analyze[^`]*)```/.exec(docs)?.[1]
  if (move === undefined) throw new Error('docs/set-up.md should say how to move')
  const [schema, next] = [`moving${sampleLineage()}`.toLowerCase(), `next${sampleLineage()}`.toLowerCase()]
  await migrateHere({ schema })
  const backend = postgres({ connectionString: url, schema, namedStatements: true, ...PATIENCE })
  const locators = Array.from({ length: 200 }, () => sampleLocator())
  for (const locator of locators) await backend.insert(locator, storedSession())
  const user = { namespace: 'moving', userId: 'ada' }
  await backend.writeUser(user, { epoch: 7, seats: undefined }, (await backend.readUser(user)).token)
  await migrateHere({ schema: next, partitions: PARTITIONS })
  const statements = move
    .replaceAll('nonstick_new', next)
    .replaceAll('nonstick_old', `${schema}_old`)
    .replace(/\bnonstick\b/g, schema)
  const [first, ...rest] = statements.split(/(?<=share mode;)/)
  const arrived: string[] = []
  const late = sampleLocator()
  await connected(url, async (client) => {
    await client.query(first ?? '')
    const reading = await backend.read(locators[0] ?? late)
    expect(reading.state).toBe('live')
    const inserting = backend.insert(late, storedSession()).then(({ outcome }) => arrived.push(outcome))
    const [copy, analyze] = rest.join('').split(/(?<=commit;)/)
    await client.query(copy ?? '')
    await client.query(analyze ?? '')
    await inserting
  })
  expect(arrived).toEqual(['inserted'])
  for (const locator of [...locators, late]) expect((await backend.read(locator)).state).toBe('live')
  expect((await backend.readUser(user)).record.epoch).toBe(7)
  expect((await spread(schema)).reduce((sum, rows) => sum + rows)).toBe(201)
  expect((await backend.health()).state).toBe('up')
  await backend.close()
  await query(`drop schema ${schema} cascade; drop schema ${schema}_old cascade`)
})
