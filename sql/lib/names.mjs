// How names and values get into SQL. src/backends/postgres/setup-names.ts does the same for the program.

/** `my "own"` becomes `"my ""own"""`. */
export const identifier = (name) => `"${name.replaceAll('"', '""')}"`

/** Right as long as `standard_conforming_strings` is on, and the plan sees to that. */
export const literal = (text) => `'${text.replaceAll("'", "''")}'`

/** A body for `do` that no name in it can end. */
export const dollarQuoted = (body) => {
  let tag = '$nonstick$'
  for (let n = 1; body.includes(tag); n += 1) tag = `$nonstick${n}$`
  return `${tag}\n${body}\n${tag}`
}

/** Puts the names into a migration: `:"schema"`, `:"table"`, and `:"table_x"` for the table's name and `_x`. */
export const render = (sql, { schema, table }) =>
  sql.replace(/:"(schema|table(_[a-z_]+)?)"/g, (_all, name, suffix) =>
    identifier(name === 'schema' ? schema : table + (suffix ?? '')),
  )

const LIMITS = { database: 63, role: 63, schema: 63, table: 40 }

/** What is wrong with the names, in a sentence for people; `undefined` if nothing is. */
export const complaintAbout = (names) => {
  for (const [option, maxBytes] of Object.entries(LIMITS)) {
    const name = names[option]
    if (name === '' || Buffer.byteLength(name) > maxBytes)
      return `Expected --${option} to be a name of 1 to ${maxBytes} bytes, got ${JSON.stringify(name)}`
    // biome-ignore lint/suspicious/noControlCharactersInRegex: a line end in a name could end a comment of a migration
    if (/[\u0000-\u001f\u007f]/.test(name)) return `Expected --${option} to hold no control characters`
  }
  if (/[?#]/.test(names.database))
    return 'Expected --database to hold neither ? nor #: a connection URL could not name it'
  if (names.table === 'migration') return 'Expected --table to be another name than that of the list of migrations'
  return undefined
}
