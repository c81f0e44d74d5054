import type { Runtime } from '../contract/time.js'
import { settledWithin, within } from './waiting.js'

/** Rejects what had not settled when its deadline passed. */
export class DeadlinePassed extends Error {
  override get name(): string {
    return 'DeadlinePassed'
  }
}

/** The moment by which something must have settled, however many steps it takes; by the monotonic clock. */
export interface Deadline {
  /** How long it may still take, in ms; 0 where the moment has passed. */
  leftMs(): number

  /**
   * What `work` settles as, or a rejection with `late()` if it has not settled by then. The work itself is not stopped,
   * and what becomes of it afterwards is dropped.
   *
   * @param late the error of what is late. @default `DeadlinePassed`
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
