import type { CloseOptions, CloseReport, SessionStore } from '../contract/index.js'
import { invalidOption, isSessionStoreError, SessionStoreError } from '../errors.js'
import { isHandle } from '../session/public-handle.js'
import type { StoreOptions } from '../store/options.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { checkedOption } from '../tools/options.js'
import { IDLE_TTL, type NamedUsers, resolveNamedStore } from './given-store.js'
import { Departures, keepsNothing, loadCopy, moveCopy, RequestCopy, storeCopy } from './request-copy.js'

/** What AdonisJS lets a session hold. */
export type AdonisValue = string | boolean | number | object | Date | unknown[]
export type AdonisValues = Record<string, AdonisValue>

/** What is used of AdonisJS' context of a request. */
export interface AdonisContext {
  readonly request: { cookie(name: string): unknown }
  readonly session?: { readonly sessionId: string; readonly isEmpty: boolean; regenerate(): void }
}

/** What is used of the configuration of its sessions. */
export interface AdonisSessionConfig {
  readonly cookieName: string
  readonly age: string | number
  /** The options of the cookie, with the `maxAge` in seconds that AdonisJS makes of the `age`. */
  readonly cookie: object
}

/** A session of a user. */
export interface AdonisTaggedSession {
  /**
   * The handle of the session, which lets nobody in: `get` and `destroy` of AdonisJS' `SessionCollection` take it for an id.
   * That of a request is `sessions.handleOf(ctx.session.sessionId)`.
   */
  readonly id: string
  readonly data: AdonisValues
}

/** The contract of a store that can tag its sessions. */
export interface AdonisStore {
  read(sessionId: string): Promise<AdonisValues | null>
  write(sessionId: string, values: AdonisValues): Promise<void>
  destroy(sessionId: string): Promise<void>
  touch(sessionId: string): Promise<void>
  tag(sessionId: string, userId: string): Promise<void>
  tagged(userId: string): Promise<AdonisTaggedSession[]>
}

/** What `stores` of AdonisJS' configuration takes, and what a program needs of it besides. */
export interface AdonisStoreFactory {
  (context: AdonisContext | null, config: AdonisSessionConfig): AdonisStore
  /** The store underneath: for `health()`, `stats()`, `on()`, `destroyByUser()`, and sessions outside of requests. */
  readonly sessions: SessionStore<AdonisValues>
  /** Closes the store that was made here, with its report. A store that was given is left open, and gives `undefined`. */
  close(options?: CloseOptions): Promise<CloseReport | undefined>
}

interface Common {
  /**
   * How long a session lives that nobody uses, in ms: whole, at least 1_000.
   * @default the `age` of AdonisJS' configuration
   */
  readonly idleTtlMs?: number | undefined
}

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStoreOptions extends Common {
  /** Made with `identify: userOfAdonisSession`, or an `identify` that calls it. */
  readonly sessions: SessionStore<never> | SessionStore<unknown> | SessionStore | SessionStore<AdonisValues>
  readonly cache?: undefined
  readonly backend?: undefined
}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStoreOptions extends Common, Omit<StoreOptions<AdonisValues>, 'identify' | 'idleTtlMs'> {
  readonly sessions?: undefined
}

export type AdonisStoreOptions = GivenStoreOptions | OwnStoreOptions

/** Under this key the data of a session names its user. The application does not see it. */
const TAG = '__tag__'
/** Under this key AdonisJS keeps the messages for the next page, and takes it out when it reads them for that page. */
const FLASH = '__flash__'

/** Whose session it is, as it was tagged; for the option `identify` of a store that is made elsewhere. */
export const userOfAdonisSession = (data: unknown): string | undefined => {
  const user = isPlainObject(data) ? data[TAG] : undefined
  return typeof user === 'string' ? user : undefined
}

/** How it is known whose a session is, and what is called of the store. */
const USERS: NamedUsers<AdonisValues> = {
  identify: userOfAdonisSession,
  because: '`session.tag` says whose a session is',
  used: [
    'create',
    'load',
    'save',
    'regenerate',
    'update',
    'touch',
    'put',
    'destroy',
    'destroyByHandle',
    'listByUser',
    'inspect',
  ],
}

/**
 * Makes a session store of AdonisJS, for `stores` in `config/session.ts`.
 *
 * Each request saves against the copy that it loaded, so that requests that run at once each have their way with what they
 * change. A session that was ended meanwhile is not brought back: the request is rejected with `E_SESSION_DESTROYED`. AdonisJS
 * goes on with the id of a session that has ended; here the request is given a new one.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const nonstickStore = (options: AdonisStoreOptions = {}): AdonisStoreFactory => {
  const { sessions, owned, idleTtlMs } = resolveNamedStore(options, USERS)
  // It need not be asked of a store that was made here.
  const users = { areKnown: owned }
  const factory = (context: AdonisContext | null, config: AdonisSessionConfig): AdonisStore =>
    new RequestStore(sessions, users, context, config, idleTtlMs ?? idleTtlOf(config))
  return Object.assign(factory, {
    sessions,
    close: async (closeOptions?: CloseOptions) => (owned ? await sessions.close(closeOptions) : undefined),
  })
}

/** The store of one request, or of a `SessionCollection`, which has no request. */
class RequestStore implements AdonisStore {
  readonly #sessions: SessionStore<AdonisValues>
  readonly #users: { areKnown: boolean }
  readonly #context: AdonisContext | null
  readonly #config: AdonisSessionConfig
  readonly #idleTtlMs: number
  readonly #copies = new Map<string, RequestCopy<AdonisValues>>()
  /** Ids under which this request found no session. */
  readonly #absent = new Set<string>()
  readonly #departures: Departures<AdonisValues>
  /** Whose session it is that this request works on, under whatever id. */
  #user: string | undefined
  /** Whether this request itself has said so. */
  #hasTagged = false

  constructor(
    sessions: SessionStore<AdonisValues>,
    users: { areKnown: boolean },
    context: AdonisContext | null,
    config: AdonisSessionConfig,
    idleTtlMs: number,
  ) {
    this.#sessions = sessions
    this.#users = users
    this.#context = context
    this.#config = config
    this.#idleTtlMs = idleTtlMs
    this.#departures = new Departures(sessions)
  }

  async read(sessionId: string): Promise<AdonisValues | null> {
    if (this.#context === null && isHandle(sessionId)) {
      const found = await this.#sessions.inspect(sessionId, { data: true })
      return found?.session?.data === undefined ? null : withoutTag(found.session.data)
    }
    // AdonisJS has made up an id for a visitor who brought none.
    if (this.#context !== null && this.#context.request.cookie(this.#config.cookieName) === undefined) return null
    // It has checked the signature of the cookie.
    const copy = await loadCopy(this.#sessions, sessionId, { verified: this.#context !== null })
    if (copy?.session === undefined) {
      this.#absent.add(sessionId)
      if (this.#context?.session?.sessionId === sessionId) this.#context.session.regenerate()
      return null
    }
    this.#copies.set(sessionId, copy)
    this.#user = userOfAdonisSession(copy.session.data)
    return withoutTag(copy.session.data)
  }

  async write(sessionId: string, values: AdonisValues): Promise<void> {
    const copy = this.#copyOf(sessionId)
    const leaving = this.#departures.take(this)
    if (leaving !== undefined && keepsNothing(leaving, values, staysUntilTakenOut)) {
      if (!this.#hasTagged) this.#user = undefined
      await this.#sessions.destroy(leaving.id)
      return await this.#store(copy, values)
    }
    await this.#store(copy, values, leaving)
  }

  async destroy(sessionId: string): Promise<void> {
    if (this.#context === null && isHandle(sessionId)) {
      await this.#sessions.destroyByHandle(sessionId)
      return
    }
    const copy = this.#copies.get(sessionId)
    const current = this.#context?.session
    if (copy?.session !== undefined && current !== undefined) {
      // AdonisJS writes what the session holds under its new id next.
      if (current.sessionId !== sessionId && !current.isEmpty) return this.#departures.putOff(this, copy)
      if (current.sessionId === sessionId && heldOnlyFlash(copy.session.data)) return await this.#empty(copy)
    }
    this.#copies.delete(sessionId)
    if (!this.#absent.has(sessionId)) await this.#sessions.destroy(sessionId)
  }

  async touch(sessionId: string): Promise<void> {
    const session = this.#copies.get(sessionId)?.session ?? sessionId
    await this.#sessions.touch(session, { idleTtlMs: this.#idleTtlMs })
  }

  /** Says whose session it is. Of one that is still to be written, it is told with the writing. */
  async tag(sessionId: string, userId: string): Promise<void> {
    const user = String(userId)
    const loaded = this.#copies.get(sessionId)
    if (this.#context === null) {
      const tagged = await this.#sessions.update(sessionId, (data) => ({ ...data, [TAG]: user }))
      if (tagged !== undefined) await this.#askWhetherUsersAreKnown(sessionId, user)
      return
    }
    this.#user = user
    this.#hasTagged = true
    if (loaded?.session !== undefined) await this.#store(loaded, withoutTag(loaded.session.data))
  }

  async tagged(userId: string): Promise<AdonisTaggedSession[]> {
    const found: AdonisTaggedSession[] = []
    for await (const { handle, data } of this.#sessions.listByUser(String(userId), { data: true }))
      if (data !== undefined) found.push({ id: handle, data: withoutTag(data) })
    return found
  }

  #copyOf(sessionId: string): RequestCopy<AdonisValues> {
    const copy = this.#copies.get(sessionId) ?? new RequestCopy<AdonisValues>(sessionId)
    this.#copies.set(sessionId, copy)
    return copy
  }

  /** @param from the copy whose session gets the id of this one */
  async #store(copy: RequestCopy<AdonisValues>, values: AdonisValues, from?: RequestCopy<AdonisValues>): Promise<void> {
    const user = this.#user
    const life = { idleTtlMs: this.#idleTtlMs }
    await copy.storeInTurn(user === undefined ? { ...values } : { ...values, [TAG]: user }, async (data) => {
      if (from === undefined) await storeCopy(this.#sessions, copy, data, life)
      else await moveCopy(this.#sessions, from, copy, data, life)
      if (user !== undefined) await this.#askWhetherUsersAreKnown(copy.id, user)
    })
  }

  /**
   * Takes out what this request has read of the session of a guest. AdonisJS ends a session that holds nothing, though nobody
   * has logged out; here it stays, empty, so that a request that stores something at the same time is not refused.
   */
  async #empty(copy: RequestCopy<AdonisValues>): Promise<void> {
    try {
      await this.#store(copy, {})
    } catch (error) {
      // Then there is nothing left to take out.
      if (!isSessionStoreError(error, 'E_SESSION_DESTROYED')) throw error
    }
  }

  /**
   * A store that does not name the users would let a user be logged out everywhere, and end nothing.
   *
   * @throws SessionStoreError `E_CONFIG`
   */
  async #askWhetherUsersAreKnown(sessionId: string, user: string): Promise<void> {
    if (this.#users.areKnown) return
    const found = await this.#sessions.inspect(this.#sessions.handleOf(sessionId))
    if (found?.session === undefined) return
    if (found.session.userId !== user)
      throw new SessionStoreError(
        'E_CONFIG',
        'Expected `sessions` to be made with `identify: userOfAdonisSession`, or an `identify` that calls it: otherwise the sessions of a user would not be found',
        { applied: 'unknown' },
      )
    this.#users.areKnown = true
  }
}

/** A flash message goes by being read, and the tag is none of the application's. */
const staysUntilTakenOut = (name: string): boolean => name !== FLASH && name !== TAG

const heldOnlyFlash = (data: AdonisValues): boolean => Object.keys(data).every((name) => name === FLASH)

const withoutTag = ({ [TAG]: _, ...values }: AdonisValues): AdonisValues => values

/**
 * The `age` of the configuration, which AdonisJS itself has put into the cookie in seconds.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
const idleTtlOf = ({ age, cookie }: AdonisSessionConfig): number => {
  const maxAge: unknown = Reflect.get(cookie, 'maxAge')
  const seconds = typeof maxAge === 'number' ? maxAge : age
  if (typeof seconds === 'number') return checkedOption('age', seconds * 1_000, IDLE_TTL)
  throw invalidOption('age', 'a number of seconds beside `clearWithBrowser`, or `idleTtlMs` given', age)
}
