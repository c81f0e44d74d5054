import { LRUCache } from 'lru-cache'
import type {
  CloseOptions,
  CloseReport,
  EpochMs,
  GivenIdleTtl,
  SaveOptions,
  Session,
  SessionStore,
} from '../contract/index.js'
import { areOptions } from '../errors.js'
import { systemRuntime as clock } from '../runtime.js'
import { checkedOption, trueOrFalse } from '../tools/options.js'
import { type GivenStore, type OwnStore, resolveStore } from './given-store.js'
import { untilExpiry } from './idle-ttl-until.js'
import { Departures, keepsNothing, loadCopy, moveCopy, RequestCopy, storeCopy } from './request-copy.js'

export type { GivenStore, OwnStore } from './given-store.js'
export { NonstickStorage } from './hono-storage.js'

/** A value of a session as hono-sessions keeps it. One that is `flash` goes when it was read. */
export interface HonoEntry {
  value: unknown
  flash: boolean
}

/** A session as hono-sessions keeps it for the time of a request. */
export interface HonoSessionData {
  _id?: string
  _data: Record<string, HonoEntry>
  /** The moment at which the session ends, in the form of ISO 8601; `null` where hono-sessions does not say. */
  _expire: string | null
  _delete: boolean
  _accessed: string | null
}

export interface SignedIdOptions {
  /**
   * Whether hono-sessions is given an `encryptionKey`, so that the ids which come are ones that this application has given
   * out. Their reads of the backend then go before those of ids of which nobody knows. Not to be set without a key.
   * @default false
   */
  readonly encrypted?: boolean | undefined
}

export type NonstickStoreOptions<Data> = (GivenStore<Data> | OwnStore<Data>) & SignedIdOptions

/** A request is over long before so many others begin. */
const MOST_NEW_IDS = 10_000

/**
 * The store of hono-sessions, on a nonstick session store.
 *
 * Each request saves against the copy that it loaded itself, so that changes of concurrent requests are merged by key.
 * What is stored is the values by their names, and nothing that hono-sessions keeps beside them: a request that changed
 * none of them is a touch, and no write. A session into which nothing was put is not stored.
 *
 * A session that was destroyed or expired meanwhile is not brought back: the request that changes it ends with
 * `E_SESSION_DESTROYED`. Every error has a `code` (`docs/errors.md`), and means that the store could not know, or would not.
 */
export class NonstickStore<Data extends object = Record<string, unknown>> {
  /** The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. */
  readonly sessions: SessionStore<Data>
  readonly #owned: boolean
  readonly #idleTtlMs: GivenIdleTtl | undefined
  readonly #verified: boolean
  /** Which copy each session of a request came from. */
  readonly #copies = new WeakMap<object, RequestCopy<Data>>()
  /** Ids that hono-sessions has just made, and under which nothing was stored yet. */
  readonly #newIds = new LRUCache<string, true>({ max: MOST_NEW_IDS })
  readonly #departures: Departures<Data>
  /** The session of which hono-sessions has asked, in this very moment, whether it is to be deleted. */
  #askedAbout: HonoSessionData | undefined

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at
   *   all gives the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: NonstickStoreOptions<Data> = {}) {
    if (areOptions(options)) checkedOption('encrypted', options.encrypted ?? false, trueOrFalse)
    const { sessions, owned, idleTtlMs } = resolveStore<Data>(options, ['encrypted'])
    this.sessions = sessions
    this.#owned = owned
    this.#idleTtlMs = idleTtlMs
    this.#verified = options.encrypted === true
    this.#departures = new Departures(sessions)
  }

  /**
   * The session; `undefined` if there is none: unknown, expired, destroyed, or an id that cannot be one. It is told no
   * expiry, as the store itself gives out no session that has ended.
   *
   * Never rejects: hono-sessions takes an error for "no session", and would give the visitor a new and empty one. A session
   * that could not be read throws the error when hono-sessions looks into it, which fails the request.
   */
  async getSessionById(sessionId?: string): Promise<HonoSessionData | undefined> {
    try {
      const copy = await loadCopy(this.sessions, sessionId as string, { verified: this.#verified })
      if (copy?.session === undefined) return undefined
      const shown = this.#watched(shownSession(copy.session))
      this.#copies.set(shown, copy)
      return shown
    } catch (error) {
      return unreadable(error)
    }
  }

  /** A new session, as hono-sessions makes one for each visitor without a cookie: it is stored once something is in it. */
  async createSession(sessionId: string, data: HonoSessionData): Promise<void> {
    this.#newIds.set(sessionId, true)
    await this.persistSessionData(sessionId, data)
  }

  /**
   * Stores what this request changed of the session since it loaded or stored it, or all of it under an id that it did not
   * load; where its key is rotated, with what others have stored meanwhile. Where hono-sessions says when the session ends,
   * that is its idle time-out, in whole seconds.
   *
   * Rejects with `E_SESSION_DESTROYED` where the session was destroyed or expired meanwhile.
   */
  async persistSessionData(sessionId: string, data: HonoSessionData): Promise<void> {
    const known = this.#copies.get(data)
    const copy = known?.id === sessionId ? known : new RequestCopy<Data>(sessionId)
    this.#copies.set(data, copy)
    const idleTtlMs = untilExpiry(data._expire === null ? undefined : new Date(data._expire), clock.now())
    const leaving = this.#departures.take(data)
    await copy.storeInTurn(storedData(data) as Data, async (mine) => {
      const isMove = leaving !== undefined && idleTtlMs !== 'over' && !keepsNothing(leaving, mine, staysUntilTakenOut)
      if (leaving !== undefined && !isMove) await this.#end(leaving.id)
      if (!isMove && copy.session === undefined && Object.keys(mine).length === 0) return
      if (idleTtlMs === 'over') return await this.#end(sessionId)
      this.#newIds.delete(sessionId)
      if (isMove) await moveCopy(this.sessions, leaving, copy, mine, this.#lifeOf(leaving, idleTtlMs))
      else await storeCopy(this.sessions, copy, mine, this.#lifeOf(copy, idleTtlMs))
    })
  }

  /** Logs out. Destroying what is not there succeeds. Rejects if the backend could not be told; the store goes on trying. */
  async deleteSession(sessionId: string): Promise<void> {
    const rotated = this.#rotatedNow(sessionId)
    if (rotated === undefined) await this.#end(sessionId)
    else this.#departures.putOff(rotated.shown, rotated.copy)
  }

  async #end(sessionId: string): Promise<void> {
    await this.sessions.destroy(sessionId, { isNew: this.#newIds.has(sessionId) })
  }

  /**
   * hono-sessions looks whether the session is to be deleted just before it deletes it. Where it is not and is deleted all the
   * same, it gets a new id: `createSession` comes next.
   */
  #watched(shown: HonoSessionData): HonoSessionData {
    let isDeleted = shown._delete
    return Object.defineProperty(shown, '_delete', {
      enumerable: true,
      get: () => {
        this.#askedAbout = shown
        queueMicrotask(() => {
          this.#askedAbout = undefined
        })
        return isDeleted
      },
      set: (value: boolean) => {
        isDeleted = value
      },
    })
  }

  #rotatedNow(sessionId: string): { readonly shown: HonoSessionData; readonly copy: RequestCopy<Data> } | undefined {
    const shown = this.#askedAbout
    if (shown === undefined || shown._delete) return undefined
    const copy = this.#copies.get(shown)
    return copy?.id === sessionId && copy.session !== undefined ? { shown, copy } : undefined
  }

  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }

  #lifeOf({ session }: RequestCopy<Data>, idleTtlMs: number | undefined): Pick<SaveOptions, 'idleTtlMs'> {
    const life = idleTtlMs ?? (session === undefined ? this.#idleTtlMs : undefined)
    return life === undefined ? {} : { idleTtlMs: life }
  }
}

/** Flash values are told by their names, so that a flash of one request and one of another merge like any two keys. */
const FLASH = /^__flash_(.*)__$/s

/** A flash value goes by being read, which does not tell that a request has begun a session of its own. */
const staysUntilTakenOut = (name: string): boolean => !FLASH.test(name)

const storedData = ({ _data }: HonoSessionData): Record<string, unknown> =>
  Object.fromEntries(
    Object.entries(_data).map(([name, { value, flash }]) => [flash ? `__flash_${name}__` : name, value]),
  )

const shownSession = ({ data, seenAt }: Session<object>): HonoSessionData => ({
  _data: Object.fromEntries(
    Object.entries(data).map(([key, value]) => {
      const flash = FLASH.exec(key)?.[1]
      return [flash ?? key, { value, flash: flash !== undefined }]
    }),
  ),
  _expire: null,
  _delete: false,
  _accessed: isoOf(seenAt),
})

const isoOf = (moment: EpochMs): string => new Date(moment).toISOString()

const unreadable = (error: unknown): HonoSessionData => ({
  get _data(): never {
    throw error
  },
  _expire: null,
  _delete: false,
  _accessed: null,
})
