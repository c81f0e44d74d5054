import { writesIn } from '../data.js'
import { began, type Ending, type Next, type Rules, took, winnerIn } from './actors.js'
import { at, countOf, numbersIn, standingOf } from './revisions.js'
import { answered, looked, NODES, reaches, requestOf, visited } from './server.js'
import type { Answer, Ask, Change, Node, Process, Request, World, Wrong } from './world.js'

/* Everything that can happen next, and what is wrong with a state. */

type Emit = (next: World, what: () => string) => void

/** What a search is about: the rules, and which properties are asked for. */
export interface Searched {
  readonly rules: Rules
  readonly asked: readonly Wrong[]
}

export const successors = (world: World, searched: Searched, emit: Emit): void => {
  const { rules } = searched
  const { processes, requests, replicas } = world
  processes.forEach((process, index) => {
    if (process.sends !== undefined) send(world, index, process.sends, searched, emit)
    else if (process.task === undefined && process.ops.length > 0) {
      const begun = goingOn(world, index, began(world, process, rules), searched)
      const { sends } = begun.processes[index] as Process
      if (sends === undefined) emit(begun, () => `${process.name} begins to ${process.ops[0]?.do}`)
      else send(begun, index, sends, searched, emit)
    }
  })
  requests.forEach((request, index) => {
    for (const replica of numbersIn(request.waiting)) visit(world, index, request, replica, searched, emit)
    if (request.of >= 0 && world.budget.lostAnswers > 0) giveUp(world, index, request, searched, emit)
  })
  for (const [from, mask] of replicas.entries())
    for (const [to, has] of replicas.entries())
      if ((mask | has) !== has && reaches(world, from, to))
        emit(
          { ...world, replicas: replicas.map((each, at) => (at === to ? each | mask : each)) },
          () => `replica ${from} is copied to replica ${to}`,
        )
  cut(world, emit)
}

const cut = (world: World, emit: Emit): void => {
  const { cutOff, budget } = world
  if (cutOff !== undefined) emit({ ...world, cutOff: undefined }, () => `node ${cutOff} joins the others again`)
  else if (budget.cuts > 0)
    for (let node = 0; node < NODES; node += 1)
      emit({ ...world, cutOff: node, budget: { ...budget, cuts: budget.cuts - 1 } }, () => `node ${node} is cut off`)
}

/** A balancer, or a list of URLs, may choose any node; where nothing can be cut, all are the same. */
const send = (world: World, index: number, ask: Ask, searched: Searched, emit: Emit): void => {
  const nodes = canBeCut(world) ? NODES : 1
  const { name, ops } = world.processes[index] as Process
  for (let node = 0; node < nodes; node += 1) {
    const what = `${name} asks node ${node}, to ${ops[0]?.do}: ${told(ask)}`
    if (ask.ask === 'put' || ask.ask === 'remove') emit(sent(world, index, ask, node), () => what)
    else
      for (const order of ORDERS) {
        const { world: after, answer } = looked(world, node, ask, order)
        const asked = withProcess(after, index, { ...(after.processes[index] as Process), sends: undefined })
        emit(
          takingAnswer(asked, index, answer, searched),
          () => `${what}, of replicas ${order.join()}; ${toldAnswer(answer)}`,
        )
      }
  }
}

const ORDERS: readonly (readonly Node[])[] = [
  [0, 1, 2],
  [0, 2, 1],
  [1, 0, 2],
  [1, 2, 0],
  [2, 0, 1],
  [2, 1, 0],
]

const canBeCut = ({ cutOff, budget }: World): boolean => cutOff !== undefined || budget.cuts > 0

const sent = (world: World, index: number, ask: Change, node: Node): World => {
  const request = requestOf(index, node, ask, world.replicas.length)
  const process = { ...(world.processes[index] as Process), sends: undefined }
  return { ...withProcess(world, index, process), requests: sorted([...world.requests, request]) }
}

const visit = (
  world: World,
  index: number,
  request: Request,
  replica: number,
  searched: Searched,
  emit: Emit,
): void => {
  const waiting = request.waiting & ~(1 << replica)
  const isReached = reaches(world, request.node, replica)
  const { world: after, heard } = isReached ? visited(world, request, replica) : { world, heard: request.heard }
  const now: Request = { ...request, waiting, heard }
  const what = (): string =>
    `${who(world, request)} ${isReached ? 'reaches' : 'cannot reach'} replica ${replica}: ${told(request.ask)}`
  const rest = (next: World, left: Request | undefined): World => ({
    ...next,
    requests: sorted(next.requests.flatMap((each, at) => (at === index ? (left ?? []) : each))),
  })
  const answer = request.of < 0 ? undefined : answered(after, now)
  if (answer === undefined) emit(rest(after, request.of < 0 && waiting === 0 ? undefined : now), what)
  else
    emit(
      takingAnswer(rest(after, leftOver(now)), request.of, answer, searched),
      () => `${what()}; ${toldAnswer(answer)}`,
    )
}

/** A change that was answered goes on to the replicas that it has not reached. */
const leftOver = (request: Request): Request | undefined =>
  request.waiting === 0 ? undefined : { ...request, of: -1, heard: { oks: 0, conflicts: 0 } }

const giveUp = (world: World, index: number, request: Request, searched: Searched, emit: Emit): void => {
  const { budget } = world
  const next: World = {
    ...world,
    budget: { ...budget, lostAnswers: budget.lostAnswers - 1 },
    requests: sorted(world.requests.flatMap((each, at) => (at === index ? (leftOver(request) ?? []) : each))),
  }
  emit(takingAnswer(next, request.of, { answer: 'failed' }, searched), () => `${who(world, request)} waits no longer`)
}

/** In one order, so that worlds which differ in nothing else are one. */
const sorted = (requests: readonly Request[]): readonly Request[] =>
  requests.length < 2 ? requests : [...requests].sort((one, other) => keyOf(one) - keyOf(other))

/** It names no node: which is which does not matter. */
const keyOf = ({ of, ask }: Request): number => (of + 1) * 64 + (ask.ask === 'put' ? (ask.over ?? -1) + 2 : 0)

const takingAnswer = (world: World, index: number, answer: Answer, searched: Searched): World => {
  const process = world.processes[index] as Process
  if (process.task === undefined) throw new Error('An answer came to somebody who asked nothing')
  return goingOn(world, index, took(world, process.task, answer, searched.rules), searched)
}

const goingOn = (world: World, index: number, next: Next, searched: Searched): World => {
  const process = world.processes[index] as Process
  if ('task' in next) {
    const { task, sends } = next
    const isDestroying = task.op.do === 'destroy' && world.destroy === 'no'
    const now = isDestroying ? ({ ...world, destroy: 'begun' } as const) : world
    const isChange = sends.ask === 'put' || sends.ask === 'remove'
    const asking = withProcess(now, index, { ...process, task, sends })
    return isChange && !canBeCut(world) ? sent(asking, index, sends, 0) : asking
  }
  const over = { ...process, task: undefined, sends: undefined, ops: process.ops.slice(1) }
  return withProcess(ended(world, process, next, searched), index, over)
}

const ended = (world: World, { task, ops }: Process, ending: Ending, { asked }: Searched): World => {
  const wrong = (after: World, what: Wrong): World => (asked.includes(what) ? { ...after, wrong: what } : after)
  const floor = task?.floor ?? { acked: 0, existed: false, destroyed: false }
  switch (ending.end) {
    case 'acknowledged': {
      const { session } = ending
      const after = { ...world, acked: world.acked | writesIn(session), exists: true }
      if (floor.destroyed) return wrong(after, 'DESTROYED, YET LIVE')
      return world.destroy === 'no' && (floor.acked & ~writesIn(session)) !== 0 ? wrong(after, 'REPLACED') : after
    }
    case 'destroyed':
      return { ...world, destroy: 'acked' }
    case 'saw': {
      if (ending.rev === undefined)
        return floor.existed && world.destroy === 'no' ? wrong(world, 'FALSE ABSENCE') : world
      const { content } = at(world.revisions, ending.rev)
      if (content.kind !== 'session') return world
      if (floor.destroyed) return wrong(world, 'DESTROYED, YET LIVE')
      const isRead = ops[0]?.do === 'read'
      return isRead && (floor.acked & ~writesIn(content.session)) !== 0 ? wrong(world, 'STALE READ') : world
    }
    case 'nothing':
      return world
  }
}

/**
 * Besides what a step showed: what will stand once every replica has what any has. Once a destroy has begun the changes
 * are no more asked for, and once it was acknowledged nothing else may stand.
 */
export const violationOf = (world: World, { asked }: Searched): string | undefined => {
  const found = world.wrong ?? lastingly(world)
  return found !== undefined && asked.includes(found) ? found : undefined
}

const lastingly = ({ revisions, replicas, acked, exists, destroy }: World): Wrong | undefined => {
  const winner = winnerIn(
    revisions,
    standingOf(
      revisions,
      replicas.reduce((all, mask) => all | mask, 0),
    ),
  )
  const content = winner === undefined ? undefined : at(revisions, winner).content
  if (destroy === 'acked') return content?.kind === 'session' ? 'DESTROYED, YET LIVE' : undefined
  if (destroy === 'begun' || !exists) return undefined
  return content?.kind === 'session' && (acked & ~writesIn(content.session)) === 0 ? undefined : 'REPLACED'
}

const withProcess = (world: World, index: number, process: Process): World => ({
  ...world,
  processes: world.processes.map((each, at) => (at === index ? process : each)),
})

const who = (world: World, { of }: Request): string =>
  of < 0 ? 'a request that was answered before' : `${world.processes[of]?.name}'s request`

const toldAnswer = (answer: Answer): string => {
  switch (answer.answer) {
    case 'created':
      return 'HTTP 201'
    case 'accepted':
      return 'HTTP 202'
    case 'conflict':
      return 'HTTP 409'
    case 'document':
      return answer.shown === undefined
        ? 'HTTP 404'
        : `HTTP 200, revision ${answer.shown}${answer.inConflict ? ', in conflict' : ''}`
    case 'leaves':
      return countOf(answer.standing) === 0 ? 'no leaves' : `leaves ${numbersIn(answer.standing).join(' and ')}`
    case 'failed':
      return 'no answer'
    case 'told':
      return 'done'
  }
}

const told = (ask: Ask): string => {
  switch (ask.ask) {
    case 'put': {
      const what = ask.content.kind === 'session' ? `version ${ask.content.session.version}` : `a ${ask.content.kind}`
      return `put ${what} ${ask.over === undefined ? 'where nothing stands' : `over revision ${ask.over}`}`
    }
    case 'remove':
      return `remove ${numbersIn(ask.revs).join(' and ')}`
    default:
      return `get the ${ask.ask}, r = ${ask.r}`
  }
}

/** A world in words. */
export const picture = ({ revisions, replicas, acked, destroy, cutOff }: World): string => {
  const leaves = replicas.map((mask) => numbersIn(standingOf(revisions, mask)).map((rev) => named(revisions, rev)))
  const kept = leaves.map((each, index) => `${index}: ${each.length === 0 ? 'nothing' : each.join(' | ')}`)
  const who = `acknowledged {${writes(acked)}}${destroy === 'acked' ? ' and the destroy' : ''}`
  return `${kept.join('; ')}; ${who}${cutOff === undefined ? '' : `; node ${cutOff} is cut off`}`
}

const writes = (mask: number): string =>
  numbersIn(mask)
    .map((write) => `w${write}`)
    .join(' ')

const named = (revisions: World['revisions'], rev: number): string => {
  const { content } = at(revisions, rev)
  return content.kind === 'session'
    ? `#${rev} v${content.session.version} {${writes(writesIn(content.session))}}`
    : `#${rev} ${content.kind}`
}
