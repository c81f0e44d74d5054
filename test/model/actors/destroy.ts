import { isAlone, type LiveEnvelope, neverDurable } from '../../../src/session/envelope.js'
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
  lease,
  type Op,
  type PutOutcome,
  type RowTold,
  setTombstone,
  type Task,
} from '../task.js'

/*
 * Rule 12: the cache gives the session to nobody any more, then the backend's tombstone, then the cache's, then the
 * acknowledgement; and all of it again in the background where one of them could not be told. Follows
 * `src/store/protocol/destroy.ts` step by step.
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

export const destroying = (rules: Rules, _settings: Settings): Destroying => {
  const { steps } = rules

  const destroy = (): Task => {
    switch (steps.destroy) {
      case 'cache, backend, cache':
        return stopServing(false)
      case 'backend, cache':
        return destroyRow(frame(onRow, {}))
      case 'cache, backend':
        return setTombstone(frame(onCacheFirst, {}))
    }
  }

  const stopServing = (isAgain: boolean): Task => get(frame(onLook, { isAgain }))

  /** Where nothing stands, a lease keeps readers from filling the cache meanwhile. */
  const onLook = (seen: EntryState | 'unreachable', next: { readonly isAgain: boolean }, around: Around): Task => {
    if (seen === 'unreachable') return tellBackend(next.isAgain)
    switch (seen.state) {
      case 'tombstone':
        return seen.isAlone === true ? tellStanding(next.isAgain) : tellBackend(next.isAgain)
      case 'missing':
        return lease(frame(onLease, next))
      case 'live':
        return seen.envelope.trustedAt >= around.trustFrom && isOfCache(seen.envelope)
          ? endAlone(seen.token, frame(onEndedAlone, next))
          : setTombstone(frame(onStopped, next))
      default:
        return setTombstone(frame(onStopped, next))
    }
  }

  const isOfCache = (envelope: LiveEnvelope): boolean => {
    if (steps.destroyAlone === 'marked or not') return neverDurable(envelope)
    return steps.destroyAlone !== 'never' && isAlone(envelope)
  }

  /** Others may have written to it, or have ended it. */
  const onEndedAlone = ({ outcome }: PutOutcome, { isAgain }: { readonly isAgain: boolean }): Task => {
    if (outcome === 'stored') return tellStanding(isAgain)
    return outcome === 'lost' ? tellBackend(isAgain) : stopServing(isAgain)
  }

  const onLease = ({ outcome }: PutOutcome, { isAgain }: { readonly isAgain: boolean }): Task =>
    outcome === 'stored' ? tellBackend(isAgain) : setTombstone(frame(onStopped, { isAgain }))

  /** The session is ended all the same where the cache could not be told. */
  const onStopped = (_told: Told, { isAgain }: { readonly isAgain: boolean }): Task => tellBackend(isAgain)

  const tellBackend = (isAgain: boolean): Task => destroyRow(isAgain ? frame(onRowInBackground, {}) : frame(onRow, {}))

  /** Of a session that the cache had alone nothing is left in the backend, but where it was brought there meanwhile. */
  const tellStanding = (isAgain: boolean): Task =>
    isAgain ? tellBackend(true) : destroyStanding(frame(onStanding, {}))

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

  /** Weak: the cache first, and alone. */
  const onCacheFirst = (told: Told): Task =>
    told === 'told' ? destroyRow(frame(onRowLast, {})) : end(REJECTED, DESTROY_AGAIN)

  const onRowLast = (row: RowTold): Task => (row === 'unavailable' ? end(REJECTED, DESTROY_AGAIN) : end(ACKED))

  const destroyAgain = (): Task => stopServing(true)

  const onRowInBackground = (row: RowTold): Task => {
    if (row === 'unavailable') return end(NOTHING, DESTROY_AGAIN)
    return steps.destroyAgain === 'both' ? setTombstone(frame(onTombstoneInBackground, {})) : end(ACKED)
  }

  const onTombstoneInBackground = (told: Told): Task => (told === 'told' ? end(ACKED) : end(NOTHING, DESTROY_AGAIN))

  const putTombstone = (): Task => setTombstone(frame(onTombstonePut, {}))

  const onTombstonePut = (told: Told): Task => (told === 'told' ? end(ACKED) : end(NOTHING, PUT_TOMBSTONE))

  return { destroy, destroyAgain, putTombstone }
}
