import type { EventEmitter } from 'node:events'
import { isDeepStrictEqual } from 'node:util'
import type { ClientInfo, SaveOptions, SessionStore } from '../contract/index.js'
import { isSessionStoreError, SessionStoreError } from '../errors.js'
import { idleTtlMsOf, isSpent, type StoredCookie, withoutDrift } from './express-cookie.js'
import type { ResolvedStore } from './given-store.js'
import { noFields, type RequestCopy, storeCopy } from './request-copy.js'

/** Cookie attributes belong together: where two requests change the cookie, the later one's stands whole. */
const UNMERGED_KEYS = ['cookie'] as const

/** What is stored of a request's session object. */
export type StoredObject = Readonly<Record<string, unknown>> & { readonly cookie: StoredCookie }

/** What is said with one save. */
export interface Saving {
  readonly client?: ClientInfo | undefined
  /** Ends the session, as its cookie has ended. */
  readonly end: () => Promise<void>
  /** Asked where the change is dropped: whether the caller shall not hear of it. */
  readonly isQuiet: (error: SessionStoreError) => boolean
}

/**
 * How a store keeps the session object of a request, whose cookie stands in it: as express-session and @fastify/session
 * hand it over.
 */
export class SessionObjects<Data> {
  readonly #sessions: SessionStore<Data>
  readonly #idleTtlMs: SaveOptions['idleTtlMs'] | undefined
  readonly #teller: EventEmitter
  readonly #warned = new Set<string>()

  /** @param teller emits `'dropped'` */
  constructor({ sessions, idleTtlMs }: ResolvedStore<Data>, teller: EventEmitter) {
    this.#sessions = sessions
    this.#idleTtlMs = idleTtlMs
    this.#teller = teller
  }

  /** Stores it after the saves that this request has asked for before. A cookie that has ended ends the session. */
  async save(copy: RequestCopy<Data>, mine: StoredObject, { client, end, isQuiet }: Saving): Promise<void> {
    await copy.storeInTurn(mine, async (held) => {
      if (isSpent(held.cookie)) return await end()
      try {
        await this.#store(copy, held, client)
      } catch (error) {
        if (!isSessionStoreError(error)) throw error
        const quiet = isQuiet(error)
        if (quiet || error.code === 'E_SESSION_DESTROYED') process.nextTick(() => this.#tellDropped(error))
        if (!quiet) throw error
      }
    })
  }

  /**
   * It is left to the store to compare what would be stored with what was loaded, since the hashes of the frameworks see only
   * JSON; where both are equal, the store takes it as a touch.
   */
  async #store(copy: RequestCopy<Data>, mine: StoredObject, client: ClientInfo | undefined): Promise<void> {
    const before = copy.session?.data as { readonly cookie?: unknown } | undefined
    const cookie = before === undefined ? mine.cookie : withoutDrift(mine.cookie, before.cookie)
    const maxAgeMs = idleTtlMsOf(cookie)
    const idleTtlMs = maxAgeMs ?? this.#idleTtlMs
    // A request that leaves its cookie alone takes back nothing of what another has made of it meanwhile.
    const isLeftAlone = isDeepStrictEqual(cookie, before?.cookie)
    await storeCopy(this.#sessions, copy, { ...mine, cookie } as unknown as Data, {
      ...(client === undefined ? {} : { client }),
      ...(isLeftAlone ? {} : { unmergedKeys: UNMERGED_KEYS, ...(idleTtlMs === undefined ? {} : { idleTtlMs }) }),
    })
    const { createdAt = 0, absoluteExpiresAt = Number.POSITIVE_INFINITY } = copy.session ?? {}
    if (maxAgeMs !== undefined) this.#tellTooLong(maxAgeMs, absoluteExpiresAt - createdAt)
  }

  #tellTooLong(maxAgeMs: number, absoluteTtlMs: number): void {
    if (maxAgeMs > absoluteTtlMs)
      this.warnOnce(
        'NONSTICK_MAX_AGE',
        `A session's cookie has a maxAge of ${maxAgeMs} ms, and the session ends after ${absoluteTtlMs} ms whatever its cookie says. Give the cookie a shorter maxAge, or the store a longer absoluteTtlMs`,
      )
  }

  #tellDropped(error: SessionStoreError): void {
    if (this.#teller.emit('dropped', error)) return
    this.warnOnce(
      'NONSTICK_DROPPED',
      `${error.message}. A request had changed the session; nobody listens to the store's event 'dropped', so no further change that is dropped will be told`,
    )
  }

  /** A warning of the process, once for each code. */
  warnOnce(code: string, message: string): void {
    if (this.#warned.has(code)) return
    this.#warned.add(code)
    process.emitWarning(`${message}.`, { code })
  }
}

/**
 * What a session object holds under names. Libraries mark it for the time of a request by properties whose keys are
 * symbols: those are no part of the data.
 */
export const named = (live: object): Record<string, unknown> => {
  const data: Record<string | symbol, unknown> = { ...live }
  for (const mark of Object.getOwnPropertySymbols(data)) delete data[mark]
  return data
}

/** @throws SessionStoreError `E_SESSION_DATA` for what has no fields to be stored: nothing, a text, a list */
export const refuseUnlessSession = (live: unknown): void => {
  if (typeof live === 'object' && live !== null && !Array.isArray(live)) return
  throw noFields(live)
}

/** The error of a session that is to begin with a cookie that has ended already. */
export const cookieOfThePast = (endedMs: number): SessionStoreError =>
  new SessionStoreError(
    'E_CONFIG',
    `Expected the cookie of a new session to end later, got one that ended ${endedMs} ms before, so that no session can begin: give the middleware's option \`cookie\` a \`maxAge\`, which counts from each response, and no fixed \`expires\``,
    { applied: 'no' },
  )
