/** Runs what `scripts/visitors` promises; `HELP` is the promise. */
import { parseArgs } from 'node:util'
import { countVisitors } from './count.js'

const HELP = `Usage: scripts/visitors [--visitors NUMBER] [--seed NUMBER] [--seconds NUMBER]

Visitors who never log in (10000) call three stores of \`persistOn: 'identify'\` on a Memcached and a PostgreSQL of their
own, as the seed draws it (1). Then it counts on the servers: the rows and tombstones that they have left in PostgreSQL,
and the entries of Memcached, which end by themselves. Prints a line every ten thousand visitors. After \`--seconds\`
no more of them come, and those that came are counted.

The last line is JSON: {"visitors":…,"seed":…,"calls":…,"rows":…,"tombstones":…,"entries":…,"entriesWithoutEnd":…,
"seconds":…}. Ends with 0 if there is no row and no tombstone, and every entry has an end; with 1 if not, with 2 for a
wrong usage.`

const numberIn = (name: string, text: string, least: number): number => {
  const number = Number(text)
  if (/^\d+$/.test(text) && number >= least) return number
  throw new TypeError(`Expected --${name} to be a whole number from ${least} on, got ${text}`)
}

const main = async (words: readonly string[]): Promise<void> => {
  let wanted: { readonly visitors: number; readonly seed: number; readonly seconds: number }
  try {
    const { values } = parseArgs({
      args: [...words],
      options: {
        visitors: { type: 'string', default: '10000' },
        seed: { type: 'string', default: '1' },
        seconds: { type: 'string', default: '3600' },
        help: { type: 'boolean', default: false, short: 'h' },
      },
    })
    if (values.help) {
      console.log(HELP)
      return
    }
    wanted = {
      visitors: numberIn('visitors', values.visitors, 1),
      seed: numberIn('seed', values.seed, 0),
      seconds: numberIn('seconds', values.seconds, 1),
    }
  } catch (error) {
    console.error(`${error instanceof Error ? error.message : String(error)}\n\n${HELP}`)
    process.exitCode = 2
    return
  }
  const { visitors, seed, seconds } = wanted
  const onProgress = (done: number): void => {
    if (done % 10_000 === 0) console.log(`${done} of ${visitors} visitors`)
  }
  const counted = await countVisitors(visitors, seed, { seconds, onProgress })
  const { report, ...figures } = counted
  const calls = Object.values(report.calls).reduce((sum, times) => sum + times, 0)
  console.log(`calls: ${JSON.stringify(report.calls)}`)
  console.log(`refused: ${JSON.stringify(report.refused)}`)
  console.log(JSON.stringify({ ...figures, calls }))
  if (figures.rows > 0 || figures.tombstones > 0 || figures.entriesWithoutEnd > 0) process.exitCode = 1
}

await main(process.argv.slice(2))
