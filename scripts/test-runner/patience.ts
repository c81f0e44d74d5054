/** When a command that still runs is given up. */
export interface Patience {
  /** Said of a command that was given up. */
  readonly complaint: string
  /**
   * Asked every `tickMs` while the command runs; `true` gives it up.
   *
   * @param progress changes whenever the command gets on
   */
  isOver(progress: string, tickMs: number): boolean
}

/**
 * Patience with a command that gets on, however long it takes; a machine that has much else to do is slow, but does not
 * stand still. Time is counted by the ticks at which this is asked, so that a machine which was asleep is no standstill.
 *
 * @param limitMs how long a command may run without any progress
 */
export const untilStandstill = (limitMs: number): Patience => {
  let last: string | undefined
  let stillMs = 0
  return {
    complaint: `no progress for ${limitMs / 1000} s`,
    isOver: (progress, tickMs) => {
      stillMs = progress === last ? stillMs + tickMs : 0
      last = progress
      return stillMs >= limitMs
    },
  }
}
