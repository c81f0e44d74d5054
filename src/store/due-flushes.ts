import type { StoreStats } from '../contract/events.js'
import type { Locator } from '../contract/locator.js'
import type { Context } from './context.js'
import type { Flushing } from './flush.js'
import { limiter } from './limiter.js'

/** The flushes that nobody waits for: those whose time has come, and those that a reader found overdue. */
export interface DueFlushes {
  /**
   * Flushes what the cache holds of a session, beside the answers. Resolves to `false` where that is not possible now,
   * and then the session is owed to the ledger. What can never be flushed is told as abandoned, and stays counted.
   *
   * @param sinceMs since when the session is unflushed, by the monotonic clock. @default now
   */
  flush(locator: Locator, sinceMs?: number): Promise<boolean>

  /** Keys of sessions that are out of the ledger and not yet in the backend. */
  readonly underWay: ReadonlyMap<string, unknown>

  /** What is unflushed as far as this process knows: in the ledger, or under way. */
  unflushed(): Pick<StoreStats, 'unflushed' | 'oldestUnflushedMs'>
}

/** As many at once as fill some batches, however many are due. */
const FLUSHES_AT_ONCE = 256

export const dueFlushes = (
  { runtime, ledger, background }: Pick<Context, 'runtime' | 'ledger' | 'background'>,
  flushes: Pick<Flushing, 'flushKnown'>,
): DueFlushes => {
  const slots = limiter(FLUSHES_AT_ONCE)
  const underWay = new Map<string, { sinceMs: number; flights: number }>()

  return {
    underWay,
    flush: (locator, sinceMs = runtime.monotonicMs()) => {
      const { key } = locator
      const flushing = underWay.get(key) ?? { sinceMs, flights: 0 }
      underWay.set(key, flushing)
      flushing.sinceMs = Math.min(flushing.sinceMs, sinceMs)
      flushing.flights += 1
      return new Promise((resolve) =>
        background.run('flush', async () => {
          try {
            const outcome = await slots.run(() => flushes.flushKnown(locator, 'time'))
            if (outcome === 'failed') ledger.owe(locator, 0, sinceMs)
            if (flushing.flights === 1) underWay.delete(key)
            resolve(outcome !== 'failed')
          } finally {
            flushing.flights -= 1
            resolve(true)
          }
        }),
      )
    },
    unflushed: () => {
      const notInLedger = [...underWay.keys()].filter((key) => !ledger.has(key))
      let oldestMs = ledger.oldestSinceMs()
      for (const { sinceMs } of underWay.values()) oldestMs = Math.min(oldestMs ?? sinceMs, sinceMs)
      return {
        unflushed: ledger.size + notInLedger.length,
        oldestUnflushedMs: oldestMs === undefined ? 0 : runtime.monotonicMs() - oldestMs,
      }
    },
  }
}
