/** What a tier says of itself when asked now. `down` is an answer, not an error. */
export interface TierHealth {
  /** The tier's `name`. */
  readonly tier: string
  /** `degraded`: some of its servers answer and some do not. */
  readonly state: 'up' | 'degraded' | 'down'
  /** Of the slowest answer, in milliseconds; the time until it was given up where there was none. */
  readonly latencyMs: number
  /** Why it is not `up`; no credentials, no ids. */
  readonly reason?: string
  /** One entry per server, with its address, for tiers that can have several. */
  readonly servers?: readonly TierHealth[]
}
