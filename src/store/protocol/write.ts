import type { Lineage, WriteId } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import type { GivenIdleTtl } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError } from '../../errors.js'
import {
  flushReason,
  type HeldVersion,
  heldVerdict,
  isSameSession,
  owesFlush,
  ringVerdict,
  type WriteSituation,
} from '../../session/decisions.js'
import { isUserUnproved, type LiveEnvelope } from '../../session/envelope.js'
import { hasExpired } from '../../session/expiry.js'
import type { Encoded } from '../../session/sameness.js'
import {
  asDurable,
  type Client,
  type Identification,
  isUnflushed,
  offered,
  takenOver,
  type Write,
  written,
} from '../../session/transitions.js'
import { inTurns, isLarge, ownTurn, type Steps } from '../../tools/turns.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName, userOfEnvelope } from '../context.js'
import { idleTimeFor } from '../idle-ttl.js'
import type { Happened } from '../observed/audit.js'
import type { Flushing } from './flush.js'
import { frozenVersionOf, type GiveBack, giveBack } from './give-back.js'
import type { InCache, LiveCopy, Reading, Standing } from './read.js'
import { putIntoBackend } from './takeover.js'
import { becoming } from './users.js'

/** What a write stores, decided from what stands now. */
export interface Resolved {
  readonly data: Uint8Array
  /** The value that `data` encodes. */
  readonly value: unknown
  readonly userId: string | undefined
  /** The user differs from that of what stands. Such a write must be durable before it is acknowledged. */
  readonly userChanged: boolean
  /** The write puts back what the cache has lost, and so it is not left to the cache alone a second time. */
  readonly isRestored?: boolean
}

/**
 * A write that may be in, as its answer was lost. Whether it is shows by its id, in every copy that was made from this
 * version or from a later one.
 */
export interface Doubt {
  readonly writeId: WriteId
  /** The lineage to which the write was last tried. */
  readonly lineage: Lineage
  readonly baseVersion: number
  /** Whether the write changed the user of the session. */
  readonly userChanged: boolean
}

/** A save that rejected although it may be in, and the data that the request held when it was made. */
export interface DoubtfulSave {
  readonly doubt: Doubt
  readonly wanted: Encoded
}

/**
 * What is known of the tries of one call. All tries have the same write id, even where the call starts over from a
 * fresh copy. So a try that came in late is recognised, and the change is stored once at most.
 */
export interface Tries {
  readonly writeId: WriteId
  doubt: Doubt | undefined
  /** For the audit trail: what the last try found that was to change the user, and whose the session was and became. */
  replaces?: {
    readonly base: LiveEnvelope
    readonly user: string | undefined
    readonly by: string | undefined
  }
}

export const noTries = (runtime: Runtime): Tries => ({ writeId: randomName(runtime), doubt: undefined })

export interface WriteIntent {
  readonly locator: Locator
  readonly call: Call
  /**
   * What the caller believes to stand, from an earlier read of its own. Where it is left out, the write looks for
   * itself.
   */
  readonly base: LiveCopy | undefined
  /**
   * The session that the caller holds. A later session under the same id is another one, and is not written to. Where
   * this is left out, the write goes to whatever session stands.
   */
  readonly of?: Pick<LiveEnvelope, 'createdAt'> | undefined
  /**
   * Decides what to store, in steps. It is called again whenever something else stands there, and what it throws is what the
   * write rejects with. `basis` is given where an earlier save of the same handle rejected and turns out to be in: it
   * is the data that the request held then.
   */
  readonly resolve: (current: LiveEnvelope, basis: Encoded | undefined) => Steps<Resolved>
  /** The idle time-out that the call gives to the session; `undefined` where it gives none. */
  readonly idleTtlMs: GivenIdleTtl | undefined
  readonly durable: boolean
  /** What is known of the client by now; `undefined` leaves it as it was. */
  readonly client?: Client | undefined
  /** The epoch of the user that the session is to carry at least from now on. Left out: the one that it has. */
  readonly userEpoch?: number
  readonly tries: Tries
  /** Earlier saves of the same handle that rejected and may be in, the oldest first. */
  readonly doubtful?: readonly DoubtfulSave[]
}

export interface WriteResult {
  /** The copy that this write made or, where its answer was lost, one that contains it. */
  readonly stored: LiveEnvelope
  /** What is known to stand now. It may be newer than `stored`. */
  readonly now: LiveCopy
  /** What `stored` holds. */
  readonly resolved: Resolved
  readonly durability: 'cache' | 'backend'
  /** The id of this write. */
  readonly writeId: WriteId
}

type Ended = Omit<WriteResult, 'writeId'>

export interface Writing {
  /**
   * Makes one change of a session: puts it into the cache by compare-and-set, flushes it where that is due, and then
   * acknowledges it.
   */
  write(intent: WriteIntent): Promise<WriteResult>

  /**
   * Makes what stands durable without changing it, if it has everything that the caller holds. Resolves to `'lost'` if
   * it has not, because the cache lost what was not in the backend yet. Then nothing was made durable.
   *
   * @param of the session that the caller holds
   * @param held the version of it that the caller holds; `undefined` where that version is in the backend already
   */
  makeDurable(
    locator: Locator,
    of: Pick<LiveEnvelope, 'createdAt'>,
    held: HeldVersion | undefined,
    call: Call,
  ): Promise<LiveCopy | 'lost'>
}

const PAUSES: Pauses = { firstMs: 2, longestMs: 100 }

export const writing = (context: Context, reads: Reading, flushes: Flushing): Writing => {
  const { runtime, cache, telemetry, audit, ledger, options } = context

  const write: Writing['write'] = async (intent) => {
    const { tries, locator, doubtful = [] } = intent
    try {
      const ended = await tryToWrite(intent)
      const { userChanged, userId } = ended.resolved
      // A save of the same handle that was rejected may have changed the user, and this one is told that it is in.
      if (userChanged || doubtful.some(({ doubt }) => doubt.userChanged))
        audit.done(locator.key, ended.stored, identified(userId, tries.replaces?.user))
      return { ...ended, writeId: tries.writeId }
    } catch (error) {
      const told = tries.doubt === undefined ? error : butMayBeApplied(error)
      const { replaces } = tries
      if (replaces !== undefined) audit.failed(locator.key, replaces.base, identified(replaces.by, replaces.user), told)
      throw told
    }
  }

  /** A login, as the audit trail has it; or what takes the user away. */
  const identified = (user: string | undefined, formerUser: string | undefined): Happened => ({
    action: 'identified',
    by: 'request',
    ...(user === undefined ? {} : { user }),
    ...(formerUser === undefined || formerUser === user ? {} : { formerUser }),
  })

  const tryToWrite = async (intent: WriteIntent): Promise<Ended> => {
    const { locator, call, tries } = intent
    let base: Standing | undefined = isWritable(intent.base) ? intent.base : undefined

    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      if (attempt > 1) await sleep(runtime, pauseAfter(runtime, PAUSES, attempt + 1))
      const found: Standing = base ?? (await reads.observeThawed(locator, call))
      base = undefined
      if (found.state === 'none' || isAnother(found, intent.of)) throw destroyedMeanwhile()

      if (tries.doubt !== undefined && isIn(found, tries.doubt)) {
        const ended = await endWithWhatStands(intent, found)
        if (ended !== 'again') return ended
        continue
      }
      const { basis, missing } = earlierSaves(intent, found)
      if (await mayBeDead(locator, found, missing)) continue
      const resolving = inTurns(intent.resolve(found.envelope, basis))
      const resolved = resolving instanceof Promise ? await resolving : resolving
      // What was just encoded is copied and summed up once more on its way into a tier.
      if (isLarge(resolved)) await ownTurn()
      call.refuseIfLate()
      if (resolved.userChanged && audit.isHeard())
        tries.replaces = { base: found.envelope, user: userOfEnvelope(context, found.envelope), by: resolved.userId }
      const becomes = resolved.userChanged
        ? await becoming(context, locator, resolved.userId, call)
        : restamped(intent, found.envelope)
      const step = stepOf(intent, found.envelope, resolved, becomes)
      /** Notes that this write may be in. It has to be called before anything is sent whose answer may be lost. */
      const mayBeIn = (): void => {
        tries.doubt = {
          writeId: tries.writeId,
          lineage: found.envelope.lineage,
          // After the cache was lost, versions start lower again. So the ring is searched from the lowest version on.
          baseVersion: Math.min(tries.doubt?.baseVersion ?? found.envelope.version, found.envelope.version),
          userChanged: resolved.userChanged || tries.doubt?.userChanged === true,
        }
      }
      call.refuseIfLate()

      if (found.where === 'backend' || found.envelope.frozen) {
        const reason = found.where === 'backend' && found.why !== 'unreachable' ? 'refused' : 'bypass'
        const isUnseen = found.where === 'backend' && found.why === 'unreachable'
        const ended = await takeOver(intent, found.envelope, resolved, step, reason, mayBeIn, isUnseen)
        if (ended !== 'again') return ended
        // A process that has died left the entry frozen, and its lineage may be dead as well: then nobody else would
        // ever remove it.
        if (found.where === 'cache') await flushes.isAlive(locator, found)
        continue
      }

      const isCritical = resolved.userChanged || intent.durable
      const next = isCritical ? offered(written(found.envelope, step), runtime.now()) : written(found.envelope, step)
      const put = await cache.cas(locator.key, next, found.token)
      switch (put.outcome) {
        case 'stored': {
          // A reader may bring the write to the backend, even after the lineage has died.
          mayBeIn()
          const ended = await flushAndAcknowledge(intent, inCache(next, put.token), resolved)
          if (ended !== 'again') return ended
          break
        }
        case 'too-large': {
          // Others may have written since. Only a copy that nobody can write to any more may be taken over from, so it
          // is frozen first.
          const frozen = offered({ ...found.envelope, frozen: true }, runtime.now())
          const { outcome } = await cache.cas(locator.key, frozen, found.token)
          if (outcome === 'conflict') break
          const thaw = async (how: GiveBack): Promise<void> => {
            if (outcome === 'stored' || outcome === 'lost')
              await giveBack(context, locator, frozenVersionOf(found.envelope), how)
          }
          if (outcome === 'lost') {
            await thaw('thaw')
            break
          }
          const ended = await takeOver(intent, found.envelope, resolved, step, 'refused', mayBeIn).catch(
            async (error: unknown) => {
              const isSurelyOut = isSessionStoreError(error) && error.applied === 'no'
              if (isUnavailable(error)) await thaw(isSurelyOut ? 'thaw' : 'thaw if alive')
              throw error
            },
          )
          if (ended !== 'again') return ended
          await thaw('thaw if alive')
          break
        }
        case 'refused': {
          const withdrawn = await flushes.withdraw(locator, found, call)
          if (withdrawn === undefined) break
          const ended = await takeOver(intent, withdrawn, resolved, step, 'refused', mayBeIn)
          if (ended !== 'again') return ended
          break
        }
        case 'lost': {
          if (put.applied === 'unknown') mayBeIn()
          const stands = await reads.observe(locator, 'writer', call)
          if (stands.state === 'live' && stands.where === 'backend' && stands.why === 'unreachable') {
            call.refuseIfLate()
            // The copy that this write was made from may be newer than the row. So it is taken over from that copy,
            // under a guard that names where the copy came from.
            const ended = await takeOver(intent, found.envelope, resolved, step, 'bypass', mayBeIn, true)
            if (ended !== 'again') return ended
          } else if (stands.state !== 'live' || !stands.envelope.frozen) base = stands
          // Otherwise somebody is regenerating it, and may give it back to its writers: that is waited for, as ever.
          break
        }
        default:
          telemetry.count('conflicts')
      }
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be saved in ${options.maxAttempts} attempts`,
      { applied: 'no' },
    )
  }

  /** Whether the session that the caller holds has ended, and another one was made under its id. */
  const isAnother = ({ envelope }: LiveCopy, of: WriteIntent['of']): boolean =>
    of !== undefined && !isSameSession(envelope, of)

  /**
   * Whether a write is in a copy, as its ring of write ids tells.
   *
   * @throws SessionStoreError `E_SESSION_UNKNOWN_OUTCOME` where so many writes followed that the ring no longer tells
   */
  const isIn = ({ envelope }: LiveCopy, { writeId, baseVersion }: Doubt): boolean => {
    const verdict = ringVerdict(envelope, writeId, baseVersion)
    if (verdict === 'cannot tell') throw unknownOutcome()
    return verdict === 'in'
  }

  /**
   * Looks at the saves that may be in, the newest first: the first that is in what stands gives the basis, and those after it
   * are missing. Those before it are not asked about. What they had changed is in the one that is in, and the ring may have
   * forgotten them.
   */
  const earlierSaves = (
    { doubtful = [], tries }: WriteIntent,
    found: LiveCopy,
  ): { readonly basis: Encoded | undefined; readonly missing: readonly Doubt[] } => {
    const missing: Doubt[] = tries.doubt === undefined ? [] : [tries.doubt]
    for (const { doubt, wanted } of [...doubtful].reverse()) {
      if (isIn(found, doubt)) return { basis: wanted, missing }
      missing.push(doubt)
    }
    return { basis: undefined, missing }
  }

  /**
   * Whether an entry is dead, where a write is missing from it that was tried on another lineage. A dead entry may lack
   * what is in the backend. A dead entry is removed.
   */
  const mayBeDead = async (locator: Locator, found: LiveCopy, missing: readonly Doubt[]): Promise<boolean> =>
    found.where === 'cache' &&
    missing.some(({ lineage }) => lineage !== found.envelope.lineage) &&
    !(await flushes.isAlive(locator, found))

  /** The epoch that a write is to carry in place of that of what stands; `undefined` where it carries the same one. */
  const restamped = ({ userEpoch }: WriteIntent, base: LiveEnvelope): Identification | undefined =>
    userEpoch === undefined
      ? undefined
      : { userEpoch: Math.max(userEpoch, base.userEpoch), identifiedAt: base.identifiedAt, isProved: false }

  const stepOf = (
    intent: WriteIntent,
    base: LiveEnvelope,
    resolved: Resolved,
    becomes: Identification | undefined,
  ): Write => ({
    ...(becomes === undefined ? {} : { becomes }),
    client: intent.client,
    isCarried: context.legacy?.isCarried,
    now: runtime.now(),
    writeId: intent.tries.writeId,
    codecId: context.values.codecId,
    data: resolved.data,
    ...idleTimeFor(context, intent.idleTtlMs, base, resolved.value),
    timings: options.timings,
  })

  /**
   * Whether a write can be tried on what the caller read. If that has expired meanwhile, is frozen, or has become a
   * user's without proof, the write takes a fresh look.
   */
  const isWritable = (base: LiveCopy | undefined): boolean =>
    base?.where === 'cache' &&
    !base.envelope.frozen &&
    !isUserUnproved(base.envelope) &&
    !hasExpired(base.envelope, runtime.now())

  /** Ends a write that is in what stands already: only its acknowledgement is missing. */
  const endWithWhatStands = async (intent: WriteIntent, found: LiveCopy): Promise<Ended | 'again'> => {
    const { data } = found.envelope
    if (isLarge(found.envelope)) await ownTurn()
    const value = context.values.decode(found.envelope)
    const userChanged = intent.tries.doubt?.userChanged === true
    const resolved: Resolved = { data, value, userId: context.values.userOf(value), userChanged }
    if (found.where === 'cache') return await flushAndAcknowledge(intent, found, resolved, 'bypass')
    await endInBackend(intent.locator, found.envelope, intent.tries.writeId, intent.call)
    telemetry.count('writes')
    return { stored: found.envelope, now: found, resolved, durability: 'backend' }
  }

  /** Ends a write that the backend has, with a look at the cache. */
  const endInBackend = async (
    locator: Locator,
    row: LiveEnvelope,
    writeId: WriteId | undefined,
    call: Call,
    replaced?: Lineage,
  ): Promise<void> => {
    const look = await flushes.lookAfterwards(locator, row, writeId, call, replaced)
    if (look === 'destroyed') throw butMayBeApplied(destroyedMeanwhile())
  }

  /**
   * Ends a write that the cache accepted: flushes it if that is due, and acknowledges it.
   *
   * @param otherwise the reason to flush it where nothing else makes a flush due. It is given where a server has just
   *   left an answer out: such a server may be about to go, and may take the write with it.
   */
  const flushAndAcknowledge = async (
    intent: WriteIntent,
    accepted: InCache,
    resolved: Resolved,
    otherwise?: FlushReason,
  ): Promise<Ended | 'again'> => {
    const { locator, call, tries, doubtful = [] } = intent
    const { envelope } = accepted
    // An earlier try, or an earlier save that rejected, may have changed the user. Then this write has to be durable as
    // much as one that changes the user itself.
    const userChanged =
      resolved.userChanged || tries.doubt?.userChanged === true || doubtful.some(({ doubt }) => doubt.userChanged)
    const situation: WriteSituation = {
      now: runtime.now(),
      critical: userChanged ? 'identify' : intent.durable ? 'durable' : undefined,
      identified: resolved.userId !== undefined,
    }
    const owes = owesFlush(envelope, options.policy, () => situation.identified)
    const unlessDue = resolved.isRestored === true ? 'claim' : otherwise
    const reason = flushReason(envelope, situation, options.policy) ?? (owes ? unlessDue : undefined)
    if (reason === undefined) return acknowledge(locator, accepted, resolved)
    try {
      call.refuseIfLate()
      const flushed = await flushes.flush(locator, envelope, accepted.token, reason, call)
      if (flushed.outcome === 'again') return 'again'
      if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
      telemetry.count('writes')
      const stored = durableCopyOf(envelope)
      return { stored, now: flushed.now ?? asInBackend(stored), resolved, durability: 'backend' }
    } catch (error) {
      const isRefused = isSessionStoreError(error, 'E_SESSION_DESTROYED')
      if (!isRefused) ledger.owe(locator, envelope.version)
      if (!isUnavailable(error)) throw error
      if (situation.critical !== undefined || options.onBackendDown === 'reject' || call.isLate()) throw error
      telemetry.count('writes')
      return { stored: envelope, now: accepted, resolved, durability: 'cache' }
    }
  }

  const acknowledge = (locator: Locator, accepted: InCache, resolved: Resolved): Ended => {
    const { envelope } = accepted
    telemetry.count('writes')
    const owes = owesFlush(envelope, options.policy, () => resolved.userId !== undefined)
    if (owes) ledger.note(locator, envelope.version)
    return { stored: envelope, now: accepted, resolved, durability: isUnflushed(envelope) ? 'cache' : 'backend' }
  }

  /**
   * Makes the same write in the backend directly, where the cache cannot take it. Resolves to `again` where something
   * else stands in the backend, or the cache can be asked again.
   *
   * @param isUnseen whether the cache cannot be asked what stands there. Then the takeover goes on only as long as that
   *   is so.
   */
  const takeOver = async (
    { locator, call }: WriteIntent,
    base: LiveEnvelope,
    resolved: Resolved,
    step: Write,
    reason: Extract<FlushReason, 'bypass' | 'refused'>,
    mayBeIn: () => void,
    isUnseen = false,
  ): Promise<Ended | 'again'> => {
    const taken = takenOver(base, step, randomName(runtime), options.policy.maxStaleCount)
    const isStillDue = (): boolean => !call.isLate() && (!isUnseen || cache.isAway(locator.key))
    const takeover = { locator, base, taken, userId: resolved.userId, isStillDue }
    const result = await putIntoBackend(context, takeover, reason).catch((error: unknown) => {
      if (!isSessionStoreError(error) || error.applied !== 'no') mayBeIn()
      throw error
    })
    if (result.outcome === 'not sent') {
      if (result.mayBeIn) mayBeIn()
      call.refuseIfLate()
      return 'again'
    }
    if (result.outcome === 'refused') {
      const { row } = result
      if (row.state !== 'live') {
        if (row.state === 'destroyed') context.background.run('tombstone', () => cache.setTombstone(locator.key))
        throw result.mayBeIn ? butMayBeApplied(destroyedMeanwhile()) : destroyedMeanwhile()
      }
      // A try whose answer was lost may have put this write into the row already. Nothing was stored now. So the caller
      // looks anew at what stands in the backend and in the cache, and the write id tells whether the write is in.
      if (result.mayBeIn || row.writeIds.includes(step.writeId)) mayBeIn()
      return 'again'
    }
    mayBeIn()
    if (reason === 'bypass') telemetry.count('bypassed')
    ledger.forget(locator.key, base.version)
    await endInBackend(locator, taken, step.writeId, call, base.lineage)
    telemetry.count('writes')
    const stored = durableCopyOf(taken)
    return { stored, now: asInBackend(stored), resolved, durability: 'backend' }
  }

  /** The same copy, marked as durable now. */
  const durableCopyOf = (envelope: LiveEnvelope): LiveEnvelope =>
    asDurable(envelope, runtime.now(), envelope.backendToken)

  const makeDurable: Writing['makeDurable'] = async (locator, of, held, call) => {
    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      const found = await reads.observe(locator, 'writer', call)
      if (found.state === 'none' || isAnother(found, of)) throw destroyedMeanwhile()
      const { envelope } = found
      const verdict = held === undefined ? 'in' : heldVerdict(envelope, held)
      if (verdict === 'cannot tell') throw unknownOutcome()
      if (verdict === 'not in') return 'lost'
      if (found.where === 'backend') {
        await endInBackend(locator, envelope, envelope.writeIds.at(-1), call)
        return found
      }
      if (!isUnflushed(envelope)) return found
      call.refuseIfLate()
      const flushed = await flushes.flush(locator, envelope, found.token, 'durable', call)
      if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
      if (flushed.outcome === 'durable') return flushed.now ?? asInBackend(durableCopyOf(envelope))
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be flushed in ${options.maxAttempts} attempts`,
      { applied: 'no' },
    )
  }

  return { write, makeDurable }
}

export const inCache = (envelope: LiveEnvelope, token: CasToken): InCache => ({
  state: 'live',
  where: 'cache',
  envelope,
  token,
})

/**
 * A copy that the backend is known to hold, where nothing is known of the cache. The next write looks at the cache for
 * itself.
 */
export const asInBackend = (envelope: LiveEnvelope): LiveCopy => ({
  state: 'live',
  where: 'backend',
  envelope,
  why: 'unreachable',
})

export const unknownOutcome = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNKNOWN_OUTCOME',
    'The answer to a save was lost, and too many others followed to tell whether it is in',
    {
      applied: 'unknown',
    },
  )
