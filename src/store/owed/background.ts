import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { type Pauses, pauseAfter } from '../../tools/waiting.js'
import type { Telemetry } from '../observed/telemetry.js'

/** Work that goes on beside the answers. No caller waits for it, but `close` does, and it may be tried again. */
export interface Background {
  /** Starts the work now. If it fails, that is an event and never an unhandled rejection. */
  run(operation: string, work: () => Promise<unknown>): void
  /**
   * Tries the work until it resolves to `true`, with pauses that grow from a tenth of a second to half a minute. A
   * later call with the same name replaces an earlier one that has not succeeded yet.
   */
  retry(name: string, operation: string, work: () => Promise<boolean>): void
  /** How many pieces of work of this operation wait for another try. */
  retrying(operation: string): number
  /**
   * Tries at once everything that waits for its next try, and stops trying by itself from now on. Resolves when nothing
   * is running. It has to be called again for what failed, or was added meanwhile.
   */
  tryAllNow(): Promise<void>
  /** Whether no work is running. */
  isIdle(): boolean
}

const PAUSES: Pauses = { firstMs: 100, longestMs: 30_000 }
/** A bound on memory. It is far more than the sessions that one process destroys during an outage. */
const MAX_RETRIES = 100_000

interface Retry {
  readonly operation: string
  readonly work: () => Promise<boolean>
  cancel: () => void
  /** How many pauses there were so far, including one that is not over yet. */
  pauses: number
  trying: boolean
}

export const background = (runtime: Runtime, telemetry: Telemetry): Background => {
  const running = new Set<Promise<void>>()
  const retries = new Map<string, Retry>()
  let onlyWhenAsked = false

  const abandon = (operation: string, error: unknown): void =>
    telemetry.emit('abandoned', {
      operation,
      error: isSessionStoreError(error)
        ? error
        : new SessionStoreError('E_SESSION_UNAVAILABLE', `Background work failed: ${operation}`, { cause: error }),
    })

  const run: Background['run'] = (operation, work) => {
    const promise: Promise<void> = work()
      .then(
        () => {},
        (error: unknown) => abandon(operation, error),
      )
      .finally(() => running.delete(promise))
    running.add(promise)
  }
  const attempt = (name: string, retry: Retry): void => {
    if (retry.trying) return
    retry.trying = true
    run(retry.operation, async () => {
      const done = await retry.work().catch(() => false) // the tier has counted the fault, which here means "not yet"
      retry.trying = false
      if (retries.get(name) !== retry) return
      if (done) retries.delete(name)
      else if (!onlyWhenAsked) schedule(name, retry)
    })
  }
  const schedule = (name: string, retry: Retry): void => {
    retry.pauses += 1
    retry.cancel = runtime.after(pauseAfter(runtime, PAUSES, retry.pauses), () => attempt(name, retry))
  }
  const idle = async (): Promise<void> => {
    while (running.size > 0) await Promise.all(running)
  }

  return {
    run,
    retry: (name, operation, work) => {
      retries.get(name)?.cancel()
      if (!retries.has(name) && retries.size >= MAX_RETRIES) {
        abandon(
          operation,
          new SessionStoreError('E_SESSION_UNAVAILABLE', `More than ${MAX_RETRIES} retries are waiting`),
        )
        return
      }
      const retry: Retry = { operation, work, cancel: () => {}, pauses: 0, trying: false }
      retries.set(name, retry)
      if (!onlyWhenAsked) schedule(name, retry)
    },
    retrying: (operation) => [...retries.values()].filter((retry) => retry.operation === operation).length,
    tryAllNow: async () => {
      onlyWhenAsked = true
      for (const [name, retry] of retries) {
        retry.cancel()
        attempt(name, retry)
      }
      await idle()
    },
    isIdle: () => running.size === 0,
  }
}
