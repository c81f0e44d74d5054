/** What the cases of the fuzz targets are drawn from: the same numbers for the same seed, target and case. */
export interface Chance {
  /** A whole number from 0 to `below - 1`. */
  below(limit: number): number
  /** `true` once in so many times. */
  oneIn(times: number): boolean
  pick<Item>(items: readonly Item[]): Item
}

/** FNV-1a, so that each case of each target has numbers of its own. */
const hashOf = (text: string): number => {
  let hash = 0x811c9dc5
  for (let at = 0; at < text.length; at += 1) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193)
  return hash | 0
}

/** mulberry32 */
export const chanceOf = (seed: number, target: string, number: number): Chance => {
  let state = hashOf(`${seed} ${target} ${number}`)
  const next = (): number => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
  const below = (limit: number): number => next() % limit
  return {
    below,
    oneIn: (times) => below(times) === 0,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
  }
}
