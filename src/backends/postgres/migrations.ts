// Written by scripts/build-migrations.ts from sql/. Change those files, not this one.

/** One file of `sql/`. */
export interface Migration {
  readonly number: number
  readonly name: string
  /**
   * Programs whose newest migration has this number, or a higher one, work with the table once this one was applied; older
   * ones do not.
   */
  readonly compatibleFrom: number
  /** SHA-256 of `sql`, in hexadecimal. */
  readonly checksum: string
  /** With placeholders for names, see `render` in migrate.ts. */
  readonly sql: string
}

/** Makes the table that remembers which migrations were applied. Runs ahead of them; is itself not recorded. */
export const BOOKKEEPING: string = `-- What has been done to this schema, one row per migration and session table. Runs before every look at it.
-- :"schema", :"table" and :"table_..." are replaced by quoted names; psql understands the same form.

create table if not exists :"schema".migration (
  table_name text collate "C" not null,
  number integer not null,
  name text not null,
  -- SHA-256 of the migration's text as released, so that an edited one is noticed
  checksum text not null,
  applied_at timestamptz not null default now(),
  primary key (table_name, number)
);

comment on table :"schema".migration is
  'nonstick: the migrations applied to each session table of this schema';

-- Which older programs may go on after a migration. A file of its own: lists that were made before it lack the column.

alter table :"schema".migration
  add column if not exists compatible_from integer;

comment on column :"schema".migration.compatible_from is
  'programs whose newest migration has this number, or a higher one, work with the table once this migration was applied; null: its own number';
`

/** In order; number `n` stands at index `n - 1`. */
export const MIGRATIONS: readonly Migration[] = [
  {
    number: 1,
    name: '0001_session',
    compatibleFrom: 1,
    checksum: '81393d9a2e4d51004aa4fc223f12b2ee46893f9158e0a9e452bbf2716b8850c5',
    sql: `-- One row per session: what survives a loss of the cache. Tombstones of destroyed sessions live here too.

create table if not exists :"schema".:"table" (
  -- Names compare byte by byte (collate "C"): a new libc or ICU then cannot disorder the indexes.
  app text collate "C" not null,
  id_hash bytea not null,
  user_id text collate "C",
  user_epoch integer not null default 0,
  lineage bytea not null,
  version bigint not null,
  write_ids bytea not null default '',
  codec smallint not null default 0,
  data bytea,
  created_at timestamptz not null,
  seen_at timestamptz not null,
  expires_at timestamptz not null,
  absolute_expires_at timestamptz not null,
  idle_ttl_ms bigint not null default 0,
  destroyed_at timestamptz,
  keep_until timestamptz,
  purge_hour integer not null,
  seen_hour integer not null,
  primary key (app, id_hash),
  constraint id_hash_is_short check (octet_length(id_hash) between 1 and 64),
  constraint lineage_is_eight_bytes check (octet_length(lineage) = 8),
  constraint version_is_not_negative check (version >= 0),
  constraint write_ids_are_eight_bytes_each check (octet_length(write_ids) % 8 = 0 and octet_length(write_ids) <= 64),
  constraint codec_is_a_byte check (codec between 0 and 255),
  constraint idle_ttl_is_not_negative check (idle_ttl_ms >= 0),
  constraint live_has_data_and_a_tombstone_none check ((destroyed_at is null) = (data is not null)),
  constraint only_a_tombstone_is_kept check ((destroyed_at is null) = (keep_until is null))
)
with (
  -- Room on the page for the next version of a row: an update that touches no index then stays on its page (HOT).
  fillfactor = 70,
  -- Every flush leaves a dead row behind; the default of a fifth of the table would come far too late.
  autovacuum_vacuum_scale_factor = 0.02,
  autovacuum_analyze_scale_factor = 0.02,
  toast.autovacuum_vacuum_scale_factor = 0.02
);

-- The codec's bytes hardly compress; trying on each flush would cost more than it saves.
alter table :"schema".:"table"
  alter column data set storage external;

-- The purge walks the oldest hours first. A timestamp here would change with every use of a session and make
-- each of those updates write to all indexes; the hour seldom changes.
create index if not exists :"table_purge_hour"
  on :"schema".:"table" (purge_hour);

-- Logging a user out everywhere, and listing a user's sessions. Anonymous sessions are many and never asked for.
create index if not exists :"table_user_id"
  on :"schema".:"table" (app, user_id)
  where user_id is not null;

-- Who was here lately, without reading the table. Hours again, for the reason above.
create index if not exists :"table_seen_hour"
  on :"schema".:"table" (app, seen_hour);

comment on table :"schema".:"table" is
  'nonstick: sessions as of their last flush; the cache in front may be some writes ahead. Safe to read; to end a session use the program, since the cache would go on serving it';
comment on column :"schema".:"table".app is
  'the namespace option of the store';
comment on column :"schema".:"table".id_hash is
  'SHA-256 of the session id; the id itself is stored nowhere';
comment on column :"schema".:"table".user_id is
  'whose session it is, as the identify option told; null for an anonymous one';
comment on column :"schema".:"table".user_epoch is
  'raised to log a user out everywhere';
comment on column :"schema".:"table".lineage is
  'random name of the cache entry that wrote this row last';
comment on column :"schema".:"table".version is
  'grows with every write of the session, flushed or not';
comment on column :"schema".:"table".write_ids is
  'names of the latest writes contained, eight bytes each, newest last';
comment on column :"schema".:"table".codec is
  'which codec wrote data';
comment on column :"schema".:"table".data is
  'the session as the codec wrote it; null in a tombstone';
comment on column :"schema".:"table".created_at is
  'when it began';
comment on column :"schema".:"table".seen_at is
  'last known use; brought up to date at intervals only';
comment on column :"schema".:"table".expires_at is
  'ends then unless it is used';
comment on column :"schema".:"table".absolute_expires_at is
  'ends then, used or not';
comment on column :"schema".:"table".idle_ttl_ms is
  'how long it lives unused, in milliseconds';
comment on column :"schema".:"table".destroyed_at is
  'set in a tombstone: the session ended then and must not come back';
comment on column :"schema".:"table".keep_until is
  'a tombstone is not purged before';
comment on column :"schema".:"table".purge_hour is
  'hour since 1970 after which the row can be purged, rounded up; coarse on purpose, see the index';
comment on column :"schema".:"table".seen_hour is
  'hour since 1970 of seen_at; coarse on purpose, see the index';
`,
  },
]
