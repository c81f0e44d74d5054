import type { Runtime } from '../../contract/time.js'
import { withSignal } from '../../tools/waiting.js'
import { isDone } from './answers.js'
import type { Credentials, Server } from './options.js'
import type { Exchange, Request, Transport } from './transport.js'

/** Sends requests to a server in the name of the user that its credentials name. */
export interface Authentication {
  /** Never rejects. */
  send(server: Server, request: Request, signal: AbortSignal): Promise<Exchange>
}

export const authenticationOf = (
  options: { readonly auth: 'basic' | 'cookie'; readonly requestTimeoutMs: number; readonly runtime: Runtime },
  transport: Transport,
): Authentication =>
  options.auth === 'cookie'
    ? new CookieAuthentication(transport, options)
    : {
        send: ({ url, credentials }, request, signal) =>
          transport.send(url, basicHeaders(credentials), request, signal),
      }

const basicHeaders = (credentials: Credentials | undefined): Readonly<Record<string, string>> => {
  if (credentials === undefined) return {}
  const { username, password } = credentials
  return { authorization: `Basic ${Buffer.from(`${username}:${password}`).toString('base64')}` }
}

/** A password costs the server a key derivation for each request; a cookie from `_session` costs it once. */
class CookieAuthentication implements Authentication {
  readonly #transport: Transport
  readonly #options: { readonly requestTimeoutMs: number; readonly runtime: Runtime }
  /** By server. */
  readonly #cookies = new Map<string, string>()
  readonly #logins = new Map<string, Promise<Exchange>>()

  constructor(transport: Transport, options: { readonly requestTimeoutMs: number; readonly runtime: Runtime }) {
    this.#transport = transport
    this.#options = options
  }

  async send(server: Server, request: Request, signal: AbortSignal): Promise<Exchange> {
    const first = this.#cookies.get(server.url)
    if (first !== undefined) {
      const exchange = await this.#sendWith(first, server, request, signal)
      if (exchange.status !== 401) return exchange
      // It has run out; the request was refused, so that sending it again does it once.
      if (this.#cookies.get(server.url) === first) this.#cookies.delete(server.url)
    }
    if (this.#cookies.get(server.url) === undefined) {
      const login = await Promise.race([this.#login(server), aborted(signal)])
      // Whatever it says, it says it about the login, and nothing about what was to be asked.
      if (this.#cookies.get(server.url) === undefined) return { ...login, wasSent: false, isLogin: true }
    }
    return this.#sendWith(this.#cookies.get(server.url) ?? '', server, request, signal)
  }

  async #sendWith(cookie: string, server: Server, request: Request, signal: AbortSignal): Promise<Exchange> {
    const headers = { cookie, 'x-couchdb-www-authenticate': 'Cookie' }
    const exchange = await this.#transport.send(server.url, headers, request, signal)
    // CouchDB sends a fresh one before the old one runs out.
    const fresh = sessionCookie(exchange)
    if (fresh !== undefined) this.#cookies.set(server.url, fresh)
    return exchange
  }

  /** One under way serves all who wait for it. */
  #login(server: Server): Promise<Exchange> {
    const underWay = this.#logins.get(server.url)
    if (underWay !== undefined) return underWay
    const { runtime, requestTimeoutMs } = this.#options
    const { username = '', password = '' } = server.credentials ?? {}
    const request: Request = { method: 'post', db: '_session', form: { name: username, password } }
    const login = withSignal(runtime, requestTimeoutMs, async (signal) => {
      const exchange = await this.#transport.send(server.url, {}, request, signal)
      const cookie = sessionCookie(exchange)
      if (cookie !== undefined && exchange.status === 200 && isDone(exchange.body))
        this.#cookies.set(server.url, cookie)
      return exchange
    }).finally(() => this.#logins.delete(server.url))
    this.#logins.set(server.url, login)
    return login
  }
}

const sessionCookie = ({ headers }: Exchange): string | undefined => {
  const lines = [headers['set-cookie'] ?? []].flat()
  return lines.map((line) => /^AuthSession=[^;]+/.exec(line)?.[0]).find((cookie) => cookie !== undefined)
}

const aborted = (signal: AbortSignal): Promise<Exchange> =>
  new Promise((resolve) => {
    const give = (): void =>
      resolve({ wasSent: false, status: undefined, headers: {}, body: '', failure: new Error('waiting for a login') })
    if (signal.aborted) give()
    else signal.addEventListener('abort', give, { once: true })
  })
