import { AFTER_DESTROY } from './data.js'
import { eventuallyVisible, visible } from './properties.js'
import type { Searched } from './steps.js'
import type { Ending, Task } from './task.js'
import { type Actor, type World, wrong } from './world.js'

/* What the end of an operation leaves in the record that the properties read, and what is wrong with it already. */

const NO_SESSION = 'I9 A FAULT BECAME "NO SESSION"'

export const recorded = (world: World, actor: Actor, way: Extract<Task, { at: 'end' }>, searched: Searched): World => {
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
