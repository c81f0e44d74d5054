/** Runs what `scripts/chaos` promises; see `arguments.ts` for the promise. */
import { ensureMemcached, ensureRedis } from '../../scripts/servers/index.js'
import { HELP, readArguments, UsageError } from './arguments.js'
import { run } from './run.js'
import { complaintsAbout, reservationsAbout } from './verdict.js'

/** For starting, healing, looking at everything and judging, on a machine that has much else to do. */
const EXTRA_MS = 1_200_000

const main = async (): Promise<void> => {
  const wanted = readArguments(process.argv.slice(2))
  if (wanted.help) {
    console.log(HELP)
    return
  }
  if (ensureMemcached() === undefined || (wanted.backend === 'redis' && ensureRedis() === undefined)) {
    process.exitCode = 1
    return
  }
  const first = wanted.seed ?? Math.floor(Math.random() * 2 ** 31)
  // Every step has its own bound; this is for the one that nobody thought of.
  const patienceMs = wanted.runs * (wanted.seconds * 1_000 + EXTRA_MS)
  setTimeout(() => {
    console.error(`scripts/chaos: not over after ${patienceMs / 1_000} s; given up`)
    process.exit(1)
  }, patienceMs).unref()
  for (let seed = first; seed < first + wanted.runs; seed += 1) {
    const { verdict } = await run({ ...wanted, seed, print: (line) => console.log(line) })
    for (const reservation of reservationsAbout(verdict)) console.log(`NOT SHOWN: ${reservation}`)
    for (const complaint of complaintsAbout(verdict)) {
      console.log(`FAILED: ${complaint}`)
      process.exitCode = 1
    }
    console.log(JSON.stringify(wanted.backend === 'postgres' ? verdict : { ...verdict, backend: wanted.backend }))
  }
}

// The guards of what was started end it when we are gone; this is only so that we go.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

try {
  await main()
} catch (error) {
  if (error instanceof UsageError) {
    console.error(`scripts/chaos: ${error.message}\nscripts/chaos --help lists the options.`)
    process.exitCode = 2
  } else {
    console.error(error)
    process.exitCode = 1
  }
}
// A run that was broken off may have left faults that were still to come.
process.exit()
