import type { DestroyOutcome } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { DestroyReport, DestroySessionOptions } from '../../contract/session-store.js'
import { isSessionStoreError } from '../../errors.js'
import { type Context, randomName } from '../context.js'

/**
 * Backend tombstone, then cache tombstone, then the acknowledgement. Were the cache told first, a reader could
 * fill it again from the backend's still living row before the backend is told.
 *
 * Rejects if the backend could not be told: the cache is told all the same, and both are told again in the
 * background until they have heard.
 *
 * Where no session stands in the backend, its tombstone is kept only as long as one could still be inserted under this
 * id; and under an id that nobody but the caller knows none can be, so that nothing is left.
 */
export const destroy = async (
  context: Context,
  locator: Locator,
  { isNew = false }: DestroySessionOptions = {},
): Promise<DestroyReport> => {
  const { runtime, cache, backend, background, ledger, telemetry, options } = context

  const writeId = randomName(runtime)
  const tellBackend = async (): Promise<DestroyOutcome> => {
    const at = runtime.now()
    const keepUntilIfAbsent = isNew ? at : at + options.emptyTombstoneTtlMs
    return await backend.destroy(locator, { writeId, at, keepUntil: at + options.tombstoneTtlMs, keepUntilIfAbsent })
  }
  /** Once more where the answer was lost: a tombstone does no harm twice. */
  const tellCache = async (outcome: DestroyOutcome): Promise<void> => {
    if (outcome === 'absent' && (await cache.get(locator.key)).state === 'missing') return
    await cache.setTombstone(locator.key).catch(async (error: unknown) => {
      if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
      await cache.setTombstone(locator.key)
    })
  }
  const tellBoth = async (): Promise<boolean> => {
    await tellBackend()
    await cache.setTombstone(locator.key)
    return true
  }
  const name = `destroy ${locator.key}`

  let outcome: DestroyOutcome
  try {
    outcome = await tellBackend()
  } catch (error) {
    // From the start, both tiers: a fill between the two would bring the session back.
    background.retry(name, 'destroy', tellBoth)
    await cache.setTombstone(locator.key, false).catch(() => {})
    throw error
  }
  ledger.forget(locator.key, Number.POSITIVE_INFINITY)
  try {
    await tellCache(outcome)
  } catch (error) {
    background.retry(name, 'destroy', tellBoth)
    if (options.onCacheUnreachable === 'reject') throw error
    telemetry.count('destroys')
    return { cache: 'unreachable' }
  }
  telemetry.count('destroys')
  return { cache: 'tombstone' }
}
