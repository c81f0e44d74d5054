import { onAbort } from './signals.js'

/** Who stands in a line, and for how long. */
export interface Place {
  /** Whether he goes before all who do not. */
  readonly isFirst: boolean
  /** On whose behalf. Among equals, callers take turns, however many places each of them has in the line. */
  readonly caller: string
  /** How long he waits for his turn at most, in ms. */
  readonly patienceMs: number
  /** With it he leaves the line before his turn. */
  readonly signal?: AbortSignal | undefined
}

/** Why somebody's turn does not come: the line is full, it has taken too long, or he has left. */
export type Refusal = 'full' | 'late' | 'given up'

/**
 * Lets at most `limit` pieces of work run at once. The others stand in a line, which is bounded, and in which no caller
 * can keep the others from their turn.
 */
export interface Line {
  /**
   * Does the work when its turn has come.
   *
   * Rejects with the error of `refused` where its turn does not come within `patienceMs`, where its signal is aborted
   * before, or where the line is full; then the work is never begun. When the line is full, room is made for whoever goes
   * first at the cost of one who does not, and for a caller with few places at the cost of the one with the most, who
   * loses the last of his places.
   */
  run<T>(place: Place, work: () => Promise<T>): Promise<T>
}

export interface LineOptions {
  /** How much may run at once, at least 1. */
  readonly limit: number
  /** How many may wait. */
  readonly maxWaiting: number
  readonly after: (delayMs: number, callback: () => void) => () => void
  /** The error for whose turn does not come. */
  readonly refused: (why: Refusal) => Error
}

interface Waiting {
  readonly caller: string
  readonly enter: () => void
  readonly refuse: (why: Refusal) => void
}

/**
 * The part of a line in which all are equal. A caller is remembered as long as he has a place in it.
 */
const turns = () => {
  // Both keep the order of arrival, also when one leaves the line.
  const callers = new Map<string, Set<Waiting>>()
  /** How many callers have so many places. */
  const withPlaces: number[] = [0]
  let size = 0
  let most = 0

  const changed = (from: number, to: number): void => {
    if (from > 0) withPlaces[from] = (withPlaces[from] ?? 0) - 1
    if (to > 0) withPlaces[to] = (withPlaces[to] ?? 0) + 1
    size += to - from
    if (to > most) most = to
    else if (from === most && withPlaces[from] === 0) most = to
  }
  const remove = (waiting: Waiting): void => {
    const places = callers.get(waiting.caller)
    if (places?.delete(waiting) !== true) return
    if (places.size === 0) callers.delete(waiting.caller)
    changed(places.size + 1, places.size)
  }
  return {
    get size(): number {
      return size
    },
    /** How many places the caller has who has the most. */
    get most(): number {
      return most
    },
    placesOf: (caller: string): number => callers.get(caller)?.size ?? 0,
    add: (waiting: Waiting): void => {
      const places = callers.get(waiting.caller) ?? new Set()
      callers.set(waiting.caller, places.add(waiting))
      changed(places.size - 1, places.size)
    },
    remove,
    /** Takes out whose turn it is; the caller's next turn comes after everybody else's. */
    next: (): Waiting | undefined => {
      for (const [caller, places] of callers)
        for (const waiting of places) {
          remove(waiting)
          callers.delete(caller)
          if (places.size > 0) callers.set(caller, places)
          return waiting
        }
      return undefined
    },
    /** The last place of the caller who has the most. */
    last: (): Waiting | undefined => {
      for (const places of callers.values()) if (places.size === most) return [...places].at(-1)
      return undefined
    },
  }
}

export const line = ({ limit, maxWaiting, after, refused }: LineOptions): Line => {
  const first = turns()
  const others = turns()
  let running = 0

  /** Makes room in a full line. Answers `false` where there is none for this newcomer. */
  const makesRoom = ({ isFirst, caller }: Place): boolean => {
    if (first.size + others.size < maxWaiting) return true
    if (others.size === 0 && !isFirst) return false
    const among = others.size > 0 ? others : first
    const isBefore = isFirst && among === others
    if (!isBefore && among.placesOf(caller) + 1 >= among.most) return false
    const last = among.last()
    last?.refuse('full')
    return last !== undefined
  }

  const turn = (place: Place): Promise<void> =>
    new Promise((resolve, reject) => {
      if (!makesRoom(place)) {
        reject(refused('full'))
        return
      }
      const among = place.isFirst ? first : others
      const waiting: Waiting = {
        caller: place.caller,
        enter: () => {
          stopWaiting()
          resolve()
        },
        refuse: (why) => {
          stopWaiting()
          among.remove(waiting)
          reject(refused(why))
        },
      }
      const cancels = [
        after(place.patienceMs, () => waiting.refuse('late')),
        place.signal && onAbort(place.signal, () => waiting.refuse('given up')),
      ]
      const stopWaiting = (): void => {
        for (const cancel of cancels) cancel?.()
      }
      among.add(waiting)
    })
  const leave = (): void => {
    const next = first.next() ?? others.next()
    if (next === undefined) running -= 1
    else next.enter()
  }
  return {
    run: async (place, work) => {
      if (running < limit) running += 1
      else await turn(place)
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
