import type { Pool } from 'pg'
import { codeIn } from '../../errors.js'
import { UsageError } from '../exits.js'
import { type Item, placeIn, type Source, type SourceOptions } from './source.js'
import { unreachable } from './unreachable.js'

/** How the rows of a table are read. */
export interface RowsOf<Row> {
  /** The table where none is named. */
  readonly table: string
  /** The column that holds the id, and that has the index by which the table is read in order. */
  readonly idColumn: string
  /** The expressions that are read besides, by the names that `itemOf` has for them. */
  readonly columns: Readonly<Record<keyof Row & string, string>>
  itemOf(row: Row & { readonly id: string }): Item
}

const ROWS_AT_ONCE = 500

/** A source that is the rows of a table in PostgreSQL. */
export const rowsOf = async <Row extends object>(
  { at, table: given }: SourceOptions,
  { table: usual, idColumn, columns, itemOf }: RowsOf<Row>,
): Promise<Source> => {
  const { default: pg } = await import('pg')
  const pool = new pg.Pool({
    connectionString: at,
    max: 2,
    application_name: 'nonstick import',
    connectionTimeoutMillis: 10_000,
  })
  // A connection that breaks while nobody uses it would otherwise end this process without a word.
  pool.on('error', () => {})
  await reached(pool)
  const table = (given ?? usual)
    .split('.')
    .map((name) => pg.escapeIdentifier(name))
    .join('.')
  const id = pg.escapeIdentifier(idColumn)
  const list = Object.entries<string>(columns).map(
    ([name, expression]) => `${expression} as ${pg.escapeIdentifier(name)}`,
  )
  const select = `select ${[`${id} as id`, ...list].join(', ')} from ${table}`
  return {
    count: async () => Number((await pool.query<{ n: string }>(`select count(*) as n from ${table}`)).rows[0]?.n),
    page: async (after) => {
      const { rows } = await pool.query<Row & { readonly id: string }>(
        `${select} ${after === undefined ? '' : `where ${id} > $2`} order by ${id} limit $1`,
        [ROWS_AT_ONCE, ...(after === undefined ? [] : [after])],
      )
      const next = rows.length < ROWS_AT_ONCE ? undefined : rows.at(-1)?.id
      return { items: rows.map(itemOf), next, resumeAt: next === undefined ? undefined : placeIn(next) }
    },
    remove: async (refs) => void (await pool.query(`delete from ${table} where ${id} = any($1)`, [refs])),
    close: async () => await pool.end(),
  }
}

const reached = async (pool: Pool): Promise<void> => {
  try {
    await pool.query('select 1')
  } catch (cause) {
    await pool.end().catch(() => {})
    if (codeIn(cause) === 'ERR_INVALID_URL')
      throw new UsageError('Expected --at to be the URL of a PostgreSQL: postgres://user:password@host:5432/database')
    throw unreachable('PostgreSQL', cause)
  }
}
