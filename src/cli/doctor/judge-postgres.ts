import { FORM_CURE } from '../../backends/postgres/partitions.js'
import type { TableNames } from '../../backends/postgres/setup-names.js'
import { duration } from '../output.js'
import { EXPECTED_SCHEMA } from './expected-schema.js'
import { type Finding, isOnThisMachine } from './finding.js'
import { skewOf } from './judge-memcached.js'
import { OVERDUE_AT_MOST, type PostgresFacts } from './postgres-facts.js'

/** What the store expects of its PostgreSQL. */
export interface PostgresExpectation extends TableNames {
  /** `postgres db:5432` */
  readonly tier: string
  /** In how many parts the table of sessions should be; `undefined`: that is not said. */
  readonly partitions: number | undefined
  readonly maxClockSkewMs: number
  readonly absoluteTtlMs: number
}

type Judge = (facts: PostgresFacts, expected: PostgresExpectation) => readonly Finding[]

/** What is wrong with a PostgreSQL. */
export const judgePostgres: Judge = (facts, expected) =>
  [unseen, schema, partitions, durability, timeouts, clock, tls, lives, connections, purging, vacuum].flatMap((judge) =>
    judge(facts, expected),
  )

const SET_UP = 'Run `npx nonstick setup`.'

/** A doctor who saw nothing must not pass for one who found nothing. */
const unseen: Judge = (facts, { tier }) =>
  facts.unseen.map((what) => ({
    check: 'not-looked-at',
    severity: 'warning',
    tier,
    finding: `Something could not be looked at: ${what}.`,
    cure: `${SET_UP} It makes what is missing, and grants the rights that the role lacks.`,
  }))

const quoted = (name: string): string => (/^[a-z_][a-z0-9_$]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`)

const relationOf = ({ schema, table }: TableNames): string => `${quoted(schema)}.${quoted(table)}`

/** What the migrations make, line by line, with the names of this schema and table. */
const linesExpected = ({ schema, table }: TableNames): readonly string[] =>
  EXPECTED_SCHEMA.replace(/\bsession((?:_[a-z_]+)?)\b/g, (_all, suffix: string) => quoted(table + suffix))
    .replaceAll('nonstick.', `${quoted(schema)}.`)
    .split('\n')
    .filter((line) => line !== '')

/** The dump calls the schema `nonstick`, unless its name has to be quoted. */
const linesOf = (dump: string, schema: string): readonly string[] =>
  dump
    .replace(/ -- .*$/gm, '')
    .replaceAll('nonstick.', `${quoted(schema)}.`)
    .split('\n')

/** What follows the line that names a table. */
const linesOfTable = (lines: readonly string[], name: string): readonly string[] => {
  const from = lines.indexOf(`table ${name}`)
  if (from === -1) return []
  const next = lines.findIndex((line, at) => at > from && line.startsWith('table '))
  return lines.slice(from + 1, next === -1 ? undefined : next)
}

const SPREAD = '  partition by HASH (namespace, id_hash)'

interface Parts {
  /** By the rest that each has of the hash. */
  readonly byRemainder: ReadonlyMap<number, readonly string[]>
  /** By how much the hash is divided: how many parts there should be. */
  readonly modulus: number
}

/** The parts of the table of sessions; `undefined` where it has none. */
const partsIn = (lines: readonly string[], names: TableNames): Parts | undefined => {
  if (!linesOfTable(lines, relationOf(names)).includes(SPREAD)) return undefined
  const start = `  partition of ${relationOf(names)} FOR VALUES WITH `
  const byRemainder = new Map<number, readonly string[]>()
  let modulus = 0
  for (const heading of lines.filter((line) => line.startsWith('table '))) {
    const inside = linesOfTable(lines, heading.slice('table '.length))
    const bound = inside.find((line) => line.startsWith(start))?.slice(start.length)
    const [, divisor, remainder] = /^\(modulus (\d+), remainder (\d+)\)$/.exec(bound ?? '') ?? []
    if (divisor === undefined) continue
    modulus = Math.max(modulus, Number(divisor))
    byRemainder.set(Number(remainder), inside)
  }
  return { byRemainder, modulus }
}

const schema: Judge = ({ schema: dump }, expected) => {
  if (dump === undefined) return []
  const lines = linesOf(dump, expected.schema)
  const there = new Set(lines)
  const parts = partsIn(lines, expected)
  const wanted = linesExpected(expected)
  const storage = linesOfTable(wanted, relationOf(expected)).find(isStorage) ?? ''
  const missing = wanted.filter((line) => !(parts !== undefined && line === storage) && !there.has(line))
  // How a table is stored is an operator's to change.
  const [stored, lacking] = [missing.filter(isStorage), missing.filter((line) => !isStorage(line))]
  if (parts !== undefined) {
    if ([...parts.byRemainder.values()].some((inside) => !inside.includes(storage)))
      stored.push(`${storage.trim()}, of each partition`)
    if (parts.modulus === 0) lacking.push('all of its partitions')
    const remainders = Array.from({ length: parts.modulus }, (_, remainder) => remainder)
    lacking.push(
      ...remainders
        .filter((remainder) => !parts.byRemainder.has(remainder))
        .map((remainder) => `the partition with modulus ${parts.modulus}, remainder ${remainder}`),
    )
  }
  const { tier } = expected
  return [
    ...finding(lacking.map(trimmed), {
      check: 'backend-schema',
      severity: 'fault',
      tier,
      finding: 'The schema is not what the migrations make. It lacks',
      cure: 'Run `npx nonstick setup` where a table or a migration is missing. An index, a column, a rule or a partition that somebody removed or changed is to be made again as it stands here.',
    }),
    ...finding(stored.map(trimmed), {
      check: 'backend-storage',
      severity: 'note',
      tier,
      finding: 'A table is not stored as the migrations have it. They say',
      cure: 'Leave it so if somebody meant it; otherwise `alter table … set (…)` with what stands here.',
    }),
  ]
}

/** `partitions` is for making the table, and does nothing to one that is there. */
const partitions: Judge = ({ schema: dump }, expected) => {
  const { tier, partitions: wanted } = expected
  if (dump === undefined || wanted === undefined) return []
  const lines = linesOf(dump, expected.schema)
  if (!lines.includes(`table ${relationOf(expected)}`)) return []
  const parts = partsIn(lines, expected)
  if (parts?.modulus === wanted) return []
  return [
    {
      check: 'backend-partitions',
      severity: 'warning',
      tier,
      finding: `The configuration says ${wanted} partitions, and the table ${parts === undefined ? 'has none' : `has ${parts.modulus}`}.`,
      cure: `${capital(FORM_CURE)}.`,
    },
  ]
}

const capital = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1)}`

const trimmed = (line: string): string => line.trim()

const isStorage = (line: string): boolean => line.startsWith('  with ')

const finding = (lines: readonly string[], about: Finding): readonly Finding[] => {
  if (lines.length === 0) return []
  const rest = lines.length > 5 ? `; and ${lines.length - 5} more` : ''
  return [{ ...about, finding: `${about.finding}: ${lines.slice(0, 5).join('; ')}${rest}.` }]
}

const durability: Judge = ({ settings }, { tier }) =>
  (['fsync', 'full_page_writes', 'synchronous_commit'] as const)
    .filter((name) => settings[name] === 'off')
    .map((name) => ({
      check: 'backend-durability',
      severity: 'fault',
      tier,
      finding: `\`${name}\` is off: what it has acknowledged may be gone after a crash, logouts among it.`,
      cure: `Set \`${name}\` to on, in postgresql.conf or where it was set for the role or the database.`,
    }))

const timeouts: Judge = ({ settings }, { tier }) => {
  const missing = (['statement_timeout', 'idle_in_transaction_session_timeout'] as const).filter(
    (name) => settings[name] === '0',
  )
  if (missing.length === 0) return []
  return [
    {
      check: 'backend-timeouts',
      severity: 'warning',
      tier,
      finding: `Neither the role nor the database sets ${missing.map((name) => `\`${name}\``).join(' and ')}: a process that freezes may hold the row of a session for ever.`,
      cure: `${SET_UP} It sets them on the role, in this database only.`,
    },
  ]
}

const clock: Judge = ({ aheadMs, uncertaintyMs }, { tier, maxClockSkewMs }) =>
  skewOf('backend-clock', tier, aheadMs, maxClockSkewMs + uncertaintyMs, maxClockSkewMs)

const tls: Judge = ({ host, isEncrypted }, { tier }) =>
  isEncrypted || isOnThisMachine(host)
    ? []
    : [
        {
          check: 'backend-tls',
          severity: 'warning',
          tier,
          finding: 'Sessions and the password travel to another machine, and the connection is not encrypted.',
          cure: 'Add `sslmode=verify-full` to the connection string, and `sslrootcert` where the authority is your own.',
        },
      ]

/** A session may have an idle time-out of its own; the longest life is the store's alone. */
const lives: Judge = ({ longestLifeMs = 0 }, { tier, absoluteTtlMs }) =>
  longestLifeMs <= absoluteTtlMs + 1_000
    ? []
    : [
        {
          check: 'backend-lives',
          severity: 'warning',
          tier,
          finding: `There are sessions that were made to live ${duration(longestLifeMs)}, and the configuration here says ${duration(absoluteTtlMs)}: another process goes by other options, or they were made before the options were changed.`,
          cure: 'Give every process, and this command, the same `absoluteTtlMs` (NONSTICK_ABSOLUTE_TTL_MS).',
        },
      ]

const connections: Judge = ({ connections: { open, most } }, { tier }) =>
  open < most * 0.8
    ? []
    : [
        {
          check: 'backend-connections',
          severity: 'warning',
          tier,
          finding: `${open} of the ${most} connections that it takes are open.`,
          cure: 'Lower `maxConnections` of postgres, raise `max_connections`, or put PgBouncer in between: docs/set-up.md has the sum.',
        },
      ]

const purging: Judge = ({ overdue = 0 }, { tier }) =>
  overdue === 0
    ? []
    : [
        {
          check: 'backend-overdue',
          severity: 'warning',
          tier,
          finding: `${overdue === OVERDUE_AT_MOST ? `${overdue} rows or more` : `${overdue} rows`} could have been purged for two days or longer: nobody purges.`,
          cure: 'Leave `purgeEveryMs` on in one process at least, or run `npx nonstick purge` from time to time.',
        },
      ]

const vacuum: Judge = ({ settings }, { tier }) =>
  settings['autovacuum'] !== 'off'
    ? []
    : [
        {
          check: 'backend-vacuum',
          severity: 'warning',
          tier,
          finding: '`autovacuum` is off: each flush leaves a dead row behind, and the table grows without end.',
          cure: 'Set `autovacuum` to on in postgresql.conf.',
        },
      ]
