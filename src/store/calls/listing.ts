import { type Backend, canEnumerate, type Enumerable } from '../../contract/backend.js'
import type { ListedData } from '../../contract/session-store.js'
import { invalidOption, SessionStoreError } from '../../errors.js'
import type { Context } from '../context.js'
import { destroy } from './destroy.js'

/** The most that one page may hold. */
const LIST_LIMIT = 1_000

/** What the backend knows of all sessions of this namespace; the cache cannot tell. */
export interface Listing<Data> {
  list(options: { readonly limit?: number; readonly after?: string }): Promise<readonly ListedData<Data>[]>
  count(): Promise<number>
  /** Destroys each of them, in both tiers, one after the other. */
  clear(): Promise<number>
}

export const listing = <Data>(context: Context): Listing<Data> => {
  const { runtime, backend, options, values } = context
  const { namespace } = options

  const enumerable = (): Backend & Enumerable => {
    if (canEnumerate(backend.raw)) return backend.raw
    throw new SessionStoreError(
      'E_CONFIG',
      `Expected \`backend\` to be one that can list its sessions, got ${backend.name}`,
    )
  }

  return {
    list: async ({ limit = 100, after }) => {
      if (!Number.isInteger(limit) || limit < 1 || limit > LIST_LIMIT)
        throw invalidOption('limit', `a whole number from 1 to ${LIST_LIMIT}`, limit)
      const from = after === undefined ? {} : { after }
      const page = await enumerable().list({ namespace, now: runtime.now(), limit, ...from })
      return page.map(({ key, session }) => ({
        key,
        data: values.decode(session) as Data,
        userId: session.userId,
        createdAt: session.createdAt,
        expiresAt: session.expiresAt,
      }))
    },
    count: async () => await enumerable().count({ namespace, now: runtime.now() }),
    clear: async () => {
      for (let destroyed = 0; ; ) {
        const page = await enumerable().list({ namespace, now: runtime.now(), limit: LIST_LIMIT })
        if (page.length === 0) return destroyed
        for (const { key } of page) await destroy(context, { key })
        destroyed += page.length
      }
    },
  }
}
