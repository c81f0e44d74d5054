import type { BackendState } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { Locator } from '../../contract/locator.js'
import { butMayBeApplied } from '../../errors.js'
import { flushVerdict, insertVerdict } from '../../session/decisions.js'
import { isUserUnproved, type LiveEnvelope, neverDurable } from '../../session/envelope.js'
import { storedSession, takeoverGuard } from '../../session/transitions.js'
import type { Context } from '../context.js'
import type { NotSent } from '../tiers/backend-tier.js'
import { isProved } from './users.js'

/** A copy that is written to the backend directly, round the cache. */
export interface Takeover {
  readonly locator: Locator
  /** The copy from which `taken` was made. */
  readonly base: LiveEnvelope
  readonly taken: LiveEnvelope
  readonly userId: string | undefined
  /**
   * Asked just before the copy is sent, as the copy may have waited in line behind others for long. By then the caller
   * may have been told that the call is late, or the cache may answer again.
   */
  readonly isStillDue: () => boolean
}

/**
 * How a takeover ended.
 *
 * - `in`: the copy is in the backend, put there now or by an earlier try whose answer was lost.
 * - `refused`: something else stands in the backend.
 * - `not sent`: the takeover was no longer due when its turn came.
 *
 * `mayBeIn` says that an earlier try got no answer and may have put the copy there.
 */
export type TakeoverOutcome =
  | { readonly outcome: 'in' }
  | NotSent
  | { readonly outcome: 'refused'; readonly row: BackendState; readonly mayBeIn: boolean }

/**
 * Puts the copy into the backend, if the copy it was made from stands there, or an older one. A session that was never
 * in the backend is inserted.
 */
export const putIntoBackend = async (
  context: Context,
  takeover: Takeover,
  reason: FlushReason,
): Promise<TakeoverOutcome> => {
  const { locator, taken } = takeover
  const result = await send(context, takeover, reason)
  if (result.outcome !== 'in' || !isUserUnproved(taken)) return result
  const isHis = await isProved(context, locator, taken).catch((error: unknown) => {
    throw butMayBeApplied(error)
  })
  return isHis ? result : { outcome: 'refused', row: { state: 'destroyed' }, mayBeIn: false }
}

const send = async (
  { backend, options }: Context,
  { locator, base, taken, userId, isStillDue }: Takeover,
  reason: FlushReason,
): Promise<TakeoverOutcome> => {
  const session = storedSession(taken, userId, options.timings)
  if (neverDurable(base)) {
    if (!isStillDue()) return { outcome: 'not sent', mayBeIn: false }
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
