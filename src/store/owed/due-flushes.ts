import type { StoreStats } from '../../contract/events.js'
import type { Locator } from '../../contract/locator.js'
import { isSessionStoreError } from '../../errors.js'
import { limiter } from '../../tools/limiter.js'
import type { Context } from '../context.js'
import type { Flushing, KnownFlush } from '../protocol/flush.js'
import type { Noted } from './ledger.js'
import type { Tried } from './retrying.js'

/** The flushes that no caller waits for: those whose time has come, and those that a reader found overdue. */
export interface DueFlushes {
  /**
   * Flushes what the cache holds of a session, in the background. Never rejects. Where it fails, the session goes back
   * into the ledger. A session that can never be flushed is an event `abandoned`, once.
   */
  flush(noted: Noted): Promise<Tried>

  /**
   * The same for a session that a reader found overdue at this version. Does nothing where this process is flushing the
   * session already, or has tried to and will try again.
   */
  flushOverdue(locator: Locator, version: number): void

  /** The keys of the sessions whose flush has not ended. */
  readonly underWay: ReadonlyMap<string, unknown>

  /** What is unflushed as far as this process knows: the sessions in the ledger, and those whose flush is under way. */
  unflushed(): Pick<StoreStats, 'unflushed' | 'oldestUnflushedMs'>
}

/** How many flushes run at once, however many are due: enough to fill some batches. */
const FLUSHES_AT_ONCE = 256

export const dueFlushes = (
  { runtime, ledger, background, telemetry }: Pick<Context, 'runtime' | 'ledger' | 'background' | 'telemetry'>,
  flushes: Pick<Flushing, 'flushKnown'>,
): DueFlushes => {
  const slots = limiter(FLUSHES_AT_ONCE)
  const underWay = new Map<string, { sinceMs: number; flights: number }>()

  const begin = ({ locator, sinceMs }: Noted): (() => void) => {
    const flushing = underWay.get(locator.key) ?? { sinceMs, flights: 0 }
    underWay.set(locator.key, flushing)
    flushing.sinceMs = Math.min(flushing.sinceMs, sinceMs)
    flushing.flights += 1
    return () => {
      flushing.flights -= 1
      if (flushing.flights === 0) underWay.delete(locator.key)
    }
  }
  const noteOutcome = (noted: Noted, flushed: KnownFlush): Tried => {
    switch (flushed.outcome) {
      case 'flushed':
      case 'nothing to do':
        return flushed.outcome
      case 'unavailable':
        ledger.failed(noted, 'unavailable')
        return 'failed'
      case 'failed': {
        const { error } = flushed
        // An error of a tier was sent out as an event when the tier rejected.
        if (ledger.failed(noted, 'failed') && !isSessionStoreError(error))
          telemetry.emit('fault', { tier: 'the session store', operation: 'flush', error })
        return 'failed'
      }
      case 'hopeless': {
        const { error } = flushed
        if (ledger.failed(noted, 'hopeless')) telemetry.emit('abandoned', { operation: 'flush', error })
        return 'nothing to do'
      }
    }
  }
  const flush: DueFlushes['flush'] = (noted) => {
    const end = begin(noted)
    return new Promise((resolve) =>
      background.run('flush', async () => {
        let tried: Tried = 'failed'
        try {
          tried = noteOutcome(noted, await slots.run(() => flushes.flushKnown(noted.locator, 'time')))
        } finally {
          end()
          resolve(tried)
        }
      }),
    )
  }

  return {
    underWay,
    flush,
    flushOverdue: (locator, version) => {
      const { key } = locator
      if (underWay.has(key) || ledger.hasFailed(key)) return
      void flush({ locator, version, sinceMs: runtime.monotonicMs() })
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
