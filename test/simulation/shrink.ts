import { FAULT_KINDS, type FaultKind } from './faults.js'
import { type Mask, runSchedule, type ScheduleOptions } from './schedule.js'

/**
 * The least of a seed's world in which the same promise is broken still: faults are left out one kind after another,
 * then operations. Another mask is another history, so what is left is a smaller example, not a part of the first.
 */
export const shrink = async (seed: number, options: ScheduleOptions): Promise<Mask> => {
  const whole = await runSchedule(seed, options)
  const promises = new Set(whole.violations.map(({ promise }) => promise))
  const isBroken = async (mask: Mask): Promise<boolean> =>
    (await runSchedule(seed, { ...options, mask })).violations.some(({ promise }) => promises.has(promise))

  let least: Mask = { without: new Set(), operations: whole.config.operations }
  if (promises.size === 0) return least
  for (const kind of FAULT_KINDS.filter((each) => whole.config.faults.has(each))) {
    const less: Mask = { ...least, without: new Set<FaultKind>([...least.without, kind]) }
    if (await isBroken(less)) least = less
  }
  for (let operations = 1; operations < least.operations; operations += 1)
    if (await isBroken({ ...least, operations })) least = { ...least, operations }
  return least
}
