import type { Family, Figures } from './goals.js'
import type { Measure, Measured } from './rounds.js'

/** For how long, and how often, each case is measured. */
export interface Effort {
  /** For how long one round of one case takes, at most. */
  readonly seconds: number
  /** How many rounds are counted. */
  readonly rounds: number
  /** Only the cases that the figures with a goal come from. */
  readonly quick: boolean
}

/** What one family of cases gave. */
export interface FamilyResult {
  readonly family: Family
  readonly measured: readonly Measured[]
  readonly figures: Figures
  /** Which columns its tables have. */
  readonly columns: readonly Measure[]
  /** What no table has room for, in sentences. */
  readonly notes?: readonly string[]
  /** Of the servers that were used. */
  readonly versions?: Readonly<Record<string, string>>
}

export type RunFamily = (effort: Effort, tell: (step: string) => void) => Promise<FamilyResult>
