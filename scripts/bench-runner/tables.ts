/** What was measured, as tables for people. */
import { rounded } from './goals.js'
import type { RecordedCase, RecordedFamily } from './record.js'
import type { Measure } from './rounds.js'

/** How the figures are headed, in the order of the columns. Each is for one operation unless its words say otherwise. */
const HEADINGS: Readonly<Record<Measure, string>> = {
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
const MEASURES = Object.keys(HEADINGS) as Measure[]

const cellOf = ({ medians, spreads }: RecordedCase, measure: Measure): string => {
  const [median, spread = 0] = [medians[measure], spreads[measure]]
  if (median === undefined) return '–'
  return spread === 0 ? `${rounded(median)}` : `${rounded(median)} ± ${Number(spread.toPrecision(2))}`
}

/** One table for each group, in markdown. */
export const tablesOf = ({ cases }: RecordedFamily): string =>
  [...new Set(cases.map(({ group }) => group))]
    .map((group) => {
      const rows = cases.filter((one) => one.group === group)
      const shown = MEASURES.filter((measure) => rows.some(({ medians }) => medians[measure] !== undefined))
      return [
        `| ${group} | ${shown.map((measure) => HEADINGS[measure]).join(' | ')} |`,
        `|---|${shown.map(() => '--:|').join('')}`,
        ...rows.map((row) => `| ${row.name} | ${shown.map((measure) => cellOf(row, measure)).join(' | ')} |`),
        '',
      ].join('\n')
    })
    .join('\n')
