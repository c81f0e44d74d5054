import type { DestroyOutcome } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { DestroyReport, DestroySessionOptions } from '../../contract/session-store.js'
import { isSessionStoreError } from '../../errors.js'
import { type Context, randomName } from '../context.js'

interface DestroyHow extends DestroySessionOptions {
  /**
   * The epoch of its user was raised, so that the backend's row counts as destroyed already. Then the cache is told first:
   * once the row is a tombstone, no other logout finds the session in a listing, nor would it tell the cache.
   * @default false
   */
  readonly isLoggedOut?: boolean
}

interface Destroyed {
  readonly report: DestroyReport
  /** What the backend said of its tombstone; `undefined` where only the retry will ask it. */
  readonly outcome: DestroyOutcome | undefined
}

/**
 * Destroys a session: puts a tombstone into the backend, then one into the cache, and then acknowledges. If the cache
 * came first, a reader could fill it again from the row in the backend, which still lives.
 *
 * Rejects if the backend could not be asked. Even then a tombstone goes into the cache, and both tiers are tried again
 * in the background until both have one.
 *
 * Where no session stands in the backend, its tombstone is kept only as long as one could still be inserted under this
 * id. Under an id that nobody but the caller knows none can be inserted, and so nothing is left.
 */
export const destroy = async (context: Context, locator: Locator, how: DestroyHow = {}): Promise<DestroyReport> =>
  (await destroyAndTell(context, locator, how)).report

/** The same, and tells whether the session had ended already. */
export const destroyAndTell = async (
  context: Context,
  locator: Locator,
  { isNew = false, isLoggedOut = false }: DestroyHow = {},
): Promise<Destroyed> => {
  const { runtime, cache, backend, background, ledger, telemetry, options } = context

  const writeId = randomName(runtime)
  const tellBackend = async (): Promise<DestroyOutcome> => {
    const at = runtime.now()
    const keepUntilIfAbsent = isNew ? at : at + options.emptyTombstoneTtlMs
    return await backend.destroy(locator, { writeId, at, keepUntil: at + options.tombstoneTtlMs, keepUntilIfAbsent })
  }
  /** Puts the tombstone once more where the answer was lost, as a second one does no harm. */
  const tellCache = async (outcome?: DestroyOutcome): Promise<void> => {
    if (outcome === 'absent' && (await cache.get(locator.key)).state === 'missing') return
    await cache.setTombstone(locator.key).catch(async (error: unknown) => {
      if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
      await cache.setTombstone(locator.key)
    })
  }
  const tellBoth = async (): Promise<boolean> => {
    if (isLoggedOut) await cache.setTombstone(locator.key)
    await tellBackend()
    await cache.setTombstone(locator.key)
    return true
  }
  const name = `destroy ${locator.key}`
  const unreachable = (error: unknown, outcome: DestroyOutcome | undefined): Destroyed => {
    background.retry(name, 'destroy', tellBoth)
    if (options.onCacheUnreachable === 'reject') throw error
    telemetry.count('destroys')
    return { report: { cache: 'unreachable' }, outcome }
  }

  if (isLoggedOut)
    try {
      await tellCache()
    } catch (error) {
      return unreachable(error, undefined)
    }
  let outcome: DestroyOutcome
  try {
    outcome = await tellBackend()
  } catch (error) {
    // Both tiers are tried again from the start: a fill between the two would bring the session back.
    background.retry(name, 'destroy', tellBoth)
    await cache.setTombstone(locator.key, false).catch(() => {})
    throw error
  }
  ledger.forget(locator.key, Number.POSITIVE_INFINITY)
  try {
    await tellCache(outcome)
  } catch (error) {
    return unreachable(error, outcome)
  }
  telemetry.count('destroys')
  return { report: { cache: 'tombstone' }, outcome }
}
