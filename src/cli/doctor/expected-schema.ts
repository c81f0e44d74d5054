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
  app text collate "C" not null
  id_hash bytea not null
  user_id text collate "C"
  user_epoch integer not null default 0
  lineage bytea not null
  version bigint not null
  write_ids bytea not null default '\\x'::bytea
  codec smallint not null default 0
  data bytea storage e
  created_at timestamp with time zone not null
  seen_at timestamp with time zone not null
  expires_at timestamp with time zone not null
  absolute_expires_at timestamp with time zone not null
  idle_ttl_ms bigint not null default 0
  destroyed_at timestamp with time zone
  keep_until timestamp with time zone
  purge_hour integer not null
  seen_hour integer not null
  constraint codec_is_a_byte CHECK (((codec >= 0) AND (codec <= 255)))
  constraint id_hash_is_short CHECK (((octet_length(id_hash) >= 1) AND (octet_length(id_hash) <= 64)))
  constraint idle_ttl_is_not_negative CHECK ((idle_ttl_ms >= 0))
  constraint lineage_is_eight_bytes CHECK ((octet_length(lineage) = 8))
  constraint live_has_data_and_a_tombstone_none CHECK (((destroyed_at IS NULL) = (data IS NOT NULL)))
  constraint only_a_tombstone_is_kept CHECK (((destroyed_at IS NULL) = (keep_until IS NULL)))
  constraint session_pkey PRIMARY KEY (app, id_hash)
  constraint version_is_not_negative CHECK ((version >= 0))
  constraint write_ids_are_eight_bytes_each CHECK ((((octet_length(write_ids) % 8) = 0) AND (octet_length(write_ids) <= 64)))
  with fillfactor=70, autovacuum_vacuum_scale_factor=0.02, autovacuum_analyze_scale_factor=0.02; toast with autovacuum_vacuum_scale_factor=0.02
CREATE INDEX session_purge_hour ON nonstick.session USING btree (purge_hour)
CREATE INDEX session_seen_hour ON nonstick.session USING btree (app, seen_hour)
CREATE INDEX session_user_id ON nonstick.session USING btree (app, user_id) WHERE (user_id IS NOT NULL)
CREATE UNIQUE INDEX session_pkey ON nonstick.session USING btree (app, id_hash)
`
