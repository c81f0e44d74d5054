/** Runs what `scripts/bench` promises; `HELP` is the promise. */
import { type BenchArguments, readArguments } from './arguments.js'
import type { FamilyResult, RunFamily } from './bench.js'
import { codec } from './codec.js'
import { flush } from './flush.js'
import { type Family, type FigureName, GOALS, verdictOf, wordsOf } from './goals.js'
import { request } from './request.js'
import { scale } from './scale.js'
import { store } from './store.js'
import { printTables } from './tables.js'

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

const main = async ({ only, json, ...effort }: BenchArguments): Promise<void> => {
  const results: FamilyResult[] = []
  for (const family of only) {
    const result = await RUN[family](effort, (step) => process.stderr.write(`${family}: ${step}\n`))
    results.push(result)
    if (!json) printTables(result)
  }
  const figures = Object.assign({}, ...results.map((result) => result.figures))
  const verdict = verdictOf(only, figures)
  if (!json)
    for (const [name, bound] of Object.entries(verdict.bounds))
      console.log(
        `${verdict.missed.includes(name) ? 'missed ' : 'reached'} ${name}: ${verdict.figures[name]} ` +
          `± ${verdict.spreads[name]} (${wordsOf(bound)}) ${GOALS[name as FigureName].says}`,
      )
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
