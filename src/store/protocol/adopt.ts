import type { CasToken } from '../../contract/front-cache.js'
import type { LegacySession } from '../../contract/legacy.js'
import type { Locator } from '../../contract/locator.js'
import { isSessionStoreError } from '../../errors.js'
import { hasExpired } from '../../session/expiry.js'
import { type Birth, born, NO_CLIENT, type Past } from '../../session/transitions.js'
import { callOf } from '../calls/call.js'
import { givenIdleTtl } from '../calls/call-options.js'
import { type Context, randomName } from '../context.js'
import { idleTimeFor } from '../idle-ttl.js'
import { endThereLater } from './end-there.js'
import type { Flushing } from './flush.js'
import { inserting } from './insert.js'
import type { Adopted, Adopting, Found } from './read.js'
import { type Customs, wantedOf } from './resolve.js'
import { becoming } from './users.js'

/** The steps of adopting, where an old store is given. */
export const adopting = <Data>(
  context: Context,
  customs: Customs<Data>,
  flushes: Pick<Flushing, 'lookAfterwards'>,
): Adopting | undefined => {
  const { runtime, cache, legacy, telemetry, audit, options } = context
  if (legacy === undefined) return undefined
  const { insertUnder } = inserting(context, flushes)

  const find: Adopting['find'] = async (id) => {
    const session = await legacy.get(id)
    return session && { id, session }
  }

  const adopt: Adopting['adopt'] = async (locator, found, lease) => {
    let isLeaseTaken = false
    try {
      return await make(locator, found, lease, () => {
        isLeaseTaken = true
      })
    } finally {
      if (lease !== undefined && !isLeaseTaken) await cache.remove(locator.key, lease)
    }
  }

  const make = async (
    locator: Locator,
    { id, session }: Found,
    lease: CasToken | undefined,
    takeLease: () => void,
  ): Promise<Adopted> => {
    // Several callers may share what comes of this, so that it is none of their calls, and is not given up with one.
    const { deadlineMs } = options
    const call = callOf(runtime, {
      operation: 'adopt',
      isChange: true,
      deadlineMs,
      signal: undefined,
      asker: undefined,
    })
    const wanted = wantedOf(context, customs, session.data as Data)
    const now = runtime.now()
    const past = pastOf(session, now)
    const unclaimed: Birth = {
      now,
      lineage: randomName(runtime),
      writeId: randomName(runtime),
      codecId: context.values.codecId,
      data: wanted.data,
      ...idleTimeFor(context, givenIdleTtl(session.idleTtlMs, options), undefined, wanted.value),
      absoluteTtlMs: options.absoluteTtlMs,
      app: session.app ?? options.app,
      client: NO_CLIENT,
      timings: options.timings,
      past,
    }
    if (hasExpired(born(unclaimed), now)) return { outcome: 'ended' }
    let becomes: Birth['becomes']
    try {
      // It was his already when it was last used.
      if (wanted.userId !== undefined)
        becomes = { ...(await becoming(context, locator, wanted.userId, call)), identifiedAt: past.seenAt }
    } catch (error) {
      // A visitor without a session can go and log in, where he is told. An import has to tell that itself.
      if (isSessionStoreError(error, 'E_SESSION_LIMIT') && !legacy.isCarried) return { outcome: 'ended' }
      throw error
    }
    if (becomes !== undefined && becomes.userEpoch > 0) {
      // The logout everywhere could not list what only the old store had.
      endThereLater(context, locator, id)
      return { outcome: 'ended' }
    }
    takeLease()
    const birth: Birth = { ...unclaimed, becomes }
    try {
      const copy = await insertUnder({ locator, wanted, call }, birth, { lease, isFree: false, ended: undefined })
      telemetry.count('adopted')
      const whose = wanted.userId === undefined ? {} : { user: wanted.userId }
      audit.done(locator.key, copy.envelope, { action: 'adopted', by: 'request', ...whose })
      if (legacy.removes) endThereLater(context, locator, id)
      return { outcome: 'adopted', now: copy }
    } catch (error) {
      if (isSessionStoreError(error, 'E_SESSION_CONFLICT')) return { outcome: 'again' }
      if (isSessionStoreError(error, 'E_SESSION_DESTROYED')) return { outcome: 'destroyed' }
      throw error
    }
  }

  return { removes: legacy.removes, believesMarks: !legacy.isCarried, find, adopt }
}

/** What a session of the old store has behind it. What it does not say is taken as late as it can have been. */
const pastOf = ({ createdAt, seenAt, expiresAt }: LegacySession, now: number): Past => {
  const usedAt = Math.min(seenAt ?? now, now)
  return {
    createdAt: Math.floor(Math.min(createdAt ?? usedAt, usedAt)),
    seenAt: Math.floor(usedAt),
    expiresAt: expiresAt === undefined ? undefined : Math.floor(expiresAt),
  }
}
