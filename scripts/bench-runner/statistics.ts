/** What the figures of several rounds say together. */

/** The middle one of the figures, or the mean of the two in the middle; `NaN` of none. */
export const median = (figures: readonly number[]): number => {
  const sorted = [...figures].sort((one, other) => one - other)
  const middle = sorted.length / 2
  const upper = sorted[Math.floor(middle)] ?? Number.NaN
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2
}

/**
 * How far the figures lie from their median: the median of those distances. One round that something disturbed, however
 * much, hardly moves it.
 */
export const spread = (figures: readonly number[]): number => {
  const middle = median(figures)
  return median(figures.map((figure) => Math.abs(figure - middle)))
}

/** A figure with what its rounds differ by. */
export interface Summary {
  readonly median: number
  /** The median of the distances from the median. */
  readonly spread: number
  readonly rounds: number
}

export const summaryOf = (figures: readonly number[]): Summary => ({
  median: median(figures),
  spread: spread(figures),
  rounds: figures.length,
})

/**
 * By how much one is more than another, where both were measured in the same rounds: the ratio of each round, and of these
 * the median. What slows down the machine for a whole round falls out.
 */
export const pairedRatio = (ones: readonly number[], others: readonly number[]): Summary =>
  summaryOf(
    ones.flatMap((one, round) => {
      const other = others[round]
      return other === undefined || !Number.isFinite(one / other) ? [] : [one / other]
    }),
  )

/** So many times the spread counts as noise. Of undisturbed rounds, the median of nine leaves that once in a million runs. */
const NOISE = 3

/** Whether a ratio is worse than its bound, which it should not exceed, by more than the noise of its own rounds. */
export const isWorse = ({ median, spread }: Summary, bound: number): boolean => !(median - NOISE * spread <= bound)

/** The value below which so large a part of the figures lies, from 0 to 1; `NaN` of none. */
export const quantile = (figures: readonly number[], part: number): number => {
  const sorted = [...figures].sort((one, other) => one - other)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? Number.NaN
}
