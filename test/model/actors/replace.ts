import type { BackendCopy, InsertOutcome } from '../../../src/contract/backend.js'
import type { LiveEnvelope } from '../../../src/session/envelope.js'
import { lineageName, masked, TIMINGS, writeIdOf, writeOf, writesIn } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  add,
  cas,
  destroyRow,
  drop,
  end,
  frame,
  insert,
  lease,
  type Op,
  putNew,
  read,
  type Stored,
  setTombstone,
  type Task,
  type Token,
} from '../task.js'
import type { Flushed, Flushing } from './flush.js'
import type { Found, Reading } from './read.js'
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
}

const NO_TOKEN = new Uint8Array(0)
const DESTROY_AGAIN: Op = { do: 'destroy again' }
const NOTHING = { did: 'nothing' } as const
type RowTold = 'destroyed' | 'refused' | 'unavailable'

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
    insert(rules.storedSession(vars.envelope, undefined, TIMINGS), frame(onInserted, vars))

  const onInserted = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task =>
    outcome === 'unavailable'
      ? insert(rules.storedSession(vars.envelope, undefined, TIMINGS), frame(onInsertedAgain, vars))
      : onInsertedAgain(outcome, vars, around)

  const onInsertedAgain = (outcome: InsertOutcome | 'unavailable', vars: OfLeased, around: Around): Task => {
    const { write, token } = vars
    if (outcome === 'unavailable') return created(write, 'unknown')
    if (outcome.outcome === 'too-late') return created(write, 'dropped')
    if (outcome.outcome === 'exists') {
      const { row } = outcome
      if (row.state !== 'live' || row.lineage !== vars.envelope.lineage) return created(write, 'dropped')
    }
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
  }

  interface OfHalted extends OfMove {
    readonly envelope: LiveEnvelope
  }

  const regenerate: Replacing['regenerate'] = (write) => reads.observe('writer', frame(onFound, { write, attempt: 0 }))

  const again = (vars: OfMove): Task => {
    const attempt = vars.attempt + 1
    return attempt >= maxAttempts
      ? end(FAILED)
      : reads.observe('writer', frame(onFound, { write: vars.write, attempt }))
  }

  const onFound = (found: Found, vars: OfMove, around: Around): Task => {
    if (found.state !== 'live') return end(FAILED)
    const { envelope } = found
    if (steps.regenerate === 'copy') return storeFresh(envelope, { ...vars, thaw: undefined })
    const step = writeOf({ data: masked(writesIn(envelope) & ~(1 << vars.write)) }, vars.write, around.now)
    if (found.where === 'backend') return takeOver(envelope, vars, around)
    const halted = rules.frozen(envelope, step)
    return cas(halted, found.token, frame(onFrozen, { ...vars, base: envelope, envelope: halted }))
  }

  const onFrozen = (put: Stored, vars: OfHalted & { readonly base: LiveEnvelope }, around: Around): Task => {
    const { write, attempt, base, envelope } = vars
    if (put.outcome === 'stored') {
      return flushes.flush(envelope, put.token, frame(onFlushed, { write, attempt, envelope }))
    }
    if (put.outcome === 'lost' && steps.onLostFreeze === 'look')
      return reads.observe('writer', frame(onFreezeStands, { write, attempt, base }))
    if (put.outcome === 'lost' || put.outcome === 'too-large') return takeOver(base, { write, attempt }, around)
    return again(vars)
  }

  /** What stands after the answer to the freezing was lost: only where nobody can tell is the cache gone round. */
  const onFreezeStands = (found: Found, vars: OfMove & { readonly base: LiveEnvelope }, around: Around): Task => {
    const { write, attempt, base } = vars
    if (found.state === 'unavailable' || found.state === 'none') return end(FAILED)
    if (found.where === 'backend')
      return found.why === 'unreachable' ? takeOver(base, { write, attempt }, around) : again({ write, attempt })
    const { envelope, token } = found
    return envelope.frozen && envelope.writeIds.includes(writeIdOf(write))
      ? flushes.flush(envelope, token, frame(onFlushed, { write, attempt, envelope }))
      : again({ write, attempt })
  }

  const onFlushed = (flushed: Flushed, { write, attempt, envelope }: OfHalted): Task => {
    if (flushed.outcome === 'durable') return storeFresh(envelope, { write, attempt, thaw: flushed.now?.token })
    return flushed.outcome === 'again' ? again({ write, attempt }) : end(FAILED)
  }

  const takeOver = (base: LiveEnvelope, vars: OfMove, around: Around): Task => {
    const step = writeOf({ data: masked(writesIn(base) & ~(1 << vars.write)) }, vars.write, around.now)
    const taken = rules.takenOver(base, step, around.lineage(), policy.maxStaleCount)
    return putIntoBackend(base, taken, frame(onTaken, { ...vars, envelope: taken }))
  }

  const onTaken = (put: Put, { write, attempt, envelope }: OfHalted): Task => {
    if (put === 'unavailable') return end(FAILED)
    if (put === 'mine') return storeFresh(envelope, { write, attempt, thaw: undefined })
    return put.state === 'live' ? again({ write, attempt }) : end(FAILED)
  }

  interface OfFresh extends OfMove {
    /** By which the frozen entry is given back to its writers, where it stands in the cache. */
    readonly thaw: Token | undefined
  }

  const storeFresh = (envelope: LiveEnvelope, vars: OfFresh): Task =>
    putNew(rules.storedSession(envelope, undefined, TIMINGS), frame(onFresh, { ...vars, envelope }))

  const onFresh = (stored: 'told' | 'unavailable', vars: OfFresh & { readonly envelope: LiveEnvelope }): Task => {
    if (stored === 'unavailable') return thawed(vars)
    const { write, attempt, thaw, envelope } = vars
    const isConditional = steps.regenerate === 'freeze' && steps.regenerateDestroys === 'frozen'
    const only = isConditional ? { lineage: envelope.lineage, version: envelope.version } : undefined
    return destroyRow(only, frame(onOldDestroyed, { write, attempt, thaw, only }))
  }

  interface OfDestroy extends OfFresh {
    readonly only: { readonly lineage: string; readonly version: number } | undefined
  }

  /** `BackendTier.destroy` sends again after a lost answer. */
  const onOldDestroyed = (outcome: RowTold, vars: OfDestroy): Task =>
    outcome === 'unavailable'
      ? destroyRow(vars.only, frame(onOldDestroyedAgain, vars))
      : onOldDestroyedAgain(outcome, vars)

  const onOldDestroyedAgain = (outcome: RowTold, vars: OfDestroy): Task => {
    if (outcome === 'unavailable') return thawed(vars)
    const { write, attempt } = vars
    return outcome === 'refused'
      ? flushes.dropIfDead(frame(onOldDropped, { write, attempt }))
      : setTombstone(frame(onDone, {}))
  }

  const thawed = ({ thaw }: OfFresh): Task => (thaw === undefined ? end(FAILED) : drop(thaw, frame(onThawed, {})))

  const onThawed = (_dropped: unknown): Task => end(FAILED)

  const onOldDropped = (_done: boolean, vars: OfMove): Task => again(vars)

  const onDone = (told: 'told' | 'lost' | 'unreachable'): Task =>
    end({ did: 'regenerate', status: 'acked' }, told === 'told' ? undefined : DESTROY_AGAIN)

  return { create, put, place, regenerate }
}
