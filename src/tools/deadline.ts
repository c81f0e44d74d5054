import type { Runtime } from '../contract/time.js'
import { settledWithin, within } from './waiting.js'

/** The error of what had not settled when its deadline passed. */
export class DeadlinePassed extends Error {
  override get name(): string {
    return 'DeadlinePassed'
  }
}

/** The moment by which something must have settled, however many steps it takes. It goes by the monotonic clock. */
export interface Deadline {
  /** How long it may still take, in ms; 0 once the moment has passed. */
  leftMs(): number

  /**
   * Settles as `work` does, or rejects with `late()` if `work` has not settled by then. The work itself is not stopped;
   * how it ends after that is ignored.
   *
   * @param late makes the error. @default `DeadlinePassed`
   */
  race<Result>(work: Promise<Result>, late?: () => unknown): Promise<Result>

  /** Resolves with whether `work` has settled by then, in whichever way. Never rejects. */
  settles(work: Promise<unknown>): Promise<boolean>
}

/** The deadline that passes after `timeoutMs`. */
export const deadlineAfter = (runtime: Runtime, timeoutMs: number): Deadline => {
  const endsAtMs = runtime.monotonicMs() + timeoutMs
  const leftMs = (): number => Math.max(0, endsAtMs - runtime.monotonicMs())
  return {
    leftMs,
    race: (work, late = () => new DeadlinePassed()) => within(runtime, leftMs(), work, late),
    settles: (work) => settledWithin(runtime, leftMs(), work),
  }
}
