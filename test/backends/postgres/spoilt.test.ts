import { writeFileSync } from 'node:fs'
import { connect, createServer, type Socket } from 'node:net'
import { join } from 'node:path'
import pg from 'pg'
import { describe, expect, test } from 'vitest'
import { type PostgresServer, startPostgres } from '../../../scripts/servers/index.js'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import { createSessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { absent, skipUnless } from '../../support/skip.js'
import { clusterForThisFile } from './cluster.js'
import { pgbouncerProgram, startPgbouncer } from './pgbouncer.js'

const cluster = clusterForThisFile()
const PATIENT = { queryTimeoutMs: 20_000, connectTimeoutMs: 20_000 }

/** A clock by which connections grow old while nobody waits. */
const ageing = () => {
  const clock = { laterMs: 0 }
  const runtime = { ...systemRuntime, monotonicMs: () => performance.now() + clock.laterMs }
  return { clock, runtime }
}

const poolOf = (connectionString: string, options: pg.PoolConfig = {}) => {
  const pool = new pg.Pool({ connectionString, max: 1, ...options })
  pool.on('error', () => {})
  return pool
}

/** What somebody else who shares the pool may do to one of its connections. */
const SPOILINGS: readonly (readonly [string, readonly string[]])[] = [
  ['made to read only', ['set session characteristics as transaction read only']],
  ['given another role', ['set role pg_monitor']],
  ['robbed of its prepared statements', ['deallocate all']],
  ['left in a transaction', ['begin']],
  ['left in a transaction that failed', ['begin', 'select 1 / 0']],
]

test.each(SPOILINGS)(
  'a connection that was %s by somebody else is given up, and its call done elsewhere',
  async (_, spoiling) => {
    const { url, schema, table } = cluster()
    const pool = poolOf(url)
    const { clock, runtime } = ageing()
    const backend = postgres({ pool, schema, table, runtime, namedStatements: true, queryTimeoutMs: 20_000 })
    const locator = sampleLocator()
    await backend.insert(locator, storedSession())
    for (const call of [
      async () => (await backend.read(locator)).state === 'live',
      async () => (await backend.insert(sampleLocator(), storedSession())).outcome === 'inserted',
      async () => (await backend.health()).state === 'up',
    ]) {
      const client = await pool.connect()
      for (const text of spoiling) await client.query(text).catch(() => {})
      client.release()
      clock.laterMs += 60_000
      expect(await call()).toBe(true)
    }
    await backend.close()
    await pool.end()
  },
)

test('a change in a transaction that somebody left open is not acknowledged: it would be rolled back with it', async () => {
  const { url, schema, table } = cluster()
  const pool = poolOf(url)
  const backend = postgres({ pool, schema, table, queryTimeoutMs: 20_000 })
  const client = await pool.connect()
  await client.query('begin')
  client.release()
  const locator = sampleLocator()
  expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
  await backend.close()
  await pool.end()
  const other = postgres({ connectionString: url, schema, table, ...PATIENT })
  expect((await other.read(locator)).state).toBe('live')
  await other.close()
})

describe('a server that only reads', () => {
  test('refuses changes, which is an answer: reads go on, no breaker opens, and connections are not thrown away', async () => {
    const { url, schema, table, query } = cluster()
    const role = `reader_${schema}`
    await query(`create role "${role}" login in role "${new URL(url).username}" password 'reader'`)
    await query(`alter role "${role}" set default_transaction_read_only = on`)
    const as = new URL(url)
    as.username = role
    as.password = 'reader'
    const pool = poolOf(as.href)
    let opened = 0
    pool.on('connect', () => {
      opened += 1
    })
    const frozen = { ...systemRuntime, monotonicMs: () => 0 }
    const backend = postgres({ pool, schema, table, runtime: frozen, queryTimeoutMs: 20_000 })
    const writer = createSessionStore({
      cache: memoryCache(),
      backend: postgres({ connectionString: url, schema, table, ...PATIENT }),
      backendTimeoutMs: 20_000,
      deadlineMs: 60_000,
    })
    const store = createSessionStore({
      cache: memoryCache(),
      backend,
      breakerFailures: 1,
      backendTimeoutMs: 20_000,
      deadlineMs: 60_000,
    })
    const { id } = await writer.create({ n: 1 })
    for (let count = 0; count < 20; count += 1)
      await expect(store.create({})).rejects.toMatchObject({
        code: 'E_SESSION_UNAVAILABLE',
        applied: 'no',
        answered: true,
        message: expect.stringContaining('25006'),
      })
    expect((await store.load(id))?.data).toEqual({ n: 1 })
    expect(opened).toBe(1)
    const health = await backend.health()
    expect(health).toMatchObject({ state: 'down', reason: expect.stringContaining('only reads') })
    await Promise.all([store.close(), writer.close()])
    await pool.end()
    await query(`drop role "${role}"`)
  })

  test('is left for the one to which the address leads after a failover, with all its connections', async () => {
    const [old, next] = await Promise.all([
      startPostgres({ useEnvironment: false, fsync: false }),
      startPostgres({ useEnvironment: false, fsync: false }),
    ])
    const address = await movableAddress(old)
    const connectionString = address.url()
    const backend = postgres({ connectionString, migrate: true, maxConnections: 4, ...PATIENT })
    try {
      for (const server of [old, next]) await withAdmin(server, (admin) => setUpAt(server, admin))
      await Promise.all(Array.from({ length: 8 }, () => backend.insert(sampleLocator(), storedSession())))
      await withAdmin(old, async (admin) => {
        await admin.query('alter system set default_transaction_read_only = on')
        await admin.query('select pg_reload_conf()')
      })
      await expect
        .poll(async () => (await backend.insert(sampleLocator(), storedSession()).catch(() => undefined))?.outcome, {
          timeout: 15_000,
        })
        .toBeUndefined()
      address.leadTo(next)
      const insert = async () =>
        (await backend.insert(sampleLocator(), storedSession()).catch(() => undefined))?.outcome
      await expect.poll(insert, { timeout: 30_000 }).toBe('inserted')
      const outcomes = await Promise.all(Array.from({ length: 16 }, insert))
      expect(outcomes.filter((outcome) => outcome === 'inserted').length).toBeGreaterThan(12)
      await expect.poll(async () => (await backend.health()).state, { timeout: 15_000 }).toBe('up')
    } finally {
      await backend.close()
      address.close()
      await Promise.all([old.stop(), next.stop()])
    }
  }, 120_000)

  test('is read by a process that was started with `migrate` while only a standby was there, and written to once it is promoted', async () => {
    const server = await startPostgres({ useEnvironment: false, fsync: false })
    const options: PostgresOptions = { connectionString: server.adminUrl, migrate: true, ...PATIENT }
    const before = postgres(options)
    const locator = sampleLocator()
    await before.insert(locator, storedSession())
    await before.close()
    await withAdmin(server, async (admin) => {
      const { rows } = await admin.query('show data_directory')
      writeFileSync(join(rows[0].data_directory, 'standby.signal'), '')
    })
    await server.restart()
    const backend = postgres(options)
    try {
      expect((await backend.read(locator)).state).toBe('live')
      expect((await backend.read(sampleLocator())).state).toBe('absent')
      expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('standby') })
      await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({
        applied: 'no',
        answered: true,
      })
      await withAdmin(server, (admin) => admin.query('select pg_promote()'))
      const insert = async () =>
        (await backend.insert(sampleLocator(), storedSession()).catch(() => undefined))?.outcome
      await expect.poll(insert, { timeout: 30_000 }).toBe('inserted')
      expect((await backend.health()).state).toBe('up')
    } finally {
      await backend.close()
      await server.stop()
    }
  }, 120_000)
})

skipUnless('behind pgbouncer', pgbouncerProgram() ?? absent('there is no pgbouncer here'), (program) => {
  test('a connection of the pooler’s that was made to read only is ended, and others are opened', async () => {
    const { url, schema, table } = cluster()
    const pgbouncer = await startPgbouncer(program, url)
    const { clock, runtime } = ageing()
    const backend = postgres({ connectionString: pgbouncer.url, schema, table, runtime, ...PATIENT })
    const spoilers = [poolOf(pgbouncer.url), poolOf(pgbouncer.url)]
    try {
      await backend.insert(sampleLocator(), storedSession())
      // Both of the pooler's connections to the server, each held by a transaction while the other is spoilt.
      const clients = await Promise.all(spoilers.map((pool) => pool.connect()))
      for (const client of clients) await client.query('begin')
      for (const client of clients) await client.query('set session characteristics as transaction read only')
      for (const client of clients) await client.query('commit')
      const readOnly = await Promise.all(clients.map((client) => client.query('show transaction_read_only')))
      expect(readOnly.map(({ rows }) => rows[0].transaction_read_only)).toEqual(['on', 'on'])
      for (const client of clients) client.release()
      const insert = async () => {
        clock.laterMs += 60_000
        return (await backend.insert(sampleLocator(), storedSession()).catch(() => undefined))?.outcome
      }
      await expect.poll(insert, { timeout: 15_000 }).toBe('inserted')
    } finally {
      await backend.close()
      for (const pool of spoilers) await pool.end()
      await pgbouncer.stop()
    }
  })
})

const withAdmin = async (server: PostgresServer, work: (admin: pg.Client) => Promise<unknown>): Promise<void> => {
  const admin = new pg.Client({ connectionString: server.adminUrl })
  admin.on('error', () => {})
  await admin.connect()
  await work(admin)
  await admin.end()
}

/** The table, and a role that both servers know with the same password. */
const setUpAt = async (server: PostgresServer, admin: pg.Client): Promise<void> => {
  await admin.query("create role app login superuser password 'app'")
  const backend = postgres({ connectionString: server.adminUrl, migrate: true, ...PATIENT })
  await backend.setUp()
  await backend.close()
}

/** A host name that leads to one server and then to another; what is open stays where it is. */
const movableAddress = async (first: PostgresServer) => {
  let target = first
  const sockets = new Set<Socket>()
  const server = createServer((near) => {
    const far = connect(target.port, '127.0.0.1')
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one)
      one.on('error', () => {}).on('close', () => other.destroy())
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  return {
    url: () => `postgres://app:app@127.0.0.1:${port}/postgres`,
    leadTo: (next: PostgresServer) => {
      target = next
    },
    close: () => {
      server.close()
      for (const socket of sockets) socket.destroy()
    },
  }
}
