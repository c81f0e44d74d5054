import type { DestroyOutcome } from '../contract/backend.js'
import type { Locator } from '../contract/locator.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError, tierUnavailable } from '../errors.js'
import { insertVerdict, verdictOnRow } from '../session/decisions.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { born, frozen, persisted, storedSession, takenOver, takeoverGuard, type Write } from '../session/transitions.js'
import { type Context, destroyedMeanwhile, randomName } from './context.js'
import type { Flushing } from './flush.js'
import type { Found, InCache, Live, Reading } from './read.js'
import { putIntoBackend } from './takeover.js'
import { asInBackend, type Resolved } from './write.js'

export interface Regeneration {
  readonly from: Locator
  readonly to: Locator
  readonly resolve: (current: LiveEnvelope) => Resolved
  /** By `runtime.monotonicMs()`: after this the caller has been told that it failed, and no step may begin. */
  readonly lateAt: number
}

export interface Regenerated {
  readonly now: Live
  readonly resolved: Resolved
}

/** The old session at a version that no write can follow, in the backend. */
interface Halted {
  readonly envelope: LiveEnvelope
  readonly resolved: Resolved
  /** Gives the session back to its writers, where it is frozen in the cache. */
  readonly thaw: () => Promise<unknown>
}

/**
 * The same data under a new id. The old session is frozen first, so that no write is acknowledged that the new
 * one would not have; then the new one is made durable; then the old one is destroyed, if it is still what was
 * frozen. Where it is not, the new session takes up what came between, and it is tried again.
 */
export const regenerate = async (
  context: Context,
  reads: Reading,
  flushes: Flushing,
  { from, to, resolve, lateAt }: Regeneration,
): Promise<Regenerated> => {
  const { runtime, cache, backend, background, ledger, telemetry, options } = context
  /** This call's own name in the tombstones it leaves, so that it never takes another's for its own. */
  const destruction = randomName(runtime)
  let fresh: LiveEnvelope | undefined
  let mayBeThere = false

  const writeOf = (base: LiveEnvelope, resolved: Resolved): Write => ({
    now: runtime.now(),
    writeId: randomName(runtime),
    codecId: context.values.codecId,
    data: resolved.data,
    idleTtlMs: base.idleTtlMs,
    timings: options.timings,
  })

  /** `undefined`: something came between; look again. */
  const halt = async (found: Extract<Found, { state: 'live' }>, resolved: Resolved): Promise<Halted | undefined> => {
    const step = writeOf(found.envelope, resolved)
    /** What is frozen as it was, as its successor is too large for the cache. */
    let refused: Pick<InCache, 'envelope' | 'token'> | undefined
    if (found.where === 'cache') {
      const envelope = frozen(found.envelope, step)
      const put = await cache.cas(from.key, envelope, found.token)
      if (put.outcome === 'stored') {
        const flushed = await flushes.flush(from, envelope, put.token, 'regenerate').catch(async (error: unknown) => {
          // In the cache it stands: the changes of this request stay, and others may write again.
          await flushes.giveBack(from, { envelope, token: put.token }, true)
          throw butMayBeApplied(error)
        })
        if (flushed.outcome === 'destroyed') throw destroyedMeanwhile()
        if (flushed.outcome === 'again') return undefined
        const token = flushed.now?.token
        return { envelope, resolved, thaw: async () => token !== undefined && (await cache.drop(from.key, token)) }
      }
      if (put.outcome === 'conflict' || put.outcome === 'missing') return undefined
      // Is it frozen by me, or written to by another? Only where nobody can be asked is it taken over unseen.
      if (put.outcome === 'lost' && !(await isUnreachable(found.envelope, step.writeId))) return undefined
      if (put.outcome === 'too-large') {
        const halted = await cache.cas(from.key, { ...found.envelope, frozen: true }, found.token)
        if (halted.outcome === 'conflict' || halted.outcome === 'lost') return undefined
        if (halted.outcome === 'stored') refused = { envelope: found.envelope, token: halted.token }
      }
    }
    const giveBack = async (isSurelyOut: boolean): Promise<void> => {
      if (refused !== undefined) await flushes.giveBack(from, refused, isSurelyOut)
    }
    const taken = takenOver(found.envelope, step, randomName(runtime), options.policy.maxStaleCount)
    const placed = await putIntoBackend(
      context,
      { locator: from, base: found.envelope, taken, userId: resolved.userId },
      'regenerate',
    ).catch(async (error: unknown) => {
      await giveBack(isSessionStoreError(error) && error.applied === 'no')
      throw error
    })
    if (placed.outcome === 'in') return { envelope: taken, resolved, thaw: () => giveBack(false) }
    if (placed.row.state !== 'live') throw destroyedMeanwhile()
    await giveBack(false)
    return undefined
  }

  /** Gives the session back where the freezing that got no answer is in after all; then it is tried anew. */
  const isUnreachable = async (base: LiveEnvelope, writeId: string): Promise<boolean> => {
    const stands = await reads.observe(from, 'writer')
    if (stands.state !== 'live') return false
    if (stands.where === 'backend') return stands.why === 'unreachable'
    const { envelope, token } = stands
    const isMine = envelope.frozen && envelope.lineage === base.lineage && envelope.writeIds.includes(writeId)
    if (isMine) await cache.cas(from.key, { ...envelope, frozen: false }, token)
    return false
  }

  const storeFresh = async ({ envelope: old, resolved }: Halted): Promise<LiveEnvelope> => {
    if (fresh === undefined) {
      const first = born({
        now: runtime.now(),
        lineage: randomName(runtime),
        writeId: randomName(runtime),
        codecId: context.values.codecId,
        data: resolved.data,
        idleTtlMs: old.idleTtlMs,
        absoluteTtlMs: options.absoluteTtlMs,
        userEpoch: old.userEpoch,
        timings: options.timings,
      })
      mayBeThere = true
      const outcome = await backend.insert(to, storedSession(first, resolved.userId, options.timings), 'regenerate')
      const verdict = insertVerdict(first, outcome)
      if (verdict !== 'applied' && verdict !== 'superseded')
        throw new SessionStoreError('E_SESSION_CONFLICT', 'The new session id is taken already', { applied: 'no' })
      return persisted(first, runtime.now(), outcome.outcome === 'inserted' ? outcome.token : first.backendToken)
    }
    const next = takenOver(fresh, writeOf(fresh, resolved), randomName(runtime), 0)
    const session = storedSession(next, resolved.userId, options.timings)
    const outcome = await backend.update(
      { locator: to, guard: takeoverGuard(fresh), session, token: fresh.backendToken },
      'regenerate',
    )
    if (outcome.outcome === 'applied') return persisted(next, runtime.now(), outcome.token)
    const { row } = outcome
    if (row.state !== 'live' || verdictOnRow(next, row) !== 'superseded') throw destroyedMeanwhile()
    return persisted(next, runtime.now(), row.token)
  }

  /** The new session is in the backend; then, if the old one is still what was halted, it is destroyed. */
  const replace = async (halted: Halted): Promise<DestroyOutcome> => {
    refuseIfLate()
    fresh = await storeFresh(halted)
    refuseIfLate()
    const at = runtime.now()
    const { lineage, version } = halted.envelope
    const keepUntil = at + options.tombstoneTtlMs
    return await backend.destroy(from, { writeId: destruction, at, keepUntil, only: { lineage, version } })
  }

  const refuseIfLate = (): void => {
    if (runtime.monotonicMs() >= lateAt)
      throw tierUnavailable(backend.name, 'regenerate', { because: 'its deadline has passed', applied: 'no' })
  }

  /** Nobody will be told the new id any more. */
  const forgetFresh = (): void => {
    const at = runtime.now()
    const tombstone = { writeId: destruction, at, keepUntil: at + options.tombstoneTtlMs }
    if (mayBeThere) background.run('destroy', () => backend.destroy(to, tombstone))
  }

  /** `undefined`: something came between. */
  const attempt = async (): Promise<Regenerated | undefined> => {
    refuseIfLate()
    const found = await reads.observeThawed(from)
    if (found.state === 'none') throw destroyedMeanwhile()
    const halted = await halt(found, resolve(found.envelope))
    if (halted === undefined) return undefined
    let outcome: DestroyOutcome
    try {
      outcome = await replace(halted)
    } catch (error) {
      await halted.thaw()
      throw error
    }
    // Logged out, or regenerated by another: what was frozen must not live on under a new id.
    if (outcome === 'already-destroyed') throw destroyedMeanwhile()
    if (outcome === 'refused') {
      await flushes.dropIfDead(from)
      return undefined
    }
    return fresh === undefined ? undefined : { now: asInBackend(fresh), resolved: halted.resolved }
  }

  const buryOld = async (): Promise<void> => {
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

  try {
    for (let tried = 0; tried < options.maxAttempts; tried += 1) {
      const regenerated = await attempt()
      if (regenerated === undefined) continue
      await buryOld()
      return regenerated
    }
  } catch (error) {
    forgetFresh()
    throw error
  }
  forgetFresh()
  throw new SessionStoreError(
    'E_SESSION_CONFLICT',
    `The session could not be regenerated in ${options.maxAttempts} attempts`,
    { applied: 'unknown' },
  )
}
