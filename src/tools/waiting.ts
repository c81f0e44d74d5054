import type { Runtime } from '../contract/time.js'
import { type Alarms, alarmAfter } from './alarms.js'

/** Resolves after `delayMs`. */
export const sleep = (runtime: Runtime, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    runtime.after(delayMs, resolve)
  })

/** `meanMs`, give or take a half, so that a fleet does not move in step. */
export const jittered = (runtime: Runtime, meanMs: number): number => meanMs * (0.5 + runtime.random())

/** How long the pause is after the first failure in a row, and how long a pause is at most. */
export interface Pauses {
  readonly firstMs: number
  readonly longestMs: number
}

/**
 * The pause after so many failures in a row, in ms. It is twice as long after each further failure, give or take a
 * half, and 0 after none.
 */
export const pauseAfter = (runtime: Runtime, { firstMs, longestMs }: Pauses, failures: number): number =>
  jittered(runtime, failures === 0 ? 0 : Math.min(firstMs * 2 ** (failures - 1), longestMs))

/** Resolves when `work` settles, in whichever way, or after `limitMs`, with whether it has settled. Never rejects. */
export const settledWithin = (runtime: Runtime, limitMs: number, work: Promise<unknown>): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = runtime.after(Math.max(0, limitMs), () => resolve(false))
    const done = (): void => {
      cancel()
      resolve(true)
    }
    work.then(done, done)
  })

/**
 * Settles as `work` does, or rejects with `late()` if `work` has not settled after `deadlineMs`. The work itself is not
 * stopped; how it ends after that is ignored, even if it fails.
 */
export const within = <T>(runtime: Runtime, deadlineMs: number, work: Promise<T>, late: () => unknown): Promise<T> =>
  beforeAlarm(alarmAfter(runtime, deadlineMs), work, late)

/** The same, with whatever rings when the deadline has passed. */
export const beforeAlarm = <T>(alarm: Alarms, work: Promise<T>, late: () => unknown): Promise<T> =>
  new Promise((resolve, reject) => {
    const cancel = alarm(() => reject(late()))
    passOn(work, cancel, resolve, reject)
  })

/** Settles a promise of one's own as `work` does, and calls `done` just before. */
export const passOn = <T>(
  work: Promise<T>,
  done: () => void,
  resolve: (value: T) => void,
  reject: (error: unknown) => void,
): void => {
  work.then(
    (value) => {
      done()
      resolve(value)
    },
    (error: unknown) => {
      done()
      reject(error)
    },
  )
}

/** Runs `work` with a signal that is aborted after `limitMs`, unless the work has settled by then. */
export const withSignal = async <Result>(
  runtime: Runtime,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  const controller = new AbortController()
  const cancel = runtime.after(limitMs, () => controller.abort())
  try {
    return await work(controller.signal)
  } finally {
    cancel()
  }
}
