import type { CloseOptions, CloseReport, GivenIdleTtl, SaveOptions, Session, SessionStore } from '../contract/index.js'
import { systemRuntime as clock } from '../runtime.js'
import { type GivenStore, type OwnStore, resolveStore } from './given-store.js'
import { Departures, keepsNothing, loadCopy, moveCopy, RequestCopy, storeCopy } from './request-copy.js'

export type { GivenStore, OwnStore } from './given-store.js'

/** How long koa-session lets a session live: in ms, or with the browser. */
export type KoaMaxAge = number | 'session'

/**
 * What koa-session is given of a session: the data, and beside it what koa-session keeps for itself, `_maxAge` or
 * `_session`, and `_expire`, the moment in ms at which koa-session takes it for expired.
 */
export type KoaSessionData<Data = Record<string, unknown>> = Data & {
  readonly _expire?: number
  readonly _maxAge?: number
  readonly _session?: true
}

/**
 * `ctx.session`, for programs whose context is typed: `new Koa<Koa.DefaultState, { session: KoaSession<Data> | null }>()`.
 * It is `null` once a request has ended the session by `ctx.session = null`.
 */
export type KoaSession<Data = Record<string, unknown>> = Data & {
  /** Whether there was no session when the request came. */
  readonly isNew: boolean
  /** The id of the session: a secret, which belongs in no log. */
  readonly externalKey: string
  /** How long the session lives, in ms, or with the browser. Setting it stores it with the session. */
  maxAge: KoaMaxAge | undefined
  /** Stores the session now, also where it is empty. To be awaited: what it rejects with ends the process otherwise. */
  save(): Promise<void>
  /** Destroys the session and stores its data under a new id. To be awaited. */
  regenerate(): Promise<void>
  /** Stores the session where it has changed, for programs with `autoCommit: false`. To be awaited. */
  manuallyCommit(): Promise<void>
}

/** What koa-session says with each call; a program that calls the store itself leaves it out. */
export interface KoaCallOptions {
  /** koa's context of the request. The copy that the request works on is kept beside it. */
  readonly ctx?: object
}

/** The store that koa-session expects, as `store` or as an instance of `ContextStore`. */
export interface KoaExternalStore {
  get(key: string, maxAge: KoaMaxAge | undefined, options: KoaCallOptions): Promise<unknown>
  set(key: string, session: object, maxAge: KoaMaxAge | undefined, options: KoaCallOptions): Promise<void>
  destroy(key: string, options: KoaCallOptions): Promise<void>
}

/** A session lives no shorter than this, as the store refuses less. */
const LEAST_IDLE_TTL_MS = 1_000

/**
 * koa-session's external store, on a nonstick session store.
 *
 * Each request saves against the copy that it loaded itself, which is kept beside its `ctx`, so that changes of
 * concurrent requests are merged by top-level key. A session that was destroyed or expired meanwhile is not brought back:
 * the request's `set` rejects with `E_SESSION_DESTROYED`, before koa has answered. What koa-session sets without a change
 * (`rolling`, `renew`) is a touch, and no write.
 *
 * Every error has a `code` (`docs/errors.md`), and means that the store could not know, or would not.
 */
export class NonstickStore<Data extends object = Record<string, unknown>> implements KoaExternalStore {
  /**
   * The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. The data has a key
   * `_maxAge` of koa-session's beside the application's.
   */
  readonly sessions: SessionStore<Data>
  readonly #owned: boolean
  readonly #idleTtlMs: GivenIdleTtl
  /** Of each request: under which ids it asked for a session or stored one, and the copies that it works on. */
  readonly #requests = new WeakMap<object, Map<string, RequestCopy<Data> | undefined>>()
  readonly #departures: Departures<Data>

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at
   *   all gives the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: GivenStore<Data> | OwnStore<Data> = {}) {
    const { sessions, owned, idleTtlMs } = resolveStore<Data>(options)
    this.sessions = sessions
    this.#owned = owned
    this.#idleTtlMs = idleTtlMs ?? 'default'
    this.#departures = new Departures(sessions)
  }

  /**
   * The session, or `undefined` if there is none: unknown, expired, destroyed, or an id that cannot be one. A session that
   * lives with the browser (`maxAge: 'session'`) counts as used by this; one that has a `maxAge` lives on as long as
   * koa-session says, by `rolling` or `renew`.
   */
  async get(
    key: string,
    _maxAge?: KoaMaxAge | undefined,
    { ctx }: KoaCallOptions = {},
  ): Promise<KoaSessionData<Data> | undefined> {
    const copy = await loadCopy(this.sessions, key, { verified: isSigned(ctx) })
    this.#copiesOf(ctx).set(key, copy)
    if (copy?.session === undefined) return undefined
    const { data } = copy.session
    if (typeof maxAgeOf(data) !== 'number') await this.sessions.touch(copy.session)
    return shown(copy.session)
  }

  /**
   * Stores what this request changed of the session since it loaded or stored it, or all of it under an id that it did not
   * load; after `ctx.session.regenerate()` with what others have stored meanwhile. `_maxAge` is the session's idle time-out,
   * but for a second at least; one of 0 or less destroys it, as it ends the cookie.
   *
   * Rejects with `E_SESSION_DESTROYED` where the session was destroyed or expired meanwhile.
   */
  async set(key: string, session: object, maxAge?: KoaMaxAge | undefined, { ctx }: KoaCallOptions = {}): Promise<void> {
    const copies = this.#copiesOf(ctx)
    const copy = copies.get(key) ?? new RequestCopy<Data>(key)
    copies.set(key, copy)
    const life = maxAgeGiven(session) ?? maxAge
    const leaving = ctx === undefined ? undefined : this.#departures.take(ctx)
    await copy.storeInTurn(named(session), async (mine) => {
      const isOver = typeof life === 'number' && life <= 0
      const isMove = leaving !== undefined && leaving !== copy && !isOver && !keepsNothing(leaving, mine, isNamed)
      if (leaving !== undefined && !isMove) await this.sessions.destroy(leaving.id)
      if (isOver) return void (await this.sessions.destroy(key))
      const before = (isMove ? leaving : copy).session?.data
      const data = { ...kept(before, mine), ...mine, ...(life === undefined ? {} : { _maxAge: life }) } as Data
      const lifeToStore = this.#lifeOf(life, before)
      if (isMove) await moveCopy(this.sessions, leaving, copy, data, lifeToStore)
      else await storeCopy(this.sessions, copy, data, lifeToStore)
    })
  }

  /** Logs out. Destroying what is not there succeeds. Rejects if the backend could not be told; the store goes on trying. */
  async destroy(key: string, { ctx }: KoaCallOptions = {}): Promise<void> {
    const copies = this.#copiesOf(ctx)
    const copy = copies.get(key)
    if (ctx !== undefined && copy?.session !== undefined && isRegenerating(ctx)) {
      this.#departures.putOff(ctx, copy)
      return
    }
    // An id that came with no request, and under which this one stored nothing, is koa-session's own and new.
    await this.sessions.destroy(key, { isNew: ctx !== undefined && !copies.has(key) })
  }

  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }

  #copiesOf(ctx: object | undefined): Map<string, RequestCopy<Data> | undefined> {
    if (ctx === undefined) return new Map()
    const known = this.#requests.get(ctx)
    if (known !== undefined) return known
    const copies = new Map<string, RequestCopy<Data> | undefined>()
    this.#requests.set(ctx, copies)
    return copies
  }

  /**
   * The idle time-out goes with a save only where this request changed it: a request that loaded the session before a
   * login made it longer shall not make it shorter again.
   */
  #lifeOf(life: KoaMaxAge | undefined, before: Data | undefined): Pick<SaveOptions, 'idleTtlMs'> {
    if (before !== undefined && maxAgeOf(before) === life) return {}
    const isNumber = typeof life === 'number' && Number.isFinite(life)
    return { idleTtlMs: isNumber ? Math.max(LEAST_IDLE_TTL_MS, Math.ceil(life)) : this.#idleTtlMs }
  }
}

/**
 * A class for koa-session's option `ContextStore`: for each request the function says from its `ctx` which store has its
 * session, for instance that of the tenant whose host name was asked for. The stores themselves are made once, outside.
 * What the function throws is the request's error.
 */
export const contextStore = <Context extends object>(
  storeOf: (ctx: Context) => KoaExternalStore,
): (new (
  ctx: Context,
) => KoaExternalStore) =>
  class ContextStore implements KoaExternalStore {
    readonly #store: KoaExternalStore

    constructor(ctx: Context) {
      this.#store = storeOf(ctx)
    }

    get(key: string, maxAge: KoaMaxAge | undefined, options: KoaCallOptions): Promise<unknown> {
      return this.#store.get(key, maxAge, options)
    }

    set(key: string, session: object, maxAge: KoaMaxAge | undefined, options: KoaCallOptions): Promise<void> {
      return this.#store.set(key, session, maxAge, options)
    }

    destroy(key: string, options: KoaCallOptions): Promise<void> {
      return this.#store.destroy(key, options)
    }
  }

/**
 * Whether koa-session destroys the session to store it under a new id, which it does next. When it does so to end the session,
 * the request has none any more.
 */
const isRegenerating = (ctx: object): boolean => {
  const { session } = ctx as { readonly session?: unknown }
  return session !== undefined && session !== null
}

/** koa-session reads the id from a cookie whose signature it has checked, unless its options say otherwise. */
const isSigned = (ctx: object | undefined): boolean => {
  const { sessionOptions: options } = (ctx ?? {}) as {
    readonly sessionOptions?: { readonly signed?: boolean; readonly externalKey?: unknown }
  }
  return options !== undefined && options.signed !== false && options.externalKey === undefined
}

/** koa-session's own, and whatever else it keeps out of what it stores. */
const isHidden = (name: string): boolean => name.startsWith('_')

const isNamed = (name: string): boolean => !isHidden(name)

const onlyKeys = (data: object, keeps: (name: string) => boolean): Record<string, unknown> =>
  Object.fromEntries(Object.entries(data).filter(([name]) => keeps(name)))

/** The data of the application. */
const named = (session: object): Record<string, unknown> => onlyKeys(session, isNamed)

/**
 * What stays of the session as it was loaded, in its order, as a moved key would be a change. koa-session does not give
 * back what it hides, such as another part of the program may have stored: no request has taken that out.
 */
const kept = (before: object | undefined, mine: object): Record<string, unknown> =>
  onlyKeys(before ?? {}, (name) => isHidden(name) || Object.hasOwn(mine, name))

const maxAgeOf = (data: object): KoaMaxAge | undefined => (data as { readonly _maxAge?: KoaMaxAge })._maxAge

/** koa-session gives a number as `_maxAge`, and `'session'` as `_session: true`. One key holds it, so that it merges as one. */
const maxAgeGiven = (session: object): KoaMaxAge | undefined => {
  const { _maxAge, _session } = session as KoaSessionData
  return _session === true ? 'session' : _maxAge
}

/**
 * A session as koa-session expects it. Its `_expire` is not stored, but is the moment at which the session ends; no
 * further away than the `maxAge`, as the store may keep a session a little longer.
 */
const shown = <Data extends object>({ data, expiresAt }: Session<Data>): KoaSessionData<Data> => {
  const { _maxAge: maxAge, ...rest } = data as { readonly _maxAge?: KoaMaxAge }
  if (maxAge === 'session') return { ...rest, _session: true } as KoaSessionData<Data>
  if (maxAge === undefined) return rest as KoaSessionData<Data>
  return { ...rest, _maxAge: maxAge, _expire: Math.min(expiresAt, clock.now() + maxAge) } as KoaSessionData<Data>
}
