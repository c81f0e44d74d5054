import pg from 'pg'
import { memcachedCounts, memcachedSays } from '../servers/index.js'

/** What a Memcached says of itself, since it was started. */
export interface CacheCounters {
  readonly hits: number
  readonly misses: number
  readonly items: number
}

/** The page does not wait longer for a server that may have been stopped, in ms. */
const PATIENCE_MS = 2_000

/** Rejects if it cannot be asked. */
export const cacheCounters = async (address: string): Promise<CacheCounters> => {
  const count = await memcachedCounts(address, 'stats', PATIENCE_MS)
  return { hits: count('get_hits'), misses: count('get_misses'), items: count('curr_items') }
}

/** Empties it. */
export const flushAll = async (address: string): Promise<void> => {
  await memcachedSays(address, 'flush_all', /^OK\r\n/m, PATIENCE_MS)
}

/** What was counted at the sessions, in PostgreSQL's words or on the wire to CouchDB. */
export interface BackendCounters {
  readonly inserted: number
  readonly updated: number
  /** Sessions that were asked for; `undefined` for a PostgreSQL without pg_stat_statements. */
  readonly read: number | undefined
}

/** Asks PostgreSQL for its own counters. They are of the server's lifetime: compare two. */
export class TableWatch {
  /** One connection, on which the pool puts questions one after the other: the page asks several at once. */
  readonly #pool: pg.Pool
  readonly #schema: string
  readonly #table: string
  #hasStatements = false

  private constructor(pool: pg.Pool, schema: string, table: string) {
    this.#pool = pool
    this.#schema = schema
    this.#table = table
  }

  /** @param url of a role that may see other roles' statistics; the database is the sessions' one */
  static async open(url: string, table: { readonly schema: string; readonly name: string }): Promise<TableWatch> {
    const pool = new pg.Pool({ connectionString: url, connectionTimeoutMillis: 5_000, max: 1, idleTimeoutMillis: 0 })
    pool.on('error', () => undefined)
    const watch = new TableWatch(pool, table.schema, table.name)
    try {
      await pool.query('select')
      watch.#hasStatements = await watch.#findStatements()
      return watch
    } catch (error) {
      await pool.end()
      throw error
    }
  }

  async read(): Promise<BackendCounters> {
    const { rows } = await this.#pool.query<{ inserted: string; updated: string }>(
      `select n_tup_ins as inserted, n_tup_upd as updated
       from pg_stat_user_tables
       where schemaname = $1 and relname = $2`,
      [this.#schema, this.#table],
    )
    return {
      inserted: Number(rows[0]?.inserted ?? 0),
      updated: Number(rows[0]?.updated ?? 0),
      read: this.#hasStatements ? await this.#readStatements() : undefined,
    }
  }

  /** How many sessions are stored, those that were destroyed not counted. */
  async rows(): Promise<number> {
    const name = [this.#schema, this.#table].map((part) => `"${part.replaceAll('"', '""')}"`).join('.')
    const { rows } = await this.#pool.query<{ count: string }>(
      `select count(*) from ${name} where destroyed_at is null`,
    )
    return Number(rows[0]?.count ?? 0)
  }

  async close(): Promise<void> {
    await this.#pool.end()
  }

  /** The extension counts only where the server was started with it; elsewhere nothing is created. */
  async #findStatements(): Promise<boolean> {
    try {
      const { rows } = await this.#pool.query<{ libraries: string }>(
        `select current_setting('shared_preload_libraries') as libraries`,
      )
      if (!(rows[0]?.libraries ?? '').includes('pg_stat_statements')) return false
      await this.#pool.query('create extension if not exists pg_stat_statements')
      await this.#readStatements()
      return true
    } catch {
      return false
    }
  }

  async #readStatements(): Promise<number> {
    const { rows } = await this.#pool.query<{ read: string }>(
      `select coalesce(sum(calls), 0) as read
       from pg_stat_statements
       where dbid = (select oid from pg_database where datname = current_database())
         and query ~* '^\\s*select\\M' and query !~* '\\m(insert|update|delete)\\M'
         and query ~* $1 and query !~* '\\mcount\\M|pg_stat_'`,
      [`\\m${this.#table}\\M`],
    )
    return Number(rows[0]?.read ?? 0)
  }
}

export const difference = (from: BackendCounters, to: BackendCounters): BackendCounters => ({
  inserted: to.inserted - from.inserted,
  updated: to.updated - from.updated,
  read: from.read === undefined || to.read === undefined ? undefined : to.read - from.read,
})
