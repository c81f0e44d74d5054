import { seed } from '../support/seed.js'

/** Numbers drawn from the run's seed: the same in every run with that seed, whatever the processor does meanwhile. */
export interface Chance {
  /** A moment to wait, from 0 to below `most` ms; most of them short, as races are. */
  waitMs(most: number): number
  /** A whole number from 0 to below `count`. */
  below(count: number): number
  /** True once in `times` draws, on average. */
  onceIn(times: number): boolean
}

/** @param salt tells one round's chance from another's */
export const chance = (salt: number): Chance => {
  // mulberry32
  let state = (Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(salt + 1, 0x6d2b79f5)) >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (count: number): number => Math.floor(next() * count)
  return { below, waitMs: (most) => next() ** 2 * most, onceIn: (times) => below(times) === 0 }
}
