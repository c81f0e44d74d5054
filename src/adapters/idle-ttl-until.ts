import type { EpochMs } from '../contract/index.js'

/**
 * How long a session lives untouched that ends at a moment unless it is used, in ms; `'over'` where the moment is past, and
 * `undefined` where none is said, or none that a Date could hold.
 *
 * Frameworks add a time in seconds to their clock and give the sum. A moment later the difference is a little less, and
 * would look like a change of the idle time-out at each request; so it is rounded up to the second.
 */
export const untilExpiry = (expires: Date | undefined, now: EpochMs): number | 'over' | undefined => {
  const ms = (expires?.getTime() ?? Number.NaN) - now
  if (Number.isNaN(ms)) return undefined
  return ms <= 0 ? 'over' : Math.ceil(ms / 1_000) * 1_000
}
