import type { AskerOptions, ClientInfo, RegenerateOptions, SessionStore } from '../contract/index.js'
import { checkOptions, having, kindOf, required, trueOrFalse } from '../tools/options.js'
import { loadCopy, RequestCopy, refuseUnlessFields, storeCopy } from './request-copy.js'
import { type CookieOptions, type SessionCookie, sessionCookie } from './session-cookie.js'

export type { CookieOptions } from './session-cookie.js'

export interface WebSessionsOptions<Data> {
  /** The store, such as `createSessionStore({ … })` gives. Whoever made it closes it. */
  readonly sessions: SessionStore<Data>

  readonly cookie: CookieOptions

  /**
   * Whether each `commit` sets the cookie anew, so that a cookie with a `maxAgeMs` lives on as long as its session is
   * used. Without it, such a cookie is set anew when the session changes. @default false
   */
  readonly rolling?: boolean | undefined
}

/** The headers of a request: a `Headers`, or anything that gives a header by its name. */
export interface HeadersLike {
  get(name: string): string | null | undefined
}

/** Where the cookie of a request stands: the request itself, its headers, or the text of its header `Cookie`. */
export type CookieSource = { readonly headers: HeadersLike } | HeadersLike | string | null | undefined

export interface LoadWebSessionOptions extends AskerOptions {
  /** What is to be recorded of the client with what this request stores. It is personal data. @default nothing */
  readonly client?: ClientInfo | undefined
}

/**
 * The session of one request. Change `data`, then `commit`, before the response goes out.
 *
 * Its calls are done one after the other. A call that nobody awaits never ends the process by its failure.
 */
export interface WebSession<Data = Record<string, unknown>> {
  /** The id; `undefined` for a visitor without a session, until `commit` has stored one. */
  readonly id: string | undefined

  /** What the session holds: this request's own copy. It is empty for a visitor without a session. */
  data: Partial<Data>

  /**
   * Gives the session a new id, and ends the old one for everybody; call it at each login. What `data` holds is stored
   * with it, and goes on, with what other requests have changed meanwhile. Where nothing was stored yet, there is nothing
   * to do: `commit` makes the id.
   *
   * Rejects with `E_SESSION_DESTROYED` if the session was ended meanwhile; the rest is as `SessionStore.regenerate` says.
   */
  regenerate(options?: Pick<RegenerateOptions, 'keepDeadline'>): Promise<void>

  /**
   * Logs out: the session is ended for every request of every process, `data` is emptied, and `commit` takes the cookie
   * away. Where there is no session, it succeeds. Where it rejects, nothing of this has happened here, and it may be
   * called again.
   */
  destroy(): Promise<void>

  /**
   * Stores what this request has changed, and gives the values of the `Set-Cookie` headers that the response must have:
   * mostly none, and else one. What was not changed is a use of the session, and no write. An empty session that is new
   * is not stored. Called again, it stores what was changed since, and gives again what the response must have.
   *
   * Rejects with `E_SESSION_DESTROYED` where something was changed and the session was ended meanwhile; for the rest as
   * `create` and `save` of the store do.
   */
  commit(): Promise<readonly string[]>
}

/** Sessions for whatever speaks `Request` and `Response`. */
export interface WebSessions<Data = Record<string, unknown>> {
  /**
   * The session of a request. A cookie that no key has signed counts as none, and the store is not asked. The id of a
   * session that is not there is never used again.
   *
   * Rejects where the store could not know (`E_SESSION_UNAVAILABLE`, `E_OVERLOADED`), and with a `TypeError` for what
   * holds no cookies.
   */
  load(from: CookieSource, options?: LoadWebSessionOptions): Promise<WebSession<Data>>

  /**
   * Loads the session of a request, lets `answer` make the response, commits, and gives the response with its
   * `Set-Cookie` headers. What `answer` throws is thrown on, and nothing is stored but what `regenerate`, `destroy` and
   * `commit` have stored by then. What is changed after the response was made, while its body is streamed, is not stored.
   *
   * Rejects as `load` and `commit` do, in place of the response; and with a `TypeError` where `answer` gives none.
   */
  withSession(
    request: { readonly headers: HeadersLike },
    answer: (session: WebSession<Data>) => Response | Promise<Response>,
    options?: LoadWebSessionOptions,
  ): Promise<Response>
}

/** @throws SessionStoreError `E_CONFIG` */
export const createWebSessions = <Data = Record<string, unknown>>(
  options: WebSessionsOptions<Data>,
): WebSessions<Data> => {
  checkOptions<WebSessionsOptions<Data>>('createWebSessions(options)', options, kinds<Data>(), '{ sessions, cookie }')
  const parts: Parts<Data> = {
    sessions: options.sessions,
    cookie: sessionCookie(options.cookie),
    rolling: options.rolling ?? false,
  }

  const load = async (
    from: CookieSource,
    { client, ...asker }: LoadWebSessionOptions = {},
  ): Promise<RequestSession<Data>> => {
    const received = parts.cookie.read(cookieHeaderOf(from))
    const copy =
      received.state === 'signed'
        ? await loadCopy(parts.sessions, received.id, { ...asker, verified: true })
        : undefined
    const isOutdated = received.state === 'signed' && !received.isByNewestKey
    return new RequestSession(parts, copy, { hasCookie: received.state !== 'absent', isOutdated, client })
  }

  return {
    load,
    withSession: async (request, answer, loadOptions) => {
      const session = await load(request, loadOptions)
      const response = await answer(session)
      refuseUnlessResponse(response)
      return withCookies(response, await session.commit())
    },
  }
}

const kinds = <Data>() => ({
  sessions: required(
    having<SessionStore<Data>>('a session store, such as createSessionStore({ … }) gives', [
      'create',
      'load',
      'save',
      'regenerate',
      'destroy',
    ]),
  ),
  cookie: required(kindOf<CookieOptions>('an object such as `{ keys }`', (value) => value !== undefined)),
  rolling: trueOrFalse,
})

interface Parts<Data> {
  readonly sessions: SessionStore<Data>
  readonly cookie: SessionCookie
  readonly rolling: boolean
}

/** What a request came with. */
interface Arrival {
  /** It has brought a cookie of our name, whatever that was worth. */
  readonly hasCookie: boolean
  /** Its cookie is signed by a key that is no longer the newest. */
  readonly isOutdated: boolean
  readonly client: ClientInfo | undefined
}

class RequestSession<Data> implements WebSession<Data> {
  data: Partial<Data>
  readonly #parts: Parts<Data>
  readonly #arrival: Arrival
  #copy: RequestCopy<Data> | undefined
  /** What the response has to say of the cookie. */
  #cookie: 'nothing' | 'set' | 'clear'
  #last: Promise<unknown> = Promise.resolve()

  constructor(parts: Parts<Data>, copy: RequestCopy<Data> | undefined, arrival: Arrival) {
    this.#parts = parts
    this.#arrival = arrival
    this.#copy = copy
    this.data = copy?.session?.data ?? {}
    this.#cookie = copy !== undefined && (parts.rolling || arrival.isOutdated) ? 'set' : 'nothing'
  }

  get id(): string | undefined {
    return this.#copy?.id
  }

  regenerate(options: Pick<RegenerateOptions, 'keepDeadline'> = {}): Promise<void> {
    return this.#inTurn(async () => {
      const session = this.#copy?.session
      if (session === undefined) return
      refuseUnlessFields(this.data)
      const { client } = this.#arrival
      session.data = this.data as Data
      const next = await this.#parts.sessions.regenerate(session, {
        ...options,
        verified: true,
        ...(client === undefined ? {} : { client }),
      })
      this.#copy = new RequestCopy(next.id, next)
      this.#cookie = 'set'
      this.data = refilled(this.data, next.data)
    })
  }

  destroy(): Promise<void> {
    return this.#inTurn(async () => {
      if (this.#copy !== undefined) await this.#parts.sessions.destroy(this.#copy.id)
      this.#copy = undefined
      this.#cookie = this.#arrival.hasCookie || this.#cookie !== 'nothing' ? 'clear' : 'nothing'
      this.data = {}
    })
  }

  commit(): Promise<readonly string[]> {
    return this.#inTurn(async () => {
      await this.#store()
      return this.#setCookies()
    })
  }

  async #store(): Promise<void> {
    const { sessions, cookie } = this.#parts
    const { client } = this.#arrival
    refuseUnlessFields(this.data)
    const data = this.data as Data
    const options = {
      ...(cookie.maxAgeMs === undefined ? {} : { idleTtlMs: cookie.maxAgeMs }),
      ...(client === undefined ? {} : { client }),
    }
    if (this.#copy?.session === undefined) {
      // Whoever stores nothing gets no session, such as most robots.
      if (Object.keys(this.data).length === 0) return
      const session = await sessions.create(data, options)
      this.#copy = new RequestCopy(session.id, session)
      this.#cookie = 'set'
      return
    }
    const { session } = this.#copy
    const { writes } = session
    await storeCopy(sessions, this.#copy, data, options)
    if (cookie.maxAgeMs !== undefined && session.writes !== writes) this.#cookie = 'set'
  }

  #setCookies(): readonly string[] {
    const { cookie } = this.#parts
    if (this.#cookie === 'clear') return [cookie.clearing()]
    return this.#cookie === 'set' && this.#copy !== undefined ? [cookie.setting(this.#copy.id)] : []
  }

  /** The promise counts as looked at: a fault of a tier must not end the process where a handler does not await it. */
  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    const run = this.#last.then(work)
    this.#last = run.catch(() => undefined)
    return run
  }
}

/** The request's own object with what is stored now, as its handlers may refer to it. */
const refilled = <Data>(mine: Partial<Data>, stored: Data): Partial<Data> => {
  if (mine === stored) return mine
  for (const key of Object.keys(mine)) Reflect.deleteProperty(mine, key)
  return Object.assign(mine, stored)
}

/** @throws TypeError for what holds no cookies, such as the request of `node:http`, or a promise of headers */
const cookieHeaderOf = (from: unknown): string | null | undefined => {
  if (from === undefined || from === null || typeof from === 'string') return from
  const headers = [from, (from as { readonly headers?: unknown }).headers].find(isHeadersLike)
  if (headers !== undefined) return headers.get('cookie')
  const cure = from instanceof Promise ? 'await it first' : 'of a request of `node:http`, give `request.headers.cookie`'
  throw new TypeError(`Expected a Request, its Headers, or the text of its header \`Cookie\`: ${cure}`)
}

const isHeadersLike = (value: unknown): value is HeadersLike =>
  typeof value === 'object' && value !== null && typeof (value as Partial<HeadersLike>).get === 'function'

/** @throws TypeError for what is no response, such as nothing, where a function forgets to return it */
const refuseUnlessResponse = (given: unknown): void => {
  const { headers } = (given ?? {}) as { readonly headers?: Partial<Headers> | null }
  if (typeof headers?.append === 'function') return
  const kind = given === null ? 'null' : typeof given
  throw new TypeError(
    `Expected \`answer\` to give a Response, got ${kind}: return one, such as \`Response.json(value)\``,
  )
}

/** The response with these headers; a copy of it where its headers cannot be changed, as those of `Response.redirect()`. */
const withCookies = (response: Response, cookies: readonly string[]): Response => {
  if (cookies.length === 0) return response
  const appendTo = (answer: Response): Response => {
    for (const cookie of cookies) answer.headers.append('set-cookie', cookie)
    return answer
  }
  try {
    return appendTo(response)
  } catch {
    return appendTo(new Response(response.body, response))
  }
}
