import type { Runtime } from '../../contract/time.js'
import { codeIn } from '../../errors.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { type Connect, connect } from './connecting.js'
import { type Answer, type Connection, type Generation, Unsent } from './connection.js'
import type { ResolvedMemcachedOptions } from './options.js'
import type { CacheRequest } from './protocol.js'
import type { ServerAddress } from './servers.js'
import { TlsFault } from './tls.js'

/**
 * One server: holds at most one usable connection and at most one attempt at another, made when there is
 * something to ask and not before. It never repeats a request.
 */
export class ServerLink {
  readonly server: ServerAddress
  /** `memcached cache1:11211` */
  readonly label: string
  /** Why it refused the last new value that it was to store; `undefined` where it took it. */
  refusesValues: string | undefined
  readonly #options: ResolvedMemcachedOptions
  readonly #runtime: Runtime
  readonly #connect: Connect
  readonly #onConnected: () => void
  readonly #closing = new AbortController()
  #connection: Connection | undefined
  /** How many answers it had had when it was made: those to signing in and greeting prove little. */
  #answeredBefore = 0
  #attempt: Promise<Connection> | undefined
  #waiting = 0
  /** Failed attempts in a row, the last one's cause, and until when no other is made. */
  #failures = 0
  #pause: { readonly cause: unknown; readonly untilMs: number } | undefined

  /** @param onConnected called each time a connection has been made */
  constructor(
    server: ServerAddress,
    options: ResolvedMemcachedOptions,
    connectTo: Connect = connect,
    onConnected: () => void = () => {},
  ) {
    this.server = server
    this.label = `memcached ${server.address}`
    this.#options = options
    this.#runtime = options.runtime
    this.#connect = connectTo
    this.#onConnected = onConnected
  }

  /** Settles within `operationTimeoutMs`. Rejects with `Unsent` where no connection could be had. */
  ask(request: CacheRequest): Promise<Answer> {
    const connection = this.#usable()
    return connection === undefined ? this.#askAnew(request) : this.#askNow(connection, request)
  }

  /** Asks over that very connection; `undefined`, with nothing sent, when it is gone. */
  askOver(generation: Generation, request: CacheRequest): Promise<Answer> | undefined {
    const connection = this.#usable()
    if (connection?.generation !== generation) return undefined
    return this.#askNow(connection, request)
  }

  /** Lets the next call try to connect even if the last attempt failed just now. */
  forgetFailure(): void {
    this.#pause = undefined
  }

  close(): void {
    this.#connection?.retire()
    this.#connection = undefined
    this.#closing.abort()
  }

  #askNow(connection: Connection, request: CacheRequest): Promise<Answer> {
    if (connection.inFlight >= this.#options.maxInFlight) return Promise.reject(this.#full())
    return connection.request(request, this.#options.operationTimeoutMs)
  }

  async #askAnew(request: CacheRequest): Promise<Answer> {
    const { operationTimeoutMs, maxInFlight } = this.#options
    if (this.#waiting >= maxInFlight) throw this.#full()
    const deadline = deadlineAfter(this.#runtime, operationTimeoutMs)
    // The value stays the caller's, who may write into it as soon as the call has returned.
    const kept = request.value === undefined ? request : { ...request, value: new Uint8Array(request.value) }
    this.#waiting += 1
    try {
      const connection = await this.#within(operationTimeoutMs, this.#connecting())
      const leftMs = Math.ceil(deadline.leftMs())
      if (leftMs === 0) throw noConnectionWithin(operationTimeoutMs)
      return await connection.request(kept, leftMs)
    } finally {
      this.#waiting -= 1
    }
  }

  #full(): Unsent {
    return new Unsent(`${this.#options.maxInFlight} calls wait for it already`)
  }

  #usable(): Connection | undefined {
    const connection = this.#connection
    if (connection?.ended === undefined) return connection
    this.#connection = undefined
    if (connection.answered > this.#answeredBefore) this.#failures = 0
    else this.#failed(connection.ended.cause, connection.ended.atMs)
    return undefined
  }

  #connecting(): Promise<Connection> {
    if (this.#attempt !== undefined) return this.#attempt
    if (this.#pause !== undefined && this.#runtime.monotonicMs() < this.#pause.untilMs)
      return Promise.reject(this.#pause.cause)

    const attempt = this.#connect(this.server, this.#options, this.#closing.signal).then(
      (connection) => {
        this.#attempt = undefined
        this.#pause = undefined
        this.#connection = connection
        this.#answeredBefore = connection.answered
        this.#onConnected()
        return connection
      },
      (cause: unknown) => {
        this.#attempt = undefined
        this.#failed(cause, this.#runtime.monotonicMs())
        throw cause
      },
    )
    this.#attempt = attempt
    return attempt
  }

  #failed(cause: unknown, atMs: number): void {
    const { reconnectMinMs, reconnectMaxMs } = this.#options
    const longestMs = Math.min(reconnectMaxMs, reconnectMinMs * 2 ** this.#failures)
    this.#failures += 1
    this.#pause = { cause, untilMs: atMs + (longestMs / 2) * (1 + this.#runtime.random()) }
  }

  /** The attempt goes on for the next caller when this one has waited long enough. */
  #within(timeoutMs: number, attempt: Promise<Connection>): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const cancel = this.#runtime.after(timeoutMs, () => {
        setImmediate(() => reject(noConnectionWithin(timeoutMs)))
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

const noConnectionWithin = (timeoutMs: number): Unsent => new Unsent(`there was no connection within ${timeoutMs} ms`)

/** What may be said of a failure: Node's code where it has one, else the message of an error of our own. */
export const reasonOf = (cause: unknown): string => {
  if (isError(cause) && 'errors' in cause && Array.isArray(cause.errors) && cause.errors.length > 0)
    return reasonOf(cause.errors[0])
  if (cause instanceof TlsFault) return cause.message
  return codeIn(cause) ?? (isError(cause) ? cause.message : 'it failed')
}
