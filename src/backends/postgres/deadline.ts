import type { Runtime } from '../../contract/time.js'

/** Rejects what did not settle within the call's deadline. */
export class DeadlinePassed extends Error {
  override get name(): string {
    return 'DeadlinePassed'
  }
}

/** The moment by which one call must settle, however many steps it takes. */
export interface Deadline {
  /** The promise's result, or a rejection with `DeadlinePassed`; a result that comes later is dropped. */
  race<Result>(promise: Promise<Result>): Promise<Result>
}

export const deadlineAfter = (runtime: Runtime, timeoutMs: number): Deadline => {
  const endsAt = runtime.monotonicMs() + timeoutMs
  return {
    race: (promise) =>
      new Promise((resolve, reject) => {
        const cancel = runtime.after(Math.max(0, endsAt - runtime.monotonicMs()), () => reject(new DeadlinePassed()))
        promise.then(resolve, reject).finally(cancel)
      }),
  }
}
