import type { EpochMs, Runtime } from '../../contract/time.js'

/**
 * What this process saw of a cache's servers going and coming back. While one was away, sessions may have been
 * changed and destroyed in the backend; if it comes back with its old contents, they are not to be believed
 * unseen. Kept for each server that ever failed, so as many entries as there are servers.
 */
export interface Outages {
  /** @param isDown nobody listens at its address: that is no late answer, and it is away at once. @default false */
  failed(server: string, isDown?: boolean): void
  answered(server: string): void
  /**
   * Entries filled or checked before this moment may be from before an outage; 0 if there was none. Where the wall
   * clock was set forward since the outage, the moment is moved along. Where it was set back, the moment stays: entries
   * that were stamped until then are compared once more than they need be.
   */
  trustFrom(server: string): EpochMs
  /** Whether nobody listens there, or its calls have failed for `awayAfterMs` now, more than one, and none was answered. */
  isAway(server: string): boolean
}

/** By less than this the two clocks of a process drift apart without anyone having set the wall clock. */
const DRIFT_MS = 100

export interface OutageOptions {
  readonly runtime: Pick<Runtime, 'now' | 'monotonicMs'>
  readonly maxClockSkewMs: number
  /** In ms, by the monotonic clock. */
  readonly awayAfterMs: number
}

interface Failing {
  readonly sinceMs: number
  calls: number
  isDown: boolean
}

export const outages = ({ runtime, maxClockSkewMs, awayAfterMs }: OutageOptions): Outages => {
  const failing = new Map<string, Failing>()
  const ended = new Map<string, { at: EpochMs; readonly atMs: number }>()
  return {
    failed: (server, isDown = false) => {
      const known = failing.get(server) ?? { sinceMs: runtime.monotonicMs(), calls: 0, isDown: false }
      failing.set(server, known)
      known.calls += 1
      known.isDown ||= isDown
    },
    answered: (server) => {
      if (failing.delete(server)) ended.set(server, { at: runtime.now(), atMs: runtime.monotonicMs() })
    },
    trustFrom: (server) => {
      const end = ended.get(server)
      if (end === undefined) return 0
      const at = Math.ceil(runtime.now() - (runtime.monotonicMs() - end.atMs))
      // As long as nobody sets the clock the moment stays the same to the millisecond: entries are stamped with it.
      if (at - end.at > DRIFT_MS) end.at = at
      // The stamp in an entry is by the clock of the process that filled it.
      return end.at + maxClockSkewMs
    },
    isAway: (server) => {
      const known = failing.get(server)
      if (known === undefined) return false
      return known.isDown || (known.calls > 1 && runtime.monotonicMs() - known.sinceMs >= awayAfterMs)
    },
  }
}
