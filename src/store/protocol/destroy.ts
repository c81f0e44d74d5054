import type { DestroyOutcome, StoredSession } from '../../contract/backend.js'
import type { AuditActor } from '../../contract/events.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import type { DestroyReport, DestroySessionOptions } from '../../contract/session-store.js'
import { butMayBeApplied, isSessionStoreError } from '../../errors.js'
import { isAlone, type LiveEnvelope } from '../../session/envelope.js'
import { hasExpired } from '../../session/expiry.js'
import { type Context, randomName, rowOf, userAudited } from '../context.js'

/** How often a session that others write to is tried to be ended in the cache alone. */
const LOOKS = 5

/** How a session is destroyed. */
export interface DestroyHow extends Pick<DestroySessionOptions, 'isNew'> {
  /** Who ends it, for the audit trail. */
  readonly by: AuditActor
  /** Whose session it is, where the caller knows. */
  readonly userId?: string | undefined
  /**
   * The epoch of its user was raised, so that the backend's row counts as destroyed already. Then nothing is done in the
   * backend before the cache was told: whoever logs that user out next still finds the row in a listing.
   * @default false
   */
  readonly isLoggedOut?: boolean
}

/** What is to end, for the audit trail: the session itself, that there is none, or that nobody can tell. */
type Found = LiveEnvelope | StoredSession | 'none' | 'not known'

interface Destroyed {
  readonly report: DestroyReport
  /** What the backend said of its tombstone; `undefined` where only the retry will ask it. */
  readonly outcome: DestroyOutcome | undefined
}

/**
 * Destroys a session: sees to it that the cache gives it to nobody any more, puts a tombstone into the backend, then one
 * into the cache, and then acknowledges.
 *
 * The cache comes last, as a reader could fill it again from the row in the backend while that still lives. It comes first
 * as well, for the case that this process dies between the two: once the row is a tombstone, no logout of its user finds
 * it in a listing, so nobody would take the session out of the cache. Where the cache cannot be told at first, the session
 * is ended all the same.
 *
 * Rejects if the backend could not be asked. Even then a tombstone goes into the cache, and both tiers are tried again
 * in the background until both have one.
 *
 * Where no session stands in the backend, its tombstone is kept only as long as one could still be inserted under this
 * id. Under an id that nobody but the caller knows none can be inserted, and so nothing is left. Nor can one be of a session
 * that stands in the cache alone, unless its entry is marked: then the tombstone in the cache is all that is left, for as
 * long as the session would have stood there. With an old store something is left all the same, since an old process may store
 * the session there once more.
 */
export const destroy = async (context: Context, locator: Locator, how: DestroyHow): Promise<DestroyReport> =>
  (await destroyAndTell(context, locator, how)).report

/** The same, and tells whether the session had ended already. */
export const destroyAndTell = async (
  context: Context,
  locator: Locator,
  { isNew = false, isLoggedOut = false, by, userId }: DestroyHow,
): Promise<Destroyed> => {
  const { runtime, cache, backend, background, ledger, telemetry, audit, options } = context
  const { key } = locator
  /** The session as the cache had it, for the audit trail. */
  let cached: LiveEnvelope | undefined

  const writeId = randomName(runtime)
  /**
   * Sees to it that the cache gives the session to nobody any more. Where nothing stands there, a lease keeps readers from
   * filling it meanwhile.
   */
  const stopServing = async (): Promise<CasToken | 'alone' | undefined> => {
    let entry = await cache.get(key)
    for (let looks = 1; entry.state === 'live'; looks += 1) {
      const { envelope, token } = entry
      cached ??= envelope
      const isBelieved = envelope.trustedAt >= cache.trustFrom(key)
      if (!isAlone(envelope) || !isBelieved || looks > LOOKS) break
      if ((await cache.endAlone(key, envelope, token)) === 'stored') return 'alone'
      entry = await cache.get(key) // others may have written to it, or have ended it
    }
    if (entry.state === 'tombstone') {
      cached = undefined // somebody else has ended it
      return entry.isAlone ? 'alone' : undefined
    }
    if (entry.state === 'missing') {
      const lease = await cache.lease(key, randomName(runtime), entry.token)
      if (lease.outcome === 'stored') return lease.token
    }
    await setTombstone(isLoggedOut)
    return undefined
  }
  const tellBackend = async (ifAbsentMs = isNew ? 0 : options.emptyTombstoneTtlMs): Promise<DestroyOutcome> => {
    const at = runtime.now()
    const keepUntilIfAbsent = at + ifAbsentMs
    return await backend.destroy(locator, { writeId, at, keepUntil: at + options.tombstoneTtlMs, keepUntilIfAbsent })
  }
  /** Puts the tombstone once more where the answer was lost, as a second one does no harm. */
  const setTombstone = async (orRemove: boolean): Promise<void> =>
    await cache.setTombstone(key, orRemove).catch(async (error: unknown) => {
      if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
      await cache.setTombstone(key, orRemove)
    })
  /** Whether nothing is left in the cache, where nothing stood in the backend. */
  const isEmpty = async (lease: CasToken | undefined): Promise<boolean> =>
    lease === undefined
      ? (await cache.get(key)).state === 'missing'
      : (await cache.removeAndTell(key, lease)) === 'gone'
  const tellBoth = async (): Promise<boolean> => {
    try {
      await stopServing()
    } catch (error) {
      if (isLoggedOut) throw error
    }
    await tellBackend()
    await cache.setTombstone(key)
    return true
  }
  const lookForTrail = async (): Promise<Found> => {
    if (cached !== undefined) return cached
    try {
      const copy = await backend.read(locator)
      return copy.state === 'live' ? copy.session : 'none'
    } catch {
      return 'not known' // the tier has told of its fault; the session ends all the same
    }
  }
  const tell = (found: Found, error?: unknown): void => {
    if (found === 'none' || (typeof found === 'object' && hasExpired(found, runtime.now()))) return
    const session = found === 'not known' ? undefined : found
    const inRow = session !== undefined && 'userId' in session ? session.userId : undefined
    const user = session === undefined ? userId : (userAudited(context, session, inRow) ?? userId)
    const happened = { action: 'destroyed', by, ...(user === undefined ? {} : { user }) } as const
    if (error === undefined) audit.done(key, session, happened)
    else audit.failed(key, session, happened, butMayBeApplied(error))
  }
  /** Both tiers are tried again from the start: a fill between the two would bring the session back. */
  const retryBoth = (): void => background.retry(`destroy ${key}`, 'destroy', tellBoth)
  const unreachable = (error: unknown, outcome: DestroyOutcome | undefined, found: Found): Destroyed => {
    retryBoth()
    if (options.onCacheUnreachable === 'reject') {
      tell(found, error)
      throw error
    }
    telemetry.count('destroys')
    if (outcome !== 'already-destroyed') tell(found)
    return { report: { cache: 'unreachable' }, outcome }
  }
  const inBackend = async <Told>(found: Found, ask: () => Promise<Told>): Promise<Told> => {
    try {
      return await ask()
    } catch (error) {
      retryBoth()
      await cache.setTombstone(key, false).catch(() => {})
      tell(found, error)
      throw error
    }
  }
  /** Ends a session that another logout, which goes on at the same time, has written under its epoch so that it stays. */
  const endIfItStays = async (): Promise<DestroyOutcome | undefined> =>
    rowOf(await backend.read(locator)).state === 'live' ? await tellBackend() : undefined

  let stopped: CasToken | 'alone' | undefined
  let unserved: { readonly error: unknown } | undefined
  try {
    stopped = await stopServing()
  } catch (error) {
    unserved = { error }
  }
  const found: Found = audit.isHeard() ? await lookForTrail() : 'none'
  if (isLoggedOut && unserved !== undefined)
    return unreachable(unserved.error, await inBackend(found, endIfItStays), found)
  const ifAbsentMs = stopped === 'alone' && !isNew ? options.aloneTombstoneTtlMs : undefined
  const outcome = await inBackend(found, () => tellBackend(ifAbsentMs))
  ledger.forget(key, Number.POSITIVE_INFINITY)
  try {
    const leavesNothing = outcome === 'absent' && (stopped === 'alone' || (await isEmpty(stopped)))
    if (!leavesNothing) await setTombstone(true)
  } catch (error) {
    return unreachable(error, outcome, found)
  }
  telemetry.count('destroys')
  const wasNothing = outcome === 'absent' && found === 'not known'
  if (outcome !== 'already-destroyed' && !wasNothing) tell(found)
  return { report: { cache: 'tombstone' }, outcome }
}
