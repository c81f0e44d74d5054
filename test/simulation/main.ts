/** Runs what `scripts/simulate` promises; see `arguments.ts` for the promise. */
import { type Arguments, HELP, readArguments, UsageError } from './arguments.js'
import type { Control } from './control.js'
import { CONTROLS } from './controls.js'
import { FAULT_KINDS, type FaultKind } from './faults.js'
import { recordedSeeds, recordSeeds, runControls, runMany, SEEDS_OF_A_CONTROL, tooRare } from './run.js'
import { type Mask, runSchedule } from './schedule.js'
import { shrink } from './shrink.js'
import type { FailedSeed } from './worker.js'

const main = async (): Promise<void> => {
  const wanted = readArguments(process.argv.slice(2))
  if (wanted.help) console.log(HELP)
  else if (wanted.seed === undefined) await many(wanted)
  else await one(wanted.seed, wanted)
}

const one = async (seed: number, wanted: Arguments): Promise<void> => {
  const control = wanted.control === undefined ? undefined : controlCalled(wanted.control)
  const sealed = wanted.sealed ? true : undefined
  const options = control === undefined ? { sealed } : { control }
  const asked: Mask = {
    without: new Set(wanted.without.map(faultCalled)),
    operations: wanted.operations ?? Number.POSITIVE_INFINITY,
  }
  const mask = wanted.shrink ? await shrink(seed, options) : asked
  const result = await runSchedule(seed, { ...options, told: true, mask })
  console.log(result.history.join('\n'))
  console.log('')
  for (const { promise, session, what, at } of result.violations)
    console.log(`VIOLATED ${promise} (${at.toFixed(1)} ms) ${session}: ${what}`)
  if (wanted.shrink && result.violations.length > 0)
    console.log(
      `The same in less: scripts/simulate --seed ${seed} --operations ${mask.operations}${
        mask.without.size === 0 ? '' : ` --without "${[...mask.without].join(',')}"`
      }${wanted.sealed ? ' --sealed' : ''}${wanted.control === undefined ? '' : ` --control "${wanted.control}"`}`,
    )
  const happened = FAULT_KINDS.filter((kind) => result.happened[kind] > 0)
  console.log(
    JSON.stringify({
      schedules: 1,
      violations: result.violations.length,
      controls: 0,
      caught: 0,
      faults: Object.fromEntries(happened.map((kind) => [kind, 1])),
    }),
  )
  process.exitCode = result.violations.length === 0 ? 0 : 1
}

const controlCalled = (beginning: string): Control => {
  const control = CONTROLS.find(({ name }) => name.startsWith(beginning))
  if (control !== undefined) return control
  throw new UsageError(
    `There is no control "${beginning}"; there are:\n${CONTROLS.map(({ name }) => `  ${name}`).join('\n')}`,
  )
}

const faultCalled = (text: string): FaultKind => {
  const kind = FAULT_KINDS.find((each) => each === text.trim())
  if (kind !== undefined) return kind
  throw new UsageError(`There is no fault "${text}"; there are: ${FAULT_KINDS.join(', ')}`)
}

const many = async ({ from, seeds, controls: withControls, sealed, record }: Arguments): Promise<void> => {
  const started = performance.now()
  let nextWord = 0.1
  const onProgress = (done: number, failed: readonly FailedSeed[]): void => {
    // Told at once: a long run may be stopped before its end.
    for (const { seed, promise, what } of failed)
      console.log(
        `seed ${seed} VIOLATED ${promise}: ${what}\n  scripts/simulate --seed ${seed}${sealed ? ' --sealed' : ''}`,
      )
    if (done / seeds < nextWord && done < seeds) return
    nextWord = done / seeds + 0.1
    console.log(`${done} of ${seeds} schedules (${((performance.now() - started) / 1_000).toFixed(0)} s)`)
  }
  const result = await runMany(from, seeds, onProgress, sealed)
  console.log(
    `${result.operations} operations; each schedule had at least ${result.fewestProcesses} processes and ${result.fewestOperations} operations`,
  )
  const rare = tooRare(result)
  if (rare.length > 0) console.log(`In less than one schedule in a hundred: ${rare.join(', ')}`)

  const controls = withControls ? await runControls(from, record ? recordedSeeds() : {}) : []
  if (record) recordSeeds(controls)
  for (const { name, caught, schedules } of controls)
    console.log(
      caught === undefined
        ? `UNNOTICED in ${SEEDS_OF_A_CONTROL} schedules: ${name}`
        : `caught by schedule ${schedules} (seed ${caught.seed}, ${caught.promise}): ${name}`,
    )
  const caught = controls.filter((control) => control.caught !== undefined).length
  console.log(
    JSON.stringify({
      schedules: result.schedules,
      violations: result.failed.length,
      controls: controls.length,
      caught,
      faults: result.faults,
    }),
  )
  process.exitCode = result.failed.length === 0 && rare.length === 0 && caught === controls.length ? 0 : 1
}

try {
  await main()
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  console.error(`scripts/simulate: ${error.message}\nscripts/simulate --help lists the options.`)
  process.exitCode = 2
}
