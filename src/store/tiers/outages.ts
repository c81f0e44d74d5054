import type { EpochMs, Runtime } from '../../contract/time.js'

/**
 * What this process saw of the servers of a cache going away and coming back. While a server was away, sessions may
 * have been changed and destroyed in the backend. If the server comes back with its old contents, they have to be
 * compared with the backend before they are believed. There is one record for each server that ever failed, so that
 * there are never more of them than servers.
 */
export interface Outages {
  /**
   * A call to the server failed.
   *
   * @param isDown whether nobody listens at its address. That is no late answer, so the server is away at once.
   * @default false
   */
  failed(server: string, isDown?: boolean): void
  answered(server: string): void
  /**
   * Entries that were filled or compared before this moment may be from before an outage; 0 if there was none. If the
   * wall clock was set forward since the outage, the moment moves along. If it was set back, the moment stays, and
   * entries that were stamped until then are compared once more than is needed.
   */
  trustFrom(server: string): EpochMs
  /**
   * Whether the server is away: nobody listens at its address, or `CALLS_OF_AN_OUTAGE` calls have failed, none was
   * answered since the first of them, and `awayAfterMs` have passed.
   */
  isAway(server: string): boolean
}

/**
 * So many calls in a row without an answer are an outage. Fewer are calls that failed each for itself, such as two that
 * were both sent just before one connection broke.
 */
const CALLS_OF_AN_OUTAGE = 3

/** How far the two clocks of a process may drift apart without anyone having set the wall clock. */
const DRIFT_MS = 100

export interface OutageOptions {
  readonly runtime: Pick<Runtime, 'now' | 'monotonicMs'>
  readonly maxClockSkewMs: number
  /** How long the calls of a server must have failed before it is away, in ms, by the monotonic clock. */
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
      // As long as nobody sets the clock, the moment stays the same to the millisecond, as entries are stamped with it.
      if (at - end.at > DRIFT_MS) end.at = at
      // The stamp in an entry comes from the clock of the process that filled it.
      return end.at + maxClockSkewMs
    },
    isAway: (server) => {
      const known = failing.get(server)
      if (known === undefined) return false
      return known.isDown || (known.calls >= CALLS_OF_AN_OUTAGE && runtime.monotonicMs() - known.sinceMs >= awayAfterMs)
    },
  }
}
