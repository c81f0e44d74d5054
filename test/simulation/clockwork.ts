/** Who an event happens to; an event of somebody who is paused waits, of somebody dead never happens. */
export interface Owner {
  readonly alive: boolean
  readonly paused: boolean
  /** Takes an event that came while it was paused. */
  postpone(event: () => void): void
}

interface Event {
  readonly at: number
  readonly order: number
  readonly owner: Owner | undefined
  run: (() => void) | undefined
}

/**
 * Virtual time: a queue of events, the earliest first and in order of arrival where two have one moment. Between
 * two events every promise that can settle has settled, so that one seed is one history.
 */
export class Clockwork {
  /** Milliseconds since the world began. */
  now = 0
  readonly #heap: Event[] = []
  #order = 0
  #pending = 0

  /** Returns a function that takes the event back. */
  after(delayMs: number, run: () => void, owner?: Owner): () => void {
    const event: Event = { at: this.now + Math.max(0, delayMs), order: this.#order, owner, run }
    this.#order += 1
    this.#pending += 1
    this.#push(event)
    return () => {
      if (event.run === undefined) return
      event.run = undefined
      this.#pending -= 1
    }
  }

  sleep(delayMs: number, owner?: Owner): Promise<void> {
    return new Promise((resolve) => {
      this.after(delayMs, resolve, owner)
    })
  }

  /** Until `isOver`, or nothing is left to happen. Rejects with what an event threw. */
  run(isOver: () => boolean): Promise<void> {
    // Node drains the microtasks between two immediates of one turn; many in one turn spare its loop's own work.
    const BATCH = 256
    return new Promise((resolve, reject) => {
      let queued = 0
      let over = false
      const end = (settle: () => void): void => {
        over = true
        settle()
      }
      const step = (): void => {
        queued -= 1
        if (over) return
        try {
          if (isOver() || !this.#happen()) end(resolve)
        } catch (error) {
          end(() => reject(error))
        }
        if (queued === 0 && !over) queue()
      }
      const queue = (): void => {
        for (; queued < BATCH; queued += 1) setImmediate(step)
      }
      queue()
    })
  }

  /** The next event happens. `false` if there is none. */
  #happen(): boolean {
    for (;;) {
      const event = this.#pop()
      if (event === undefined) return false
      const { owner, run } = event
      if (run === undefined) continue
      event.run = undefined
      this.#pending -= 1
      this.now = event.at
      if (owner !== undefined && !owner.alive) continue
      if (owner?.paused === true) {
        // Put back, as a timer that was postponed can still be cancelled.
        event.run = run
        this.#pending += 1
        owner.postpone(() => {
          if (event.run === undefined) return
          event.run = undefined
          this.#pending -= 1
          run()
        })
        continue
      }
      run()
      return true
    }
  }

  #push(event: Event): void {
    const heap = this.#heap
    let at = heap.length
    heap.push(event)
    while (at > 0) {
      const parent = (at - 1) >> 1
      if (!isBefore(event, heap[parent] as Event)) break
      heap[at] = heap[parent] as Event
      at = parent
    }
    heap[at] = event
  }

  #pop(): Event | undefined {
    const heap = this.#heap
    const first = heap[0]
    const last = heap.pop()
    if (first === undefined || last === undefined || heap.length === 0) return first
    let at = 0
    for (;;) {
      let child = at * 2 + 1
      if (child >= heap.length) break
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Event, heap[child] as Event)) child += 1
      if (!isBefore(heap[child] as Event, last)) break
      heap[at] = heap[child] as Event
      at = child
    }
    heap[at] = last
    return first
  }
}

const isBefore = (a: Event, b: Event): boolean => a.at < b.at || (a.at === b.at && a.order < b.order)
