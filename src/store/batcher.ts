/** How a batch is sent. One outcome per entry, in order; a rejection is the fate of every entry. */
export type SendBatch<Entry, Outcome> = (entries: readonly Entry[]) => Promise<readonly Outcome[]>

export interface Batcher<Entry, Outcome> {
  submit(entry: Entry): Promise<Outcome>
}

interface Waiting<Entry, Outcome> {
  readonly entry: Entry
  readonly resolve: (outcome: Outcome) => void
  readonly reject: (error: unknown) => void
}

/**
 * Sends what arrives while a batch is on its way as the next batch, in one go: no timer, and no added latency
 * when idle. In a batch each key occurs once, and keys are in order, so that two processes' batches cannot
 * lock each other; a second entry of one key waits for the next batch.
 */
export const batcher = <Entry, Outcome>(
  keyOf: (entry: Entry) => string,
  send: SendBatch<Entry, Outcome>,
  maxEntries = 256,
): Batcher<Entry, Outcome> => {
  let queue: Waiting<Entry, Outcome>[] = []
  let sending = false

  const nextBatch = (): Waiting<Entry, Outcome>[] => {
    const batch = new Map<string, Waiting<Entry, Outcome>>()
    const rest: Waiting<Entry, Outcome>[] = []
    for (const waiting of queue) {
      const key = keyOf(waiting.entry)
      if (batch.has(key) || batch.size >= maxEntries) rest.push(waiting)
      else batch.set(key, waiting)
    }
    queue = rest
    return [...batch.entries()].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, waiting]) => waiting)
  }

  const drain = async (): Promise<void> => {
    sending = true
    try {
      while (queue.length > 0) {
        const batch = nextBatch()
        try {
          const outcomes = await send(batch.map(({ entry }) => entry))
          for (const [index, { resolve, reject }] of batch.entries()) {
            const outcome = outcomes[index]
            if (outcome === undefined) reject(new Error('A batch came back with fewer outcomes than entries'))
            else resolve(outcome)
          }
        } catch (error) {
          for (const { reject } of batch) reject(error)
        }
      }
    } finally {
      sending = false
    }
  }

  return {
    submit: (entry) =>
      new Promise((resolve, reject) => {
        queue.push({ entry, resolve, reject })
        if (!sending) void drain()
      }),
  }
}
