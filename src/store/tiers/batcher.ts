import type { Runtime } from '../../contract/time.js'

/** How a batch is sent. One outcome per entry, in order; a rejection is the fate of every entry. */
export type SendBatch<Entry, Outcome> = (entries: readonly Entry[]) => Promise<readonly Outcome[]>

export interface Batcher<Entry, Outcome> {
  submit(entry: Entry): Promise<Outcome>
  /**
   * The same for an entry that may have become wrong by the time its turn comes.
   *
   * @param isStillDue asked just before the entry is sent. Where it answers `false`, the entry is not sent.
   */
  submitIfDue(entry: Entry, isStillDue: () => boolean): Promise<Outcome | 'not sent'>
}

interface Waiting<Entry, Outcome> {
  readonly entry: Entry
  readonly isStillDue: () => boolean
  readonly resolve: (outcome: Outcome) => void
  readonly isNotSent: () => void
  readonly reject: (error: unknown) => void
}

interface Batch<Entry, Outcome> {
  /** In order, as are the entries. */
  readonly keys: readonly string[]
  readonly entries: readonly Waiting<Entry, Outcome>[]
  /** Those in line who are left. */
  readonly rest: Waiting<Entry, Outcome>[]
  readonly cost: number
  /** There was no room for the next in line. */
  readonly isFull: boolean
}

export interface BatcherOptions<Entry, Outcome> {
  readonly runtime: Pick<Runtime, 'monotonicMs'>
  readonly keyOf: (entry: Entry) => string
  /** How many bytes an entry takes on its way, about. */
  readonly bytesOf: (entry: Entry) => number
  readonly send: SendBatch<Entry, Outcome>
  /** @default 256 */
  readonly maxEntries?: number
}

/** What an entry costs beside its bytes: its place in the statement, and the row that is looked for and locked. */
const ENTRY_COST = 1_024

/** A batch is made as large as takes about this long: long enough to be worth its round trip, and far from any deadline. */
const TARGET_MS = 250

/** Before anything is known of the way to the server: what a thin line carries within a deadline. */
const FIRST_COST = 256 * 1_024
const LEAST_COST = 16 * 1_024
const MOST_COST = 8 * 1_024 * 1_024

/** As many full batches are on their way at once. One that is not full waits until no other is. */
const MOST_AT_ONCE = 4

/**
 * Sends what arrives while a batch is on its way as the next batch: no timer, and no added latency when idle. In a batch
 * each key occurs once, and keys are in order, so that two processes' batches cannot lock each other; a second entry of
 * one key waits until the first is answered.
 *
 * A batch is bounded by its bytes, and by how long those before it took: many large sessions at once, or a thin line to
 * the server, would otherwise make batches that no deadline admits. An entry in line waits for as long as those before
 * it need; only its own batch has a deadline. An entry that is larger than the bound goes alone.
 */
export const batcher = <Entry, Outcome>({
  runtime,
  keyOf,
  bytesOf,
  send,
  maxEntries = 256,
}: BatcherOptions<Entry, Outcome>): Batcher<Entry, Outcome> => {
  let queue: Waiting<Entry, Outcome>[] = []
  let underWay = 0
  const keysUnderWay = new Set<string>()
  let mostCost = FIRST_COST
  /** What all in line cost together. */
  let costInLine = 0

  const costOf = (entry: Entry): number => ENTRY_COST + bytesOf(entry)

  /** The batch that would go next, in the order of its keys. */
  const nextBatch = (): Batch<Entry, Outcome> => {
    const batch = new Map<string, Waiting<Entry, Outcome>>()
    const rest: Waiting<Entry, Outcome>[] = []
    let cost = 0
    let isFull = false
    for (const waiting of queue) {
      const key = keyOf(waiting.entry)
      const more = costOf(waiting.entry)
      // Nobody overtakes the first who finds no room, or a large entry might wait for ever.
      isFull ||= batch.size >= maxEntries || (batch.size > 0 && cost + more > mostCost)
      if (isFull || batch.has(key) || keysUnderWay.has(key)) rest.push(waiting)
      else {
        batch.set(key, waiting)
        cost += more
      }
    }
    const keys = [...batch.keys()].sort()
    return { keys, entries: keys.map((key) => batch.get(key)).filter((one) => one !== undefined), rest, cost, isFull }
  }

  /** Learns from a batch how large the next may be. One that failed may have been too large. */
  const learn = (cost: number, tookMs: number, failed: boolean): void => {
    if (failed) mostCost = Math.max(LEAST_COST, Math.min(mostCost, cost) / 4)
    else if (tookMs > TARGET_MS) mostCost = Math.max(LEAST_COST, Math.min(mostCost, (cost * TARGET_MS) / tookMs))
    else if (tookMs < TARGET_MS / 2) mostCost = Math.min(MOST_COST, Math.max(mostCost, 2 * cost))
  }

  const sendBatch = async ({ keys, entries, cost }: Batch<Entry, Outcome>): Promise<void> => {
    underWay += 1
    for (const key of keys) keysUnderWay.add(key)
    const startedAt = runtime.monotonicMs()
    try {
      const outcomes = await send(entries.map(({ entry }) => entry))
      learn(cost, runtime.monotonicMs() - startedAt, false)
      for (const [index, { resolve, reject }] of entries.entries()) {
        const outcome = outcomes[index]
        if (outcome === undefined) reject(new Error('A batch came back with fewer outcomes than entries'))
        else resolve(outcome)
      }
    } catch (error) {
      learn(cost, runtime.monotonicMs() - startedAt, true)
      for (const { reject } of entries) reject(error)
    } finally {
      underWay -= 1
      for (const key of keys) keysUnderWay.delete(key)
      sendMore()
    }
  }

  /** Takes out of the line what is no longer to be sent. */
  const letGo = (): void => {
    queue = queue.filter(({ entry, isStillDue, isNotSent }) => {
      if (isStillDue()) return true
      costInLine -= costOf(entry)
      isNotSent()
      return false
    })
  }

  const sendMore = (): void => {
    letGo()
    while (queue.length > 0 && underWay < MOST_AT_ONCE) {
      if (underWay > 0 && costInLine <= mostCost && queue.length <= maxEntries) return
      const batch = nextBatch()
      if (batch.entries.length === 0 || (underWay > 0 && !batch.isFull)) return
      queue = batch.rest
      costInLine -= batch.cost
      void sendBatch(batch)
    }
  }

  const join = (waiting: Waiting<Entry, Outcome>): void => {
    queue.push(waiting)
    costInLine += costOf(waiting.entry)
    sendMore()
  }

  return {
    submit: (entry) =>
      new Promise((resolve, reject) => {
        join({ entry, resolve, reject, isStillDue: () => true, isNotSent: () => {} })
      }),
    submitIfDue: (entry, isStillDue) =>
      new Promise((resolve, reject) => {
        join({ entry, resolve, reject, isStillDue, isNotSent: () => resolve('not sent') })
      }),
  }
}
