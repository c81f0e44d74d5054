import { randomBytes } from 'node:crypto'
import type { EpochMs, Runtime } from '../contract/time.js'

/** A runtime whose time a test moves. */
export interface MovableRuntime extends Runtime {
  /** Lets `ms` of time pass: moves both clocks on by it and fires every timer whose time has come by then, in order. */
  advance(ms: number): void

  /**
   * Sets the wall clock forward by `ms`, or back where `ms` is negative, as an administrator or a time server does. No
   * time passes: the monotonic clock and all timers stay as they are.
   */
  stepWallClock(ms: number): void
}

interface Timer {
  /** How much time must have passed since the runtime was made. */
  readonly dueAtMs: number
  readonly fire: () => void
}

/**
 * Clocks that tests move. The wall clock stands still until it is moved; the monotonic clock also runs by itself, as
 * real latencies are measured with it. Timers fire when time is moved past them; a short one (a pause between two
 * looks, say) also by itself, so that nothing has to be moved for it.
 *
 * @param start what the wall clock says at first. @default noon of 21 November 2026, UTC
 */
export const movableRuntime = (start: EpochMs = Date.UTC(2026, 10, 21, 12)): MovableRuntime => {
  const SHORT_MS = 500
  const timers = new Set<Timer>()
  let passedMs = 0
  let steppedMs = 0

  return {
    now: () => Math.floor(start + passedMs + steppedMs),
    monotonicMs: () => performance.now() + passedMs,
    after: (delayMs, callback) => {
      const fire = (): void => {
        timers.delete(timer)
        clearTimeout(real)
        callback()
      }
      const timer: Timer = { dueAtMs: passedMs + delayMs, fire }
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
      const untilMs = passedMs + ms
      for (;;) {
        const next = [...timers].filter(({ dueAtMs }) => dueAtMs <= untilMs).sort((a, b) => a.dueAtMs - b.dueAtMs)[0]
        if (next === undefined) break
        passedMs = Math.max(passedMs, next.dueAtMs)
        next.fire()
      }
      passedMs = untilMs
    },
    stepWallClock: (ms) => {
      steppedMs += ms
    },
  }
}
