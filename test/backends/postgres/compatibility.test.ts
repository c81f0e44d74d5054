import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { MIGRATIONS } from '../../../src/backends/postgres/migrations.js'
import type { Backend, Enumerable } from '../../../src/contract/backend.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { changesOf } from './calls.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()
const PATIENT = { queryTimeoutMs: 20_000, connectTimeoutMs: 20_000 }
const NEWER = MIGRATIONS.length + 1

/** A table of its own for each test, made by this program. */
let table = ''
const opened: Backend[] = []
const open = (options: PostgresOptions = {}): Backend & Enumerable => {
  const { url, schema } = cluster()
  const backend = postgres({ connectionString: url, schema, table, ...PATIENT, ...options })
  opened.push(backend)
  return backend
}
beforeEach(async () => {
  table = `t_${randomBytes(6).toString('hex')}`
  await open().setUp()
})
afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
})

/** What a newer nonstick would leave behind in the list of migrations. */
const migratedByNewer = (compatibleFrom: number | undefined): Promise<unknown> =>
  cluster().query(
    `insert into "${cluster().schema}".migration (table_name, number, name, checksum, compatible_from) values ($1, $2, $3, '', $4)`,
    [table, NEWER, '0099_later', compatibleFrom ?? null],
  )
const undone = (): Promise<unknown> =>
  cluster().query(`delete from "${cluster().schema}".migration where table_name = $1 and number = $2`, [table, NEWER])

const readsOf = (backend: Backend & Enumerable): readonly (() => Promise<unknown>)[] => [
  () => backend.read(sampleLocator()),
  () => backend.list({ namespace: 'contract', now: 0, limit: 9, withData: true, maxBytes: 1_000_000 }),
  () => backend.count({ namespace: 'contract', now: 0 }),
]
const UPGRADE = { code: 'E_BACKEND_SCHEMA', message: expect.stringMatching(/0099_later.*upgrade the program$/) }

describe.each([false, true])('with `migrate: %s`', (migrate) => {
  test('an older program works with a table whose newer migration is compatible with it', async () => {
    await migratedByNewer(MIGRATIONS.length)
    const backend = open({ migrate })
    const locator = sampleLocator()
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
    expect((await backend.read(locator)).state).toBe('live')
    expect((await backend.health()).state).toBe('up')
    await backend.setUp()
  })

  test.each([
    ['that names a newer one', NEWER],
    ['that says nothing', undefined],
  ])('an older program is refused by a migration %s: by each call, with the cure, and by health', async (_, from) => {
    await migratedByNewer(from)
    for (const ask of [...readsOf(open({ migrate })), ...readsOf(open({ migrate }))])
      await expect(ask()).rejects.toMatchObject({ ...UPGRADE, applied: undefined })
    for (const change of changesOf(open({ migrate })))
      await expect(change()).rejects.toMatchObject({ ...UPGRADE, applied: 'no' })
    const backend = open({ migrate })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: UPGRADE.message })
    await expect(backend.read(sampleLocator())).rejects.toMatchObject(UPGRADE)
    // What was refused is asked again: no restart is needed once the table fits.
    await undone()
    expect((await backend.read(sampleLocator())).state).toBe('absent')
    expect((await backend.health()).state).toBe('up')
  })

  test('a table that an edited migration made is refused, by calls and by health', async () => {
    await cluster().query(`update "${cluster().schema}".migration set checksum = 'other' where table_name = $1`, [
      table,
    ])
    const backend = open({ migrate })
    const words = expect.stringContaining('was made by another migration 1')
    expect(await backend.health()).toMatchObject({ state: 'down', reason: words })
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA', message: words })
  })
})

test('a program that was running already learns of an incompatible migration when its health is asked', async () => {
  const backend = open()
  expect((await backend.read(sampleLocator())).state).toBe('absent')
  await migratedByNewer(NEWER)
  expect((await backend.read(sampleLocator())).state).toBe('absent')
  expect((await backend.health()).state).toBe('down')
  await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({ ...UPGRADE, applied: 'no' })
})

test('the list is read once by a process whose calls come together, and not again', async () => {
  const { url, schema } = cluster()
  let reads = 0
  const pool = new pg.Pool({ connectionString: url, max: 4 })
  pool.on('error', () => {})
  pool.on('connect', (client) => {
    const query = client.query.bind(client) as (...args: unknown[]) => unknown
    Object.assign(client, {
      query: (...args: unknown[]) => {
        if (JSON.stringify(args[0]).includes('compatible_from')) reads += 1
        return query(...args)
      },
    })
  })
  const backend = postgres({ pool, schema, table, queryTimeoutMs: 20_000 })
  await Promise.all(Array.from({ length: 20 }, () => backend.read(sampleLocator())))
  await backend.read(sampleLocator())
  expect(reads).toBe(1)
  await backend.close()
  await pool.end()
})

describe('where the list cannot tell', () => {
  test('a list of the time before the column takes newer migrations for incompatible', async () => {
    const { schema, query } = cluster()
    await query(`alter table "${schema}".migration drop column compatible_from`)
    try {
      expect((await open().read(sampleLocator())).state).toBe('absent')
      expect((await open({ migrate: true }).read(sampleLocator())).state).toBe('absent')
      await query(
        `insert into "${schema}".migration (table_name, number, name, checksum) values ($1, $2, '0099_later', '')`,
        [table, NEWER],
      )
      await expect(open().read(sampleLocator())).rejects.toMatchObject(UPGRADE)
      await expect(open({ migrate: true }).read(sampleLocator())).rejects.toMatchObject(UPGRADE)
      // The next table that is made in the schema brings the column.
      table = `${table}_b`
      await open().setUp()
      await migratedByNewer(MIGRATIONS.length)
      expect((await open().read(sampleLocator())).state).toBe('absent')
    } finally {
      await query(`alter table "${schema}".migration add column if not exists compatible_from integer`)
    }
  })

  test('a table without a list, or beside another program’s table of that name, is taken as it is', async () => {
    const { schema, query } = cluster()
    const other = `other_${randomBytes(4).toString('hex')}`
    await query(`create schema "${other}"`)
    for (const suffix of ['', '_user_record'])
      await query(`create table "${other}".session${suffix} (like "${schema}"."${table}${suffix}" including all)`)
    const locator = sampleLocator()
    const backend = open({ schema: other, table: 'session' })
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
    await query(`create table "${other}".migration (id integer, name text)`)
    expect((await open({ schema: other, table: 'session' }).read(locator)).state).toBe('live')
    expect((await backend.health()).state).toBe('up')
    await query(`drop schema "${other}" cascade`)
  })

  test('a role that may not read the list works, and one that may is told', async () => {
    const { url, schema, query } = cluster()
    const role = `limited_${randomBytes(4).toString('hex')}`
    await query(`create role "${role}" login password 'limited'`)
    await query(`grant usage on schema "${schema}" to "${role}"`)
    await query(`grant select, insert, update, delete on "${schema}"."${table}" to "${role}"`)
    await query(`grant select, insert, update on "${schema}"."${table}_user_record" to "${role}"`)
    const as = new URL(url)
    as.username = role
    as.password = 'limited'
    try {
      await migratedByNewer(NEWER)
      expect((await open({ connectionString: as.href }).read(sampleLocator())).state).toBe('absent')
      await query(`grant select on "${schema}".migration to "${role}"`)
      await expect(open({ connectionString: as.href }).read(sampleLocator())).rejects.toMatchObject(UPGRADE)
    } finally {
      await query(`drop owned by "${role}"`)
      await query(`drop role "${role}"`)
    }
  })
})

describe('health is `down`', () => {
  const health = (options: PostgresOptions = {}) => open(options).health()

  test('where the table is missing, or a column of it, with the command that makes it', async () => {
    const { schema, query } = cluster()
    await query(`alter table "${schema}"."${table}" drop column write_ids`)
    expect(await health()).toMatchObject({
      state: 'down',
      reason: expect.stringMatching(/is of another version; run `npx nonstick setup`/),
    })
    await query(`drop table "${schema}"."${table}"`)
    expect(await health()).toMatchObject({
      state: 'down',
      reason: expect.stringMatching(/lacks the table .*; run `npx nonstick setup`/),
    })
  })

  test('where the role may not make the missing table, and `up` once it was made at the asking', async () => {
    const { url, schema, query } = cluster()
    const role = `maker_${randomBytes(4).toString('hex')}`
    await query(`create role "${role}" login password 'maker'`)
    await query(`grant usage on schema "${schema}" to "${role}"`)
    await query(`grant select, insert, delete on "${schema}".migration to "${role}"`)
    const as = new URL(url)
    as.username = role
    as.password = 'maker'
    table = `${table}_c`
    const backend = open({ connectionString: as.href, migrate: true })
    try {
      expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('may not set up') })
      await query(`grant create on schema "${schema}" to "${role}"`)
      expect((await backend.health()).state).toBe('up')
      expect((await backend.read(sampleLocator())).state).toBe('absent')
    } finally {
      await query(`drop owned by "${role}"`)
      await query(`drop role "${role}"`)
    }
  })
})
