import type { CloseReport } from '../contract/session-store.js'
import type { Context } from './context.js'
import type { Flushing } from './flush.js'

/** What a store is doing as it is closed. */
export interface UnderWay {
  readonly inFlight: ReadonlySet<Promise<void>>
  /** Keys of sessions whose flush beside the answers has not ended. */
  readonly beingFlushed: ReadonlySet<string>
}

/**
 * The end of a store: waits for what is under way, flushes what is noted as unflushed, tries once more what is
 * being retried, and closes both tiers; all of it within the deadline, which ends the waiting and not the work.
 */
export const drain = async (
  { runtime, cache, backend, telemetry, ledger, background }: Context,
  flushes: Flushing,
  { inFlight, beingFlushed }: UnderWay,
  deadlineMs: number,
): Promise<CloseReport> => {
  let flushed = 0
  const left = new Set<string>()

  const work = async (): Promise<void> => {
    while (inFlight.size > 0) await Promise.all(inFlight)
    await background.settle()
    const locators = ledger.drain()
    for (const { key } of locators) left.add(key)
    await Promise.all(
      locators.map(async (locator) => {
        const outcome = await flushes.flushKnown(locator, 'drain')
        if (outcome === 'flushed') flushed += 1
        if (outcome !== 'failed') left.delete(locator.key)
      }),
    )
    await background.settle()
  }

  await new Promise<void>((resolve) => {
    const cancel = runtime.after(deadlineMs, resolve)
    work()
      .catch((error: unknown) => telemetry.emit('fault', { tier: 'the session store', operation: 'drain', error }))
      .finally(() => {
        cancel()
        resolve()
      })
  })
  const unflushed = new Set([...left, ...beingFlushed])
  const report = { flushed, left: unflushed.size + ledger.size, destroysLeft: background.retrying('destroy') }
  await Promise.allSettled([cache.close(), backend.close()])
  return report
}
