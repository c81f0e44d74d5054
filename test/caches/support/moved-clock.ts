import { randomBytes } from 'node:crypto'
import type { Cancel, Runtime } from '../../../src/contract/time.js'

/** A runtime whose time stands still until it is moved. */
export interface MovedClock extends Runtime {
  /** Lets time pass, calling what falls due on the way, in order. */
  advance(ms: number): void
}

export const movedClock = (startAt = Date.UTC(2026, 10, 21, 12)): MovedClock => {
  let at = startAt
  const timers = new Set<{ readonly dueAt: number; readonly callback: () => void }>()
  return {
    now: () => at,
    monotonicMs: () => at - startAt,
    after: (delayMs, callback): Cancel => {
      const timer = { dueAt: at + delayMs, callback }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    randomBytes: (size) => randomBytes(size),
    random: () => 0.5,
    advance: (ms) => {
      const until = at + ms
      for (;;) {
        const [next] = [...timers].filter(({ dueAt }) => dueAt <= until).sort((a, b) => a.dueAt - b.dueAt)
        if (next === undefined) break
        timers.delete(next)
        at = Math.max(at, next.dueAt)
        next.callback()
      }
      at = until
    },
  }
}
