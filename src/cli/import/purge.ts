import { isSessionStoreError } from '../../errors.js'
import { limiter } from '../../tools/limiter.js'
import type { Sessions } from '../configuration.js'
import { compared } from './compare.js'
import type { Item, Source } from './source.js'

/** What became of the sessions in a source that is purged. */
export interface Purged {
  readonly found: number
  /** Removed: the session is here, has ended here, or has ended there. */
  readonly removed: number
  /** Kept, as it was changed there after it was copied, and nobody has changed it here. */
  readonly different: number
  /** Kept, as nobody here knows of it. */
  readonly notHere: number
  /** Kept, as it cannot be read. */
  readonly unreadable: number
}

const NONE: Purged = { found: 0, removed: 0, different: 0, notHere: 0, unreadable: 0 }
const AT_ONCE = 8

export interface PurgeSourceOptions {
  readonly sessions: Sessions
  readonly source: Source
  readonly isDry: boolean
  readonly signal: AbortSignal
  readonly onPart: (purged: Purged) => void
}

/** Removes from a source what is safe in the backend as it is there, or has ended. All else stays. */
export const purgeSource = async (options: PurgeSourceOptions): Promise<Purged> => {
  const { sessions, source, isDry, signal, onPart } = options
  const { run } = limiter(AT_ONCE)
  let purged = NONE
  let after: string | undefined
  do {
    const { items, next } = await source.page(after)
    const verdicts = await Promise.all(items.map((item) => run(() => verdictOn(sessions, item))))
    const refs = items.filter((_, at) => verdicts[at] === 'removed').map(({ ref }) => ref)
    if (!isDry) await source.remove(refs)
    for (const verdict of verdicts) purged = { ...purged, found: purged.found + 1, [verdict]: purged[verdict] + 1 }
    onPart(purged)
    after = next
  } while (after !== undefined && !signal.aborted)
  return purged
}

const verdictOn = async (sessions: Sessions, item: Item): Promise<Exclude<keyof Purged, 'found'>> => {
  if ('ended' in item) return 'removed'
  if ('unreadable' in item) return 'unreadable'
  let handle: string
  try {
    handle = sessions.handleOf(item.id)
  } catch (error) {
    if (!isSessionStoreError(error, 'E_INVALID_ID')) throw error
    return 'unreadable'
  }
  const found = await sessions.inspect(handle, { data: true })
  const backend = found?.tiers.backend
  if (backend !== 'live' && backend !== 'destroyed') return 'notHere'
  const isDifferent = found?.session !== undefined && compared(found.session, item.session) === 'different'
  return isDifferent ? 'different' : 'removed'
}
