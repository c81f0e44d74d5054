import { AFTER_DESTROY, AFTER_MOVE, writesIn } from './data.js'
import { charged, lost } from './losses.js'
import { recorded } from './record.js'
import { told, toldAnswer, toldEnd } from './report.js'
import type { Rules, Settings } from './rules.js'
import { afterwards, type Taking } from './taking.js'
import { type Answer, type Command, type Ended, end, type Op } from './task.js'
import { type Actor, begunToDestroy, perform, spend, type World, withActor } from './world.js'

/* The next step of a process, with every way in which what it asks may end. */

export interface Searched {
  readonly rules: Rules
  readonly settings: Settings
  readonly taking: Taking
  readonly isAsymmetric: boolean
  readonly nobodyGivesUp: boolean
  /** A session stands there from the beginning. */
  readonly startsLive: boolean
  /** Both tiers keep what they have and answer. */
  readonly isHealthy: boolean
  readonly outageIsSeenByAll: boolean
}

export type Emit = (world: World, what: () => string) => void

export const steps = (world: World, actor: Actor, index: number, searched: Searched, emit: Emit): void => {
  const [op] = actor.ops
  if (op === undefined || !knowsTheId(world, op)) return
  if (op.do === 'drain' && !mayDrain(world, actor, index)) return
  const isNew = actor.task === undefined
  const before = isNew ? begun(world, actor, op) : world
  const task = searched.taking.taskOf(actor, op)
  if (op.do === 'drain' && isNew && (world.actors[actor.process]?.noted ?? 0) === 0) {
    ended(before, actor, index, end({ did: 'flush', left: false }), searched, emit)
    return
  }
  if (task.at === 'crossroads') return
  if (task.at === 'end') {
    ended(before, actor, index, task, searched, emit)
    return
  }
  const { command } = task
  const { past } = world
  const isMoved = world.row.state === 'destroyed' && world.row.by !== undefined
  const floor = isNew
    ? past.acked | past.seen | (past.destroy === 'acked' ? AFTER_DESTROY : 0) | (isMoved ? AFTER_MOVE : 0)
    : 0

  const answered = (done: World, answer: Answer, ending: string, isHeard = true): void => {
    const { by, nexts, lineages, outagesEnded } = searched.taking.take(done, actor, op, floor, answer, isHeard)
    for (const next of nexts) {
      const { way } = next
      const after = { ...withActor(done, index, next.actor), lineages, outagesEnded }
      emit(
        way.at === 'end' ? recorded(noted(after, by, way), by, way, searched) : after,
        () => `${actor.name}: ${told(command)}${ending} → ${toldAnswer(answer)}${toldEnd(way)}`,
      )
    }
  }

  /** No answer while the cache is not away: by looking again, as often as is promised, a process tells. */
  const failedLook = (after: World): void => {
    if (searched.rules.steps.onFailedLook === 'go round' || actor.failedLooks >= LOOKS_AGAIN) {
      answered(after, 'unreachable', ', answer lost', false)
      return
    }
    const looking = { ...actor, task, floor: isNew ? floor : actor.floor, failedLooks: actor.failedLooks + 1 }
    emit(withActor(after, index, looking), () => `${actor.name}: get, answer lost; it looks again`)
  }

  const { budget } = before
  if (command.to === 'cache') {
    if (before.cache.isDown || actor.isCutOff) {
      answered(before, noAnswer(command, 'no'), ', out of reach', false)
      return
    }
    if (command.op === 'cas' && isTooLarge(command, searched)) {
      const gone =
        before.cache.entry === undefined ? before : { ...before, cache: { ...before.cache, entry: undefined } }
      answered(before, { outcome: 'too-large' }, ', too large')
      if (gone !== before)
        answered(lost(before, gone), { outcome: 'too-large' }, ', too large, and the old entry is gone')
      return
    }
    const done = perform(before, command, searched.rules)
    answered(done.world, done.answer, '')
    if (command.op === 'get') {
      if (budget.lostLooks > 0) failedLook({ ...before, budget: spend(budget, 'lostLooks') })
      return
    }
    if (budget.lostInCache > 0) {
      const spent = spend(budget, 'lostInCache')
      answered({ ...done.world, budget: spent }, noAnswer(command), ', done, answer lost', false)
      answered({ ...before, budget: spent }, noAnswer(command), ', lost on its way', false)
    }
    if (budget.lateInCache > 0)
      answered(
        { ...before, budget: spend(budget, 'lateInCache'), late: [...before.late, command] },
        noAnswer(command),
        ', late',
        false,
      )
    return
  }

  if (before.backendIsDown) {
    answered(before, 'unavailable', ', backend down')
    return
  }
  const done = perform(before, command, searched.rules)
  answered(charged(before, done.world, command, searched), done.answer, '')
  if (command.op === 'read') return
  if (budget.lostInBackend > 0) {
    const spent = spend(budget, 'lostInBackend')
    answered(charged(before, { ...done.world, budget: spent }, command, searched), 'unavailable', ', done, answer lost')
    answered({ ...before, budget: spent }, 'unavailable', ', lost on its way')
  }
  if (budget.lateInBackend > 0)
    answered(
      { ...before, budget: spend(budget, 'lateInBackend'), late: [...before.late, command] },
      'unavailable',
      ', late',
    )
}

/** How often one looks again in the search; more in the store. */
const LOOKS_AGAIN = 1

/** An operation that asks nobody. */
const ended = (world: World, actor: Actor, index: number, way: Ended, searched: Searched, emit: Emit): void => {
  const after = noted(withActor(world, index, afterwards(actor, way)), actor, way)
  emit(recorded(after, actor, way, searched), () => `${actor.name}: asks nobody${toldEnd(way)}`)
}

/** What the beginning of an operation changes in the record. */
const begun = (world: World, actor: Actor, op: Op): World => {
  const { past } = world
  if (DESTROYS.has(op.do)) return { ...world, past: begunToDestroy(past) }
  // What was said not to be applied is asked for again.
  if (op.do !== 'save again' || actor.held === undefined || past.refused === 0) return world
  return { ...world, past: { ...past, refused: past.refused & ~writesIn(actor.held) } }
}

/** A process that is to end lets its other requests end first. */
const mayDrain = ({ actors }: World, { process }: Actor, index: number): boolean =>
  actors.every((other, at) => at === index || other.process !== process || other.ops.length === 0)

/** The ledger of a process that is to drain, after an operation of its. */
const noted = (world: World, { process, ops: [op] }: Actor, way: Ended): World => {
  const head = world.actors[process]
  if (head === undefined) return world
  const { forgets = 0, notes = 0, ending } = way
  const isDrained = op?.do === 'drain' && ending.did === 'flush' && !ending.left
  const kept = isDrained || head.noted <= forgets ? 0 : head.noted
  const newest = Math.max(kept, notes)
  return newest === head.noted ? world : withActor(world, process, { ...head, noted: newest })
}

const isTooLarge = (command: Extract<Command, { op: 'cas' }>, { settings: { tooLarge } }: Searched): boolean =>
  tooLarge !== 0 && (writesIn(command.value) & tooLarge) !== 0

/** Nobody acts on a session whose id is not out yet. */
const knowsTheId = ({ idIsOut }: World, { do: what }: Op): boolean => idIsOut || what === 'create'

const DESTROYS: ReadonlySet<Op['do']> = new Set(['destroy', 'destroy again'])

const noAnswer = (command: Extract<Command, { to: 'cache' }>, applied: 'no' | 'unknown' = 'unknown'): Answer => {
  if (command.op === 'get') return 'unreachable'
  return command.op === 'remove' || command.op === 'set tombstone' ? 'lost' : { outcome: 'lost', applied }
}
