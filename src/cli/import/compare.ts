import { isDeepStrictEqual } from 'node:util'
import type { LegacySession } from '../../contract/legacy.js'
import type { SessionInfo } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError } from '../../errors.js'
import { limiter } from '../../tools/limiter.js'
import type { Sessions } from '../configuration.js'
import type { Reasons } from './reasons.js'
import type { Item, Source } from './source.js'

/** How the sessions of a source compare with those here. */
export interface Comparison {
  readonly found: number
  /** Here with the same data. */
  readonly same: number
  /** Here with other data, as somebody has changed them here. */
  readonly changedHere: number
  /** Here with other data, although nobody has changed them here: the source has. */
  readonly different: number
  /** Not here. */
  readonly missing: number
  /** Ended, there or here. */
  readonly ended: number
  /** What cannot be read in the source. */
  readonly unreadable: number
}

const NONE: Comparison = { found: 0, same: 0, changedHere: 0, different: 0, missing: 0, ended: 0, unreadable: 0 }
const AT_ONCE = 8

type Verdict = Exclude<keyof Comparison, 'found'>
type Standing = Extract<Verdict, 'same' | 'changedHere' | 'different'>

export interface CompareOptions {
  readonly sessions: Sessions
  readonly source: Source
  readonly reasons: Reasons
  readonly runtime: Pick<Runtime, 'now'>
  readonly signal: AbortSignal
  readonly onItem: (found: number) => void
}

/** Compares each session of a source with what stands here. Nothing is changed, and no session counts as used. */
export const compare = async (options: CompareOptions): Promise<Comparison> => {
  const { source, signal, onItem } = options
  const { run } = limiter(AT_ONCE)
  let comparison = NONE
  let after: string | undefined
  do {
    const { items, next } = await source.page(after)
    await Promise.all(
      items.map((item) =>
        run(async () => {
          if (signal.aborted) return
          const verdict = await verdictOn(options, item)
          comparison = { ...comparison, found: comparison.found + 1, [verdict]: comparison[verdict] + 1 }
          onItem(comparison.found)
        }),
      ),
    )
    after = next
  } while (after !== undefined && !signal.aborted)
  return comparison
}

type Inspected = Awaited<ReturnType<Sessions['inspect']>>

/** Whether neither tier knows of a session. A cache in which somebody is just looking for it knows nothing either. */
export const isUnknown = (found: Inspected): boolean =>
  found === undefined ||
  (found.session === undefined && found.tiers.backend === 'absent' && found.tiers.cache !== 'tombstone')

/** How what stands here compares with a session of a source. An import counts none of its own writes. */
export const compared = (stands: SessionInfo<Record<string, unknown>>, { data }: LegacySession): Standing => {
  if (stands.error !== undefined) return 'different'
  if (isDeepStrictEqual(stands.data, data)) return 'same'
  return stands.writes > 1 ? 'changedHere' : 'different'
}

const verdictOn = async ({ sessions, reasons }: CompareOptions, item: Item): Promise<Verdict> => {
  if ('ended' in item) return 'ended'
  if ('unreadable' in item) {
    reasons.add({ because: item.unreadable })
    return 'unreadable'
  }
  let handle: string
  try {
    handle = sessions.handleOf(item.id)
  } catch (error) {
    if (!isSessionStoreError(error, 'E_INVALID_ID')) throw error
    reasons.add({ because: error.message })
    return 'unreadable'
  }
  const found = await sessions.inspect(handle, { data: true })
  if (isUnknown(found)) {
    reasons.add({ because: 'it is not here', handle })
    return 'missing'
  }
  const session = found?.session
  if (session === undefined) return 'ended'
  const verdict = compared(session, item.session)
  if (verdict === 'different')
    reasons.add({ because: session.error?.message ?? 'its data is not that of the source', handle })
  return verdict
}
