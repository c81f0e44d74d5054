import type { Runtime } from '../../contract/time.js'

/**
 * Sends a batch. It resolves to one outcome for each entry, in the same order; if it rejects, every entry of the batch
 * rejects with that error.
 */
export type SendBatch<Entry, Outcome> = (entries: readonly Entry[]) => Promise<readonly Outcome[]>

export interface Batcher<Entry, Outcome> {
  submit(entry: Entry): Promise<Outcome>
  /**
   * The same for an entry that may no longer be right when its turn comes.
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
  /** The keys in ascending order; `entries` are in the same order. */
  readonly keys: readonly string[]
  readonly entries: readonly Waiting<Entry, Outcome>[]
  /** The entries that stay in line. */
  readonly rest: Waiting<Entry, Outcome>[]
  readonly cost: number
  /** Whether the batch had no room for the next entry in line. */
  readonly isFull: boolean
}

export interface BatcherOptions<Entry, Outcome> {
  readonly runtime: Pick<Runtime, 'monotonicMs'>
  readonly keyOf: (entry: Entry) => string
  /** About how many bytes an entry takes when it is sent. */
  readonly bytesOf: (entry: Entry) => number
  readonly send: SendBatch<Entry, Outcome>
  /** @default 256 */
  readonly maxEntries?: number
}

/** What an entry costs besides its bytes: its place in the statement, and the row that has to be found and locked. */
const ENTRY_COST = 1_024

/**
 * A batch is made so large that it takes about this long: long enough to be worth its round trip, and far from any
 * deadline.
 */
const TARGET_MS = 250

/**
 * How large a batch may be before anything is known of the way to the server: as much as a slow line carries within a
 * deadline.
 */
const FIRST_COST = 256 * 1_024
const LEAST_COST = 16 * 1_024
const MOST_COST = 8 * 1_024 * 1_024

/** How many full batches may be on their way at once. A batch that is not full waits until no other is on its way. */
const MOST_AT_ONCE = 4

/**
 * Sends entries in batches. What arrives while a batch is on its way makes up the next batch, so that there is no
 * timer, and no added latency when the tier is idle. What is submitted at the same moment, as when one read of a socket
 * brings the answers for many sessions, makes up one batch as well. In a batch each key occurs once, and the keys are in order, so
 * that the batches of two processes cannot lock each other. A second entry of one key waits until the first is
 * answered.
 *
 * A batch is bounded by its bytes, and by how long the batches before it took. Otherwise many large sessions at once,
 * or a slow line to the server, would make batches that cannot end within any deadline. An entry in line waits for as
 * long as the entries before it need; only its own batch has a deadline. An entry that is larger than the bound is sent
 * alone.
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
  /** What all entries in line cost together. */
  let costInLine = 0

  const costOf = (entry: Entry): number => ENTRY_COST + bytesOf(entry)

  /** The batch that would be sent next. */
  const nextBatch = (): Batch<Entry, Outcome> => {
    const batch = new Map<string, Waiting<Entry, Outcome>>()
    const rest: Waiting<Entry, Outcome>[] = []
    let cost = 0
    let isFull = false
    for (const waiting of queue) {
      const key = keyOf(waiting.entry)
      const more = costOf(waiting.entry)
      // No entry overtakes the first one that finds no room: otherwise a large entry might wait for ever.
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

  /** Learns from a batch how large the next one may be. A batch that failed may have been too large. */
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

  /** Takes the entries out of the line that are no longer due. */
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

  let isToSend = false

  const join = (waiting: Waiting<Entry, Outcome>): void => {
    queue.push(waiting)
    costInLine += costOf(waiting.entry)
    if (isToSend) return
    isToSend = true
    queueMicrotask(() => {
      isToSend = false
      sendMore()
    })
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
