import type { Lineage } from '../contract/backend.js'
import type { FlushReason } from '../contract/events.js'
import type { CasToken } from '../contract/front-cache.js'
import type { Locator } from '../contract/locator.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError } from '../errors.js'
import { flushReason, owesFlush, ringVerdict, type WriteSituation } from '../session/decisions.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { hasExpired } from '../session/expiry.js'
import { persisted, takenOver, type Write, written } from '../session/transitions.js'
import { type Context, destroyedMeanwhile, isUnavailable, randomName } from './context.js'
import type { Flushing } from './flush.js'
import type { Found, InCache, Live, Reading } from './read.js'
import { putIntoBackend } from './takeover.js'
import { jittered, sleep } from './waiting.js'

/** What shall stand in the session, seen what stands there now. */
export interface Resolved {
  readonly data: Uint8Array
  /** The value that `data` encodes. */
  readonly value: unknown
  readonly userId: string | undefined
  /** It is another user's than what stands there: must be durable before it is acknowledged. */
  readonly userChanged: boolean
}

export interface WriteIntent {
  readonly locator: Locator
  /** What the caller believes to stand, from its own read; the write looks for itself where there is none. */
  readonly base: Live | undefined
  /** Called anew whenever something else stands there; throws what the write shall reject with. */
  readonly resolve: (current: LiveEnvelope) => Resolved
  readonly idleTtlMs: number | undefined
  readonly durable: boolean
  /** Told when the cache took the write, whatever becomes of it then: also of a write that rejects is this known. */
  readonly onAccepted?: (accepted: Accepted) => void
}

export interface Accepted {
  readonly now: Live
  readonly resolved: Resolved
}

export interface WriteResult extends Accepted {
  readonly durability: 'cache' | 'backend'
}

export interface Writing {
  /** One change of a session, by compare-and-set, flushed where it is due, then acknowledged. */
  write(intent: WriteIntent): Promise<WriteResult>

  /** Makes what stands durable without changing it. */
  makeDurable(locator: Locator): Promise<Live>
}

const FIRST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 100

export const writing = (context: Context, reads: Reading, flushes: Flushing): Writing => {
  const { runtime, cache, telemetry, ledger, options } = context

  const write: Writing['write'] = async (intent) => {
    const progress = { mayBeIn: false }
    try {
      return await tryToWrite(intent, progress)
    } catch (error) {
      // A conflict is only seen where the write is known not to be in; anything else says nothing of earlier steps.
      throw progress.mayBeIn && !isSessionStoreError(error, 'E_SESSION_CONFLICT') ? butMayBeApplied(error) : error
    }
  }

  const tryToWrite = async (intent: WriteIntent, progress: { mayBeIn: boolean }): Promise<WriteResult> => {
    const { locator } = intent
    const writeId = randomName(runtime)
    let base: Found | undefined = isWritable(intent.base) ? intent.base : undefined
    /** A write of mine that may be in already, as its answer was lost or its lineage died: the ring decides. */
    let doubt: { readonly lineage: Lineage; readonly baseVersion: number; readonly resolved: Resolved } | undefined

    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      if (attempt > 1)
        await sleep(runtime, jittered(runtime, Math.min(FIRST_PAUSE_MS * 2 ** attempt, LONGEST_PAUSE_MS)))
      const found: Found = base ?? (await reads.observeThawed(locator))
      base = undefined
      if (found.state === 'none') throw destroyedMeanwhile()

      if (doubt !== undefined) {
        const verdict = ringVerdict(found.envelope, writeId, doubt.baseVersion)
        if (verdict === 'cannot tell') throw unknownOutcome()
        if (verdict === 'in') {
          if (found.where === 'backend') return { now: found, resolved: doubt.resolved, durability: 'backend' }
          const settled = await settle(intent, found, doubt.resolved)
          if (settled !== 'again') return settled
          continue
        }
        // Another lineage may be dead, and not know what is in the backend, my write maybe among it.
        const isOther = found.where === 'cache' && found.envelope.lineage !== doubt.lineage
        if (isOther && !(await flushes.isAlive(locator, found))) continue
      }
      const resolved = intent.resolve(found.envelope)
      const step = stepOf(intent, found.envelope, resolved, writeId)
      // After a loss versions start lower again: the ring must remember from the lowest on.
      const doubted = {
        lineage: found.envelope.lineage,
        baseVersion: Math.min(doubt?.baseVersion ?? found.envelope.version, found.envelope.version),
        resolved: doubt?.resolved ?? resolved,
      }

      if (found.where === 'backend' || found.envelope.frozen) {
        const reason = found.where === 'backend' && found.why === 'too-large' ? 'refused' : 'bypass'
        const taken = await takeOver(intent, found.envelope, resolved, step, reason)
        if (taken.outcome === 'written') return taken.result
        if (taken.mayBeIn) doubt = doubted
        progress.mayBeIn ||= taken.mayBeIn
        // Frozen by one that died, of a lineage that died: nobody else would ever take it away.
        if (found.where === 'cache') await flushes.isAlive(locator, found)
        continue
      }

      const next = written(found.envelope, step)
      const put = await cache.cas(locator.key, next, found.token)
      if (put.outcome === 'stored') {
        const accepted = inCache(next, put.token)
        progress.mayBeIn = true
        intent.onAccepted?.({ now: accepted, resolved })
        const settled = await settle(intent, accepted, resolved)
        if (settled !== 'again') return settled
        doubt = doubted
      } else if (put.outcome === 'too-large') {
        // Others may have written since: only a copy that nobody can write to any more may be taken over from.
        const halted = await cache.cas(locator.key, { ...found.envelope, frozen: true }, found.token)
        if (halted.outcome === 'conflict' || halted.outcome === 'lost') continue
        const giveBack = async (isSurelyOut: boolean): Promise<void> => {
          if (halted.outcome === 'stored')
            await flushes.giveBack(locator, { envelope: found.envelope, token: halted.token }, isSurelyOut)
        }
        const taken = await takeOver(intent, found.envelope, resolved, step, 'refused').catch(
          async (error: unknown) => {
            if (isUnavailable(error)) await giveBack(isSessionStoreError(error) && error.applied === 'no')
            throw error
          },
        )
        if (taken.outcome === 'written') return taken.result
        await giveBack(false)
        if (taken.mayBeIn) doubt = doubted
        progress.mayBeIn ||= taken.mayBeIn
      } else if (put.outcome === 'lost') {
        doubt = doubted
        progress.mayBeIn ||= put.applied === 'unknown'
        const stands = await reads.observe(locator, 'writer')
        if (stands.state === 'live' && stands.where === 'backend' && stands.why === 'unreachable') {
          // What I hold may be newer than the row: it goes along, under a guard that knows where it came from.
          const taken = await takeOver(intent, found.envelope, resolved, step, 'bypass')
          if (taken.outcome === 'written') return taken.result
          progress.mayBeIn ||= taken.mayBeIn
        } else {
          base = stands
        }
      } else {
        telemetry.count('conflicts')
      }
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be saved in ${options.maxAttempts} attempts`,
      {
        applied: doubt === undefined ? 'no' : 'unknown',
      },
    )
  }

  const stepOf = (intent: WriteIntent, base: LiveEnvelope, resolved: Resolved, writeId: string): Write => ({
    now: runtime.now(),
    writeId,
    codecId: context.values.codecId,
    data: resolved.data,
    idleTtlMs: intent.idleTtlMs ?? base.idleTtlMs,
    timings: options.timings,
  })

  /** What the caller read may have ended since, or be about to be destroyed: then it takes a fresh look. */
  const isWritable = (base: Live | undefined): boolean =>
    base?.where === 'cache' && !base.envelope.frozen && !hasExpired(base.envelope, runtime.now())

  /** A write that the cache accepted: flushed if it is due, and acknowledged. */
  const settle = async (intent: WriteIntent, accepted: InCache, resolved: Resolved): Promise<WriteResult | 'again'> => {
    const situation: WriteSituation = {
      now: runtime.now(),
      critical: resolved.userChanged ? 'identify' : intent.durable ? 'durable' : undefined,
      identified: resolved.userId !== undefined,
    }
    const reason = flushReason(accepted.envelope, situation, options.policy)
    if (reason === undefined) return acknowledge(intent.locator, accepted, resolved)
    try {
      const flushed = await flushes.flush(intent.locator, accepted.envelope, accepted.token, reason)
      if (flushed.outcome === 'again') return 'again'
      if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
      telemetry.count('writes')
      return { now: flushed.now ?? inBackendNow(accepted.envelope), resolved, durability: 'backend' }
    } catch (error) {
      if (!isUnavailable(error)) throw error
      ledger.owe(intent.locator, accepted.envelope.version)
      if (situation.critical !== undefined || options.onBackendDown === 'reject') throw error
      telemetry.count('writes')
      return { now: accepted, resolved, durability: 'cache' }
    }
  }

  const acknowledge = (locator: Locator, accepted: InCache, resolved: Resolved): WriteResult => {
    const { envelope } = accepted
    telemetry.count('writes')
    const owes = owesFlush(envelope, options.policy, () => resolved.userId !== undefined)
    if (owes) ledger.note(locator, envelope.version)
    const durable = envelope.durableVersion >= envelope.version
    return { now: accepted, resolved, durability: durable ? 'backend' : 'cache' }
  }

  /** The same write straight into the backend, where the cache cannot take it. */
  const takeOver = async (
    intent: WriteIntent,
    base: LiveEnvelope,
    resolved: Resolved,
    step: Write,
    reason: Extract<FlushReason, 'bypass' | 'refused'>,
  ): Promise<
    | { readonly outcome: 'written'; readonly result: WriteResult }
    | { readonly outcome: 'again'; readonly mayBeIn: boolean }
  > => {
    const { locator } = intent
    const taken = takenOver(base, step, randomName(runtime), options.policy.maxStaleCount)
    const placed = await putIntoBackend(context, { locator, base, taken, userId: resolved.userId }, reason)
    if (placed.outcome === 'refused') {
      const { row, mayBeIn } = placed
      if (row.state !== 'live') {
        if (row.state === 'destroyed') context.background.run('bury', () => cache.setTombstone(locator.key))
        throw mayBeIn ? butMayBeApplied(destroyedMeanwhile()) : destroyedMeanwhile()
      }
      if (!row.writeIds.includes(step.writeId)) return { outcome: 'again', mayBeIn }
    }
    if (reason === 'bypass') telemetry.count('bypassed')
    const look = await flushes.settleAfterTakeover(locator, taken, step.writeId)
    if (look === 'destroyed') throw butMayBeApplied(destroyedMeanwhile())
    telemetry.count('writes')
    ledger.forget(locator.key, taken.version)
    return { outcome: 'written', result: { now: inBackendNow(taken), resolved, durability: 'backend' } }
  }

  const inBackendNow = (envelope: LiveEnvelope): Live =>
    asInBackend(persisted(envelope, runtime.now(), envelope.backendToken))

  const makeDurable: Writing['makeDurable'] = async (locator) => {
    for (let attempt = 0; attempt < options.maxAttempts; attempt += 1) {
      const found = await reads.observe(locator, 'writer')
      if (found.state === 'none') throw destroyedMeanwhile()
      if (found.where === 'backend') return found
      if (found.envelope.durableVersion >= found.envelope.version) return found
      const flushed = await flushes.flush(locator, found.envelope, found.token, 'durable')
      if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
      if (flushed.outcome === 'durable') return flushed.now ?? inBackendNow(found.envelope)
    }
    throw new SessionStoreError(
      'E_SESSION_CONFLICT',
      `The session could not be flushed in ${options.maxAttempts} attempts`,
      {
        applied: 'no',
      },
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
export const asInBackend = (envelope: LiveEnvelope): Live => ({
  state: 'live',
  where: 'backend',
  envelope,
  why: 'unreachable',
})

const unknownOutcome = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_UNKNOWN_OUTCOME',
    'The answer to a save was lost, and too many others followed to tell whether it is in',
    {
      applied: 'unknown',
    },
  )
