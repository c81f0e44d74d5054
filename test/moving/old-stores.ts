/** The stores of express-session that an application may come from, each as its own library makes it. */
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { RedisStore } from 'connect-redis'
import session, { type Store } from 'express-session'
import pg from 'pg'
import { createClient } from 'redis'

const require = createRequire(import.meta.url)

/** Where the sessions of the old application are, in words that go from process to process. */
export type OldPlace =
  | { readonly kind: 'connect-redis'; readonly url: string }
  | { readonly kind: 'connect-pg-simple'; readonly connectionString: string }

export interface OpenOldStore {
  readonly store: Store
  close(): Promise<void>
}

/** Opens the old store as an application does. */
export const openOldStore = async (place: OldPlace): Promise<OpenOldStore> => {
  if (place.kind === 'connect-redis') {
    const client = createClient({ url: place.url })
    client.on('error', () => {})
    await client.connect()
    return { store: new RedisStore({ client }), close: async () => client.destroy() }
  }
  const pool = new pg.Pool({ connectionString: place.connectionString, max: 4 })
  pool.on('error', () => {})
  const PgSession = (require('connect-pg-simple') as (of: typeof session) => PgStore)(session)
  const store = new PgSession({ pool, pruneSessionInterval: false })
  return {
    store,
    close: async () => {
      store.close()
      await pool.end()
    },
  }
}

/** Makes the table of connect-pg-simple, as its documentation says. */
export const makePgSimpleTable = async (connectionString: string): Promise<void> => {
  const client = new pg.Client({ connectionString })
  await client.connect()
  await client.query(readFileSync(require.resolve('connect-pg-simple/table.sql'), 'utf8'))
  await client.end()
}

interface PgStore {
  new (options: { pool: pg.Pool; pruneSessionInterval: false }): Store & { close(): void }
}
