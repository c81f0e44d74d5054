import type { Runtime } from '../../contract/time.js'
import { deadlineAfter } from '../../tools/deadline.js'
import type { Documents, WriteResult, Written } from './documents.js'
import type { Month } from './months.js'
import { partsOf } from './parts.js'
import type { Call, Requests } from './requests.js'

/** So many requests with new documents of one month are under way at once; one that hangs must not hold up the rest. */
const REQUESTS = 4

interface Waiting {
  readonly call: Call
  readonly document: Written
  readonly settle: (outcome: Promise<WriteResult>) => void
  /** Ends the wait for its turn. */
  cancel: () => void
}

/** What was asked for while `underWay` requests are out. */
interface Queue {
  waiting: readonly Waiting[]
  underWay: number
}

/**
 * New documents on their way to the server. One that comes alone goes alone and at once; what comes while some are under
 * way goes together in one request, as a server that writes each of its requests to the disk can do far more of them so.
 */
export class Creations {
  readonly #documents: Documents
  readonly #requests: Requests
  readonly #runtime: Runtime
  /** By month and operation. */
  readonly #queues = new Map<string, Queue>()

  constructor(documents: Documents, requests: Requests, runtime: Runtime) {
    this.#documents = documents
    this.#requests = requests
    this.#runtime = runtime
  }

  /**
   * Settles within the deadline of `call`, whatever it goes together with.
   *
   * @throws RequestFailed
   */
  create(call: Call, month: Month, document: Written): Promise<WriteResult> {
    const name = `${month} ${call.operation}`
    const queue = this.#queues.get(name) ?? { waiting: [], underWay: 0 }
    this.#queues.set(name, queue)
    return new Promise((resolve) => {
      const waiting: Waiting = { call, document, settle: resolve, cancel: () => {} }
      waiting.cancel = this.#runtime.after(call.deadline.leftMs(), () => {
        // It was not sent, so that nothing was done.
        queue.waiting = queue.waiting.filter((other) => other !== waiting)
        resolve(Promise.reject(this.#requests.tooLate(call, 'no')))
      })
      queue.waiting = [...queue.waiting, waiting]
      this.#start(name, queue, month)
    })
  }

  #start(name: string, queue: Queue, month: Month): void {
    while (queue.underWay < REQUESTS) {
      const [part = []] = partsOf(queue.waiting, ({ document }) => document.content)
      const [first, ...others] = part
      if (first === undefined) break
      queue.waiting = queue.waiting.slice(part.length)
      queue.underWay++
      for (const { cancel } of part) cancel()
      const sent = others.length === 0 ? this.#sendAlone(month, first) : this.#sendTogether(month, first.call, part)
      void sent.finally(() => {
        queue.underWay--
        this.#start(name, queue, month)
      })
    }
    if (queue.underWay === 0) this.#queues.delete(name)
  }

  async #sendAlone(month: Month, { call, document, settle }: Waiting): Promise<void> {
    const outcome = this.#documents.write(call, month, document)
    settle(outcome)
    await outcome.catch(() => {})
  }

  async #sendTogether(month: Month, { operation, isChange }: Call, part: readonly Waiting[]): Promise<void> {
    // It lasts as long as the most patient of them waits.
    const longest = Math.max(...part.map(({ call }) => call.deadline.leftMs()))
    const call = { operation, isChange, deadline: deadlineAfter(this.#runtime, longest) }
    const outcomes = this.#documents.writeMany(
      call,
      month,
      part.map(({ document }) => document),
    )
    for (const [at, { call: own, settle }] of part.entries()) {
      const outcome = outcomes.then((results) => results[at] ?? Promise.reject(new RangeError('fewer results')))
      settle(own.deadline.race(outcome, () => this.#requests.tooLate(own, 'unknown')))
    }
    await outcomes.catch(() => {})
  }
}
