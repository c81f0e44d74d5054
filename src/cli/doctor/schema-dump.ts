/** A connection, as far as it is needed here. */
interface Client {
  query(text: string, values?: unknown[]): Promise<{ readonly rows: readonly unknown[] }>
}

/**
 * What stands in a schema, as text: from the catalog, in an order of our own, so that it reads the same on every
 * version of the server. Names of the schema itself appear as `nonstick`. It changes the connection's `search_path`.
 */
export const dumpSchema = async (client: Client, schema: string): Promise<string> => {
  // Then the server qualifies every name, whatever the role's search_path is.
  await client.query("select set_config('search_path', '', false)")
  const tables = (await client.query(TABLES, [schema])).rows as readonly Table[]
  const parts: string[] = []
  for (const table of tables) parts.push(await dumpTable(client, table))
  return parts.join('\n').replaceAll(`${schema}.`, 'nonstick.')
}

interface Table {
  readonly oid: number
  readonly name: string
  readonly options: string | null
  readonly toast_options: string | null
  readonly comment: string | null
  /** By what the rows are spread, and which of them are in this part; null where it has no parts, and is none. */
  readonly spread: string | null
  readonly part: string | null
}

const TABLES = `
  select
    c.oid,
    format('%I.%I', n.nspname, c.relname) as name,
    array_to_string(c.reloptions, ', ') as options,
    array_to_string(t.reloptions, ', ') as toast_options,
    obj_description(c.oid, 'pg_class') as comment,
    pg_get_partkeydef(c.oid) as spread,
    (
      select format('%s %s', i.inhparent::regclass, pg_get_expr(c.relpartbound, c.oid))
      from pg_inherits i
      where i.inhrelid = c.oid and c.relispartition
    ) as part
  from pg_class c
  join pg_namespace n on n.oid = c.relnamespace
  left join pg_class t on t.oid = c.reltoastrelid
  where n.nspname = $1
    and c.relkind not in ('i', 'I', 't')
  order by c.relname collate "C"`

const COLUMNS = `
  select concat_ws(
    ' ',
    quote_ident(a.attname),
    format_type(a.atttypid, a.atttypmod),
    'collate ' || nullif(quote_ident(l.collname), quote_ident('default')),
    case when a.attnotnull then 'not null' end,
    case when a.attgenerated = '' then 'default ' else 'generated as ' end
      || regexp_replace(pg_get_expr(d.adbin, d.adrelid), '[[:space:]]+', ' ', 'g'),
    case when a.attstorage <> y.typstorage then 'storage ' || a.attstorage::text end,
    '-- ' || col_description(a.attrelid, a.attnum)
  ) as line
  from pg_attribute a
  join pg_type y on y.oid = a.atttypid
  left join pg_collation l on l.oid = a.attcollation
  left join pg_attrdef d on d.adrelid = a.attrelid and d.adnum = a.attnum
  where a.attrelid = $1
    and a.attnum > 0
    and not a.attisdropped
  order by a.attnum`

// 'n': from version 18 on, "not null" is a constraint with a name of its own; the column tells already.
const CONSTRAINTS = `
  select format('constraint %I %s', conname, pg_get_constraintdef(oid)) as line
  from pg_constraint
  where conrelid = $1
    and contype <> 'n'
  order by conname collate "C"`

// An index of a table in parts is said to be on "only" the whole, though each part has its own under it.
const INDEXES = `
  select replace(pg_get_indexdef(indexrelid), ' ON ONLY ', ' ON ') as line
  from pg_index
  where indrelid = $1
  order by 1`

const dumpTable = async (client: Client, table: Table): Promise<string> => {
  const lines = async (query: string): Promise<readonly string[]> =>
    ((await client.query(query, [table.oid])).rows as readonly { readonly line: string }[]).map(({ line }) => line)
  const inside = [...(await lines(COLUMNS)), ...(await lines(CONSTRAINTS))]
  return [
    `table ${table.name}${table.comment === null ? '' : ` -- ${table.comment}`}`,
    ...inside.map((line) => `  ${line}`),
    ...(table.spread === null ? [] : [`  partition by ${table.spread}`]),
    ...(table.part === null ? [] : [`  partition of ${table.part}`]),
    `  with ${table.options ?? 'nothing'}; toast with ${table.toast_options ?? 'nothing'}`,
    ...(await lines(INDEXES)),
    '',
  ].join('\n')
}
