import type { CloseReport } from '../../contract/session-store.js'
import { isSessionStoreError, SessionStoreError } from '../../errors.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { limiter } from '../../tools/limiter.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Context } from '../context.js'
import type { Flushing } from '../protocol/flush.js'
import type { Noted } from './ledger.js'

/** What a store is still doing when it is closed. */
export interface UnderWay {
  /**
   * Calls that may still bring a change. A call that no longer can, since its caller was told that it is late, is not
   * waited for.
   */
  readonly inFlight: { readonly size: number; ended(): Promise<void> }
  /** The keys of the sessions whose flush in the background has not ended. */
  readonly beingFlushed: ReadonlyMap<string, unknown>
}

/**
 * How many flushes run at once: as many as go into one batch. A hundred thousand looks at the cache at once would all
 * be late.
 */
const FLUSHES_AT_ONCE = 256
const PAUSES: Pauses = { firstMs: 50, longestMs: 300 }

/**
 * Ends a store. It flushes the sessions that the ledger has while the calls under way end, and then those that these
 * calls added. It tries again the flushes and destroys that failed, as a server may be back in time. In the end it
 * closes both tiers. All of it happens within the deadline, which ends the waiting and not the work.
 */
export const drain = async (
  { runtime, cache, backend, telemetry, ledger, background }: Context,
  flushes: Flushing,
  { inFlight, beingFlushed }: UnderWay,
  deadlineMs: number,
): Promise<CloseReport> => {
  const deadline = deadlineAfter(runtime, deadlineMs)
  const letDie = runtime.keepAlive?.()
  /** The keys of the sessions that no process like this one can ever flush as they stand. */
  const hopeless = new Set<string>()
  /** The keys of the sessions whose error was sent out as an event, as no tier had done so. */
  const alreadyTold = new Set<string>()
  let flushed = 0
  let isOver = false

  const flush = async ({ locator, version }: Noted): Promise<void> => {
    if (isOver) return
    const result = await flushes.flushKnown(locator, 'drain')
    switch (result.outcome) {
      case 'flushed':
        flushed += 1
        ledger.forget(locator.key, version) // a call under way may have noted a newer version since
        break
      case 'nothing to do':
        ledger.forget(locator.key, version)
        break
      case 'hopeless':
        hopeless.add(locator.key)
        tell(locator.key, result.error)
        break
      case 'failed':
        if (!isSessionStoreError(result.error)) tell(locator.key, result.error)
        break
      case 'unavailable':
        break
    }
  }
  const tell = (key: string, error: unknown): void => {
    if (isOver || alreadyTold.has(key)) return
    alreadyTold.add(key)
    telemetry.emit('fault', { tier: 'the session store', operation: 'drain', error })
  }
  const owed = (): readonly Noted[] => ledger.drain().filter(({ locator }) => !hopeless.has(locator.key))
  const flushOwed = async (): Promise<void> => {
    const { run } = limiter(FLUSHES_AT_ONCE)
    await Promise.all(owed().map((noted) => run(() => flush(noted))))
  }
  const isDone = (): boolean =>
    inFlight.size === 0 && background.isIdle() && background.retrying('destroy') === 0 && owed().length === 0

  const work = async (): Promise<void> => {
    const callsEnded = inFlight.ended()
    for (let rounds = 0; !isOver; rounds += 1) {
      await Promise.all([flushOwed(), background.tryAllNow()])
      if (isDone()) return
      const pausing = sleep(runtime, pauseAfter(runtime, PAUSES, rounds))
      await (inFlight.size > 0 ? Promise.race([callsEnded, pausing]) : pausing)
    }
  }

  await deadline.settles(
    work().catch((error: unknown) => telemetry.emit('fault', { tier: 'the session store', operation: 'drain', error })),
  )
  isOver = true
  const known = new Set([...ledger.drain().map(({ locator }) => locator.key), ...beingFlushed.keys()]).size
  // A reader here or elsewhere may have flushed since what was abandoned: nobody knows, so it counts as left.
  const left = known + ledger.abandoned
  const report = { flushed, left, destroysLeft: background.retrying('destroy') }
  if (left + report.destroysLeft > 0) telemetry.emit('abandoned', { operation: 'drain', error: unfinished(report) })
  await deadline.settles(Promise.allSettled([closed(cache), closed(backend)]))
  letDie?.()
  return report
}

/** Closes a tier. What a tier of another author throws becomes a rejection. */
const closed = async (tier: { close(): Promise<void> }): Promise<void> => await tier.close()

const unfinished = ({ left, destroysLeft }: CloseReport): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNAVAILABLE',
    `The session store was closed with ${counted(left, 'session')} not in the backend and ${counted(destroysLeft, 'destroy')} not finished`,
    { operation: 'drain' },
  )

const counted = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`
