/** Lets at most `limit` pieces of work run at once; the others wait in order of arrival. */
export interface Limiter {
  run<T>(work: () => Promise<T>): Promise<T>
}

/** How long one waits in line at most, and what it is told then. Its work is never begun after that. */
export interface Patience {
  readonly after: (callback: () => void) => () => void
  readonly late: () => Error
}

export const limiter = (limit: number, patience?: Patience): Limiter => {
  // In order of arrival, also when one leaves the line.
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
