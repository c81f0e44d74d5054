import type { FrontCache } from '../../contract/front-cache.js'
import type { EpochMs } from '../../contract/time.js'

/** What a rule is given: a cache opened for it alone, and the subject's way with time. */
export interface Stage {
  readonly cache: FrontCache
  /** A second cache over the same entries, as another process has it; it is closed with the first. */
  another(): Promise<FrontCache>
  now(): EpochMs
  /** Lets that much time pass: moves the clock where the subject has one to move, waits elsewhere. */
  pass(ms: number): Promise<void>
  /** How much longer than asked an entry may live. */
  readonly expiryResolutionMs: number
  /** From here on the server answers and takes no new value. Only for rules with `needs: 'refusals'`. */
  refuseValues(): Promise<void>
  /** A size that every implementation takes, and one that this one refuses; bytes. */
  readonly largeBytes: number
  readonly tooLargeBytes: number
}

/** One sentence of the contract; `check` throws when it is not kept. */
export interface Rule {
  readonly title: string
  /** What not every implementation can be brought to. */
  readonly needs?: 'refusals'
  readonly check: (stage: Stage) => Promise<void>
}
