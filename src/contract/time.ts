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
  /** Wall clock, for moments that are stored and compared between processes. */
  now(): EpochMs

  /** A clock in milliseconds that never goes back, for deadlines and latencies inside this process. */
  monotonicMs(): number

  /** Calls `callback` once after `delayMs`. The timer never keeps a process alive by itself. */
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
