import { type ChildProcess, fork } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { fileURLToPath } from 'node:url'
import { CONTROLS } from './controls.js'
import { FAULT_KINDS, type FaultCounts, noFaults } from './faults.js'
import type { FailedSeed, Job, JobResult } from './worker.js'

/** What many schedules came to. */
export interface RunResult {
  readonly schedules: number
  readonly operations: number
  readonly faults: FaultCounts
  readonly failed: readonly FailedSeed[]
  readonly fewestOperations: number
  readonly fewestProcesses: number
}

export interface CaughtControl {
  readonly name: string
  /** How it was caught; `undefined` if it went unnoticed. */
  readonly caught: FailedSeed | undefined
  readonly schedules: number
}

/** A control that is not caught within so many schedules goes unnoticed. */
export const SEEDS_OF_A_CONTROL = 3_000
/** Small enough that no process waits long for the last of another. */
const SEEDS_OF_A_JOB = 250

/**
 * Schedules of the store as it is.
 *
 * @param onProgress is told how many schedules are done, and which of the last ones broke a promise
 */
export const runMany = async (
  from: number,
  count: number,
  onProgress: (done: number, failed: readonly FailedSeed[]) => void = () => {},
  sealed = false,
): Promise<RunResult> => {
  const jobs: Job[] = []
  for (let at = from; at < from + count; at += SEEDS_OF_A_JOB)
    jobs.push({ from: at, count: Math.min(SEEDS_OF_A_JOB, from + count - at), ...(sealed ? { sealed } : {}) })
  let done = 0
  const results = await runJobs(jobs, ({ schedules, failed }) => {
    done += schedules
    onProgress(done, failed)
  })
  const faults = noFaults()
  for (const result of results) for (const kind of FAULT_KINDS) faults[kind] += result.faults[kind]
  return {
    schedules: results.reduce((sum, { schedules }) => sum + schedules, 0),
    operations: results.reduce((sum, { operations }) => sum + operations, 0),
    faults,
    failed: results.flatMap(({ failed }) => failed),
    fewestOperations: Math.min(...results.map(({ fewestOperations }) => fewestOperations)),
    fewestProcesses: Math.min(...results.map(({ fewestProcesses }) => fewestProcesses)),
  }
}

/** The seeds that caught the weaker protocols, by their names. */
export type CaughtBy = Readonly<Record<string, number>>

const CAUGHT_BY = new URL('caught-by.json', import.meta.url)

/**
 * The seeds that caught the weaker protocols when they were last recorded. The tests try each of them first: most of the time
 * that the controls take goes into the schedules before the one that catches.
 */
export const recordedSeeds = (): CaughtBy => JSON.parse(readFileSync(CAUGHT_BY, 'utf8')) as CaughtBy

export const recordSeeds = (controls: readonly CaughtControl[]): void => {
  const seeds = controls.flatMap(({ name, caught }) => (caught === undefined ? [] : [[name, caught.seed]]))
  writeFileSync(CAUGHT_BY, `${JSON.stringify(Object.fromEntries(seeds), null, 2)}\n`)
}

/** Every weaker protocol, each until it is caught: by the seed that did so before, or by any from `from` on. */
export const runControls = async (from: number, before: CaughtBy = {}): Promise<readonly CaughtControl[]> => {
  const jobs = CONTROLS.map(
    ({ name }): Job => ({ first: before[name], from, count: SEEDS_OF_A_CONTROL, control: name, untilViolated: true }),
  )
  const results = await runJobs(jobs, () => {})
  return results.map(({ failed, schedules }, at) => ({ name: jobs[at]?.control ?? '', caught: failed[0], schedules }))
}

/** In as many processes as there are processors; the results in the order of the jobs. */
const runJobs = async (jobs: readonly Job[], onResult: (result: JobResult) => void): Promise<readonly JobResult[]> => {
  const results: JobResult[] = []
  let next = 0
  const work = async (): Promise<void> => {
    if (next >= jobs.length) return
    // Not the options this process was started with: under vitest they are vitest's.
    const child = fork(fileURLToPath(new URL('worker-process.ts', import.meta.url)), { execArgv: ['--import', 'tsx'] })
    try {
      while (next < jobs.length) {
        const at = next
        next += 1
        const result = await ask(child, jobs[at] as Job)
        results[at] = result
        onResult(result)
      }
    } finally {
      child.disconnect()
    }
  }
  await Promise.all(Array.from({ length: Math.min(availableParallelism(), jobs.length) }, work))
  return results
}

const ask = (child: ChildProcess, job: Job): Promise<JobResult> =>
  new Promise((resolve, reject) => {
    const ended = (code: number | null): void => reject(new Error(`A worker ended with ${code}`))
    child.once('exit', ended)
    child.once('message', (answer: { result?: JobResult; error?: string }) => {
      child.off('exit', ended)
      if (answer.result === undefined) reject(new Error(answer.error))
      else resolve(answer.result)
    })
    child.send(job)
  })

/** Kinds of faults that happened in less than one schedule in a hundred. */
export const tooRare = ({ faults, schedules }: RunResult): readonly string[] =>
  FAULT_KINDS.filter((kind) => faults[kind] * 100 < schedules)
