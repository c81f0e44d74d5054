/** Runs what `scripts/attack` promises; `HELP` is the promise. */
import { parseArgs } from 'node:util'
import { ensureMemcached } from '../../scripts/servers/index.js'
import { startServers } from './ground.js'
import { ROWS } from './rows/index.js'
import { type Outcome, runRow } from './run.js'

const HELP = `Usage: scripts/attack [--only NAME]... [--seed N] [--help]

Tries, against a real Memcached and a real PostgreSQL that it starts on loopback, what each row of the threat model in
docs/security.md says that somebody could try. What has to hold is tried twice: as it is documented, where the attempt must
fail, and with the defence taken away, where it must succeed, since an attempt that cannot succeed shows nothing. What is
documented as a limit must be one.

  --only NAME   one row, by its name in docs/security.md; may be given more than once
  --seed N      repeats the chances of an earlier run; by default a new one, which the first line says
  --help        this text

The last line is JSON: {"rows":…,"held":…,"limits":[…],"broken":[…]}, with the documented limits that were seen, and all
that was not as documented. The exit code is 0 if nothing was broken, 1 if something was, 2 for a wrong usage.`

const wrongUsage = (why: string): never => {
  console.error(`scripts/attack: ${why}\nscripts/attack --help lists the options.`)
  process.exit(2)
}

const readArguments = () => {
  const options = {
    only: { type: 'string', multiple: true },
    seed: { type: 'string' },
    help: { type: 'boolean' },
  } as const
  try {
    return parseArgs({ options, strict: true }).values
  } catch (error) {
    return wrongUsage(error instanceof Error ? error.message : String(error))
  }
}

const main = async (): Promise<void> => {
  const { only = [], seed: given, help } = readArguments()
  if (help) {
    console.log(HELP)
    return
  }
  const seed = given === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(given)
  if (!Number.isSafeInteger(seed) || seed < 0) wrongUsage('expected --seed to be followed by a whole number')
  const names = ROWS.map(({ name }) => name)
  for (const name of only)
    if (!names.includes(name)) wrongUsage(`no row is called ${name}; there are ${names.join(', ')}`)
  if (ensureMemcached() === undefined) {
    process.exitCode = 1
    return
  }
  console.log(`seed ${seed}`)
  const servers = await startServers()
  const outcomes: Outcome[] = []
  try {
    for (const row of ROWS.filter(({ name }) => only.length === 0 || only.includes(name)))
      outcomes.push(await runRow(servers, row, seed, (line) => console.log(line)))
  } finally {
    await servers.stop()
  }
  const broken = outcomes.flatMap((each) => each.broken)
  const held = outcomes.filter(({ isHeld }) => isHeld).length
  console.log(JSON.stringify({ rows: outcomes.length, held, limits: outcomes.flatMap((each) => each.limits), broken }))
  if (broken.length > 0) process.exitCode = 1
}

// The guards of what was started end it when we are gone; this is only so that we go.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => process.exit(130))

await main()
process.exit()
