import type { Lineage, WriteId } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import { quarantineVerdict } from '../../session/decisions.js'
import type { LiveEnvelope } from '../../session/envelope.js'
import { type Context, isUnavailable, rowOf } from '../context.js'
import { lookAt } from './look.js'

/** The version of a session that a step has frozen in the cache; its last write id tells it from any other. */
export interface FrozenVersion {
  readonly lineage: Lineage
  readonly version: number
  readonly writeId: WriteId | undefined
}

export const frozenVersionOf = ({ lineage, version, writeIds }: LiveEnvelope): FrozenVersion => ({
  lineage,
  version,
  writeId: writeIds.at(-1),
})

/**
 * How a session is given back.
 *
 * - `thaw`: its writers may go on, since nothing has replaced it.
 * - `thaw if alive`: they may go on if the entry descends from what stands in the backend; otherwise the entry is
 * removed.
 * - `remove`: the entry is removed, as the backend may hold something newer. The next reader fills the cache with that.
 */
export type GiveBack = 'thaw' | 'thaw if alive' | 'remove'

/**
 * Gives a session back to its writers, where a step has frozen it in the cache and could not be finished. First it
 * looks at what stands there: the answer to the freezing may have been lost, and others may have confirmed the frozen
 * version since. If it cannot be done now, it is tried again in the background until it is done. Rejects only where the
 * program has a fault.
 */
export const giveBack = async (
  context: Context,
  locator: Locator,
  { lineage, version, writeId }: FrozenVersion,
  how: GiveBack,
): Promise<void> => {
  const { cache, backend, background } = context
  const isFrozen = (envelope: LiveEnvelope): boolean =>
    envelope.frozen &&
    envelope.lineage === lineage &&
    envelope.version === version &&
    envelope.writeIds.at(-1) === writeId
  const isReplaced = async (envelope: LiveEnvelope): Promise<boolean> =>
    how === 'thaw if alive' && quarantineVerdict(envelope, rowOf(await backend.read(locator))) !== 'believe'
  const isGivenBack = async (): Promise<boolean> => {
    const entry = await lookAt(context, locator.key, 'reader', undefined)
    if (entry === 'away') return false
    if (entry.state !== 'live' || !isFrozen(entry.envelope)) return true
    try {
      if (how === 'remove' || (await isReplaced(entry.envelope)))
        return (await cache.removeAndTell(locator.key, entry.token)) === 'gone'
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return false
    }
    const put = await cache.cas(locator.key, { ...entry.envelope, frozen: false }, entry.token)
    return put.outcome === 'stored' || put.outcome === 'missing'
  }
  if (!(await isGivenBack())) background.retry(`thaw ${locator.key}`, 'repair', isGivenBack)
}
