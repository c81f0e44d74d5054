-- Which older programs may go on after a migration. A file of its own: lists that were made before it lack the column.

alter table :"schema".migration
  add column if not exists compatible_from integer;

comment on column :"schema".migration.compatible_from is
  'programs whose newest migration has this number, or a higher one, work with the table once this migration was applied; null: its own number';
