import { LRUCache } from 'lru-cache'
import type { Runtime } from '../../contract/time.js'
import type { Reply } from './record.js'

/** A place for a reply. It is empty until the session was read. */
interface Place {
  reply: Reply | undefined
}

/** Puts a reply into the place that was taken for it, unless the session has been changed here since. */
export type Keep = (reply: Reply, forMs: number) => void

/**
 * What `get` answered lately, in this process. It knows nothing of what other processes do with the sessions.
 */
export class ReplyCache {
  readonly #places: LRUCache<string, Place>
  readonly #longestMs: number

  /** @param longestMs how long a reply is kept at most */
  constructor(most: number, longestMs: number, runtime: Pick<Runtime, 'monotonicMs'>) {
    this.#longestMs = longestMs
    this.#places = new LRUCache({
      max: most,
      ttl: longestMs,
      // With a resolution the cache would ask a timer of the system's when time has passed.
      ttlResolution: 0,
      perf: { now: () => runtime.monotonicMs() },
    })
  }

  /** A copy of the reply that is kept; `undefined` where there is none. */
  get(key: string): Reply | undefined {
    const reply = this.#places.get(key)?.reply
    return reply === undefined ? undefined : structuredClone(reply)
  }

  /** Takes a place before the session is read. */
  place(key: string): Keep {
    const mine: Place = { reply: undefined }
    this.#places.set(key, mine)
    return (reply, forMs) => {
      if (this.#places.peek(key) !== mine) return
      mine.reply = structuredClone(reply)
      this.#places.set(key, mine, { ttl: Math.max(1, Math.min(this.#longestMs, forMs)) })
    }
  }

  /** The session is changed or ended here: what is kept of it, and what is being read of it, is out of date. */
  forget(key: string): void {
    this.#places.delete(key)
  }

  forgetAll(): void {
    this.#places.clear()
  }
}
