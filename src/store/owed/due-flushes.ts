import type { StoreStats } from '../../contract/events.js'
import type { Locator } from '../../contract/locator.js'
import { isSessionStoreError } from '../../errors.js'
import { limiter } from '../../tools/limiter.js'
import type { Context } from '../context.js'
import type { Flushing, KnownFlush } from '../protocol/flush.js'
import type { Noted } from './ledger.js'
import type { Tried } from './retrying.js'

/** The flushes that nobody waits for: those whose time has come, and those that a reader found overdue. */
export interface DueFlushes {
  /**
   * Flushes what the cache holds of a session, beside the answers. Never rejects: where it fails, the session goes back
   * to the ledger. What can never be flushed is told as abandoned, once.
   */
  flush(noted: Noted): Promise<Tried>

  /**
   * The same for a session that a reader found overdue at this version. Does nothing where this process is flushing it
   * already, or has tried to in vain and will try again.
   */
  flushOverdue(locator: Locator, version: number): void

  /** Keys of sessions whose flush has not ended. */
  readonly underWay: ReadonlyMap<string, unknown>

  /** What is unflushed as far as this process knows: in the ledger, or under way. */
  unflushed(): Pick<StoreStats, 'unflushed' | 'oldestUnflushedMs'>
}

/** As many at once as fill some batches, however many are due. */
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
        // What a tier rejected with was told when it did.
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
