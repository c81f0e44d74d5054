/** A moment: milliseconds since the Unix epoch, as `Date.now()` gives them. */
export type EpochMs = number

/** Returned by `Timers.after`; calling it twice, or after the timer fired, does nothing. */
export type Cancel = () => void

/**
 * Time and chance, as arguments.
 *
 * Everything that needs the clock, a timer or randomness takes a `Runtime`, so that tests move time instead
 * of waiting for it and a simulated world can be replayed from a seed. `systemRuntime` is the real one.
 */
export interface Runtime {
  /**
   * The wall clock, for moments that are stored and compared between processes: whole milliseconds since the Unix
   * epoch. It may be set, forward and back, at any time. So nothing that lasts is measured with it.
   */
  now(): EpochMs

  /**
   * The monotonic clock, for all that lasts within this process (deadlines, pauses, ages, latencies): milliseconds with
   * fractions since a moment of no meaning. It never goes back, and setting the wall clock does not move it.
   */
  monotonicMs(): number

  /**
   * Calls `callback` once, `delayMs` from now by the monotonic clock or a little later. The timer never keeps a process
   * alive by itself. A runtime of one's own may hand the delay to `setTimeout` as it is: the library asks for
   * 2_147_483_647 ms at most, which is the longest that a timer of Node's can wait, and waits for more in parts.
   */
  after(delayMs: number, callback: () => void): Cancel

  /**
   * Keeps the process alive until it is cancelled: for a drain, which may be waiting for nothing but timers. Where it
   * is left out, a process whose drain is under way may end before it.
   */
  keepAlive?(): Cancel

  /** `size` unpredictable bytes, from a CSPRNG. */
  randomBytes(size: number): Uint8Array

  /** A number in [0, 1), for jitter only; need not be unpredictable. */
  random(): number
}
