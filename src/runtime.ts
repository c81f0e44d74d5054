import { randomBytes } from 'node:crypto'
import type { Runtime } from './contract/time.js'

/** The real clock, real timers and the system's CSPRNG. */
export const systemRuntime: Runtime = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: (delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  },
  keepAlive: () => {
    const timer = setInterval(() => {}, 2 ** 30)
    return () => clearInterval(timer)
  },
  randomBytes: (size) => randomBytes(size),
  random: () => Math.random(),
}
