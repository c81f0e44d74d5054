/** What was measured, as tables for people. */
import type { FamilyResult } from './bench.js'
import { rounded } from './goals.js'
import { type Measure, type Measured, summarized } from './rounds.js'

/** How the figures are headed. Each is for one operation unless its words say otherwise. */
export const HEADINGS: Readonly<Record<Measure, string>> = {
  cpuUs: 'CPU, µs',
  perSecond: 'per second',
  p50Us: 'p50, µs',
  p99Us: 'p99, µs',
  roundTrips: 'commands at the cache',
  wireBytes: 'bytes at the cache',
  statements: 'statements',
  heapBytes: 'heap, bytes',
  bytes: 'size, bytes',
}

const cellOf = (measured: Measured, measure: Measure): string => {
  const { median, spread, rounds } = summarized(measured, measure)
  if (rounds === 0) return '–'
  return spread === 0 ? `${rounded(median)}` : `${rounded(median)} ± ${Number(spread.toPrecision(2))}`
}

/** One table for each group, in markdown. */
export const tablesOf = ({ measured, columns }: FamilyResult): string => {
  const groups = [...new Set(measured.map(({ group }) => group))]
  return groups
    .map((group) => {
      const rows = measured.filter((one) => one.group === group)
      const shown = columns.filter((measure) => rows.some((row) => summarized(row, measure).rounds > 0))
      const lines = [
        `| ${group} | ${shown.map((measure) => HEADINGS[measure]).join(' | ')} |`,
        `|---|${shown.map(() => '--:|').join('')}`,
        ...rows.map((row) => `| ${row.name} | ${shown.map((measure) => cellOf(row, measure)).join(' | ')} |`),
      ]
      return `${lines.join('\n')}\n`
    })
    .join('\n')
}

export const printTables = (result: FamilyResult): void =>
  console.log([`\n## ${result.family}\n\n${tablesOf(result)}`, ...(result.notes ?? [])].join('\n'))
