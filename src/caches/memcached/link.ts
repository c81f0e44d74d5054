import type { Runtime } from '../../contract/time.js'
import { type Connect, type Connection, connect, type Generation, Unsent } from './connection.js'
import type { ResolvedMemcachedOptions } from './options.js'
import type { CacheRequest, CacheResponse } from './protocol.js'
import type { ServerAddress } from './servers.js'

export interface Answer {
  readonly response: CacheResponse
  /** The connection that it came over. */
  readonly generation: Generation
}

/** For how long calls fail at once after an attempt to connect failed; jitter keeps a fleet out of step. */
const BACK_OFF_MS = { least: 50, most: 100 }

/**
 * One server: holds at most one usable connection and at most one attempt at another, made when there is
 * something to ask and not before. It never repeats a request.
 */
export class ServerLink {
  readonly server: ServerAddress
  /** `memcached cache1:11211` */
  readonly label: string
  readonly #options: ResolvedMemcachedOptions
  readonly #runtime: Runtime
  readonly #connect: Connect
  readonly #closing = new AbortController()
  #connection: Connection | undefined
  #attempt: Promise<Connection> | undefined
  #failure: { readonly cause: unknown; readonly untilMs: number } | undefined

  constructor(server: ServerAddress, options: ResolvedMemcachedOptions, connectTo: Connect = connect) {
    this.server = server
    this.label = `memcached ${server.address}`
    this.#options = options
    this.#runtime = options.runtime
    this.#connect = connectTo
  }

  /** Settles within `operationTimeoutMs`. Rejects with `Unsent` where no connection could be had. */
  async ask(request: CacheRequest): Promise<Answer> {
    const { operationTimeoutMs } = this.#options
    const startedAtMs = this.#runtime.monotonicMs()
    const usable = this.#usable()
    if (usable !== undefined) return this.#send(usable, request, operationTimeoutMs)

    // The value stays the caller's, who may write into it as soon as the call has returned.
    const kept = request.value === undefined ? request : { ...request, value: new Uint8Array(request.value) }
    const connection = await this.#within(operationTimeoutMs, this.#connecting())
    const leftMs = Math.ceil(operationTimeoutMs - (this.#runtime.monotonicMs() - startedAtMs))
    if (leftMs <= 0) throw new Unsent(`there was no connection within ${operationTimeoutMs} ms`)
    return this.#send(connection, kept, leftMs)
  }

  /** Asks over that very connection; `undefined`, with nothing sent, when it is gone. */
  askOver(generation: Generation, request: CacheRequest): Promise<Answer> | undefined {
    const connection = this.#usable()
    if (connection?.generation !== generation) return undefined
    return this.#send(connection, request, this.#options.operationTimeoutMs)
  }

  /** Lets the next call try to connect even if the last attempt failed just now. */
  forgetFailure(): void {
    this.#failure = undefined
  }

  close(): void {
    this.#connection?.retire()
    this.#connection = undefined
    this.#closing.abort()
  }

  async #send(connection: Connection, request: CacheRequest, timeoutMs: number): Promise<Answer> {
    return { response: await connection.request(request, timeoutMs), generation: connection.generation }
  }

  #usable(): Connection | undefined {
    if (this.#connection?.alive === false) this.#connection = undefined
    if (this.#connection?.worn === true) {
      this.#connection.retire()
      this.#connection = undefined
    }
    return this.#connection
  }

  #connecting(): Promise<Connection> {
    if (this.#attempt !== undefined) return this.#attempt
    if (this.#failure !== undefined && this.#runtime.monotonicMs() < this.#failure.untilMs)
      return Promise.reject(this.#failure.cause)

    const attempt = this.#connect(this.server, this.#options, this.#closing.signal).then(
      (connection) => {
        this.#attempt = undefined
        this.#failure = undefined
        this.#connection = connection
        return connection
      },
      (cause: unknown) => {
        this.#attempt = undefined
        const backOffMs = BACK_OFF_MS.least + (BACK_OFF_MS.most - BACK_OFF_MS.least) * this.#runtime.random()
        this.#failure = { cause, untilMs: this.#runtime.monotonicMs() + backOffMs }
        throw cause
      },
    )
    this.#attempt = attempt
    return attempt
  }

  /** The attempt goes on for the next caller when this one has waited long enough. */
  #within(timeoutMs: number, attempt: Promise<Connection>): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const cancel = this.#runtime.after(timeoutMs, () => {
        setImmediate(() => reject(new Unsent(`there was no connection within ${timeoutMs} ms`)))
      })
      attempt.then(
        (connection) => {
          cancel()
          resolve(connection)
        },
        (cause: unknown) => {
          cancel()
          reject(new Unsent(reasonOf(cause), { cause }))
        },
      )
    })
  }
}

/** What may be said of a failure: Node's code where it has one, else the message of an error of our own. */
export const reasonOf = (cause: unknown): string => {
  if (cause instanceof AggregateError && cause.errors.length > 0) return reasonOf(cause.errors[0])
  if (!(cause instanceof Error)) return 'it failed'
  const { code } = cause as Error & { code?: unknown }
  return typeof code === 'string' ? code : cause.message
}
