import { charged, holdsMore, lost } from './losses.js'
import { told } from './report.js'
import { type Emit, type Searched, steps } from './steps.js'
import { IN_BACKGROUND } from './task.js'
import { type Actor, elsewhere, perform, spend, tokenOf, type World, withActor } from './world.js'

/*
 * What may happen next: any process takes its next step, with every way its command may end; and everything
 * that may go wrong, as often as the configuration allows. A process that is never heard of again needs no
 * step of its own: every search contains the worlds in which it takes none. A crash is one all the same, as it
 * ends what the process would still have done in the background.
 */

export const successors = (world: World, searched: Searched, emit: Emit): void => {
  const there = elsewhere(world)
  const emitThere: Emit = (next, what) => emit(elsewhere(next), what)
  world.actors.forEach((actor, index) => {
    if (actor.isElsewhere) steps(there, actor, index, searched, emitThere)
    else steps(world, actor, index, searched, emit)
  })
  if (there.cache.entry !== undefined && there !== world) {
    losses(there, emitThere, ' elsewhere')
    markEnds(there, emitThere, ' elsewhere')
  }
  lateCommands(world, searched, emit)
  troubles(world, searched, emit)
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

/** No fault: a mark that nothing stands in the backend has a short life, whose end may come at any moment. */
const markEnds = (world: World, emit: Emit, where: string): void => {
  const { cache } = world
  if (cache.entry?.kind !== 'nothing') return
  emit({ ...world, cache: { ...cache, entry: undefined } }, () => `the mark${where} is over`)
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
    markEnds(world, emit, '')
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
  if (budget.expiries > 0) emit(expired(world), () => 'the session expires')
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
          ...withActor(world, index, { ...actor, ops: [], task: undefined, held: undefined, floor: 0 }),
          budget: spend(budget, 'crashes'),
        },
        () => `${actor.name} crashes`,
      )
  })
}

/** What was promised was promised of a session that lives. */
const expired = (world: World): World => ({
  ...world,
  era: world.era + 1,
  ended: world.era,
  budget: spend(world.budget, 'expiries'),
  past: { ...world.past, acked: 0, durable: 0, drained: 0, seen: 0 },
})

/** It knows of no outage, and neither of what it was doing nor of what it owed. */
const newProcess = (actor: Actor): Actor => {
  const rest = actor.task === undefined ? actor.ops : actor.ops.slice(1)
  const ops = rest.filter((op) => !IN_BACKGROUND.has(op.do))
  return {
    ...actor,
    ops,
    task: undefined,
    held: undefined,
    floor: 0,
    isAway: false,
    failedLooks: 0,
    noticed: 0,
    noted: 0,
  }
}

/** Its connections end with it, and the commands on them. */
const restarted = (world: World, { rules }: Searched): World => ({
  ...world,
  cache: { entry: undefined, token: 0, generation: world.cache.generation + 1, changes: 0, isDown: false },
  late: rules.steps.commands === 'die' ? world.late.filter(({ to }) => to === 'backend') : world.late,
})
