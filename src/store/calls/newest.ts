import type { ListedSession } from '../../contract/backend.js'
import type { SessionInfo } from '../../contract/session-store.js'
import { isUserUnproved } from '../../session/envelope.js'
import { hasExpired } from '../../session/expiry.js'
import { type Context, isUnavailable, isUnreadable, userShown } from '../context.js'
import { limitedEnvelope } from '../idle-ttl.js'
import type { Showing } from './shown.js'

/**
 * What the cache has of a session in place of what the backend has, where the cache can be asked. `undefined` where the
 * session has ended.
 */
export type Newest<Data> = (entry: ListedSession, withData: boolean) => Promise<SessionInfo<Data> | undefined>

/** How many sessions of a page are looked up in the cache at once. */
export const LOOKS_AT_ONCE = 16

export const newestOf =
  <Data>(context: Context, shown: Showing<Data>): Newest<Data> =>
  async (entry, withData) => {
    const { runtime, cache } = context
    const { locator } = entry
    const asInBackend = (): SessionInfo<Data> => shown.ofListed(entry, withData)
    try {
      const found = await cache.get(locator.key)
      if (found.state === 'tombstone') return undefined
      if (found.state !== 'live' || isUserUnproved(found.envelope)) return asInBackend()
      const envelope = limitedEnvelope(context, found.envelope)
      // An entry from before an outage of its server may be older than what the backend has.
      if (envelope.trustedAt < cache.trustFrom(locator.key)) return asInBackend()
      if (hasExpired(envelope, runtime.now())) return undefined
      return shown.ofEntry(locator, envelope, userShown(context, envelope, toldBy(entry)), withData)
    } catch (error) {
      // One session that this process cannot read keeps nobody from seeing the others.
      if (isUnreadable(error)) return shown.ofListed({ locator, unreadable: error }, withData)
      if (!isUnavailable(error)) throw error
      return asInBackend()
    }
  }

/** Whose the session is, as the backend was told. */
const toldBy = (entry: ListedSession): string | undefined => ('session' in entry ? entry.session.userId : undefined)
