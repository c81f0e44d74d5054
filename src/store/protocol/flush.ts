import type { BackendToken, InsertOutcome, Lineage, WriteId } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import { isSessionStoreError, type SessionStoreError, type SessionStoreErrorCode } from '../../errors.js'
import {
  afterwardsVerdict,
  confirmVerdict,
  type FlushVerdict,
  flushVerdict,
  insertVerdict,
  owesFlush,
  quarantineVerdict,
} from '../../session/decisions.js'
import { isAlone, isUserUnproved, type LiveEnvelope, neverDurable } from '../../session/envelope.js'
import { confirmed, flushGuard, isUnflushed, offered, storedSession } from '../../session/transitions.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { jittered, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName, rowOf, userOfEnvelope } from '../context.js'
import type { FlushFault } from '../owed/ledger.js'
import type { Updated } from '../tiers/backend-tier.js'
import type { EntryState } from '../tiers/cache-tier.js'
import { lookAt } from './look.js'
import type { InCache } from './read.js'
import { isProved } from './users.js'

/** How it ended that an envelope was to be made durable. */
export type FlushOutcome =
  /**
   * The envelope is in the backend, and the look at the cache found nothing that speaks against it. `now` is what
   * stands in the cache, where that is known.
   */
  | { readonly outcome: 'durable'; readonly now: InCache | undefined }
  /**
   * The lineage of the envelope is dead, and its entry was removed from the cache. The caller has to do the write over
   * from a fresh look.
   */
  | { readonly outcome: 'again' }
  /** The session is destroyed, or the backend does not have it although it should. */
  | { readonly outcome: 'destroyed' }

/** How a flush ended that nobody waits for. */
export type KnownFlush =
  | { readonly outcome: 'flushed' | 'nothing to do' }
  | { readonly outcome: Exclude<FlushFault, 'hopeless'>; readonly error: unknown }
  | { readonly outcome: Extract<FlushFault, 'hopeless'>; readonly error: SessionStoreError }

/** Errors that come from the session as it stands. Another flush of the same session would meet them again. */
const HOPELESS: ReadonlySet<unknown> = new Set<SessionStoreErrorCode>([
  'E_SESSION_FORMAT',
  'E_SESSION_DATA',
  'E_SESSION_TOO_LARGE',
])

export interface Flushing {
  /**
   * Brings an envelope that stands in the cache to the backend, and marks it as durable in the cache, before anyone
   * acknowledges it. Rejects if the backend cannot be asked.
   *
   * @param token of the entry, as a compare-and-set or a read gave it
   * @param call the call whose write it is; left out where nobody waits
   */
  flush(
    locator: Locator,
    envelope: LiveEnvelope,
    token: CasToken,
    reason: FlushReason,
    call?: Call,
  ): Promise<FlushOutcome>

  /**
   * The same for whatever stands in the cache, where nobody waits for it: because its time has come, because a reader
   * found it overdue, or because the store is closed. Never rejects.
   */
  flushKnown(locator: Locator, reason: FlushReason): Promise<KnownFlush>

  /**
   * Looks at the cache after a copy, `row`, was put into the backend or was seen there, and removes an entry that does
   * not descend from what stands in the backend by now. Rejects if the backend cannot be asked about an entry.
   *
   * Resolves to `consistent` where no entry is left that misses anything of `row`, to `destroyed` where a tombstone
   * stands, and to `unseen` where the cache cannot be asked; then the look is made later, in the background.
   *
   * @param writeId the id of the write that `row` was made by. An entry that holds this write may stay, as nobody who
   *   sees it misses anything.
   * @param replaced the lineage that `row` has replaced in the backend. An entry of it is dead, so the backend is not
   *   asked.
   */
  lookAfterwards(
    locator: Locator,
    row: LiveEnvelope,
    writeId: WriteId | undefined,
    call: Call,
    replaced?: Lineage,
  ): Promise<'consistent' | 'destroyed' | 'unseen'>

  /**
   * Takes an entry out of a cache that accepts no new value, so that the session can be taken over from it. First
   * everything in the entry is brought to the backend. Then the entry is removed, so that nobody can write to it any
   * more.
   *
   * Resolves to the envelope as it is in the backend, and to `undefined` where another process came between. Rejects if
   * the backend cannot be asked; then the entry stays.
   */
  withdraw(locator: Locator, found: InCache, call: Call): Promise<LiveEnvelope | undefined>

  /**
   * Tells whether an entry descends from what stands in the backend. An entry that does not is removed by its token.
   */
  isAlive(locator: Locator, entry: Pick<InCache, 'envelope' | 'token'>): Promise<boolean>

  /**
   * Removes the entry of a session if it no longer descends from what stands in the backend. Resolves to `false` where
   * such an entry may still stand there, so that it has to be looked at again.
   */
  removeIfDead(locator: Locator): Promise<boolean>
}

type Entry = Pick<InCache, 'envelope' | 'token'>

const LOOKS = 50
const PAUSE_MS = 20

export const flushing = (context: Context): Flushing => {
  const { runtime, cache, backend, ledger, options } = context

  const flush: Flushing['flush'] = async (locator, found, foundToken, reason, call) => {
    const entry = await offer(locator, { envelope: found, token: foundToken }, call)
    if (entry === 'again') return { outcome: 'again' }
    const { envelope, token } = entry
    const { verdict, backendToken } = await toBackend(locator, envelope, reason)
    switch (verdict) {
      case 'applied':
      case 'superseded': {
        if (isUserUnproved(envelope) && !(await isProved(context, locator, envelope))) return { outcome: 'destroyed' }
        ledger.forget(locator.key, envelope.version)
        return await confirm(locator, envelope, token, backendToken, call)
      }
      case 'conflict':
        await removeDead(locator, envelope.lineage)
        return { outcome: 'again' }
      case 'destroyed':
        await bestEffort(() => cache.setTombstone(locator.key))
        return { outcome: 'destroyed' }
      case 'absent':
        await cache.remove(locator.key, token)
        return { outcome: 'destroyed' }
    }
  }

  /**
   * Marks an entry, before it is brought to the backend for the first time. Where others have changed it, or it is gone, it
   * has to be looked at again. So it is where no answer came, unless the cache is away: then nobody sees the entry.
   */
  const offer = async (locator: Locator, entry: Entry, call: Call | undefined): Promise<Entry | 'again'> => {
    if (!isAlone(entry.envelope)) return entry
    const envelope = offered(entry.envelope, runtime.now())
    const put = await cache.cas(locator.key, envelope, entry.token)
    switch (put.outcome) {
      case 'stored':
        return { envelope, token: put.token }
      case 'lost':
        if (cache.isAway(locator.key)) return entry
        if (call === undefined) throw put.error
        return 'again'
      case 'refused':
      case 'too-large':
        // A cache that takes no mark takes no tombstone either, unless it has room again in the next moment: the look after
        // the flush sees that.
        return entry
      default:
        return 'again'
    }
  }

  /** A session that was never durable is inserted, any other is updated: a flush creates no session a second time. */
  const toBackend = async (
    locator: Locator,
    envelope: LiveEnvelope,
    reason: FlushReason,
  ): Promise<{ readonly verdict: FlushVerdict; readonly backendToken: BackendToken }> => {
    if (isLarge(envelope)) await ownTurn()
    const session = storedSession(envelope, userOfEnvelope(context, envelope), options.timings)
    if (neverDurable(envelope)) {
      const outcome = await backend.insert(locator, session, reason, {
        notAfter: envelope.createdAt + options.absoluteTtlMs,
      })
      const verdict = insertVerdict(envelope, outcome)
      if (verdict !== 'older of mine') return { verdict, backendToken: tokenOf(outcome) ?? envelope.backendToken }
    }
    const guard = flushGuard(envelope)
    const outcome = await backend.update({ locator, guard, session, token: envelope.backendToken }, reason)
    return { verdict: flushVerdict(envelope, outcome), backendToken: tokenOf(outcome) ?? envelope.backendToken }
  }

  /**
   * Marks in the cache what is now in the backend.
   *
   * Before anyone acknowledges a durable write, the cache is looked at: if another process filled it meanwhile from an
   * older copy, the writers of that lineage would not know of this write. Where the entry is gone it is never added
   * again.
   */
  const confirm = async (
    locator: Locator,
    flushed: LiveEnvelope,
    token: CasToken,
    backendToken: BackendToken,
    call: Call | undefined,
  ): Promise<FlushOutcome> => {
    const mark = confirmed(flushed, flushed, runtime.now(), backendToken)
    const marked = await cache.cas(locator.key, mark, token)
    if (marked.outcome === 'stored')
      return { outcome: 'durable', now: { state: 'live', where: 'cache', envelope: mark, token: marked.token } }

    const entry = await lookPastLease(locator, call)
    if (entry === 'away') {
      repairLater(locator)
      return { outcome: 'durable', now: undefined }
    }
    switch (entry.state) {
      case 'missing':
      case 'large':
        return { outcome: 'durable', now: undefined }
      case 'tombstone':
        if (entry.isAlone) await endInBackend(locator)
        return { outcome: 'destroyed' }
      case 'live': {
        const verdict = confirmVerdict(entry.envelope, flushed)
        if (verdict === 'again') {
          await removeIfDead(locator)
          return { outcome: 'again' }
        }
        if (verdict === 'acknowledge' || entry.envelope.durableVersion >= flushed.version)
          return { outcome: 'durable', now: { state: 'live', where: 'cache', ...pick(entry) } }
        const envelope = confirmed(entry.envelope, flushed, runtime.now(), backendToken)
        const put = await cache.cas(locator.key, envelope, entry.token)
        if (put.outcome === 'stored')
          return { outcome: 'durable', now: { state: 'live', where: 'cache', envelope, token: put.token } }
        // A cache that takes no new value keeps the entry without the mark, and what was flushed is in the backend.
        return {
          outcome: 'durable',
          now: put.outcome === 'refused' ? { state: 'live', where: 'cache', envelope, token: entry.token } : undefined,
        }
      }
    }
  }

  /**
   * Ends in the backend what was brought there without a mark in the cache, while somebody ended the session in the cache
   * alone.
   */
  const endInBackend = async (locator: Locator): Promise<void> => {
    const writeId = randomName(runtime)
    const end = async (): Promise<boolean> => {
      const at = runtime.now()
      await backend.destroy(locator, { writeId, at, keepUntil: at + options.tombstoneTtlMs, keepUntilIfAbsent: at })
      return true
    }
    await end().catch(() => context.background.retry(`destroy ${locator.key}`, 'destroy', end))
  }

  /**
   * Gives what stands in the cache once nobody is filling it. The mark that nothing stands in the backend is removed: who
   * put it had read the backend before the write that comes before this look. The holder of a lease may have read the row
   * before that write as well, so the caller has to see what the holder puts there. If the holder never comes, its lease is
   * removed.
   */
  const lookPastLease = async (
    locator: Locator,
    call: Call | undefined,
  ): Promise<Exclude<EntryState, { readonly state: 'lease' }> | 'away'> => {
    for (let looks = 0; ; looks += 1) {
      const entry = await lookAt(context, locator.key, 'writer', call)
      if (entry === 'away') return entry
      // It is the mark that nothing stands there, or a lease that is over, whose holder may still put such a mark in its place.
      if (entry.state === 'missing' && entry.token !== undefined) {
        if (looks > 2 * LOOKS) return 'away'
        await cache.remove(locator.key, entry.token)
        continue
      }
      if (entry.state !== 'lease') return entry
      if (looks < LOOKS) await sleep(runtime, jittered(runtime, PAUSE_MS))
      else await cache.remove(locator.key, entry.token)
    }
  }

  const flushKnown: Flushing['flushKnown'] = async (locator, reason) => {
    try {
      const entry = await cache.get(locator.key)
      if (entry.state !== 'live' || !isUnflushed(entry.envelope)) return { outcome: 'nothing to do' }
      if (!owesFlush(entry.envelope, options.policy, () => userOfEnvelope(context, entry.envelope) !== undefined))
        return { outcome: 'nothing to do' }
      const { outcome } = await flush(locator, entry.envelope, entry.token, reason)
      return { outcome: outcome === 'durable' ? 'flushed' : 'nothing to do' }
    } catch (error) {
      if (isUnavailable(error)) return { outcome: 'unavailable', error }
      if (isSessionStoreError(error) && HOPELESS.has(error.code)) return { outcome: 'hopeless', error }
      return { outcome: 'failed', error }
    }
  }

  const lookAfterwards: Flushing['lookAfterwards'] = async (locator, row, writeId, call, replaced) => {
    for (let looks = 0; ; looks += 1) {
      const entry = await lookPastLease(locator, call)
      if (entry === 'away') {
        repairLater(locator)
        return 'unseen'
      }
      if (entry.state === 'missing' || entry.state === 'large') return 'consistent'
      if (entry.state === 'tombstone') {
        if (entry.isAlone) await endInBackend(locator)
        return 'destroyed'
      }
      if (afterwardsVerdict(entry.envelope, row, writeId) === 'contained') return 'consistent'
      // Others may have changed the row since: only the backend, as it stands now, tells whether the entry is dead.
      if (entry.envelope.lineage === replaced) await cache.remove(locator.key, entry.token)
      else if (await isAliveOrRepairedLater(locator, entry)) return 'consistent'
      if (looks >= LOOKS) {
        repairLater(locator)
        return 'unseen'
      }
      // If somebody changed the entry meanwhile, its token no longer fitted and it still stands: hence another look.
    }
  }

  const withdraw: Flushing['withdraw'] = async (locator, { envelope, token }, call) => {
    let standing = { envelope, token }
    if (isUnflushed(envelope)) {
      const flushed = await flush(locator, envelope, token, 'refused', call)
      if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
      if (flushed.outcome === 'again') return undefined
      standing = flushed.now ?? { envelope: confirmed(envelope, envelope, runtime.now(), envelope.backendToken), token }
      // Others have written to the entry since, and what they wrote is nowhere else.
      if (standing.envelope.version !== envelope.version) return undefined
    }
    return (await cache.removeAndTell(locator.key, standing.token)) === 'gone' ? standing.envelope : undefined
  }

  const isAlive: Flushing['isAlive'] = async (locator, { envelope, token }) => {
    const verdict = quarantineVerdict(envelope, rowOf(await backend.read(locator)))
    if (verdict === 'believe') return true
    if (verdict === 'tombstone') await cache.putTombstone(locator.key, token)
    else await cache.remove(locator.key, token)
    return false
  }

  const isAliveOrRepairedLater: Flushing['isAlive'] = async (locator, entry) => {
    try {
      return await isAlive(locator, entry)
    } catch (error) {
      repairLater(locator)
      throw error
    }
  }

  const removeIfDead: Flushing['removeIfDead'] = async (locator) => {
    const entry = await lookAt(context, locator.key, 'reader', undefined)
    // The holder of a lease may have read the row before it was changed, and may still put an older copy there.
    if (entry === 'away' || entry.state === 'lease') return false
    if (entry.state === 'missing' && entry.mark !== undefined && entry.token !== undefined)
      return (await cache.removeAndTell(locator.key, entry.token)) === 'gone'
    if (entry.state === 'tombstone' && entry.isAlone) await endInBackend(locator)
    if (entry.state !== 'live') return true
    try {
      const verdict = quarantineVerdict(entry.envelope, rowOf(await backend.read(locator)))
      if (verdict === 'believe') return true
      if (verdict === 'tombstone') return await cache.putTombstone(locator.key, entry.token)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return false
    }
    // If somebody changed the entry in between, it still stands, and only another look tells when it is gone.
    return (await cache.removeAndTell(locator.key, entry.token)) === 'gone'
  }

  /** Removes the entry of a lineage that the backend refused. */
  const removeDead = async (locator: Locator, lineage: string): Promise<void> => {
    const entry = await lookAt(context, locator.key, 'reader', undefined)
    if (entry !== 'away' && entry.state === 'live' && entry.envelope.lineage === lineage)
      await cache.remove(locator.key, entry.token)
  }

  const repairLater = (locator: Locator): void =>
    context.background.retry(`repair ${locator.key}`, 'repair', () => removeIfDead(locator))

  return { flush, flushKnown, lookAfterwards, withdraw, removeIfDead, isAlive }
}

/** The token of what now stands in the backend, where the answer has one. */
const tokenOf = (outcome: InsertOutcome | Updated): BackendToken | undefined => {
  if (outcome.outcome === 'applied' || outcome.outcome === 'inserted') return outcome.token
  return outcome.outcome !== 'too-late' && outcome.row.state === 'live' ? outcome.row.token : undefined
}

const pick = ({
  envelope,
  token,
}: {
  envelope: LiveEnvelope
  token: CasToken
}): { envelope: LiveEnvelope; token: CasToken } => ({
  envelope,
  token,
})

const bestEffort = async (call: () => Promise<void>): Promise<void> => {
  try {
    await call()
  } catch {
    // The tier has counted the fault. The tombstone in the backend decides, and the next fill reads it.
  }
}
