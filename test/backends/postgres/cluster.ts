import { randomBytes } from 'node:crypto'
import pg from 'pg'
import { afterAll, beforeAll } from 'vitest'
import { type PostgresOptions, type PostgresServer, startPostgres } from '../../../scripts/servers/index.js'
import { migrate } from '../../../src/backends/postgres/migrate.js'

/** A PostgreSQL server for one test file, and a schema of its own with the table in it. */
export interface Cluster {
  readonly server: PostgresServer
  readonly url: string
  readonly schema: string
  readonly table: string
  /** As the owner of everything; for looking at what the backend did, and for doing it harm. */
  query(text: string, values?: unknown[]): Promise<pg.QueryResult>
  /** The server's clock, which is what its own judgements go by. */
  now(): number
}

/**
 * Starts before the file's tests and ends after them.
 *
 * @param options as `startPostgres` takes them; by default it does not wait for the disk
 * @param partitions in how many parts the table is made; by default in one
 */
export const clusterForThisFile = (options: PostgresOptions = {}, partitions?: number): (() => Cluster) => {
  let cluster: Cluster | undefined
  let end = async (): Promise<void> => {}

  beforeAll(async () => {
    const server = await startPostgres({ fsync: false, ...options })
    const schema = `test_${randomBytes(6).toString('hex')}`
    const table = 'session'
    const admin = new pg.Pool({ connectionString: server.adminUrl, max: 2 })
    admin.on('error', () => {})
    end = async () => {
      await admin.query(`drop schema if exists "${schema}" cascade`).catch(() => {})
      await admin.end()
      await server.stop()
    }
    const query = (text: string, values?: unknown[]) => admin.query(text, values)
    const client = await admin.connect()
    try {
      await migrate(
        { query: (text, values) => client.query(text, values && [...values]) },
        { schema, table, partitions },
      )
    } finally {
      client.release()
    }
    const { rows } = await query('select extract(epoch from clock_timestamp()) * 1000 as now')
    const aheadMs = Number(rows[0].now) - Date.now()
    const now = (): number => Date.now() + Math.round(aheadMs)
    cluster = { server, url: server.adminUrl, schema, table, query, now }
  })
  afterAll(() => end())

  return () => {
    if (cluster === undefined) throw new Error('the cluster is started before the first test')
    return cluster
  }
}
