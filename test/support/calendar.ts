import type { EpochMs, Runtime } from '../../src/contract/time.js'
import { systemRuntime } from '../../src/runtime.js'

/** Noon in the middle of a week, a month and a year, in UTC: no change of the calendar is near. */
export const QUIET_DAY: EpochMs = Date.UTC(2026, 5, 10, 12)

/**
 * The system's runtime with another date: its clock differs from the system's by a constant, so that time passes as it
 * does. Processes that are given the same number agree about the time.
 */
export const runtimeMovedBy = (shiftMs: number): Runtime => ({
  ...systemRuntime,
  now: () => systemRuntime.now() + shiftMs,
})

/** By how much a clock has to be moved so that it shows `moment` now. */
export const shiftTo = (moment: EpochMs): number => moment - systemRuntime.now()

/**
 * The runtime of tests which the date must not touch. Its clock showed `QUIET_DAY` when the test file was loaded; a
 * test gives it to every part that it makes, since all of them go by the date.
 */
export const quietRuntime: Runtime = runtimeMovedBy(shiftTo(QUIET_DAY))

/** The system's timers, and a wall clock that stands at `QUIET_DAY`. */
export const standingRuntime: Runtime = { ...systemRuntime, now: () => QUIET_DAY }
