import type { Locator } from '../../contract/locator.js'
import type { DestroyReport, EndedBy, SessionInspection } from '../../contract/session-store.js'
import { isUnflushed } from '../../session/transitions.js'
import { type Context, isUnavailable, userShown } from '../context.js'
import { destroy } from '../protocol/destroy.js'
import type { Showing } from './shown.js'

/** The calls about one session by its handle, which lets nobody in. */
export interface ByHandle<Data> {
  /** `undefined` where neither tier has anything of it. */
  inspect(locator: Locator, withData: boolean): Promise<SessionInspection<Data> | undefined>
  destroy(locator: Locator, by: EndedBy): Promise<DestroyReport>
}

export const byHandle = <Data>(context: Context, shown: Showing<Data>): ByHandle<Data> => {
  const { cache, backend } = context

  /** What a tier says, or that it cannot be asked. */
  const asked = async <T>(answer: Promise<T>): Promise<T | 'unreachable'> => {
    try {
      return await answer
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return 'unreachable'
    }
  }

  return {
    inspect: async (locator, withData) => {
      const [entry, copy] = await Promise.all([asked(cache.get(locator.key)), asked(backend.read(locator))])
      // Where neither can be asked, nobody knows whether there is such a session.
      if (entry === 'unreachable' && copy === 'unreachable') await backend.read(locator)
      const tiers = {
        cache: entry === 'unreachable' ? entry : entry.state,
        backend: copy === 'unreachable' ? copy : copy.state,
      }
      const inEntry = entry !== 'unreachable' && entry.state === 'live' ? entry.envelope : undefined
      const inBackend = copy !== 'unreachable' && copy.state === 'live' ? copy.session : undefined
      const unflushed = inEntry !== undefined && isUnflushed(inEntry) ? inEntry.version - inEntry.durableVersion : 0
      if (inEntry !== undefined) {
        const session = shown.ofEntry(locator, inEntry, userShown(context, inEntry, inBackend?.userId), withData)
        return { tiers, unflushed, session }
      }
      if (inBackend !== undefined) return { tiers, unflushed, session: shown.ofRow(locator, inBackend, withData) }
      const isNothing = tiers.cache === 'missing' && tiers.backend === 'absent'
      return isNothing ? undefined : { tiers, unflushed, session: undefined }
    },
    destroy: (locator, by) => destroy(context, locator, { by }),
  }
}
