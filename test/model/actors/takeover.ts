import type { BackendState, InsertOutcome, StoredSession } from '../../../src/contract/backend.js'
import { type LiveEnvelope, neverDurable } from '../../../src/session/envelope.js'
import { TIMINGS } from '../data.js'
import type { Rules } from '../rules.js'
import { type Around, type Frame, frame, insert, type Refusable, type Task } from '../task.js'
import type { Flushing } from './flush.js'

/* Rule 9: a copy that goes to the backend round the cache. Follows `src/store/protocol/takeover.ts` step by step. */

/** `mayBeIn`: it may have been in, and what stands there came after it. */
export type Put = 'in' | 'unavailable' | { readonly row: BackendState; readonly mayBeIn: boolean }

export type PutIntoBackend = (base: LiveEnvelope, taken: LiveEnvelope, then: Frame<Put>) => Task

interface Vars {
  readonly [name: string]: unknown
  readonly base: LiveEnvelope
  readonly session: StoredSession
  readonly then: Frame<Put>
}

export const takingOver = (rules: Rules, { updateTwice }: Flushing): PutIntoBackend => {
  const putIntoBackend: PutIntoBackend = (base, taken, then) => {
    const session = rules.storedSession(taken, undefined, TIMINGS)
    const vars = { base, session, then }
    return neverDurable(base)
      ? insert(session, 'life', frame(onInserted, vars))
      : updateTwice(rules.takeoverGuard(base), session, frame(onUpdated, { session, then }))
  }

  const onInserted = (outcome: InsertOutcome | 'unavailable', { base, session, then }: Vars, around: Around): Task => {
    if (outcome === 'unavailable') return then.resume('unavailable', around)
    const verdict = rules.insertVerdict(session, outcome)
    if (verdict === 'applied' || verdict === 'superseded') return then.resume('in', around)
    if (verdict === 'destroyed' || verdict === 'absent')
      return then.resume({ row: { state: verdict }, mayBeIn: false }, around)
    return updateTwice(rules.takeoverGuard(base), session, frame(onUpdated, { session, then }))
  }

  const onUpdated = (
    outcome: Refusable,
    { session, then }: { readonly session: StoredSession; readonly then: Frame<Put> },
    around: Around,
  ): Task => {
    if (outcome === 'unavailable') return then.resume('unavailable', around)
    if (outcome.outcome === 'applied') return then.resume('in', around)
    const { row, mayBeIn = false } = outcome
    if (rules.flushVerdict(session, outcome) === 'superseded') return then.resume('in', around)
    return row.state === 'absent' && rules.steps.takeover === 'upsert'
      ? insert(session, undefined, frame(onUpserted, { then }))
      : then.resume({ row, mayBeIn: mayBeIn && rules.steps.onRefusedTwice === 'in doubt' }, around)
  }

  /** Weak: a takeover that creates what is missing. */
  const onUpserted = (
    outcome: InsertOutcome | 'unavailable',
    { then }: { readonly then: Frame<Put> },
    around: Around,
  ): Task => then.resume(outcome !== 'unavailable' && outcome.outcome === 'inserted' ? 'in' : 'unavailable', around)

  return putIntoBackend
}
