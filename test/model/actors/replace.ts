import type { BackendCopy, InsertOutcome, StoredSession } from '../../../src/contract/backend.js'
import type { LiveEnvelope } from '../../../src/session/envelope.js'
import { NO_CLIENT, type Write } from '../../../src/session/transitions.js'
import { lineageName, masked, TIMINGS, writeIdOf, writeOf, writesIn } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  add,
  cas,
  destroyNew,
  type EntryState,
  either,
  end,
  frame,
  get,
  type InBackend,
  type InCache,
  insert,
  lease,
  type Op,
  type PutOutcome,
  putNew,
  type RowTold,
  read,
  remove,
  replaceRow,
  setTombstone,
  type Task,
  type Token,
} from '../task.js'
import { hasEnded } from '../world.js'
import type { Flushed, Flushing, LookedAfterwards } from './flush.js'
import type { Reading, Standing } from './read.js'
import { type Put, takingOver } from './takeover.js'

/*
 * Rules 13 and 14: a session that begins, and one that moves to a new id. Follow `src/store/calls/create.ts` and
 * `src/store/calls/regenerate.ts` step by step.
 */

export interface Replacing {
  create(write: number): Task
  put(write: number): Task
  place(envelope: LiveEnvelope, token: Token | undefined): Task
  regenerate(write: number): Task
  /** Destroys what a failed regeneration put under the new id. */
  forget(write: number): Task
  /** What a failed regeneration froze. */
  giveBack(op: GiveBack): Task
}

type GiveBack = Extract<Op, { do: 'give back' }>
type Version = GiveBack['halted']

const NO_TOKEN = new Uint8Array(0)
const REPAIR: Op = { do: 'repair' }
const PUT_TOMBSTONE: Op = { do: 'put tombstone' }
/** How often what stands in the way of a lease is looked at. */
const LOOKS = 1
const NOTHING = { did: 'nothing' } as const
const FAILED = { did: 'regenerate', status: 'failed' } as const
const UNKNOWN = { did: 'regenerate', status: 'unknown' } as const

export const replacing = (rules: Rules, settings: Settings, reads: Reading, flushes: Flushing): Replacing => {
  const { steps } = rules
  const { policy, maxAttempts } = settings
  const putIntoBackend = takingOver(rules, flushes)

  /** `over`: the copy of a session that has expired, whose place it takes. */
  const bornWith = (write: number, lineage: string, era: number, over?: StoredSession): LiveEnvelope => ({
    ...rules.born({
      now: 1,
      lineage: over === undefined || steps.lineageOver === 'its own' ? lineage : over.lineage,
      writeId: writeIdOf(write),
      codecId: 1,
      data: masked(1 << write),
      idleTtlMs: 1e9,
      hasOwnIdleTtl: false,
      absoluteTtlMs: 1e9,
      app: '',
      client: NO_CLIENT,
      timings: TIMINGS,
      over,
    }),
    createdAt: era,
  })

  interface OfCreate {
    readonly [name: string]: unknown
    readonly envelope: LiveEnvelope
    readonly write: number
  }

  interface OfLeased extends OfCreate {
    readonly token: Token | undefined
    /** Nobody in the cache knows better than the backend whether a session has expired. */
    readonly isFree?: boolean
    readonly over?: { readonly lineage: string; readonly version: number }
  }

  const created = (write: number, status: 'unknown' | 'dropped'): Task => end({ did: 'write', write, status })

  const stands = (
    { createdAt }: LiveEnvelope,
    write: number,
    status: 'acked' | 'durable',
    ...owes: readonly Op[]
  ): Task => end({ did: 'write', write, status, of: createdAt }, ...owes)

  const isDeferred = policy.persistOn !== 'create'

  const create: Replacing['create'] = (write) => {
    const vars = { envelope: bornWith(write, lineageName(1), 1), write }
    if (steps.create === 'lease, insert, cas' || isDeferred) return lease(frame(onLease, vars))
    return insertFirst({ ...vars, token: undefined })
  }

  /**
   * Under an id that others may know: what stands in the cache is looked at, and the lease is taken over the entry of a
   * session that has expired; whether something stands in the backend is asked under the lease.
   */
  const put: Replacing['put'] = (write) => lease(frame(onLeaseOfPut, { write, looks: 0 }))

  interface OfPut {
    readonly [name: string]: unknown
    readonly write: number
    readonly looks: number
    /** The lease is taken over the entry of a session that has expired. */
    readonly isOverEnded?: boolean
  }

  const onLeaseOfPut = (leased: PutOutcome, { write, looks, isOverEnded }: OfPut, around: Around): Task => {
    const isInTheWay = leased.outcome === 'conflict' || leased.outcome === 'missing'
    if (isInTheWay && looks < LOOKS && steps.onEndedEntry === 'lease over it')
      return reads.observe('reader', frame(onInTheWay, { write, looks: looks + 1 }))
    const envelope = bornWith(write, around.lineage(), around.era)
    const token = leased.outcome === 'stored' ? leased.token : undefined
    const vars = { envelope, write, token, isFree: !isInTheWay || steps.onEndedEntry === 'leave it' }
    // What is in the way may be a session that stands in the cache alone.
    if (isDeferred && !vars.isFree) return created(write, 'dropped')
    const isPutOff = isDeferred && (isOverEnded !== true || steps.createOver === 'as ever')
    return isPutOff && token !== undefined ? read(frame(onRead, { ...vars, token })) : insertFirst(vars)
  }

  const onInTheWay = (found: Standing, { write, looks }: OfPut): Task => {
    if (found.state === 'live') return created(write, 'dropped')
    if (found.state === 'none' && found.because === 'destroyed') return created(write, 'dropped')
    const { token, mark } = found.state === 'none' ? found : {}
    const over = token ?? (steps.onMark === 'take its place' ? mark : undefined)
    return lease(frame(onLeaseOfPut, { write, looks, isOverEnded: token !== undefined }), over)
  }

  const onRead = (
    copy: BackendCopy | 'unavailable',
    vars: OfLeased & { readonly token: Token },
    around: Around,
  ): Task => {
    const { envelope, write, token } = vars
    if (copy !== 'unavailable' && copy.state === 'absent') return cas(envelope, token, frame(onPlaced, vars))
    if (copy !== 'unavailable' && copy.state === 'live' && hasEnded(copy.session, around)) return insertFirst(vars)
    return remove(token, frame(onOver, { write }))
  }

  const onOver = (_removed: unknown, { write }: { readonly write: number }): Task => created(write, 'dropped')

  const onLease = (leased: PutOutcome, vars: OfCreate): Task => {
    const token = leased.outcome === 'stored' ? leased.token : undefined
    return isDeferred && token !== undefined
      ? cas(vars.envelope, token, frame(onPlaced, { ...vars, token }))
      : insertFirst({ ...vars, token })
  }

  /** A session must stand somewhere: one whose creation was deferred is inserted where the cache cannot take it. */
  const onPlaced = (stored: PutOutcome, { envelope, write, token }: OfLeased & { readonly token: Token }): Task =>
    stored.outcome === 'stored'
      ? stands(envelope, write, 'acked')
      : remove(token, frame(onNotPlaced, { envelope, write, token: undefined, isFree: true }))

  const onNotPlaced = (_removed: unknown, vars: OfLeased): Task => insertFirst(vars)

  const insertFirst = (vars: OfLeased): Task =>
    insert(rules.storedSession(vars.envelope, undefined, TIMINGS), 'call', frame(onInserted, vars), vars.over)

  const onInserted = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task =>
    outcome === 'unavailable'
      ? insert(rules.storedSession(vars.envelope, undefined, TIMINGS), 'call', frame(onInsertedAgain, vars), vars.over)
      : onInsertedAgain(outcome, vars, around)

  const onInsertedAgain = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task => {
    const { write, token } = vars
    if (outcome === 'unavailable') return created(write, 'unknown')
    const verdict = rules.insertVerdict(vars.envelope, outcome)
    if (verdict === 'conflict' && vars.isFree === true && vars.over === undefined) return read(frame(onStanding, vars))
    if (verdict !== 'applied' && verdict !== 'superseded')
      return token === undefined ? created(write, 'dropped') : remove(token, frame(onOver, { write }))
    const envelope = rules.asDurable(vars.envelope, around.now, NO_TOKEN)
    if (token === undefined && vars.isFree !== undefined && steps.onEndedEntry === 'lease over it')
      return flushes.lookAfterwards(
        envelope,
        vars.over?.lineage,
        writeIdOf(write),
        frame(onLookedAfterwards, { ...vars, envelope }),
      )
    if (token !== undefined && vars.isFree !== undefined && steps.creationEnds === 'with a look at the cache')
      return cas(envelope, token, frame(onPlacedInTurn, { ...vars, envelope }))
    if (token === undefined && steps.create === 'lease, insert, cas') return stands(envelope, write, 'durable')
    return stands(envelope, write, 'durable', { do: 'place', envelope, ...(token === undefined ? {} : { token }) })
  }

  /**
   * The entry in the place of the lease proves that nobody has put a mark there. Where the lease is gone, somebody may
   * have: who read the backend before the insert.
   */
  const onPlacedInTurn = (stored: PutOutcome, vars: OfLeased): Task => {
    const { envelope, write } = vars
    if (stored.outcome === 'stored') return stands(envelope, write, 'durable')
    const next = frame(onLookedAfterwards, { envelope, write, token: undefined })
    return flushes.lookAfterwards(envelope, vars.over?.lineage, writeIdOf(write), next)
  }

  /** Without a lease, the entry of a session that has expired may stand in the cache still. */
  const onLookedAfterwards = (looked: LookedAfterwards, { envelope, write }: OfLeased): Task => {
    if (looked === 'destroyed') return created(write, 'dropped')
    if (looked === 'untold') return end({ did: 'write', write, status: 'unknown' }, REPAIR)
    return stands(envelope, write, 'durable', ...(looked === 'consistent' ? [] : [REPAIR]))
  }

  /** A session that has expired makes room. */
  const onStanding = (copy: BackendCopy | 'unavailable', vars: OfLeased, around: Around): Task => {
    const { write, token, envelope } = vars
    if (copy !== 'unavailable' && copy.state === 'live' && hasEnded(copy.session, around)) {
      const { lineage, version } = copy.session
      const reborn = bornWith(write, envelope.lineage, envelope.createdAt, copy.session)
      return insertFirst({ ...vars, envelope: reborn, over: { lineage, version } })
    }
    return token === undefined ? created(write, 'dropped') : remove(token, frame(onOver, { write }))
  }

  /** Beside the answer. */
  const place: Replacing['place'] = (envelope, token) => {
    if (steps.create === 'insert, add') return add(envelope, frame(onPlacedBeside, { token: 0 }))
    return token === undefined
      ? lease(frame(onLeaseBeside, { envelope }))
      : cas(envelope, token, frame(onPlacedBeside, { token }))
  }

  const onLeaseBeside = (leased: PutOutcome, { envelope }: { readonly envelope: LiveEnvelope }): Task =>
    leased.outcome === 'stored'
      ? cas(envelope, leased.token, frame(onPlacedBeside, { token: leased.token }))
      : end(NOTHING)

  const onPlacedBeside = (stored: PutOutcome, { token }: { readonly token: Token }): Task =>
    stored.outcome === 'stored' ? end(NOTHING) : remove(token, frame(onPlaceGone, {}))

  const onPlaceGone = (_removed: unknown): Task => end(NOTHING)

  interface OfMove {
    readonly [name: string]: unknown
    readonly write: number
    readonly attempt: number
    /** Something may stand under the new id. */
    readonly mayBeThere: boolean
    /** What it froze by a command that got no answer, and so may have left behind. */
    readonly left: Version | undefined
  }

  interface OfHalted extends OfMove {
    readonly envelope: LiveEnvelope
  }

  const moveOf = ({ write, attempt, mayBeThere, left }: OfMove): OfMove => ({ write, attempt, mayBeThere, left })

  const regenerate: Replacing['regenerate'] = (write) => look({ write, attempt: 0, mayBeThere: false, left: undefined })

  const look = (vars: OfMove): Task => reads.observe('writer', frame(onFound, vars))

  const again = (vars: OfMove): Task => {
    const attempt = vars.attempt + 1
    return attempt >= maxAttempts ? failed(vars) : look({ ...moveOf(vars), attempt })
  }

  const failed = (
    { write, mayBeThere, left }: OfMove,
    ending: typeof FAILED | typeof UNKNOWN = FAILED,
    ...owes: readonly Op[]
  ): Task => {
    const isLeft = left !== undefined && steps.givesBack !== 'once'
    const all = isLeft ? [...owes, giveBackLater(left, false)] : owes
    return mayBeThere && steps.onFailedMove === 'forget'
      ? end(ending, ...all, { do: 'forget', write })
      : end(ending, ...all)
  }

  const onFound = (found: Standing, vars: OfMove, around: Around): Task => {
    if (found.state !== 'live') return failed(vars)
    // It waits for another regeneration to end, or finds that one dead.
    return found.envelope.frozen ? either(look(vars), halt(found, vars, around)) : halt(found, vars, around)
  }

  /** The old session at a version that no write can follow, in the backend. */
  const halt = (found: InCache | InBackend, vars: OfMove, around: Around): Task => {
    const { envelope } = found
    if (steps.regenerate === 'copy') return storeFresh(withWrite(envelope, vars), { ...vars, thaw: undefined })
    if (found.where === 'backend') return takeOver(envelope, vars, around)
    const halted =
      steps.freezes === 'as it stands'
        ? rules.halted(envelope, writeIdOf(vars.write), around.now)
        : rules.frozen(envelope, stepOf(envelope, vars, around))
    const marked = steps.beforeFirstInsert === 'mark the entry' ? rules.offered(halted, around.now) : halted
    return cas(marked, found.token, frame(onFrozen, { ...vars, base: envelope, token: found.token, envelope: marked }))
  }

  /** Weak: what is frozen has this request's change, which is resolved anew against what stands. */
  const stepOf = (base: LiveEnvelope, { write }: OfMove, { now }: Around): Write => {
    const step = writeOf({ data: masked(writesIn(base) & ~(1 << write)) }, write, now)
    return steps.freezes === 'as it stands' ? { ...step, data: base.data } : step
  }

  /** The new session has this request's change. */
  const withWrite = (old: LiveEnvelope, { write }: OfMove): LiveEnvelope => ({
    ...old,
    data: masked(writesIn(old) | (1 << write)),
  })

  const onFrozen = (
    put: PutOutcome,
    vars: OfHalted & { readonly base: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    const { base, envelope, token } = vars
    const move = moveOf(vars)
    switch (put.outcome) {
      case 'stored':
        return flushes.flush(envelope, put.token, frame(onFlushed, { ...move, envelope, token: put.token }))
      case 'conflict':
      case 'missing':
        return again(move)
      case 'lost':
        return steps.onLostFreeze === 'look'
          ? reads.observe('writer', frame(onFreezeStands, { ...move, base, left: versionOf(envelope) }))
          : takeOver(base, move, around)
      case 'too-large':
        return cas({ ...base, frozen: true }, token, frame(onHaltedAsItIs, { ...move, base }))
    }
  }

  const onHaltedAsItIs = (put: PutOutcome, vars: OfMove & { readonly base: LiveEnvelope }, around: Around): Task =>
    put.outcome === 'conflict' || put.outcome === 'lost' ? again(moveOf(vars)) : takeOver(vars.base, vars, around)

  /** What stands after the answer to the freezing was lost: only where nobody can tell is the cache gone round. */
  const onFreezeStands = (found: Standing, vars: OfMove & { readonly base: LiveEnvelope }, around: Around): Task => {
    const { base, write } = vars
    const move = moveOf(vars)
    if (found.state === 'unavailable') return failed(move)
    if (found.state === 'none') return again(move)
    if (found.where === 'backend') return found.why === 'unreachable' ? takeOver(base, move, around) : again(move)
    const { envelope, token } = found
    const isMine = envelope.frozen && envelope.lineage === base.lineage && envelope.writeIds.includes(writeIdOf(write))
    // It is given back, and frozen anew.
    return isMine ? cas({ ...envelope, frozen: false }, token, frame(onGivenBack, move)) : again(move)
  }

  const onGivenBack = (_put: PutOutcome, vars: OfMove): Task => again(vars)

  const onFlushed = (flushed: Flushed, { envelope, token, ...vars }: OfHalted & { readonly token: Token }): Task => {
    const move = moveOf(vars)
    switch (flushed.outcome) {
      case 'durable':
        return storeFresh(envelope, { ...move, thaw: flushed.now?.token })
      case 'again':
        return again(move)
      case 'destroyed':
        return failed(move)
      case 'unavailable': {
        const thawed = { ...envelope, frozen: false }
        return cas(thawed, token, frame(onGivenBackAfterFlush, { ...move, halted: versionOf(envelope) }))
      }
    }
  }

  const versionOf = ({ lineage, version }: LiveEnvelope): Version => ({ lineage, version })

  const onGivenBackAfterFlush = (put: PutOutcome, { halted, ...vars }: OfMove & { readonly halted: Version }): Task => {
    // With the request's changes in it, it is not known whether they stand.
    const ending = steps.freezes === 'as it stands' ? FAILED : UNKNOWN
    const move = moveOf(vars as OfMove)
    return isGivenBack(put.outcome) ? failed(move, ending) : failed(move, ending, giveBackLater(halted, false))
  }

  /** Who changed the entry meanwhile, by marking it as durable, say, left it frozen. */
  const isGivenBack = (outcome: PutOutcome['outcome'] | 'removed'): boolean =>
    outcome === 'conflict' ? steps.givesBack === 'once' : outcome !== 'lost'

  const giveBackLater = (halted: Version, isRemoved: boolean): Op => ({ do: 'give back', halted, isRemoved })

  const takeOver = (base: LiveEnvelope, vars: OfMove, around: Around): Task => {
    const taken = rules.takenOver(base, stepOf(base, vars, around), around.lineage(), policy.maxStaleCount)
    return putIntoBackend(base, taken, frame(onTaken, { ...moveOf(vars), envelope: taken }))
  }

  const onTaken = (put: Put, vars: OfHalted): Task => {
    if (put === 'unavailable') return failed(vars)
    if (put === 'in') return storeFresh(vars.envelope, { ...moveOf(vars), thaw: undefined })
    return put.row.state === 'live' ? again(vars) : failed(vars)
  }

  interface OfFresh extends OfMove {
    /** By which the frozen entry is given back to its writers, where it stands in the cache. */
    readonly thaw: Token | undefined
    readonly halted: Version
  }

  const storeFresh = (
    envelope: LiveEnvelope,
    { write, attempt, left, thaw }: OfMove & { readonly thaw: Token | undefined },
  ): Task => {
    const fresh: OfFresh = { write, attempt, left, thaw, mayBeThere: true, halted: versionOf(envelope) }
    return putNew(
      fresh.write,
      rules.storedSession(withWrite(envelope, fresh), undefined, TIMINGS),
      frame(onFresh, fresh),
    )
  }

  const onFresh = (stored: 'told' | 'unavailable', vars: OfFresh): Task => {
    if (stored === 'unavailable') return thawed(vars, FAILED)
    const isConditional = steps.regenerate === 'freeze' && steps.regenerateDestroys === 'frozen'
    const only = isConditional ? vars.halted : undefined
    return replaceRow(vars.write, only, frame(onOldDestroyed, { ...vars, only }))
  }

  interface OfDestroy extends OfFresh {
    readonly only: { readonly lineage: string; readonly version: number } | undefined
  }

  /** `BackendTier.destroy` sends again after a lost answer. */
  const onOldDestroyed = (outcome: RowTold, vars: OfDestroy): Task =>
    outcome === 'unavailable'
      ? replaceRow(vars.write, vars.only, frame(onOldDestroyedAgain, vars))
      : onOldDestroyedAgain(outcome, vars)

  const onOldDestroyedAgain = (outcome: RowTold, vars: OfDestroy): Task => {
    switch (outcome) {
      case 'unavailable':
        return thawed(vars, steps.onUnansweredMove === 'unknown' ? UNKNOWN : FAILED)
      case 'absent':
      case 'refused':
        return flushes.removeIfDead(frame(onOldRemoved, moveOf(vars)))
      case 'already-destroyed':
        // Logged out, or regenerated by another: what was frozen must not live on under a new id.
        if (steps.onForeignTombstone === 'reject') return failed(vars)
        return setTombstone(frame(onDone, {}))
      case 'destroyed':
        return setTombstone(frame(onDone, {}))
    }
  }

  const thawed = (vars: OfFresh, ending: typeof FAILED | typeof UNKNOWN): Task => {
    const { thaw, halted } = vars
    // Where another marked the entry, its token is not known here.
    if (thaw === undefined)
      return steps.givesBack === 'once' ? failed(vars, ending) : failed(vars, ending, giveBackLater(halted, true))
    return remove(thaw, frame(onThawed, { ...moveOf(vars), halted, isUnknown: ending === UNKNOWN }))
  }

  const onThawed = (
    removed: 'removed' | 'conflict' | 'lost',
    { halted, isUnknown, ...vars }: OfMove & { readonly halted: Version; readonly isUnknown: boolean },
  ): Task => {
    const ending = isUnknown ? UNKNOWN : FAILED
    const move = moveOf(vars as OfMove)
    return isGivenBack(removed) ? failed(move, ending) : failed(move, ending, giveBackLater(halted, true))
  }

  const giveBack: Replacing['giveBack'] = (op) => get(frame(onFrozenSeen, op))

  const onFrozenSeen = (seen: EntryState | 'unreachable', { halted, isRemoved }: Omit<GiveBack, 'do'>): Task => {
    if (seen === 'unreachable') return end(NOTHING, giveBackLater(halted, isRemoved))
    if (seen.state !== 'live' || !seen.envelope.frozen) return end(NOTHING)
    const { envelope, token } = seen
    if (envelope.lineage !== halted.lineage || envelope.version !== halted.version) return end(NOTHING)
    return isRemoved
      ? remove(token, frame(onRemoved, { halted }))
      : cas({ ...envelope, frozen: false }, token, frame(onThawedLater, { halted }))
  }

  const onRemoved = (removed: 'removed' | 'conflict' | 'lost', { halted }: { readonly halted: Version }): Task =>
    isGivenBack(removed) ? end(NOTHING) : end(NOTHING, giveBackLater(halted, true))

  const onThawedLater = (put: PutOutcome, { halted }: { readonly halted: Version }): Task =>
    isGivenBack(put.outcome) ? end(NOTHING) : end(NOTHING, giveBackLater(halted, false))

  const onOldRemoved = (_done: boolean, vars: OfMove): Task => again(vars)

  const onDone = (told: 'told' | 'lost' | 'unreachable'): Task =>
    end({ did: 'regenerate', status: 'acked' }, ...(told === 'told' ? [] : [PUT_TOMBSTONE]))

  /** Once, in the background; `BackendTier.destroy` sends again after a lost answer. */
  const forget: Replacing['forget'] = (write) => destroyNew(write, frame(onForgotten, { write }))

  const onForgotten = (told: 'told' | 'unavailable', { write }: { readonly write: number }): Task =>
    told === 'told' ? end(NOTHING) : destroyNew(write, frame(onForgottenAgain, {}))

  const onForgottenAgain = (_told: 'told' | 'unavailable'): Task => end(NOTHING)

  return { create, put, place, regenerate, forget, giveBack }
}
