import type { BackendCopy, StoredSession } from '../../../src/contract/backend.js'
import type { LiveEnvelope } from '../../../src/session/envelope.js'
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
  type InBackend,
  type InCache,
  lease,
  mark,
  type PutOutcome,
  putNothing,
  putTombstone,
  read,
  remove,
  set,
  type Task,
  type Token,
} from '../task.js'
import { hasEnded } from '../world.js'

/*
 * Rules 1, 2 and 10: what a session is, from the cache, through a lease, or round the cache; and the comparison
 * of an entry from before an outage, or that a regeneration has frozen. Follows `src/store/protocol/read.ts` step by step.
 */

/** `unavailable`: nobody could tell. */
export type Standing =
  | InCache
  | InBackend
  /** `token`: of the entry of a session that has expired. `mark`: of the mark that nothing stands in the backend. */
  | {
      readonly state: 'none'
      readonly because: 'absent' | 'destroyed' | 'expired'
      readonly token?: Token
      readonly mark?: Token
    }
  | { readonly state: 'unavailable' }

export interface Reading {
  observe(as: 'reader' | 'writer', then: Frame<Standing>): Task
}

interface Looking {
  readonly [name: string]: unknown
  readonly as: 'reader' | 'writer'
  readonly then: Frame<Standing>
}

const EXPIRED = { state: 'none', because: 'expired' } as const
const NONE = { state: 'none', because: 'absent' } as const
const DESTROYED = { state: 'none', because: 'destroyed' } as const
const UNAVAILABLE = { state: 'unavailable' } as const

/** Trusted from before the backend is read on: what is changed there after that is not in the copy. */
const stampOf = ({ now, trustFrom }: Around): number => Math.max(now, trustFrom)

/** What a read of the backend gave, without the data. */
const rowOf = (copy: BackendCopy): Parameters<Rules['quarantineVerdict']>[1] =>
  copy.state === 'live'
    ? { state: 'live', lineage: copy.session.lineage, version: copy.session.version }
    : { state: copy.state }

export const reading = (rules: Rules, _settings: Settings): Reading => {
  const { fill, onFrozen, onNobody } = rules.steps
  const nobody = onNobody === 'unavailable' ? UNAVAILABLE : NONE

  const observe: Reading['observe'] = (as, then) => get(frame(onLook, { as, then }))

  const onLook = (seen: EntryState | 'unreachable', { as, then }: Looking, around: Around): Task => {
    if (seen === 'unreachable') return fromBackend('unreachable', then)
    switch (seen.state) {
      case 'live': {
        const { envelope, token } = seen
        const isFromBefore = envelope.trustedAt < around.trustFrom
        return isFromBefore || (envelope.frozen && onFrozen === 'compare')
          ? read(frame(onCompared, { as, then, envelope, token, stamp: stampOf(around) }))
          : then.resume(unlessExpired(envelope, token, around), around)
      }
      case 'tombstone':
        return then.resume(DESTROYED, around)
      case 'large':
        return read(frame(onReadLarge, { then, token: seen.token }))
      case 'nothing': {
        const { token, trustedAt } = seen
        // A writer holds a session, and is told that it is gone only by the backend.
        return as === 'reader' && (trustedAt >= around.trustFrom || rules.steps.onOldMark === 'believe')
          ? then.resume({ ...NONE, mark: token }, around)
          : lease(frame(onLease, { as, then }), token)
      }
      case 'missing':
        return fill === 'read, add' ? read(frame(onReadBare, { as, then })) : lease(frame(onLease, { as, then }))
      case 'lease':
        // It waits and looks again; a writer whose patience ends must not go round the holder, a reader may.
        return either(
          observe(as, then),
          as === 'reader' ? fromBackend('patience', then) : then.resume(UNAVAILABLE, around),
        )
    }
  }

  const unlessExpired = (envelope: LiveEnvelope, token: Token, around: Around): Standing =>
    hasEnded(envelope, around) ? { ...EXPIRED, token } : { state: 'live', where: 'cache', envelope, token }

  const onLease = (leased: PutOutcome, { as, then }: Looking, around: Around): Task =>
    leased.outcome === 'stored'
      ? read(frame(onReadUnderLease, { as, then, token: leased.token, stamp: stampOf(around) }))
      : observe(as, then)

  const onReadUnderLease = (
    copy: BackendCopy | 'unavailable',
    { as, then, token, stamp }: Looking & { readonly token: Token; readonly stamp: number },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return remove(token, frame(onOver, { then, found: nobody }))
    if (copy.state === 'destroyed') return putTombstone(token, frame(onOver, { then, found: DESTROYED }))
    if (copy.state === 'absent') return putNothing(token, stamp, frame(onNothingPut, { then, token }))
    if (hasEnded(copy.session, around)) return remove(token, frame(onOver, { then, found: EXPIRED }))
    const filled = rules.filled(copy.session, copy.token, around.lineage(), around.now)
    const envelope = rules.trusted(filled, stamp)
    const next = frame(onFilled, { as, then, envelope, session: copy.session, token })
    return fill === 'lease, read, set' ? set(envelope, next) : cas(envelope, token, next)
  }

  const onNothingPut = (
    put: PutOutcome,
    { then, token }: { readonly then: Frame<Standing>; readonly token: Token },
    around: Around,
  ): Task =>
    put.outcome === 'stored'
      ? then.resume({ ...NONE, mark: put.token }, around)
      : remove(token, frame(onOver, { then, found: NONE }))

  const onFilled = (
    put: PutOutcome,
    {
      as,
      then,
      envelope,
      session,
      token,
    }: Looking & {
      readonly envelope: LiveEnvelope
      readonly session: StoredSession
      readonly token?: Token
    },
    around: Around,
  ): Task => {
    if (put.outcome === 'stored')
      return then.resume({ state: 'live', where: 'cache', envelope, token: put.token }, around)
    if (put.outcome === 'too-large')
      return mark(token, frame(onMarked, { then, found: inBackend(session, 'too-large', around) }))
    return observe(as, then)
  }

  /** Where the lease is gone, the mark may stand where nothing does: whoever meets it asks the backend. */
  const onMarked = (
    put: PutOutcome,
    vars: { readonly then: Frame<Standing>; readonly found: Standing },
    around: Around,
  ): Task => (put.outcome === 'missing' ? mark(undefined, frame(onOver, vars)) : onOver(put, vars, around))

  /** Of a session that has become smaller the mark goes; the model does not know sizes, and tries both. */
  const onReadLarge = (
    copy: BackendCopy | 'unavailable',
    { then, token }: { readonly then: Frame<Standing>; readonly token: Token },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return then.resume(UNAVAILABLE, around)
    if (copy.state !== 'live') {
      const found = copy.state === 'destroyed' ? DESTROYED : NONE
      return remove(token, frame(onOver, { then, found }))
    }
    if (hasEnded(copy.session, around)) return remove(token, frame(onOver, { then, found: EXPIRED }))
    const found = inBackend(copy.session, 'too-large', around)
    return either(then.resume(found, around), remove(token, frame(onOver, { then, found })))
  }

  const onReadBare = (copy: BackendCopy | 'unavailable', { as, then }: Looking, around: Around): Task => {
    if (copy === 'unavailable') return then.resume(UNAVAILABLE, around)
    if (copy.state !== 'live') return then.resume(copy.state === 'destroyed' ? DESTROYED : NONE, around)
    const envelope = rules.filled(copy.session, copy.token, around.lineage(), around.now)
    return add(envelope, frame(onFilled, { as, then, envelope, session: copy.session }))
  }

  const onCompared = (
    copy: BackendCopy | 'unavailable',
    {
      as,
      then,
      envelope,
      token,
      stamp,
    }: Looking & { readonly envelope: LiveEnvelope; readonly token: Token; readonly stamp: number },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return then.resume(UNAVAILABLE, around)
    const verdict = rules.quarantineVerdict(envelope, rowOf(copy))
    if (verdict === 'tombstone') return putTombstone(token, frame(onOver, { then, found: DESTROYED }))
    if (verdict === 'remove') {
      const next = frame(onRemoved, { as, then })
      return rules.steps.quarantineRemoves === 'by token' ? remove(token, next) : deleteBlindly(next)
    }
    if (hasEnded(envelope, around)) return then.resume({ ...EXPIRED, token }, around)
    const believed = rules.trusted(envelope, stamp)
    return cas(believed, token, frame(onBelieved, { as, then, envelope: believed }))
  }

  const onRemoved = (_removed: unknown, { as, then }: Looking): Task => observe(as, then)

  const onBelieved = (
    put: PutOutcome,
    { as, then, envelope }: Looking & { readonly envelope: LiveEnvelope },
    around: Around,
  ): Task =>
    put.outcome === 'stored'
      ? then.resume({ state: 'live', where: 'cache', envelope, token: put.token }, around)
      : observe(as, then)

  /** What was found does not depend on whether the cache could be told. */
  const onOver = (
    _told: unknown,
    { then, found }: { readonly then: Frame<Standing>; readonly found: Standing },
    around: Around,
  ): Task => then.resume(found, around)

  const fromBackend = (why: InBackend['why'], then: Frame<Standing>): Task => read(frame(onReadRound, { why, then }))

  const onReadRound = (
    copy: BackendCopy | 'unavailable',
    { why, then }: { readonly why: InBackend['why']; readonly then: Frame<Standing> },
    around: Around,
  ): Task => {
    if (copy === 'unavailable') return then.resume(UNAVAILABLE, around)
    if (copy.state !== 'live') return then.resume(copy.state === 'destroyed' ? DESTROYED : NONE, around)
    return then.resume(hasEnded(copy.session, around) ? EXPIRED : inBackend(copy.session, why, around), around)
  }

  const inBackend = (session: StoredSession, why: InBackend['why'], around: Around): InBackend => ({
    state: 'live',
    where: 'backend',
    envelope: rules.filled(session, new Uint8Array(0), session.lineage, around.now),
    why,
  })

  return { observe }
}
