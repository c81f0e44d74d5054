import type { CloseOptions, CloseReport, SessionStore } from '../contract/index.js'
import { isSessionStoreError, SessionStoreError } from '../errors.js'
import type { StoreOptions } from '../store/options.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { type NamedUsers, resolveNamedStore } from './given-store.js'
import { loadCopy, RequestCopy, storeCopy, unlessInvalidId } from './request-copy.js'

/** What is used of a session of @auth0/nextjs-auth0; it holds more. */
export interface Auth0Session {
  readonly user: { readonly sub: string }
  readonly internal: {
    /** The session at Auth0. */
    readonly sid: string
    /** Where there are several domains: from which this session came. */
    readonly mcd?: { readonly issuer: string } | undefined
  }
  readonly tokenSet: object
}

/** What Auth0 says of the sessions that have ended there. */
export interface Auth0LogoutToken {
  readonly sub?: string
  readonly sid?: string
  readonly iss?: string
}

/** The data as @auth0/nextjs-auth0 has it: whatever it expects of a session, `get` gives. */
type Given = never

interface Common {
  /**
   * How long a session lives that nobody uses, in ms: whole, at least 1_000. The same as the `inactivityDuration` of the
   * client, which is in seconds.
   * @default as the options of the store say: a day, like the client's
   */
  readonly idleTtlMs?: number | undefined
}

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStoreOptions extends Common {
  /** Made with `identify: userOfAuth0Session`, or an `identify` that calls it. */
  readonly sessions: SessionStore<never> | SessionStore<unknown> | SessionStore | SessionStore<Auth0Session>
  readonly cache?: undefined
  readonly backend?: undefined
}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStoreOptions extends Common, Omit<StoreOptions<Auth0Session>, 'identify' | 'idleTtlMs'> {
  readonly sessions?: undefined
}

export type Auth0StoreOptions = GivenStoreOptions | OwnStoreOptions

const PAGE_SIZE = 1_000

/** Whose session it is; for the option `identify` of a store that is made elsewhere. */
export const userOfAuth0Session = (data: unknown): string | undefined => {
  const user = isPlainObject(data) ? data['user'] : undefined
  const sub = isPlainObject(user) ? user['sub'] : undefined
  return typeof sub === 'string' && sub !== '' ? sub : undefined
}

/** How it is known whose a session is, and what is called of the store. */
const USERS: NamedUsers<Auth0Session> = {
  identify: userOfAuth0Session,
  because: 'a session is that of its `user.sub`',
  used: ['create', 'load', 'save', 'update', 'put', 'destroy', 'destroyByHandle', 'listByUser', 'list', 'inspect'],
}

/**
 * The `sessionStore` of @auth0/nextjs-auth0 4, on a nonstick session store.
 *
 * A session that was ended is not brought back: `update` gives `false`. Where a request stores what it made of the session
 * that it loaded, it saves against the copy that it loaded, so that requests that run at once each have their way with what
 * they change. A call rejects where the store could not know or would not (`docs/errors.md`).
 */
export class NonstickAuth0Store {
  /** The store underneath: for `health()`, `stats()`, `on()` and `destroyByUser()`. */
  readonly sessions: SessionStore<Auth0Session>
  readonly #owned: boolean
  readonly #idleTtlMs: number | undefined
  /** Whether the store names the users. It need not be asked of a store that was made here. */
  #knowsUsers: boolean
  /**
   * Which copy an object came from that was given out. The client makes new objects of sessions, but leaves the user and the
   * tokens in them as they are where it does not change them.
   */
  readonly #copies = new WeakMap<object, RequestCopy<Auth0Session>>()

  /** @throws SessionStoreError `E_CONFIG` */
  constructor(options: Auth0StoreOptions = {}) {
    const { sessions, owned, idleTtlMs } = resolveNamedStore(options, USERS)
    this.sessions = sessions
    this.#owned = owned
    // A store that was made here has it already.
    this.#idleTtlMs = owned ? undefined : idleTtlMs
    this.#knowsUsers = owned
  }

  /** The session; `null` where there is none: unknown, expired or ended. */
  async get(id: string): Promise<Given> {
    // The client has decrypted the cookie that the id came in.
    const copy = await loadCopy(this.sessions, id, { verified: true })
    if (copy?.session === undefined) return null as Given
    const given = { ...copy.session.data }
    for (const part of partsOf(given)) this.#copies.set(part, copy)
    return given as Given
  }

  /** Stores a session under a new id. Rejects with `E_SESSION_DESTROYED` where one was ended under that id. */
  async set(id: string, session: Auth0Session): Promise<void> {
    await this.#store(this.#copyOf(id, session) ?? new RequestCopy(id), session)
    await this.#askWhetherUsersAreKnown(id, session)
  }

  /** Stores what a request made of a session. `false` where there is none any more: nothing was stored then. */
  async update(id: string, session: Auth0Session): Promise<boolean> {
    const copy = this.#copyOf(id, session)
    try {
      if (copy !== undefined) {
        await this.#store(copy, session)
        return true
      }
      const options = { verified: true, ...this.#idle() }
      const stored = await unlessInvalidId(async () => await this.sessions.update(id, () => session, options))
      return stored !== undefined
    } catch (error) {
      if (isSessionStoreError(error, 'E_SESSION_DESTROYED')) return false
      throw error
    }
  }

  /** Ends a session. */
  async delete(id: string): Promise<void> {
    await unlessInvalidId(async () => await this.sessions.destroy(id))
  }

  /**
   * Ends the sessions that Auth0 says have ended there: with a `sid` that one, else all of the user. Where sessions came from
   * several domains, those of another issuer stay. A `sid` without a `sub`, which Auth0 does not send, is looked for among
   * all sessions.
   */
  async deleteByLogoutToken({ sub, sid, iss }: Auth0LogoutToken): Promise<void> {
    if (sub === undefined && sid === undefined) return
    let isWholeUser = sid === undefined
    const ended: string[] = []
    for await (const { handle, data } of this.#sessionsOf(sub)) {
      if (data === undefined) continue
      const issuer = data.internal?.mcd?.issuer
      const isElsewhere = iss !== undefined && issuer !== undefined && withoutSlash(issuer) !== withoutSlash(iss)
      if (isElsewhere) isWholeUser = false
      else if (sid === undefined || data.internal?.sid === sid) ended.push(handle)
    }
    // So that a login which runs at this moment is not missed.
    if (sub !== undefined && isWholeUser) await this.sessions.destroyByUser(sub)
    else for (const handle of ended) await this.sessions.destroyByHandle(handle)
  }

  /** Closes the store that was made here, with its report. A store that was given is left open, and gives `undefined`. */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }

  #copyOf(id: string, session: Auth0Session): RequestCopy<Auth0Session> | undefined {
    const copies = partsOf(session).map((part) => this.#copies.get(part))
    return copies.find((copy) => copy?.id === id)
  }

  async #store(copy: RequestCopy<Auth0Session>, session: Auth0Session): Promise<void> {
    await copy.storeInTurn(session, async (held) => await storeCopy(this.sessions, copy, held, this.#idle()))
  }

  #idle(): { readonly idleTtlMs?: number } {
    return this.#idleTtlMs === undefined ? {} : { idleTtlMs: this.#idleTtlMs }
  }

  async *#sessionsOf(sub: string | undefined): AsyncGenerator<{ handle: string; data: Auth0Session | undefined }> {
    if (sub !== undefined) {
      yield* this.sessions.listByUser(sub, { data: true })
      return
    }
    let after: { readonly after?: string } = {}
    for (;;) {
      const page = await this.sessions.list({ limit: PAGE_SIZE, data: true, ...after })
      const { next } = page
      yield* page
      if (next === undefined) return
      after = { after: next }
    }
  }

  /**
   * A store that does not name the users would let a logout at Auth0 end nothing.
   *
   * @throws SessionStoreError `E_CONFIG`
   */
  async #askWhetherUsersAreKnown(id: string, session: Auth0Session): Promise<void> {
    if (this.#knowsUsers) return
    const found = await this.sessions.inspect(this.sessions.handleOf(id))
    if (found?.session === undefined) return
    if (found.session.userId !== userOfAuth0Session(session))
      throw new SessionStoreError(
        'E_CONFIG',
        'Expected `sessions` to be made with `identify: userOfAuth0Session`, or an `identify` that calls it: otherwise a logout at Auth0 would end nothing',
        { applied: 'unknown' },
      )
    this.#knowsUsers = true
  }
}

/** By what a session is recognised: itself, or what the client leaves in it. */
const partsOf = (session: Auth0Session): readonly object[] =>
  [session, session.user, session.tokenSet].filter((part) => typeof part === 'object' && part !== null)

const withoutSlash = (issuer: string): string => issuer.replace(/\/$/, '')
