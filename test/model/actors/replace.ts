import type { BackendCopy, InsertOutcome } from '../../../src/contract/backend.js'
import type { LiveEnvelope } from '../../../src/session/envelope.js'
import type { Write } from '../../../src/session/transitions.js'
import { lineageName, masked, TIMINGS, writeIdOf, writeOf, writesIn } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  add,
  cas,
  destroyNew,
  drop,
  either,
  end,
  frame,
  insert,
  lease,
  type Op,
  putNew,
  type RowTold,
  read,
  replaceRow,
  type Stored,
  setTombstone,
  type Task,
  type Token,
} from '../task.js'
import type { Flushed, Flushing } from './flush.js'
import type { Found, InBackend, InCache, Reading } from './read.js'
import { type Put, takingOver } from './takeover.js'

/*
 * Rules 13 and 14: a session that begins, and one that moves to a new id. Follow `src/store/create.ts` and
 * `src/store/regenerate.ts` step by step.
 */

export interface Replacing {
  create(write: number): Task
  put(write: number): Task
  place(envelope: LiveEnvelope, token: Token | undefined): Task
  regenerate(write: number): Task
  /** Destroys what a failed regeneration put under the new id. */
  forget(write: number): Task
}

const NO_TOKEN = new Uint8Array(0)
const BURY: Op = { do: 'bury' }
const NOTHING = { did: 'nothing' } as const
const FAILED = { did: 'regenerate', status: 'failed' } as const

export const replacing = (rules: Rules, settings: Settings, reads: Reading, flushes: Flushing): Replacing => {
  const { steps } = rules
  const { policy, maxAttempts } = settings
  const putIntoBackend = takingOver(rules, flushes)

  const bornWith = (write: number): LiveEnvelope =>
    rules.born({
      now: 1,
      lineage: lineageName(1),
      writeId: writeIdOf(write),
      codecId: 1,
      data: masked(1 << write),
      idleTtlMs: 1e9,
      absoluteTtlMs: 1e9,
      userEpoch: 0,
      timings: TIMINGS,
    })

  interface OfCreate {
    readonly [name: string]: unknown
    readonly envelope: LiveEnvelope
    readonly write: number
  }

  interface OfLeased extends OfCreate {
    readonly token: Token | undefined
  }

  const created = (write: number, status: 'acked' | 'durable' | 'unknown' | 'dropped', owes?: Op): Task =>
    end({ did: 'write', write, status }, owes)

  const isDeferred = policy.persistOn !== 'create'

  const create: Replacing['create'] = (write) => {
    const vars = { envelope: bornWith(write), write }
    if (steps.create === 'lease, insert, cas' || isDeferred) return lease(frame(onLease, vars))
    return insertFirst({ ...vars, token: undefined })
  }

  /** Under an id that others may know: whether something stands there is asked under the lease. */
  const put: Replacing['put'] = (write) => lease(frame(onLeaseOfPut, { envelope: bornWith(write), write }))

  const onLeaseOfPut = (leased: Stored, vars: OfCreate): Task => {
    if (leased.outcome !== 'stored') return insertFirst({ ...vars, token: undefined })
    const { token } = leased
    return isDeferred ? read(frame(onRead, { ...vars, token })) : insertFirst({ ...vars, token })
  }

  const onRead = (copy: BackendCopy | 'unavailable', vars: OfLeased & { readonly token: Token }): Task => {
    const { envelope, write, token } = vars
    if (copy !== 'unavailable' && copy.state === 'absent') return cas(envelope, token, frame(onPlaced, vars))
    return drop(token, frame(onOver, { write }))
  }

  const onOver = (_dropped: unknown, { write }: { readonly write: number }): Task => created(write, 'dropped')

  const onLease = (leased: Stored, vars: OfCreate): Task => {
    const token = leased.outcome === 'stored' ? leased.token : undefined
    return isDeferred && token !== undefined
      ? cas(vars.envelope, token, frame(onPlaced, { ...vars, token }))
      : insertFirst({ ...vars, token })
  }

  /** A session must stand somewhere: one whose creation was deferred is inserted where the cache cannot take it. */
  const onPlaced = (stored: Stored, { envelope, write, token }: OfLeased & { readonly token: Token }): Task =>
    stored.outcome === 'stored'
      ? created(write, 'acked')
      : drop(token, frame(onNotPlaced, { envelope, write, token: undefined }))

  const onNotPlaced = (_dropped: unknown, vars: OfLeased): Task => insertFirst(vars)

  const insertFirst = (vars: OfLeased): Task =>
    insert(rules.storedSession(vars.envelope, undefined, TIMINGS), isDeferred, frame(onInserted, vars))

  const onInserted = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task =>
    outcome === 'unavailable'
      ? insert(rules.storedSession(vars.envelope, undefined, TIMINGS), isDeferred, frame(onInsertedAgain, vars))
      : onInsertedAgain(outcome, vars, around)

  const onInsertedAgain = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task => {
    const { write, token } = vars
    if (outcome === 'unavailable') return created(write, 'unknown')
    const verdict = rules.insertVerdict(vars.envelope, outcome)
    if (verdict !== 'applied' && verdict !== 'superseded') return created(write, 'dropped')
    const envelope = rules.persisted(vars.envelope, around.now, NO_TOKEN)
    if (token === undefined && steps.create === 'lease, insert, cas') return created(write, 'durable')
    return created(write, 'durable', { do: 'place', envelope, ...(token === undefined ? {} : { token }) })
  }

  /** Beside the answer. */
  const place: Replacing['place'] = (envelope, token) => {
    if (steps.create === 'insert, add') return add(envelope, frame(onPlacedBeside, { token: 0 }))
    return token === undefined
      ? lease(frame(onLeaseBeside, { envelope }))
      : cas(envelope, token, frame(onPlacedBeside, { token }))
  }

  const onLeaseBeside = (leased: Stored, { envelope }: { readonly envelope: LiveEnvelope }): Task =>
    leased.outcome === 'stored'
      ? cas(envelope, leased.token, frame(onPlacedBeside, { token: leased.token }))
      : end(NOTHING)

  const onPlacedBeside = (stored: Stored, { token }: { readonly token: Token }): Task =>
    stored.outcome === 'stored' ? end(NOTHING) : drop(token, frame(onPlaceGone, {}))

  const onPlaceGone = (_dropped: unknown): Task => end(NOTHING)

  interface OfMove {
    readonly [name: string]: unknown
    readonly write: number
    readonly attempt: number
    /** Something may stand under the new id. */
    readonly mayBeThere: boolean
  }

  interface OfHalted extends OfMove {
    readonly envelope: LiveEnvelope
  }

  const moveOf = ({ write, attempt, mayBeThere }: OfMove): OfMove => ({ write, attempt, mayBeThere })

  const regenerate: Replacing['regenerate'] = (write) => look({ write, attempt: 0, mayBeThere: false })

  const look = (vars: OfMove): Task => reads.observe('writer', frame(onFound, vars))

  const again = (vars: OfMove): Task => {
    const attempt = vars.attempt + 1
    return attempt >= maxAttempts ? failed(vars) : look({ ...moveOf(vars), attempt })
  }

  const failed = ({ write, mayBeThere }: OfMove): Task =>
    mayBeThere && steps.onFailedMove === 'forget' ? end(FAILED, { do: 'forget', write }) : end(FAILED)

  const onFound = (found: Found, vars: OfMove, around: Around): Task => {
    if (found.state !== 'live') return failed(vars)
    // It waits for another regeneration to end, or finds that one dead.
    return found.envelope.frozen ? either(look(vars), halt(found, vars, around)) : halt(found, vars, around)
  }

  /** The old session at a version that no write can follow, in the backend. */
  const halt = (found: InCache | InBackend, vars: OfMove, around: Around): Task => {
    const { envelope } = found
    if (steps.regenerate === 'copy') return storeFresh(envelope, { ...vars, thaw: undefined })
    if (found.where === 'backend') return takeOver(envelope, vars, around)
    const halted = rules.frozen(envelope, stepOf(envelope, vars, around))
    return cas(halted, found.token, frame(onFrozen, { ...vars, base: envelope, token: found.token, envelope: halted }))
  }

  /** A regeneration may take up its own change twice: it is resolved anew against what stands. */
  const stepOf = (base: LiveEnvelope, { write }: OfMove, { now }: Around): Write =>
    writeOf({ data: masked(writesIn(base) & ~(1 << write)) }, write, now)

  const onFrozen = (
    put: Stored,
    vars: OfHalted & { readonly base: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    const { base, envelope, token } = vars
    const move = moveOf(vars)
    switch (put.outcome) {
      case 'stored':
        return flushes.flush(envelope, put.token, frame(onFlushed, { ...move, envelope }))
      case 'conflict':
      case 'missing':
        return again(move)
      case 'lost':
        return steps.onLostFreeze === 'look'
          ? reads.observe('writer', frame(onFreezeStands, { ...move, base }))
          : takeOver(base, move, around)
      case 'too-large':
        return cas({ ...base, frozen: true }, token, frame(onHaltedAsItIs, { ...move, base }))
    }
  }

  const onHaltedAsItIs = (put: Stored, vars: OfMove & { readonly base: LiveEnvelope }, around: Around): Task =>
    put.outcome === 'conflict' || put.outcome === 'lost' ? again(moveOf(vars)) : takeOver(vars.base, vars, around)

  /** What stands after the answer to the freezing was lost: only where nobody can tell is the cache gone round. */
  const onFreezeStands = (found: Found, vars: OfMove & { readonly base: LiveEnvelope }, around: Around): Task => {
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

  const onGivenBack = (_put: Stored, vars: OfMove): Task => again(vars)

  const onFlushed = (flushed: Flushed, { envelope, ...vars }: OfHalted): Task => {
    if (flushed.outcome === 'durable') return storeFresh(envelope, { ...moveOf(vars), thaw: flushed.now?.token })
    return flushed.outcome === 'again' ? again(vars) : failed(vars)
  }

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
  }

  const storeFresh = (envelope: LiveEnvelope, { write, attempt, thaw }: OfFresh): Task => {
    const fresh: OfFresh = { write, attempt, thaw, mayBeThere: true }
    const { lineage, version } = envelope
    return putNew(
      fresh.write,
      rules.storedSession(envelope, undefined, TIMINGS),
      frame(onFresh, { ...fresh, lineage, version }),
    )
  }

  const onFresh = (
    stored: 'told' | 'unavailable',
    { lineage, version, ...vars }: OfFresh & { readonly lineage: string; readonly version: number },
  ): Task => {
    if (stored === 'unavailable') return thawed(vars)
    const isConditional = steps.regenerate === 'freeze' && steps.regenerateDestroys === 'frozen'
    const only = isConditional ? { lineage, version } : undefined
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
        return thawed(vars)
      case 'refused':
        return flushes.dropIfDead(frame(onOldDropped, moveOf(vars)))
      case 'already-destroyed':
        // Logged out, or regenerated by another: what was frozen must not live on under a new id.
        if (steps.onForeignTombstone === 'reject') return failed(vars)
        return setTombstone(frame(onDone, {}))
      case 'destroyed':
        return setTombstone(frame(onDone, {}))
    }
  }

  const thawed = (vars: OfFresh): Task =>
    vars.thaw === undefined ? failed(vars) : drop(vars.thaw, frame(onThawed, moveOf(vars)))

  const onThawed = (_dropped: unknown, vars: OfMove): Task => failed(vars)

  const onOldDropped = (_done: boolean, vars: OfMove): Task => again(vars)

  const onDone = (told: 'told' | 'lost' | 'unreachable'): Task =>
    end({ did: 'regenerate', status: 'acked' }, told === 'told' ? undefined : BURY)

  /** Once, in the background; `BackendTier.destroy` sends again after a lost answer. */
  const forget: Replacing['forget'] = (write) => destroyNew(write, frame(onForgotten, { write }))

  const onForgotten = (told: 'told' | 'unavailable', { write }: { readonly write: number }): Task =>
    told === 'told' ? end(NOTHING) : destroyNew(write, frame(onForgottenAgain, {}))

  const onForgottenAgain = (_told: 'told' | 'unavailable'): Task => end(NOTHING)

  return { create, put, place, regenerate, forget }
}
