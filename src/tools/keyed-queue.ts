/**
 * Runs the work of one key piece by piece, in the order in which it arrives. Work of different keys does not wait for
 * each other.
 */
export interface KeyedQueue {
  run<T>(key: string, work: () => Promise<T>): Promise<T>
}

export const keyedQueue = (): KeyedQueue => {
  const tails = new Map<string, Promise<unknown>>()
  return {
    run: async (key, work) => {
      const turn = (tails.get(key) ?? Promise.resolve()).then(work, work)
      tails.set(key, turn)
      try {
        return await turn
      } finally {
        if (tails.get(key) === turn) tails.delete(key)
      }
    },
  }
}
