import type { BackendState } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { Locator } from '../../contract/locator.js'
import { flushVerdict, insertVerdict } from '../../session/decisions.js'
import { type LiveEnvelope, neverDurable } from '../../session/envelope.js'
import { storedSession, takeoverGuard } from '../../session/transitions.js'
import type { Context } from '../context.js'
import type { NotSent } from '../tiers/backend-tier.js'

/** A copy that goes to the backend round the cache. */
export interface Takeover {
  readonly locator: Locator
  /** What it was made from. */
  readonly base: LiveEnvelope
  readonly taken: LiveEnvelope
  readonly userId: string | undefined
  /**
   * Asked just before the copy is sent, which may have waited in line behind others for long: by then the caller may have
   * been told that it is late, or the cache may be back.
   */
  readonly isStillDue: () => boolean
}

/**
 * `in`: now, or by an answer that was lost. `refused`: something else stands there. `not sent`: it was no longer due.
 * `mayBeIn`: it may have been in, by an answer that was lost.
 */
export type TakeoverOutcome =
  | { readonly outcome: 'in' }
  | NotSent
  | { readonly outcome: 'refused'; readonly row: BackendState; readonly mayBeIn: boolean }

/**
 * Puts it there if what stands is what it was made from, or older. A session that never was in the backend is
 * inserted.
 */
export const putIntoBackend = async (
  { backend, options }: Context,
  { locator, base, taken, userId, isStillDue }: Takeover,
  reason: FlushReason,
): Promise<TakeoverOutcome> => {
  const session = storedSession(taken, userId, options.timings)
  if (neverDurable(base)) {
    const notAfter = base.createdAt + options.absoluteTtlMs
    const outcome = await backend.insert(locator, session, reason, { notAfter })
    const verdict = insertVerdict(taken, outcome)
    if (verdict === 'applied' || verdict === 'superseded') return { outcome: 'in' }
    if (verdict === 'destroyed' || verdict === 'absent')
      return { outcome: 'refused', row: { state: verdict }, mayBeIn: false }
  }
  const guard = takeoverGuard(base)
  const entry = { locator, guard, session, token: base.backendToken }
  const outcome = await backend.updateIfDue(entry, reason, isStillDue)
  if (outcome.outcome === 'not sent') return outcome
  if (outcome.outcome === 'applied' || flushVerdict(taken, outcome) === 'superseded') return { outcome: 'in' }
  return outcome
}
