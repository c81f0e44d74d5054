import { randomFillSync } from 'node:crypto'
import type { Runtime } from './contract/time.js'

/** The longest delay in ms that a timer of Node's can wait. It takes a longer one for 1 ms, and fires at once. */
export const LONGEST_TIMER_MS = 2_147_483_647

/** Waits for a delay in parts, none of them longer than a timer of Node's can wait. */
const inParts =
  (after: Runtime['after']): Runtime['after'] =>
  (delayMs, callback) => {
    if (!(delayMs > LONGEST_TIMER_MS)) return after(delayMs, callback)
    let cancel = (): void => {}
    const wait = (leftMs: number): void => {
      cancel =
        leftMs > LONGEST_TIMER_MS
          ? after(LONGEST_TIMER_MS, () => wait(leftMs - LONGEST_TIMER_MS))
          : after(leftMs, callback)
    }
    wait(delayMs)
    return () => cancel()
  }

/** How many random bytes are drawn at once for names: a draw costs the same, however few bytes are taken. */
const POOL_BYTES = 4_096
/** As many bytes as a name of a lineage or of a write has. */
const NAME_BYTES = 8
let pool = new Uint8Array(0)
let drawn = 0

/**
 * Bytes that nobody else is given. Names are no secrets; whatever is longer, such as an id, a nonce or a key, is drawn by
 * itself, so that nothing of it stands in memory before it is asked for.
 */
const unpredictableBytes = (size: number): Uint8Array => {
  if (size > NAME_BYTES) return randomFillSync(new Uint8Array(size))
  if (drawn + size > pool.length) {
    pool = randomFillSync(new Uint8Array(POOL_BYTES))
    drawn = 0
  }
  drawn += size
  return pool.slice(drawn - size, drawn)
}

/** The real clock, real timers and the system's CSPRNG. Its timers may be of any length. */
export const systemRuntime: Runtime = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  after: inParts((delayMs, callback) => {
    const timer = setTimeout(callback, delayMs)
    timer.unref()
    return () => clearTimeout(timer)
  }),
  keepAlive: () => {
    const timer = setInterval(() => {}, 2 ** 30)
    return () => clearInterval(timer)
  },
  randomBytes: unpredictableBytes,
  random: () => Math.random(),
}

/**
 * What a part of this library works with, where its user gave it `given` as its `runtime` option: that very runtime,
 * but with timers of any length, also where it hands its delays to `setTimeout` as they are. Without one, the system's.
 *
 * Whatever reads an option `runtime` and sets timers by it reads it through this function.
 */
export const runtimeOf = (given: Runtime | undefined): Runtime => {
  if (given === undefined || given === systemRuntime) return systemRuntime
  const keepAlive = given.keepAlive?.bind(given)
  // Its functions are called as its methods, since it may be an object of a class of its author's.
  return {
    now: () => given.now(),
    monotonicMs: () => given.monotonicMs(),
    after: inParts((delayMs, callback) => given.after(delayMs, callback)),
    ...(keepAlive === undefined ? {} : { keepAlive }),
    randomBytes: (size) => given.randomBytes(size),
    random: () => given.random(),
  }
}
