import type { Control } from './control.js'
import { CONTROLS } from './controls.js'
import { FAULT_KINDS, type FaultCounts, noFaults } from './faults.js'
import { runSchedule } from './schedule.js'

/** What one worker is to do: seeds from `from` on, `count` of them, or until the first violation. */
export interface Job {
  /** A seed that is tried before all others. */
  readonly first?: number | undefined
  readonly from: number
  readonly count: number
  /** The weaker protocol to run, by name; the true one without it. */
  readonly control?: string
  readonly untilViolated?: boolean
  /** Every schedule is sealed. */
  readonly sealed?: boolean
}

export interface JobResult {
  readonly schedules: number
  readonly operations: number
  /** In how many schedules each kind of fault happened. */
  readonly faults: FaultCounts
  readonly failed: readonly FailedSeed[]
  /** The least of them, to see that every schedule is one. */
  readonly fewestOperations: number
  readonly fewestProcesses: number
}

export interface FailedSeed {
  readonly seed: number
  readonly promise: string
  readonly what: string
}

/** As many as anybody would look at. */
const MOST_REPORTED = 20

export const runJob = async ({
  first,
  from,
  count,
  control,
  untilViolated = false,
  sealed,
}: Job): Promise<JobResult> => {
  const weaker = control === undefined ? undefined : CONTROLS.find(({ name }) => name === control)
  if (control !== undefined && weaker === undefined) throw new Error(`There is no control ${control}`)
  const faults = noFaults()
  const failed: FailedSeed[] = []
  let schedules = 0
  let operations = 0
  let fewestOperations = Number.POSITIVE_INFINITY
  let fewestProcesses = Number.POSITIVE_INFINITY
  const seeds = Array.from({ length: count }, (_, place) => from + place)
  for (const seed of first === undefined ? seeds : [first, ...seeds]) {
    const result = await runSchedule(seed, weaker === undefined ? { sealed } : { control: weaker })
    schedules += 1
    operations += result.operations
    fewestOperations = Math.min(fewestOperations, result.operations)
    fewestProcesses = Math.min(fewestProcesses, result.processes)
    for (const kind of FAULT_KINDS) if (result.happened[kind] > 0) faults[kind] += 1
    const [violation] = result.violations
    if (violation === undefined) continue
    // Caught by what is weaker, not by the world it is run in: the protocol as it is passes there.
    if (weaker !== undefined && !(await isKept(seed, weaker))) continue
    if (failed.length < MOST_REPORTED)
      failed.push({ seed, promise: violation.promise, what: `${violation.session}: ${violation.what}` })
    if (untilViolated) break
  }
  return { schedules, operations, faults, failed, fewestOperations, fewestProcesses }
}

/** The protocol as it is, in the very world of a control. */
const isKept = async (seed: number, { config }: Control): Promise<boolean> => {
  const same: Control = { name: 'none', ...(config === undefined ? {} : { config }) }
  return (await runSchedule(seed, { control: same })).violations.length === 0
}
