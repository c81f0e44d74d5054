/** Whether a program and a table fit each other, by the list of migrations that stands beside the table. */
import { MIGRATIONS, type Migration } from './migrations.js'

/** One row of the list: a migration that was applied to the table. */
export interface Applied {
  readonly number: number
  readonly name: string
  readonly checksum: string
  /** The newest migration of the oldest program that still works with the table after this one. */
  readonly compatibleFrom: number
}

/** The rows that `migrationsOf` selects. A list without the column is of a time when no migration was compatible. */
export const appliedOf = (rows: readonly Record<string, unknown>[]): readonly Applied[] =>
  rows.map((row) => ({
    number: Number(row['number']),
    name: String(row['name']),
    checksum: String(row['checksum']),
    compatibleFrom: Number(row['compatible_from'] ?? row['number']),
  }))

/**
 * Why this program must leave the table alone, in words that follow a colon, or `undefined` where it need not. A newer
 * program may have made promises about its rows that this one would break; a migration that was edited may have made
 * anything.
 *
 * @param relation the table, quoted
 * @param known the program's own migrations
 */
export const refusalOf = (
  applied: readonly Applied[],
  relation: string,
  known: readonly Migration[] = MIGRATIONS,
): string | undefined => {
  const newest = known.length
  const barring = applied.findLast(({ number, compatibleFrom }) => number > newest && compatibleFrom > newest)
  if (barring !== undefined)
    return `a newer nonstick has changed the table ${relation} (migration ${barring.name}), and this one, which knows ${newest} of its migrations, cannot work with it any more: upgrade the program`
  const stranger = applied.find(({ number, checksum }, index) => {
    const own = known[index]
    return own !== undefined && (own.number !== number || own.checksum !== checksum)
  })
  if (stranger !== undefined)
    return `the table ${relation} was made by another migration ${stranger.number} (${stranger.name}) than this program's: start from an empty schema`
  return undefined
}

/**
 * What the table still lacks for this program, in words that follow a colon, or `undefined` where it lacks nothing. A
 * table of which nothing is listed was made in another way, and is not judged here: its columns will tell.
 */
export const lackOf = (
  applied: readonly Applied[],
  relation: string,
  known: readonly Migration[] = MIGRATIONS,
): string | undefined => {
  const [missing] = known.slice(applied.length)
  if (applied.length === 0 || missing === undefined) return undefined
  return `the table ${relation} is of an older nonstick, and lacks the migration ${missing.name}`
}

/** What makes the table, or brings it up to date. */
export const SET_UP_CURE = 'run `npx nonstick setup`, or let the program do it with `postgres({ migrate: true })`'
