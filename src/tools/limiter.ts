/** Lets at most `limit` pieces of work run at once. The others wait, in the order in which they arrive. */
export interface Limiter {
  run<T>(work: () => Promise<T>): Promise<T>
}

export const limiter = (limit: number): Limiter => {
  // A Set keeps the order of arrival.
  const waiting = new Set<() => void>()
  let running = 0

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
      else await new Promise<void>((resolve) => waiting.add(resolve))
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
