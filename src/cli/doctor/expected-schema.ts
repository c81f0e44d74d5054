// Written by test/backends/postgres/setup.test.ts from test/snapshots/schema.sql. Change that, not this.

/** What the migrations make in a schema called nonstick, with a table called session: a line for each thing. */
export const EXPECTED_SCHEMA: string = `table nonstick.migration
  table_name text collate "C" not null
  number integer not null
  name text not null
  checksum text not null
  applied_at timestamp with time zone not null default now()
  compatible_from integer
  constraint migration_pkey PRIMARY KEY (table_name, number)
  with nothing; toast with nothing
CREATE UNIQUE INDEX migration_pkey ON nonstick.migration USING btree (table_name, number)

table nonstick.session
  namespace text collate "C" not null
  id_hash bytea not null
  app text collate "C" not null default ''::text
  user_id text collate "C"
  user_hash bytea
  user_epoch integer not null default 0
  identified_at timestamp with time zone
  address text
  user_agent text
  lineage bytea not null
  version bigint not null
  write_ids bytea not null default '\\x'::bytea
  codec smallint not null default 0
  data bytea storage e
  reads bigint not null default 0
  writes bigint not null default 0
  created_at timestamp with time zone not null
  seen_at timestamp with time zone not null
  expires_at timestamp with time zone not null
  absolute_expires_at timestamp with time zone not null
  idle_ttl_ms bigint not null default 0
  has_own_idle_ttl boolean not null default false
  origin bigint not null default 0
  destroyed_at timestamp with time zone
  keep_until timestamp with time zone
  purge_hour integer not null
  seen_hour integer not null generated as (GREATEST((0)::numeric, LEAST((2147483647)::numeric, floor((EXTRACT(epoch FROM (seen_at AT TIME ZONE 'UTC'::text)) / (3600)::numeric)))))::integer
  expires_hour integer not null generated as (GREATEST((0)::numeric, LEAST((2147483647)::numeric, floor((EXTRACT(epoch FROM (expires_at AT TIME ZONE 'UTC'::text)) / (3600)::numeric)))))::integer
  live_namespace text collate "C" generated as  CASE WHEN (destroyed_at IS NULL) THEN namespace ELSE NULL::text END
  constraint a_tombstone_is_nobodys CHECK (((destroyed_at IS NULL) OR (user_id IS NULL)))
  constraint codec_is_a_byte CHECK (((codec >= 0) AND (codec <= 255)))
  constraint id_hash_is_short CHECK (((octet_length(id_hash) >= 1) AND (octet_length(id_hash) <= 64)))
  constraint idle_ttl_is_not_negative CHECK ((idle_ttl_ms >= 0))
  constraint lineage_is_eight_bytes CHECK ((octet_length(lineage) = 8))
  constraint live_has_data_and_a_tombstone_none CHECK (((destroyed_at IS NULL) = (data IS NOT NULL)))
  constraint only_a_tombstone_is_kept CHECK (((destroyed_at IS NULL) = (keep_until IS NULL)))
  constraint origin_has_six_bytes CHECK (((origin >= 0) AND (origin <= '281474976710655'::bigint)))
  constraint reads_and_writes_are_not_negative CHECK (((reads >= 0) AND (writes >= 0)))
  constraint session_pkey PRIMARY KEY (namespace, id_hash)
  constraint user_hash_is_that_of_the_user CHECK ((((user_hash IS NULL) = (user_id IS NULL)) AND (user_hash = sha256(convert_to(user_id, 'UTF8'::name)))))
  constraint version_is_not_negative CHECK ((version >= 0))
  constraint write_ids_are_eight_bytes_each CHECK ((((octet_length(write_ids) % 8) = 0) AND (octet_length(write_ids) <= 64)))
  with fillfactor=70, autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.02; toast with autovacuum_vacuum_scale_factor=0.02
CREATE INDEX session_activity ON nonstick.session USING btree (live_namespace, app, seen_hour, expires_hour, user_hash) WHERE (live_namespace IS NOT NULL)
CREATE INDEX session_app ON nonstick.session USING btree (live_namespace, app, id_hash) WHERE ((live_namespace IS NOT NULL) AND (app <> ''::text))
CREATE INDEX session_live ON nonstick.session USING btree (live_namespace, id_hash) WHERE (live_namespace IS NOT NULL)
CREATE INDEX session_purge_hour ON nonstick.session USING btree (purge_hour)
CREATE INDEX session_user_id ON nonstick.session USING btree (live_namespace, user_hash, id_hash) WHERE ((live_namespace IS NOT NULL) AND (user_hash IS NOT NULL))
CREATE UNIQUE INDEX session_pkey ON nonstick.session USING btree (namespace, id_hash)

table nonstick.session_user_record
  namespace text collate "C" not null
  user_hash bytea not null
  user_id text collate "C" not null
  epoch integer not null
  seats jsonb
  revision bigint not null
  constraint epoch_is_not_negative CHECK ((epoch >= 0))
  constraint seats_are_a_list CHECK ((jsonb_typeof(seats) = 'array'::text))
  constraint session_user_record_pkey PRIMARY KEY (namespace, user_hash)
  constraint user_hash_is_that_of_the_user CHECK ((user_hash = sha256(convert_to(user_id, 'UTF8'::name))))
  with fillfactor=70; toast with nothing
CREATE UNIQUE INDEX session_user_record_pkey ON nonstick.session_user_record USING btree (namespace, user_hash)
`
