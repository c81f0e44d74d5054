import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { absent, skipUnless } from '../../support/skip.js'
import { clusterForThisFile } from './cluster.js'
import { pgbouncerProgram, startPgbouncer } from './pgbouncer.js'

const cluster = clusterForThisFile()

/** Holds the table as an `alter table` does that was forgotten, while `work` is done. */
const whileLocked = async (work: () => Promise<void>): Promise<void> => {
  const { url, schema, table } = cluster()
  const forgotten = new pg.Client({ connectionString: url, application_name: 'forgotten' })
  forgotten.on('error', () => {})
  await forgotten.connect()
  await forgotten.query('begin')
  await forgotten.query(`lock table "${schema}"."${table}" in access exclusive mode`)
  try {
    await work()
  } finally {
    await forgotten.query('rollback')
    await forgotten.end()
  }
}

/** How many statements wait for that lock at the server. */
const waiting = async (): Promise<number> =>
  Number((await cluster().query(`select count(*) as n from pg_stat_activity where wait_event_type = 'Lock'`)).rows[0].n)

/** Many calls that are given up while the table is locked leave nothing behind, and never more than the pool has. */
const leavesNothingBehind = async (options: PostgresOptions, mostAtOnce: number): Promise<void> => {
  const { schema, table } = cluster()
  const backend = postgres({ schema, table, queryTimeoutMs: 1_000, ...options })
  let most = 0
  await whileLocked(async () => {
    for (let round = 0; round < 4; round += 1) {
      const calls = [
        ...Array.from({ length: 8 }, () => backend.read(sampleLocator())),
        backend.insert(sampleLocator(), storedSession()),
        backend.destroy(sampleLocator(), { writeId: sampleWriteId(), at: 1, keepUntil: 2 }),
        backend.health(),
      ]
      const settled = Promise.allSettled(calls)
      for (let look = 0; look < 3; look += 1) most = Math.max(most, await waiting())
      for (const outcome of await settled)
        if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
        else expect(outcome.value).toMatchObject({ state: 'down' })
      most = Math.max(most, await waiting())
    }
    expect(most).toBeGreaterThan(0)
    expect(most).toBeLessThanOrEqual(mostAtOnce)
    // The lock is still held: whatever is gone was cancelled.
    await expect.poll(waiting, { timeout: 15_000 }).toBe(0)
  })
  const isWell = async () => (await backend.health()).state
  await expect.poll(isWell, { timeout: 15_000 }).toBe('up')
  await backend.close()
}

describe('statements that were given up behind a lock', () => {
  test('are cancelled at the server', async () => {
    await leavesNothingBehind({ connectionString: cluster().url, maxConnections: 3 }, 3)
  }, 60_000)

  test('are cancelled with a given pool, and with a time-out for each transaction', async () => {
    const pool = new pg.Pool({ connectionString: cluster().url, max: 3 })
    pool.on('error', () => {})
    await leavesNothingBehind({ pool, statementTimeoutMs: 60_000 }, 3)
    await pool.end()
  }, 60_000)

  test('of health are one, however many ask', async () => {
    const { url, schema, table } = cluster()
    const backend = postgres({ connectionString: url, schema, table, queryTimeoutMs: 3_000 })
    await whileLocked(async () => {
      const asked = Promise.all(Array.from({ length: 40 }, () => backend.health()))
      await expect.poll(waiting, { timeout: 10_000 }).toBe(1)
      expect((await asked).map(({ state }) => state)).toEqual(Array(40).fill('down'))
    })
    await backend.close()
  }, 60_000)

  test('hold up neither close nor the calls that come after the lock', async () => {
    const { url, schema, table } = cluster()
    const backend = postgres({ connectionString: url, schema, table, queryTimeoutMs: 500, maxConnections: 1 })
    await whileLocked(async () => {
      await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
      await backend.close()
      await expect.poll(waiting, { timeout: 15_000 }).toBe(0)
    })
  }, 60_000)
})

skipUnless('behind pgbouncer', pgbouncerProgram() ?? absent('there is no pgbouncer here'), (program) => {
  test('statements that were given up behind a lock are cancelled at the server', async () => {
    const pgbouncer = await startPgbouncer(program, cluster().url)
    await leavesNothingBehind({ connectionString: pgbouncer.url, maxConnections: 3 }, 3)
    await pgbouncer.stop()
  }, 60_000)
})

describe('for a process that dies and cancels nothing, the server gives up by itself', () => {
  /** The time-outs that hold while a session is inserted, as the table itself sees them. */
  const limitsOf = async (options: PostgresOptions) => {
    const { schema, query } = cluster()
    const table = `seen_${randomBytes(4).toString('hex')}`
    await query(`create table "${schema}"."${table}" (like "${schema}"."session" including all)`)
    await query(`create table "${schema}"."${table}_limits" (statement text, idle text)`)
    await query(`create function "${schema}"."${table}_note"() returns trigger language plpgsql as $$ begin
      insert into "${schema}"."${table}_limits"
      values (current_setting('statement_timeout'), current_setting('idle_in_transaction_session_timeout'));
      return new; end $$`)
    await query(`create trigger note before insert on "${schema}"."${table}"
      for each row execute function "${schema}"."${table}_note"()`)
    const backend = postgres({ schema, table, queryTimeoutMs: 20_000, ...options })
    await backend.insert(sampleLocator(), storedSession())
    await backend.close()
    return (await query(`select * from "${schema}"."${table}_limits"`)).rows[0]
  }

  test('where nobody has set it a time-out, and otherwise by the one that was set', async () => {
    const { url, query } = cluster()
    expect(await limitsOf({ connectionString: url })).toEqual({ statement: '28s', idle: '28s' })
    const role = `limited_${randomBytes(4).toString('hex')}`
    await query(`create role "${role}" login superuser password 'limited'`)
    await query(`alter role "${role}" set statement_timeout = '9s'`)
    const as = new URL(url)
    as.username = role
    as.password = 'limited'
    expect(await limitsOf({ connectionString: as.href })).toEqual({ statement: '9s', idle: '28s' })
    await query(`drop role "${role}"`)
  })

  test('and a given pool, whose connections others use too, is left as it is', async () => {
    const pool = new pg.Pool({ connectionString: cluster().url, max: 1 })
    pool.on('error', () => {})
    expect(await limitsOf({ pool })).toEqual({ statement: '0', idle: '0' })
    expect((await pool.query('show statement_timeout')).rows).toEqual([{ statement_timeout: '0' }])
    await pool.end()
  })
})
