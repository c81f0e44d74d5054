table nonstick.migration -- nonstick: the migrations applied to each session table of this schema
  table_name text collate "C" not null
  number integer not null
  name text not null
  checksum text not null
  applied_at timestamp with time zone not null default now()
  compatible_from integer -- programs whose newest migration has this number, or a higher one, work with the table once this migration was applied; null: its own number
  constraint migration_pkey PRIMARY KEY (table_name, number)
  with nothing; toast with nothing
CREATE UNIQUE INDEX migration_pkey ON nonstick.migration USING btree (table_name, number)

table nonstick.session -- nonstick: sessions as of their last flush; the cache in front may be some writes ahead. Safe to read; to end a session use the program, since the cache would go on serving it
  namespace text collate "C" not null -- the namespace option of the store
  id_hash bytea not null -- SHA-256 of the session id; the id itself is stored nowhere
  app text collate "C" not null default ''::text -- the application within the namespace; empty where none was named, and in a tombstone
  user_id text collate "C" -- whose session it is, as the identify option told; null for an anonymous one
  user_hash bytea -- SHA-256 of user_id
  user_epoch integer not null default 0 -- the epoch of the user when the session became his; it has ended once his record has a higher one
  identified_at timestamp with time zone -- when it became that user's
  address text -- the network address of the client, where an adapter was asked to give it
  user_agent text -- what the client calls itself, where an adapter was asked to give it
  lineage bytea not null -- random name of the cache entry that wrote this row last
  version bigint not null -- grows with every write of the session, flushed or not
  write_ids bytea not null default '\x'::bytea -- names of the latest writes contained, eight bytes each, newest last
  codec smallint not null default 0 -- which codec wrote data
  data bytea storage e -- the session as the codec wrote it; null in a tombstone
  reads bigint not null default 0 -- uses that changed nothing, roughly; brought up to date at intervals only
  writes bigint not null default 0 -- writes that were accepted
  created_at timestamp with time zone not null -- when it began
  seen_at timestamp with time zone not null -- last known use; brought up to date at intervals only
  expires_at timestamp with time zone not null -- ends then unless it is used
  absolute_expires_at timestamp with time zone not null -- ends then, used or not
  idle_ttl_ms bigint not null default 0 -- how long it lives unused, in milliseconds
  has_own_idle_ttl boolean not null default false -- whether a call gave the session that time-out, so that no option of the store changes it
  origin bigint not null default 0 -- by what the audit trail goes on naming a session that was given a new id; 0 for one that was not, and in a tombstone
  destroyed_at timestamp with time zone -- set in a tombstone: the session ended then and must not come back
  keep_until timestamp with time zone -- a tombstone is not purged before
  purge_hour integer not null -- hour since 1970 after which the row can be purged, rounded up; coarse on purpose, see the index
  seen_hour integer not null generated as (GREATEST((0)::numeric, LEAST((2147483647)::numeric, floor((EXTRACT(epoch FROM (seen_at AT TIME ZONE 'UTC'::text)) / (3600)::numeric)))))::integer -- hour since 1970 of seen_at; coarse on purpose, see the index
  expires_hour integer not null generated as (GREATEST((0)::numeric, LEAST((2147483647)::numeric, floor((EXTRACT(epoch FROM (expires_at AT TIME ZONE 'UTC'::text)) / (3600)::numeric)))))::integer -- hour since 1970 of expires_at; coarse on purpose, see the index
  live_namespace text collate "C" generated as  CASE WHEN (destroyed_at IS NULL) THEN namespace ELSE NULL::text END -- the namespace; null in a tombstone
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

table nonstick.session_user_record -- nonstick: what is kept of a user beside his sessions. Safe to read; a row that is deleted brings back sessions that were ended everywhere
  namespace text collate "C" not null -- the namespace option of the store
  user_hash bytea not null -- SHA-256 of user_id
  user_id text collate "C" not null -- who it is, as the identify option told
  epoch integer not null -- raised to log the user out everywhere: his sessions with a lower one have ended
  seats jsonb -- which sessions take the places that the user may have at once, the oldest first; null where nobody has counted
  revision bigint not null -- grows with every write of this row
  constraint epoch_is_not_negative CHECK ((epoch >= 0))
  constraint seats_are_a_list CHECK ((jsonb_typeof(seats) = 'array'::text))
  constraint session_user_record_pkey PRIMARY KEY (namespace, user_hash)
  constraint user_hash_is_that_of_the_user CHECK ((user_hash = sha256(convert_to(user_id, 'UTF8'::name))))
  with fillfactor=70; toast with nothing
CREATE UNIQUE INDEX session_user_record_pkey ON nonstick.session_user_record USING btree (namespace, user_hash)
