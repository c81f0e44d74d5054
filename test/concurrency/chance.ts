import { mulberry32 } from '../support/mulberry32.js'
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
  const draw = mulberry32(Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(salt + 1, 0x6d2b79f5))
  const next = (): number => draw() / 2 ** 32
  const below = (count: number): number => Math.floor(next() * count)
  return { below, waitMs: (most) => next() ** 2 * most, onceIn: (times) => below(times) === 0 }
}
