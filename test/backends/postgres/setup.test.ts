import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { compatibleFromOf, migrationsModule } from '../../../scripts/build-migrations.js'
import { migrate } from '../../../src/backends/postgres/migrate.js'
import { checkTableNames, quoteIdentifier, render } from '../../../src/backends/postgres/setup-names.js'
import { dumpSchema } from '../../../src/cli/doctor/schema-dump.js'
import { type FreshSchema, freshSchema, sharedPostgres, skipUnless } from '../../support/servers.js'
import { connected } from './reload-support.js'

const SNAPSHOT = new URL('../../snapshots/schema.sql', import.meta.url)
const EXPECTED = new URL('../../../src/cli/doctor/expected-schema.ts', import.meta.url)
const RELEASED = new URL('../../snapshots/migrations.sha256', import.meta.url)
const SQL = new URL('../../../sql/', import.meta.url)
const MODULE = new URL('../../../src/backends/postgres/migrations.ts', import.meta.url)

/** What the command carries along of the snapshot: all but the comments, which nothing depends on. */
const expectedSchemaModule = (
  dump: string,
): string => `// Written by test/backends/postgres/setup.test.ts from test/snapshots/schema.sql. Change that, not this.

/** What the migrations make in a schema called nonstick, with a table called session: a line for each thing. */
export const EXPECTED_SCHEMA: string = \`${dump.replace(/ -- .*$/gm, '').replaceAll('\\', '\\\\')}\`
`

describe('the migrations', () => {
  test('in the module are those in sql/', () => {
    expect(readFileSync(MODULE, 'utf8'), 'run: npx tsx scripts/build-migrations.ts').toBe(migrationsModule())
  })

  test('say by a line which older programs still work, and by none that none does', () => {
    expect(compatibleFromOf('0007_x.sql', '-- A column more.\n-- compatible from: 0003\n\nalter …')).toBe(3)
    expect(compatibleFromOf('0007_x.sql', '-- A column less.\n\nalter …')).toBe(7)
    for (const line of ['0008', '0000', '3', '0003 or so'])
      expect(() => compatibleFromOf('0007_x.sql', `-- compatible from: ${line}\n`)).toThrow('expected a line')
  })

  test('are never edited once recorded, and all are recorded', () => {
    const recorded = readFileSync(RELEASED, 'utf8')
    const present = readdirSync(SQL)
      .filter((name) => name.endsWith('.sql'))
      .sort()
      .map((name) => {
        const text = readFileSync(new URL(name, SQL), 'utf8').replaceAll('\r\n', '\n')
        return `${createHash('sha256').update(text, 'utf8').digest('hex')}  ${name}\n`
      })
      .join('')
    expect(
      present,
      'a migration that was released is history: leave it and add one; a new one gets a line in test/snapshots/migrations.sha256',
    ).toBe(recorded)
  })
})

describe('names', () => {
  test('are put where the placeholders are, in one pass, quoted', () => {
    const names = { schema: ':"table"', table: 'My "own"' }
    expect(render('create index :"table_user_id" on :"schema".:"table"', names)).toBe(
      'create index "My ""own""_user_id" on ":""table"""."My ""own"""',
    )
    expect(quoteIdentifier('a"b')).toBe('"a""b"')
  })

  test.each([
    ['schema', { schema: '', table: 'session' }],
    ['schema', { schema: 'a\nb', table: 'session' }],
    ['schema', { schema: 'ü'.repeat(32), table: 'session' }],
    ['table', { schema: 'nonstick', table: 'x'.repeat(41) }],
    ['table', { schema: 'nonstick', table: 'migration' }],
    ['table', { schema: 'nonstick', table: 'a\0' }],
  ])('that Postgres would refuse, cut off or confuse are refused: %s', (option, names) => {
    expect(() => checkTableNames(names)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
    expect(() => checkTableNames(names)).toThrow(`\`${option}\``)
  })
})

skipUnless('the schema in PostgreSQL', await sharedPostgres(), (postgres) => {
  let fresh: FreshSchema
  beforeAll(async () => {
    fresh = await freshSchema(postgres)
    await connected(fresh.connectionString, (client) =>
      migrate(
        { query: (text, values) => client.query(text, values && [...values]) },
        { schema: fresh.schema, table: 'session' },
      ),
    )
  })
  afterAll(() => fresh.drop())

  test('is the one in test/snapshots/schema.sql', async () => {
    const dump = await connected(fresh.connectionString, (client) => dumpSchema(client, fresh.schema))
    if (process.env['NONSTICK_UPDATE_SNAPSHOTS'] === '1') {
      writeFileSync(SNAPSHOT, dump)
      writeFileSync(EXPECTED, expectedSchemaModule(dump))
    }
    expect(dump, 'if it is meant to differ, run this test with NONSTICK_UPDATE_SNAPSHOTS=1 and read the diff').toBe(
      readFileSync(SNAPSHOT, 'utf8'),
    )
  })

  test('is the one that nonstick doctor expects', () => {
    expect(readFileSync(EXPECTED, 'utf8'), 'run the test above with NONSTICK_UPDATE_SNAPSHOTS=1').toBe(
      expectedSchemaModule(readFileSync(SNAPSHOT, 'utf8')),
    )
  })

  const insert = (columns: Readonly<Record<string, string>>): Promise<unknown> => {
    const row = {
      namespace: "'test'",
      id_hash: "decode(md5(random()::text), 'hex')",
      lineage: "decode('0102030405060708', 'hex')",
      version: '1',
      data: "decode('00', 'hex')",
      created_at: 'now()',
      seen_at: 'now()',
      expires_at: 'now()',
      absolute_expires_at: 'now()',
      purge_hour: '1',
      ...columns,
    }
    return connected(fresh.connectionString, (client) =>
      client.query(
        `insert into ${fresh.schema}.session (${Object.keys(row).join(', ')}) values (${Object.values(row).join(', ')})`,
      ),
    )
  }

  test('takes a live session and a tombstone', async () => {
    await insert({})
    await insert({ data: 'null', destroyed_at: 'now()', keep_until: 'now()' })
  })

  test.each([
    ['a live session without data', { data: 'null' }, 'live_has_data_and_a_tombstone_none'],
    ['a tombstone with data', { destroyed_at: 'now()', keep_until: 'now()' }, 'live_has_data_and_a_tombstone_none'],
    ['a tombstone without an end', { data: 'null', destroyed_at: 'now()' }, 'only_a_tombstone_is_kept'],
    ['a short lineage', { lineage: "decode('01', 'hex')" }, 'lineage_is_eight_bytes'],
    ['half a write id', { write_ids: "decode('01020304', 'hex')" }, 'write_ids_are_eight_bytes_each'],
    ['nine write ids', { write_ids: "decode(repeat('00', 72), 'hex')" }, 'write_ids_are_eight_bytes_each'],
    ['a negative version', { version: '-1' }, 'version_is_not_negative'],
    ['a codec beyond a byte', { codec: '256' }, 'codec_is_a_byte'],
    ['negative reads', { reads: '-1' }, 'reads_and_writes_are_not_negative'],
    ['a user without his hash', { user_id: "'ada'" }, 'user_hash_is_that_of_the_user'],
    ['a hash without its user', { user_hash: "sha256('ada')" }, 'user_hash_is_that_of_the_user'],
    ['another’s hash', { user_id: "'ada'", user_hash: "sha256('eve')" }, 'user_hash_is_that_of_the_user'],
    [
      'a tombstone that is somebody’s',
      {
        ...{ data: 'null', destroyed_at: 'now()', keep_until: 'now()' },
        ...{ user_id: "'ada'", user_hash: "sha256('ada')" },
      },
      'a_tombstone_is_nobodys',
    ],
    ['no hash', { id_hash: "''" }, 'id_hash_is_short'],
    ['a negative time-out', { idle_ttl_ms: '-1' }, 'idle_ttl_is_not_negative'],
  ])('refuses %s', async (_title, columns, constraint) => {
    await expect(insert(columns)).rejects.toMatchObject({ code: '23514', constraint })
  })

  test('keeps an update on its page that changes neither hour nor user', async () => {
    const noon = "timestamptz '2026-01-01 12:00 UTC'"
    await insert({ id_hash: "decode('aa', 'hex')", seen_at: noon, expires_at: `${noon} + interval '1 hour'` })
    const hot = await connected(fresh.connectionString, async (client) => {
      for (let version = 2; version <= 11; version += 1)
        await client.query(
          `update ${fresh.schema}.session
           set version = $1, data = decode('01', 'hex'),
             seen_at = seen_at + interval '5 minutes', expires_at = expires_at + interval '5 minutes'
           where id_hash = decode('aa', 'hex')`,
          [version],
        )
      // What a session has counted reaches the views when it says so.
      await client.query('select pg_stat_force_next_flush()')
      const { rows } = await client.query(
        `select n_tup_upd as updates, n_tup_hot_upd as hot from pg_stat_user_tables
         where schemaname = $1 and relname = 'session'`,
        [fresh.schema],
      )
      return rows[0]
    })
    expect(hot).toEqual({ updates: '10', hot: '10' })
  })
})
