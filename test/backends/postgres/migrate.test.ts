import { readFileSync } from 'node:fs'
import type pg from 'pg'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { type MigrationClient, type MigrationReport, migrate } from '../../../src/backends/postgres/migrate.js'
import { MIGRATIONS } from '../../../src/backends/postgres/migrations.js'
import { quoteIdentifier } from '../../../src/backends/postgres/setup-names.js'
import { dumpSchema } from '../../../src/cli/doctor/schema-dump.js'
import { type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../../support/servers.js'
import { connected } from './reload-support.js'

const ALL = MIGRATIONS.map(({ name }) => name)

const migrationClient = (client: pg.ClientBase): MigrationClient => ({
  query: (text, values) => client.query(text, values && [...values]),
})

skipUnless('migrate', await sharedPostgres(), (postgres) => {
  let fresh: FreshSchema
  beforeEach(async () => {
    fresh = await freshSchema(postgres)
  })
  afterEach(() => fresh.drop())

  const run = (names: Partial<{ schema: string; table: string; timeoutMs: number }> = {}): Promise<MigrationReport> =>
    connected(fresh.connectionString, (client) =>
      migrate(migrationClient(client), { schema: fresh.schema, table: 'session', ...names }),
    )
  const query = (text: string): Promise<readonly Record<string, unknown>[]> =>
    connected(fresh.connectionString, async (client) => (await client.query<Record<string, unknown>>(text)).rows)
  const dump = (): Promise<string> => connected(fresh.connectionString, (client) => dumpSchema(client, fresh.schema))

  test('makes everything in an empty database, and nothing the second time', async () => {
    expect(await run()).toEqual({ applied: ALL, version: ALL.length })
    const before = await dump()
    expect(await run()).toEqual({ applied: [], version: ALL.length })
    expect(await dump()).toBe(before)
  })

  test('by eight processes at once is done by one of them', async () => {
    const reports = await Promise.all(Array.from({ length: 8 }, () => run()))
    expect(reports.filter(({ applied }) => applied.length > 0)).toEqual([{ applied: ALL, version: ALL.length }])
    expect(reports).toHaveLength(8)
  })

  test('sees what was committed while it waited, under a stricter default isolation, too', async () => {
    await query(`do $$ begin
      execute format('alter database %I set default_transaction_isolation = ''serializable''', current_database());
    end $$`)
    const reports = await Promise.all(Array.from({ length: 4 }, () => run()))
    expect(reports.flatMap(({ applied }) => applied)).toEqual(ALL)
  })

  test('takes names with quotes, capitals and placeholders as they are', async () => {
    const names = { schema: `${fresh.schema} "A":"table"`, table: `Se'ss :"schema" $$ \\ "x"` }
    try {
      expect((await run(names)).applied).toEqual(ALL)
      expect((await run(names)).applied).toEqual([])
      expect(await query(`select * from ${quoteIdentifier(names.schema)}.${quoteIdentifier(names.table)}`)).toEqual([])
    } finally {
      await query(`drop schema if exists ${quoteIdentifier(names.schema)} cascade`)
    }
  })

  test('keeps apart two tables in one schema', async () => {
    await run({ table: 'one' })
    expect((await run({ table: 'two' })).applied).toEqual(ALL)
    const indexes = await query(
      `select tablename, count(*)::int as n from pg_indexes where schemaname = '${fresh.schema}' and tablename <> 'migration' group by 1 order by 1`,
    )
    expect(indexes).toEqual([
      { tablename: 'one', n: 6 },
      { tablename: 'one_user_record', n: 1 },
      { tablename: 'two', n: 6 },
      { tablename: 'two_user_record', n: 1 },
    ])
  })

  test.each(['session', 'session_user_record'])('makes a dropped table again: %s', async (dropped) => {
    await run()
    const before = await dump()
    await query(`drop table ${fresh.schema}.${dropped}`)
    expect((await run()).applied).toEqual(ALL)
    expect(await dump()).toBe(before)
  })

  test('adopts a table whose records were lost', async () => {
    await run()
    const before = await dump()
    await query(`drop table ${fresh.schema}.migration`)
    expect((await run()).applied).toEqual(ALL)
    expect(await dump()).toBe(before)
  })

  test('refuses a schema that is newer than the program, and says so', async () => {
    await run()
    const newer = MIGRATIONS.length + 1
    await query(
      `insert into ${fresh.schema}.migration (table_name, number, name, checksum) values ('session', ${newer}, '${newer}_x', '')`,
    )
    await expect(run()).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringContaining('upgrade the program'),
    })
  })

  test('leaves a newer schema alone that this program still works with', async () => {
    await run()
    const newer = MIGRATIONS.length + 1
    await query(
      `insert into ${fresh.schema}.migration (table_name, number, name, checksum, compatible_from)
       values ('session', ${newer}, '${newer}_x', '', ${MIGRATIONS.length})`,
    )
    expect(await run()).toEqual({ applied: [], version: newer })
  })

  test('refuses a table that another migration of the same number made', async () => {
    await run()
    await query(`update ${fresh.schema}.migration set checksum = 'other'`)
    await expect(run()).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringContaining('another migration'),
    })
  })

  test('refuses a table of that name that is not ours, and leaves everything as it was', async () => {
    await query(`create schema ${fresh.schema} create table session (sid text, sess json, expire timestamp)`)
    const before = await dump()
    await expect(run()).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringContaining('something else'),
    })
    expect(await dump()).toBe(before)
  })

  test('refuses bad names before any statement', async () => {
    const silent: MigrationClient = {
      query: () => {
        throw new Error('a statement was sent')
      },
    }
    await expect(migrate(silent, { schema: 'a', table: 'migration' })).rejects.toMatchObject({ code: 'E_CONFIG' })
  })

  test('passes on what is not about the schema, as it came', async () => {
    const lost = new Error('connection lost')
    const broken: MigrationClient = { query: () => Promise.reject(lost) }
    await expect(migrate(broken, { schema: 'a', table: 'b' })).rejects.toBe(lost)
  })

  test('gives up waiting for another process when its time is over', async () => {
    await connected(fresh.connectionString, async (other) => {
      // The other one stops just before its commit, and holds what it holds.
      let stalled: () => void = () => {}
      const reached = new Promise<void>((resolve) => {
        stalled = resolve
      })
      let go: () => void = () => {}
      const gate = new Promise<void>((resolve) => {
        go = resolve
      })
      const slow: MigrationClient = {
        query: async (text, values) => {
          if (text === 'commit') {
            stalled()
            await gate
          }
          return other.query(text, values && [...values])
        },
      }
      const first = migrate(slow, { schema: fresh.schema, table: 'session' })
      await reached
      await expect(run({ timeoutMs: 100 })).rejects.toMatchObject({ code: '57014' })
      go()
      expect((await first).applied).toEqual(ALL)
    })
  })

  test('leaves the connection as it found it', async () => {
    await connected(fresh.connectionString, async (client) => {
      const settings = async (): Promise<unknown> =>
        (
          await client.query(
            `select current_setting('search_path') a, current_setting('statement_timeout') b, current_setting('lock_timeout') c,
             current_setting('client_min_messages') d, (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()) e`,
          )
        ).rows
      const before = await settings()
      await migrate(migrationClient(client), { schema: fresh.schema, table: 'session' })
      expect(await settings()).toEqual(before)
    })
  })

  test('needs no right to create anything once everything is there, and names the cure while it is not', async () => {
    const role = `${fresh.schema}_${Math.random().toString(36).slice(2)}`
    const asRole = (): Promise<MigrationReport> =>
      connected(fresh.connectionString, async (client) => {
        await client.query(`set session authorization ${role}`)
        return migrate(migrationClient(client), { schema: fresh.schema, table: 'session' })
      })
    await query(`create role ${role}`)
    try {
      await expect(asRole()).rejects.toMatchObject({
        code: 'E_BACKEND_SCHEMA',
        message: expect.stringContaining('npx nonstick setup'),
        cause: expect.objectContaining({ code: '42501' }),
      })
      await run()
      await expect(asRole()).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
      await query(`grant usage on schema ${fresh.schema} to ${role}`)
      await query(`grant select on ${fresh.schema}.migration to ${role}`)
      expect(await asRole()).toEqual({ applied: [], version: ALL.length })
    } finally {
      await query(`drop owned by ${role}`)
      await query(`drop role ${role}`)
    }
  })

  test('makes the schema of the snapshot', async () => {
    await run()
    expect(await dump()).toBe(readFileSync(new URL('../../snapshots/schema.sql', import.meta.url), 'utf8'))
  })
})
