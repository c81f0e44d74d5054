import type { Lineage, WriteId } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
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
import type { LiveEnvelope } from '../../session/envelope.js'
import { hasExpired } from '../../session/expiry.js'
import { asDurable, isUnflushed, takenOver, type Write, written } from '../../session/transitions.js'
import { type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName } from '../context.js'
import type { Flushing } from './flush.js'
import { frozenVersionOf, type GiveBack, giveBack } from './give-back.js'
import type { InCache, LiveCopy, Reading, Standing } from './read.js'
import { putIntoBackend } from './takeover.js'

/** The bytes of a session's data, and the codec that wrote them. */
export interface View {
  readonly codecId: number
  readonly data: Uint8Array
}

/** What shall stand in the session, seen what stands there now. */
export interface Resolved {
  readonly data: Uint8Array
  /** The value that `data` encodes. */
  readonly value: unknown
  readonly userId: string | undefined
  /** It is another user's than what stands there: must be durable before it is acknowledged. */
  readonly userChanged: boolean
  /** It puts back what the cache has lost: that is not left to the cache a second time. */
  readonly isRestored?: boolean
}

/** A write that may be in. Its id tells, in whatever was made from a copy of this version or a later one. */
export interface Doubt {
  readonly writeId: WriteId
  /** The lineage that the write was put on last. */
  readonly lineage: Lineage
  readonly baseVersion: number
  /** It changed the session's user. */
  readonly userChanged: boolean
}

/** A save that rejected although it may be in, and what the request held when it was made. */
export interface DoubtfulSave {
  readonly doubt: Doubt
  readonly wanted: View
}

/**
 * What is known of the tries of one call. They share one write id, also where the call starts over from a fresh copy:
 * so a try that came in late is recognised, and the change is in once at most.
 */
export interface Tries {
  readonly writeId: WriteId
  doubt: Doubt | undefined
}

export const noTries = (runtime: Runtime): Tries => ({ writeId: randomName(runtime), doubt: undefined })

export interface WriteIntent {
  readonly locator: Locator
  readonly call: Call
  /** What the caller believes to stand, from its own read; the write looks for itself where there is none. */
  readonly base: LiveCopy | undefined
  /** The session that the caller holds: another one under the same id is none of his. Without it, whatever stands. */
  readonly of?: Pick<LiveEnvelope, 'createdAt'> | undefined
  /**
   * Called anew whenever something else stands there; throws what the write shall reject with. `basis` is given where
   * an earlier save of the same handle, which had rejected, turns out to be in: what the request held then.
   */
  readonly resolve: (current: LiveEnvelope, basis: View | undefined) => Resolved
  readonly idleTtlMs: number | undefined
  readonly durable: boolean
  readonly tries: Tries
  /** Earlier saves of the same handle that may be in; oldest first. */
  readonly doubtful?: readonly DoubtfulSave[]
}

export interface WriteResult {
  /** The copy that this write made or, where its answer was lost, one that contains it. */
  readonly stored: LiveEnvelope
  /** What is known to stand now, which may be newer. */
  readonly now: LiveCopy
  /** What `stored` holds. */
  readonly resolved: Resolved
  readonly durability: 'cache' | 'backend'
  /** The id of this write. */
  readonly writeId: WriteId
}

type Ended = Omit<WriteResult, 'writeId'>

export interface Writing {
  /** One change of a session, by compare-and-set, flushed where it is due, then acknowledged. */
  write(intent: WriteIntent): Promise<WriteResult>

  /**
   * Makes what stands durable without changing it, if it has all that the caller holds. `'lost'`: it has not, as the
   * cache lost what was not in the backend yet; nothing was made durable.
   *
   * @param of the session that the caller holds
   * @param held the version of it that he holds; `undefined` where that is in the backend already
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
  const { runtime, cache, telemetry, ledger, options } = context

  const write: Writing['write'] = async (intent) => {
    try {
      return { ...(await tryToWrite(intent)), writeId: intent.tries.writeId }
    } catch (error) {
      throw intent.tries.doubt === undefined ? error : butMayBeApplied(error)
    }
  }

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
      const resolved = intent.resolve(found.envelope, basis)
      const step = stepOf(intent, found.envelope, resolved)
      /** To be called before anything is sent that may come in without an answer. */
      const mayBeIn = (): void => {
        tries.doubt = {
          writeId: tries.writeId,
          lineage: found.envelope.lineage,
          // After a loss versions start lower again: the ring must remember from the lowest on.
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
        // Frozen by one that died, of a lineage that died: nobody else would ever take it away.
        if (found.where === 'cache') await flushes.isAlive(locator, found)
        continue
      }

      const next = written(found.envelope, step)
      const put = await cache.cas(locator.key, next, found.token)
      switch (put.outcome) {
        case 'stored': {
          // Whoever reads it may bring it to the backend, also after its lineage has died.
          mayBeIn()
          const ended = await flushAndAcknowledge(intent, inCache(next, put.token), resolved)
          if (ended !== 'again') return ended
          break
        }
        case 'too-large': {
          // Others may have written since: only a copy that nobody can write to any more may be taken over from.
          const { outcome } = await cache.cas(locator.key, { ...found.envelope, frozen: true }, found.token)
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
            // What I hold may be newer than the row: it goes along, under a guard that knows where it came from.
            const ended = await takeOver(intent, found.envelope, resolved, step, 'bypass', mayBeIn, true)
            if (ended !== 'again') return ended
          } else base = stands
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

  /** The caller's session has ended, and another one was made under its id. */
  const isAnother = ({ envelope }: LiveCopy, of: WriteIntent['of']): boolean =>
    of !== undefined && !isSameSession(envelope, of)

  /** @throws SessionStoreError `E_SESSION_UNKNOWN_OUTCOME` where the ring no longer tells. */
  const isIn = ({ envelope }: LiveCopy, { writeId, baseVersion }: Doubt): boolean => {
    const verdict = ringVerdict(envelope, writeId, baseVersion)
    if (verdict === 'cannot tell') throw unknownOutcome()
    return verdict === 'in'
  }

  /** Which of the earlier saves are in what stands: the newest gives the basis; and those that are not. */
  const earlierSaves = (
    { doubtful = [], tries }: WriteIntent,
    found: LiveCopy,
  ): { readonly basis: View | undefined; readonly missing: readonly Doubt[] } => {
    let basis: View | undefined
    const missing: Doubt[] = tries.doubt === undefined ? [] : [tries.doubt]
    for (const { doubt, wanted } of doubtful)
      if (isIn(found, doubt)) basis = wanted
      else missing.push(doubt)
    return { basis, missing }
  }

  /** Another lineage than a missing write was put on may be dead, and not know what is in the backend. */
  const mayBeDead = async (locator: Locator, found: LiveCopy, missing: readonly Doubt[]): Promise<boolean> =>
    found.where === 'cache' &&
    missing.some(({ lineage }) => lineage !== found.envelope.lineage) &&
    !(await flushes.isAlive(locator, found))

  const stepOf = (intent: WriteIntent, base: LiveEnvelope, resolved: Resolved): Write => ({
    now: runtime.now(),
    writeId: intent.tries.writeId,
    codecId: context.values.codecId,
    data: resolved.data,
    idleTtlMs: intent.idleTtlMs ?? base.idleTtlMs,
    timings: options.timings,
  })

  /** What the caller read may have ended since, or be about to be destroyed: then it takes a fresh look. */
  const isWritable = (base: LiveCopy | undefined): boolean =>
    base?.where === 'cache' && !base.envelope.frozen && !hasExpired(base.envelope, runtime.now())

  /** What stands contains this write: only the acknowledgement is missing. */
  const endWithWhatStands = async (intent: WriteIntent, found: LiveCopy): Promise<Ended | 'again'> => {
    const value = context.values.decode(found.envelope)
    const { data } = found.envelope
    const resolved: Resolved = { data, value, userId: context.values.userOf(value), userChanged: false }
    if (found.where === 'cache') return await flushAndAcknowledge(intent, found, resolved, 'bypass')
    await endInBackend(intent.locator, found.envelope, intent.tries.writeId, intent.call)
    telemetry.count('writes')
    return { stored: found.envelope, now: found, resolved, durability: 'backend' }
  }

  /** The backend has the write; a look at the cache ends it. */
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
   * A write that the cache accepted: flushed if it is due, and acknowledged.
   *
   * @param otherwise why it is to be flushed where it is not due: a server that has just left an answer out may be about
   *   to go, and to take the write with it
   */
  const flushAndAcknowledge = async (
    intent: WriteIntent,
    accepted: InCache,
    resolved: Resolved,
    otherwise?: FlushReason,
  ): Promise<Ended | 'again'> => {
    const { locator, call, tries, doubtful = [] } = intent
    const { envelope } = accepted
    // What an earlier try, or an earlier save that rejected, changed of the user is as much a change of this one's.
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
   * The same write straight into the backend, where the cache cannot take it. `again`: something else stands there, or
   * the cache can be asked again.
   *
   * @param isUnseen the cache cannot be asked what stands there: this goes on only as long as that is so
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
      // The row may have this write already, put there by a try whose answer was lost. Nothing was stored now: what
      // stands, in the backend and in the cache, is looked at anew, and tells by the write's id.
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

  /** The same copy, known to be in the backend. */
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

/** What the backend is known to hold, where nothing is known of the cache: the next write looks for itself. */
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
