import { EventEmitter } from 'node:events'
import type { CloseOptions, CloseReport, EpochMs, SessionStore } from '../contract/index.js'
import { systemRuntime as clock } from '../runtime.js'
import { settle } from './express-callback.js'
import { isSpent, storedCookie } from './express-cookie.js'
import { type FastifyCookie, storedFastifyCookie } from './fastify-cookie.js'
import { type GivenStore, type OwnStore, resolveStore } from './given-store.js'
import { loadCopy, RequestCopy } from './request-copy.js'
import { cookieOfThePast, named, refuseUnlessSession, SessionObjects } from './session-objects.js'

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export type GivenStoreOptions = GivenStore

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export type OwnStoreOptions<Data> = OwnStore<Data>

export type NonstickStoreOptions<Data = Record<string, unknown>> = GivenStoreOptions | OwnStoreOptions<Data>

/** A session as `get` gives it. */
export type StoredSession<Data> = Data & { readonly cookie: FastifyCookie }

type DoneCallback = ((error?: unknown) => void) | undefined

/** Under this key the cookie of a session that was loaded carries its copy. */
const COPY = Symbol('nonstick.copy')

/**
 * @fastify/session's store, on a nonstick session store.
 *
 * Every method takes a callback or, without one, returns a promise. A callback is called exactly once. A session that is
 * not there is `null` to a callback and `undefined` to a promise; an error means that the store could not know, or would
 * not, and has a `code` (`docs/errors.md`).
 *
 * Each request saves against the copy that it loaded itself, so that changes of concurrent requests are merged by
 * top-level key. With `rolling: true` @fastify/session stores each session at each request; where nothing has changed, that
 * is a touch and no write.
 *
 * A session that was destroyed or expired meanwhile is not brought back. A request that has changed it is told so by the
 * error `E_SESSION_DESTROYED`, with which it ends unless its error handler answers otherwise; `'dropped'` is then emitted as
 * well (where nobody listens, a warning of the process says so, once for each store). One that only reads ends normally.
 */
export class NonstickStore<Data extends object = Record<string, unknown>> extends EventEmitter {
  /** The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. */
  readonly sessions: SessionStore<Data>
  readonly #owned: boolean
  readonly #objects: SessionObjects<Data>
  /** Which copy each session object came from, or became. */
  readonly #copies = new WeakMap<object, RequestCopy<Data>>()
  /** Copies whose request has heard that its session is gone. The answer of its error handler is saved as well. */
  readonly #told = new WeakSet<RequestCopy<Data>>()

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at
   *   all gives the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: NonstickStoreOptions<Data> = {}) {
    super()
    const resolved = resolveStore<Data>(options)
    this.sessions = resolved.sessions
    this.#owned = resolved.owned
    this.#objects = new SessionObjects(resolved, this)
  }

  /** The session's data, with its cookie. An id that cannot be one has no session. Loading is use, and extends it. */
  get(id: string): Promise<StoredSession<Data> | undefined>
  get<Session>(id: string, callback: (error: unknown, session?: Session | null) => void): void
  get(
    id: string,
    callback?: (error: unknown, session?: never) => void,
  ): Promise<StoredSession<Data> | undefined> | undefined {
    return settle<StoredSession<Data> | undefined, null>(
      this.#get(id),
      callback && ((error, session) => callback(error, (error ? unread(error) : session) as never)),
      null,
    )
  }

  /**
   * Stores the session: what this request changed since it loaded or stored it, or all of it under an id that it did not
   * load. A `maxAge` is the session's idle time-out, but for a second at least. A cookie whose `expires` is not in the
   * future ends the session.
   *
   * Gives `E_SESSION_DESTROYED` where the session was not loaded before and the id was destroyed: an id is not used again.
   * Gives `E_CONFIG` where a session is to begin with a cookie that has ended.
   */
  set(id: string, session: object): Promise<void>
  set(id: string, session: object, callback: DoneCallback): void
  set(id: string, session: object, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#set(id, session), callback)
  }

  /** Logs out. Destroying what is not there succeeds. What can be no id is refused with `E_INVALID_ID`. */
  destroy(id: string): Promise<void>
  destroy(id: string, callback: DoneCallback): void
  destroy(id: string, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#destroy(id), callback)
  }

  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }

  /** @fastify/session has checked the signature of the cookie before it asks. */
  async #get(id: string): Promise<StoredSession<Data> | undefined> {
    const copy = await loadCopy(this.sessions, id, { verified: true, touch: true })
    if (copy?.session === undefined) return undefined
    const { cookie, ...data } = copy.session.data as { readonly cookie?: object }
    const given = { ...data, cookie: { ...cookie, [COPY]: copy } }
    this.#copies.set(given, copy)
    return given as unknown as StoredSession<Data>
  }

  async #set(id: string, live: object): Promise<void> {
    refuseUnlessSession(live)
    const carried = carriedBy<Data>(live)
    if (carried instanceof Unread) throw carried.because
    const copy = this.#copyOf(id, live, carried) ?? new RequestCopy<Data>(id)
    this.#copies.set(live, copy)
    const now = clock.now()
    const { cookie } = live as { readonly cookie?: unknown }
    const mine = { ...named(live), cookie: storedFastifyCookie(cookie, now) }
    if (copy.session === undefined && isSpent(mine.cookie)) throw cookieOfThePast(endedMs(cookie, now))
    await this.#objects.save(copy, mine, {
      end: async () => await this.#destroy(id),
      isQuiet: ({ code }) => code === 'E_SESSION_DESTROYED' && (isReloadOfNothing(live) || this.#hasHeard(copy)),
    })
  }

  /**
   * @fastify/session makes a session object of its own of what `get` gave, and takes over all properties of the cookie,
   * those whose keys are symbols too, into the cookie options that it keeps in that object under a symbol.
   */
  #copyOf(id: string, live: object, carried: RequestCopy<Data> | undefined): RequestCopy<Data> | undefined {
    const copy = this.#copies.get(live) ?? carried
    return copy?.id === id ? copy : undefined
  }

  /** Whether this is not the first time that the copy's request hears of it. */
  #hasHeard(copy: RequestCopy<Data>): boolean {
    if (this.#told.has(copy)) return true
    this.#told.add(copy)
    return false
  }

  async #destroy(id: string): Promise<void> {
    await this.sessions.destroy(id)
  }
}

/** What a session object carries in place of a copy where the store could not tell what the session holds. */
class Unread {
  readonly because: unknown

  constructor(because: unknown) {
    this.because = because
  }
}

/**
 * Where `request.session.reload()` fails, @fastify/session makes the request's session anew of what stands beside the error:
 * of nothing, an empty session, which would be stored at the end of the request as if all had been removed from it.
 */
const unread = (because: unknown): object => ({ cookie: { [COPY]: new Unread(because) } })

/** Whether `request.session.reload()` has found no session any more, and nothing was changed since. */
const isReloadOfNothing = (live: { isModified?: () => unknown }): boolean =>
  Object.keys(live).every((name) => name === 'cookie') && live.isModified?.() === false

const carriedBy = <Data>(live: object): RequestCopy<Data> | Unread | undefined => {
  for (const key of Object.getOwnPropertySymbols(live)) {
    const kept: unknown = Reflect.get(live, key)
    if (typeof kept === 'object' && kept !== null && COPY in kept) return kept[COPY] as RequestCopy<Data> | Unread
  }
  return undefined
}

/** How long ago a cookie ended, in ms. */
const endedMs = (cookie: unknown, now: EpochMs): number => {
  const { originalMaxAge } = storedCookie(cookie, now)
  return typeof originalMaxAge === 'number' ? Math.max(0, -originalMaxAge) : 0
}
