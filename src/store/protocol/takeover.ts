import type { BackendState } from '../../contract/backend.js'
import type { FlushReason } from '../../contract/events.js'
import type { Locator } from '../../contract/locator.js'
import { flushVerdict, insertVerdict } from '../../session/decisions.js'
import { type LiveEnvelope, neverPersisted } from '../../session/envelope.js'
import { storedSession, takeoverGuard } from '../../session/transitions.js'
import type { Context } from '../context.js'

/** A copy that goes to the backend round the cache. */
export interface Takeover {
  readonly locator: Locator
  /** What it was made from. */
  readonly base: LiveEnvelope
  readonly taken: LiveEnvelope
  readonly userId: string | undefined
}

/** `in`: now, or by an answer that was lost. `mayBeIn`: it may have been in, and what stands there came after it. */
export type Placed =
  | { readonly outcome: 'in' }
  | { readonly outcome: 'refused'; readonly row: BackendState; readonly mayBeIn: boolean }

/**
 * Puts it there if what stands is what it was made from, or older. A session that never was in the backend is
 * inserted.
 */
export const putIntoBackend = async (
  { backend, options }: Context,
  { locator, base, taken, userId }: Takeover,
  reason: FlushReason,
): Promise<Placed> => {
  const session = storedSession(taken, userId, options.timings)
  if (neverPersisted(base)) {
    const notAfter = base.createdAt + options.absoluteTtlMs
    const outcome = await backend.insert(locator, session, reason, { notAfter })
    const verdict = insertVerdict(taken, outcome)
    if (verdict === 'applied' || verdict === 'superseded') return { outcome: 'in' }
    if (verdict === 'destroyed' || verdict === 'absent')
      return { outcome: 'refused', row: { state: verdict }, mayBeIn: false }
  }
  const guard = takeoverGuard(base)
  const outcome = await backend.update({ locator, guard, session, token: base.backendToken }, reason)
  if (outcome.outcome === 'applied' || flushVerdict(taken, outcome) === 'superseded') return { outcome: 'in' }
  return outcome
}
