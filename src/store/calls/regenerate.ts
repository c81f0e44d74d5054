import type { DestroyOutcome } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { GivenIdleTtl, RegenerateOptions } from '../../contract/session-store.js'
import { butMayBeApplied, butNotApplied, SessionStoreError, tierUnavailable } from '../../errors.js'
import { originOf } from '../../session/audit-name.js'
import { clientOf } from '../../session/client.js'
import { insertVerdict, isSameSession, verdictOnRow } from '../../session/decisions.js'
import { isAlone, isUserUnproved, type LiveEnvelope } from '../../session/envelope.js'
import { hasExpired } from '../../session/expiry.js'
import { sessionIdFrom } from '../../session/id.js'
import { sameBytes } from '../../session/sameness.js'
import {
  asDurable,
  asItStands,
  born,
  type Client,
  halted,
  type Identification,
  OF_NOBODY,
  offered,
  storedSession,
  takenOver,
  takeoverGuard,
  trusted,
  type Write,
  type WriteStep,
} from '../../session/transitions.js'
import { inTurns, type Steps } from '../../tools/turns.js'
import { type Context, destroyedMeanwhile, randomName, userOfEnvelope } from '../context.js'
import { idleTimeFor, limitedEnvelope } from '../idle-ttl.js'
import type { Happened } from '../observed/audit.js'
import { endThereLater } from '../protocol/end-there.js'
import type { Flushing } from '../protocol/flush.js'
import { frozenVersionOf, giveBack } from '../protocol/give-back.js'
import { lookAt } from '../protocol/look.js'
import type { InCache, LiveCopy, Reading } from '../protocol/read.js'
import { rebased, resolving, type Wanted, wantedOf } from '../protocol/resolve.js'
import { putIntoBackend } from '../protocol/takeover.js'
import { becoming, isProved } from '../protocol/users.js'
import { asInBackend, inCache, type Resolved, type WriteIntent } from '../protocol/write.js'
import type { Call } from './call.js'
import { givenIdleTtl } from './call-options.js'
import { basisOf, type Called } from './editions.js'
import type { Handle } from './handle.js'
import { type CallParts, locatorOf } from './parts.js'
import type { Saving } from './save.js'

export interface Regeneration {
  readonly from: Locator
  /** The session that the caller holds. A later session under the same id is another one, and is not regenerated. */
  readonly of: Pick<LiveEnvelope, 'createdAt'>
  readonly to: Locator
  /** Whether the new id is one of the caller's own, so that a session may stand under it. */
  readonly isOwnId: boolean
  readonly resolve: WriteIntent['resolve']
  /** Whether the new session ends at the latest when the old one would have. */
  readonly keepDeadline: boolean
  /** The idle time-out that the call gives to the session; `undefined` where it gives none. */
  readonly idleTtlMs: GivenIdleTtl | undefined
  /** What is known of the client by now; `undefined` leaves it as it was. */
  readonly client: Client | undefined
  readonly call: Call
}

/** How often it is tried to take an entry out that only this call knows of. */
const LOOKS_TO_CLEAR = 10

export interface Regenerated {
  readonly now: LiveCopy
  readonly resolved: Resolved
  /** The session stood in the cache alone, and goes on there. */
  readonly isInCache?: true
}

/**
 * Moves a session to a new id. First the old session is frozen as it stands, so that no write is acknowledged that the
 * new one would lack. Then the new session is made durable. Then the old one is destroyed, if it is still what was
 * frozen. If it is not, the new session takes up what was written in between, and all of it is tried again.
 *
 * What the request changed, such as a login, goes into the new session only, since others may know the old id (session
 * fixation).
 */
export const regenerate = async (
  context: Context,
  reads: Reading,
  flushes: Flushing,
  { from, of, to, isOwnId, resolve, keepDeadline, idleTtlMs, client, call }: Regeneration,
): Promise<Regenerated> => {
  const { runtime, cache, backend, background, ledger, telemetry, audit, options } = context
  /**
   * The name of this call in the tombstones that it puts, so that it never takes the tombstone of another call for its
   * own.
   */
  const destruction = randomName(runtime)
  const { maxStaleCount } = options.policy
  let fresh: LiveEnvelope | undefined
  let mayBeThere = false
  /** The old session may have been ended by a try of which nobody knows how it went. */
  let mayBeEnded = false
  /** For the audit trail: the session as it was found, and whose it is to be. */
  let found: { readonly old: LiveEnvelope; readonly user: string | undefined } | undefined

  /** The step that freezes the old session. Its write id names the frozen version. */
  const halting = (): WriteStep => ({
    now: runtime.now(),
    writeId: randomName(runtime),
    timings: options.timings,
  })

  /**
   * Brings the old session, as it stands, to the backend at a version that no write can follow. Resolves to `undefined`
   * where another process came between.
   */
  const halt = async (found: LiveCopy, step: WriteStep): Promise<LiveEnvelope | undefined> => {
    let base = found.envelope
    let isUnseen = found.where === 'backend' && found.why === 'unreachable'
    if (found.where === 'cache') {
      const envelope = offered(halted(base, step.writeId, step.now), step.now)
      const put = await cache.cas(from.key, envelope, found.token)
      switch (put.outcome) {
        case 'stored': {
          const flushed = await flushes.flush(from, envelope, put.token, 'regenerate', call)
          if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
          if (flushed.outcome === 'again') return undefined
          const { backendToken } = flushed.now?.envelope ?? envelope
          return asDurable(envelope, runtime.now(), backendToken)
        }
        case 'lost': {
          // The entry may be frozen by this call, or written to by another. It is taken over unseen only where nobody
          // can be asked.
          const stands = await reads.observe(from, 'writer', call)
          const isUnreachable = stands.state === 'live' && stands.where === 'backend' && stands.why === 'unreachable'
          if (!isUnreachable) return undefined
          isUnseen = true
          break
        }
        case 'too-large':
        case 'refused': {
          const withdrawn = await flushes.withdraw(from, found, call)
          if (withdrawn === undefined) return undefined
          base = withdrawn
          break
        }
        default:
          return undefined
      }
    }
    const taken = takenOver(base, asItStands(base, step), randomName(runtime), maxStaleCount)
    const userId = userOfEnvelope(context, base)
    const isStillDue = (): boolean => !call.isLate() && (!isUnseen || cache.isAway(from.key))
    const result = await putIntoBackend(context, { locator: from, base, taken, userId, isStillDue }, 'regenerate')
    if (result.outcome === 'in') return asDurable(taken, runtime.now(), taken.backendToken)
    if (result.outcome === 'not sent') return undefined
    if (result.row.state !== 'live') throw destroyedMeanwhile()
    return undefined
  }

  const bornFrom = (old: LiveEnvelope, resolved: Resolved, becomes: Identification): LiveEnvelope =>
    born({
      now: runtime.now(),
      lineage: randomName(runtime),
      writeId: randomName(runtime),
      codecId: context.values.codecId,
      data: resolved.data,
      ...idleTimeFor(context, idleTtlMs, old, resolved.value),
      absoluteTtlMs: options.absoluteTtlMs,
      ...(keepDeadline ? { endsBy: old.absoluteExpiresAt } : {}),
      app: old.app,
      origin: originOf(from.key, old),
      client: client ?? { address: old.address, userAgent: old.userAgent },
      becomes,
      timings: options.timings,
    })

  const storeFresh = async (old: LiveEnvelope, resolved: Resolved): Promise<LiveEnvelope> => {
    if (fresh === undefined) {
      // It has the place of the old session among those of its user, unless it becomes another's.
      const becomes = resolved.userChanged
        ? await becoming(context, to, resolved.userId, call, from)
        : { userEpoch: old.userEpoch, identifiedAt: old.identifiedAt, isProved: resolved.userId === undefined }
      call.refuseIfLate()
      const first = bornFrom(old, resolved, becomes)
      mayBeThere = true
      const session = storedSession(first, resolved.userId, options.timings)
      const notAfter = first.createdAt + options.insertMs
      const outcome = await backend.insert(to, session, 'regenerate', { notAfter })
      if (outcome.outcome === 'too-late')
        throw tierUnavailable(backend.name, 'insert', { because: 'it came too late', applied: 'no' })
      const verdict = insertVerdict(first, outcome)
      if (verdict !== 'applied' && verdict !== 'superseded') {
        // What stands there is another's, and stays.
        mayBeThere = false
        throw newIdTaken()
      }
      if (isUserUnproved(first) && !(await isProved(context, to, first))) throw destroyedMeanwhile()
      return asDurable(first, runtime.now(), outcome.outcome === 'inserted' ? outcome.token : first.backendToken)
    }
    const { codecId } = context.values
    // The session that stays when its user is logged out everywhere has come under a higher epoch.
    const becomes =
      old.userEpoch > fresh.userEpoch
        ? { userEpoch: old.userEpoch, identifiedAt: old.identifiedAt, isProved: false }
        : undefined
    const step: Write = {
      ...halting(),
      ...{ codecId, data: resolved.data },
      ...idleTimeFor(context, idleTtlMs, fresh, resolved.value),
      ...(becomes === undefined ? {} : { becomes }),
    }
    const next = takenOver(fresh, step, randomName(runtime), 0)
    const session = storedSession(next, resolved.userId, options.timings)
    const outcome = await backend.update(
      { locator: to, guard: takeoverGuard(fresh), session, token: fresh.backendToken },
      'regenerate',
    )
    const row = outcome.outcome === 'applied' ? { ...next, state: 'live' as const, token: outcome.token } : outcome.row
    if (row.state !== 'live' || verdictOnRow(next, row) !== 'superseded') throw destroyedMeanwhile()
    if (isUserUnproved(next) && !(await isProved(context, to, next))) throw destroyedMeanwhile()
    return asDurable(next, runtime.now(), row.token)
  }

  /** Destroys the old session, if it is still what was frozen. */
  const destroyOld = async ({ lineage, version }: LiveEnvelope): Promise<DestroyOutcome> => {
    const at = runtime.now()
    const keepUntil = at + options.tombstoneTtlMs
    return await backend.destroy(from, { writeId: destruction, at, keepUntil, only: { lineage, version } })
  }

  /**
   * Gives the old session back, where its tombstone was sent and no answer came. The session is claimed under another
   * lineage, so that the tombstone no longer fits if it comes later. Where the tombstone is in already, the
   * regeneration has come to its end after all.
   */
  const claimBack = async (old: LiveEnvelope): Promise<'given back' | DestroyOutcome> => {
    const taken = takenOver(old, asItStands(old, halting()), randomName(runtime), maxStaleCount)
    const userId = userOfEnvelope(context, old)
    const takeover = { locator: from, base: old, taken, userId, isStillDue: () => true }
    const result = await putIntoBackend(context, takeover, 'regenerate')
    if (result.outcome === 'refused' && result.row.state === 'destroyed') return await destroyOld(old)
    await giveBack(context, from, frozenVersionOf(old), 'remove')
    return 'given back'
  }

  /** Destroys the old session, once the new one is in the backend. */
  const replace = async (old: LiveEnvelope): Promise<DestroyOutcome> => {
    try {
      return await destroyOld(old)
    } catch (error) {
      const became = await claimBack(old).catch(() => {
        // Nobody can tell for now whether the old session is destroyed. As soon as the backend can be asked, the
        // session is given back if it is not.
        background.retry(`claim ${from.key}`, 'repair', async () => {
          await claimBack(old)
          return true
        })
        throw butMayBeApplied(error)
      })
      if (became === 'given back') throw butNotApplied(error)
      return became
    }
  }

  /** Destroys the new session, as nobody will be told its id any more. */
  const forgetFresh = (): void => {
    const at = runtime.now()
    const tombstone = {
      writeId: destruction,
      at,
      keepUntil: at + options.tombstoneTtlMs,
      keepUntilIfAbsent: at + options.emptyTombstoneTtlMs,
    }
    if (!mayBeThere) return
    const forget = async (): Promise<boolean> => {
      await backend.destroy(to, tombstone)
      return true
    }
    background.run('destroy', () => forget().catch(() => background.retry(`destroy ${to.key}`, 'destroy', forget)))
  }

  /**
   * Gives a new id to a session of nobody that stands in the cache alone. It stays there: the new entry is placed first, and
   * then the very entry that was read is replaced by a tombstone, so that nothing was written to it in between. Resolves to
   * `again` where others came between, and to `no room` where the cache takes no new entry.
   */
  const moveInCache = async (found: InCache, resolved: Resolved): Promise<InCache | 'again' | 'no room'> => {
    const lease = await cache.lease(to.key, randomName(runtime))
    if (lease.outcome !== 'stored') return 'no room'
    const stamp = Math.max(runtime.now(), cache.trustFrom(to.key))
    const first = trusted(bornFrom(found.envelope, resolved, OF_NOBODY), stamp)
    const placed = await cache.cas(to.key, first, lease.token)
    if (placed.outcome !== 'stored') {
      await clearNew()
      return 'no room'
    }
    const ended = call.isLate() ? 'late' : await cache.endAlone(from.key, found.envelope, found.token)
    if (ended === 'stored') {
      await endOldRow()
      return inCache(first, placed.token)
    }
    mayBeEnded ||= ended === 'lost'
    await clearNew()
    return ended === 'refused' ? 'no room' : 'again'
  }

  /**
   * Takes out of the cache what this call has put under the new id, which nobody knows. Rejects where it may still stand
   * there: then the session must not go on under this id, beside an entry that does not descend from its row.
   */
  const clearNew = async (): Promise<void> => {
    for (let looks = 0; looks < LOOKS_TO_CLEAR; looks += 1) {
      const stands = await cache.get(to.key)
      if (!('token' in stands) || stands.token === undefined) return
      if ((await cache.removeAndTell(to.key, stands.token)) === 'gone') return
    }
    throw tierUnavailable(cache.name, 'regenerate', { because: 'the answers to its changes were lost' })
  }

  /**
   * Ends the row of the old session, if it has one all the same: one that was brought to the backend by who could not mark
   * the entry. Where it has none, nothing is left, but for a store that came from another: an old process may store the
   * session there once more.
   */
  const endOldRow = async (): Promise<void> => {
    const end = async (): Promise<boolean> => {
      const at = runtime.now()
      await backend.destroy(from, {
        writeId: destruction,
        at,
        keepUntil: at + options.tombstoneTtlMs,
        keepUntilIfAbsent: at + options.aloneTombstoneTtlMs,
      })
      return true
    }
    await end().catch(() => background.retry(`destroy ${from.key}`, 'destroy', end))
  }

  /**
   * Makes sure that an id of the caller's own is free as far as the cache knows. An id is taken whose session stands there
   * alone, or was ended there: of it the backend, which refuses all others, knows nothing. Where the cache remembers that
   * nothing stands under the id, it forgets that, as the new session would not be found. Where the cache cannot be asked,
   * the backend decides.
   */
  const claimInCache = async (): Promise<void> => {
    if (!isOwnId) return
    const stands = await lookAt(context, to.key, 'reader', call)
    if (stands === 'away') return
    const isLive = stands.state === 'live' && !hasExpired(limitedEnvelope(context, stands.envelope), runtime.now())
    if (isLive || stands.state === 'tombstone') throw newIdTaken()
    if (stands.state === 'missing' && stands.token !== undefined) await cache.remove(to.key, stands.token)
  }

  /** Tries it once. Resolves to `undefined` where another process came between. */
  const attempt = async (): Promise<Regenerated | undefined> => {
    const standing = await reads.observeThawed(from, call)
    if (standing.state === 'none' || !isSameSession(standing.envelope, of)) throw destroyedMeanwhile()
    const resolving = inTurns(resolve(standing.envelope, undefined))
    const resolved = resolving instanceof Promise ? await resolving : resolving
    found = { old: standing.envelope, user: resolved.userId }
    if (fresh === undefined) await claimInCache()
    if (options.policy.persistOn === 'identify' && standing.where === 'cache' && resolved.userId === undefined) {
      const isBelieved = standing.envelope.trustedAt >= cache.trustFrom(from.key)
      call.refuseIfLate()
      const moved = isAlone(standing.envelope) && isBelieved ? await moveInCache(standing, resolved) : 'no room'
      if (moved === 'again') return undefined
      if (moved !== 'no room') return { now: moved, resolved, isInCache: true }
    }
    const step = halting()
    const thaw = (): Promise<void> =>
      giveBack(context, from, frozenVersionOf(halted(standing.envelope, step.writeId, step.now)), 'thaw')
    let old: LiveEnvelope | undefined
    try {
      call.refuseIfLate()
      old = await halt(standing, step)
      if (old !== undefined) {
        call.refuseIfLate()
        fresh = await storeFresh(old, resolved)
        call.refuseIfLate()
      }
    } catch (error) {
      await thaw()
      throw error
    }
    if (old === undefined || fresh === undefined) {
      await thaw()
      return undefined
    }
    const outcome = await replace(old)
    // Another call has logged the visitor out, or regenerated the session: what was frozen must not live on under a new
    // id.
    if (outcome === 'already-destroyed') throw destroyedMeanwhile()
    if (outcome === 'refused') {
      await flushes.removeIfDead(from)
      return undefined
    }
    return { now: asInBackend(fresh), resolved }
  }

  const putTombstoneForOld = async (): Promise<void> => {
    ledger.forget(from.key, Number.POSITIVE_INFINITY)
    telemetry.count('destroys')
    try {
      await cache.setTombstone(from.key)
    } catch {
      background.retry(`destroy ${from.key}`, 'destroy', async () => {
        await cache.setTombstone(from.key)
        return true
      })
    }
  }

  const happened = (action: 'regenerated' | 'identified', user: string | undefined, former?: string): Happened => ({
    ...{ action, by: 'request' },
    ...(user === undefined ? {} : { user }),
    ...(former === undefined || former === user ? {} : { formerUser: former }),
  })
  const tellDone = ({ now, resolved: { userId, userChanged } }: Regenerated): void => {
    if (found === undefined || !audit.isHeard()) return
    const former = userChanged ? userOfEnvelope(context, found.old) : undefined
    audit.done(to.key, now.envelope, happened('regenerated', userId, former))
    if (userChanged) audit.done(to.key, now.envelope, happened('identified', userId, former))
  }

  try {
    for (let tried = 0; tried < options.maxAttempts; tried += 1) {
      const regenerated = await attempt()
      if (regenerated === undefined) continue
      if (regenerated.isInCache === true) telemetry.count('destroys')
      else await putTombstoneForOld()
      tellDone(regenerated)
      return regenerated
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be regenerated in ${options.maxAttempts} attempts`,
      { applied: 'unknown' },
    )
  } catch (error) {
    forgetFresh()
    const told = mayBeEnded ? butMayBeApplied(error) : error
    if (found !== undefined) audit.failed(from.key, found.old, happened('regenerated', found.user), told)
    throw told
  }
}

const newIdTaken = (): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', 'The new session id is taken already', { applied: 'no' })

/** The call `regenerate`: moves what the handle holds to a new id, in turn with the other calls of the handle. */
export const regenerating = <Data>(
  { context, customs, reads, flushes, handles, queue }: CallParts<Data>,
  { newestOf, viewOf }: Pick<Saving<Data>, 'newestOf' | 'viewOf'>,
): ((handle: Handle<Data>, options: RegenerateOptions, call: Call) => Promise<Handle<Data>>) => {
  const { runtime } = context
  const madeId = (): string => sessionIdFrom(runtime.now(), runtime.randomBytes(32))

  function* overBase(handle: Handle<Data>, wanted: Wanted, called: Called): Steps<Wanted> {
    const basis = yield* basisOf(context, customs, handle, called)
    return yield* rebased(context, customs, { basis, wanted, onto: handle.base, unmergedKeys: [] })
  }

  const inTurn = async (
    handle: Handle<Data>,
    asked: Wanted,
    called: Called,
    { keepDeadline = false, id: ownId, idleTtlMs, isolated = false, client: info }: RegenerateOptions,
    call: Call,
  ): Promise<Handle<Data>> => {
    await newestOf(handle)
    const rebasing = inTurns(overBase(handle, asked, called))
    const wanted = rebasing instanceof Promise ? await rebasing : rebasing
    const { locator: from, base: basis, userId: basisUser } = handle
    const id = ownId ?? madeId()
    const to = locatorOf(context, id)
    const given = givenIdleTtl(idleTtlMs, context.options)
    const client = info === undefined ? handle.client : clientOf(info)
    const resolve = resolving(context, customs, { basis, basisUser, wanted, unmergedKeys: [] })
    const { now, resolved } = await queue.run(from.key, () =>
      regenerate(context, reads, flushes, {
        ...{ from, of: basis, to, isOwnId: ownId !== undefined, resolve, keepDeadline, idleTtlMs: given, client, call },
      }),
    )
    endThereLater(context, from, handle.id)
    if (!isolated) return handles.make(id, to, resolved.value as Data, now, resolved.userId)
    const made = handles.make(id, to, handle.data, now, resolved.userId)
    const held = viewOf(asked)
    if (!sameBytes(now.envelope, held)) made.held = held
    return made
  }

  return (handle, regenerateOptions, call) => {
    const wanted = wantedOf(context, customs, handle.data)
    const { lastSave: before, edition } = handle
    return handle.inTurn(() => inTurn(handle, wanted, { before, edition }, regenerateOptions, call))
  }
}
