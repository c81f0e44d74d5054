/** Chance that a seed repeats. */
export interface Random {
  /** A whole number from 0 on, below `count`. */
  below(count: number): number
  bytes(count: number): Buffer
}

/** mulberry32 */
export const randomOf = (seed: number): Random => {
  let state = seed >>> 0
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const below = (count: number): number => Math.floor(next() * count)
  return { below, bytes: (count) => Buffer.from(Array.from({ length: count }, () => below(256))) }
}
