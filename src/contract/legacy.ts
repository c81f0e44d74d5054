import type { EpochMs } from './time.js'

/** A session as an old store has it. */
export interface LegacySession {
  /** What a session of this store is to hold. */
  readonly data: unknown
  /**
   * The idle time-out that the session keeps, in ms: a whole number, at least 1_000. No more than `absoluteTtlMs` counts.
   * Absent: as the options of this store say.
   */
  readonly idleTtlMs?: number | undefined
  /** When it was made; its absolute lifetime is counted from then. Absent: at its last use. */
  readonly createdAt?: EpochMs | undefined
  /** When it was last used. Absent: now, as it is asked for. */
  readonly seenAt?: EpochMs | undefined
  /** When it ends unless it is used again. Absent: as long after its last use as its idle time-out says. */
  readonly expiresAt?: EpochMs | undefined
  /** The application within the namespace to which it belongs. Absent: the `app` of this store. */
  readonly app?: string | undefined
}

/**
 * A store that sessions were kept in before. It is asked for an id that neither tier knows; what it has under it is taken
 * over, under the same id. `fromExpressStore` of `nonstick/express` makes one of any store of express-session.
 */
export interface LegacyStore {
  /**
   * The session, or nothing (`undefined` or `null`) where there is none or it has ended. To reject means that the old store
   * could not be asked; the caller is then told so, and never that there is no session.
   */
  get(id: string): PromiseLike<LegacySession | null | undefined>
  /** Ends the session there. It resolves also where there is none. */
  destroy(id: string): PromiseLike<unknown>
  /**
   * Whether a session is removed from the old store once it was taken over. Set it only when no process works on the old
   * store any more: one that does would find its visitors logged out. @default false
   */
  readonly remove?: boolean
}
