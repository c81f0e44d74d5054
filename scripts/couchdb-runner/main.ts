/** Runs what `scripts/couchdb` promises; see `arguments.ts` for the promise. */
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { couchdbAnswer, couchdbUrl, welcomeOf } from '../servers/couchdb.js'
import { type Outcome, runCommand } from '../test-runner/command.js'
import { interruption } from '../test-runner/interruption.js'
import { untilStandstill } from '../test-runner/patience.js'
import { runVitest } from '../test-runner/vitest-run.js'
import { type Arguments, HELP, readArguments, readServer, UsageError } from './arguments.js'
import { complaintsAbout, databasesOf } from './databases.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const minutes = 60_000
const signal = interruption()

/** The tests that talk to a CouchDB; those with scripted servers among them cost little. */
const TESTS = ['test/backends/couchdb', 'test/concurrency/couchdb.test.ts']

interface Step {
  readonly name: string
  readonly ok: boolean
  /** In words, for the summary. */
  readonly what: string
}

const main = async (): Promise<void> => {
  const wanted = readArguments(process.argv.slice(2))
  if (wanted.help) {
    console.log(HELP)
    return
  }
  const url = readServer(couchdbUrl())
  const { version, isStandIn } = await welcomeOf(url)
  console.log(isStandIn ? `A STAND-IN that is NO CouchDB (express-pouchdb ${version})` : `CouchDB ${version}`)
  console.log(await clusterOf(url))
  const before = await databasesOf(url)

  const evidence = join(root, '.evidence', String(process.pid))
  rmSync(evidence, { recursive: true, force: true })
  mkdirSync(evidence, { recursive: true })
  const steps = [await runTests(evidence), await runChaos(evidence, wanted), await runDemo(evidence)]
  const complaints = complaintsAbout(before, await databasesOf(url))
  steps.push({ name: 'databases', ok: complaints.length === 0, what: complaints.join('; ') || 'none is left behind' })

  console.log('')
  for (const { name, ok, what } of steps) console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}: ${what}`)
  console.log('left out, as the server is not ours: to kill, stop or restart it, and to cut a cluster in two')
  const failed = steps.filter(({ ok }) => !ok).map(({ name }) => name)
  if (failed.length === 0) rmSync(evidence, { recursive: true, force: true })
  else console.log(`Logs of this run: .evidence/${process.pid}/`)
  console.log(JSON.stringify({ version, isStandIn, passed: steps.length - failed.length, failed }))
  process.exitCode = failed.length === 0 ? 0 : 1
}

/** How many nodes there are, where the server tells; with more than one it matters that months have `n: 1`. */
const clusterOf = async (url: string): Promise<string> => {
  const { status, body } = await couchdbAnswer(url, '_membership')
  const { cluster_nodes: nodes } = (body ?? {}) as { readonly cluster_nodes?: unknown }
  return status === 200 && Array.isArray(nodes) ? `nodes: ${nodes.length}` : 'it does not tell how many nodes it has'
}

const runTests = async (evidence: string): Promise<Step> => {
  const { ok, counts, complaints } = await runVitest(['--config', 'scripts/vitest.config.ts', ...TESTS], evidence, {
    root,
    patience: untilStandstill(20 * minutes),
    signal,
    live: true,
  })
  const what = [
    `${counts.passed} passed, ${counts.failed} failed, ${counts.skipped.length} skipped`,
    ...complaints,
  ].join('; ')
  for (const title of counts.skipped) console.log(`skipped: ${title}`)
  return { name: 'tests', ok: ok && counts.passed > 0, what }
}

const runChaos = async (evidence: string, { seconds, runs, seed }: Arguments): Promise<Step> => {
  const chosen = seed === undefined ? [] : ['--seed', String(seed)]
  const outcome = await runCommand(
    join(root, 'scripts/chaos'),
    ['--backend', 'couchdb', '--seconds', String(seconds), '--runs', String(runs), ...chosen],
    {
      root,
      patience: untilStandstill(20 * minutes),
      signal,
      logFile: join(evidence, 'chaos.log'),
      live: true,
    },
  )
  return stepOf('chaos', outcome)
}

const runDemo = async (evidence: string): Promise<Step> => {
  const outcome = await runCommand(join(root, 'scripts/demo'), ['--once', '--backend', 'couchdb'], {
    root,
    patience: untilStandstill(20 * minutes),
    signal,
    logFile: join(evidence, 'demo.log'),
    live: true,
  })
  return stepOf('demo', outcome)
}

/** Its last line of output says it best. */
const stepOf = (name: string, { ok, output }: Outcome): Step => {
  const said = output.trimEnd().split('\n')
  return { name, ok, what: said.findLast((line) => line.startsWith('{')) ?? said.at(-1) ?? 'it said nothing' }
}

try {
  await main()
} catch (error) {
  const isUsage = error instanceof UsageError
  console.error(`scripts/couchdb: ${error instanceof Error ? error.message : String(error)}`)
  if (isUsage) console.error('scripts/couchdb --help says more.')
  process.exitCode = isUsage ? 2 : 1
}
