/** Runs what `scripts/simulate` promises; see `arguments.ts` for the promise. */
import { HELP, readArguments, UsageError } from './arguments.js'
import { CONTROLS } from './controls.js'
import { FAULT_KINDS } from './faults.js'
import { runControls, runMany, SEEDS_OF_A_CONTROL, tooRare } from './run.js'
import { runSchedule } from './schedule.js'

const main = async (): Promise<void> => {
  const wanted = readArguments(process.argv.slice(2))
  if (wanted.help) console.log(HELP)
  else if (wanted.seed === undefined) await many(wanted.from, wanted.seeds, wanted.controls)
  else await one(wanted.seed, wanted.control)
}

const one = async (seed: number, controlName: string | undefined): Promise<void> => {
  const control = controlName === undefined ? undefined : CONTROLS.find(({ name }) => name.startsWith(controlName))
  if (controlName !== undefined && control === undefined)
    throw new UsageError(
      `There is no control "${controlName}"; there are:\n${CONTROLS.map(({ name }) => `  ${name}`).join('\n')}`,
    )
  const result = await runSchedule(seed, { told: true, ...(control === undefined ? {} : { control }) })
  console.log(result.history.join('\n'))
  console.log('')
  for (const { promise, session, what, at } of result.violations)
    console.log(`VIOLATED ${promise} (${at.toFixed(1)} ms) ${session}: ${what}`)
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

const many = async (from: number, seeds: number, withControls: boolean): Promise<void> => {
  const started = performance.now()
  let nextWord = 0.1
  const result = await runMany(from, seeds, (done) => {
    if (done / seeds < nextWord && done < seeds) return
    nextWord = done / seeds + 0.1
    console.log(`${done} of ${seeds} schedules (${((performance.now() - started) / 1_000).toFixed(0)} s)`)
  })
  console.log(
    `${result.operations} operations; each schedule had at least ${result.fewestProcesses} processes and ${result.fewestOperations} operations`,
  )
  for (const { seed, promise, what } of result.failed)
    console.log(`seed ${seed} VIOLATED ${promise}: ${what}\n  scripts/simulate --seed ${seed}`)
  const rare = tooRare(result)
  if (rare.length > 0) console.log(`In less than one schedule in a hundred: ${rare.join(', ')}`)

  const controls = withControls ? await runControls(from) : []
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
