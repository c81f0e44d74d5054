import { randomBytes } from 'node:crypto'
import type { EpochMs, Runtime } from '../contract/time.js'

export interface MovableRuntime extends Runtime {
  /** Moves the clock on by `ms` and fires every timer whose time has come by it, in order. */
  advance(ms: number): void
}

interface Timer {
  readonly dueAt: number
  readonly fire: () => void
}

/**
 * A clock that tests move: `now` stands still until it is moved. Timers fire when the clock is moved past
 * them; a short one (a pause between two looks, say) also by itself, so that nothing has to be moved for it.
 */
export const movableRuntime = (start: EpochMs = Date.UTC(2026, 10, 21, 12)): MovableRuntime => {
  const SHORT_MS = 500
  const timers = new Set<Timer>()
  let now = start

  return {
    now: () => now,
    monotonicMs: () => performance.now() + (now - start),
    after: (delayMs, callback) => {
      const fire = (): void => {
        timers.delete(timer)
        clearTimeout(real)
        callback()
      }
      const timer: Timer = { dueAt: now + delayMs, fire }
      const real = delayMs <= SHORT_MS ? setTimeout(fire, delayMs) : undefined
      timers.add(timer)
      return () => {
        timers.delete(timer)
        clearTimeout(real)
      }
    },
    randomBytes: (size) => randomBytes(size),
    random: () => Math.random(),
    advance: (ms) => {
      const until = now + ms
      for (;;) {
        const next = [...timers].filter(({ dueAt }) => dueAt <= until).sort((a, b) => a.dueAt - b.dueAt)[0]
        if (next === undefined) break
        now = Math.max(now, next.dueAt)
        next.fire()
      }
      now = until
    },
  }
}
