/**
 * Turns `sql/*.sql` into `src/backends/postgres/migrations.ts`: a bundler carries a module along, but not a file
 * that is read at run time. Run it as `npx tsx scripts/build-migrations.ts` after adding a migration; a test
 * fails while the module is out of date.
 */
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'

const SQL = new URL('../sql/', import.meta.url)
const MODULE = new URL('../src/backends/postgres/migrations.ts', import.meta.url)

/** A checkout on Windows may have other line ends; the text, and so its checksum, is the same everywhere. */
const read = (name: string): string => readFileSync(new URL(name, SQL), 'utf8').replaceAll('\r\n', '\n')

const literal = (sql: string): string =>
  `\`${sql.replaceAll('\\', '\\\\').replaceAll('`', '\\`').replaceAll('${', '\\${')}\``

/**
 * The line by which a migration says which older programs still work with the table once it was applied: those whose
 * newest migration is this one, or a later one. A migration without the line ends the work of all older programs.
 */
const COMPATIBLE_FROM = /^-- compatible from: (\d{4})$/m

/** The number in that line, or else the migration's own. */
export const compatibleFromOf = (name: string, sql: string): number => {
  const own = Number(name.slice(0, 4))
  const line = COMPATIBLE_FROM.exec(sql)?.[1]
  const declared = Number(line ?? own)
  if (declared < 1 || declared > own || (line === undefined && /compatible from/i.test(sql)))
    throw new Error(
      `sql/${name}: expected a line "-- compatible from: 0001" with a number from 0001 to ${name.slice(0, 4)}, or none`,
    )
  return declared
}

const entry = (file: string): string => {
  const sql = read(file)
  const checksum = createHash('sha256').update(sql, 'utf8').digest('hex')
  const name = file.replace(/\.sql$/, '')
  return `  {
    number: ${Number(name.slice(0, 4))},
    name: '${name}',
    compatibleFrom: ${compatibleFromOf(name, sql)},
    checksum: '${checksum}',
    sql: ${literal(sql)},
  },
`
}

/** The module's text as it should be. */
export const migrationsModule = (): string => {
  const files = readdirSync(SQL)
    .filter((name) => /^\d{4}_[a-z_]+\.sql$/.test(name))
    .sort()
  const bookkeeping = files.filter((name) => name.startsWith('0000'))
  const migrations = files.filter((name) => !name.startsWith('0000'))
  const gap = migrations.find((name, index) => Number(name.slice(0, 4)) !== index + 1)
  if (gap !== undefined)
    throw new Error(`sql/${gap} is out of order: migrations are numbered 0001, 0002, … without gaps`)
  return `// Written by scripts/build-migrations.ts from sql/. Change those files, not this one.

/** One file of \`sql/\`. */
export interface Migration {
  readonly number: number
  readonly name: string
  /**
   * Programs whose newest migration has this number, or a higher one, work with the table once this one was applied; older
   * ones do not.
   */
  readonly compatibleFrom: number
  /** SHA-256 of \`sql\`, in hexadecimal. */
  readonly checksum: string
  /** With placeholders for names, see \`render\` in migrate.ts. */
  readonly sql: string
}

/** Makes the table that remembers which migrations were applied. Runs ahead of them; is itself not recorded. */
export const BOOKKEEPING: string = ${literal(bookkeeping.map(read).join('\n'))}

/** In order; number \`n\` stands at index \`n - 1\`. */
export const MIGRATIONS: readonly Migration[] = [
${migrations.map(entry).join('')}]
`
}

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  writeFileSync(MODULE, migrationsModule())
  console.log(`wrote ${fileURLToPath(MODULE)}`)
}
