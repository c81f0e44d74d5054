/** Runs what `scripts/fuzz` promises: the targets, or one of them, in a process for each processor. */
import { fork } from 'node:child_process'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { seed as drawn } from '../support/seed.js'
import { keepEvidence } from './evidence.js'
import type { Report, Wanted } from './run.js'
import { TARGETS } from './targets.js'

const HELP = `Usage: scripts/fuzz [--long] [--count N] [--target NAME] [--seed N] [--case N] [--help]

Gives the parsers of all that comes from outside what nobody has written: genuine samples that were changed, and bytes
from nothing. Whatever comes, a parser must give a value that means the same when it is written again, or refuse it as
it documents: by no other error, without end or memory beyond measure, and without showing what it was given.

  --count N      so many cases in all, the same number of each target @default 100000
  --long         ten million
  --target NAME  this one alone; may be given more than once: ${TARGETS.map(({ name }) => name).join(', ')}
  --seed N       the cases of this seed; without it one is drawn, and printed
  --case N       the case of this number alone, of one target

A case that fails is told with its seed, number and bytes, and kept in .evidence/fuzz/. The last line is JSON:
{"seed":…,"cases":…,"values":…,"refusals":…,"failures":…}. The exit code is 0 if nothing failed; 2 for a wrong usage.`

const USUAL = 100_000
const LONG = 10_000_000

/** So many cases are one piece of work for a process. */
const PIECE = 10_000

export interface Piece extends Wanted {
  readonly target: string
}

class UsageError extends Error {}

const numberOf = (name: string, text: string | undefined): number | undefined => {
  if (text === undefined) return undefined
  if (/^\d{1,12}$/.test(text)) return Number(text)
  throw new UsageError(`Expected --${name} to be followed by a whole number`)
}

const piecesOf = (
  words: readonly string[],
): { readonly seed: number; readonly pieces: readonly Piece[] } | undefined => {
  const { values } = parseArgs({
    args: [...words],
    options: {
      long: { type: 'boolean', default: false },
      help: { type: 'boolean', short: 'h', default: false },
      count: { type: 'string' },
      target: { type: 'string', multiple: true },
      seed: { type: 'string' },
      case: { type: 'string' },
    },
  })
  if (values.help) return undefined
  const known = TARGETS.map(({ name }) => name)
  const names = values.target ?? known
  for (const name of names)
    if (!known.includes(name)) throw new UsageError(`There is no target ${name}; there are ${known.join(', ')}`)
  const seed = numberOf('seed', values.seed) ?? drawn
  const only = numberOf('case', values.case)
  if (only !== undefined) {
    const [target, ...others] = names
    if (target === undefined || others.length > 0) throw new UsageError('Expected --case beside one --target')
    return { seed, pieces: [{ target, seed, first: only, count: 1 }] }
  }
  const each = Math.ceil((numberOf('count', values.count) ?? (values.long ? LONG : USUAL)) / names.length)
  const pieces: Piece[] = []
  for (let first = 0; first < each; first += PIECE)
    for (const target of names) pieces.push({ target, seed, first, count: Math.min(PIECE, each - first) })
  return { seed, pieces }
}

/** All pieces, in as many processes as there are processors, each of them one piece after the other. */
const runAll = async (pieces: readonly Piece[], told: (piece: Piece, report: Report) => void): Promise<void> => {
  const waiting = [...pieces]
  const program = fileURLToPath(new URL('worker-process.ts', import.meta.url))
  const work = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const worker = fork(program, { serialization: 'advanced' })
      let piece: Piece | undefined
      const next = (): void => {
        piece = waiting.shift()
        if (piece === undefined) worker.disconnect()
        else worker.send(piece)
      }
      worker.on('message', (report: Report) => {
        if (piece !== undefined) told(piece, report)
        next()
      })
      worker.on('exit', (code, signal) => {
        if (code === 0 && piece === undefined) resolve()
        else
          reject(
            new Error(
              `A process ended with ${signal ?? code} at the cases ${piece?.first} to ${(piece?.first ?? 0) + (piece?.count ?? 0) - 1} of ${piece?.target}, seed ${piece?.seed}`,
            ),
          )
      })
      next()
    })
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), pieces.length) }, work))
}

const main = async (): Promise<void> => {
  const wanted = piecesOf(process.argv.slice(2))
  if (wanted === undefined) {
    console.log(HELP)
    return
  }
  const { seed, pieces } = wanted
  console.log(`seed: ${seed}`)
  const totals = { cases: 0, values: 0, refusals: 0, failures: 0 }
  const perTarget = new Map<string, typeof totals>()
  await runAll(pieces, ({ target }, { cases, values, refusals, failure }) => {
    const ofTarget = perTarget.get(target) ?? { cases: 0, values: 0, refusals: 0, failures: 0 }
    perTarget.set(target, ofTarget)
    for (const sum of [totals, ofTarget]) {
      sum.cases += cases
      sum.values += values
      sum.refusals += refusals
      sum.failures += failure === undefined ? 0 : 1
    }
    if (failure !== undefined) console.log(`FAILED ${keepEvidence(failure)}`)
  })
  for (const [target, { cases, values, refusals }] of perTarget)
    console.log(`${target}: ${cases} cases, ${values} values, ${refusals} refusals`)
  console.log(JSON.stringify({ seed, ...totals }))
  process.exitCode = totals.failures === 0 ? 0 : 1
}

const isUsage = (error: unknown): error is Error =>
  error instanceof UsageError || /^ERR_PARSE_ARGS/.test(String((error as { readonly code?: unknown }).code))

main().catch((error: unknown) => {
  console.error(isUsage(error) ? `${error.message}\n\n${HELP}` : error)
  process.exitCode = isUsage(error) ? 2 : 1
})
