import { lives } from '../../src/session/decisions.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'
import { TWICE, writesIn } from './data.js'
import type { Entry, World } from './world.js'

/*
 * I2 to I8 as questions to one world. They use `lives` by itself, not through the rules, so that a weakened
 * rule does not weaken its judge. I6, I7 and I9 are judged in the step that breaks them, which leaves a note.
 */

export interface Judged {
  readonly maxStaleCount: number
  readonly isAsymmetric: boolean
}

const rowWrites = ({ row }: World): number => (row.state === 'live' ? writesIn(row.session) : 0)

const isTrusted = (entry: LiveEnvelope, world: World): boolean =>
  world.outagesEnded === 0 || entry.trustedAt >= 1 + world.outagesEnded

/** The entry descends from the row and the row is not ahead of it. */
const isCurrent = (entry: LiveEnvelope, { row }: World): boolean =>
  row.state === 'live'
    ? lives(entry, row.session) && !(row.session.lineage === entry.lineage && row.session.version > entry.version)
    : false

const isLive = (entry: Entry): entry is LiveEnvelope => entry?.kind === 'live'

/** The writes that a request sees which begins now. */
export const visible = (world: World): number => {
  const { entry, isDown } = world.cache
  if (isDown || !isLive(entry)) return rowWrites(world)
  return isTrusted(entry, world) || isCurrent(entry, world) ? writesIn(entry) : rowWrites(world)
}

/** The same, a cached lineage that died taken for replaced by the row: it is when it is next flushed or compared. */
const eventuallyVisible = (world: World): number => {
  const { entry } = world.cache
  if (isLive(entry) && world.row.state === 'live' && !lives(entry, world.row.session)) return rowWrites(world)
  return visible(world)
}

export const violation = (world: World, { maxStaleCount, isAsymmetric }: Judged): string | undefined => {
  const { past, cache, row } = world
  if (past.wrong !== undefined) return past.wrong
  const cached = isLive(cache.entry) ? writesIn(cache.entry) : 0
  if (((cached | rowWrites(world)) & TWICE) !== 0) return 'DOUBLE APPLY'
  if (((cached | rowWrites(world)) & past.refused) !== 0) return 'A WRITE THAT WAS SAID NOT TO BE APPLIED IS THERE'
  if (past.movedWith !== undefined) {
    if ((past.durable & ~past.movedWith) !== 0) return 'REGENERATE LOST A DURABLE WRITE'
    if (count(past.acked & ~past.movedWith) > past.losses * (maxStaleCount - 1))
      return 'REGENERATE LOST AN ACKNOWLEDGED WRITE'
  }
  if (past.destroy === 'acked') return resurrection(world)
  if (past.destroy !== 'no' || row.state === 'destroyed') return undefined

  const seen = isAsymmetric ? eventuallyVisible(world) : visible(world)
  if ((past.durable & ~seen) !== 0) return 'I5 DURABLE WRITE MISSED'
  // A fill from before the drain may hide a drained write until it is found dead; the row has it.
  if ((past.drained & ~eventuallyVisible(world)) !== 0) return 'I8 DRAINED WRITE LOST'
  const missed = count(past.acked & ~seen)
  if (missed === 0 || (past.backendWasDown && past.losses > 0)) return undefined
  if (past.losses === 0) return 'I3 LOST UPDATE WITHOUT LOSS'
  const bound = past.losses * (maxStaleCount - 1)
  return missed > bound ? `I4 LOST ${missed} > ${bound}` : undefined
}

/** I2: nobody who asks now is given the session. */
const resurrection = (world: World): string | undefined => {
  const { entry, isDown } = world.cache
  if (world.row.state === 'live') return 'I2 RESURRECTION: the row lives'
  const isServed = !isDown && isLive(entry) && isTrusted(entry, world)
  return isServed ? 'I2 RESURRECTION: the cache serves it' : undefined
}

const count = (mask: number): number => {
  let bits = 0
  for (let rest = mask; rest !== 0; rest &= rest - 1) bits += 1
  return bits
}
