import type { EpochMs } from '../contract/time.js'

/**
 * What this process saw of a cache's servers going and coming back. While one was away, sessions may have been
 * changed and destroyed in the backend; if it comes back with its old contents, they are not to be believed
 * unseen. Kept for each server that ever failed, so as many entries as there are servers.
 */
export interface Outages {
  failed(server: string): void
  answered(server: string): void
  /** Entries filled or checked before this moment may be from before an outage; 0 if there was none. */
  trustFrom(server: string): EpochMs
}

export const outages = (now: () => EpochMs, maxClockSkewMs: number): Outages => {
  const away = new Set<string>()
  const endedAt = new Map<string, EpochMs>()
  return {
    failed: (server) => void away.add(server),
    answered: (server) => {
      if (away.delete(server)) endedAt.set(server, now())
    },
    // The stamp in an entry is by the clock of the process that filled it.
    trustFrom: (server) => {
      const ended = endedAt.get(server)
      return ended === undefined ? 0 : ended + maxClockSkewMs
    },
  }
}
