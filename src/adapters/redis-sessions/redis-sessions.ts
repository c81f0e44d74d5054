import type { SessionInfo, SessionStore } from '../../contract/session-store.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, tierUnavailable } from '../../errors.js'
import type { ResolvedManners } from './manners.js'
import {
  type RedisSessionsOptions,
  type ResolvedRedisSessionsOptions,
  refuseForeignStore,
  resolveRedisSessionsOptions,
} from './options.js'
import {
  afterRead,
  afterWrite,
  lifeLeftMs,
  livingRecord,
  newRecord,
  type RedisSessionRecord,
  type Reply,
  replyOf,
  secondsOf,
  userOf,
} from './record.js'
import type { ReplyCache } from './reply-cache.js'
import { newToken, sessionIdOf } from './token.js'
import { checked, type Field, type Values } from './validation.js'

/** What a session's `d` is where nothing else is said. */
export type Scalars = Record<string, string | number | boolean>

/** A session as `get`, `set`, `soid` and `soapp` give it. */
export interface RedisSession<Data = Scalars> {
  /** The user's id. */
  id: string
  /** How many times the session was read, and how many times it was written; both begin with 1. */
  r: number
  w: number
  /** In seconds. With `no_resave`: how much of it is left. */
  ttl: number
  /** For how many seconds nobody had used the session before this call. */
  idle: number
  ip: string
  /** Absent where there is no data; with `emptyData: 'null'` null. */
  d?: Data
  /** `true`, or absent. */
  no_resave?: boolean
}

/** An application: 3 to 20 characters of `A-Z`, `a-z`, `0-9`, `_` and `-`. Users and sessions of two have nothing in common. */
export interface Application {
  readonly app: string
}

export interface SessionOfToken extends Application {
  /** As `create` gave it: 64 letters and digits. */
  readonly token: string
}

export interface SessionsOfUser extends Application {
  /** The user's id: 1 to 128 characters, without line breaks. */
  readonly id: string
}

export interface TimeWindow extends Application {
  /** The last so many seconds: whole, at least 10. It has no default unless `defaultDeltaTime` gives one. */
  readonly deltaTime?: number
}

export interface CreateRequest<Data = Scalars> extends SessionsOfUser {
  /** The client's address: 1 to 39 characters. */
  readonly ip: string
  /** How long the session lives unused, in seconds: whole, 10 to `maxTtl`. @default 7_200 */
  readonly ttl?: number
  /** Texts, numbers and booleans. What is null is left out. */
  readonly d?: Data
  /** Whether the session ends after `ttl` seconds, used or not. @default false */
  readonly no_resave?: boolean
}

export interface SetRequest<Data = Scalars> extends SessionOfToken {
  /** What is to be added to the data or replaced in it; null removes what it stands for. The rest is left as it is. */
  readonly d:
    | { readonly [Key in keyof Data]?: Record<never, never> extends Pick<Data, Key> ? Data[Key] | null : Data[Key] }
    | null
  /** Means nothing, as in redis-sessions: a session keeps what it was made with. */
  readonly no_resave?: boolean
}

const CREATE = ['app', 'id', 'ip', 'ttl', 'd', 'no_resave'] as const
const OF_TOKEN = ['app', 'token'] as const
const OF_USER = ['app', 'id'] as const
const OF_WINDOW = ['app', 'deltaTime'] as const

/** A user may be logged out everywhere while sessions are made for him. So often the same creation meets that never. */
const CREATIONS = 10
const HEADERS_AT_ONCE = 1_000
const SESSIONS_AT_ONCE = 100
/** More seconds than any session is old. */
const LONGEST_SECONDS = 1e10

/** Thrown in an update, so that nothing is written where there is no session. It leaves this file nowhere. */
const NO_SESSION = new Error('There is no such session')

/**
 * The API of redis-sessions 4 on a nonstick session store.
 *
 * Each call takes one object and gives a promise. What is wrong in it rejects with an `InvalidRequest`, whose `name` and
 * `message` are those of redis-sessions. What is not there is `null`, or 0. Where the store cannot be asked, a call rejects
 * with a `SessionStoreError` (`docs/errors.md`).
 *
 * `r` and `w` are exact over all processes. Each `get` is a change of the session, which counts towards `maxStaleCount`.
 */
export class RedisSessions<Data extends Record<string, unknown> = Scalars> {
  /** The store underneath: for `health()`, `stats()`, `on()`, and all that redis-sessions has no call for. */
  readonly sessions: SessionStore<unknown>
  readonly #options: ResolvedRedisSessionsOptions
  readonly #runtime: Runtime
  readonly #manners: ResolvedManners
  readonly #replies: ReplyCache | undefined
  /** Whether the store names users as it must. It need not be asked of a store that was made here. */
  #isKnownToIdentify: boolean

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at all gives
   *   the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: RedisSessionsOptions = {}) {
    this.#options = resolveRedisSessionsOptions(options)
    this.sessions = this.#options.sessions
    this.#runtime = this.#options.runtime
    this.#manners = this.#options.manners
    this.#replies = this.#options.replies
    this.#isKnownToIdentify = this.#options.owned
  }

  /** A new session. It is in the backend when this resolves. */
  async create(request: CreateRequest<Data>): Promise<{ token: string }> {
    const { d, ...birth } = this.#checked(request, CREATE)
    const { keptMs } = this.#options
    for (let attempt = 1; ; attempt += 1) {
      const token = newToken(this.#runtime)
      const record = newRecord({ ...birth, d: d ?? undefined }, this.#runtime.now())
      const id = sessionIdOf(birth.app, token)
      try {
        const { app, ip, ttl } = birth
        await this.sessions.create(record, { id, app, client: { address: ip }, idleTtlMs: ttl * 1_000 + keptMs })
        if (!this.#isKnownToIdentify) await this.#askWhetherItIdentifies(id, record)
        return { token }
      } catch (error) {
        // The user was logged out everywhere while this one was made. The next one is made after that.
        if (!isSessionStoreError(error, 'E_SESSION_DESTROYED') || attempt === CREATIONS) throw error
      }
    }
  }

  /**
   * The session; `null` where there is none, or where it has ended. It counts as use of the session, and `r` as it stood
   * before this call.
   */
  async get(request: SessionOfToken): Promise<RedisSession<Data> | null> {
    const { app, token } = this.#checked(request, OF_TOKEN)
    const key = `${app}:${token}`
    const kept = this.#replies?.get(key)
    if (kept !== undefined) return kept as RedisSession<Data>
    const keep = this.#replies?.place(key)
    const { countsOwnRead, renewsOnGet } = this.#manners
    const reply = await this.#change(app, token, (record, now) => {
      const after = afterRead(record, now, renewsOnGet)
      const shown = replyOf(countsOwnRead ? { ...record, r: after.r } : record, now, this.#manners)
      // Whoever reads the session more often than its life is long must come by here often enough to lengthen it.
      return { after, gives: { shown, forMs: Math.min(lifeLeftMs(after, now), record.ttl * 500) } }
    })
    if (reply === undefined) this.#replies?.forget(key)
    else keep?.(reply.shown, reply.forMs)
    return (reply?.shown ?? null) as RedisSession<Data> | null
  }

  /** Changes the data, key by key, and gives the session with it; `null` where there is none. Counts as use. */
  async set(request: SetRequest<Data>): Promise<RedisSession<Data> | null> {
    const { app, token, d = null } = this.#checked(request, ['app', 'token', 'd', 'no_resave'])
    const key = `${app}:${token}`
    const reply = await this.#change(app, token, (record, now) => {
      const after = afterWrite(record, now, d)
      return { after, gives: replyOf({ ...after, usedAt: record.usedAt }, now, this.#manners) }
    }).finally(() => this.#replies?.forget(key))
    return (reply ?? null) as RedisSession<Data> | null
  }

  /**
   * Ends a session: `{ kill: 1 }`, or 0 where there is none. Of several calls at once, one gives 1. With
   * `killOfNone: 'null'` it gives null where there is none.
   */
  kill(request: SessionOfToken): Promise<{ kill: number }>
  async kill(request: SessionOfToken): Promise<{ kill: number } | null> {
    const { app, token } = this.#checked(request, OF_TOKEN)
    const found = await this.#change(app, token, (record) => ({ after: { ...record, isKilled: true }, gives: 1 }))
    // An earlier call may have got as far as this and no further, so it is ended also where it lives no more. But a
    // token that somebody made up leaves no trace.
    await this.sessions.destroy(sessionIdOf(app, token), { isNew: found === undefined })
    this.#replies?.forget(`${app}:${token}`)
    return found === undefined && this.#manners.killOfNone === 'null' ? null : { kill: found ?? 0 }
  }

  /** Ends all sessions of an application. Those that have ended within `wipe` count as well. */
  async killall(request: Application): Promise<{ kill: number }> {
    const { app } = this.#checked(request, ['app'])
    const { destroyed } = await this.sessions.destroyAll({ app }).finally(() => this.#replies?.forgetAll())
    return { kill: destroyed }
  }

  /**
   * Ends all sessions of a user: those made before this call, and those whose making was under way. Those that have ended
   * within `wipe` count as well.
   */
  async killsoid(request: SessionsOfUser): Promise<{ kill: number }> {
    const user = this.#checked(request, OF_USER)
    const killing = this.sessions.destroyByUser(userOf(user))
    const { destroyed } = await killing.finally(() => this.#replies?.forgetAll())
    return { kill: destroyed }
  }

  /** All sessions of a user that live, each as it stands now. It counts as use of none of them. */
  async soid(request: SessionsOfUser): Promise<{ sessions: RedisSession<Data>[] }> {
    const user = this.#checked(request, OF_USER)
    const infos: SessionInfo<unknown>[] = []
    for await (const info of this.sessions.listByUser(userOf(user), { data: true })) infos.push(info)
    return { sessions: this.#shown(user.app, infos) }
  }

  /**
   * All sessions of an application that live and were used in the last `deltaTime` seconds, each as it stands now, the
   * one used last first. It counts as use of none of them. It holds all of them at once in memory.
   */
  async soapp(request: TimeWindow): Promise<{ sessions: RedisSession<Data>[] }> {
    const { app, deltaTime } = this.#checked(request, OF_WINDOW)
    const infos: SessionInfo<unknown>[] = []
    for await (const info of this.#usedOfLate(app, deltaTime, true)) infos.push(info)
    infos.sort((one, other) => (other.seenAt ?? 0) - (one.seenAt ?? 0))
    return { sessions: this.#shown(app, infos) }
  }

  /**
   * How many users have used a session of an application in the last `deltaTime` seconds. A session that has ended counts
   * until `wipe` seconds after its end; one that was killed does not.
   */
  async activity(request: TimeWindow): Promise<{ activity: number }> {
    const { app, deltaTime } = this.#checked(request, OF_WINDOW)
    if (this.#options.activity === 'indexed') {
      const { users } = await this.sessions.activity({ app, withinMs: withinMs(deltaTime) })
      return { activity: users }
    }
    const users = new Set<string>()
    for await (const { userId } of this.#usedOfLate(app, deltaTime, false)) if (userId !== undefined) users.add(userId)
    return { activity: users.size }
  }

  /** `PONG` if sessions can be served. Rejects with `E_SESSION_UNAVAILABLE` otherwise, naming the tier that is down. */
  async ping(): Promise<string> {
    const { state, backend, cache } = await this.sessions.health()
    if (state !== 'down') return 'PONG'
    const { tier, reason } = backend.state === 'down' ? backend : cache
    throw tierUnavailable(tier, 'ping', reason === undefined ? {} : { because: reason })
  }

  /** Flushes what is unflushed and closes the store that was made here. A store that was given is left open. */
  async quit(): Promise<void> {
    this.#replies?.forgetAll()
    if (this.#options.owned) await this.sessions.close()
  }

  #checked<Wanted extends Field>(request: unknown, fields: readonly Wanted[]): Pick<Values, Wanted> {
    const isCreation = (fields as readonly Field[]) === CREATE
    return checked(request, fields, this.#manners, { maxTtl: this.#options.maxTtl, isCreation })
  }

  /**
   * Reads a session, changes it, and writes it, as one step. `undefined` where there is none; then nothing is written.
   *
   * @param change is called anew where another change came between
   */
  async #change<T>(
    app: string,
    token: string,
    change: (record: RedisSessionRecord, now: number) => { readonly after: RedisSessionRecord; readonly gives: T },
  ): Promise<T | undefined> {
    let given: T | undefined
    const apply = (data: unknown): RedisSessionRecord => {
      const now = this.#runtime.now()
      const record = livingRecord(data, app, now)
      if (record === undefined) throw NO_SESSION
      const { after, gives } = change(record, now)
      given = gives
      return after
    }
    try {
      const session = await this.sessions.update(sessionIdOf(app, token), apply)
      return session === undefined ? undefined : given
    } catch (error) {
      if (error === NO_SESSION || isSessionStoreError(error, 'E_SESSION_DESTROYED')) return undefined
      throw error
    }
  }

  /** What is recorded of the sessions that were used in the last `deltaTime` seconds, also of those that have ended. */
  async *#usedOfLate(app: string, deltaTime: number, data: boolean): AsyncGenerator<SessionInfo<unknown>> {
    const since = secondsOf(this.#runtime.now()) - deltaTime
    const page = { app, seenWithinMs: withinMs(deltaTime), newest: true, data }
    const limit = data ? SESSIONS_AT_ONCE : HEADERS_AT_ONCE
    let after: string | undefined
    do {
      const sessions = await this.sessions.list({ ...page, limit, ...(after === undefined ? {} : { after }) })
      const { next } = sessions
      for (const info of sessions) if (info.seenAt !== undefined && secondsOf(info.seenAt) >= since) yield info
      after = next
    } while (after !== undefined)
  }

  #shown(app: string, infos: readonly SessionInfo<unknown>[]): RedisSession<Data>[] {
    const now = this.#runtime.now()
    const replies: Reply[] = []
    for (const { data } of infos) {
      const record = livingRecord(data, app, now)
      if (record !== undefined) replies.push(replyOf(record, now, this.#manners))
    }
    return replies as RedisSession<Data>[]
  }

  /**
   * A store that does not name the users would let `killsoid` end nothing and say so of everybody.
   *
   * @throws SessionStoreError `E_CONFIG`
   */
  async #askWhetherItIdentifies(id: string, record: RedisSessionRecord): Promise<void> {
    const inspection = await this.sessions.inspect(this.sessions.handleOf(id))
    if (inspection?.session?.userId === userOf(record)) this.#isKnownToIdentify = true
    else if (inspection?.session !== undefined) {
      await this.sessions.destroy(id)
      refuseForeignStore()
    }
  }
}

/** With a second on top, as the store's clock goes on while redis-sessions' seconds stand. */
const withinMs = (deltaTime: number): number => (Math.min(deltaTime, LONGEST_SECONDS) + 1) * 1_000
