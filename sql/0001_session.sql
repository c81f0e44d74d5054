-- One row per session: what survives a loss of the cache. Tombstones of destroyed sessions live here too.

create table if not exists :"schema".:"table" (
  -- Names compare byte by byte (collate "C"): a new libc or ICU then cannot disorder the indexes.
  namespace text collate "C" not null,
  id_hash bytea not null,
  app text collate "C" not null default '',
  user_id text collate "C",
  -- What is indexed in place of user_id, which may be longer than an index takes.
  user_hash bytea,
  user_epoch integer not null default 0,
  identified_at timestamptz,
  address text,
  user_agent text,
  lineage bytea not null,
  version bigint not null,
  write_ids bytea not null default '',
  codec smallint not null default 0,
  data bytea,
  reads bigint not null default 0,
  writes bigint not null default 0,
  created_at timestamptz not null,
  seen_at timestamptz not null,
  expires_at timestamptz not null,
  absolute_expires_at timestamptz not null,
  idle_ttl_ms bigint not null default 0,
  has_own_idle_ttl boolean not null default false,
  origin bigint not null default 0,
  destroyed_at timestamptz,
  keep_until timestamptz,
  purge_hour integer not null,
  -- The server reckons these two from the moments, so that a moment changed by hand cannot disagree with its hour.
  seen_hour integer not null generated always as (
    greatest(0, least(2147483647, floor(extract(epoch from seen_at at time zone 'UTC') / 3600)))::integer
  ) stored,
  expires_hour integer not null generated always as (
    greatest(0, least(2147483647, floor(extract(epoch from expires_at at time zone 'UTC') / 3600)))::integer
  ) stored,
  -- Tombstones have none, and so stand in no index of those that begin with it. It is a column so that the planner cannot
  -- take the primary key for such a search, in which they do stand.
  live_namespace text collate "C" generated always as (case when destroyed_at is null then namespace end) stored,
  primary key (namespace, id_hash),
  constraint id_hash_is_short check (octet_length(id_hash) between 1 and 64),
  constraint user_hash_is_that_of_the_user check (
    (user_hash is null) = (user_id is null) and user_hash = sha256(convert_to(user_id, 'UTF8'))
  ),
  constraint lineage_is_eight_bytes check (octet_length(lineage) = 8),
  constraint version_is_not_negative check (version >= 0),
  constraint write_ids_are_eight_bytes_each check (octet_length(write_ids) % 8 = 0 and octet_length(write_ids) <= 64),
  constraint codec_is_a_byte check (codec between 0 and 255),
  constraint reads_and_writes_are_not_negative check (reads >= 0 and writes >= 0),
  constraint idle_ttl_is_not_negative check (idle_ttl_ms >= 0),
  constraint origin_has_six_bytes check (origin between 0 and 281474976710655),
  constraint live_has_data_and_a_tombstone_none check ((destroyed_at is null) = (data is not null)),
  constraint only_a_tombstone_is_kept check ((destroyed_at is null) = (keep_until is null)),
  constraint a_tombstone_is_nobodys check (destroyed_at is null or user_id is null)
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

-- The pages of a listing.
create index if not exists :"table_live"
  on :"schema".:"table" (live_namespace, id_hash)
  where live_namespace is not null;

-- The same for one application. Who names no applications has no entry in it.
create index if not exists :"table_app"
  on :"schema".:"table" (live_namespace, app, id_hash)
  where live_namespace is not null and app <> '';

-- The same for one user. Anonymous sessions are many and never asked for.
create index if not exists :"table_user_id"
  on :"schema".:"table" (live_namespace, user_hash, id_hash)
  where live_namespace is not null and user_hash is not null;

-- How many sessions and users there are, and were here lately, without reading the table: only where one of the two
-- hours is the hour in question does a count have to look at the moment. Hours again, for the reason above.
create index if not exists :"table_activity"
  on :"schema".:"table" (live_namespace, app, seen_hour, expires_hour, user_hash)
  where live_namespace is not null;

comment on table :"schema".:"table" is
  'nonstick: sessions as of their last flush; the cache in front may be some writes ahead. Safe to read; to end a session use the program, since the cache would go on serving it';
comment on column :"schema".:"table".namespace is
  'the namespace option of the store';
comment on column :"schema".:"table".live_namespace is
  'the namespace; null in a tombstone';
comment on column :"schema".:"table".id_hash is
  'SHA-256 of the session id; the id itself is stored nowhere';
comment on column :"schema".:"table".app is
  'the application within the namespace; empty where none was named, and in a tombstone';
comment on column :"schema".:"table".user_id is
  'whose session it is, as the identify option told; null for an anonymous one';
comment on column :"schema".:"table".user_hash is
  'SHA-256 of user_id';
comment on column :"schema".:"table".user_epoch is
  'the epoch of the user when the session became his; it has ended once his record has a higher one';
comment on column :"schema".:"table".identified_at is
  'when it became that user''s';
comment on column :"schema".:"table".address is
  'the network address of the client, where an adapter was asked to give it';
comment on column :"schema".:"table".user_agent is
  'what the client calls itself, where an adapter was asked to give it';
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
comment on column :"schema".:"table".reads is
  'uses that changed nothing, roughly; brought up to date at intervals only';
comment on column :"schema".:"table".writes is
  'writes that were accepted';
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
comment on column :"schema".:"table".has_own_idle_ttl is
  'whether a call gave the session that time-out, so that no option of the store changes it';
comment on column :"schema".:"table".origin is
  'by what the audit trail goes on naming a session that was given a new id; 0 for one that was not, and in a tombstone';
comment on column :"schema".:"table".destroyed_at is
  'set in a tombstone: the session ended then and must not come back';
comment on column :"schema".:"table".keep_until is
  'a tombstone is not purged before';
comment on column :"schema".:"table".purge_hour is
  'hour since 1970 after which the row can be purged, rounded up; coarse on purpose, see the index';
comment on column :"schema".:"table".seen_hour is
  'hour since 1970 of seen_at; coarse on purpose, see the index';
comment on column :"schema".:"table".expires_hour is
  'hour since 1970 of expires_at; coarse on purpose, see the index';

-- One row per user who was logged out everywhere, or whose sessions were counted. It outlives them, and is never purged.

create table if not exists :"schema".:"table_user_record" (
  namespace text collate "C" not null,
  -- The text itself may be longer than an index takes.
  user_hash bytea not null,
  user_id text collate "C" not null,
  epoch integer not null,
  seats jsonb,
  revision bigint not null,
  primary key (namespace, user_hash),
  constraint user_hash_is_that_of_the_user check (user_hash = sha256(convert_to(user_id, 'UTF8'))),
  constraint epoch_is_not_negative check (epoch >= 0),
  constraint seats_are_a_list check (jsonb_typeof(seats) = 'array')
)
-- Room on the page for the next version of a row, as above: no update of this table touches the index.
with (fillfactor = 70);

comment on table :"schema".:"table_user_record" is
  'nonstick: what is kept of a user beside his sessions. Safe to read; a row that is deleted brings back sessions that were ended everywhere';
comment on column :"schema".:"table_user_record".namespace is
  'the namespace option of the store';
comment on column :"schema".:"table_user_record".user_hash is
  'SHA-256 of user_id';
comment on column :"schema".:"table_user_record".user_id is
  'who it is, as the identify option told';
comment on column :"schema".:"table_user_record".epoch is
  'raised to log the user out everywhere: his sessions with a lower one have ended';
comment on column :"schema".:"table_user_record".seats is
  'which sessions take the places that the user may have at once, the oldest first; null where nobody has counted';
comment on column :"schema".:"table_user_record".revision is
  'grows with every write of this row';
