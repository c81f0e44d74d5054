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
  ['app', 'text'],
  ['user_id', 'text'],
  ['user_hash', 'bytea'],
  ['user_epoch', 'integer'],
  ['identified_at', 'timestamptz'],
  ['address', 'text'],
  ['user_agent', 'text'],
  ['reads', 'bigint'],
  ['writes', 'bigint'],
  ['created_at', 'timestamptz'],
  ['seen_at', 'timestamptz'],
  ['expires_at', 'timestamptz'],
  ['absolute_expires_at', 'timestamptz'],
  ['idle_ttl_ms', 'bigint'],
  ['has_own_idle_ttl', 'boolean'],
  ['origin', 'bigint'],
  ['purge_hour', 'integer'],
] as const satisfies readonly Column[]

const GUARD_COLUMNS = [
  ['guard_lineage', 'bytea'],
  ['below_version', 'bigint'],
  ['parent_lineage', 'bytea'],
  ['parent_version', 'bigint'],
] as const satisfies readonly Column[]

const KEY_COLUMNS = [
  ['namespace', 'text'],
  ['id_hash', 'bytea'],
] as const satisfies readonly Column[]

const EXTEND_COLUMNS = [
  ['seen_at', 'timestamptz'],
  ['expires_at', 'timestamptz'],
  ['purge_hour', 'integer'],
] as const satisfies readonly Column[]

/** The columns of a user's record, in the order in which `userValues` and what follows it fill them. */
const RECORD_COLUMNS = [
  ['namespace', 'text'],
  ['user_hash', 'bytea'],
  ['user_id', 'text'],
  ['epoch', 'integer'],
  ['seats', 'jsonb'],
] as const satisfies readonly Column[]

type Column = readonly [name: string, type: string]

/**
 * By which of its columns a listing or a count finds its sessions. There is one statement for each way and not one for
 * each combination of what may be asked for: the rest is looked at in the rows that were found.
 */
export type Way = 'namespace' | 'app' | 'user'

/** Both tables: that of the sessions, and that of the records of users beside it. */
interface Relations {
  readonly sessions: string
  readonly records: string
}

/** Every statement over one table. `Of` ones take the number of entries, one of `BATCH_SIZES`. */
export interface Statements {
  /** A session. Data of more bytes than the third parameter says is left out, and `data_bytes` tells how large it is. */
  readonly read: Statement
  /** A piece of the data of one copy of a session, from a place on that is counted from 1; no row where that has gone. */
  readonly readPiece: Statement
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
  /** How many rows `purge` would remove, counted to `$4`. */
  readonly purgeable: Statement
  /**
   * A page of sessions: the answer begins with how far it was looked, also where no session is in it. The parameters are
   * those of `wayValues`, and then `after`, how many sessions are wanted, and how many rows may be passed over for them;
   * here also how many bytes of data, and whether the data is wanted.
   */
  listOf(way: Way): Statement
  /** The same with the keys alone. */
  listKeysOf(way: Way): Statement
  /**
   * How many sessions there are. The parameters are those of `wayValues` and then, but for a user's, the hours of the
   * moment since which they were seen and of now.
   */
  countOf(way: Way): Statement
  /** The same of their users. */
  countUsersOf(way: Exclude<Way, 'user'>): Statement
  readonly readUser: Statement
  readonly insertUser: Statement
  readonly updateUser: Statement
  readonly health: Statement
  /** Whether there is a list of migrations that this role may read. */
  readonly migrationList: Statement
  /** What that list says of the table. */
  readonly migrations: Statement
}

export const relationOf = (schema: string, table: string): string =>
  `${quoteIdentifier(schema)}.${quoteIdentifier(table)}`

/** The table of the records of users, beside that of the sessions. */
export const recordTableOf = (table: string): string => `${table}_user_record`

export const statementsFor = (schema: string, table: string): Statements => {
  const relation = relationOf(schema, table)
  const records = relationOf(schema, recordTableOf(table))
  const relations = { sessions: relation, records }
  const mark = createHash('sha256').update(relation).digest('hex').slice(0, 8)
  const named = (name: string, text: string, unfit?: Statement['unfit']): Statement => ({
    name: `nonstick_${mark}_${name}`,
    text,
    ...(unfit === undefined ? {} : { unfit }),
  })
  const perKind = <Kind extends number | Way>(
    name: string,
    textOf: (kind: Kind) => string,
    unfit?: Statement['unfit'],
  ): ((kind: Kind) => Statement) => {
    const made = new Map<Kind, Statement>()
    return (kind) => {
      const statement = made.get(kind) ?? named(`${name}_${kind}`, textOf(kind), unfit)
      made.set(kind, statement)
      return statement
    }
  }
  return {
    read: named('read', read(relations), hidden),
    readPiece: named('read_piece', readPiece(relations)),
    insert: named('insert', insert(relation)),
    insertOver: named('insert_over', insertOver(relation)),
    lookLate: named('look_late', lookLate(relation), hidden),
    updateOf: perKind('update', (size) => update(relation, size)),
    extendOf: perKind('extend', (size) => extend(relation, size)),
    lookOf: perKind('look', (size) => look(relation, size), hidden),
    destroy: named('destroy', destroy(relation)),
    destroyStanding: named('destroy_standing', destroyStanding(relation)),
    destroyOnly: named('destroy_only', destroyOnly(relation)),
    sight: named('sight', `select ${hiddenOf(relation, records)}`, hidden),
    ended: named('ended', ended(relation), hidden),
    purge: named('purge', purge(relation, mark), hidden),
    purgeable: named('purgeable', purgeable(relation), hidden),
    listOf: perKind('list', (way) => list(relation, way), hidden),
    listKeysOf: perKind('list_keys', (way) => listKeys(relation, way), hidden),
    countOf: perKind('count', (way) => count(relation, way), hidden),
    countUsersOf: perKind('count_users', (way) => countUsers(relation, way), hidden),
    readUser: named('read_user', readUser(records), hidden),
    insertUser: named('insert_user', insertUser(records)),
    updateUser: named('update_user', updateUser(records)),
    health: named('health', health(relations), unfitForAll),
    migrationList: named('migration_list', migrationList(schema)),
    migrations: named('migrations', migrationsOf(schema, table)),
  }
}

/**
 * Row-level security leaves rows out without a word, and a session whose row is not seen would be "no session". So each
 * answer that can say that something is not there says too whether rows are hidden from this role.
 */
const hiddenOf = (...relations: readonly string[]): string =>
  `${relations.map((relation) => `row_security_active(${textOf(relation)})`).join(' or ')} as hidden`

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
const MOMENTS = ['identified', 'created', 'seen', 'expires', 'absolute_expires']
  .map(
    (name) =>
      `case t.${name}_at when 'infinity' then ${LAST_MS} when '-infinity' then 0 else (extract(epoch from t.${name}_at) * 1000)::bigint end as ${name}_ms`,
  )
  .join(', ')

/** All of a session but its data. */
const HEADER = `t.lineage, t.version, t.write_ids, t.codec, t.app, t.user_id, t.user_epoch, t.address, t.user_agent,
  t.reads, t.writes, t.idle_ttl_ms, t.has_own_idle_ttl, t.origin, ${MOMENTS}`

/**
 * One statement sees one state of both tables, so the epoch is not older than the session. The epoch is no join: of a
 * namespace that it has not counted yet, the planner would read all users to join them.
 */
const read = ({ sessions, records }: Relations): string => `
select ${hiddenOf(sessions, records)}, t.namespace is not null as found, t.destroyed_at is not null as destroyed,
  (select epoch from ${records} where namespace = $1 and user_hash = t.user_hash) as current_epoch,
  case when octet_length(t.data) <= $3::integer then t.data end as data, octet_length(t.data) as data_bytes, ${HEADER}
from (select true) as always
left join ${sessions} as t on t.namespace = $1 and t.id_hash = $2`

const readPiece = ({ sessions }: Relations): string => `
select substring(t.data from $3::integer for $4::integer) as piece
from ${sessions} as t
where t.namespace = $1 and t.id_hash = $2
  and t.destroyed_at is null and t.lineage = $5::bytea and t.version = $6::bigint`

/** What an insert is given behind the session. */
const [NOT_AFTER, OVER_LINEAGE, OVER_VERSION, OVER_ENDED_BY] = [1, 2, 3, 4].map(
  (place) => `$${KEY_COLUMNS.length + SESSION_COLUMNS.length + place}`,
)

/** The clock is read when the row is placed, not when the statement came: it may have waited for another insert. */
const insertWhen = (relation: string, onConflict: string): string => `
insert into ${relation} as t (${namesOf([...KEY_COLUMNS, ...SESSION_COLUMNS]).join(', ')})
select ${parametersOf([...KEY_COLUMNS, ...SESSION_COLUMNS]).join(', ')}
where ${NOT_AFTER}::timestamptz is null or clock_timestamp() <= ${NOT_AFTER}::timestamptz
on conflict ${onConflict}
returning true as done`

const insert = (relation: string): string => insertWhen(relation, 'do nothing')

const insertOver = (relation: string): string =>
  insertWhen(
    relation,
    `(namespace, id_hash) do update
set ${namesOf(SESSION_COLUMNS)
      .map((name) => `${name} = excluded.${name}`)
      .join(', ')}
where t.destroyed_at is null
  and t.lineage = ${OVER_LINEAGE}::bytea and t.version = ${OVER_VERSION}::bigint
  and t.expires_at <= ${OVER_ENDED_BY}::timestamptz`,
  )

const lookLate = (relation: string): string => `
select ${hiddenOf(relation)}, clock_timestamp() > $3::timestamptz as late, t.namespace is not null as found,
  t.lineage, t.version, t.write_ids, t.destroyed_at is not null as destroyed
from (select true) as always
left join ${relation} as t on t.namespace = $1 and t.id_hash = $2`

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
from entry${size === 1 ? '' : ' join locked using (namespace, id_hash)'}
where t.namespace = entry.namespace and t.id_hash = entry.id_hash
  and t.destroyed_at is null
  and ((t.lineage = entry.guard_lineage and t.version < entry.below_version)
    or (t.lineage = entry.parent_lineage and t.version = entry.parent_version))
returning entry.position`

/** What an update makes of a column: as `replacing` of the contract says. */
const replaced = (name: string): string => {
  const later = `greatest(t.${name}, entry.${name})`
  if (name === 'seen_at') return later
  const isDeadline = name === 'expires_at' || name === 'purge_hour'
  return isDeadline
    ? `case when t.idle_ttl_ms = entry.idle_ttl_ms then ${later} else entry.${name} end`
    : `entry.${name}`
}

/** An extension knows its hour without the end that no use moves; that one stands in the row. */
const extend = (relation: string, size: number): string => `
with entry as (${valuesOf([...KEY_COLUMNS, ...EXTEND_COLUMNS], size)})${lockedFirst(relation, size)}
update ${relation} as t
set ${['seen_at', 'expires_at'].map((name) => `${name} = greatest(t.${name}, entry.${name})`).join(', ')},
  purge_hour = greatest(t.purge_hour, least(entry.purge_hour,
    ceil(extract(epoch from greatest(t.absolute_expires_at, entry.expires_at)) / 3600))::integer)
from entry${size === 1 ? '' : ' join locked using (namespace, id_hash)'}
where t.namespace = entry.namespace and t.id_hash = entry.id_hash
  and t.destroyed_at is null
returning entry.position`

const look = (relation: string, size: number): string => `
with entry as (${valuesOf(KEY_COLUMNS, size)})
select ${hiddenOf(relation)}, entry.position, t.namespace is not null as found,
  t.lineage, t.version, t.write_ids, t.destroyed_at is not null as destroyed
from entry left join ${relation} as t on t.namespace = entry.namespace and t.id_hash = entry.id_hash
where entry.namespace is not null`

const lockedFirst = (relation: string, size: number): string =>
  size === 1
    ? ''
    : `, locked as materialized (
  select t.namespace, t.id_hash
  from ${relation} as t join entry on t.namespace = entry.namespace and t.id_hash = entry.id_hash
  order by t.namespace, t.id_hash
  for no key update of t)`

/** Nothing of the session is left but that it was: no data, no user, no client, no write ids but the destruction's own. */
const erase = (writeId: string): string =>
  `data = null, app = '', user_id = null, user_hash = null, user_epoch = 0, identified_at = null,
  address = null, user_agent = null, reads = 0, writes = 0, origin = 0,
  write_ids = case when t.destroyed_at is null then ${writeId} else t.write_ids end`

const destroy = (relation: string): string => `
insert into ${relation} as t (namespace, id_hash, lineage, version, write_ids, created_at, seen_at, expires_at, absolute_expires_at,
  destroyed_at, keep_until, purge_hour)
values ($1, $2, decode('0000000000000000', 'hex'), 0, $6::bytea, $3::timestamptz, $3, $3, $3, $3, $7::timestamptz, $8::integer)
on conflict (namespace, id_hash) do update
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
where namespace = $1 and id_hash = $2
returning t.write_ids = $6 as mine`

const destroyOnly = (relation: string): string => `
update ${relation} as t
set ${erase('$6::bytea')},
  destroyed_at = coalesce(t.destroyed_at, $3::timestamptz),
  keep_until = greatest(t.keep_until, $4::timestamptz),
  purge_hour = case when t.destroyed_at is null then $5::integer else greatest(t.purge_hour, $5::integer) end
where namespace = $1 and id_hash = $2
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
select ${hiddenOf(relation)}, t.namespace, t.id_hash, t.destroyed_at is null and t.absolute_expires_at > $2 as may_live
from (select true) as always
left join (
  select namespace, id_hash, destroyed_at, absolute_expires_at
  from ${relation} as each
  where purge_hour <= $1::integer and ${hasEnded('each', '$2', '$3')}
  order by purge_hour
  limit $4::bigint) as t on true`

/**
 * One process purges at a time. The lock lasts as long as this statement, and not as long as a session of the database,
 * which behind PgBouncer may be anybody's. What has changed since it was looked at is looked at again here, and what
 * somebody else holds locked is left. Rows are named by their keys, and not by where they lie: two partitions may each
 * have a row at the same place.
 */
const purge = (relation: string, mark: string): string => `
with turn as materialized (select pg_try_advisory_xact_lock(hashtextextended('nonstick purge ${mark}', 0)) as mine),
doomed as materialized (
  select t.namespace, t.id_hash
  from json_to_recordset($1::json) as named (namespace text, id_hash text)
  join ${relation} as t on t.namespace = named.namespace and t.id_hash = decode(named.id_hash, 'hex')
  where (select mine from turn) and ${hasEnded('t', '$2', '$3')}
  for update of t skip locked),
purged as (
  delete from ${relation} as t
  using doomed
  where t.namespace = doomed.namespace and t.id_hash = doomed.id_hash
  returning 1)
select turn.mine, (select count(*) from purged) as removed, ${hiddenOf(relation)} from turn`

const purgeable = (relation: string): string => `
select count(*) as removable, ${hiddenOf(relation)}
from (
  select 1
  from ${relation} as each
  where purge_hour <= $1::integer and ${hasEnded('each', '$2', '$3')}
  limit $4::bigint) as ended`

/**
 * How a way finds its sessions, in the words of the index that has them: those of tombstones are in none of these, and
 * `live_namespace` keeps the planner from taking the primary key, in which they are. And how many parameters it takes.
 */
const WAYS: Readonly<Record<Way, { readonly found: string; readonly fits: string; readonly parameters: number }>> = {
  namespace: { found: 'live_namespace = $1', fits: '($4::text is null or app = $4)', parameters: 4 },
  app: { found: "live_namespace = $1 and app = $4 and app <> ''", fits: 'true', parameters: 4 },
  user: {
    found: 'live_namespace = $1 and user_hash = $5::bytea',
    fits: '($4::text is null or app = $4) and user_id = $6',
    parameters: 6,
  },
}

/** What is asked of a session that was found. A user's are few, and only his own are among those with his hash. */
const meantIn = ({ fits }: { readonly fits: string }): string =>
  `expires_at > $2::timestamptz and seen_at >= $3::timestamptz and ${fits}`

/** The parameters of a page, behind those of its way. */
const pageParameters = (way: Way): Record<'after' | 'limit' | 'passed' | 'maxBytes' | 'withData', string> => {
  const at = (place: number): string => `$${WAYS[way].parameters + place}`
  return {
    after: `${at(1)}::bytea`,
    limit: `${at(2)}::bigint`,
    passed: `${at(3)}::bigint`,
    maxBytes: `${at(4)}::bigint`,
    withData: `${at(5)}::boolean`,
  }
}

/**
 * The first sessions behind a key. Only so many rows are passed over for them, so that a page is a bounded piece of work
 * also where many stand in a row that have expired, or are not meant.
 */
const page = (relation: string, way: Way, columns: string): string => {
  const { after, limit, passed } = pageParameters(way)
  return `
page as materialized (
  select *
  from (
    select ${columns}, ${meantIn(WAYS[way])} as is_meant
    from ${relation}
    where ${WAYS[way].found} and id_hash > ${after}
    order by id_hash
    limit ${passed}) as scanned
  where is_meant
  order by id_hash
  limit ${limit})`
}

/** How many sessions were found, and, where those are too few, the row at which the look ended if more rows follow. */
const howFar = (relation: string, way: Way): string => {
  const { after, limit, passed } = pageParameters(way)
  return `
  ${hiddenOf(relation)}, (select count(*) from page) as living,
  case when (select count(*) from page) < ${limit} then (
    select id_hash from ${relation} where ${WAYS[way].found} and id_hash > ${after}
    order by id_hash offset ${passed} - 1 limit 1
  ) end as scanned_to`
}

/**
 * Of a page's sessions those whose data, where it is wanted, comes to no more bytes than asked for, but one at least. The
 * lengths of the data are known without reading it, where it is so large that it matters.
 */
const list = (relation: string, way: Way): string => {
  const { maxBytes, withData } = pageParameters(way)
  return `
with ${page(relation, way, '*')},
counted as (
  select *, row_number() over sofar as place, sum(octet_length(data)) over sofar as total
  from page window sofar as (order by id_hash))
select ${howFar(relation, way)}, t.id_hash, case when ${withData} then t.data end as data, ${HEADER}
from (select true) as always
left join counted as t on t.place = 1 or not ${withData} or t.total <= ${maxBytes}
order by t.id_hash`
}

const listKeys = (relation: string, way: Way): string => `
with ${page(relation, way, 'id_hash')}
select ${howFar(relation, way)}, page.id_hash
from (select true) as always left join page on true
order by page.id_hash`

/**
 * The users of the sessions that are meant, in three parts. Where both hours are behind the hours in question, those hours
 * alone tell that a session is meant, and the index has them. In the hours in question its moments decide, which only
 * the row has: that is the last hour of the time that is asked for, and what expires within this hour.
 */
const activity = (relation: string, way: Exclude<Way, 'user'>): readonly string[] => {
  const [app, seenHour, nowHour] = way === 'app' ? ['and app = $4', '$5', '$6'] : ['', '$4', '$5']
  const where = `from ${relation} where live_namespace = $1 ${app}`
  const isMeant = 'expires_at > $2::timestamptz and seen_at >= $3::timestamptz'
  return [
    `${where} and seen_hour > ${seenHour}::integer and expires_hour > ${nowHour}::integer`,
    `${where} and seen_hour > ${seenHour} and expires_hour = ${nowHour} and ${isMeant}`,
    `${where} and seen_hour = ${seenHour} and expires_hour >= ${nowHour} and ${isMeant}`,
  ]
}

const count = (relation: string, way: Way): string =>
  way === 'user'
    ? `
select count(*) as living, ${hiddenOf(relation)}
from ${relation}
where ${WAYS.user.found} and ${meantIn(WAYS.user)}`
    : `
select ${activity(relation, way)
        .map((part) => `(select count(*) ${part})`)
        .join(' + ')} as living, ${hiddenOf(relation)}`

const countUsers = (relation: string, way: Exclude<Way, 'user'>): string => `
select count(*) as users, ${hiddenOf(relation)}
from (${activity(relation, way)
  .map((part) => `select user_hash ${part} and user_hash is not null`)
  .join(' union ')}) as users`

const readUser = (records: string): string => `
select ${hiddenOf(records)}, r.epoch, r.seats, r.revision
from (select true) as always
left join ${records} as r on r.namespace = $1 and r.user_hash = $2 and r.user_id = $3`

const insertUser = (records: string): string => `
insert into ${records} (${namesOf(RECORD_COLUMNS).join(', ')}, revision)
values (${parametersOf(RECORD_COLUMNS).join(', ')}, 1)
on conflict (namespace, user_hash) do nothing
returning true as done`

const updateUser = (records: string): string => `
update ${records}
set epoch = $4::integer, seats = $5::jsonb, revision = revision + 1
where namespace = $1 and user_hash = $2 and user_id = $3 and revision = $6::bigint
returning true as done`

/** What the program does with a table, each a right that the role needs. A user's record is never deleted. */
const RIGHTS = {
  sessions: ['select', 'insert', 'update', 'delete'],
  records: ['select', 'insert', 'update'],
} as const satisfies Record<keyof Relations, readonly string[]>

/**
 * All that the store needs of both tables, without writing to them: they are there with all columns, are not locked, and
 * may be written to.
 */
const health = ({ sessions, records }: Relations): string => `
select ${hiddenOf(sessions, records)}, pg_is_in_recovery() as standby,
  current_setting('transaction_read_only') = 'on' as read_only,
  ${lacksPartition(sessions)} as lacks_partition,
  ${lackedRights(sessions, RIGHTS.sessions)} as lacked, ${lackedRights(records, RIGHTS.records)} as lacked_on_records,
  (select row(${[...namesOf([...KEY_COLUMNS, ...SESSION_COLUMNS]), 'live_namespace', 'seen_hour', 'expires_hour', 'destroyed_at', 'keep_until'].join(', ')})
    from ${sessions} limit 0) as nothing,
  (select row(${[...namesOf(RECORD_COLUMNS), 'revision'].join(', ')}) from ${records} limit 0) as nothing_either`

/** Each part has the modulus-th part of the rows, so that they come to one where none is missing. Null: it has no parts. */
const lacksPartition = (relation: string): string => `(
    select round(sum(1 / substring(pg_get_expr(part.relpartbound, part.oid) from 'modulus ([0-9]+)')::numeric), 6) is distinct from 1
    from pg_catalog.pg_class as whole
    left join pg_catalog.pg_inherits as i on i.inhparent = whole.oid
    left join pg_catalog.pg_class as part on part.oid = i.inhrelid
    where whole.oid = ${textOf(relation)}::regclass and whole.relkind = 'p'
    group by whole.oid)`

/** Those that the role does not have, with a comma between them. */
const lackedRights = (relation: string, rights: readonly string[]): string =>
  `concat_ws(', ', ${rights.map((right) => `case when not has_table_privilege(${textOf(relation)}, '${right}') then '${right}' end`).join(', ')})`

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
  if (row['lacks_partition'] === true)
    return 'a partition of the table was detached or dropped: attach it again, with its modulus and remainder'
  for (const [column, which] of [
    ['lacked', 'the table'],
    ['lacked_on_records', 'the table of the records of users'],
  ] as const)
    if (row[column] !== '')
      return `the role lacks a right on ${which} (${row[column]}); \`npx nonstick setup\` grants it`
  return hidden(row)
}

const namesOf = (columns: readonly Column[]): string[] => columns.map(([name]) => name)

/** One row of parameters, the first ones of a statement. */
const parametersOf = (columns: readonly Column[]): string[] =>
  columns.map(([, type], index) => `$${index + 1}::${type}`)

/** Rows of parameters as a table of entries; each has its position, and the first row tells the types. */
const valuesOf = (columns: readonly Column[], size: number): string => {
  const rows = Array.from({ length: size }, (_, position) => {
    const first = position * columns.length + 1
    const cells = columns.map(([, type], index) => `$${first + index}${position === 0 ? `::${type}` : ''}`)
    return `(${position}, ${cells.join(', ')})`
  })
  return `select * from (values ${rows.join(', ')}) as entry (position, ${namesOf(columns).join(', ')})`
}
