import { masked, TIMINGS, writesIn } from '../data.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  cas,
  type EntryState,
  either,
  end,
  extend,
  frame,
  get,
  type InCache,
  type Op,
  type PutOutcome,
  purge,
  set,
  setTombstone,
  type Task,
} from '../task.js'
import type { Flushed, Flushing } from './flush.js'
import type { Reading, Standing } from './read.js'

/*
 * What is done without changing a session: a read, and rules 8 and 11, the flush by time, by a reader or by a
 * drain, and the touch; and the repair that a takeover out of sight of the cache owes.
 */

export interface Beside {
  /** `keeps`: the request holds on to the handle. */
  read(keeps: boolean): Task
  /** By time or by a drain. */
  flush(): Task
  readAndFlush(): Task
  touch(): Task
  repair(): Task
  purge(): Task
}

const REPAIR: Op = { do: 'repair' }
const NOTHING = { did: 'nothing' } as const

export const beside = (rules: Rules, { policy }: Settings, reads: Reading, flushes: Flushing): Beside => {
  const read = (keeps: boolean): Task => reads.observe('reader', frame(onRead, { keeps }))

  const onRead = (found: Standing, { keeps }: { readonly keeps: boolean }): Task => {
    if (found.state === 'unavailable') return end(NOTHING)
    if (found.state === 'none') return end({ did: 'read', writes: 'none' })
    const task = end({ did: 'read', writes: writesIn(found.envelope) })
    if (!keeps) return task
    const data = masked(writesIn(found.envelope))
    return { ...task, held: { seen: found, view: data, data, anchor: data, ids: [] } }
  }

  const readAndFlush = (): Task => reads.observe('reader', frame(onReadForFlush, {}))

  const onReadForFlush = (found: Standing, _vars: object, { now }: Around): Task => {
    if (found.state !== 'live' || found.where !== 'cache') return end(NOTHING)
    const isDue = rules.readerShouldFlush(found.envelope, now, { maxStaleMs: 0, policy, identified: () => false })
    return isDue ? flush() : end(NOTHING)
  }

  const flush = (): Task => get(frame(onLookForFlush, {}))

  const onLookForFlush = (seen: EntryState | 'unreachable', _vars: object): Task => {
    if (seen === 'unreachable') return end({ did: 'flush', left: true })
    if (seen.state !== 'live') return end({ did: 'flush', left: false })
    const isDue = rules.isUnflushed(seen.envelope) && rules.owesFlush(seen.envelope, policy, () => false)
    return isDue ? flushes.flush(seen.envelope, seen.token, frame(onFlushed, {})) : end({ did: 'flush', left: false })
  }

  const onFlushed = (flushed: Flushed): Task =>
    end({ did: 'flush', left: flushed.outcome === 'unavailable' && rules.steps.onUnansweredDrain === 'left' })

  /** The touch of a request that loaded the session; whether the backend is told as well depends on times. */
  const touch = (): Task => reads.observe('reader', frame(onLoaded, {}))

  const onLoaded = (found: Standing, _vars: object, around: Around): Task => {
    if (found.state !== 'live') return end(NOTHING)
    const told = extend(frame(onTold, { found }))
    return found.where === 'cache' ? either(rewrite(found, false, around), told) : told
  }

  const onTold = (
    outcome: 'extended' | 'destroyed' | 'absent' | 'unavailable',
    { found }: { readonly found: Extract<Standing, { state: 'live' }> },
    around: Around,
  ): Task => {
    // A cached copy of what the backend does not have: it was destroyed.
    if (outcome === 'destroyed' || outcome === 'absent') return setTombstone(frame(onOver, {}))
    return found.where === 'cache' ? rewrite(found, outcome === 'extended', around) : end(NOTHING)
  }

  const rewrite = ({ envelope, token }: InCache, backendWasTold: boolean, { now }: Around): Task => {
    const next = rules.touched(envelope, now, envelope.idleTtlMs, TIMINGS, backendWasTold)
    return rules.steps.touchBy === 'set' ? set(next, frame(onOver, {})) : cas(next, token, frame(onOver, {}))
  }

  const onOver = (_outcome: PutOutcome | 'told' | 'lost' | 'unreachable'): Task => end(NOTHING)

  const purging = (): Task => purge(policy.persistOn !== 'create', frame(onPurged, {}))

  const onPurged = (_told: 'told' | 'unavailable'): Task => end(NOTHING)

  const repair = (): Task => flushes.removeIfDead(frame(onRepaired, {}))

  const onRepaired = (done: boolean): Task => (done ? end(NOTHING) : end(NOTHING, REPAIR))

  return { read, flush, readAndFlush, touch, repair, purge: purging }
}
