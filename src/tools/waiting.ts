import type { Runtime } from '../contract/time.js'

/** Resolves after `delayMs`. */
export const sleep = (runtime: Runtime, delayMs: number): Promise<void> =>
  new Promise((resolve) => {
    runtime.after(delayMs, resolve)
  })

/** `meanMs`, give or take a half, so that a fleet does not move in step. */
export const jittered = (runtime: Runtime, meanMs: number): number => meanMs * (0.5 + runtime.random())

/** Resolves when `work` has settled, in whichever way, or when `limitMs` have passed. Never rejects. */
export const settledOrOver = (runtime: Runtime, limitMs: number, work: Promise<unknown>): Promise<void> =>
  new Promise((resolve) => {
    const cancel = runtime.after(limitMs, resolve)
    const done = (): void => {
      cancel()
      resolve()
    }
    work.then(done, done)
  })

/**
 * What `work` settles as, or `late()`'s rejection if it has not settled after `deadlineMs`. The work itself is
 * not stopped; what becomes of it then is nobody's business any more, also if it fails.
 */
export const within = <T>(runtime: Runtime, deadlineMs: number, work: Promise<T>, late: () => Error): Promise<T> =>
  new Promise((resolve, reject) => {
    const cancel = runtime.after(deadlineMs, () => reject(late()))
    work.then(
      (value) => {
        cancel()
        resolve(value)
      },
      (error: unknown) => {
        cancel()
        reject(error)
      },
    )
  })
