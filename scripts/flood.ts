/** Runs what `scripts/flood` promises; `HELP` is the promise. */
import { memcached } from '../src/caches/memcached/index.js'
import { systemRuntime } from '../src/runtime.js'
import { entriesOf } from '../test/flood/entries.js'
import { brokenBy, flood, type Known } from '../test/flood/flood.js'
import { startMemcached } from './servers/index.js'

const HELP = `scripts/flood [seconds] [seed]

Starts Memcached, puts a backend behind it whose reads take 20 ms each, and asks a store for 5,000 unknown ids a second, for
so many seconds (20). Meanwhile 50 visitors a second come, each with a session that the cache has lost. Runs three times: the
visitors' cookies were checked; nobody's was, and the flood comes from four addresses; and the flood asks for the same
thousand ids over and over, and the visitors come two seconds after it, when each of these ids has been looked for once.
Then once more with a store that is told nothing of who asks, which has to fail: the control.

Each time at least 99 % of the visitors have to be served within 250 ms, no row may be written, and the cache may have no
more entries than it has sessions, reads that found nothing, and leases. The last line is JSON. The exit code is 0 if all of
it held, and the control did not; 1 if not, or if this machine could not make 5,000 calls a second; 2 for a wrong usage.`

const UNKNOWN_PER_SECOND = 5_000
const PAUSE_MS = 2
/** A machine that makes fewer of the calls than this share of them shows nothing. */
const LEAST_RATE = 0.9

interface Round {
  readonly name: string
  readonly known: Known
  readonly differentIds?: number
  readonly visitorsFromMs?: number
  readonly mustHold: boolean
}

const ROUNDS: readonly Round[] = [
  { name: 'cookies were checked', known: 'verified', mustHold: true },
  { name: 'a flood from four addresses', known: 'caller', mustHold: true },
  { name: 'the same thousand ids', known: 'nothing', differentIds: 1_000, visitorsFromMs: 2_000, mustHold: true },
  { name: 'the control', known: 'nothing', mustHold: false },
]

const main = async (seconds: number, seed: number): Promise<number> => {
  const rounds = []
  let isGood = true
  for (const { name, mustHold, ...round } of ROUNDS) {
    const server = await startMemcached()
    const cache = memcached({ servers: `127.0.0.1:${server.port}` })
    try {
      const report = await flood({
        runtime: systemRuntime,
        cache,
        entries: () => entriesOf(server.port),
        pause: () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS)),
        ...{ backendMs: 20, durationMs: 1_000 * seconds, unknownPerSecond: UNKNOWN_PER_SECOND, visitorsPerSecond: 50 },
        ...{ inTimeMs: 250, seed },
        ...round,
      })
      const broken = brokenBy(report)
      const isFlood = report.askedPerSecond >= LEAST_RATE * UNKNOWN_PER_SECOND
      isGood &&= isFlood && (broken.length === 0) === mustHold
      rounds.push({ name, ...report, share: Number(report.share.toFixed(4)), broken })
      const served = `${(100 * report.share).toFixed(1)} % of ${report.visitors} visitors within 250 ms`
      console.log(
        `${name}: ${report.askedPerSecond} unknown ids a second, ${served} (p99 ${report.p99Ms} ms), ${report.backendReads} reads of the backend, ${report.refused} refused, ${report.failed} failed, ${report.rowsWritten} rows written, ${report.mostEntries} of ${report.entriesAllowed} entries${isFlood ? '' : '; this machine was too slow to show anything'}`,
      )
    } finally {
      await server.stop()
    }
  }
  console.log(JSON.stringify({ seconds, seed, held: isGood, rounds }))
  return isGood ? 0 : 1
}

const [seconds = '20', seed = '1', ...others] = process.argv.slice(2)
if (seconds === '--help' || seconds === '-h') console.log(HELP)
else if (others.length > 0 || !/^[1-9]\d{0,3}$/.test(seconds) || !/^\d{1,9}$/.test(seed)) {
  console.error(`scripts/flood takes a number of seconds and a seed, and got something else.\n\n${HELP}`)
  process.exitCode = 2
} else process.exitCode = await main(Number(seconds), Number(seed))
