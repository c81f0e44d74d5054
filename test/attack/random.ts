import { mulberry32 } from '../support/mulberry32.js'

/** Chance that a seed repeats. */
export interface Random {
  /** A whole number from 0 on, below `count`. */
  below(count: number): number
  bytes(count: number): Buffer
}

export const randomOf = (seed: number): Random => {
  const draw = mulberry32(seed)
  const below = (count: number): number => Math.floor((draw() / 2 ** 32) * count)
  return { below, bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))) }
}
