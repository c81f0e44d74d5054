import { randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type PostgresOptions, postgres } from '../../../src/backends/postgres/index.js'
import type { Backend, Enumerable } from '../../../src/contract/backend.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { absent, skipUnless } from '../../support/skip.js'
import { clusterForThisFile } from './cluster.js'
import { type Pgbouncer, pgbouncerProgram, startPgbouncer } from './pgbouncer.js'

const program = pgbouncerProgram()

/** The rules are about what is done, and not about how fast. */
const PATIENCE = { queryTimeoutMs: 60_000, connectTimeoutMs: 60_000 }

skipUnless('through pgbouncer in transaction mode', program ?? absent('there is no pgbouncer here'), (path) => {
  const cluster = clusterForThisFile()
  let pgbouncer: Pgbouncer | undefined
  beforeAll(async () => {
    pgbouncer = await startPgbouncer(path, cluster().url)
  })
  afterAll(() => pgbouncer?.stop())
  const connectionString = (): string => pgbouncer?.url ?? ''

  backendContract(test, {
    name: 'postgres',
    open: async () => {
      const { schema, table } = cluster()
      return { backend: postgres({ connectionString: connectionString(), schema, table, ...PATIENCE }) }
    },
    now: () => cluster().now(),
    purgeResolutionMs: 3_600_000,
  })

  test('migrations run at first use, from several backends at once', async () => {
    const schema = `test_${randomBytes(6).toString('hex')}`
    const backends = Array.from({ length: 3 }, () =>
      postgres({ connectionString: connectionString(), schema, migrate: true, ...PATIENCE }),
    )
    try {
      const locator = sampleLocator()
      const outcomes = await Promise.all(backends.map((backend) => backend.insert(locator, storedSession())))
      expect(outcomes.filter(({ outcome }) => outcome === 'inserted')).toHaveLength(1)
    } finally {
      await Promise.all(backends.map((backend) => backend.close()))
      await cluster().query(`drop schema if exists "${schema}" cascade`)
    }
  })

  test('a statement time-out is set for one transaction and stays on no connection', async () => {
    const { schema, table } = cluster()
    const backend = postgres({ connectionString: connectionString(), schema, table, statementTimeoutMs: 1_234 })
    const plain = postgres({ connectionString: connectionString(), schema, table, ...PATIENCE })
    try {
      const locator = sampleLocator()
      expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
      expect((await plain.read(locator)).state).toBe('live')
      expect((await backend.update([])).length).toBe(0)
    } finally {
      await backend.close()
      await plain.close()
    }
  })
})

skipUnless('through pgbouncer in statement mode', program ?? absent('there is no pgbouncer here'), (path) => {
  const cluster = clusterForThisFile()
  let pgbouncer: Pgbouncer | undefined
  beforeAll(async () => {
    pgbouncer = await startPgbouncer(path, cluster().url, { pool_mode: 'statement' })
  })
  afterAll(() => pgbouncer?.stop())
  const open = (options: PostgresOptions = {}): Backend & Enumerable => {
    const { schema, table } = cluster()
    return postgres({ connectionString: pgbouncer?.url ?? '', schema, table, ...PATIENCE, ...options })
  }

  backendContract(test, {
    name: 'postgres',
    // A set-up is one transaction, so it goes to the server itself, as the documentation says.
    open: async () => {
      const direct = open({ connectionString: cluster().url })
      const backend = open()
      const setUp = async (): Promise<void> => {
        await backend.health() // rejects once it was closed
        await direct.setUp()
      }
      Object.assign(backend, { setUp })
      return { backend, close: () => direct.close() }
    },
    now: () => cluster().now(),
    purgeResolutionMs: 3_600_000,
  })

  test('what needs a transaction is refused with the cure, and health says so: `migrate` and `statementTimeoutMs`', async () => {
    const words = expect.stringContaining('the pooler is in statement mode, which knows no transactions')
    for (const options of [{ migrate: true }, { statementTimeoutMs: 5_000 }]) {
      const backend = open(options)
      await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({
        applied: 'no',
        message: words,
      })
      expect(await backend.health()).toMatchObject({ state: 'down', reason: words })
      await backend.close()
    }
    const backend = open()
    expect((await backend.health()).state).toBe('up')
    await backend.close()
  })
})
