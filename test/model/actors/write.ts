import type { LiveEnvelope } from '../../../src/session/envelope.js'
import type { Write } from '../../../src/session/transitions.js'
import { masked, merged, TIMINGS, TWICE, writeIdOf, writeOf, writesIn } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  cas,
  either,
  end,
  frame,
  type Held,
  type InBackend,
  type InCache,
  type Op,
  type PutOutcome,
  type Refusable,
  set,
  type Task,
  type Token,
  type WriteStatus,
} from '../task.js'
import type { Flushed, Flushing, LookedAfterwards } from './flush.js'
import type { Reading, Standing } from './read.js'
import { type Put, takingOver } from './takeover.js'

/*
 * Rules 3, 4, 9 and 15: one change of a session: loaded, saved by compare-and-set, flushed where it is due, taken
 * over where the cache cannot take it, acknowledged; and what the caller's handle then takes for stored. Follows
 * `src/store/protocol/write.ts`, and `save` and `update` of `src/store/session-store.ts`, step by step.
 */

/** The write that one operation makes. */
export interface Intent {
  readonly [name: string]: unknown
  readonly write: number
  readonly durable: boolean
  /** Of a save: the session that its caller holds, by the era in which it was made. */
  readonly of?: number
  /** Of a save whose handle is used again, or was before. */
  readonly own?: Own
  /** Nothing was changed: what the handle holds need only be durable. */
  readonly isEnsured?: boolean
  /** Of an update: the data that its change was applied to, and which try of it this is. */
  readonly loaded?: Uint8Array
  readonly round?: number
}

interface Own {
  readonly [name: string]: unknown
  /** The handle as it was when its save began, with the data to be stored. */
  readonly asked: Held
  /** What it is by now. */
  readonly held: Held
}

export interface Writing {
  /** A request that loads the session and saves a change of it; `keeps`: and holds on to the handle. */
  save(intent: Intent, keeps: boolean): Task
  saveAgain(op: Extract<Op, { do: 'save again' }>, held: Held | undefined): Task
  update(write: number): Task
}

const REPAIR: Op = { do: 'repair' }

interface OfWrite {
  readonly [name: string]: unknown
  readonly intent: Intent
  readonly attempt: number
  /** Set once the write may be in, as an answer was lost or its lineage died: from then on the ring decides. */
  readonly doubt: Doubt | undefined
}

interface Doubt {
  readonly [name: string]: unknown
  readonly lineage: string
  /** The lowest version that it was put on. */
  readonly version: number
  /** Something was sent that may have been applied. */
  readonly mayBeIn: boolean
  /** What the first try of a handle's save put there. */
  readonly resolved: Resolved | undefined
}

/** What shall stand, seen what stands there now. */
interface Resolved {
  readonly [name: string]: unknown
  readonly data: Uint8Array
  /** It is the caller's own object, which nothing was merged into. */
  readonly isWanted: boolean
  /** The same without what the caller changed and is not known to be in the backend. */
  readonly anchor: Uint8Array
}

/** A write that stands somewhere, and how the attempt goes on if it has to be done over. */
interface OfAccepted extends OfWrite {
  readonly envelope: LiveEnvelope
  readonly resolved: Resolved | undefined
}

/** Where a write began that asks nobody before it: no time of its own, and no lineage to be minted. */
const BEFORE: Around = {
  now: 1,
  trustFrom: 0,
  era: 1,
  ended: 0,
  lineage: () => {
    throw new Error('Nothing is put round the cache before it was asked')
  },
}

export const writing = (rules: Rules, settings: Settings, reads: Reading, flushes: Flushing): Writing => {
  const { steps } = rules
  const { policy, maxAttempts } = settings
  const putIntoBackend = takingOver(rules, flushes)

  interface Outcome {
    /** What now stands, where the write is known to be in. */
    readonly now?: InCache | InBackend
    readonly resolved?: Resolved | undefined
    readonly owes?: readonly Op[]
    readonly notes?: number
    readonly forgets?: number
  }

  const ended = ({ intent }: OfWrite, status: WriteStatus, outcome: Outcome = {}): Task => {
    const { write, own } = intent
    const { now, resolved, owes = [], notes, forgets } = outcome
    const task = end({ did: 'write', write, status, asked: own?.asked.data, of: intent.of }, ...owes)
    if (own === undefined) return { ...task, notes, forgets }
    const isIn = now !== undefined && resolved !== undefined
    const held = isIn ? adopted(intent, own, now, resolved, status === 'durable') : own.held
    return { ...task, notes, forgets, held }
  }

  /** The handle after a write that was acknowledged, or that the cache accepted. */
  const adopted = (
    { write }: Intent,
    { held }: Own,
    seen: InCache | InBackend,
    { data, isWanted, anchor }: Resolved,
    isDurable: boolean,
  ): Held => {
    const kept = isWanted && steps.handleData === 'stays where nothing was merged' ? held.data : data
    if (steps.ensures === 'what stands' || isDurable) return { seen, view: data, data: kept, anchor: data, ids: [] }
    return { seen, view: data, data: kept, anchor, ids: [writeIdOf(write)] }
  }

  const save: Writing['save'] = (intent, keeps) => reads.observe('reader', frame(onLoaded, { intent, keeps }))

  const onLoaded = (
    found: Standing,
    { intent, keeps }: { readonly intent: Intent; readonly keeps: boolean },
    around: Around,
  ): Task => {
    const of = found.state === 'live' ? { of: found.envelope.createdAt } : {}
    const start: OfWrite = { intent: { ...intent, ...of }, attempt: 0, doubt: undefined }
    // A request that cannot load its session ends before it changes anything.
    if (found.state !== 'live') return ended(start, found.state === 'none' ? 'dropped' : 'not applied')
    const mine = keeps ? { ...start, intent: { ...start.intent, own: loadedOwn(found, intent.write) } } : start
    return begun(found, mine, around)
  }

  /** By what the caller has seen, unless that was not in the cache, or is about to be destroyed. */
  const begun = (seen: InCache | InBackend, vars: OfWrite, around: Around): Task =>
    seen.where === 'cache' && !seen.envelope.frozen
      ? onFound(seen, vars, around)
      : reads.observe('writer', frame(onFound, vars))

  const loadedOwn = (found: InCache | InBackend, write: number): Own => {
    const view = masked(writesIn(found.envelope))
    const held: Held = {
      seen: found,
      view,
      data: masked(writesIn(found.envelope) | (1 << write)),
      anchor: view,
      ids: [],
    }
    return { asked: held, held }
  }

  const saveAgain: Writing['saveAgain'] = ({ write, durable, isChanged }, held) => {
    // The operation before gave no handle.
    if (held === undefined) return end({ did: 'nothing' })
    const wanted = masked(writesIn(held) | (isChanged ? 1 << write : 0))
    const asked: Held = { ...held, data: wanted }
    const intent: Intent = { write, durable, of: held.seen.envelope.createdAt, own: { asked, held: asked } }
    const start: OfWrite = { intent, attempt: 0, doubt: undefined }
    if (writesIn(asked) !== writesIn({ data: asked.view })) return begun(asked.seen, start, BEFORE)
    if (durable) return ensure({ ...start, intent: { ...intent, isEnsured: true } })
    const { envelope } = asked.seen
    return ended(start, envelope.durableVersion >= envelope.version ? 'durable' : 'acked')
  }

  const ensure = (vars: OfWrite): Task =>
    reads.observe('writer', steps.ensures === 'what stands' ? frame(onStanding, vars) : frame(onFound, vars))

  /** Weak: what stands is made durable, whatever the handle holds. */
  const onStanding = (found: Standing, vars: OfWrite): Task => {
    if (found.state === 'unavailable') return ended(vars, 'not applied')
    return found.state === 'none' ? ended(vars, 'dropped') : makeDurable(found, vars, vars.intent.own?.asked.data)
  }

  /** What stands need only be durable; `data` is what the handle then holds of it. */
  const makeDurable = (found: InCache | InBackend, vars: OfWrite, data: Uint8Array | undefined): Task => {
    const resolved = data === undefined ? undefined : { data, isWanted: true, anchor: data }
    if (found.where === 'backend') return inRow(found, vars, resolved)
    const { envelope, token } = found
    if (envelope.durableVersion >= envelope.version) return ended(vars, 'durable', { now: found, resolved })
    return flushes.flush(envelope, token, frame(onMadeDurable, { ...vars, envelope, resolved }))
  }

  const onMadeDurable = (flushed: Flushed, vars: OfAccepted): Task =>
    flushed.outcome === 'again' ? ensureAgain(vars) : onFlushed(flushed, vars)

  const ensureAgain = ({ intent, attempt: tried, doubt }: OfWrite): Task => {
    const next: OfWrite = { intent, attempt: tried + 1, doubt }
    return next.attempt >= maxAttempts ? gaveUp(next) : ensure(next)
  }

  /** The backend has it. Where the cache could not be asked, what stands there may have to go. */
  const inRow = (found: InBackend, vars: OfWrite, resolved: Resolved | undefined): Task => {
    const isUnseen = found.why === 'unreachable' && steps.onInRow === 'repair'
    return ended(vars, 'durable', { now: found, resolved, owes: isUnseen ? [REPAIR] : [] })
  }

  /** A change that is applied anew to what stands, at each try of the update. */
  const updating: Writing['update'] = (write) =>
    load({ intent: { write, durable: false, round: 0 }, attempt: 0, doubt: undefined })

  const load = (vars: OfWrite): Task => reads.observe('reader', frame(onLoadedForUpdate, vars))

  const onLoadedForUpdate = (found: Standing, vars: OfWrite, around: Around): Task => {
    if (found.state === 'unavailable') return nobodyToAsk(vars)
    if (found.state === 'none') return ended(vars, 'dropped')
    const loaded = masked(writesIn(found.envelope))
    return begun(found, { ...vars, intent: { ...vars.intent, loaded } }, around)
  }

  /** Another came between the load of an update and its save. */
  const updateAgain = ({ intent, attempt: tried, doubt }: OfWrite): Task => {
    const next: OfWrite = { intent: { ...intent, round: (intent.round ?? 0) + 1 }, attempt: tried + 1, doubt }
    if (next.attempt >= maxAttempts) return gaveUp(next)
    return load(steps.updateIds === 'kept' ? next : { ...next, doubt: undefined })
  }

  const idOf = ({ write, round = 0 }: Intent): string => writeIdOf(steps.updateIds === 'kept' ? write : write + round)

  const attempt = (vars: OfWrite): Task => {
    const next = { ...vars, attempt: vars.attempt + 1 }
    if (next.attempt >= maxAttempts) return gaveUp(next)
    return reads.observe('writer', frame(onFound, next))
  }

  const gaveUp = (vars: OfWrite): Task => ended(vars, vars.doubt === undefined ? 'gave up' : 'gave up, unknown')

  const onFound = (found: Standing, vars: OfWrite & { readonly isThawing?: boolean }, around: Around): Task => {
    if (found.state === 'unavailable') return nobodyToAsk(vars)
    if (found.state === 'none') return ended(vars, 'dropped')
    const { intent, doubt } = vars
    const { envelope } = found
    // The caller's session has expired, and another one was made under its id.
    if (intent.of !== undefined && !rules.isSameSession(envelope, { createdAt: intent.of }))
      return ended(vars, 'dropped')
    // It waits for a regeneration to end; one that takes too long is dead, and its session is taken over.
    if (envelope.frozen && !vars.isThawing)
      return either(reads.observe('writer', frame(onFound, vars)), onFound(found, { ...vars, isThawing: true }, around))
    const onward: OfWrite = { intent, attempt: vars.attempt, doubt }
    if (doubt !== undefined) {
      const verdict = rules.ringVerdict(envelope, idOf(intent), doubt.version)
      if (verdict === 'cannot tell') return ended(vars, 'unknown')
      if (verdict === 'in') {
        const resolved = doubt.resolved && standing(envelope, doubt.resolved)
        if (found.where === 'backend') return inRow(found, vars, resolved)
        return steps.onRingHit === 'flush and acknowledge'
          ? flushAndAcknowledge(found, onward, resolved, around)
          : ended(vars, 'acked')
      }
      // Another lineage may be dead, and not know what is in the backend, my write maybe among it.
      if (found.where === 'cache' && envelope.lineage !== doubt.lineage)
        return flushes.isAlive(found, frame(onCompared, { ...onward, found }))
    }
    return place(found, onward, around)
  }

  /** What a handle takes for stored where its write was found in what stands. */
  const standing = (envelope: LiveEnvelope, resolved: Resolved): Resolved => {
    if (steps.handleBelieves === 'what the cache accepted') return resolved
    const data = masked(writesIn(envelope))
    return { data, isWanted: false, anchor: rebased(resolved.anchor, resolved.data, data) }
  }

  const nobodyToAsk = (vars: OfWrite): Task =>
    ended(vars, vars.doubt?.mayBeIn === true ? steps.onNobodyInDoubt : 'not applied')

  const onCompared = (
    isAlive: boolean | 'unavailable',
    { found, ...onward }: OfWrite & { readonly found: InCache },
    around: Around,
  ): Task => {
    if (isAlive === 'unavailable') return nobodyToAsk(onward as OfWrite)
    return isAlive ? place(found, onward as OfWrite, around) : attempt(onward as OfWrite)
  }

  const place = (found: InCache | InBackend, vars: OfWrite, around: Around): Task => {
    const { intent } = vars
    const { envelope } = found
    const { own, loaded } = intent
    if (loaded !== undefined && writesIn({ data: loaded }) !== writesIn(envelope)) return updateAgain(vars)
    const held = own !== undefined && steps.ensures === 'the held version' ? heldIn(envelope, own) : 'in'
    if (held === 'cannot tell' && intent.durable) return ended(vars, 'unknown')
    const isMissing = held === 'not in'
    const resolved = own === undefined ? undefined : resolve(own, envelope, isMissing)
    if (intent.isEnsured === true && resolved !== undefined) {
      if (!isMissing) return makeDurable(found, vars, own?.asked.data)
      if (writesIn(resolved) === writesIn(envelope)) return makeDurable(found, vars, resolved.data)
    }
    const isFrozen = envelope.frozen && steps.onThaw === 'take over'
    if (found.where === 'backend' || isFrozen) return takeOver(envelope, vars, resolved, around)
    const written = rules.written(envelope, stepOf(envelope, intent, resolved, around))
    const isMarked = intent.durable && steps.beforeFirstInsert === 'mark the entry'
    const step = isMarked ? rules.offered(written, around.now) : written
    const next = envelope.frozen ? { ...step, frozen: false } : step
    const then = frame(onPut, { ...vars, envelope, resolved, next, token: found.token })
    return steps.writeBy === 'set' ? set(next, then) : cas(next, found.token, then, intent.of)
  }

  const frozenAndMarked = (envelope: LiveEnvelope, { now }: Around): LiveEnvelope =>
    steps.beforeFirstInsert === 'mark the entry'
      ? rules.offered({ ...envelope, frozen: true }, now)
      : { ...envelope, frozen: true }

  const heldIn = (envelope: LiveEnvelope, { asked }: Own): ReturnType<Rules['heldVerdict']> => {
    const { lineage, version } = asked.seen.envelope
    return rules.heldVerdict(envelope, { lineage, version, writeId: asked.ids[0] })
  }

  /** `isMissing`: what stands lacks what the handle holds, which is then written anew. */
  const resolve = ({ asked }: Own, envelope: LiveEnvelope, isMissing: boolean): Resolved => {
    const current = masked(writesIn(envelope))
    const { view, data: mine, anchor } = asked
    const isWanted =
      writesIn({ data: current }) === writesIn({ data: view }) ||
      writesIn({ data: current }) === writesIn({ data: mine })
    return {
      data: merged(isMissing ? anchor : view, mine, current),
      isWanted,
      anchor: isMissing ? current : rebased(anchor, view, current),
    }
  }

  /** What others changed since `view`, applied to the anchor too: what is the caller's own is then the same as before. */
  const rebased = (anchor: Uint8Array, view: Uint8Array, current: Uint8Array): Uint8Array =>
    steps.ensures === 'what stands' || steps.anchors === 'as loaded' ? anchor : merged(view, current, anchor)

  const stepOf = (base: LiveEnvelope, intent: Intent, resolved: Resolved | undefined, { now }: Around): Write => {
    const step = { ...writeOf(base, intent.write, now), writeId: idOf(intent) }
    if (resolved === undefined) return step
    return { ...step, data: masked(writesIn(resolved) | (writesIn(step) & TWICE)) }
  }

  const onPut = (
    put: PutOutcome,
    vars: OfAccepted & { readonly next: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    const { intent, attempt: tried, envelope, resolved, next } = vars
    const mayBeIn = put.outcome !== 'lost' || put.applied === 'unknown'
    const onward: OfWrite = { intent, attempt: tried, doubt: doubtOf(envelope, vars, mayBeIn) }
    const before: OfWrite = { intent, attempt: tried, doubt: vars.doubt }
    switch (put.outcome) {
      case 'stored': {
        const accepted: InCache = { state: 'live', where: 'cache', envelope: next, token: put.token }
        return flushAndAcknowledge(accepted, believing(accepted, onward, resolved), resolved, around)
      }
      case 'too-large':
        return steps.onTooLarge === 'freeze'
          ? cas(frozenAndMarked(envelope, around), vars.token, frame(onHalted, { ...before, envelope, resolved }))
          : takeOver(envelope, before, resolved, around)
      case 'lost':
        if (steps.onLostCas === 'acknowledge') return ended(vars, 'acked')
        if (steps.onLostCas === 'flush mine')
          return flushes.updateTwice(
            rules.flushGuard(next),
            rules.storedSession(next, undefined, TIMINGS),
            frame(onFlushedMine, onward),
          )
        return reads.observe('writer', frame(onStands, { ...onward, envelope, resolved }))
      case 'conflict':
      case 'missing':
        return attempt(before)
    }
  }

  /** Weak: the handle takes for stored what the cache accepted, whatever becomes of it then. */
  const believing = (accepted: InCache, vars: OfWrite, resolved: Resolved | undefined): OfWrite => {
    const { intent } = vars
    const { own } = intent
    if (own === undefined || resolved === undefined || steps.handleBelieves === 'what was acknowledged') return vars
    return { ...vars, intent: { ...intent, own: { ...own, held: adopted(intent, own, accepted, resolved, false) } } }
  }

  /**
   * A write that is too large goes round the cache, from a copy that nobody changes meanwhile: one that others
   * had written to since it was read would take their writes along into death.
   */
  const onHalted = (halted: PutOutcome, vars: OfAccepted, around: Around): Task => {
    const { intent, attempt: tried, doubt, envelope, resolved } = vars
    return halted.outcome === 'stored' || halted.outcome === 'missing'
      ? takeOver(envelope, { intent, attempt: tried, doubt }, resolved, around)
      : attempt({ intent, attempt: tried, doubt })
  }

  /** Weak: an envelope that no compare-and-set accepted is flushed under its own lineage. */
  const onFlushedMine = (outcome: Refusable, vars: OfWrite): Task => {
    if (outcome === 'unavailable') return ended(vars, 'unknown')
    return outcome.outcome === 'applied' ? ended(vars, 'durable') : attempt(vars)
  }

  /** What stands after an answer was lost. */
  const onStands = (found: Standing, vars: OfAccepted, around: Around): Task => {
    const { intent, attempt: tried, doubt, envelope, resolved } = vars
    // What I hold may be newer than the row: it goes along, under a guard that knows where it came from.
    if (found.state === 'live' && found.where === 'backend' && found.why === 'unreachable')
      return takeOver(envelope, { intent, attempt: tried, doubt }, resolved, around)
    const next = { intent, attempt: tried + 1, doubt }
    return next.attempt >= maxAttempts ? gaveUp(next) : onFound(found, next, around)
  }

  /** After a loss versions start lower again: the ring must remember from the lowest on. */
  const doubtOf = (
    { lineage, version }: LiveEnvelope,
    { doubt, resolved }: OfWrite & { readonly resolved: Resolved | undefined },
    mayBeIn: boolean,
  ): Doubt => ({
    lineage,
    mayBeIn: mayBeIn || doubt?.mayBeIn === true,
    version: Math.min(doubt?.version ?? version, version),
    resolved: doubt?.resolved ?? resolved,
  })

  /** A write that the cache accepted: flushed if it is due, and acknowledged. */
  const flushAndAcknowledge = (
    accepted: InCache,
    vars: OfWrite,
    resolved: Resolved | undefined,
    around: Around,
  ): Task => {
    const critical = vars.intent.durable ? ('durable' as const) : undefined
    const situation = { now: around.now, critical, identified: false }
    const { envelope, token } = accepted
    if (rules.flushReason(envelope, situation, policy) !== undefined)
      return flushes.flush(envelope, token, frame(onFlushed, { ...vars, envelope, resolved }))
    if (envelope.durableVersion >= envelope.version) return ended(vars, 'durable', { now: accepted, resolved })
    const isOwed = rules.owesFlush(envelope, policy, () => false)
    return ended(vars, 'acked', { now: accepted, resolved, ...(isOwed ? { notes: envelope.version } : {}) })
  }

  const onFlushed = (flushed: Flushed, vars: OfAccepted): Task => {
    const { intent, attempt: tried, doubt, envelope, resolved } = vars
    switch (flushed.outcome) {
      case 'again':
        return attempt({ intent, attempt: tried, doubt })
      case 'destroyed':
        return ended(vars, 'dropped')
      case 'durable': {
        const now = flushed.now ?? inBackendNow(envelope)
        const owes = flushed.owes === 'repair' ? [REPAIR] : []
        return ended(vars, 'durable', { now, resolved, owes, forgets: envelope.version })
      }
      case 'unavailable': {
        // With the backend out of reach the write stays in the cache; a critical one rejects.
        const notes = envelope.version
        return intent.durable ? ended(vars, 'unknown', { notes }) : ended(vars, 'cache only', { notes, resolved })
      }
    }
  }

  const inBackendNow = (envelope: LiveEnvelope): InBackend => ({
    state: 'live',
    where: 'backend',
    envelope: rules.confirmed(envelope, envelope, 1, envelope.backendToken),
    why: 'unreachable',
  })

  /** The same write straight into the backend, where the cache cannot take it. */
  const takeOver = (base: LiveEnvelope, vars: OfWrite, resolved: Resolved | undefined, around: Around): Task => {
    const step = stepOf(base, vars.intent, resolved, around)
    const taken = rules.takenOver(base, step, around.lineage(), policy.maxStaleCount)
    return putIntoBackend(base, taken, frame(onTaken, { ...vars, base, taken, resolved }))
  }

  interface OfTakeover extends OfWrite {
    readonly base: LiveEnvelope
    readonly taken: LiveEnvelope
    readonly resolved: Resolved | undefined
  }

  const onTaken = (put: Put, vars: OfTakeover): Task => {
    const { intent, attempt: tried, taken, base, resolved } = vars
    if (put === 'unavailable') return ended(vars, 'unknown')
    const isTold = steps.afterTakeover === 'look'
    if (put === 'in') {
      const forgets = steps.ledgerForgets === 'what is in' ? base.version : taken.version
      const outcome = { ...handed(intent, taken, resolved), forgets }
      return isTold ? look({ intent, taken, dead: base.lineage, outcome }) : ended(vars, 'durable', outcome)
    }
    const { row, mayBeIn } = put
    if (row.state !== 'live') return ended(vars, 'dropped')
    const doubt = mayBeIn ? doubtOf(base, vars, true) : vars.doubt
    if (!row.writeIds.includes(idOf(intent))) return attempt({ intent, attempt: tried, doubt })
    // Nothing was put there: the row has the write by an answer that was lost.
    const isCopy = steps.ledgerForgets === 'what was put'
    const stands = isCopy ? taken : { ...taken, lineage: row.lineage, version: row.version }
    const outcome = { ...handed(intent, stands, resolved), ...(isCopy ? { forgets: taken.version } : {}) }
    return isTold ? look({ intent, taken, dead: undefined, outcome }) : ended(vars, 'durable', outcome)
  }

  /** What only a handle needs to know. */
  const handed = ({ own }: Intent, stands: LiveEnvelope, resolved: Resolved | undefined): Outcome =>
    own === undefined ? {} : { now: inBackendNow(stands), resolved }

  interface OfLook {
    readonly [name: string]: unknown
    readonly intent: Intent
    readonly taken: LiveEnvelope
    readonly dead: string | undefined
    readonly outcome: Outcome
  }

  const look = ({ taken, dead, intent, outcome }: OfLook): Task =>
    flushes.lookAfterwards(taken, dead, idOf(intent), frame(onLookedAfterwards, { intent, outcome }))

  const onLookedAfterwards = (
    looked: LookedAfterwards,
    { intent, outcome }: Pick<OfLook, 'intent' | 'outcome'>,
  ): Task => {
    const vars: OfWrite = { intent: intent as Intent, attempt: 0, doubt: undefined }
    if (looked === 'destroyed') return ended(vars, 'dropped')
    if (looked === 'untold' && steps.onUntold === 'unknown') return ended(vars, 'unknown', { owes: [REPAIR] })
    return ended(vars, 'durable', { ...(outcome as Outcome), owes: looked === 'consistent' ? [] : [REPAIR] })
  }

  return { save, saveAgain, update: updating }
}
