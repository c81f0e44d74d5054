/** Lets at most `limit` pieces of work run at once; the others wait in order of arrival. */
export interface Limiter {
  run<T>(work: () => Promise<T>): Promise<T>
}

export const limiter = (limit: number): Limiter => {
  const waiting: (() => void)[] = []
  let running = 0

  const leave = (): void => {
    const next = waiting.shift()
    if (next === undefined) running -= 1
    else next()
  }
  return {
    run: async (work) => {
      if (running < limit) running += 1
      else await new Promise<void>((resolve) => waiting.push(resolve))
      try {
        return await work()
      } finally {
        leave()
      }
    },
  }
}
