/** A table of sessions in several parts, over which the server spreads the rows by a hash of their keys. */
import { invalidOption } from '../../errors.js'
import { MIGRATIONS } from './migrations.js'
import { quoteIdentifier, render, type TableNames } from './setup-names.js'
import { recordTableOf } from './statements.js'

/** In how many parts a table can be made. With more than some hundreds each statement takes long to plan. */
export const FEWEST_PARTITIONS = 2
export const MOST_PARTITIONS = 1_024

/** Complains (`E_CONFIG`) about a number of partitions that no table is made with. */
export const checkPartitions = (partitions: number | undefined): void => {
  if (partitions === undefined) return
  if (!Number.isInteger(partitions) || partitions < FEWEST_PARTITIONS || partitions > MOST_PARTITIONS)
    throw invalidOption(
      'partitions',
      `a whole number from ${FEWEST_PARTITIONS} to ${MOST_PARTITIONS}, or left out for a table in one part`,
      partitions,
    )
}

/** How the parts are stored. The table itself takes no such settings; they are those that the first migration gives a table. */
export const PARTITION_STORAGE =
  'fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02, toast.autovacuum_vacuum_scale_factor = 0.02'

/** The name of a part, which no program needs to know. */
export const partitionNameOf = (table: string, index: number): string => `${table}_part_${index}`

/**
 * The statements that make the table of sessions in parts, ahead of the first migration, which then finds it there and
 * adds what it adds to any: indexes, comments and the table of records. What the columns are is said in that migration
 * alone, so it is carried out for a table that serves as the pattern, and is dropped again.
 *
 * They are to be carried out in one transaction. They fail where the table is there, or one that has the name of the
 * pattern, so that what is dropped is always what they made.
 */
export const partitionedTable = ({ schema, table }: TableNames, partitions: number): string => {
  const [first] = MIGRATIONS
  if (first === undefined) throw new TypeError('There should be a first migration')
  const named = (name: string): string => `${quoteIdentifier(schema)}.${quoteIdentifier(name)}`
  const pattern = `${table}_pattern`
  return [
    render(first.sql.replaceAll('create table if not exists', 'create table'), { schema, table: pattern }),
    `create table ${named(table)} (like ${named(pattern)} including all excluding indexes, primary key (namespace, id_hash))
  partition by hash (namespace, id_hash);`,
    ...Array.from(
      { length: partitions },
      (_, index) =>
        `create table ${named(partitionNameOf(table, index))} partition of ${named(table)}
  for values with (modulus ${partitions}, remainder ${index}) with (${PARTITION_STORAGE});`,
    ),
    `drop table ${named(pattern)}, ${named(recordTableOf(pattern))};`,
  ].join('\n')
}

/** What a table of sessions is made of: parts by number, or none. */
export type TableForm = { readonly kind: 'plain' } | { readonly kind: 'partitioned'; readonly partitions: number }

/**
 * Why a table that is there is not what was asked for, in words that follow a colon, or `undefined` where it is.
 *
 * @param relation the table, quoted
 * @param wanted undefined: any form will do
 */
export const formRefusalOf = (form: TableForm, relation: string, wanted: number | undefined): string | undefined => {
  if (wanted === undefined || (form.kind === 'partitioned' && form.partitions === wanted)) return undefined
  return `the table ${relation} is there already, ${formInWords(form)}, and ${wanted} partitions were asked for: ${FORM_CURE}`
}

export const formInWords = (form: TableForm): string =>
  form.kind === 'plain' ? 'not partitioned' : `with ${form.partitions} partitions`

/** What to do where the form is not the one that was asked for. */
export const FORM_CURE =
  'leave `partitions` out to use it as it is, or move its sessions into a new one as docs/set-up.md tells (Partitions)'
