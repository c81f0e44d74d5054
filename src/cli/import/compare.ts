import { isDeepStrictEqual } from 'node:util'
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
  if (found === undefined) {
    reasons.add({ because: 'it is not here', handle })
    return 'missing'
  }
  const { session } = found
  if (session === undefined) return 'ended'
  if (session.error !== undefined) {
    reasons.add({ because: session.error.message, handle })
    return 'different'
  }
  if (isDeepStrictEqual(session.data, item.session.data)) return 'same'
  if (session.writes > 1) return 'changedHere'
  reasons.add({ because: 'its data is not that of the source', handle })
  return 'different'
}
