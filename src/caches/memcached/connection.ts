import type { CacheRequest, CacheResponse } from './protocol.js'

/** Names one connection, and with it the tokens that came over it. No two connections share one. */
export type Generation = symbol

export interface Answer {
  readonly response: CacheResponse
  /** The connection that it came over. */
  readonly generation: Generation
}

/**
 * One connection to one server, from its making to its first fault. It is never mended: a time-out, a
 * close, an error or an answer that cannot be right ends it at once with everything in flight on it, and
 * the next one is another generation.
 */
export interface Connection {
  readonly generation: Generation
  /** Why and when (by the monotonic clock) it ended; `undefined` while it can be used. */
  readonly ended: { readonly cause: Error; readonly atMs: number } | undefined
  /** How many requests wait for their answers, and how many have had theirs. */
  readonly inFlight: number
  readonly answered: number

  /**
   * Rejects with `Unsent` when nothing was sent, and with another error when the answer did not come within
   * `timeoutMs` or the connection ended before it.
   */
  request(request: CacheRequest, timeoutMs: number): Promise<Answer>

  /** Takes no new request; ends when those in flight have settled. */
  retire(): void

  /** Ends it at once; what is still in the send buffer is dropped where the system can do that. */
  destroy(cause: Error): void
}

/** The request did not leave this process, so it surely was not carried out. */
export class Unsent extends Error {
  override get name(): string {
    return 'Unsent'
  }
}

/** No answer came in time. */
export class Late extends Error {
  override get name(): string {
    return 'Late'
  }
}
