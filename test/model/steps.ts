import { AFTER_DESTROY, writesIn } from './data.js'
import { charged, lost } from './losses.js'
import { recorded } from './record.js'
import { told, toldAnswer, toldEnd } from './report.js'
import type { Rules, Settings } from './rules.js'
import type { Taking } from './taking.js'
import type { Answer, Command, Op } from './task.js'
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
  const task = searched.taking.taskOf(actor, op)
  if (task.at !== 'asking') return
  const { command } = task
  const isNew = actor.task === undefined
  const before = isNew && DESTROYS.has(op.do) ? { ...world, past: begunToDestroy(world.past) } : world
  const { past } = world
  const floor = isNew ? past.acked | past.seen | (past.destroy === 'acked' ? AFTER_DESTROY : 0) : 0

  const answered = (done: World, answer: Answer, ending: string, isHeard = true): void => {
    const { by, nexts, lineages, outagesEnded } = searched.taking.take(done, actor, op, floor, answer, isHeard)
    for (const next of nexts) {
      const { way } = next
      const after = { ...withActor(done, index, next.actor), lineages, outagesEnded }
      emit(
        way.at === 'end' ? recorded(after, by, way, searched) : after,
        () => `${actor.name}: ${told(command)}${ending} → ${toldAnswer(answer)}${toldEnd(way)}`,
      )
    }
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
      if (budget.lostLooks > 0)
        answered({ ...before, budget: spend(budget, 'lostLooks') }, 'unreachable', ', answer lost', false)
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

const isTooLarge = (command: Extract<Command, { op: 'cas' }>, { settings: { tooLarge } }: Searched): boolean =>
  tooLarge !== 0 && (writesIn(command.value) & tooLarge) !== 0

/** Nobody acts on a session whose id is not out yet. */
const knowsTheId = ({ idIsOut }: World, { do: what }: Op): boolean => idIsOut || what === 'create'

const DESTROYS: ReadonlySet<Op['do']> = new Set(['destroy', 'destroy again'])

const noAnswer = (command: Extract<Command, { to: 'cache' }>, applied: 'no' | 'unknown' = 'unknown'): Answer => {
  if (command.op === 'get') return 'unreachable'
  return command.op === 'drop' || command.op === 'set tombstone' ? 'lost' : { outcome: 'lost', applied }
}
