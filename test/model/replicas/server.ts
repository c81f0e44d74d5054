import {
  at,
  countOf,
  isRemoved,
  leavesOf,
  type Mask,
  numbersIn,
  type Rev,
  type Revisions,
  shownOf,
  standingOf,
  withRevision,
} from './revisions.js'
import type { Answer, Change, Heard, Look, Node, Request, World } from './world.js'

/*
 * What a replica does with a request, and what the coordinator makes of the replicas' answers, as CouchDB 3.5
 * does it: `fabric_doc_update`, `fabric_doc_open` and `fabric_doc_open_revs` of its sources.
 */

export const NODES = 3

/** How many answers make a quorum. */
export const quorumOf = (replicas: number): number => Math.floor(replicas / 2) + 1

export const requestOf = (of: number, node: Node, ask: Change, replicas: number): Request => ({
  of,
  node,
  ask,
  waiting: (1 << replicas) - 1,
  heard: { oks: 0, conflicts: 0 },
})

export const reaches = ({ cutOff }: World, one: Node, other: Node): boolean =>
  cutOff === undefined || (one === cutOff) === (other === cutOff)

/** A change reaches a replica: what it does there, and what its coordinator has heard then. */
export const visited = (world: World, { ask, heard }: Request, replica: Node): { world: World; heard: Heard } => {
  const { revisions } = world
  const mask = world.replicas[replica] ?? 0
  if (ask.ask === 'remove') {
    let after = mask
    let all = revisions
    for (const rev of numbersIn(ask.revs & leavesOf(revisions, mask))) {
      const made = withRevision(all, rev, { kind: 'removed' })
      all = made.revisions
      after |= 1 << made.number
    }
    return { world: withReplica({ ...world, revisions: all }, replica, after), heard }
  }
  const place = ask.over ?? placeIn(revisions, mask)
  if (place === 'taken' || (place !== 'free' && !((leavesOf(revisions, mask) >> place) & 1)))
    return { world, heard: { ...heard, conflicts: heard.conflicts + 1 } }
  const made = withRevision(revisions, place === 'free' ? undefined : place, ask.content)
  return {
    world: withReplica({ ...world, revisions: made.revisions }, replica, mask | (1 << made.number)),
    heard: { ...heard, oks: heard.oks + 1 },
  }
}

/** Where a document goes that names no revision: a removed one is gone on from. */
const placeIn = (revisions: Revisions, mask: Mask): Rev | 'free' | 'taken' =>
  standingOf(revisions, mask) === 0 ? (shownOf(revisions, mask) ?? 'free') : 'taken'

const withReplica = (world: World, replica: Node, mask: Mask): World => ({
  ...world,
  replicas: world.replicas.map((before, index) => (index === replica ? mask : before)),
})

/** The answer to a change, once it is due. */
export const answered = ({ replicas }: World, { ask, heard, waiting }: Request): Answer | undefined => {
  if (ask.ask === 'put' && heard.oks >= quorumOf(replicas.length)) return { answer: 'created' }
  if (waiting !== 0) return undefined
  if (ask.ask === 'remove') return { answer: 'told' }
  if (heard.oks > 0) return { answer: 'accepted' }
  return { answer: heard.conflicts > 0 ? 'conflict' : 'failed' }
}

/** What one replica answered to a `GET`: a revision, and the other leaves that stand. */
interface Shown {
  readonly rev: Rev | undefined
  readonly others: Mask
}

/**
 * A look, at one moment, and what it does to the replicas. Where a quorum is not met the server answers with what it
 * has heard, and does not say so.
 *
 * @param order in which the replicas answer
 */
export const looked = (
  world: World,
  node: Node,
  { ask, r }: Look,
  order: readonly Node[],
): { world: World; answer: Answer } => {
  const reached = order.filter((replica) => replica < world.replicas.length && reaches(world, node, replica))
  if (reached.length === 0) return { world, answer: { answer: 'failed' } }
  return ask === 'document' ? documentAt(world, node, r, reached) : { world, answer: leavesAt(world, r, reached) }
}

const documentAt = (
  world: World,
  node: Node,
  r: number,
  reached: readonly Node[],
): { world: World; answer: Answer } => {
  const { revisions, replicas } = world
  const heard: Shown[] = []
  let agreed: Shown | undefined
  for (const replica of reached) {
    const mask = replicas[replica] ?? 0
    const rev = shownOf(revisions, mask)
    const shown = { rev, others: rev === undefined ? 0 : standingOf(revisions, mask) & ~(1 << rev) }
    heard.push(shown)
    if (heard.filter((other) => isSame(shown, other)).length < r) continue
    agreed = shown
    break
  }
  const answerOf = ({ rev, others }: Shown): Answer => ({
    answer: 'document',
    shown: rev === undefined || isRemoved(revisions, rev) ? undefined : rev,
    inConflict: others !== 0,
    byAll: heard.length === replicas.length,
  })
  const isBefore = ({ rev }: Shown): boolean =>
    agreed?.rev !== undefined && (rev === undefined || descends(revisions, agreed.rev, rev))
  if (agreed !== undefined && heard.every((shown) => isSame(shown, agreed as Shown) || isBefore(shown)))
    return { world, answer: answerOf(agreed) }
  // Where they disagree it takes the document that CouchDB prefers, and not the one that more of them have; and before
  // it answers it puts what it was shown wherever it can.
  const found = heard.reduce((mask, { rev }) => mask | (rev === undefined ? 0 : at(revisions, rev).path), 0)
  const best = shownOf(revisions, found)
  const repaired = replicas.map((mask, replica) => (reaches(world, node, replica) ? mask | found : mask))
  return {
    world: { ...world, replicas: repaired },
    answer: answerOf(heard.find(({ rev }) => rev === best) ?? { rev: undefined, others: 0 }),
  }
}

const isSame = (one: Shown, other: Shown): boolean => one.rev === other.rev && one.others === other.others

const leavesAt = ({ revisions, replicas }: World, r: number, reached: readonly Node[]): Answer => {
  let seen = 0
  let answers = 0
  for (const replica of reached) {
    const mask = replicas[replica] ?? 0
    const isEnough = answers + 1 >= r && agrees(revisions, seen, mask)
    seen |= mask
    answers += 1
    if (isEnough) break
  }
  return { answer: 'leaves', standing: standingOf(revisions, seen), byAll: answers === replicas.length }
}

/** Whether one more replica's leaves are those that were seen before, or follow from them. */
const agrees = (revisions: Revisions, seen: Mask, mask: Mask): boolean => {
  const leaves = leavesOf(revisions, mask)
  const before = leavesOf(revisions, seen)
  if (countOf(leaves) !== countOf(before)) return false
  return numbersIn(leaves).every(
    (leaf) => (seen >> leaf) & 1 || numbersIn(before).some((old) => descends(revisions, leaf, old)),
  )
}

const descends = (revisions: Revisions, rev: Rev, from: Rev): boolean => ((at(revisions, rev).path >> from) & 1) === 1
