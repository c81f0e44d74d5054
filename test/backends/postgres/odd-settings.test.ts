import pg from 'pg'
import { afterAll, expect, test } from 'vitest'
import { type PostgresPool, postgres } from '../../../src/backends/postgres/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'
import { clusterForThisFile } from './cluster.js'

const cluster = clusterForThisFile()

// The whole contract, with all that an application may have set on its connections and taught the module `pg`.
const SETTINGS = {
  standard_conforming_strings: 'off',
  escape_string_warning: 'off',
  bytea_output: 'escape',
  datestyle: 'German,DMY',
  timezone: 'Pacific/Kiritimati',
  extra_float_digits: '-15',
  default_transaction_isolation: 'serializable',
}
const [BOOL, BYTEA, INT8, INT2, INT4, TEXT] = [16, 17, 20, 21, 23, 25]
for (const type of [BOOL, BYTEA, INT8, INT2, INT4, TEXT])
  pg.types.setTypeParser(type as number, (text: string) => ({ odd: text.length }))

const pools: pg.Pool[] = []
afterAll(async () => {
  for (const pool of pools) await pool.end()
})

backendContract(test, {
  name: 'postgres with odd settings',
  open: async () => {
    const { url, schema, table } = cluster()
    const options = Object.entries(SETTINGS)
      .map(([name, value]) => `-c ${name}=${value}`)
      .join(' ')
    const pool = new pg.Pool({ connectionString: url, options })
    pool.on('error', () => {})
    pools.push(pool)
    return { backend: postgres({ pool, schema, table, queryTimeoutMs: 30_000 }) }
  },
  now: () => cluster().now(),
  purgeResolutionMs: 3_600_000,
})

test('a pool that asks for binary values is refused, and noticed where that does not show: pg damages bytes in them', async () => {
  const { url, schema, table } = cluster()
  const binary = { binary: true } as pg.PoolConfig
  expect(() => postgres({ pool: new pg.Pool(binary) })).toThrow(/`pool`.*`binary`/)
  const pool = new pg.Pool({ connectionString: url, ...binary })
  pool.on('error', () => {})
  pools.push(pool)
  const wrapped: PostgresPool = {
    connect: () => pool.connect(),
    on: (event, listener) => pool.on(event, listener),
    removeListener: (event, listener) => pool.removeListener(event, listener),
    listenerCount: (event) => pool.listenerCount(event),
  }
  const backend = postgres({ pool: wrapped, schema, table, queryTimeoutMs: 30_000 })
  await expect(backend.read(sampleLocator())).rejects.toMatchObject({
    message: expect.stringContaining('`binary: true`'),
  })
  await backend.close()
})
