import type { BackendState } from '../../src/contract/backend.js'
import { type beginning, usesHandle } from './actors/index.js'
import type { Answer, Frame, Op, Task } from './task.js'
import { type Actor, aroundOf, type World } from './world.js'

/*
 * What becomes of an actor by an answer, worked out once: the same actor takes the same answer in many worlds, that
 * differ in what others do. That its objects are then the same too spares spelling them out again.
 */

/** What an actor may do next: it asks, or its operation has ended. */
export type Way = Exclude<Task, { at: 'crossroads' }>

export interface Taken {
  /** As it was when it took the answer. */
  readonly by: Actor
  readonly nexts: readonly { readonly way: Way; readonly actor: Actor }[]
  readonly lineages: number
  readonly outagesEnded: number
}

export interface Taking {
  /** What it asks now; of a new operation, first. */
  taskOf(actor: Actor, op: Op): Task
  /** `floor`: of a new operation, what it must not fall behind. `isHeard`: the tier answered. */
  take(world: World, actor: Actor, op: Op, floor: number, answer: Answer, isHeard: boolean): Taken
}

export const taking = (begin: ReturnType<typeof beginning>): Taking => {
  const firstTasks = new WeakMap<Actor, Task>()
  const known = new WeakMap<Actor, Map<string, Taken>>()
  const ids = new WeakMap<object, number>()
  let lastId = 0

  const idOf = (object: object): number => {
    let id = ids.get(object)
    if (id === undefined) {
      lastId += 1
      id = lastId
      ids.set(object, id)
    }
    return id
  }

  const nameOf = (answer: Answer): string => {
    if (typeof answer === 'string') return answer
    if ('outcome' in answer) {
      if ('row' in answer)
        return `${answer.outcome} ${nameOfRow(answer.row)} ${'mayBeIn' in answer && answer.mayBeIn === true}`
      if (answer.outcome === 'lost') return `lost ${answer.applied}`
      return answer.outcome === 'stored' ? `stored ${answer.token}` : answer.outcome
    }
    if (answer.state === 'lease' || answer.state === 'large') return `${answer.state} ${answer.token}`
    if (answer.state === 'nothing') return `nothing ${answer.token} ${answer.trustedAt}`
    if (answer.state !== 'live') return `state ${answer.state}`
    return 'envelope' in answer ? `entry ${idOf(answer.envelope)} ${answer.token}` : `row ${idOf(answer.session)}`
  }

  const taskOf: Taking['taskOf'] = (actor, op) => {
    if (actor.task !== undefined) return actor.task
    let task = firstTasks.get(actor)
    if (task === undefined) {
      task = begin(op, actor.ops[1], actor.held)
      firstTasks.set(actor, task)
    }
    return task
  }

  const take: Taking['take'] = (world, actor, op, floor, answer, isHeard) => {
    let ofActor = known.get(actor)
    if (ofActor === undefined) {
      ofActor = new Map()
      known.set(actor, ofActor)
    }
    const name = `${floor} ${isHeard} ${world.lineages} ${world.outagesEnded} ${world.era} ${world.ended} ${nameOf(answer)}`
    let taken = ofActor.get(name)
    if (taken === undefined) {
      taken = workOut(world, actor, op, floor, answer, isHeard)
      ofActor.set(name, taken)
    }
    return taken
  }

  const workOut: Taking['take'] = (world, actor, op, floor, answer, isHeard) => {
    const task = taskOf(actor, op)
    if (task.at !== 'asking') throw new Error('Nobody asked')
    const began = { ...actor, floor: actor.task === undefined ? floor : actor.floor, failedLooks: 0 }
    const notices = world.view === 'own' && task.command.to === 'cache'
    const { outagesEnded, by } = notices
      ? noticed(world, began, isHeard)
      : { outagesEnded: world.outagesEnded, by: began }
    const around = aroundOf({ ...world, outagesEnded }, by)
    const resumed = (task.next as Frame<Answer>).resume(answer, around)
    const nexts = waysOf(resumed).map((way) => ({ way, actor: afterwards(by, way) }))
    return { by, nexts, lineages: around.lineages(), outagesEnded }
  }

  return { taskOf, take }
}

const nameOfRow = (row: BackendState): string =>
  row.state === 'live' ? `${row.lineage} ${row.version} ${row.writeIds.join()}` : row.state

/** `outages.ts`: a failed call begins an outage of this process, the next answer ends it. */
const noticed = (world: World, actor: Actor, isHeard: boolean): { outagesEnded: number; by: Actor } => {
  if (!isHeard) return { outagesEnded: world.outagesEnded, by: { ...actor, isAway: true } }
  if (!actor.isAway) return { outagesEnded: world.outagesEnded, by: actor }
  const outagesEnded = world.outagesEnded + 1
  return { outagesEnded, by: { ...actor, isAway: false, noticed: outagesEnded } }
}

const waysOf = (task: Task): readonly Way[] => (task.at === 'crossroads' ? task.ways.flatMap(waysOf) : [task])

export const afterwards = (actor: Actor, way: Way): Actor => {
  if (way.at === 'asking') return { ...actor, task: way }
  const rest = actor.ops.slice(1)
  const isKept = usesHandle(rest[0])
  // What is owed is done beside the caller, who may go on with his handle.
  const held = isKept ? (way.held ?? actor.held) : undefined
  // What a read must not fall behind means nothing between reads.
  return { ...actor, ops: [...way.owes, ...rest], task: undefined, floor: 0, held }
}
