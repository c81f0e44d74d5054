import { LRUCache } from 'lru-cache'
import type { CacheKey, Locator } from '../../contract/locator.js'
import type { LoadOptions } from '../../contract/session-store.js'
import { readerShouldFlush } from '../../session/decisions.js'
import { isLarge, ownTurn } from '../../tools/turns.js'
import { endThereLater } from '../protocol/end-there.js'
import type { Call } from './call.js'
import type { Handle } from './handle.js'
import { type CallParts, locatorOf } from './parts.js'
import { isWorthTouching, touch } from './touch.js'

/** Gives the session of an id; `undefined` where there is none. */
export type Load<Data> = (id: string, options: LoadOptions, call: Call) => Promise<Handle<Data> | undefined>

/** How many sessions a process remembers of which it has told the old store that they have ended. */
const MOST_ENDED_THERE = 10_000

/** Reads a session. In the background it flushes what is overdue, and tells the tiers that the session is in use. */
export const loading = <Data>({ context, reads, due, handles }: CallParts<Data>): Load<Data> => {
  const { runtime, options } = context
  // It takes its whole room at once, which a store that comes from no other has no use for.
  const endedThere = context.legacy && new LRUCache<CacheKey, true>({ max: MOST_ENDED_THERE })

  const afterRead = (handle: Handle<Data>, { touch: mayTouch = true }: LoadOptions): void => {
    const { envelope } = handle.newest
    const identified = (): boolean => handle.userId !== undefined
    const { maxStaleMs, policy } = options
    if (
      handle.newest.where === 'cache' &&
      readerShouldFlush(envelope, runtime.now(), { maxStaleMs, policy, identified })
    )
      due.flushOverdue(handle.locator, envelope.version)
    if (mayTouch && isWorthTouching(context, handle.newest))
      handles.beside(handle, 'touch', () => touch(context, handle.locator, handle.newest))
  }

  /**
   * A session that was ended by its handle, or with all others of its user, could not be ended in the old store, as nobody
   * knew its id. Now somebody shows it.
   */
  const endThereOnce = (locator: Locator, id: string): void => {
    if (endedThere === undefined || endedThere.has(locator.key)) return
    endedThere.set(locator.key, true)
    endThereLater(context, locator, id)
  }

  return async (id, loadOptions, call) => {
    const locator = locatorOf(context, id)
    const found = await reads.observe(locator, 'reader', call, id)
    if (found.state === 'none') {
      if (found.because === 'absent') context.telemetry.count('unknownIds')
      if (found.because === 'destroyed') endThereOnce(locator, id)
      return undefined
    }
    if (isLarge(found.envelope)) await ownTurn()
    const handle = handles.open(id, locator, found)
    afterRead(handle, loadOptions)
    return handle
  }
}
