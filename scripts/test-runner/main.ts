/** Runs what `scripts/test` promises; see `arguments.ts` for the promise. */
import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { openServerDesk, type ServerDesk } from '../../test/support/desk.js'
import { ensureTestPrograms } from '../servers/index.js'
import { type Arguments, HELP, readArguments } from './arguments.js'
import { movedCalendar } from './calendar.js'
import { type Outcome, runCommand } from './command.js'
import { interruption } from './interruption.js'
import { untilStandstill } from './patience.js'
import { type RuntimeOutcome, tryRuntimes } from './runtimes.js'
import { type AllowedSkip, type Share, unexpectedSkips } from './vitest-report.js'
import { runVitest } from './vitest-run.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const underCi = !['', '0', 'false'].includes(process.env['CI'] ?? '')
const minutes = 60_000
const signal = interruption()

interface Tally {
  passed: number
  failed: number
  skipped: number
}

const main = async (): Promise<void> => {
  const wanted = readArguments(process.argv.slice(2))
  if (wanted.help) {
    console.log(HELP)
    return
  }
  if (wanted.timeZone !== undefined) process.env['TZ'] = wanted.timeZone
  // One folder per run, so that two runs at once do not tread on each other.
  const evidence = join(root, '.evidence', String(process.pid))
  rmSync(evidence, { recursive: true, force: true })
  mkdirSync(evidence, { recursive: true })
  const tally: Tally = { passed: 0, failed: 0, skipped: 0 }
  for (const { name, ok } of wanted.also) {
    tally[ok ? 'passed' : 'failed'] += 1
    console.log(`${ok ? 'ok  ' : 'FAIL'} ${name} (ran before)`)
  }

  if (wanted.runtimes) await runRuntimes(tally, evidence, wanted.forVitest)
  else await runEverything(tally, evidence, wanted)

  if (tally.failed === 0) rmSync(evidence, { recursive: true, force: true })
  else console.log(`\nLogs of this run: .evidence/${process.pid}/`)
  console.log(
    `\n${tally.passed} passed, ${tally.failed} failed${tally.skipped > 0 ? `, ${tally.skipped} skipped` : ''}`,
  )
  process.exitCode = tally.failed === 0 ? 0 : 1
}

const runEverything = async (tally: Tally, evidence: string, wanted: Arguments): Promise<void> => {
  if (!wanted.onlySome || !existsSync(join(root, 'dist'))) await checkText(tally, evidence, wanted.onlySome)
  const desk = await openServerDesk({ logFolder: evidence })
  try {
    if (!wanted.onlySome) await announceServers(desk)
    await runTests(tally, evidence, desk, wanted)
  } finally {
    await desk.close()
  }
  if (!wanted.onlySome && !signal.aborted) {
    if (wanted.at === undefined) await runChaos(tally, evidence)
    else console.log('left out: chaos, which compares its clock with that of the servers')
  }
}

/** A runtime that npm cannot install here counts as skipped, and its line says why. */
const runRuntimes = async (tally: Tally, evidence: string, names: readonly string[]): Promise<void> => {
  const desk = await openServerDesk({ logFolder: evidence })
  try {
    await announceServers(desk)
    const tell = ({ state, line, complaint }: RuntimeOutcome): void => {
      tally[state === 'ok' ? 'passed' : state === 'failed' ? 'failed' : 'skipped'] += 1
      if (complaint !== undefined) console.log(complaint)
      console.log(line)
    }
    await tryRuntimes({ names, desk, evidence, signal, tell })
  } finally {
    await desk.close()
  }
}

/** The steps that read and translate the text; each counts as one. Types come after the build, whose output they use. */
const checkText = async (tally: Tally, evidence: string, onlyBuild: boolean): Promise<void> => {
  const node = (script: string, ...args: string[]): [string, string[]] => [
    process.execPath,
    [join(root, 'node_modules', script), ...args],
  ]
  const steps: [string, [string, string[]]][] = [
    ['build', [process.execPath, ['--import', 'tsx', join(root, 'scripts/build.ts')]]],
    ['lint', node('@biomejs/biome/bin/biome', 'ci', '--config-path=scripts/lint.json', '.')],
    ['types', node('typescript/bin/tsc', '-p', 'scripts/tsconfig.json')],
  ]
  for (const [name, [command, args]] of steps.slice(0, onlyBuild ? 1 : steps.length)) {
    const logFile = join(evidence, `${name}.log`)
    const patience = untilStandstill(20 * minutes)
    record(tally, name, await runCommand(command, args, { root, patience, signal, logFile }))
  }
}

const record = (tally: Tally, name: string, outcome: Outcome): void => {
  tally[outcome.ok ? 'passed' : 'failed'] += 1
  if (!outcome.ok) console.log(outcome.output.trimEnd())
  console.log(`${outcome.ok ? 'ok  ' : 'FAIL'} ${name} (${outcome.seconds.toFixed(1)} s)`)
}

/** Installs and starts the servers before the clock of the first test that needs them runs, and says which they are. */
const announceServers = async (desk: ServerDesk): Promise<void> => {
  // Here, once, and not in the test files that want them: those run side by side, and apt-get does not.
  ensureTestPrograms((sentence) => console.log(sentence))
  for (const answer of await Promise.all([desk.get('memcached'), desk.get('postgres')]))
    console.log(answer.kind === 'absent' ? `absent: ${answer.reason}` : `${answer.kind}: ${answer.version}`)
}

const runTests = async (
  tally: Tally,
  evidence: string,
  desk: ServerDesk,
  { forVitest, long, at }: Arguments,
): Promise<void> => {
  const seed = process.env['NONSTICK_SEED'] ?? String(Date.now() % 2 ** 31)
  console.log(`seed: ${seed}\n`)
  if (at !== undefined) console.log(`The tests begin at ${new Date(at).toISOString()}, by their clock.\n`)
  const { counts, complaints } = await runVitest(['--config', 'scripts/vitest.config.ts', ...forVitest], evidence, {
    root,
    // More than the longest single test takes: a test that hangs is ended by its own time-out, and this is for what
    // vitest cannot end.
    patience: untilStandstill((long ? 60 : 20) * minutes),
    signal,
    live: true,
    env: {
      NONSTICK_SERVER_DESK: desk.url,
      NONSTICK_SEED: seed,
      ...(long ? { NONSTICK_LONG: '1' } : {}),
      ...(at === undefined ? {} : movedCalendar(at)),
    },
  })
  tally.passed += counts.passed
  tally.failed += counts.failed
  tally.skipped += counts.skipped.length
  for (const complaint of complaints) console.log(`FAIL ${complaint}`)
  if (complaints.length > 0) tally.failed += 1
  printShares(counts.shares)
  judgeSkips(tally, counts.skipped)
}

/** By itself, as it wants the machine: a minute of real servers in trouble, with a seed that it draws and prints. */
const runChaos = async (tally: Tally, evidence: string): Promise<void> => {
  const logFile = join(evidence, 'chaos.log')
  const outcome = await runCommand(join(root, 'scripts/chaos'), ['--seconds', '60'], {
    root,
    patience: untilStandstill(20 * minutes),
    signal,
    logFile,
  })
  record(tally, 'chaos', outcome)
  const lines = outcome.output.trimEnd().split('\n')
  for (const line of [...lines.filter((each) => each.startsWith('NOT SHOWN')), lines.at(-1)]) console.log(line)
}

const printShares = (shares: readonly Share[]): void => {
  const width = Math.max(...shares.map(({ folder }) => folder.length), 0)
  for (const { folder, tests, seconds } of shares)
    console.log(`${folder.padEnd(width)} ${String(tests).padStart(6)} tests ${seconds.toFixed(1).padStart(7)} s`)
}

const judgeSkips = (tally: Tally, skipped: readonly string[]): void => {
  const allowed = JSON.parse(readFileSync(join(root, 'scripts/allowed-skips.json'), 'utf8')) as AllowedSkip[]
  printList('skipped: ', skipped)
  const unexpected = unexpectedSkips(skipped, allowed)
  if (unexpected.length === 0 || !underCi) return
  console.log(`FAIL skips: ${unexpected.length} that scripts/allowed-skips.json does not list`)
  printList('  ', unexpected)
  tally.failed += 1
}

/** A group of a hundred would bury the rest; the report in .evidence has all of them. */
const printList = (head: string, titles: readonly string[]): void => {
  for (const title of titles.slice(0, 15)) console.log(head + title)
  if (titles.length > 15) console.log(`${head}and ${titles.length - 15} more`)
}

await main()
