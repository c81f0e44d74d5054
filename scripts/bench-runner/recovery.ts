/** What a restart of the cache does to those who use their sessions meanwhile. */
import type { Lived } from './scale-subject.js'
import { quantile } from './statistics.js'

export interface Recovery {
  /** Calls that were rejected. */
  readonly failed: number
  readonly calls: number
  /** How long after the restart the last call was rejected, or 0. */
  readonly lastFailureMs: number
  /**
   * How long after the restart began the calls of a slice of time were as many again as before it, by four fifths, and none
   * of them was rejected; `undefined` if that did not come about.
   */
  readonly recoveredMs: number | undefined
  /** The slowest but one in a hundred of all calls since. */
  readonly p99Ms: number
}

const SLICE_MS = 100
const ENOUGH = 0.8

/** @param restartedMs when the restart began, after the beginning */
export const recoveryOf = (lived: readonly Lived[], restartedMs: number): Recovery => {
  const since = lived.filter(({ endedMs }) => endedMs >= restartedMs)
  const failures = since.filter(({ failed }) => failed)
  const endMs = Math.max(...lived.map(({ endedMs }) => endedMs))
  const sliceOf = (fromMs: number): readonly Lived[] =>
    lived.filter(({ endedMs }) => endedMs >= fromMs && endedMs < fromMs + SLICE_MS)
  const before = lived.length - since.length
  const usual = (before / Math.max(1, restartedMs)) * SLICE_MS
  let recoveredMs: number | undefined
  for (let fromMs = restartedMs; fromMs + SLICE_MS <= endMs && recoveredMs === undefined; fromMs += SLICE_MS) {
    const slice = sliceOf(fromMs)
    if (slice.length >= usual * ENOUGH && !slice.some(({ failed }) => failed)) recoveredMs = fromMs - restartedMs
  }
  return {
    failed: failures.length,
    calls: since.length,
    lastFailureMs: Math.max(0, ...failures.map(({ endedMs }) => endedMs - restartedMs)),
    recoveredMs,
    p99Ms: quantile(
      since.map(({ beganMs, endedMs }) => endedMs - beganMs),
      0.99,
    ),
  }
}
