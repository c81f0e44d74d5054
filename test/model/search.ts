import { type Visited, visited } from './visited.js'

/*
 * Breadth first, so that the first counterexample found is a shortest one. It knows nothing of sessions.
 */

export interface Space<W> {
  readonly first: W
  /** Every world one step away. `what` is asked only for a counterexample. */
  successors(world: W, emit: (next: W, what: () => string) => void): void
  /** The numbers that tell worlds apart, and how many there are. */
  encode(world: W): number
  readonly numbers: Int32Array
  violation(world: W): string | undefined
}

export interface Result<W> {
  readonly states: number
  /** The longest way from the first world to one that was not seen before. */
  readonly depth: number
  /** The cap was reached before the end: the search shows nothing. */
  readonly isCapped: boolean
  readonly found: { readonly violation: string; readonly steps: readonly { what: string; world: W }[] } | undefined
}

/** How many worlds are looked at between two calls of `meanwhile`. */
const STRETCH = 10_000

export const search = <W>(
  space: Space<W>,
  cap: number,
  { seen = visited(), meanwhile = () => {} }: { readonly seen?: Visited; readonly meanwhile?: () => void } = {},
): Result<W> => {
  let lookedAt = 0
  const parents = new Numbers()
  const turns = new Numbers()
  const stepsTo = (state: number): { what: string; world: W }[] => {
    const path: number[] = []
    for (let at = state; at > 0; at = parents.at(at)) path.push(turns.at(at))
    return replayed(space, path.reverse())
  }

  const firstWrong = space.violation(space.first)
  if (firstWrong !== undefined)
    return { states: 1, depth: 0, isCapped: false, found: { violation: firstWrong, steps: [] } }
  seen.add(space.numbers, space.encode(space.first))
  parents.push(0)
  turns.push(0)
  let level: { world: W; state: number }[] = [{ world: space.first, state: 0 }]
  let states = 1
  let depth = 0
  let found: { violation: string; state: number } | undefined

  while (level.length > 0) {
    const next: { world: W; state: number }[] = []
    for (const { world, state } of level) {
      lookedAt += 1
      if (lookedAt % STRETCH === 0) meanwhile()
      let turn = -1
      space.successors(world, (after) => {
        turn += 1
        if (found !== undefined) return
        if (!seen.add(space.numbers, space.encode(after))) return
        parents.push(state)
        turns.push(turn)
        const violation = space.violation(after)
        if (violation !== undefined) found = { violation, state: states }
        next.push({ world: after, state: states })
        states += 1
      })
      if (found !== undefined)
        return { states, depth, isCapped: false, found: { violation: found.violation, steps: stepsTo(found.state) } }
      if (states >= cap) return { states, depth, isCapped: true, found: undefined }
    }
    level = next
    if (next.length > 0) depth += 1
  }
  return { states, depth, isCapped: false, found: undefined }
}

const replayed = <W>(space: Space<W>, turns: readonly number[]): { what: string; world: W }[] => {
  const steps: { what: string; world: W }[] = []
  let world = space.first
  for (const wanted of turns) {
    let turn = -1
    let taken: { what: string; world: W } | undefined
    space.successors(world, (next, what) => {
      turn += 1
      if (turn === wanted) taken = { what: what(), world: next }
    })
    if (taken === undefined) throw new Error('A step that was found could not be repeated')
    steps.push(taken)
    world = taken.world
  }
  return steps
}

/** A list of numbers that grows, in little memory. */
class Numbers {
  #items = new Uint32Array(1 << 12)
  #length = 0

  push(item: number): void {
    if (this.#length === this.#items.length) {
      const bigger = new Uint32Array(this.#items.length * 2)
      bigger.set(this.#items)
      this.#items = bigger
    }
    this.#items[this.#length] = item
    this.#length += 1
  }

  at(index: number): number {
    return this.#items[index] ?? 0
  }
}
