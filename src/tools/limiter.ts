/** Lets at most `limit` pieces of work run at once. The others wait, in the order in which they arrive. */
export interface Limiter {
  run<T>(work: () => Promise<T>): Promise<T>
}

/**
 * How long work waits in line at most, and the error with which it is given up then. Work that was given up is never
 * begun.
 */
export interface Patience {
  readonly after: (callback: () => void) => () => void
  readonly late: () => Error
}

export const limiter = (limit: number, patience?: Patience): Limiter => {
  // A Set keeps the order of arrival, also when one leaves the line.
  const waiting = new Set<() => void>()
  let running = 0

  const turn = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const enter = (): void => {
        giveUp?.()
        resolve()
      }
      const giveUp = patience?.after(() => {
        waiting.delete(enter)
        reject(patience.late())
      })
      waiting.add(enter)
    })
  const leave = (): void => {
    const [next] = waiting
    if (next === undefined) running -= 1
    else {
      waiting.delete(next)
      next()
    }
  }
  return {
    run: async (work) => {
      if (running < limit) running += 1
      else await turn()
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
