/** How schema and table get their names into the text of the migrations. `nonstick setup` uses them, too. */
import { invalidOption } from '../../errors.js'

export interface TableNames {
  /** Any name of at most 63 bytes; it is quoted, so `My Schema` is not `my schema`. */
  readonly schema: string
  /** Any name of at most 40 bytes, except `migration`; it is quoted, too. */
  readonly table: string
}

/** Index names are made of the table's name and a suffix, and Postgres cuts off what exceeds 63 bytes. */
const MAX_TABLE_BYTES = 40

const MAX_NAME_BYTES = 63

// biome-ignore lint/suspicious/noControlCharactersInRegex: a line end in a name could end a comment of a migration
const CONTROL = /[\u0000-\u001f\u007f]/

/** Whether a name holds a control character, which no name of ours may. */
export const hasControlCharacter = (name: string): boolean => CONTROL.test(name)

const isName = (name: unknown, maxBytes: number): boolean =>
  typeof name === 'string' && name !== '' && Buffer.byteLength(name) <= maxBytes && !hasControlCharacter(name)

/** Complains (`E_CONFIG`) about names that Postgres would refuse, cut off or confuse. */
export const checkTableNames = ({ schema, table }: TableNames): void => {
  if (!isName(schema, MAX_NAME_BYTES))
    throw invalidOption('schema', `a name of 1 to ${MAX_NAME_BYTES} bytes without control characters`, schema)
  if (!isName(table, MAX_TABLE_BYTES))
    throw invalidOption('table', `a name of 1 to ${MAX_TABLE_BYTES} bytes without control characters`, table)
  if (table === 'migration')
    throw invalidOption('table', 'another name than that of the table that lists the migrations', table)
}

/** `my "own"` becomes `"my ""own"""`. */
export const quoteIdentifier = (name: string): string => `"${name.replaceAll('"', '""')}"`

/**
 * Puts the names in: `:"schema"`, `:"table"`, and `:"table_x"` for the table's name followed by `_x`. In one
 * pass, so that a name which looks like a placeholder stays what it is.
 */
export const render = (sql: string, { schema, table }: TableNames): string =>
  sql.replace(/:"(schema|table(_[a-z_]+)?)"/g, (_all, name: string, suffix: string | undefined) =>
    quoteIdentifier(name === 'schema' ? schema : table + (suffix ?? '')),
  )
