import { type SessionData, Store } from 'express-session'
import { LRUCache } from 'lru-cache'
import type { CloseOptions, CloseReport, EpochMs, SessionStore } from '../contract/index.js'
import type { SessionStoreError } from '../errors.js'
import { systemRuntime as clock } from '../runtime.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { AnonymousRequests, isUnavailable } from './express-anonymous.js'
import { type Callback, settle } from './express-callback.js'
import { isSpent, revivedCookie, storedCookie } from './express-cookie.js'
import { isMark, isThere, Marks } from './express-marks.js'
import {
  type ExpressData,
  type ExpressRequest,
  type NonstickStoreOptions,
  type ResolvedExpressOptions,
  resolveExpressOptions,
} from './express-options.js'
import { loadCopy, RequestCopy } from './request-copy.js'
import { cookieOfThePast, named, refuseUnlessSession, SessionObjects, type StoredObject } from './session-objects.js'

export { type ExpressStoreToLeave, type FromExpressStoreOptions, fromExpressStore } from './express-legacy.js'
export type {
  ExpressData,
  ExpressRequest,
  GivenStoreOptions,
  NonstickStoreOptions,
  OutageOptions,
  OwnStoreOptions,
  RecordingOptions,
} from './express-options.js'

// Taken from express-session's own types, so that a callback written for any other store fits this one.
type Generate = (req: ExpressRequest) => void
type LiveSession = ReturnType<Store['createSession']>
type GetCallback = Parameters<Store['get']>[1]
type LoadCallback = Parameters<Store['load']>[1]
type DoneCallback = NonNullable<Parameters<Store['set']>[2]>
type AllCallback = Parameters<NonNullable<Store['all']>>[0]
type LengthCallback = Parameters<NonNullable<Store['length']>>[0]

/** A session as `all` gives it. */
export type ListedData = SessionData & { readonly handle: string }

const PAGE_SIZE = 1_000
/** A request is over long before so many others begin. */
const MOST_NEW_IDS = 10_000

/**
 * express-session's store, on a nonstick session store.
 *
 * Every method takes a callback or, without one, returns a promise. A callback is called exactly once. A
 * session that is not there is `null` to a callback and `undefined` to a promise; an error means that the
 * store could not know, or would not, and has a `code` (`docs/errors.md`).
 *
 * Each request saves against the copy that it loaded itself, so that changes of concurrent requests are merged
 * by top-level key. A session that was destroyed or expired meanwhile is not brought back, and `'dropped'` is emitted
 * with the reason (where nobody listens, a warning of the process says so, once for each store). The request ends
 * normally; its own `req.session.save(callback)`, before it answers, is given the error `E_SESSION_DESTROYED`, and so is
 * a `set` of what was not loaded. No other event is ever emitted; above all no `'disconnect'`, at which express-session
 * would serve requests without `req.session`.
 */
export class NonstickStore extends Store {
  /** The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. */
  readonly sessions: SessionStore<ExpressData>
  readonly #owned: boolean
  readonly #objects: SessionObjects<ExpressData>
  readonly #clientOf: ResolvedExpressOptions['clientOf']
  /** Which copy each session object of a request came from. */
  readonly #copies = new WeakMap<object, Copy>()
  /** The same for the objects inside what `get` gave: express-openid-connect hands them back in an object of its own. */
  readonly #copiesOfParts = new WeakMap<object, Copy>()
  /** Ids that express-session has just made for requests, and under which nothing was stored yet. */
  #newIds: LRUCache<string, true> | undefined
  /** New sessions whose cookie had ended when express-session made it, and by how many ms. */
  readonly #endedAtBirth = new WeakMap<object, number>()
  readonly #marks: Marks
  readonly #anonymous = new AnonymousRequests()
  readonly #servesAnonymous: boolean
  /** Why the session cannot be known that express-session is just being told of. */
  #unknown: Unknown | undefined
  #generate: Generate | undefined

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at
   *   all gives the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: NonstickStoreOptions = {}) {
    super()
    const resolved = resolveExpressOptions(options)
    this.sessions = resolved.sessions
    this.#owned = resolved.owned
    this.#objects = new SessionObjects(resolved, this)
    this.#clientOf = resolved.clientOf
    this.#marks = new Marks(resolved.sessions)
    this.#servesAnonymous = resolved.servesAnonymous
  }

  /**
   * The session's data, with its cookie. An id that cannot be one has no session.
   *
   * With `onUnavailable: 'anonymous'` a callback is given `null` in place of `E_SESSION_UNAVAILABLE` and `E_OVERLOADED`,
   * since by it express-session asks for the session of a request, and serves the request then. A promise rejects as ever.
   */
  override get(sid: string): Promise<SessionData | undefined>
  override get(sid: string, callback: GetCallback): void
  override get(sid: string, callback?: GetCallback): Promise<SessionData | undefined> | undefined {
    const asked =
      this.#servesAnonymous && typeof callback === 'function' && this.#generate !== undefined && !isMark(sid)
        ? this.#unlessUnavailable(sid, callback)
        : callback
    return settle<SessionData | undefined, null>(this.#get(sid), asked, null)
  }

  /** `get`, as the `Session` that a request would have; `undefined` if there is none. */
  override load(sid: string): Promise<LiveSession | undefined>
  override load(sid: string, callback: LoadCallback): void
  override load(sid: string, callback?: LoadCallback): Promise<LiveSession | undefined> | undefined {
    return settle(this.#load(sid), callback as Callback<LiveSession | undefined>)
  }

  /**
   * Stores the session: what this request changed since it loaded or saved it, or all of it under an id that it
   * did not load. A `maxAge` is the session's idle time-out, but for a second at least; one of 0 or less destroys it, as
   * it ends the cookie.
   *
   * Gives `E_SESSION_DESTROYED` where the session was not loaded before and the id was destroyed: an id is not used again.
   */
  override set(sid: string, session: SessionData): Promise<void>
  override set(sid: string, session: SessionData, callback: DoneCallback | undefined): void
  override set(sid: string, session: SessionData, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#set(sid, session), callback)
  }

  /**
   * The session was used. Extends it, and saves what express-session could not see to have changed: the cookie,
   * a `Map`, a `Buffer`. For a session that is gone, nothing happens.
   */
  override touch(sid: string, session: SessionData): Promise<void>
  override touch(sid: string, session: SessionData, callback: DoneCallback | undefined): void
  override touch(sid: string, session: SessionData, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#touch(sid, session), callback)
  }

  /**
   * Logs out. Destroying what is not there succeeds. What can be no id is refused with `E_INVALID_ID`, as no session was
   * ended: `undefined`, an empty text, a handle.
   */
  override destroy(sid: string): Promise<void>
  override destroy(sid: string, callback: DoneCallback | undefined): void
  override destroy(sid: string, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#destroy(sid), callback)
  }

  /**
   * Every session of this namespace that the backend holds, as old as its last flush. All of them at once: for
   * many sessions page through `sessions.list()` instead. Each has a `handle`, not enumerable, for
   * `sessions.destroyByHandle(handle)`.
   */
  override all(): Promise<ListedData[]>
  override all(callback: AllCallback): void
  override all(callback?: AllCallback): Promise<ListedData[]> | undefined {
    return settle(this.#all(), callback as Callback<ListedData[]> | undefined)
  }

  /** How many sessions of this namespace the backend holds. */
  override length(): Promise<number>
  override length(callback: LengthCallback): void
  override length(callback?: LengthCallback): Promise<number> | undefined {
    return settle(this.sessions.count(), callback)
  }

  /** Destroys every session of this namespace, and nothing of anyone else's. */
  override clear(): Promise<void>
  override clear(callback: DoneCallback | undefined): void
  override clear(callback?: DoneCallback): Promise<void> | undefined {
    return settle(
      this.sessions.destroyAll().then(() => undefined),
      callback,
    )
  }

  /**
   * express-session's own order: the old session is destroyed, then the request gets a new and empty one under
   * a new id, also where the old one could not be destroyed; that is then the error.
   */
  override regenerate(req: ExpressRequest): Promise<void>
  override regenerate(req: ExpressRequest, callback: DoneCallback | undefined): void
  override regenerate(req: ExpressRequest, callback?: DoneCallback): Promise<void> | undefined {
    return settle(this.#regenerate(req), callback)
  }

  /**
   * express-session puts the function here by which a request gets a new session, and calls it here. So the store learns
   * which ids nobody but this request knows: one that ends such a session leaves no trace of it in the backend.
   *
   * @internal
   */
  get generate(): Generate | undefined {
    const generate = this.#generate
    if (generate === undefined) return undefined
    return (req) => {
      generate.call(this, req)
      if (this.#unknown !== undefined) return this.#serveAnonymous(req, this.#unknown)
      if (typeof req.sessionID === 'string') this.#rememberNew(req.sessionID)
      const { originalMaxAge } = storedCookie(req.session.cookie, clock.now())
      if (typeof originalMaxAge === 'number' && originalMaxAge <= 0)
        this.#endedAtBirth.set(req.session, -originalMaxAge)
    }
  }

  set generate(generate: Generate | undefined) {
    if (this.#generate !== undefined && generate !== undefined)
      this.#objects.warnOnce(
        'NONSTICK_SHARED_STORE',
        'Two session middlewares were made with one NonstickStore. express-session keeps its cookie options and genid on the store, so that those of the later one count for both. Give each middleware a store of its own, on the same sessions: new NonstickStore({ sessions: store.sessions })',
      )
    this.#generate = generate
  }

  /** The live session of a request, tied to the copy that the data came from. */
  override createSession(req: ExpressRequest, data: SessionData): LiveSession {
    this.#anonymous.end(req)
    const live = super.createSession(req, data)
    const copy = this.#copies.get(data)
    if (copy !== undefined) this.#copies.set(live, copy)
    return live
  }

  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }

  #rememberNew(id: string): void {
    // It takes its whole room at once, which a store that serves no request has no use for.
    this.#newIds ??= new LRUCache({ max: MOST_NEW_IDS })
    this.#newIds.set(id, true)
  }

  async #get(sid: string): Promise<SessionData | undefined> {
    const copy = await this.#loadCopy(sid)
    if (copy?.session === undefined || (isMark(sid) && !isThere(copy.session.data))) return undefined
    const data = revived(copy.session.data, copy.session.expiresAt, clock.now())
    this.#copies.set(data, copy)
    for (const part of partsOf(data)) this.#copiesOfParts.set(part, copy)
    return data
  }

  /** express-session has checked the signature of the cookie before it asks; other users of its stores may have not. */
  async #loadCopy(sid: string): Promise<Copy | undefined> {
    return await loadCopy(this.sessions, sid, { verified: this.#generate !== undefined })
  }

  /** By way of `createSession`, like express-session's own. */
  async #load(sid: string): Promise<LiveSession | undefined> {
    const data = await this.#get(sid)
    if (data === undefined) return undefined
    return this.createSession({ sessionID: sid, sessionStore: this } as unknown as ExpressRequest, data)
  }

  async #set(sid: string, live: SessionData): Promise<void> {
    refuseUnlessSession(live)
    this.#anonymous.refuse(live)
    if (isMark(sid) && requestOf(live) === undefined) return await this.#marks.set(sid, stored(live))
    const copy = this.#copyOf(sid, live) ?? this.#copyOfParts(sid, live) ?? new RequestCopy<ExpressData>(sid)
    // An object that a program made by hand, and that came from no `get`, is stored whole each time.
    if (requestOf(live) !== undefined) this.#copies.set(live, copy)
    await this.#save(copy, live, () => mayEndQuietly(copy, live))
  }

  async #touch(sid: string, live: SessionData): Promise<void> {
    if (typeof live === 'object' && live !== null) this.#anonymous.refuse(live)
    const copy = this.#copyOf(sid, live)
    if (copy !== undefined) return await this.#save(copy, live, () => true)
    // A session object that this request did not load says nothing about the data, only about the cookie.
    const loaded = await this.#loadCopy(sid)
    if (loaded?.session === undefined) return
    const { data } = loaded.session
    const given: unknown = (live as Partial<SessionData> | null | undefined)?.cookie
    const cookie = typeof given === 'object' && given !== null ? storedCookie(given, clock.now()) : data.cookie
    await this.#save(loaded, { ...data, cookie } as unknown as SessionData, () => true)
  }

  #copyOf(sid: string, live: object): Copy | undefined {
    const copy = this.#copies.get(live)
    return copy?.id === sid ? copy : undefined
  }

  /** The one copy from which those parts come that came from any; `undefined` where there are none, or several copies. */
  #copyOfParts(sid: string, live: object): Copy | undefined {
    const copies = new Set(partsOf(live).map((part) => this.#copiesOfParts.get(part)))
    copies.delete(undefined)
    const [copy] = copies
    return copies.size === 1 && copy?.id === sid ? copy : undefined
  }

  /**
   * What the session holds is read here and now; what is done with it waits for earlier saves of this request.
   *
   * @param isQuiet asked where the session is gone: whether the caller shall not hear of it
   */
  async #save(copy: Copy, live: SessionData, isQuiet: () => boolean): Promise<void> {
    const mine = stored(live)
    const endedMs = this.#endedAtBirth.get(live)
    if (endedMs !== undefined && copy.session === undefined && isSpent(mine.cookie)) throw cookieOfThePast(endedMs)
    const req = requestOf(live)
    const client = req && this.#clientOf(req)
    if (!isSpent(mine.cookie)) this.#newIds?.delete(copy.id)
    await this.#objects.save(copy, mine, {
      client,
      end: async () => await this.#destroy(copy.id),
      isQuiet: (error) =>
        (error.code === 'E_SESSION_DESTROYED' && isQuiet()) ||
        (this.#servesAnonymous && isUnavailable(error) && requestOf(live)?.res?.headersSent === true),
    })
  }

  async #destroy(sid: string): Promise<void> {
    if (isMark(sid)) return await this.#marks.takeAway(sid)
    // It stays new: with `unset: 'destroy'` express-session destroys it once more when the response ends.
    const isNew = this.#newIds?.has(sid) === true
    await this.sessions.destroy(sid, { isNew })
  }

  async #all(): Promise<ListedData[]> {
    const all: ListedData[] = []
    let after: { readonly after?: string } = {}
    for (;;) {
      const sessions = await this.sessions.list({ limit: PAGE_SIZE, data: true, ...after })
      const { next } = sessions
      const now = clock.now()
      for (const { error, data, handle, expiresAt } of sessions)
        if (error === undefined && isPlainObject(data))
          all.push(Object.defineProperty(revived(data, expiresAt, now), 'handle', { value: handle }) as ListedData)
      if (next === undefined) return all
      after = { after: next }
    }
  }

  async #regenerate(req: ExpressRequest): Promise<void> {
    // A request that is served without its session stays without, where the old one cannot be ended.
    let staysAnonymous = this.#anonymous.has(req)
    try {
      await new Promise<void>((resolve, reject) => {
        this.destroy(this.#anonymous.idOf(req), (error: unknown) => (error ? reject(error) : resolve()))
      })
      this.#anonymous.end(req)
      staysAnonymous = false
    } finally {
      if (!staysAnonymous) this.generate?.(req)
    }
  }

  /** Tells express-session that there is none; the session that it then generates is made into an empty one. */
  #unlessUnavailable(id: string, callback: GetCallback): GetCallback {
    return (error: unknown, session) => {
      if (!isUnavailable(error)) return callback(error, session)
      this.#unknown = { id, cause: error }
      try {
        callback(null, null)
      } finally {
        this.#unknown = undefined
      }
    }
  }

  #serveAnonymous(req: ExpressRequest, { id, cause }: Unknown): void {
    const { cookie } = req.session
    req.sessionID = id
    const live = super.createSession(req, { cookie: { originalMaxAge: null } } as SessionData)
    live.cookie = cookie
    this.#anonymous.begin(req, live, cause)
  }
}

type Copy = RequestCopy<ExpressData>

/** A session that the store could not be asked for. */
interface Unknown {
  readonly id: string
  readonly cause: SessionStoreError
}

/**
 * Whether a `set` of a session that is gone ends as if nothing were wrong. What was never stored has to be told; so has a
 * request that is still to answer, by `req.session.save(callback)`. At the end of a request express-session saves as
 * well, and the answer has begun by the time it hears: an error would break off an answer that is right. Of a framework
 * that gives the request no `res` nobody can tell; there, and with a copy that came from `get`, it ends quietly.
 */
const mayEndQuietly = ({ session }: Copy, live: object): boolean =>
  session !== undefined && (requestOf(live)?.res?.headersSent ?? true)

const stored = (live: SessionData): StoredObject => ({
  ...named(live),
  cookie: storedCookie(live.cookie, clock.now()),
})

/** The objects that stand in a session, without its cookie. */
const partsOf = ({ cookie: _, ...data }: { readonly cookie?: unknown }): object[] =>
  Object.values(data).filter((part): part is object => typeof part === 'object' && part !== null)

/** The request whose session this is; `undefined` for an object that came from `get`, or that a program made by hand. */
const requestOf = (live: object): ExpressRequest | undefined => (live as { readonly req?: ExpressRequest }).req

/** Data as express-session expects it, keys in their order: a moved key would look like a change. */
const revived = (data: ExpressData, expiresAt: EpochMs, now: EpochMs): SessionData =>
  ({ ...data, cookie: revivedCookie(data.cookie, expiresAt, now) }) as unknown as SessionData
