import { lives } from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import { TWICE, writesIn } from './data.js'
import { type Entry, elsewhere, hasEnded, type World } from './world.js'

/*
 * I2 to I8 as questions to one world. They use `lives` by itself, not through the rules, so that a weakened
 * rule does not weaken its judge. I6, I7 and I9 are judged in the step that breaks them, which leaves a note.
 */

export interface Judged {
  readonly maxStaleCount: number
  readonly isAsymmetric: boolean
  /** There was one outage, and whoever saw it is not deceived by what is from before it. */
  readonly whoNoticedSees: boolean
  /** The writes of requests that move the session to a new id. */
  readonly moving: number
  /** No process ends with what it owes, and no command is ever late: what is wrong when all are done stays so. */
  readonly endsWell: boolean
}

const rowWrites = (world: World): number =>
  world.row.state === 'live' && !hasEnded(world.row.session, world) ? writesIn(world.row.session) : 0

/** Where each has its own view of outages, one who has seen none believes everything. */
const isTrusted = (entry: Pick<LiveEnvelope, 'trustedAt'>, world: World): boolean =>
  world.view === 'own' || world.outagesEnded === 0 || entry.trustedAt >= 1 + world.outagesEnded

/** The entry descends from the row and the row is not ahead of it. */
const isCurrent = (entry: LiveEnvelope, { row }: World): boolean =>
  row.state === 'live'
    ? lives(entry, row.session) && !(row.session.lineage === entry.lineage && row.session.version > entry.version)
    : false

const isLive = (entry: Entry): entry is LiveEnvelope => entry?.kind === 'live'

/** The writes that a request sees which begins now. */
export const visible = (world: World): number => {
  const { entry, isDown } = world.cache
  // Whoever finds the mark finds that there is no session, whatever the backend has.
  if (!isDown && entry?.kind === 'nothing' && isTrusted(entry, world)) return 0
  if (isDown || !isLive(entry)) return rowWrites(world)
  // Whoever finds it finds that there is no session.
  if (hasEnded(entry, world) && isTrusted(entry, world)) return 0
  return isTrusted(entry, world) || isCurrent(entry, world) ? writesIn(entry) : rowWrites(world)
}

/**
 * The same, a mark taken for over, as it is after its short life, and a cached lineage that died taken for replaced by the row: it is when it is next flushed or compared.
 * Where lists of servers differ, what the lineages hold together: which of them the backend follows is to be seen.
 */
export const eventuallyVisible = (world: World): number =>
  world.other === undefined
    ? withoutTheDead(world)
    : rowWrites(world) | withoutTheDead(world) | withoutTheDead(elsewhere(world))

const withoutTheDead = (world: World): number => {
  const { entry } = world.cache
  if (entry?.kind === 'nothing') return rowWrites(world)
  if (isLive(entry) && world.row.state === 'live' && !lives(entry, world.row.session)) return rowWrites(world)
  return visible(world)
}

/** What is seen whichever cache is asked. */
const visibleEverywhere = (world: World): number =>
  world.other === undefined ? visible(world) : visible(world) & visible(elsewhere(world))

export const violation = (
  world: World,
  { maxStaleCount, isAsymmetric, whoNoticedSees, moving, endsWell }: Judged,
): string | undefined => {
  const { past, cache, row } = world
  if (past.wrong !== undefined) return past.wrong
  const other = world.other?.entry
  const standing =
    rowWrites(world) | (isLive(cache.entry) ? writesIn(cache.entry) : 0) | (isLive(other) ? writesIn(other) : 0)
  if ((standing & TWICE) !== 0) return 'DOUBLE APPLY'
  if ((standing & past.refused) !== 0) return 'A WRITE THAT WAS SAID NOT TO BE APPLIED IS THERE'
  if ((standing & moving) !== 0) return 'WHAT IS FOR THE NEW ID STANDS UNDER THE OLD ONE'
  if (row.state === 'destroyed' && row.by !== undefined && ((past.refused >> row.by) & 1) !== 0)
    return 'A REGENERATION THAT WAS SAID NOT TO BE APPLIED ENDED THE SESSION'
  if (past.movedWith !== undefined) {
    if ((past.durable & ~past.movedWith) !== 0) return 'REGENERATE LOST A DURABLE WRITE'
    if (count(past.acked & ~past.movedWith) > past.losses * (maxStaleCount - 1))
      return 'REGENERATE LOST AN ACKNOWLEDGED WRITE'
  }
  if (past.destroy === 'acked') return resurrection(world, isAsymmetric)
  if (past.destroy !== 'no' || row.state === 'destroyed') return undefined

  const seen = isAsymmetric ? eventuallyVisible(world) : visibleEverywhere(world)
  const everywhere =
    isAsymmetric && world.other !== undefined ? withoutTheDead(world) & withoutTheDead(elsewhere(world)) : seen
  if ((past.durable & ~everywhere) !== 0) return 'I5 DURABLE WRITE MISSED'
  if (whoNoticedSees && isLive(cache.entry) && !cache.isDown && (past.durable & ~writesIn(cache.entry)) !== 0) {
    const { trustedAt } = cache.entry
    if (world.actors.some(({ noticed }) => noticed > 0 && trustedAt > noticed))
      return 'I5 DURABLE WRITE MISSED BY ONE WHO SAW THE OUTAGE'
  }
  // A fill from before the drain may hide a drained write until it is found dead; the row has it.
  if ((past.drained & ~eventuallyVisible(world)) !== 0) return 'I8 DRAINED WRITE LOST'
  if (endsWell && isOver(world)) {
    if (moving !== 0 && isLive(cache.entry) && cache.entry.frozen) return 'FROZEN FOR GOOD'
    if ((past.durable & ~visible(world)) !== 0) return 'I5 DURABLE WRITE MISSED FOR GOOD'
  }
  const missed = count(past.acked & ~seen)
  if (missed === 0 || (past.backendWasDown && past.losses > 0)) return undefined
  if (past.losses === 0) return 'I3 LOST UPDATE WITHOUT LOSS'
  const bound = past.losses * (maxStaleCount - 1)
  return missed > bound ? `I4 LOST ${missed} > ${bound}` : undefined
}

/** I2: nobody who asks now is given the session; from a cache that the destroyer did not know, in the end. */
const resurrection = (world: World, isAsymmetric: boolean): string | undefined => {
  if (world.row.state === 'live' && wasDestroyed(world.row.session, world)) return 'I2 RESURRECTION: the row lives'
  const isServed = serves(world) || (!isAsymmetric && serves(elsewhere(world)))
  return isServed && !(isAsymmetric && world.other !== undefined) ? 'I2 RESURRECTION: the cache serves it' : undefined
}

const serves = (world: World): boolean => {
  const { entry, isDown } = world.cache
  return !isDown && isLive(entry) && wasDestroyed(entry, world) && isTrusted(entry, world)
}

/** It is the session that was destroyed, and no later one. */
const wasDestroyed = (session: { readonly createdAt: number }, { past }: World): boolean =>
  session.createdAt <= past.destroyedIn

/** All have done what they had to do and what they owed, and nothing is out of reach. */
const isOver = ({ actors, late, cache, backendIsDown }: World): boolean =>
  late.length === 0 &&
  !cache.isDown &&
  !backendIsDown &&
  actors.every(({ ops, isCutOff }) => ops.length === 0 && !isCutOff)

const count = (mask: number): number => {
  let bits = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits += 1
  return bits
}
