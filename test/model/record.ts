import { AFTER_DESTROY, AFTER_MOVE, writesIn } from './data.js'
import { eventuallyVisible, visible } from './properties.js'
import type { Searched } from './steps.js'
import type { Ended } from './task.js'
import { type Actor, type World, wrong } from './world.js'

/* What the end of an operation leaves in the record that the properties read, and what is wrong with it already. */

const NO_SESSION = 'I9 A FAULT BECAME "NO SESSION"'

export const recorded = (world: World, actor: Actor, way: Ended, searched: Searched): World => {
  const { ending } = way
  const [op] = actor.ops
  const { past } = world
  const seen = searched.isAsymmetric ? eventuallyVisible : visible
  switch (ending.did) {
    case 'write': {
      const known = op?.do === 'create' && ending.status !== 'dropped' ? { ...world, idIsOut: true } : world
      const isOfAnother = ending.of !== undefined && ending.of > past.destroyedIn
      if (ending.status === 'durable' && op?.do === 'save' && (actor.floor & AFTER_DESTROY) !== 0 && !isOfAnother)
        return wrong(known, 'I2 A WRITE AFTER THE DESTROY IS DURABLE')
      return written(known, actor, way, searched)
    }
    case 'read': {
      if (ending.writes !== 'none' && (actor.floor & AFTER_MOVE) !== 0 && !searched.isAsymmetric)
        return wrong(world, 'THE OLD ID IS SERVED AFTER THE NEW ONE HAS TAKEN ITS PLACE')
      // With the session that a read began with, what it had to see may have expired.
      if (past.destroy !== 'no' || world.ended > 0) return world
      if (ending.writes === 'none') return mustBeThere(actor, searched) ? wrong(world, NO_SESSION) : world
      if (searched.isHealthy && (actor.floor & ~ending.writes) !== 0) return wrong(world, 'I6 READ WENT BACK')
      return searched.isHealthy ? { ...world, past: { ...past, seen: past.seen | ending.writes } } : world
    }
    case 'destroy': {
      const isDone = ending.status === 'acked' || (ending.status === 'cache unreachable' && searched.outageIsSeenByAll)
      return isDone ? destroyed(world) : world
    }
    case 'flush': {
      if (op?.do !== 'drain' || ending.left) return world
      const mine = writesOfProcess(world, actor) & past.acked & seen(world)
      const kept = { ...world, past: { ...past, drained: past.drained | mine } }
      // Where lists of servers differ, it is to be seen which lineage the backend follows.
      const isKept =
        world.other !== undefined || world.row.state !== 'live' || (mine & ~writesIn(world.row.session)) === 0
      return isKept ? kept : wrong(kept, 'I8 A DRAINED WRITE IS IN THE CACHE ALONE')
    }
    case 'regenerate':
      return moved(world, actor, way)
    case 'create':
    case 'nothing':
      return world
  }
}

/** Whether a session stood when the read began: from the beginning, or made and acknowledged since. */
const mustBeThere = ({ floor }: Actor, { startsLive, isAsymmetric, settings }: Searched): boolean =>
  startsLive || (!isAsymmetric && settings.policy.persistOn === 'create' && floor !== 0)

/** What is made from now on is another session. */
const destroyed = (world: World): World => ({
  ...world,
  era: world.era + 1,
  past: { ...world.past, destroy: 'acked', destroyedIn: world.era },
})

/** A regeneration that ended. */
const moved = (world: World, { ops: [op] }: Actor, { ending, owes }: Ended): World => {
  if (op?.do !== 'regenerate' || ending.did !== 'regenerate') return world
  const { past, row } = world
  const fresh = world.newRows[op.write]
  if (ending.status !== 'acked') {
    const isLeft = typeof fresh === 'object' && !owes.some(({ do: what }) => what === 'forget')
    if (isLeft) return wrong(world, 'THE NEW SESSION OF A FAILED REGENERATION IS LEFT')
    return ending.status === 'failed' ? { ...world, past: { ...past, refused: past.refused | (1 << op.write) } } : world
  }
  if (past.movedWith !== undefined) return wrong(world, 'TWO REGENERATIONS SUCCEEDED')
  if (row.state === 'destroyed' && row.by !== op.write) return wrong(world, "REGENERATED OVER ANOTHER'S TOMBSTONE")
  if (typeof fresh !== 'object') return wrong(world, 'REGENERATED TO NOTHING')
  const done = { ...world, past: { ...past, movedWith: fresh.writes } }
  return owes.length === 0 ? destroyed(done) : done
}

const written = (
  world: World,
  actor: Actor,
  { ending, held }: Ended,
  { nobodyGivesUp, startsLive }: Searched,
): World => {
  if (ending.did !== 'write') return world
  // Of a session that has expired nothing is promised any more.
  if (ending.of !== undefined && ending.of <= world.ended) return world
  const { past } = world
  const bit = 1 << ending.write
  const { asked } = ending
  // Who holds a handle takes all that he changed with it for stored, and all that it then holds for durable.
  const mine = asked === undefined ? bit : writesIn({ data: asked }) & ownWrites(actor)
  switch (ending.status) {
    case 'acked':
      return { ...world, past: { ...past, acked: past.acked | mine } }
    case 'durable': {
      const all = mine | (held === undefined ? 0 : writesIn(held))
      return { ...world, past: { ...past, acked: past.acked | all, durable: past.durable | all } }
    }
    case 'not applied':
      return { ...world, past: { ...past, refused: past.refused | bit } }
    case 'dropped':
      return past.destroy === 'no' && startsLive && world.ended === 0 && actor.ops[0]?.do !== 'put'
        ? wrong(world, NO_SESSION)
        : world
    case 'gave up':
      return nobodyGivesUp ? wrong(world, 'GAVE UP') : { ...world, past: { ...past, refused: past.refused | bit } }
    case 'gave up, unknown':
      return nobodyGivesUp ? wrong(world, 'GAVE UP') : world
    case 'cache only':
      return { ...world, past: { ...past, acked: past.acked | mine, backendWasDown: true } }
    case 'unknown':
      return world
  }
}

const writesOfProcess = ({ actors }: World, actor: Actor): number =>
  actors.reduce((mask, other) => (other.process === actor.process ? mask | ownWrites(other) : mask), ownWrites(actor))

const ownWrites = ({ writes }: Actor): number => writes.reduce((mask, write) => mask | (1 << write), 0)
