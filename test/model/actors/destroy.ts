import { isAlone, neverDurable } from '../../../src/session/envelope.js'
import type { Rules, Settings } from '../rules.js'
import {
  type Around,
  destroyRow,
  destroyStanding,
  type EntryState,
  end,
  endAlone,
  frame,
  get,
  type Op,
  type PutOutcome,
  type RowTold,
  setTombstone,
  type Task,
  type Vars,
} from '../task.js'

/*
 * Rule 12: the backend's tombstone, then the cache's, then the acknowledgement; and both again in the
 * background where one of them could not be told. Follows `src/store/protocol/destroy.ts` step by step.
 */

export interface Destroying {
  destroy(): Task
  /** What the background does until it succeeds: from the start, both tiers. */
  destroyAgain(): Task
  /** The cache alone, where the backend has heard already: after a regeneration. */
  putTombstone(): Task
}

type Told = 'told' | 'lost' | 'unreachable'

const REJECTED = { did: 'destroy', status: 'rejected' } as const
const ACKED = { did: 'destroy', status: 'acked' } as const
const CACHE_UNREACHABLE = { did: 'destroy', status: 'cache unreachable' } as const
const DESTROY_AGAIN: Op = { do: 'destroy again' }
const PUT_TOMBSTONE: Op = { do: 'put tombstone' }
const NOTHING = { did: 'nothing' } as const

export const destroying = (rules: Rules, { policy }: Settings): Destroying => {
  const { steps } = rules

  const destroy = (): Task => {
    if (steps.destroy === 'cache, backend') return setTombstone(frame(onCacheFirst, {}))
    // A session that stands in the cache alone is there only where creations are put off.
    return policy.persistOn === 'create' ? destroyBoth() : get(frame(onEntry, {}))
  }

  const destroyBoth = (): Task => destroyRow(frame(onRow, {}))

  const onEntry = (seen: EntryState | 'unreachable', _: Vars, around: Around): Task => {
    if (seen === 'unreachable') return destroyBoth()
    if (seen.state === 'tombstone' && seen.isAlone === true) return destroyStanding(frame(onStanding, {}))
    if (seen.state !== 'live' || seen.envelope.trustedAt < around.trustFrom) return destroyBoth()
    const { envelope, token } = seen
    const isOfCache =
      steps.destroyAlone === 'marked or not'
        ? neverDurable(envelope)
        : steps.destroyAlone !== 'never' && isAlone(envelope)
    return isOfCache ? endAlone(token, frame(onEndedAlone, {})) : destroyBoth()
  }

  const onEndedAlone = (put: PutOutcome): Task =>
    put.outcome === 'stored' ? destroyStanding(frame(onStanding, {})) : destroyBoth()

  const onStanding = (row: RowTold): Task => {
    if (row === 'unavailable') return destroyStanding(frame(onStandingAgain, {}))
    return row === 'absent' ? end(ACKED) : setTombstone(frame(onTombstone, {}))
  }

  const onStandingAgain = (row: RowTold): Task => (row === 'absent' ? end(ACKED) : onRowAgain(row))

  /** The backend is told twice: `BackendTier.destroy` sends again after a lost answer. */
  const onRow = (row: RowTold): Task =>
    row === 'unavailable' ? destroyRow(frame(onRowAgain, {})) : setTombstone(frame(onTombstone, {}))

  const onRowAgain = (row: RowTold): Task =>
    row === 'unavailable' ? setTombstone(frame(onRejected, {})) : setTombstone(frame(onTombstone, {}))

  const onRejected = (_told: Told): Task => end(REJECTED, DESTROY_AGAIN)

  const onTombstone = (told: Told): Task => {
    if (told === 'told') return end(ACKED)
    if (steps.onLostTombstone === 'acknowledge') return end(ACKED)
    if (told === 'unreachable') return unreached()
    return setTombstone(frame(onTombstoneAgain, {}))
  }

  const onTombstoneAgain = (told: Told): Task => (told === 'told' ? end(ACKED) : unreached())

  const unreached = (): Task =>
    steps.onUnreachableTombstone === 'tell' ? end(CACHE_UNREACHABLE, DESTROY_AGAIN) : end(ACKED)

  /** Weak: the cache first. */
  const onCacheFirst = (told: Told): Task =>
    told === 'told' ? destroyRow(frame(onRowLast, {})) : end(REJECTED, DESTROY_AGAIN)

  const onRowLast = (row: RowTold): Task => (row === 'unavailable' ? end(REJECTED, DESTROY_AGAIN) : end(ACKED))

  const destroyAgain = (): Task => destroyRow(frame(onRowInBackground, {}))

  const onRowInBackground = (row: RowTold): Task => {
    if (row === 'unavailable') return end(NOTHING, DESTROY_AGAIN)
    return steps.destroyAgain === 'both' ? setTombstone(frame(onTombstoneInBackground, {})) : end(ACKED)
  }

  const onTombstoneInBackground = (told: Told): Task => (told === 'told' ? end(ACKED) : end(NOTHING, DESTROY_AGAIN))

  const putTombstone = (): Task => setTombstone(frame(onTombstonePut, {}))

  const onTombstonePut = (told: Told): Task => (told === 'told' ? end(ACKED) : end(NOTHING, PUT_TOMBSTONE))

  return { destroy, destroyAgain, putTombstone }
}
