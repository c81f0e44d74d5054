import pg from 'pg'
import type { PostgresPool } from '../../../src/backends/postgres/index.js'

/** A statement as a backend sent it. */
export interface Noted {
  readonly text: string
  readonly values?: readonly unknown[]
}

/** A pool whose connections note each statement they are given. */
export const notingPool = (
  url: string,
): { readonly pool: PostgresPool; readonly statements: Noted[]; end(): Promise<void> } => {
  const real = new pg.Pool({ connectionString: url })
  const statements: Noted[] = []
  const pool: PostgresPool = {
    on: (event, listener) => real.on(event, listener),
    removeListener: (event, listener) => real.removeListener(event, listener),
    listenerCount: (event) => real.listenerCount(event),
    connect: async () => {
      const client = await real.connect()
      return {
        query: (statement) => {
          statements.push(statement)
          return client.query(statement)
        },
        release: (destroy) => client.release(destroy),
        on: (event, listener) => client.on(event, listener),
        removeListener: (event, listener) => client.removeListener(event, listener),
      }
    },
  }
  const end = async (): Promise<void> => {
    real.on('error', () => {}) // a connection still closing when the server stops is nobody's failure
    await real.end()
  }
  return { pool, statements, end }
}
