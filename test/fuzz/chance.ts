import { mulberry32 } from '../support/mulberry32.js'

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

export const chanceOf = (seed: number, target: string, number: number): Chance => {
  const next = mulberry32(hashOf(`${seed} ${target} ${number}`))
  const below = (limit: number): number => next() % limit
  return {
    below,
    oneIn: (times) => below(times) === 0,
    pick: (items) => items[below(items.length)] as (typeof items)[number],
  }
}
