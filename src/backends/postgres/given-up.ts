import type { Runtime } from '../../contract/time.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { cancelKeyOf, cancelStatement } from './cancel.js'
import type { PostgresClient } from './pool.js'

/** A server that can be reached takes a request to cancel at once. */
const CANCEL_MS = 1_000

/**
 * How long a connection is kept whose statement the server was told to cancel. It counts among the pool's until then, so
 * that a process never has more statements waiting at a server than its pool has connections.
 */
const HOLD_MS = 60_000

/** A pooler takes the request for a statement that it has not begun yet, and forgets it. So it is asked again. */
const AGAIN_MS = 1_000

/**
 * Ends the connection behind a pooler too, where it is really what was complained of; directly on the server, its own.
 * Outside a transaction `rollback` is but a warning.
 */
const END_IF_SPOILT = `rollback;
select pg_terminate_backend(pg_backend_pid())
where current_setting('transaction_read_only') = 'on' or current_user <> session_user`

/** Connections that are not given back to the pool as they are, and what is seen to before they are closed. */
export class GivenUp {
  readonly #runtime: Runtime
  readonly #cancelMs: number
  /** How to be done with each of those that are held. */
  readonly #held = new Set<() => void>()

  constructor(runtime: Runtime, queryTimeoutMs: number) {
    this.#runtime = runtime
    this.#cancelMs = Math.min(CANCEL_MS, queryTimeoutMs)
  }

  /**
   * Cancels `statement`, for which nobody waits any more, and closes the connection once the server is done with it. A
   * server that cannot be told is not waited for: it cannot be asked for another connection either.
   */
  take(client: PostgresClient, statement: Promise<unknown>, done: (destroy: boolean) => void): void {
    const end = this.#hold(client, done)
    statement.then(end, end)
    const key = cancelKeyOf(client)
    if (key === undefined) {
      end()
      return
    }
    const giveUpAt = this.#runtime.monotonicMs() + HOLD_MS
    const cancel = (): void => {
      const { delivered, giveUp } = cancelStatement(key)
      const tooLate = this.#runtime.after(this.#cancelMs, giveUp)
      void delivered.then((wasDelivered) => {
        tooLate()
        if (!wasDelivered || this.#runtime.monotonicMs() > giveUpAt) end()
        else
          this.#runtime.after(AGAIN_MS, () => {
            if (this.#held.has(end)) cancel()
          })
      })
    }
    cancel()
  }

  /** Closes a connection that is not fit for use, and the one behind it where a pooler is in between. */
  dismiss(client: PostgresClient, done: (destroy: boolean) => void): void {
    const end = this.#hold(client, done)
    deadlineAfter(this.#runtime, this.#cancelMs)
      .race(client.query({ text: END_IF_SPOILT }))
      .then(end, end)
  }

  /** Nothing is held any longer; requests that are on their way to the server still go out. */
  close(): void {
    for (const end of this.#held) end()
  }

  #hold(client: PostgresClient, done: (destroy: boolean) => void): () => void {
    const end = (): void => {
      if (this.#held.delete(end)) done(true)
    }
    this.#held.add(end)
    // The end of the process is not to wait for it.
    client.unref?.()
    return end
  }
}
