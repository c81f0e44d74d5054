/** Runs what `scripts/model` promises: every configuration and every control, or the one that is named. */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { allNames, type Outcome } from './job.js'

const HELP = `Usage: scripts/model [--deep] [--only NAME] [--help]

Searches the protocol's steps, interleaved in every way, over one cache entry and one row: breadth first, to the
end, under the store's own decisions (src/session) and with the faults that each configuration names. Then each
negative control, a weakened rule, which the search has to notice. Those named replicas… are about one document of
CouchDB on several replicas, those named users… and M88 to M97 about the sessions of one user.

  --deep        larger configurations too: some minutes, and two gigabytes of memory
  --only NAME   one configuration or one control, by its name; may be given more than once
  --help        this text

The last line is JSON: {"states":…,"configurations":…,"capped":…,"violations":…,"controls":…,"caught":…}. The exit
code is 0 if every search came to its end, found no violation, and every control was caught; 2 for a wrong usage.`

/** What issue and suite ask for. */
const FEWEST_CONTROLS = 20

interface Wanted {
  readonly isDeep: boolean
  readonly only: readonly string[]
}

const wrongUsage = (why: string): never => {
  console.error(`${why}\n\n${HELP}`)
  process.exit(2)
}

const readArguments = (words: readonly string[]): Wanted => {
  const only: string[] = []
  let isDeep = false
  for (let at = 0; at < words.length; at += 1) {
    const word = words[at]
    if (word === '--help' || word === '-h') {
      console.log(HELP)
      process.exit(0)
    } else if (word === '--deep') isDeep = true
    else if (word === '--only') {
      at += 1
      const name = words[at] ?? wrongUsage('Expected --only to be followed by a name')
      if (!allNames(true).includes(name))
        wrongUsage(`Nothing is called ${name}. There are: ${allNames(true).join(' ')}`)
      only.push(name)
    } else wrongUsage(`Unknown option ${word}`)
  }
  return { isDeep, only }
}

const searchAll = async (names: readonly string[], told: (outcome: Outcome) => void): Promise<void> => {
  const waiting = [...names]
  const program = fileURLToPath(new URL('worker-process.ts', import.meta.url))
  const execArgv = [...process.execArgv, '--max-semi-space-size=64', '--max-old-space-size=8192']
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = fork(program, { execArgv })
      const next = (): void => {
        const name = waiting.shift()
        if (name === undefined) worker.disconnect()
        else worker.send(name)
      }
      worker.on('message', ({ outcome, error }: { outcome?: Outcome; error?: string }) => {
        if (outcome === undefined) {
          worker.kill()
          reject(new Error(error))
          return
        }
        told(outcome)
        next()
      })
      worker.on('exit', (code, signal) => {
        if (code === 0) resolve()
        else reject(new Error(`A search ended with ${signal ?? code}`))
      })
      next()
    })
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), waiting.length) }, work))
}

const wanted = readArguments(process.argv.slice(2))
const outcomes: Outcome[] = []
await searchAll(wanted.only.length > 0 ? wanted.only : allNames(wanted.isDeep), (outcome) => {
  outcomes.push(outcome)
  console.log(outcome.lines.join('\n'))
})

const configurations = outcomes.filter(({ isControl }) => !isControl)
const controls = outcomes.filter(({ isControl }) => isControl)
const unnoticed = controls.filter(({ isGood }) => !isGood).map(({ name }) => name)
if (unnoticed.length > 0) console.log(`Controls that went unnoticed: ${unnoticed.join(', ')}`)
const summary = {
  states: outcomes.reduce((sum, { states }) => sum + states, 0),
  configurations: configurations.length,
  capped: outcomes.filter(({ isCapped }) => isCapped).length,
  violations: configurations.filter(({ isGood, isCapped }) => !isGood && !isCapped).length,
  controls: controls.length,
  caught: controls.length - unnoticed.length,
}
console.log(JSON.stringify(summary))
const isEnough = wanted.only.length > 0 || summary.controls >= FEWEST_CONTROLS
process.exitCode = summary.capped + summary.violations + unnoticed.length === 0 && isEnough ? 0 : 1
