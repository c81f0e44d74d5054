import { createHash } from 'node:crypto'
import type { Statement } from './connections.js'
import { quoteIdentifier } from './setup-names.js'

/**
 * The sizes in which batches are sent. A smaller batch is padded with nulls, which match no row, so that there are
 * four texts of each statement and not sixty-four: for the server's cache of named ones, and for its statistics.
 */
export const BATCH_SIZES = [1, 4, 16, 64] as const
export const LARGEST_BATCH = 64

/** The columns of a session, in the order in which `sessionValues` fills them. */
const SESSION_COLUMNS = [
  ['lineage', 'bytea'],
  ['version', 'bigint'],
  ['write_ids', 'bytea'],
  ['codec', 'smallint'],
  ['data', 'bytea'],
  ['user_id', 'text'],
  ['user_epoch', 'integer'],
  ['created_at', 'timestamptz'],
  ['seen_at', 'timestamptz'],
  ['expires_at', 'timestamptz'],
  ['absolute_expires_at', 'timestamptz'],
  ['idle_ttl_ms', 'bigint'],
  ['purge_hour', 'integer'],
  ['seen_hour', 'integer'],
] as const satisfies readonly Column[]

const GUARD_COLUMNS = [
  ['guard_lineage', 'bytea'],
  ['below_version', 'bigint'],
  ['parent_lineage', 'bytea'],
  ['parent_version', 'bigint'],
] as const satisfies readonly Column[]

const KEY_COLUMNS = [
  ['app', 'text'],
  ['id_hash', 'bytea'],
] as const satisfies readonly Column[]

const EXTEND_COLUMNS = [
  ['seen_at', 'timestamptz'],
  ['expires_at', 'timestamptz'],
  ['purge_hour', 'integer'],
  ['seen_hour', 'integer'],
] as const satisfies readonly Column[]

type Column = readonly [name: string, type: string]

/** Every statement over one table. `Of` ones take the number of entries, one of `BATCH_SIZES`. */
export interface Statements {
  readonly read: Statement
  readonly insert: Statement
  /** The same, also in the place of one copy that has ended. */
  readonly insertOver: Statement
  /** What stands at one key, and whether a moment has passed by the server's clock. */
  readonly lookLate: Statement
  updateOf(size: number): Statement
  extendOf(size: number): Statement
  /** What stands at each of several keys. */
  lookOf(size: number): Statement
  readonly destroy: Statement
  /** The same, which leaves nothing where nothing stands. */
  readonly destroyStanding: Statement
  readonly destroyOnly: Statement
  /** Whether a row that is not seen is not there. */
  readonly sight: Statement
  /** What a purge may remove, the oldest first. */
  readonly ended: Statement
  /** Removes of these what has still ended, if nobody else is purging. */
  readonly purge: Statement
  /** A page of sessions: the answer begins with how far it was looked, also where no session is in it. */
  readonly list: Statement
  /** The same with the keys alone. */
  readonly listKeys: Statement
  readonly count: Statement
  readonly health: Statement
  /** Whether there is a list of migrations that this role may read. */
  readonly migrationList: Statement
  /** What that list says of the table. */
  readonly migrations: Statement
}

export const relationOf = (schema: string, table: string): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`

export const statementsFor = (schema: string, table: string): Statements => {
  const relation = relationOf(schema, table)
  const mark = createHash('sha256').update(relation).digest('hex').slice(0, 8)
  const named = (name: string, text: string, unfit?: Statement['unfit']): Statement => ({
    name: `nonstick_${mark}_${name}`,
    text,
    ...(unfit === undefined ? {} : { unfit }),
  })
  const perSize = (
    name: string,
    textOf: (size: number) => string,
    unfit?: Statement['unfit'],
  ): ((size: number) => Statement) => {
    const made = new Map<number, Statement>()
    return (size) => {
      const statement = made.get(size) ?? named(`${name}_${size}`, textOf(size), unfit)
      made.set(size, statement)
      return statement
    }
  }
  return {
    read: named('read', read(relation), hidden),
    insert: named('insert', insert(relation)),
    insertOver: named('insert_over', insertOver(relation)),
    lookLate: named('look_late', lookLate(relation), hidden),
    updateOf: perSize('update', (size) => update(relation, size)),
    extendOf: perSize('extend', (size) => extend(relation, size)),
    lookOf: perSize('look', (size) => look(relation, size), hidden),
    destroy: named('destroy', destroy(relation)),
    destroyStanding: named('destroy_standing', destroyStanding(relation)),
    destroyOnly: named('destroy_only', destroyOnly(relation)),
    sight: named('sight', sight(relation), hidden),
    ended: named('ended', ended(relation), hidden),
    purge: named('purge', purge(relation, mark), hidden),
    list: named('list', list(relation), hidden),
    listKeys: named('list_keys', listKeys(relation), hidden),
    count: named('count', count(relation), hidden),
    health: named('health', health(relation), unfitForAll),
    migrationList: named('migration_list', migrationList(schema)),
    migrations: named('migrations', migrationsOf(schema, table)),
  }
}

/**
 * Row-level security leaves rows out without a word, and a session whose row is not seen would be "no session". So each
 * answer that can say that something is not there says too whether rows are hidden from this role.
 */
const hiddenOf = (relation: string): string => `row_security_active(${textOf(relation)}) as hidden`

const hidden: Statement['unfit'] = (row) =>
  row['hidden'] === true
    ? 'row-level security hides rows of the table from this role; switch it off for the table, or give the role `bypassrls`'
    : undefined

/** A text in SQL, whatever the server takes a backslash in it for. */
const textOf = (text: string): string => `convert_from(decode('${Buffer.from(text).toString('hex')}', 'hex'), 'UTF8')`

/** The last millisecond that a copy in the cache can carry. */
const LAST_MS = 2 ** 48 - 1

/**
 * Milliseconds as a number the server makes, so that no driver's idea of dates comes between. An administrator may have
 * set a moment to `infinity`, which no number is: the server would refuse the whole page of a listing because of it.
 */
const MOMENTS = ['created', 'seen', 'expires', 'absolute_expires']
  .map(
    (name) =>
      `case ${name}_at when 'infinity' then ${LAST_MS} when '-infinity' then 0 else (extract(epoch from ${name}_at) * 1000)::bigint end as ${name}_ms`,
  )
  .join(', ')

const COPY = `lineage, version, write_ids, codec, data, user_id, user_epoch, idle_ttl_ms, ${MOMENTS}`

const read = (relation: string): string => `
select ${hiddenOf(relation)}, t.app is not null as found, destroyed_at is not null as destroyed, ${COPY}
from (select true) as always
left join ${relation} as t on t.app = $1 and t.id_hash = $2`

/** The clock is read when the row is placed, not when the statement came: it may have waited for another insert. */
const insertWhen = (relation: string, onConflict: string): string => `
insert into ${relation} as t (${namesOf([...KEY_COLUMNS, ...SESSION_COLUMNS]).join(', ')})
select ${[...KEY_COLUMNS, ...SESSION_COLUMNS].map(([, type], index) => `$${index + 1}::${type}`).join(', ')}
where $17::timestamptz is null or clock_timestamp() <= $17::timestamptz
on conflict ${onConflict}
returning true as done`

const insert = (relation: string): string => insertWhen(relation, 'do nothing')

const insertOver = (relation: string): string =>
  insertWhen(
    relation,
    `(app, id_hash) do update
set ${namesOf(SESSION_COLUMNS)
      .map((name) => `${name} = excluded.${name}`)
      .join(', ')}
where t.destroyed_at is null
  and t.lineage = $18::bytea and t.version = $19::bigint and t.expires_at <= $20::timestamptz`,
  )

const lookLate = (relation: string): string => `
select ${hiddenOf(relation)}, clock_timestamp() > $3::timestamptz as late, t.app is not null as found,
  t.lineage, t.version, t.write_ids, t.destroyed_at is not null as destroyed
from (select true) as always
left join ${relation} as t on t.app = $1 and t.id_hash = $2`

/**
 * The guard stands in the update itself, on the row that is updated: a row that another transaction changes
 * meanwhile is checked again as it then stands.
 *
 * Several rows are locked first, in the order of their keys, or two batches that share sessions could wait for
 * each other: which row an update with a join takes first is the planner's choice.
 */
const update = (relation: string, size: number): string => `
with entry as (${valuesOf([...KEY_COLUMNS, ...GUARD_COLUMNS, ...SESSION_COLUMNS], size)})${lockedFirst(relation, size)}
update ${relation} as t
set ${namesOf(SESSION_COLUMNS)
  .map((name) => `${name} = ${replaced(name)}`)
  .join(', ')}
from entry${size === 1 ? '' : ' join locked using (app, id_hash)'}
where t.app = entry.app and t.id_hash = entry.id_hash
  and t.destroyed_at is null
  and ((t.lineage = entry.guard_lineage and t.version < entry.below_version)
    or (t.lineage = entry.parent_lineage and t.version = entry.parent_version))
returning entry.position`

/** What an update makes of a column: as `replacing` of the contract says. */
const replaced = (name: string): string => {
  const later = `greatest(t.${name}, entry.${name})`
  if (name === 'seen_at' || name === 'seen_hour') return later
  const isDeadline = name === 'expires_at' || name === 'purge_hour'
  return isDeadline
    ? `case when t.idle_ttl_ms = entry.idle_ttl_ms then ${later} else entry.${name} end`
    : `entry.${name}`
}

/** An extension knows its hour without the end that no use moves; that one stands in the row. */
const extend = (relation: string, size: number): string => `
with entry as (${valuesOf([...KEY_COLUMNS, ...EXTEND_COLUMNS], size)})${lockedFirst(relation, size)}
update ${relation} as t
set ${['seen_at', 'expires_at', 'seen_hour'].map((name) => `${name} = greatest(t.${name}, entry.${name})`).join(', ')},
  purge_hour = greatest(t.purge_hour, least(entry.purge_hour,
    ceil(extract(epoch from greatest(t.absolute_expires_at, entry.expires_at)) / 3600))::integer)
from entry${size === 1 ? '' : ' join locked using (app, id_hash)'}
where t.app = entry.app and t.id_hash = entry.id_hash
  and t.destroyed_at is null
returning entry.position`

const look = (relation: string, size: number): string => `
with entry as (${valuesOf(KEY_COLUMNS, size)})
select ${hiddenOf(relation)}, entry.position, t.app is not null as found,
  t.lineage, t.version, t.write_ids, t.destroyed_at is not null as destroyed
from entry left join ${relation} as t on t.app = entry.app and t.id_hash = entry.id_hash
where entry.app is not null`

const lockedFirst = (relation: string, size: number): string =>
  size === 1
    ? ''
    : `, locked as materialized (
  select t.app, t.id_hash
  from ${relation} as t join entry on t.app = entry.app and t.id_hash = entry.id_hash
  order by t.app, t.id_hash
  for no key update of t)`

/** Nothing of the session is left but that it was: no data, no user, no write ids but the destruction's own. */
const erase = (writeId: string): string =>
  `data = null, user_id = null, user_epoch = 0,
  write_ids = case when t.destroyed_at is null then ${writeId} else t.write_ids end`

const destroy = (relation: string): string => `
insert into ${relation} as t (app, id_hash, lineage, version, write_ids, created_at, seen_at, expires_at, absolute_expires_at,
  destroyed_at, keep_until, purge_hour, seen_hour)
values ($1, $2, decode('0000000000000000', 'hex'), 0, $6::bytea, $3::timestamptz, $3, $3, $3, $3, $7::timestamptz, $8::integer, $9::integer)
on conflict (app, id_hash) do update
set ${erase('$6::bytea')}, ${kept}
returning t.write_ids = $6 as mine`

/** A tombstone that takes the place of a session is kept longer than one that stands where none did. */
const kept = `
  destroyed_at = coalesce(t.destroyed_at, $3::timestamptz),
  keep_until = case when t.destroyed_at is null then $4::timestamptz else greatest(t.keep_until, $7::timestamptz) end,
  purge_hour = case when t.destroyed_at is null then $5::integer else greatest(t.purge_hour, $8::integer) end`

const destroyStanding = (relation: string): string => `
update ${relation} as t
set ${erase('$6::bytea')}, ${kept}
where app = $1 and id_hash = $2
returning t.write_ids = $6 as mine`

const destroyOnly = (relation: string): string => `
update ${relation} as t
set ${erase('$6::bytea')},
  destroyed_at = coalesce(t.destroyed_at, $3::timestamptz),
  keep_until = greatest(t.keep_until, $4::timestamptz),
  purge_hour = case when t.destroyed_at is null then $5::integer else greatest(t.purge_hour, $5::integer) end
where app = $1 and id_hash = $2
  and (t.destroyed_at is not null or (t.lineage = $7 and t.version = $8::bigint))
returning t.write_ids = $6 as mine`

/**
 * Whether a row has ended at `now`, whatever its hour says: one whose hour is wrong for whatever reason is kept rather
 * than lost.
 */
const hasEnded = (row: string, now: string, graceBefore: string): string => `
  coalesce(${row}.keep_until, ${row}.expires_at) <= ${now}::timestamptz
  and (${row}.destroyed_at is not null or ${row}.expires_at <= ${graceBefore}::timestamptz
    or ${row}.absolute_expires_at <= ${now})`

/** `may_live`: it has expired here, and may be in use all the same. */
const ended = (relation: string): string => `
select ${hiddenOf(relation)}, t.app, t.id_hash, t.destroyed_at is null and t.absolute_expires_at > $2 as may_live
from (select true) as always
left join (
  select app, id_hash, destroyed_at, absolute_expires_at
  from ${relation} as each
  where purge_hour <= $1::integer and ${hasEnded('each', '$2', '$3')}
  order by purge_hour
  limit $4::bigint) as t on true`

/**
 * One process purges at a time. The lock lasts as long as this statement, and not as long as a session of the database,
 * which behind PgBouncer may be anybody's. What has changed since it was looked at is looked at again here, and what
 * somebody else holds locked is left.
 */
const purge = (relation: string, mark: string): string => `
with turn as materialized (select pg_try_advisory_xact_lock(hashtextextended('nonstick purge ${mark}', 0)) as mine),
purged as (
  delete from ${relation}
  where ctid = any (array(
    select t.ctid
    from json_to_recordset($1::json) as doomed (app text, id_hash text)
    join ${relation} as t on t.app = doomed.app and t.id_hash = decode(doomed.id_hash, 'hex')
    where (select mine from turn) and ${hasEnded('t', '$2', '$3')}
    for update of t skip locked))
  returning 1)
select turn.mine, (select count(*) from purged) as removed, ${hiddenOf(relation)} from turn`

/**
 * The first `$4` sessions behind `$3`. No more than `$5` rows are passed over for them, so that a page is a bounded piece
 * of work also where tombstones stand in a row; the lengths of the data are known without reading it.
 */
const page = (relation: string): string => `
page as materialized (
  select id_hash, bytes
  from (
    select id_hash, octet_length(data) as bytes, destroyed_at is null and expires_at > $2::timestamptz as lives
    from ${relation}
    where app = $1 and id_hash > $3::bytea
    order by id_hash
    limit $5::bigint) as scanned
  where lives
  order by id_hash
  limit $4::bigint)`

/** How many sessions were found, and, where those are too few, the row at which the look ended if more rows follow. */
const howFar = (relation: string): string => `
  ${hiddenOf(relation)}, (select count(*) from page) as living,
  case when (select count(*) from page) < $4::bigint then (
    select id_hash from ${relation} where app = $1 and id_hash > $3 order by id_hash offset $5::bigint - 1 limit 1
  ) end as scanned_to`

/** Of a page's sessions those whose data comes to no more than `$6` bytes together, but one at least. */
const list = (relation: string): string => `
with ${page(relation)},
taken as (
  select id_hash
  from (select id_hash, row_number() over sofar as place, sum(bytes) over sofar as total
    from page window sofar as (order by id_hash)) as counted
  where place = 1 or total <= $6::bigint)
select ${howFar(relation)}, t.id_hash, ${COPY}
from (select true) as always
left join (taken join ${relation} as t on t.app = $1 and t.id_hash = taken.id_hash) on true
order by t.id_hash`

const listKeys = (relation: string): string => `
with ${page(relation)}
select ${howFar(relation)}, page.id_hash
from (select true) as always left join page on true
order by page.id_hash`

const count = (relation: string): string => `
select count(*) as living, ${hiddenOf(relation)}
from ${relation}
where app = $1 and destroyed_at is null and expires_at > $2::timestamptz`

const sight = (relation: string): string => `select ${hiddenOf(relation)}`

/**
 * All that the store needs of the table, without writing to it: it is there with all columns, is not locked, and may be
 * written to.
 */
const health = (relation: string): string => `
select ${hiddenOf(relation)}, pg_is_in_recovery() as standby, current_setting('transaction_read_only') = 'on' as read_only,
  ${['select', 'insert', 'update', 'delete'].map((right) => `has_table_privilege(${textOf(relation)}, '${right}') as may_${right}`).join(', ')},
  (select row(${namesOf([...KEY_COLUMNS, ...SESSION_COLUMNS]).join(', ')}, destroyed_at, keep_until) from ${relation} limit 0) as nothing`

/** From the catalog, where anyone may look. Another program may have a table of that name, with other columns. */
const migrationList = (schema: string): string => `
select c.relkind in ('r', 'p') and has_table_privilege(c.oid, 'select') and (
  select count(*) = 4
  from pg_catalog.pg_attribute
  where attrelid = c.oid and attname in ('table_name', 'number', 'name', 'checksum') and not attisdropped) as readable
from pg_catalog.pg_class c
join pg_catalog.pg_namespace n on n.oid = c.relnamespace
where n.nspname = ${textOf(schema)} and c.relname = 'migration'`

/** By way of jsonb, since a list that was made by an older nonstick lacks the last of these columns. */
export const migrationsOf = (schema: string, table: string): string => `
select number, name, checksum, to_jsonb(m) ->> 'compatible_from' as compatible_from
from ${relationOf(schema, 'migration')} as m
where table_name = ${textOf(table)}
order by number`

const unfitForAll: Statement['unfit'] = (row) => {
  if (row['standby'] === true) return 'it only reads: it is a standby'
  if (row['read_only'] === true) return 'it only reads: `default_transaction_read_only` is on for it, or for this role'
  const missing = ['select', 'insert', 'update', 'delete'].filter((right) => row[`may_${right}`] !== true)
  if (missing.length > 0) return `the role lacks a right on the table (${missing.join(', ')}); \`sql/reload\` grants it`
  return hidden(row)
}

const namesOf = (columns: readonly Column[]): string[] => columns.map(([name]) => name)

/** Rows of parameters as a table of entries; each has its position, and the first row tells the types. */
const valuesOf = (columns: readonly Column[], size: number): string => {
  const rows = Array.from({ length: size }, (_, position) => {
    const first = position * columns.length + 1
    const cells = columns.map(([, type], index) => `$${first + index}${position === 0 ? `::${type}` : ''}`)
    return `(${position}, ${cells.join(', ')})`
  })
  return `select * from (values ${rows.join(', ')}) as entry (position, ${namesOf(columns).join(', ')})`
}
