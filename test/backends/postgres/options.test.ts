import { EventEmitter } from 'node:events'
import { inspect } from 'node:util'
import pg from 'pg'
import { expect, test } from 'vitest'
import { type PostgresOptions, type PostgresPool, postgres } from '../../../src/backends/postgres/index.js'
import { resolvePostgresOptions } from '../../../src/backends/postgres/options.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'

const SECRET = 'b4d-s3cret'

const complaintOf = (options: unknown): string => {
  try {
    postgres(options as PostgresOptions)
  } catch (error) {
    expect(error).toMatchObject({ code: 'E_CONFIG' })
    expect(inspect(error, { depth: 9 })).not.toContain(SECRET)
    return (error as Error).message
  }
  return ''
}

test('the defaults are those of the documentation', () => {
  const { source, runtime, log, ...rest } = resolvePostgresOptions({}, {})
  expect(rest).toEqual({
    schema: 'nonstick',
    table: 'session',
    migrate: false,
    partitions: undefined,
    queryTimeoutMs: 2_000,
    statementTimeoutMs: 0,
    namedStatements: false,
    maxDataBytes: 16_777_216,
  })
  expect(source).toEqual({
    open: {
      host: 'localhost',
      port: 5432,
      ssl: false,
      sslnegotiation: 'postgres',
      max: 10,
      connectionTimeoutMillis: 2_000,
      application_name: 'nonstick',
    },
  })
})

test.each([
  ['an option that does not exist', { schemas: 'x' }, '`schemas`'],
  ['a misspelt option with a secret', { pasword: SECRET }, '`pasword`'],
  ['a schema that is no name', { schema: '' }, '`schema`'],
  ['a table name that Postgres would cut', { table: 'x'.repeat(64) }, '`table`'],
  ['a port out of range', { port: 70_000 }, '`port`'],
  ['no connections at all', { maxConnections: 0 }, '`maxConnections`'],
  ['a time-out of 0', { queryTimeoutMs: 0 }, '`queryTimeoutMs`'],
  ['a time-out longer than timers can be', { connectTimeoutMs: 2 ** 31 }, '`connectTimeoutMs`'],
  ['a negative time-out', { statementTimeoutMs: -1 }, '`statementTimeoutMs`'],
  ['a text for a yes or no', { migrate: 'yes' }, '`migrate`'],
  ['a pool that is none', { pool: { query: () => {} } }, '`pool`'],
  ['a connection string that is none', { connectionString: 7 }, '`connectionString`'],
  ['a connection string that cannot be read', { connectionString: `postgres://u:${SECRET}@h:port/` }, 'connection'],
  ['a password that is none', { password: 7 }, '`password`'],
  [
    'no object',
    `postgres://u:${SECRET}@localhost/db`,
    '`postgres(options)` to be an object such as `{ connectionString }`',
  ],
])('%s is refused by name', (_, options, words) => {
  expect(complaintOf(options)).toContain(words)
})

test('naming the server in two ways is refused, and no secret is repeated', () => {
  const connectionString = `postgres://user:${SECRET}@localhost/db`
  const pool = new pg.Pool({ connectionString })
  expect(complaintOf({ connectionString, pool })).toContain('`connectionString`')
  expect(complaintOf({ connectionString, host: 'localhost' })).toContain('`host`')
  expect(complaintOf({ connectionString, password: SECRET })).toContain('`password`')
  expect(complaintOf({ pool, database: 'db' })).toContain('`database`')
  expect(complaintOf({ pool, maxConnections: 3 })).toContain('`maxConnections`')
  expect(complaintOf({ pool, ssl: true })).toContain('`ssl`')
})

test('what is given in place of a pool, and has all its methods, is refused', async () => {
  const ended = new pg.Pool()
  await ended.end()
  const lentOut = Object.assign(new EventEmitter(), {
    connect: async () => {},
    query: async () => {},
    release: () => {},
  })
  for (const pool of [new pg.Client({ password: SECRET }), lentOut, ended, pg.Pool, Promise.resolve(new pg.Pool())])
    expect(complaintOf({ pool })).toContain('Expected `pool` to be a pg.Pool')
  expect(complaintOf({ pool: new pg.Client() })).toContain('a single client is none')
})

test('a pool whose `connect` gives no client is said so by the call, and ends nothing', async () => {
  // As the clients of other databases do, which have the same methods.
  for (const given of [undefined, {}, new EventEmitter()]) {
    const other = new EventEmitter()
    const connect = async (): Promise<unknown> => {
      other.emit('connect')
      return given
    }
    const pool = Object.assign(other, { connect }) as unknown as PostgresPool
    const backend = postgres({ pool })
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringContaining('`connect()` gives a client'),
    })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('`pool`') })
    await backend.close()
  }
})

test('a pool of pg is a pool by its types, too', () => {
  const pool: PostgresPool = new pg.Pool()
  expect(resolvePostgresOptions({ pool }).source).toEqual({ pool })
})
