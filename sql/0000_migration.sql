-- What has been done to this schema, one row per migration and session table. Runs before every look at it.
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
