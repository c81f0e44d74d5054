import type { Cancel, Runtime } from '../contract/time.js'

/** Calls `callback` once after the delay, unless it is cancelled before. Cancelling twice does nothing. */
export type Alarms = (callback: () => void) => Cancel

/** An alarm that is set, in the order in which they were set. */
interface Alarm {
  readonly dueAtMs: number
  readonly callback: () => void
  before: Alarm | undefined
  after: Alarm | undefined
}

/**
 * Alarms that all ring after the same delay, with one timer of the runtime for all of them: whoever sets one later has it
 * ring later, so that only the oldest needs a timer. Calls that are nearly always answered in time set one each, and
 * setting and stopping a timer for each would cost more than the rest of their bookkeeping.
 */
export const alarms = (runtime: Pick<Runtime, 'after' | 'monotonicMs'>, delayMs: number): Alarms => {
  let first: Alarm | undefined
  let last: Alarm | undefined
  let isTimed = false

  // What has left the list points at nothing in it. Else an alarm that has grown old keeps all those that came after it
  // from the garbage collector's quick rounds, as it would a Set with its tables.
  const remove = (alarm: Alarm): void => {
    const { before, after } = alarm
    if (before !== undefined) before.after = after
    else if (first === alarm) first = after
    else return
    if (after !== undefined) after.before = before
    else last = before
    alarm.before = undefined
    alarm.after = undefined
  }
  const timeFirst = (): void => {
    isTimed = first !== undefined
    if (first !== undefined) runtime.after(Math.max(0, Math.ceil(first.dueAtMs - runtime.monotonicMs())), ring)
  }
  const ring = (): void => {
    const nowMs = runtime.monotonicMs()
    try {
      // A timer may come a part of a millisecond before its time.
      while (first !== undefined && first.dueAtMs <= nowMs) {
        const { callback } = first
        remove(first)
        callback()
      }
    } finally {
      timeFirst()
    }
  }
  return (callback) => {
    const alarm: Alarm = { dueAtMs: runtime.monotonicMs() + delayMs, callback, before: last, after: undefined }
    if (last === undefined) first = alarm
    else last.after = alarm
    last = alarm
    // The timer is left to ring where nobody waits any more. That costs one call, once in `delayMs`.
    if (!isTimed) timeFirst()
    return () => remove(alarm)
  }
}

/** An alarm with a timer of its own, for a delay that only one caller has. */
export const alarmAfter =
  (runtime: Pick<Runtime, 'after'>, delayMs: number): Alarms =>
  (callback) =>
    runtime.after(delayMs, callback)
