import { BOOKKEEPING, MIGRATIONS, type Migration } from '../../backends/postgres/migrations.js'
import { FORM_CURE, partitionedTable } from '../../backends/postgres/partitions.js'
import { quoteIdentifier as identifier, render } from '../../backends/postgres/setup-names.js'
import { block, literal } from './sql-text.js'

/** One statement of a plan. */
export type Step =
  /** It is executed. */
  | { readonly run: string }
  /** It is a query; its rows are lines for the reader. */
  | { readonly say: string }
  /** It is a query; its rows are statements to execute. */
  | { readonly generate: string }

/** What is to be done in one database; `undefined`: where the administrator is connected. */
export interface Part {
  readonly database: string | undefined
  readonly steps: readonly Step[]
}

/** What is to be done, as SQL. `carry-by-psql.ts` and `carry-by-node.ts` bring it to the server. */
export type Plan = readonly Part[]

/** The names of all that is made. */
export interface Names {
  readonly database: string
  readonly role: string
  readonly schema: string
  readonly table: string
  /** In how many parts the table of sessions is made; `undefined`: in one, or it stays as it is. */
  readonly partitions?: number | undefined
}

export interface SetUpOptions extends Names {
  /** What the server stores in place of the role's password; `undefined`: a new role gets none. */
  readonly verifier: string | undefined
  /** Whether a role that is there gets this password, too. */
  readonly changePassword: boolean
}

/**
 * Time-outs of the role, in this database only. The program must not send them when it connects, because a pooler
 * in transaction mode refuses or loses them.
 */
const TIMEOUTS = {
  statement_timeout: '10s',
  lock_timeout: '5s',
  // A process that is frozen between two statements keeps its row locks no longer than this.
  idle_in_transaction_session_timeout: '10s',
}

/** Only a superuser may set these. */
const SUPERUSER_SETTINGS = {
  // A server that logs slow statements would log their parameters, and those are the sessions.
  log_parameter_max_length: '0',
}

/**
 * How every part begins. Nothing that a stranger put into a schema may be found instead of the server's own
 * (CVE-2018-1058), and an administrator's time-outs are not meant for waiting on a lock.
 */
const PREPARE: readonly Step[] = [
  { run: "set search_path = ''" },
  { run: 'set standard_conforming_strings = on' },
  { run: 'set statement_timeout = 0' },
  { run: 'set lock_timeout = 0' },
]

export const roleCreatedLine = ({ role }: Pick<Names, 'role'>): string => `created role ${identifier(role)}`

/** Role, database, schema and table, as far as they are missing. */
export const setUpPlan = (options: SetUpOptions): Plan => [
  { database: undefined, steps: [...PREPARE, ...roleAndDatabase(options)] },
  { database: options.database, steps: [...PREPARE, ...schemaAndTable(options)] },
]

/**
 * `create database` cannot be part of a transaction, so the lock is the session's. It keeps apart all who work
 * from one maintenance database; the carriers' callers try again where another one was used.
 */
const roleAndDatabase = (options: SetUpOptions): readonly Step[] => {
  const { role, database, verifier, changePassword } = options
  const password = verifier === undefined ? '' : ` password ${literal(verifier)}`
  const roleIsThere = `exists (select from pg_roles where rolname = ${literal(role)})`
  const databaseIsThere = `exists (select from pg_database where datname = ${literal(database)})`
  const changed = changePassword && verifier !== undefined
  return [
    { run: block("perform pg_advisory_lock(hashtextextended('nonstick reload', 0));") },
    {
      run: block(`  if not ${roleIsThere} then
    create role ${identifier(role)} login${password};
    set nonstick.created_role = 'yes';
  ${changed ? `else\n    alter role ${identifier(role)}${password};` : ''}
  end if;`),
    },
    {
      say: outcome(
        'nonstick.created_role',
        roleCreatedLine(options),
        `role ${identifier(role)} is there, ${changed ? 'its password was set' : 'its password stays as it was'}`,
      ),
    },
    {
      // template0: what others put into template1 is not ours. UTF8, whatever the server was made with; the
      // C locale fits every encoding.
      generate: `select statement
from (values
  (1, ${literal(`create database ${identifier(database)} template template0 encoding 'UTF8' lc_collate 'C' lc_ctype 'C'`)}),
  (2, ${literal(`revoke all on database ${identifier(database)} from public`)}),
  (3, ${literal("set nonstick.created_database = 'yes'")})
) as creation (step, statement)
where not ${databaseIsThere}
order by step`,
    },
    {
      say: outcome(
        'nonstick.created_database',
        `created database ${identifier(database)}`,
        `database ${identifier(database)} is there`,
      ),
    },
    {
      generate: `select ${literal(`grant connect on database ${identifier(database)} to ${identifier(role)}`)}
where not has_database_privilege(${literal(role)}, ${literal(database)}, 'connect')`,
    },
    { generate: membership(role) },
    { generate: settings(options, TIMEOUTS, 'true') },
    { generate: settings(options, SUPERUSER_SETTINGS, '(select rolsuper from pg_roles where rolname = current_user)') },
    { run: block("perform pg_advisory_unlock(hashtextextended('nonstick reload', 0));") },
  ]
}

/** Said after the fact, by a mark that the step before left in the session. */
const outcome = (mark: string, ifMarked: string, otherwise: string): string => `select
  case
    when current_setting(${literal(mark)}, true) = 'yes' then ${literal(ifMarked)}
    else ${literal(otherwise)}
  end`

/** Hosted servers have no superuser: who is none must be a member of a role to hand something over to it. */
const membership = (role: string): string => `select ${literal(`grant ${identifier(role)} to current_user`)}
where current_user <> ${literal(role)}
  and not (select rolsuper from pg_roles where rolname = current_user)
  and not case
    when current_setting('server_version_num')::integer >= 160000 then pg_has_role(current_user, ${literal(role)}, 'SET')
    else pg_has_role(current_user, ${literal(role)}, 'MEMBER')
  end`

/** What somebody set, stays. */
const settings = ({ role, database }: Names, wanted: Readonly<Record<string, string>>, condition: string): string => {
  const values = Object.entries(wanted).map(([name, value]) => {
    const statement = `alter role ${identifier(role)} in database ${identifier(database)} set ${name} = ${literal(value)}`
    return `(${literal(name)}, ${literal(statement)})`
  })
  return `select statement
from (values
  ${values.join(',\n  ')}
) as wanted (name, statement)
where ${condition}
  and not exists (
    select
    from pg_db_role_setting s
    join pg_database d on d.oid = s.setdatabase
    join pg_roles r on r.oid = s.setrole
    cross join unnest(s.setconfig) as setting
    where d.datname = ${literal(database)}
      and r.rolname = ${literal(role)}
      and split_part(setting, '=', 1) = name
  )`
}

/** One transaction, under the same lock as the program's own `migrate`. */
const schemaAndTable = (options: Names): readonly Step[] => {
  const { role, schema, table, database } = options
  const qualified = `${identifier(schema)}.${identifier(table)}`
  const records = `${table}_user_record`
  return [
    {
      // Had the change of database failed unnoticed, everything below would go into the wrong one.
      run: block(`  if current_database() <> ${literal(database)} then
    raise exception 'connected to database % instead', current_database();
  end if;`),
    },
    { run: 'begin isolation level read committed read write' },
    { run: 'set local client_min_messages = warning' },
    { run: block(`perform pg_advisory_xact_lock(hashtextextended('nonstick schema ' || ${literal(schema)}, 0));`) },
    {
      run: block(`  if not exists (select from pg_namespace where nspname = ${literal(schema)}) then
    create schema ${identifier(schema)} authorization ${identifier(role)};
  end if;`),
    },
    { run: `grant usage, create on schema ${identifier(schema)} to ${identifier(role)}` },
    { run: block(render(BOOKKEEPING, options)) },
    {
      // Records of a table that has been dropped since would stand in the way of the new ones.
      run: `delete from ${identifier(schema)}.migration
where table_name = ${literal(table)}
  and 2 > (
    select count(*)
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${literal(schema)}
      and c.relname in (${literal(table)}, ${literal(records)})
      and c.relkind in ('r', 'p')
  )`,
    },
    {
      run: block(`  if exists (
    select
    from ${identifier(schema)}.migration
    where table_name = ${literal(table)}
      and number > ${MIGRATIONS.length}
      and coalesce(compatible_from, number) > ${MIGRATIONS.length}
  ) then
    raise exception 'the table % is newer than this copy of nonstick: use the newer one', ${literal(qualified)};
  end if;`),
    },
    ...(options.partitions === undefined ? [] : [{ run: inParts(options, options.partitions) }]),
    ...MIGRATIONS.map((migration) => ({ run: applied(migration, options) })),
    { run: handOver(options) },
    {
      run: `grant select, insert, update, delete on ${[table, records, 'migration']
        .map((name) => `${identifier(schema)}.${identifier(name)}`)
        .join(', ')} to ${identifier(role)}`,
    },
    {
      // Within one transaction now() stands still.
      say: `select coalesce(
  (
    select 'applied ' || string_agg(name, ', ' order by number) || ${literal(` to ${qualified}`)}
    from ${identifier(schema)}.migration
    where table_name = ${literal(table)}
      and applied_at = now()
  ),
  ${literal(`table ${qualified} is there and up to date`)}
)`,
    },
    { run: 'commit' },
    { say: listening(options) },
  ]
}

/** The table of sessions in so many parts, unless it is there; then it must have as many. */
const inParts = (options: Names, partitions: number): string => {
  const { schema, table } = options
  const there = `
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${literal(schema)}
      and c.relname = ${literal(table)}
      and c.relkind in ('r', 'p')`
  const parts = '(select count(*) from pg_inherits where inhparent = c.oid)'
  return block(`  if exists (
    select${there}
      and (c.relkind <> 'p' or ${parts} <> ${partitions})
  ) then
    raise exception '%, and ${partitions} partitions were asked for: %', (
      select ${literal(`the table ${identifier(schema)}.${identifier(table)} is there already, `)}
        || case when c.relkind = 'p' then 'with ' || ${parts} || ' partitions' else 'not partitioned' end${there}
    ), ${literal(FORM_CURE)};
  end if;
  if exists (
    select${there}
  ) then
    return;
  end if;

${partitionedTable(options, partitions)}`)
}

/** A migration as it is, as one block: it is a statement of its own in both carriers. */
const applied = ({ number, compatibleFrom, name, checksum, sql }: Migration, options: Names): string => {
  const list = `${identifier(options.schema)}.migration`
  const table = literal(options.table)
  return block(`  if exists (select from ${list} where table_name = ${table} and number = ${number}) then
    if not exists (select from ${list} where table_name = ${table} and number = ${number} and checksum = '${checksum}') then
      raise exception 'the table % was made by another migration ${number} than this one', ${literal(options.table)};
    end if;
    return;
  end if;

${render(sql, options)}

  insert into ${list} (table_name, number, name, checksum, compatible_from)
  values (${table}, ${number}, '${name}', '${checksum}', ${compatibleFrom});`)
}

/**
 * The role owns its tables, so that the program can bring them up to date itself (`migrate: true`). Only what we
 * created is handed over: what belongs to a third party stays theirs. The partitions of a table do not go with it.
 */
const handOver = ({ role, schema, table }: Names): string =>
  block(
    [table, `${table}_user_record`, 'migration']
      .map(
        (name) => `  if exists (
    select
    from pg_class c
    join pg_namespace n on n.oid = c.relnamespace
    where n.nspname = ${literal(schema)}
      and c.relname = ${literal(name)}
      and pg_get_userbyid(c.relowner) = current_user
      and current_user <> ${literal(role)}
  ) then
    alter table ${identifier(schema)}.${identifier(name)} owner to ${identifier(role)};
  end if;`,
      )
      .concat(`  declare
    part record;
  begin
    for part in
      select c.oid::regclass as name
      from pg_class c
      join pg_inherits i on i.inhrelid = c.oid
      join pg_class whole on whole.oid = i.inhparent
      join pg_namespace n on n.oid = whole.relnamespace
      where n.nspname = ${literal(schema)}
        and whole.relname = ${literal(table)}
        and pg_get_userbyid(c.relowner) = current_user
        and current_user <> ${literal(role)}
    loop
      execute format('alter table %s owner to %I', part.name, ${literal(role)});
    end loop;
  end;`)
      .join('\n'),
  )

const listening = ({ role, database }: Names): string => `select line
from (values
  (1, 'note: the server takes connections from its own machine only. For processes elsewhere set listen_addresses'),
  (2, 'in postgresql.conf (now: ''' || current_setting('listen_addresses') || ''') and let them in by a line in pg_hba.conf, for instance'),
  (3, ${literal(`  hostssl ${identifier(database)} ${identifier(role)} 10.0.0.0/8 scram-sha-256`)})
) as note (number, line)
where not exists (
  select
  from unnest(string_to_array(current_setting('listen_addresses'), ',')) as address
  where btrim(address) not in ('localhost', '127.0.0.1', '::1', '')
)
order by number`

/** Whether there is a database to drop: one row, or none. */
export const isTherePlan = ({ database }: Names): Part => ({
  database: undefined,
  steps: [...PREPARE, { say: `select 'there' from pg_database where datname = ${literal(database)}` }],
})

/** Names of what a stranger keeps in the database: it is not ours to drop then. */
export const strangersPlan = ({ database, schema }: Names): Part => ({
  database,
  steps: [
    ...PREPARE,
    {
      say: `select quote_ident(n.nspname) || '.' || quote_ident(c.relname)
from pg_class c
join pg_namespace n on n.oid = c.relnamespace
where n.nspname <> ${literal(schema)}
  and n.nspname not like 'pg\\_%'
  and n.nspname <> 'information_schema'
  and c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
  and not exists (
    select
    from pg_depend d
    where d.classid = 'pg_class'::regclass
      and d.objid = c.oid
      and d.deptype = 'e'
  )
order by 1
limit 3`,
    },
  ],
})

/** Cuts the connections of whoever still uses it. The role stays: it may have other databases. */
export const dropPlan = ({ database }: Names): Part => ({
  database: undefined,
  steps: [
    ...PREPARE,
    { run: 'set client_min_messages = warning' },
    { run: block("perform pg_advisory_lock(hashtextextended('nonstick reload', 0));") },
    { run: `drop database if exists ${identifier(database)} with (force)` },
  ],
})
