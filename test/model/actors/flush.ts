import type { BackendCopy, BackendState, Guard, InsertOutcome, StoredSession } from '../../../src/contract/backend.js'
import type { FlushVerdict } from '../../../src/session/decisions.js'
import { isAlone, type LiveEnvelope, neverDurable } from '../../../src/session/envelope.js'
import { TIMINGS } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  add,
  cas,
  deleteBlindly,
  type EntryState,
  either,
  type Frame,
  frame,
  get,
  type InCache,
  insert,
  type PutOutcome,
  putTombstone,
  type Refusable,
  read,
  remove,
  setTombstone,
  type Task,
  type Token,
  update,
} from '../task.js'

/*
 * Rules 5, 6, 7, 8 and the look of rule 9: an envelope to the backend, the look at the cache after it, and what
 * becomes of a lineage that the backend refused. Follows `src/store/protocol/flush.ts` step by step.
 */

const NO_TOKEN = new Uint8Array(0)

/** `unavailable`: the backend could not be asked, or did not answer. */
export type Flushed =
  | { readonly outcome: 'durable'; readonly now: InCache | undefined; readonly owes?: 'repair' }
  | { readonly outcome: 'again' }
  | { readonly outcome: 'destroyed' }
  | { readonly outcome: 'unavailable' }

/** `unseen`: the cache could not be asked. `untold`: it holds another lineage, and the backend could not be asked. */
export type LookedAfterwards = 'consistent' | 'destroyed' | 'unseen' | 'untold'

export interface Flushing {
  flush(envelope: LiveEnvelope, token: Token, then: Frame<Flushed>): Task
  /** `dead`: the lineage that a takeover which was applied put an end to. */
  lookAfterwards(taken: LiveEnvelope, dead: string | undefined, writeId: string, then: Frame<LookedAfterwards>): Task
  /** Whether an entry descends from what stands in the backend; removed by its very token if not. */
  isAlive(seen: InCache, then: Frame<boolean | 'unavailable'>): Task
  /** The answer says whether it was possible to tell. */
  removeIfDead(then: Frame<boolean>): Task
  /** As `BackendTier.update` does: sent once more after a lost answer. */
  updateTwice(guard: Guard, session: StoredSession, then: Frame<Refusable>): Task
}

interface OfFlush {
  readonly [name: string]: unknown
  readonly envelope: LiveEnvelope
  readonly token: Token
  readonly then: Frame<Flushed>
}

/** Only whether there is one tells something. */
const ANY_MOMENT = 1

const AGAIN = { outcome: 'again' } as const
const DESTROYED = { outcome: 'destroyed' } as const
const UNAVAILABLE = { outcome: 'unavailable' } as const
const DURABLE = { outcome: 'durable', now: undefined } as const

export const flushing = (rules: Rules, _settings: Settings): Flushing => {
  const { steps } = rules
  const stored = (envelope: LiveEnvelope): StoredSession => rules.storedSession(envelope, undefined, TIMINGS)

  const updateTwice: Flushing['updateTwice'] = (guard, session, then) =>
    update(guard, session, frame(onFirstUpdate, { guard, session, then }))

  const onFirstUpdate = (
    outcome: Refusable,
    {
      guard,
      session,
      then,
    }: { readonly guard: Guard; readonly session: StoredSession; readonly then: Frame<Refusable> },
    around: Around,
  ): Task => {
    if (outcome !== 'unavailable') return then.resume(outcome, around)
    if (steps.onLostUpdate === 'acknowledge') return then.resume({ outcome: 'applied', token: NO_TOKEN }, around)
    return update(guard, session, frame(onSecondUpdate, { then }))
  }

  /** Refused now, it may have been applied before. */
  const onSecondUpdate = (outcome: Refusable, { then }: { readonly then: Frame<Refusable> }, around: Around): Task =>
    then.resume(
      outcome !== 'unavailable' && outcome.outcome === 'refused' ? { ...outcome, mayBeIn: true } : outcome,
      around,
    )

  const flush: Flushing['flush'] = (envelope, token, then) => {
    const vars = { envelope, token, then }
    if (!isAlone(envelope) || steps.beforeFirstInsert === 'nothing') return bring(vars)
    const marked = rules.offered(envelope, ANY_MOMENT)
    return cas(marked, token, frame(onOffered, { ...vars, envelope: marked }))
  }

  const onOffered = (put: PutOutcome, vars: OfFlush, around: Around): Task => {
    if (put.outcome === 'stored') return bring({ ...vars, token: put.token })
    // Nobody sees the entry while the cache is away, so it goes there without the mark.
    if (put.outcome === 'lost' && put.applied === 'no') return bring(vars)
    return vars.then.resume(AGAIN, around)
  }

  const bring = (vars: OfFlush): Task => {
    const { envelope } = vars
    return neverDurable(envelope)
      ? insert(stored(envelope), 'life', frame(onInserted, vars))
      : updateTwice(rules.flushGuard(envelope), stored(envelope), frame(onUpdated, vars))
  }

  const onInserted = (outcome: InsertOutcome | 'unavailable', vars: OfFlush, around: Around): Task => {
    const { envelope, then } = vars
    if (outcome === 'unavailable') return then.resume(UNAVAILABLE, around)
    const verdict = rules.insertVerdict(envelope, outcome)
    return verdict === 'older of mine'
      ? updateTwice(rules.flushGuard(envelope), stored(envelope), frame(onUpdated, vars))
      : onVerdict(verdict, vars, around)
  }

  const onUpdated = (outcome: Refusable, vars: OfFlush, around: Around): Task => {
    if (outcome === 'unavailable') return vars.then.resume(UNAVAILABLE, around)
    if (steps.flush === 'upsert' && outcome.outcome === 'refused' && outcome.row.state === 'absent')
      return insert(stored(vars.envelope), undefined, frame(onUpserted, vars))
    return onVerdict(rules.flushVerdict(vars.envelope, outcome), vars, around)
  }

  /** Weak: a flush that creates what is missing. */
  const onUpserted = (outcome: InsertOutcome | 'unavailable', vars: OfFlush, around: Around): Task =>
    outcome !== 'unavailable' && outcome.outcome === 'inserted'
      ? onVerdict('applied', vars, around)
      : vars.then.resume(AGAIN, around)

  const onVerdict = (verdict: FlushVerdict, vars: OfFlush, around: Around): Task => {
    const { envelope, token, then } = vars
    switch (verdict) {
      case 'applied':
      case 'superseded': {
        if (steps.afterFlush === 'acknowledge') return then.resume(DURABLE, around)
        if (verdict === 'superseded' && steps.onSuperseded === 'acknowledge') return then.resume(DURABLE, around)
        const mark = rules.confirmed(envelope, envelope, around.now, NO_TOKEN)
        return cas(mark, token, frame(onMarked, { ...vars, mark }))
      }
      case 'conflict':
        if (steps.onConflict === 'acknowledge') return then.resume(DURABLE, around)
        if (steps.onConflict === 'leave') return then.resume(AGAIN, around)
        if (steps.onConflict === 'delete') return deleteBlindly(frame(onGone, { then, flushed: AGAIN }))
        return get(frame(onDead, { lineage: envelope.lineage, then }))
      case 'destroyed':
        return setTombstone(frame(onGone, { then, flushed: DESTROYED }))
      case 'absent':
        return remove(token, frame(onGone, { then, flushed: DESTROYED }))
    }
  }

  /** Whatever became of the entry: the next look tells. */
  const onGone = (
    _outcome: unknown,
    { then, flushed }: { readonly then: Frame<Flushed>; readonly flushed: Flushed },
    around: Around,
  ): Task => then.resume(flushed, around)

  const onDead = (
    seen: EntryState | 'unreachable',
    { lineage, then }: { readonly lineage: string; readonly then: Frame<Flushed> },
    around: Around,
  ): Task =>
    seen !== 'unreachable' && seen.state === 'live' && seen.envelope.lineage === lineage
      ? remove(seen.token, frame(onGone, { then, flushed: AGAIN }))
      : then.resume(AGAIN, around)

  const onMarked = (
    marked: PutOutcome,
    { envelope, mark, then }: OfFlush & { readonly mark: LiveEnvelope },
    around: Around,
  ): Task => {
    if (marked.outcome !== 'stored') return get(frame(onLook, { flushed: envelope, then }))
    const now: InCache = { state: 'live', where: 'cache', envelope: mark, token: marked.token }
    return then.resume({ outcome: 'durable', now }, around)
  }

  interface OfLook {
    readonly [name: string]: unknown
    readonly flushed: LiveEnvelope
    readonly then: Frame<Flushed>
  }

  const onLook = (seen: EntryState | 'unreachable', vars: OfLook, around: Around): Task => {
    const { flushed, then } = vars
    if (seen === 'unreachable') return then.resume({ outcome: 'durable', now: undefined, owes: 'repair' }, around)
    switch (seen.state) {
      case 'missing':
      case 'large':
        return steps.onEmptyConfirm === 'add'
          ? add(rules.confirmed(flushed, flushed, around.now, NO_TOKEN), frame(onGone, { then, flushed: DURABLE }))
          : then.resume(DURABLE, around)
      case 'tombstone':
        return then.resume(DESTROYED, around)
      case 'nothing':
        // Put by who read the backend before the session was there.
        return steps.onMark === 'leave it'
          ? then.resume(DURABLE, around)
          : remove(seen.token, frame(onLeaseRemoved, vars))
      case 'lease':
        return either(get(frame(onLook, vars)), remove(seen.token, frame(onLeaseRemoved, vars)))
      case 'live': {
        const verdict = rules.confirmVerdict(seen.envelope, flushed)
        if (verdict === 'again') {
          const next = frame(onGone, { then, flushed: AGAIN })
          return steps.onForeign === 'compare' ? removeIfDead(next) : remove(seen.token, next)
        }
        const now: InCache = { state: 'live', where: 'cache', envelope: seen.envelope, token: seen.token }
        if (verdict === 'acknowledge' || seen.envelope.durableVersion >= flushed.version)
          return then.resume({ outcome: 'durable', now }, around)
        const envelope = rules.confirmed(seen.envelope, flushed, around.now, NO_TOKEN)
        return cas(envelope, seen.token, frame(onMarkedLater, { envelope, then }))
      }
    }
  }

  const onLeaseRemoved = (_outcome: unknown, vars: OfLook): Task => get(frame(onLook, vars))

  const onMarkedLater = (
    put: PutOutcome,
    { envelope, then }: { readonly envelope: LiveEnvelope; readonly then: Frame<Flushed> },
    around: Around,
  ): Task =>
    put.outcome === 'stored'
      ? then.resume({ outcome: 'durable', now: { state: 'live', where: 'cache', envelope, token: put.token } }, around)
      : then.resume(DURABLE, around)

  interface OfTakeover {
    readonly [name: string]: unknown
    readonly taken: LiveEnvelope
    readonly dead: string | undefined
    /** In an array, as the encoding knows write ids. */
    readonly ids: readonly string[]
    readonly then: Frame<LookedAfterwards>
  }

  const lookAfterwards: Flushing['lookAfterwards'] = (taken, dead, writeId, then) =>
    get(frame(onLookAfterTakeover, { taken, dead, ids: [writeId], then }))

  const onLookAfterTakeover = (seen: EntryState | 'unreachable', vars: OfTakeover, around: Around): Task => {
    const { taken, dead, ids, then } = vars
    if (seen === 'unreachable') return then.resume('unseen', around)
    switch (seen.state) {
      case 'missing':
      case 'large':
        return then.resume('consistent', around)
      case 'tombstone':
        return then.resume('destroyed', around)
      case 'nothing':
        return steps.onMark === 'leave it'
          ? then.resume('consistent', around)
          : remove(seen.token, frame(onLeaseRemovedAfterTakeover, vars))
      case 'lease':
        return either(
          get(frame(onLookAfterTakeover, vars)),
          remove(seen.token, frame(onLeaseRemovedAfterTakeover, vars)),
        )
      case 'live': {
        const { envelope, token } = seen
        if (rules.afterwardsVerdict(envelope, taken, ids[0] ?? '') === 'contained')
          return then.resume('consistent', around)
        return steps.afterTakeoverBy === 'the row' && envelope.lineage !== dead
          ? read(frame(onJudgedAfterTakeover, { ...vars, envelope, token }))
          : remove(token, frame(onRemovedAfterTakeover, vars))
      }
    }
  }

  const onLeaseRemovedAfterTakeover = (_outcome: unknown, vars: OfTakeover): Task =>
    get(frame(onLookAfterTakeover, vars))

  /** The row may have moved on since the takeover, and lineages that descend from it live. */
  const onJudgedAfterTakeover = (
    copy: BackendCopy | 'unavailable',
    { envelope, token, ...vars }: OfTakeover & { readonly envelope: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    const { taken, dead, ids, then } = vars as OfTakeover
    if (copy === 'unavailable') return then.resume('untold', around)
    const verdict = rules.quarantineVerdict(envelope, stateOf(copy))
    if (verdict === 'believe') return then.resume('consistent', around)
    if (verdict === 'tombstone') return putTombstone(token, frame(onTombstonePutAfterTakeover, { then }))
    return remove(token, frame(onRemovedAfterTakeover, { taken, dead, ids, then }))
  }

  const onTombstonePutAfterTakeover = (
    _put: PutOutcome,
    { then }: { readonly then: Frame<LookedAfterwards> },
    around: Around,
  ): Task => then.resume('destroyed', around)

  const onRemovedAfterTakeover = (_outcome: 'removed' | 'conflict' | 'lost', vars: OfTakeover, around: Around): Task =>
    // Someone may have changed the dead entry, which kept it: nothing but another look shows that it is gone.
    steps.afterRemoval === 'look' ? get(frame(onLookAfterTakeover, vars)) : vars.then.resume('consistent', around)

  const removeIfDead: Flushing['removeIfDead'] = (then) => get(frame(onSuspect, { then }))

  const onSuspect = (
    seen: EntryState | 'unreachable',
    { then }: { readonly then: Frame<boolean> },
    around: Around,
  ): Task => {
    if (seen === 'unreachable') return then.resume(false, around)
    // Its holder may have read the row too early.
    if (seen.state === 'lease' && steps.repairs !== 'once') return then.resume(false, around)
    if (seen.state === 'nothing') return remove(seen.token, frame(onSuspectRemoved, { then }))
    if (seen.state !== 'live') return then.resume(true, around)
    return read(frame(onSuspectCompared, { then, envelope: seen.envelope, token: seen.token }))
  }

  const onSuspectCompared = (
    copy: BackendCopy | 'unavailable',
    {
      then,
      envelope,
      token,
    }: { readonly then: Frame<boolean>; readonly envelope: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return then.resume(false, around)
    const verdict = rules.quarantineVerdict(envelope, stateOf(copy))
    if (verdict === 'believe') return then.resume(true, around)
    if (verdict === 'tombstone') return putTombstone(token, frame(onTombstonePut, { then }))
    return remove(token, frame(onSuspectRemoved, { then }))
  }

  const onTombstonePut = (put: PutOutcome, { then }: { readonly then: Frame<boolean> }, around: Around): Task =>
    then.resume(
      put.outcome === 'stored' || put.outcome === 'missing' || (put.outcome === 'conflict' && steps.repairs === 'once'),
      around,
    )

  const onSuspectRemoved = (
    outcome: 'removed' | 'conflict' | 'lost',
    { then }: { readonly then: Frame<boolean> },
    around: Around,
  ): Task =>
    // Someone may have changed the dead entry, which kept it.
    then.resume(outcome === 'removed' || (outcome === 'conflict' && steps.repairs === 'once'), around)

  const isAlive: Flushing['isAlive'] = ({ envelope, token }, then) => read(frame(onCompared, { then, envelope, token }))

  const onCompared = (
    copy: BackendCopy | 'unavailable',
    {
      then,
      envelope,
      token,
    }: { readonly then: Frame<boolean | 'unavailable'>; readonly envelope: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return then.resume('unavailable', around)
    const verdict = rules.quarantineVerdict(envelope, stateOf(copy))
    if (verdict === 'believe') return then.resume(true, around)
    return verdict === 'tombstone'
      ? putTombstone(token, frame(onDeadGone, { then }))
      : remove(token, frame(onDeadGone, { then }))
  }

  const onDeadGone = (
    _outcome: unknown,
    { then }: { readonly then: Frame<boolean | 'unavailable'> },
    around: Around,
  ): Task => then.resume(false, around)

  return { flush, lookAfterwards, isAlive, removeIfDead, updateTwice }
}

const stateOf = (copy: BackendCopy): BackendState =>
  copy.state === 'live'
    ? { state: 'live', lineage: copy.session.lineage, version: copy.session.version, writeIds: [], token: NO_TOKEN }
    : { state: copy.state }
