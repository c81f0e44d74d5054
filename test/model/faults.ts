import { AFTER_DESTROY, writesIn } from './data.js'
import { eventuallyVisible, visible } from './properties.js'
import { told, toldAnswer, toldEnd } from './report.js'
import type { Rules, Settings } from './rules.js'
import type { Taking } from './taking.js'
import type { Answer, Command, Ending, Op, Task } from './task.js'
import { type Actor, type Budget, begunToDestroy, elsewhere, perform, tokenOf, type World, wrong } from './world.js'

/*
 * What may happen next: any process takes its next step, with every way its command may end; and everything
 * that may go wrong, as often as the configuration allows. A process that is never heard of again needs no
 * step of its own: every search contains the worlds in which it takes none. A crash is one all the same, as it
 * ends what the process would still have done in the background.
 */

export interface Step {
  readonly world: World
  readonly what: string
}

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

const NO_SESSION = 'I9 A FAULT BECAME "NO SESSION"'

type Emit = (world: World, what: () => string) => void

export const successors = (world: World, searched: Searched, emit: Emit): void => {
  const there = elsewhere(world)
  const emitThere: Emit = (next, what) => emit(elsewhere(next), what)
  world.actors.forEach((actor, index) => {
    if (actor.isElsewhere) steps(there, actor, index, searched, emitThere)
    else steps(world, actor, index, searched, emit)
  })
  if (there.cache.entry !== undefined && there !== world) losses(there, emitThere, ' elsewhere')
  lateCommands(world, searched, emit)
  troubles(world, searched, emit)
}

const spend = (budget: Budget, fault: keyof Budget): Budget => ({ ...budget, [fault]: budget[fault] - 1 })

const steps = (world: World, actor: Actor, index: number, searched: Searched, emit: Emit): void => {
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

/**
 * Where not all have one view of the cache, each takeover counts as a loss. Where lists of servers differ, so does
 * each flush of a lineage that another server's was put in place of: what stood there unflushed is lost with it.
 * An outage seen by all costs what the cache held alone, or else what is written to its old contents until a
 * takeover that was still under way comes in: in any case once.
 */
const charged = (before: World, after: World, command: Command, { isAsymmetric }: Searched): World => {
  if (command.op !== 'update' || after.row === before.row || before.row.state !== 'live') return after
  const { lineage } = command.session
  const { past, cache } = after
  if (!isAsymmetric)
    return past.outageWasFree && !cache.isDown && lineage !== command.guard.lineage
      ? { ...after, past: { ...past, losses: past.losses + 1, outageWasFree: false } }
      : after
  const isLoss = before.other === undefined ? lineage !== command.guard.lineage : lineage !== before.row.session.lineage
  return isLoss ? { ...after, past: { ...after.past, losses: after.past.losses + 1 } } : after
}

const isTooLarge = (command: Extract<Command, { op: 'cas' }>, { settings: { tooLarge } }: Searched): boolean =>
  tooLarge !== 0 && (writesIn(command.value) & tooLarge) !== 0

/** Nobody acts on a session whose id is not out yet. */
const knowsTheId = ({ idIsOut }: World, { do: what }: Op): boolean => idIsOut || what === 'create'

const DESTROYS: ReadonlySet<Op['do']> = new Set(['destroy', 'destroy again'])

const withActor = (world: World, index: number, actor: Actor): World => ({
  ...world,
  actors: world.actors.map((other, at) => (at === index ? actor : other)),
})

const recorded = (world: World, actor: Actor, way: Extract<Task, { at: 'end' }>, searched: Searched): World => {
  const { ending } = way
  const [op] = actor.ops
  const { past } = world
  const seen = searched.isAsymmetric ? eventuallyVisible : visible
  switch (ending.did) {
    case 'write': {
      const known = op?.do === 'create' && ending.status !== 'dropped' ? { ...world, idIsOut: true } : world
      if (ending.status === 'durable' && op?.do === 'save' && (actor.floor & AFTER_DESTROY) !== 0)
        return wrong(known, 'I2 A WRITE AFTER THE DESTROY IS DURABLE')
      return written(known, ending.write, ending.status, searched)
    }
    case 'read': {
      if (past.destroy !== 'no') return world
      if (ending.writes === 'none') return searched.startsLive ? wrong(world, NO_SESSION) : world
      if (searched.isHealthy && (actor.floor & ~ending.writes) !== 0) return wrong(world, 'I6 READ WENT BACK')
      return searched.isHealthy ? { ...world, past: { ...past, seen: past.seen | ending.writes } } : world
    }
    case 'destroy': {
      const isDone = ending.status === 'acked' || (ending.status === 'cache unreachable' && searched.outageIsSeenByAll)
      return isDone ? { ...world, past: { ...past, destroy: 'acked' } } : world
    }
    case 'flush':
      return op?.do === 'drain' && !ending.left
        ? { ...world, past: { ...past, drained: past.drained | (ownWrites(actor) & past.acked & seen(world)) } }
        : world
    case 'regenerate':
      return moved(world, actor, way)
    case 'create':
    case 'nothing':
      return world
  }
}

/** A regeneration that ended. */
const moved = (world: World, { ops: [op] }: Actor, { ending, owes }: Extract<Task, { at: 'end' }>): World => {
  if (op?.do !== 'regenerate' || ending.did !== 'regenerate') return world
  const { past, row } = world
  const fresh = world.newRows[op.write]
  if (ending.status === 'failed')
    return typeof fresh === 'object' && owes?.do !== 'forget'
      ? wrong(world, 'THE NEW SESSION OF A FAILED REGENERATION IS LEFT')
      : world
  if (past.movedWith !== undefined) return wrong(world, 'TWO REGENERATIONS SUCCEEDED')
  if (row.state === 'destroyed' && row.by !== op.write) return wrong(world, "REGENERATED OVER ANOTHER'S TOMBSTONE")
  if (typeof fresh !== 'object') return wrong(world, 'REGENERATED TO NOTHING')
  return { ...world, past: { ...past, movedWith: fresh.writes, destroy: owes === undefined ? 'acked' : past.destroy } }
}

const written = (
  world: World,
  write: number,
  status: Extract<Ending, { did: 'write' }>['status'],
  { nobodyGivesUp, startsLive }: Searched,
): World => {
  const { past } = world
  const bit = 1 << write
  switch (status) {
    case 'acked':
      return { ...world, past: { ...past, acked: past.acked | bit } }
    case 'durable':
      return { ...world, past: { ...past, acked: past.acked | bit, durable: past.durable | bit } }
    case 'not applied':
      return { ...world, past: { ...past, refused: past.refused | bit } }
    case 'dropped':
      return past.destroy === 'no' && startsLive ? wrong(world, NO_SESSION) : world
    case 'gave up':
      return nobodyGivesUp ? wrong(world, 'GAVE UP') : { ...world, past: { ...past, refused: past.refused | bit } }
    case 'gave up, unknown':
      return nobodyGivesUp ? wrong(world, 'GAVE UP') : world
    case 'cache only':
      return { ...world, past: { ...past, acked: past.acked | bit, backendWasDown: true } }
    case 'unknown':
      return world
  }
}

const ownWrites = ({ writes }: Actor): number => writes.reduce((mask, write) => mask | (1 << write), 0)

const noAnswer = (command: Extract<Command, { to: 'cache' }>, applied: 'no' | 'unknown' = 'unknown'): Answer => {
  if (command.op === 'get') return 'unreachable'
  return command.op === 'drop' || command.op === 'set tombstone' ? 'lost' : { outcome: 'lost', applied }
}

/** Commands whose answer nobody waits for any more; each may be carried out at any later time, or never. */
const lateCommands = (world: World, searched: Searched, emit: Emit): void => {
  world.late.forEach((command, index) => {
    if (command.to === 'cache' ? world.cache.isDown : world.backendIsDown) return
    const late = world.late.filter((_, at) => at !== index)
    const after = charged(world, perform(world, command, searched.rules).world, command, searched)
    emit({ ...after, late }, () => `late: ${told(command)}`)
  })
}

const losses = (world: World, emit: Emit, where: string): void => {
  const { cache, budget } = world
  if (budget.losses === 0) return
  const forgotten = { ...cache, entry: undefined }
  const after = { ...world, cache: forgotten, budget: spend(budget, 'losses') }
  emit(lost(world, after), () => `the cache${where} loses the entry`)
}

const troubles = (world: World, searched: Searched, emit: Emit): void => {
  const { cache, budget, past, actors } = world
  if (!cache.isDown && cache.entry !== undefined) {
    losses(world, emit, '')
    if (budget.restarts > 0)
      emit(
        lost(world, restarted({ ...world, budget: spend(budget, 'restarts') }, searched)),
        () => 'the cache restarts',
      )
    if (cache.entry.kind === 'lease' && budget.leaseExpiries > 0)
      emit(
        { ...world, cache: { ...cache, entry: undefined }, budget: spend(budget, 'leaseExpiries') },
        () => 'the lease expires',
      )
  }
  if (!cache.isDown && budget.outages > 0) {
    emit(
      {
        ...world,
        cache: { ...cache, isDown: true },
        budget: spend(budget, 'outages'),
        past: holdsMore(world) ? { ...past, losses: past.losses + 1 } : { ...past, outageWasFree: true },
      },
      () => 'nobody reaches the cache',
    )
  }
  if (cache.isDown) {
    const outagesEnded = world.outagesEnded + 1
    const known = { ...world, actors: actors.map((actor) => ({ ...actor, noticed: outagesEnded })), outagesEnded }
    const back = world.view === 'one' ? known : world
    emit(restarted(back, searched), () => 'the cache is back, empty')
    if (cache.entry !== undefined) {
      const old = restarted(back, searched)
      const kept = {
        ...old.cache,
        entry: cache.entry,
        token: tokenOf(old.cache.generation, cache.changes),
        changes: cache.changes,
      }
      emit({ ...old, cache: kept }, () => 'the cache is back, with its old contents')
    }
  }
  if (!world.backendIsDown && budget.backendOutages > 0)
    emit(
      {
        ...world,
        backendIsDown: true,
        budget: spend(budget, 'backendOutages'),
        past: { ...past, backendWasDown: true },
      },
      () => 'nobody reaches the backend',
    )
  if (world.backendIsDown) emit({ ...world, backendIsDown: false }, () => 'the backend is back')
  actors.forEach((actor, index) => {
    if (actor.isCutOff)
      emit(withActor(world, index, { ...actor, isCutOff: false }), () => `${actor.name} reaches the cache again`)
    if (actor.ops.length === 0) return
    if (!actor.isCutOff && budget.cuts > 0)
      emit(
        { ...withActor(world, index, { ...actor, isCutOff: true }), budget: spend(budget, 'cuts') },
        () => `${actor.name} is cut off from the cache`,
      )
    // A process that is to drain does so before it ends.
    if (budget.moves > 0 && actor.task === undefined && actor.ops[0]?.do !== 'drain')
      emit(
        {
          ...withActor(world, index, { ...newProcess(actor), isElsewhere: !actor.isElsewhere }),
          budget: spend(budget, 'moves'),
        },
        () => `${actor.name} is started again with ${actor.isElsewhere ? 'the first' : 'another'} list of servers`,
      )
    if (budget.rebirths > 0)
      emit(
        { ...withActor(world, index, newProcess(actor)), budget: spend(budget, 'rebirths') },
        () => `${actor.name} ends and is started again`,
      )
    if (budget.crashes > 0 && actor.task !== undefined)
      emit(
        {
          ...withActor(world, index, { ...actor, ops: [], task: undefined, floor: 0 }),
          budget: spend(budget, 'crashes'),
        },
        () => `${actor.name} crashes`,
      )
  })
}

const IN_BACKGROUND: ReadonlySet<Op['do']> = new Set(['repair', 'destroy again', 'bury', 'forget', 'place'])

/** It knows of no outage, and neither of what it was doing nor of what it owed. */
const newProcess = (actor: Actor): Actor => {
  const rest = actor.task === undefined ? actor.ops : actor.ops.slice(1)
  const ops = rest.filter((op) => !IN_BACKGROUND.has(op.do))
  return { ...actor, ops, task: undefined, floor: 0, isAway: false, noticed: 0 }
}

/** I4 counts what the cache forgot only where it held what the backend did not. */
const holdsMore = ({ cache: { entry }, row }: World): boolean =>
  entry?.kind === 'live' && (writesIn(entry) & ~(row.state === 'live' ? writesIn(row.session) : 0)) !== 0

const lost = (before: World, after: World): World =>
  holdsMore(before) ? { ...after, past: { ...after.past, losses: after.past.losses + 1 } } : after

/** Its connections end with it, and the commands on them. */
const restarted = (world: World, { rules }: Searched): World => ({
  ...world,
  cache: { entry: undefined, token: 0, generation: world.cache.generation + 1, changes: 0, isDown: false },
  late: rules.steps.commands === 'die' ? world.late.filter(({ to }) => to === 'backend') : world.late,
})
