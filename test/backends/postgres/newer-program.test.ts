import { afterEach, expect, test, vi } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { MIGRATIONS } from '../../../src/backends/postgres/migrations.js'
import type { Backend } from '../../../src/contract/backend.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'

/** This file's program is the next release: it knows one migration more, which older programs can live with. */
vi.mock('../../../src/backends/postgres/migrations.js', async (original) => {
  const released = await original<typeof import('../../../src/backends/postgres/migrations.js')>()
  const number = released.MIGRATIONS.length + 1
  const name = `${String(number).padStart(4, '0')}_note`
  const sql = 'alter table :"schema".:"table" add column note text;'
  return {
    ...released,
    MIGRATIONS: [...released.MIGRATIONS, { number, name, compatibleFrom: number - 1, checksum: 'of the next', sql }],
  }
})

const cluster = clusterForThisFile()
const opened: Backend[] = []
const open = (options: PostgresOptions = {}): Backend => {
  const { url, schema, table } = cluster()
  const backend = postgres({ connectionString: url, schema, table, queryTimeoutMs: 20_000, ...options })
  opened.push(backend)
  return backend
}
afterEach(async () => {
  await Promise.all(opened.splice(0).map((backend) => backend.close()))
})

test('a newer program on an older table says which command to run, by calls and by health, and works after it', async () => {
  const { schema, table, query } = cluster()
  // As the release before it left the table.
  await query(`alter table "${schema}"."${table}" drop column note`)
  await query(`delete from "${schema}".migration where number = $1`, [MIGRATIONS.length])
  const backend = open()
  const words = expect.stringMatching(
    /is of an older nonstick, and lacks the migration \d{4}_note; run `npx nonstick setup`, or let the program do it with `postgres\(\{ migrate: true \}\)`$/,
  )
  await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA', message: words })
  await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({
    message: words,
    applied: 'no',
  })
  expect(await backend.health()).toMatchObject({ state: 'down', reason: words })

  expect((await open({ migrate: true }).insert(sampleLocator(), storedSession())).outcome).toBe('inserted')
  expect((await backend.health()).state).toBe('up')
  expect((await backend.insert(sampleLocator(), storedSession())).outcome).toBe('inserted')
})

test('what a migration says of older programs is recorded with it', async () => {
  const { schema, query } = cluster()
  await open({ migrate: true }).read(sampleLocator())
  const { rows } = await query(`select number, compatible_from from "${schema}".migration order by number`)
  expect(rows).toEqual(MIGRATIONS.map(({ number, compatibleFrom }) => ({ number, compatible_from: compatibleFrom })))
  expect(rows.at(-1)).toEqual({ number: MIGRATIONS.length, compatible_from: MIGRATIONS.length - 1 })
})
