import { assertCursor, type ListedSession } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { ListedData, ListSessionsOptions } from '../../contract/session-store.js'
import { butMayBeApplied, butNotApplied, isSessionStoreError, type SessionStoreError } from '../../errors.js'
import type { Context } from '../context.js'
import type { Call } from './call.js'
import { destroy } from './destroy.js'

/**
 * How many bytes of data one call of the backend may bring. A slow line must be able to carry them within the time of
 * one call.
 */
const PART_BYTES = 1_048_576

/**
 * How many bytes of data one page may hold. They stand in memory at once, beside the values into which they are
 * decoded.
 */
const PAGE_BYTES = 8_388_608

/** How many keys one call of the backend may bring. */
const KEYS_AT_ONCE = 1_000

/**
 * Runs one piece of a long call as a call of its own. It is refused once the store is closed or the call was given up,
 * and has a deadline.
 */
export type Step = <T>(isChange: boolean, work: () => Promise<T>) => Promise<T>

/** The calls about all sessions of this namespace. The backend answers them, as the cache cannot. */
export interface Listing<Data> {
  list(options: ListSessionsOptions, call: Call): Promise<readonly ListedData<Data>[]>
  count(): Promise<number>
  /** Destroys every session in both tiers, one after the other, without reading any data. */
  clear(step: Step): Promise<number>
}

export const listing = <Data>(context: Context): Listing<Data> => {
  const { runtime, backend, options, values, telemetry } = context
  const { namespace, deadlineMs } = options

  const shown = (listed: ListedSession): ListedData<Data> => {
    const { key } = listed
    if ('unreadable' in listed) return { ...NOTHING_KNOWN, key, error: listed.unreadable }
    const { userId, createdAt, expiresAt } = listed.session
    try {
      return { key, data: values.decode(listed.session) as Data, userId, createdAt, expiresAt }
    } catch (error) {
      if (!isSessionStoreError(error, 'E_SESSION_FORMAT')) throw error
      return { key, data: undefined, userId, createdAt, expiresAt, error }
    }
  }

  /**
   * Sends out one event for a page, however many of its sessions cannot be read: there is mostly one reason for all of
   * them.
   */
  const tellOfUnreadable = (page: readonly ListedData<Data>[]): void => {
    const errors = page.map(({ error }) => error).filter((error): error is SessionStoreError => error !== undefined)
    const [error] = errors
    if (error === undefined) return
    telemetry.count('faults', errors.length)
    telemetry.emit('fault', { tier: backend.name, operation: 'list', error })
  }

  return {
    list: async ({ limit = 100, after }, call) => {
      assertCursor({ namespace, after })
      const page: ListedData<Data>[] = []
      let bytes = 0
      let from: CacheKey | undefined = after
      do {
        call.refuseIfLate()
        const part = await backend.list({
          namespace,
          now: runtime.now(),
          limit: limit - page.length,
          maxBytes: PART_BYTES,
          ...(from === undefined ? {} : { after: from }),
        })
        for (const listed of part.entries) {
          page.push(shown(listed))
          bytes += 'session' in listed ? listed.session.data.byteLength : 0
        }
        from = part.next
        // The page is given while there is still time to give it. An empty page would say that no session follows, so
        // it goes on until one is found.
      } while (
        from !== undefined &&
        page.length < limit &&
        (page.length === 0 || (bytes < PAGE_BYTES && call.leftMs() > deadlineMs / 2))
      )
      tellOfUnreadable(page)
      return page
    },
    count: async () => await backend.count({ namespace, now: runtime.now() }),
    clear: async (step) => {
      let destroyed = 0
      let from: CacheKey | undefined
      try {
        do {
          const after: { readonly after?: CacheKey } = from === undefined ? {} : { after: from }
          const { entries, next } = await step(false, () =>
            backend.listKeys({ namespace, now: runtime.now(), limit: KEYS_AT_ONCE, ...after }),
          )
          for (const key of entries) {
            await step(true, () => destroy(context, { key }))
            destroyed += 1
          }
          from = next
        } while (from !== undefined)
      } catch (error) {
        if (!isSessionStoreError(error, 'E_ABORTED')) throw error
        // The step that was given up may have done nothing, but those before it have.
        throw destroyed > 0 || error.applied === 'unknown' ? butMayBeApplied(error) : butNotApplied(error)
      }
      return destroyed
    },
  }
}

const NOTHING_KNOWN = { data: undefined, userId: undefined, createdAt: undefined, expiresAt: undefined } as const
