import { writesIn } from './data.js'
import type { Command } from './task.js'
import type { World } from './world.js'

/* What counts as a loss, so that the bound of I4 allows for it. */

/** I4 counts what the cache forgot only where it held what the backend did not. */
export const holdsMore = ({ cache: { entry }, row }: World): boolean =>
  entry?.kind === 'live' && (writesIn(entry) & ~(row.state === 'live' ? writesIn(row.session) : 0)) !== 0

export const lost = (before: World, after: World): World =>
  holdsMore(before) ? { ...after, past: { ...after.past, losses: after.past.losses + 1 } } : after

/**
 * Where not all have one view of the cache, each takeover counts as a loss. Where lists of servers differ, so does
 * each flush of a lineage that another server's was put in place of: what stood there unflushed is lost with it.
 * An outage seen by all costs what the cache held alone, or else what is written to its old contents until a
 * takeover that was still under way comes in: in any case once.
 */
export const charged = (
  before: World,
  after: World,
  command: Command,
  { isAsymmetric }: { readonly isAsymmetric: boolean },
): World => {
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
