import type { EpochMs, LegacySession, LegacyStore } from '../contract/index.js'
import { systemRuntime as clock } from '../runtime.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { checkOptions, having, trueOrFalse } from '../tools/options.js'
import { idleTtlMsOf, storedCookie } from './express-cookie.js'

/** As much of a store of express-session as a change-over needs: `get` and `destroy`, with their callbacks. */
export interface ExpressStoreToLeave {
  get(sid: string, callback: (error?: unknown, session?: object | null) => void): unknown
  destroy(sid: string, callback: (error?: unknown) => void): unknown
}

export interface FromExpressStoreOptions {
  /**
   * Whether a session is removed from the old store once it was taken over. Set it only when no process works on the old
   * store any more: one that does would find its visitors logged out. @default false
   */
  readonly remove?: boolean | undefined
}

/**
 * The store of express-session that an application leaves, for the option `legacy`: `legacy: fromExpressStore(oldStore)`.
 * The sessions keep their ids, so that the cookies go on, as long as the `secret` and the name of the cookie stay.
 *
 * A session keeps its data and its cookie with the `maxAge`, which is its idle time-out from then on. Whether it has ended is
 * for the old store to say; one that it gives is in use, and its life is counted from now. Without a `maxAge` it lives as the
 * options of the new store say.
 *
 * The old store stays the caller's: he opens it and closes it.
 *
 * @param store any store of express-session: of connect-redis, connect-pg-simple, connect-mongo, session-file-store
 * @throws SessionStoreError `E_CONFIG` for what is no such store, or an option that there is not
 */
export const fromExpressStore = (store: ExpressStoreToLeave, options: FromExpressStoreOptions = {}): LegacyStore => {
  const kind = having<ExpressStoreToLeave>('a store of express-session', ['get', 'destroy'])
  checkOptions('fromExpressStore(store, options)', options, { remove: trueOrFalse }, '{ remove: true }')
  checkOptions<{ store: ExpressStoreToLeave }>(
    'fromExpressStore(store)',
    { store },
    { store: { ...kind, isRequired: true } },
  )
  return {
    get: async (sid) => legacySessionOf(await called((done) => store.get(sid, done)), clock.now()),
    destroy: async (sid) => await called((done) => store.destroy(sid, done)),
    ...(options.remove === undefined ? {} : { remove: options.remove }),
  }
}

/**
 * A session of express-session, as it stands in some store of it; `undefined` where it is none. Of its age only the `maxAge`
 * is taken: the `expires` of a cookie is as old as the last change, since most stores write down a use beside the session.
 *
 * @param session what the store gave: its `cookie` may be of any of the forms that such stores have
 */
export const legacySessionOf = (session: unknown, now: EpochMs): LegacySession | undefined => {
  if (!isPlainObject(session)) return undefined
  const cookie = storedCookie(session['cookie'], now)
  const idleTtlMs = idleTtlMsOf(cookie)
  return { data: { ...session, cookie }, ...(idleTtlMs === undefined ? {} : { idleTtlMs }) }
}

/**
 * What a call with a callback comes to. Some stores give a promise besides, and some throw. As in express-session, whatever
 * is false is no error, and the code `ENOENT` means that there is no such session: session-file-store says it so.
 */
const called = async <Value>(
  call: (done: (error?: unknown, value?: Value) => void) => unknown,
): Promise<Value | undefined> => {
  try {
    return await new Promise((resolve, reject) => {
      const given = call((error, value) => (error ? reject(error) : resolve(value)))
      if (given instanceof Promise) given.catch(reject)
    })
  } catch (error) {
    if ((error as { readonly code?: unknown } | null | undefined)?.code === 'ENOENT') return undefined
    throw error
  }
}
