import { SessionStoreError } from '../../errors.js'
import { BOOKKEEPING, MIGRATIONS, type Migration } from './migrations.js'
import { checkPartitions, formRefusalOf, partitionedTable, type TableForm } from './partitions.js'
import { type Applied, appliedOf, refusalOf } from './schema-version.js'
import { checkTableNames, quoteIdentifier, render, type TableNames } from './setup-names.js'
import { migrationsOf, recordTableOf, relationOf } from './statements.js'

/**
 * ONE connection, not a pool: the whole run is one transaction. A text without `values` must go out by the
 * simple protocol, as `pg` sends it, since a migration holds several statements.
 */
export interface MigrationClient {
  query(text: string, values?: readonly unknown[]): Promise<{ readonly rows: readonly Record<string, unknown>[] }>
}

export interface MigrationOptions extends TableNames {
  /**
   * In how many parts the table of sessions is made, 2 to 1024, over which the server spreads the rows by a hash of
   * their keys. Where the table is there already, it must have as many. @default one table, or what is there
   */
  readonly partitions?: number | undefined
  /**
   * How long one statement may take, the wait for another migrating process included, in milliseconds. It
   * stands in for the role's own `statement_timeout`, which is meant for requests. @default 60_000
   */
  readonly timeoutMs?: number
}

export interface MigrationReport {
  /** The names of the migrations this call applied, in order; empty when everything was there. */
  readonly applied: readonly string[]
  /** The number of the newest migration in the database now. */
  readonly version: number
}

/**
 * Brings the schema to where this program wants it, or leaves everything as it was.
 *
 * May run twice and in many processes at once: they wait for one another. A role that owns nothing can call it
 * when everything is there; `create` on the database is needed only while the schema is missing.
 *
 * Does nothing where a newer program has migrated the table and says that this one still works with it.
 *
 * Rejects with `E_CONFIG` for names and a number of partitions that cannot be used, before any statement; with
 * `E_BACKEND_SCHEMA` when a newer program has changed the table so that this one cannot work with it, when it was made by
 * other migrations than this program's, when it is there with another number of partitions, and when the server refuses a
 * migration (rights, a foreign table of that name; `cause` tells). What the client itself rejects with, a lost connection
 * or a time-out, passes through. After a rejection throw the connection away: nothing was changed, but it may be in the
 * middle of something.
 */
export const migrate = async (client: MigrationClient, options: MigrationOptions): Promise<MigrationReport> => {
  checkTableNames(options)
  checkPartitions(options.partitions)
  // Read committed, whatever the default: what another process committed while we waited must be seen.
  await client.query('begin isolation level read committed read write')
  try {
    await prepare(client, options)
    const report = await applyMissing(client, options)
    await client.query('commit')
    return report
  } catch (cause) {
    // Should this fail as well, the connection is gone and the server rolls back by itself.
    await client.query('rollback').catch(() => undefined)
    throw explained(cause, options)
  }
}

/** All settings are the transaction's own, so that a pooled connection is returned as it was. */
const prepare = async (client: MigrationClient, { schema, timeoutMs = 60_000 }: MigrationOptions): Promise<void> => {
  const settings = {
    statement_timeout: `${timeoutMs}`,
    lock_timeout: '0',
    client_min_messages: 'warning',
    // Nothing that a stranger put into a schema is found in place of the server's own (CVE-2018-1058).
    search_path: '',
  }
  for (const [name, value] of Object.entries(settings))
    await client.query('select set_config($1, $2, true)', [name, value])
  // First of all statements that look at the schema; `npx nonstick setup` takes the same lock.
  await client.query("select pg_advisory_xact_lock(hashtextextended('nonstick schema ' || $1, 0))", [schema])
}

const applyMissing = async (client: MigrationClient, options: MigrationOptions): Promise<MigrationReport> => {
  const there = await look(client, options)
  const present = there.migrationTable && there.sessionTables ? await listed(client, options) : []
  const relation = relationOf(options.schema, options.table)
  const refusal =
    refusalOf(present, relation) ?? (there.form && formRefusalOf(there.form, relation, options.partitions))
  if (refusal !== undefined) throw schemaError(refusal)
  const missing = MIGRATIONS.slice(present.length)
  if (missing.length > 0) {
    if (!there.schema) await client.query(`create schema if not exists ${quoteIdentifier(options.schema)}`)
    if (!there.compatibility) await client.query(render(BOOKKEEPING, options))
    // Records of a table that has been dropped since would stand in the way of the new ones.
    if (!there.sessionTables) await forget(client, options)
    if (options.partitions !== undefined && there.form === undefined)
      await client.query(partitionedTable(options, options.partitions))
    for (const migration of missing) await apply(client, migration, options)
  }
  return { applied: missing.map(({ name }) => name), version: Math.max(MIGRATIONS.length, present.length) }
}

interface Surroundings {
  readonly schema: boolean
  readonly migrationTable: boolean
  /** Whether there is a list of migrations that can say which older programs go on; an older nonstick made it without. */
  readonly compatibility: boolean
  /** Whether the table of sessions is there, and that of the records of users beside it. */
  readonly sessionTables: boolean
  /** Of the table of sessions; `undefined` where it is not there. */
  readonly form: TableForm | undefined
}

/** From the catalog, where anyone may look: `create … if not exists` wants the right to create even in vain. */
const look = async (client: MigrationClient, { schema, table }: TableNames): Promise<Surroundings> => {
  const { rows } = await client.query(
    `select
       c.relname as name,
       c.relkind = 'p' as is_partitioned,
       (select count(*) from pg_catalog.pg_inherits i where i.inhparent = c.oid) as partitions,
       exists (
         select
         from pg_catalog.pg_attribute a
         where a.attrelid = c.oid and a.attname = 'compatible_from' and not a.attisdropped
       ) as compatibility
     from pg_catalog.pg_namespace n
     left join pg_catalog.pg_class c
       on c.relnamespace = n.oid
       and c.relname in ('migration', $2, $3)
       and c.relkind in ('r', 'p')
     where n.nspname = $1`,
    [schema, table, recordTableOf(table)],
  )
  const has = (name: string): boolean => rows.some((row) => row['name'] === name)
  const sessions = rows.find((row) => row['name'] === table)
  return {
    schema: rows.length > 0,
    migrationTable: has('migration'),
    compatibility: rows.some((row) => row['name'] === 'migration' && row['compatibility'] === true),
    sessionTables: has(table) && has(recordTableOf(table)),
    form: sessions && formOf(sessions),
  }
}

const formOf = (row: Readonly<Record<string, unknown>>): TableForm =>
  row['is_partitioned'] === true ? { kind: 'partitioned', partitions: Number(row['partitions']) } : { kind: 'plain' }

const listed = async (client: MigrationClient, { schema, table }: TableNames): Promise<readonly Applied[]> =>
  appliedOf((await client.query(migrationsOf(schema, table))).rows)

const forget = async (client: MigrationClient, { schema, table }: TableNames): Promise<void> => {
  await client.query(`delete from ${quoteIdentifier(schema)}.migration where table_name = $1`, [table])
}

const apply = async (client: MigrationClient, migration: Migration, options: TableNames): Promise<void> => {
  await client.query(render(migration.sql, options))
  await client.query(
    `insert into ${quoteIdentifier(options.schema)}.migration (table_name, number, name, checksum, compatible_from)
     values ($1, $2, $3, $4, $5)`,
    [options.table, migration.number, migration.name, migration.checksum, migration.compatibleFrom],
  )
}

const schemaError = (message: string, details: { readonly cause?: unknown } = {}): SessionStoreError =>
  new SessionStoreError('E_BACKEND_SCHEMA', message, { ...details, tier: 'postgres', operation: 'setUp' })

/** SQLSTATE class 42: the server understood and refuses. Anything else is not about the schema. */
const explained = (cause: unknown, { schema, table }: TableNames): unknown => {
  const state = typeof cause === 'object' && cause !== null && 'code' in cause ? cause.code : undefined
  if (typeof state !== 'string' || !/^42[0-9A-Z]{3}$/.test(state)) return cause
  const where = `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`
  return schemaError(
    state === '42501'
      ? `this role may not set up ${where}: run \`npx nonstick setup\` as the postgres user`
      : `the server refused to set up ${where}; is something else of that name there?`,
    { cause },
  )
}
