import type { CloseOptions, CloseReport, GivenIdleTtl, SessionStore } from '../contract/index.js'
import { type GivenStore, type OwnStore, resolveStore } from './given-store.js'
import { loadCopy, RequestCopy, storeCopy } from './request-copy.js'

/**
 * The storage of @hono/session, on a nonstick session store.
 *
 * @hono/session does not wait for its storage: `set` and `delete` begin when the handler has returned, and what they reject
 * with would end the process. So this is no storage for `useSessionStorage` but a middleware in its place, which gives each
 * request a storage of its own, and lets no answer out before that has done what it was asked for. An error of the store
 * is then an error of the request.
 *
 * Each request saves against the copy that it loaded itself, so that changes of concurrent requests are merged by
 * top-level key. A session that was destroyed or expired meanwhile is not brought back: the request that changes it ends
 * with `E_SESSION_DESTROYED`.
 */
export class NonstickStorage<Data extends object = Record<string, unknown>> {
  /** The store underneath: for `health()`, `stats()`, `on()`, and sessions outside of requests. */
  readonly sessions: SessionStore<Data>
  readonly #owned: boolean
  readonly #idleTtlMs: GivenIdleTtl | undefined

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at
   *   all gives the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: GivenStore<Data> | OwnStore<Data> = {}) {
    const { sessions, owned, idleTtlMs } = resolveStore<Data>(options)
    this.sessions = sessions
    this.#owned = owned
    this.#idleTtlMs = idleTtlMs
  }

  /** To be put before `useSession()`: `app.use(storage.middleware, useSession({ secret }))`. */
  readonly middleware = async (context: object, next: () => Promise<void>): Promise<void> => {
    const storage = new RequestStorage(this.sessions, this.#idleTtlMs)
    ;(context as { set(name: string, value: unknown): void }).set('sessionStorage', storage)
    let failed: Failed | undefined
    try {
      await next()
    } finally {
      failed = await storage.settled()
    }
    if (failed !== undefined) throw failed.error
  }

  /**
   * Closes the store that was made here, as `sessions.close()` does, with its report. A store that was given is
   * left open, and the report is `undefined`.
   */
  async close(options?: CloseOptions): Promise<CloseReport | undefined> {
    return this.#owned ? await this.sessions.close(options) : undefined
  }
}

interface Failed {
  readonly error: unknown
}

/** The storage of one request. */
class RequestStorage<Data extends object> {
  readonly #sessions: SessionStore<Data>
  readonly #idleTtlMs: GivenIdleTtl | undefined
  readonly #copies = new Map<string, RequestCopy<Data>>()
  /** Ids that came with the request, or under which it stored something. */
  readonly #known = new Set<string>()
  /** How each `set` and `delete` ended; none of these rejects. */
  readonly #asked: Promise<Failed | undefined>[] = []

  constructor(sessions: SessionStore<Data>, idleTtlMs: GivenIdleTtl | undefined) {
    this.#sessions = sessions
    this.#idleTtlMs = idleTtlMs
  }

  /**
   * The session as this request has it. It is loaded once, and counts as used by that: what the request stores later is
   * compared with that copy, while @hono/session asks again for each `update`.
   */
  async get(sid: string): Promise<Data | null> {
    this.#known.add(sid)
    const copy = this.#copies.get(sid) ?? (await this.#load(sid))
    return copy?.session?.data ?? null
  }

  set(sid: string, data: Data): Promise<void> {
    this.#known.add(sid)
    const copy = this.#copies.get(sid) ?? new RequestCopy<Data>(sid)
    this.#copies.set(sid, copy)
    const isNew = copy.session === undefined
    const life = isNew && this.#idleTtlMs !== undefined ? { idleTtlMs: this.#idleTtlMs } : {}
    return this.#awaited(copy.storeInTurn(data, async (held) => await storeCopy(this.#sessions, copy, held, life)))
  }

  delete(sid: string): Promise<void> {
    this.#copies.delete(sid)
    return this.#awaited(this.#sessions.destroy(sid, { isNew: !this.#known.has(sid) }).then(() => undefined))
  }

  /** Resolves when all that was asked for is done; with the first of its errors, if there was one. */
  async settled(): Promise<Failed | undefined> {
    return (await Promise.all(this.#asked)).find((failed) => failed !== undefined)
  }

  async #load(sid: string): Promise<RequestCopy<Data> | undefined> {
    // @hono/session has opened the cookie before it asks.
    const copy = await loadCopy(this.#sessions, sid, { verified: true, touch: true })
    if (copy !== undefined) this.#copies.set(sid, copy)
    return copy
  }

  #awaited(work: Promise<void>): Promise<void> {
    this.#asked.push(
      work.then(
        () => undefined,
        (error: unknown) => ({ error }),
      ),
    )
    return work
  }
}
