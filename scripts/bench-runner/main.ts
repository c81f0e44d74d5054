/** Runs what `scripts/bench` promises; `HELP` is the promise. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { type BenchArguments, readArguments } from './arguments.js'
import type { Effort, FamilyResult, RunFamily } from './bench.js'
import { capacityPage } from './capacity-page.js'
import { codec } from './codec.js'
import { flush } from './flush.js'
import { type Family, type FigureName, type Figures, GOALS, type Verdict, verdictOf, wordsOf } from './goals.js'
import { pagesOf } from './pages.js'
import { type BenchRecord, type Circumstances, circumstances, readRecord, recordedFamily, recordOf } from './record.js'
import { request } from './request.js'
import { scale } from './scale.js'
import { store } from './store.js'
import { tablesOf } from './tables.js'

const HELP = `scripts/bench [--only family,…] [--seconds s] [--rounds n] [--quick] [--json] [--write]

One family, quickly:  scripts/bench --only codec --quick --seconds 0.2 --rounds 3
The families are request, store, codec, flush and scale; all of them take 10 to 15 minutes.

Measures nonstick beside other session stores, beside the clients that it stands on, and beside the limit, on servers that it
starts itself: Memcached, Redis and PostgreSQL. It measures the built package, and builds it anew where a source is newer.
All cases of a family take turns, in rounds. A ratio is that of each round, and of these the median, so that a busy machine
changes it little. CPU is what the process of the server or the client used, by its own counters.

  --only     the families to measure, separated by commas
  --seconds  for how long a case is measured in each round, at most (0.5)
  --rounds   how many rounds are counted (5); one more warms up
  --quick    measures only the cases that the figures with a goal come from
  --write    writes docs/benchmarks: the tables, the plots and the record, and compares with the record before
  --json     prints nothing but one line of JSON: {"figures":{…},"spreads":{…},"bounds":{…},"missed":[…]}

Without --json that line is the last one. "missed" names the figures that do not reach their bound.`

const RUN: Readonly<Record<Family, RunFamily>> = { request, store, codec, flush, scale }

const docs = new URL('../../docs/', import.meta.url)

const print = (result: FamilyResult, on: Circumstances): void => {
  const recorded = recordedFamily(result, on)
  console.log([`\n## ${result.family}\n\n${tablesOf(recorded)}`, ...recorded.notes].join('\n'))
}

/** One line for each figure, with what it was in the record. */
const printFigures = ({ figures, spreads, bounds, missed }: Verdict, before: BenchRecord | undefined): void => {
  for (const [name, bound] of Object.entries(bounds)) {
    const was = before?.figures[name]
    console.log(
      `${missed.includes(name) ? 'missed ' : 'reached'} ${name}: ${figures[name]} ± ${spreads[name]} (${wordsOf(bound)}` +
        `${was === undefined ? '' : `; ${was} at ${before?.commit}`}) ${GOALS[name as FigureName].says}`,
    )
  }
}

const write = async (record: BenchRecord): Promise<void> => {
  const folder = new URL('benchmarks/', docs)
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(await pagesOf(record))) writeFileSync(new URL(name, folder), text)
  writeFileSync(new URL('capacity.md', docs), capacityPage())
}

const main = async ({ only, json, write: isWritten, seconds, rounds, quick }: BenchArguments): Promise<void> => {
  const effort: Effort = { seconds, rounds, quick }
  const results: FamilyResult[] = []
  for (const family of only) {
    const result = await RUN[family](effort, (step) => process.stderr.write(`${family}: ${step}\n`))
    results.push(result)
    if (!json) print(result, circumstances(effort, [result], new Date()))
  }
  const verdict = verdictOf(only, Object.assign({}, ...results.map(({ figures }) => figures)) as Figures)
  const before = readRecord(new URL('benchmarks/record.json', docs))
  if (!json) printFigures(verdict, before)
  if (isWritten) await write(recordOf(before, results, verdict, circumstances(effort, results, new Date())))
  console.log(JSON.stringify(verdict))
}

const read = (): BenchArguments | undefined => {
  try {
    return readArguments(process.argv.slice(2))
  } catch (error) {
    console.error(`${(error as Error).message}\n\n${HELP}`)
    process.exitCode = 2
    return undefined
  }
}

const given = read()
if (given?.help) console.log(HELP)
else if (given !== undefined) await main(given)
