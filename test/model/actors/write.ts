import type { LiveEnvelope } from '../../../src/session/envelope.js'
import { TIMINGS, writeIdOf, writeOf } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  cas,
  type Ending,
  either,
  end,
  frame,
  type Op,
  type Refusable,
  type Stored,
  set,
  type Task,
  type Token,
} from '../task.js'
import type { Flushed, Flushing, Settled } from './flush.js'
import type { Found, InBackend, InCache, Reading } from './read.js'
import { type Put, takingOver } from './takeover.js'

/*
 * Rules 3, 4, 9 and 15: one change of a session: loaded, saved by compare-and-set, flushed where it is due,
 * taken over where the cache cannot take it, acknowledged. Follows `src/store/write.ts` step by step.
 */

/** The write that one operation makes. */
export interface Intent {
  readonly write: number
  readonly durable: boolean
}

export interface Writing {
  /** A request that loads the session and saves a change of it. */
  save(intent: Intent): Task
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
}

/** A write that stands somewhere, and how the attempt goes on if it has to be done over. */
interface OfSettled extends OfWrite {
  readonly envelope: LiveEnvelope
}

export const writing = (rules: Rules, settings: Settings, reads: Reading, flushes: Flushing): Writing => {
  const { steps } = rules
  const { policy, maxAttempts } = settings
  const putIntoBackend = takingOver(rules, flushes)

  const ended = ({ intent }: OfWrite, status: Extract<Ending, { did: 'write' }>['status'], owes?: Op): Task =>
    end({ did: 'write', write: intent.write, status }, owes)

  const save: Writing['save'] = (intent) => reads.observe('reader', frame(onLoaded, { intent }))

  const onLoaded = (found: Found, { intent }: { readonly intent: Intent }, around: Around): Task => {
    const start: OfWrite = { intent, attempt: 0, doubt: undefined }
    // A request that cannot load its session ends before it changes anything.
    if (found.state !== 'live') return ended(start, found.state === 'none' ? 'dropped' : 'not applied')
    return found.where === 'cache' && !found.envelope.frozen
      ? onFound(found, start, around)
      : reads.observe('writer', frame(onFound, start))
  }

  const attempt = (vars: OfWrite): Task => {
    const next = { ...vars, attempt: vars.attempt + 1 }
    if (next.attempt >= maxAttempts) return gaveUp(next)
    return reads.observe('writer', frame(onFound, next))
  }

  const gaveUp = (vars: OfWrite): Task => ended(vars, vars.doubt === undefined ? 'gave up' : 'gave up, unknown')

  const onFound = (found: Found, vars: OfWrite & { readonly isThawing?: boolean }, around: Around): Task => {
    if (found.state === 'unavailable') return nobodyToAsk(vars)
    if (found.state === 'none') return ended(vars, 'dropped')
    const { intent, doubt } = vars
    const { envelope } = found
    // It waits for a regeneration to end; one that takes too long is dead, and its session is taken over.
    if (envelope.frozen && !vars.isThawing)
      return either(reads.observe('writer', frame(onFound, vars)), onFound(found, { ...vars, isThawing: true }, around))
    if (doubt !== undefined) {
      const verdict = rules.ringVerdict(envelope, writeIdOf(intent.write), doubt.version)
      if (verdict === 'cannot tell') return ended(vars, 'unknown')
      if (verdict === 'in') {
        if (found.where === 'backend') return ended(vars, 'durable')
        return steps.onRingHit === 'settle' ? settle(found, vars, around) : ended(vars, 'acked')
      }
      // Another lineage may be dead, and not know what is in the backend, my write maybe among it.
      if (found.where === 'cache' && envelope.lineage !== doubt.lineage)
        return flushes.isAlive(found, frame(onCompared, { intent, attempt: vars.attempt, doubt, found }))
    }
    return place(found, { intent, attempt: vars.attempt, doubt }, around)
  }

  const nobodyToAsk = (vars: OfWrite): Task =>
    ended(vars, vars.doubt?.mayBeIn === true ? steps.onNobodyInDoubt : 'not applied')

  const onCompared = (
    isAlive: boolean | 'unavailable',
    { found, ...vars }: OfWrite & { readonly found: InCache },
    around: Around,
  ): Task => {
    if (isAlive === 'unavailable') return nobodyToAsk(vars)
    const { intent, attempt: tried, doubt } = vars
    const onward = { intent, attempt: tried, doubt }
    return isAlive ? place(found, onward, around) : attempt(onward)
  }

  const place = (found: InCache | InBackend, vars: OfWrite, around: Around): Task => {
    const { intent } = vars
    const { envelope } = found
    const isFrozen = envelope.frozen && steps.onThaw === 'take over'
    if (found.where === 'backend' || isFrozen) return takeOver(envelope, vars, around)
    const step = rules.written(envelope, writeOf(envelope, intent.write, around.now))
    const next = envelope.frozen ? { ...step, frozen: false } : step
    const then = frame(onPut, { ...vars, envelope, next, token: found.token })
    return steps.writeBy === 'set' ? set(next, then) : cas(next, found.token, then)
  }

  const onPut = (
    put: Stored,
    vars: OfSettled & { readonly next: LiveEnvelope; readonly token: Token },
    around: Around,
  ): Task => {
    const { intent, attempt: tried, envelope, next } = vars
    const mayBeIn = put.outcome !== 'lost' || put.applied === 'unknown'
    const onward: OfWrite = { intent, attempt: tried, doubt: doubtOf(envelope, vars, mayBeIn) }
    switch (put.outcome) {
      case 'stored':
        return settle({ state: 'live', where: 'cache', envelope: next, token: put.token }, onward, around)
      case 'too-large':
        return steps.onTooLarge === 'freeze'
          ? cas(
              { ...envelope, frozen: true },
              vars.token,
              frame(onHalted, { intent, attempt: tried, doubt: vars.doubt, envelope }),
            )
          : takeOver(envelope, vars, around)
      case 'lost':
        if (steps.onLostCas === 'acknowledge') return ended(vars, 'acked')
        if (steps.onLostCas === 'flush mine')
          return flushes.updateTwice(
            rules.flushGuard(next),
            rules.storedSession(next, undefined, TIMINGS),
            frame(onFlushedMine, onward),
          )
        return reads.observe('writer', frame(onStands, { ...onward, envelope }))
      case 'conflict':
      case 'missing':
        return attempt({ intent, attempt: tried, doubt: vars.doubt })
    }
  }

  /**
   * A write that is too large goes round the cache, from a copy that nobody changes meanwhile: one that others
   * had written to since it was read would take their writes along into death.
   */
  const onHalted = (halted: Stored, vars: OfSettled, around: Around): Task => {
    const { intent, attempt: tried, doubt, envelope } = vars
    return halted.outcome === 'stored' || halted.outcome === 'missing'
      ? takeOver(envelope, { intent, attempt: tried, doubt }, around)
      : attempt({ intent, attempt: tried, doubt })
  }

  /** Weak: an envelope that no compare-and-set accepted is flushed under its own lineage. */
  const onFlushedMine = (outcome: Refusable, vars: OfWrite): Task => {
    if (outcome === 'unavailable') return ended(vars, 'unknown')
    return outcome.outcome === 'applied' ? ended(vars, 'durable') : attempt(vars)
  }

  /** What stands after an answer was lost. */
  const onStands = (found: Found, vars: OfSettled, around: Around): Task => {
    const { intent, attempt: tried, doubt, envelope } = vars
    // What I hold may be newer than the row: it goes along, under a guard that knows where it came from.
    if (found.state === 'live' && found.where === 'backend' && found.why === 'unreachable')
      return takeOver(envelope, { intent, attempt: tried, doubt }, around)
    const next = { intent, attempt: tried + 1, doubt }
    return next.attempt >= maxAttempts ? gaveUp(next) : onFound(found, next, around)
  }

  /** After a loss versions start lower again: the ring must remember from the lowest on. */
  const doubtOf = ({ lineage, version }: LiveEnvelope, { doubt }: OfWrite, mayBeIn: boolean): Doubt => ({
    lineage,
    mayBeIn: mayBeIn || doubt?.mayBeIn === true,
    version: Math.min(doubt?.version ?? version, version),
  })

  /** A write that the cache accepted: flushed if it is due, and acknowledged. */
  const settle = (accepted: InCache, vars: OfWrite, around: Around): Task => {
    const critical = vars.intent.durable ? ('durable' as const) : undefined
    const situation = { now: around.now, critical, identified: false }
    const { envelope, token } = accepted
    if (rules.flushReason(envelope, situation, policy) === undefined)
      return ended(vars, envelope.durableVersion >= envelope.version ? 'durable' : 'acked')
    return flushes.flush(envelope, token, frame(onFlushed, { ...vars, envelope }))
  }

  const onFlushed = (flushed: Flushed, vars: OfSettled): Task => {
    const { intent, attempt: tried, doubt } = vars
    switch (flushed.outcome) {
      case 'again':
        return attempt({ intent, attempt: tried, doubt })
      case 'destroyed':
        return ended(vars, 'dropped')
      case 'durable':
        return ended(vars, 'durable', flushed.owes === 'repair' ? REPAIR : undefined)
      case 'unavailable':
        // With the backend out of reach the write stays in the cache; a critical one rejects.
        return ended(vars, intent.durable ? 'unknown' : 'cache only')
    }
  }

  /** The same write straight into the backend, where the cache cannot take it. */
  const takeOver = (base: LiveEnvelope, vars: OfWrite, around: Around): Task => {
    const step = writeOf(base, vars.intent.write, around.now)
    const taken = rules.takenOver(base, step, around.lineage(), policy.maxStaleCount)
    return putIntoBackend(base, taken, frame(onTaken, { ...vars, base, taken }))
  }

  interface OfTakeover extends OfWrite {
    readonly base: LiveEnvelope
    readonly taken: LiveEnvelope
  }

  const onTaken = (put: Put, vars: OfTakeover): Task => {
    const { intent, attempt: tried } = vars
    if (put === 'unavailable') return ended(vars, 'unknown')
    if (put !== 'in') {
      const { row, mayBeIn } = put
      if (row.state !== 'live') return ended(vars, 'dropped')
      const doubt = mayBeIn ? doubtOf(vars.base, vars, true) : vars.doubt
      if (!row.writeIds.includes(writeIdOf(intent.write))) return attempt({ intent, attempt: tried, doubt })
    }
    return look(vars)
  }

  const look = (vars: OfTakeover): Task =>
    steps.afterTakeover === 'look'
      ? flushes.settleAfterTakeover(vars.taken, vars.intent.write, frame(onSettled, { intent: vars.intent }))
      : ended(vars, 'durable')

  const onSettled = (settled: Settled, { intent }: { readonly intent: Intent }): Task => {
    const status = settled === 'destroyed' ? 'dropped' : 'durable'
    return end({ did: 'write', write: intent.write, status }, settled === 'unseen' ? REPAIR : undefined)
  }

  return { save }
}
