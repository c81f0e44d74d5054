/**
 * A circuit breaker's. `closed`: calls go out. `open`: it failed too often, and is left alone for a while. `half-open`:
 * one call is out, and shows whether it is back.
 */
export type BreakerState = 'closed' | 'open' | 'half-open'

/** What a tier says of itself when asked now. `down` is an answer, not an error. */
export interface TierHealth {
  /** The tier's `name`. */
  readonly tier: string
  /** `degraded`: some of its servers answer and some do not. */
  readonly state: 'up' | 'degraded' | 'down'
  /** Of the slowest answer, in milliseconds; the time until it was given up where there was none. */
  readonly latencyMs: number
  /** Why it is not `up`, or what is to be known of it all the same; no credentials, no ids. */
  readonly reason?: string
  /** The store's breaker before it, once it was called at all; of a tier of several servers, in each of them. */
  readonly breaker?: BreakerState
  /** One entry per server, its `tier` this one's and its address, for tiers that can have several. */
  readonly servers?: readonly TierHealth[]
}
