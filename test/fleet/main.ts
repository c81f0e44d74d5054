/** Runs what `scripts/fleet` promises; `HELP` is the promise. */
import { parseArgs } from 'node:util'
import { FLEET_DEFAULTS, type FleetReport, runFleet } from './fleet.js'
import { tableOf } from './table.js'

const HELP = `scripts/fleet [--sessions n] [--seed n] [--json]

Simulates a fleet on a virtual clock: 1,000,000 sessions, 100 processes with the real store, 10 cache servers and a backend.
First all sessions are created, then they are used; then one cache server is lost for ten seconds and comes back empty, and
then all of them. Prints what the backend has to do, which changes were lost, and how long it takes until all is as before.

  --sessions n   1,000 to 5,000,000 (${FLEET_DEFAULTS.sessions}); with fewer sessions there are as many fewer requests
  --seed n       0 or more (${FLEET_DEFAULTS.seed}); the same seed gives the same figures on every machine
  --json         the figures as one line of JSON

A million sessions take about twenty minutes of a processor and 3 GB of memory, ten thousand some seconds. docs/scaling.md has
the figures and what they mean.`

const whole = (name: string, text: string | undefined, fallback: number, least: number, most: number): number => {
  if (text === undefined) return fallback
  const number = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN
  if (number >= least && number <= most) return number
  throw new RangeError(`Expected --${name} to be a whole number from ${least} to ${most}, got ${JSON.stringify(text)}`)
}

const main = async (): Promise<void> => {
  const { values } = parseArgs({
    options: {
      sessions: { type: 'string' },
      seed: { type: 'string' },
      json: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
    },
  })
  if (values.help) return console.log(HELP)
  const options = {
    ...FLEET_DEFAULTS,
    sessions: whole('sessions', values.sessions, FLEET_DEFAULTS.sessions, 1_000, 5_000_000),
    seed: whole('seed', values.seed, FLEET_DEFAULTS.seed, 0, 2 ** 48),
  }
  const startedMs = performance.now()
  const onSecond = (second: number, of: number, phase: string): void => {
    if (process.stderr.isTTY) process.stderr.write(`\r${second} of ${of} simulated seconds: ${phase}        `)
  }
  const report: FleetReport = await runFleet({ ...options, onSecond })
  if (process.stderr.isTTY) process.stderr.write('\r\x1b[K')
  if (values.json) return console.log(JSON.stringify(report))
  console.log(tableOf(report))
  console.log(`\nseed ${options.seed}, ${Math.round((performance.now() - startedMs) / 1_000)} s of machine time`)
}

try {
  await main()
} catch (error) {
  const { message, code } = error as NodeJS.ErrnoException
  if (!(error instanceof RangeError) && !code?.startsWith('ERR_PARSE_ARGS')) throw error
  console.error(`${message}\n\n${HELP}`)
  process.exitCode = 2
}
