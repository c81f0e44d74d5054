import type { ConnectionOptions as TlsOptions } from 'node:tls'
import nano from 'nano'
import { Agent, type Dispatcher } from 'undici'

/** A request, in the words of nano. */
export interface Request {
  readonly method: 'get' | 'put' | 'post' | 'delete'
  /** Absent for requests to the server itself. */
  readonly db?: string
  /** Behind the database; its parts already encoded. */
  readonly path?: string
  readonly qs?: Readonly<Record<string, string | number | boolean>>
  readonly body?: unknown
  /** Sent as a form in place of `body`. */
  readonly form?: Readonly<Record<string, string>>
  /** How many bytes its answer may have; of a larger one no more is read. @default USUAL_BYTES */
  readonly maxBytes?: number
}

/** More than any answer has that holds neither documents nor lines of an index. */
const USUAL_BYTES = 1_048_576

/** An answer that is not read: whoever gave it is no CouchDB, or another one than was told. The words are for a person. */
export class UnreadAnswer extends Error {
  override get name(): string {
    return 'UnreadAnswer'
  }
}

/** What became of one request, as far as it is known. */
export interface Exchange {
  /** The request went out, at least in part: a lost answer leaves open whether it was done. */
  wasSent: boolean
  /** Of a complete answer. */
  status: number | undefined
  headers: Readonly<Record<string, string | readonly string[] | undefined>>
  /** The answer's JSON; `''` if it is none. */
  body: unknown
  /** Why there is no complete answer. */
  failure: unknown
  /** It is the login's, without which the request was not sent. */
  isLogin?: boolean
}

/** Requests over bounded, kept-alive connections. */
export interface Transport {
  /** Never rejects. An answer whose end did not arrive is none. */
  send(url: string, headers: Readonly<Record<string, string>>, request: Request, signal: AbortSignal): Promise<Exchange>
  /** Waits for requests under way. */
  close(): Promise<void>
  /** Ends requests under way. */
  destroy(): Promise<void>
}

export interface TransportOptions {
  /** To each server. */
  readonly maxConnections: number
  readonly connectTimeoutMs: number
  readonly tls: TlsOptions | undefined
}

/** Shorter than CouchDB's own patience with an idle connection, so that it is not the server who hangs up. */
const KEEP_ALIVE_MS = 30_000

/** In nano's spelling, which it overrules. A few compressed bytes can be any number of others. */
const UNCOMPRESSED = { 'Accept-Encoding': 'identity' }

/**
 * nano over an undici agent of our own, since nano alone opens a connection for each request in flight, takes half
 * an answer for an empty document, and ends the process when half an answer is a text.
 */
export const openTransport = ({ maxConnections, connectTimeoutMs, tls }: TransportOptions): Transport => {
  const agent = new Agent({
    connections: maxConnections,
    keepAliveTimeout: KEEP_ALIVE_MS,
    connect: { ...tls, timeout: connectTimeoutMs } as NonNullable<Agent.Options['connect']>,
  })
  return {
    send: async (url, headers, { maxBytes = USUAL_BYTES, ...request }, signal) => {
      const exchange: Exchange = { wasSent: false, status: undefined, headers: {}, body: '', failure: undefined }
      const whole = agent.compose(
        (dispatch) => (options, handler) => dispatch(options, new WholeAnswer(handler, exchange, maxBytes)),
      )
      // One for each request: it is a few closures, and the agent's ears are on this exchange alone.
      const configuration = { url, headers: { ...headers, ...UNCOMPRESSED }, agentOptions: whole, parseUrl: false }
      const client = nano(configuration as unknown as nano.Configuration)
      try {
        exchange.body = await client.request({ ...request, signal } as nano.RequestOptions)
      } catch (raised) {
        // nano's error about an answer holds the request, and that the password.
        if (exchange.status === undefined) exchange.failure ??= raised
        exchange.body = errorBodyOf(raised)
      }
      // nano swallows an abort that comes between an answer's last byte and its parsing.
      if (signal.aborted && exchange.body === '') exchange.status = undefined
      return exchange
    },
    close: () => agent.close(),
    destroy: () => agent.destroy(),
  }
}

/** nano lays the fields of CouchDB's `{ error, reason }` over its own error. */
const errorBodyOf = (raised: unknown): unknown => {
  const { error, reason } = raised as { readonly error?: unknown; readonly reason?: unknown }
  return typeof error === 'string' ? { error, reason } : ''
}

/**
 * Passes an answer on when all of it is there, so that one that breaks off is a failed request, and no more of it than
 * it may have: the connection of a larger one is ended at the first byte too many. It always says that
 * it is JSON: nano rejects nothing it cannot parse then, where it would throw past its caller for a text.
 */
class WholeAnswer implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler
  readonly #exchange: Exchange
  readonly #maxBytes: number
  #chunks: Buffer[] = []
  #bytes = 0
  #start: [status: number, headers: Exchange['headers'], message: string | undefined] | undefined

  constructor(handler: Dispatcher.DispatchHandler, exchange: Exchange, maxBytes: number) {
    this.#handler = handler
    this.#exchange = exchange
    this.#maxBytes = maxBytes
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#exchange.wasSent = true
    this.#handler.onRequestStart?.(controller, context)
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Exchange['headers'],
    message?: string,
  ): void {
    if (status < 200) return
    this.#start = [status, headers, message]
    if ((headers['content-encoding'] ?? 'identity') !== 'identity')
      controller.abort(new UnreadAnswer('its answer is compressed, which was not asked for; by a proxy, perhaps'))
    else this.#count(controller, 0, Number(headers['content-length'] ?? 0))
  }

  onResponseData(controller: Dispatcher.DispatchController, chunk: Buffer): void {
    this.#count(controller, chunk.length, 0)
    if (!controller.aborted) this.#chunks.push(chunk)
  }

  /** @param announced how many bytes it says that it has */
  #count(controller: Dispatcher.DispatchController, bytes: number, announced: number): void {
    this.#bytes += bytes
    if (Math.max(this.#bytes, announced) <= this.#maxBytes) return
    this.#chunks = []
    controller.abort(
      new UnreadAnswer(
        `its answer is larger than the ${this.#maxBytes} bytes that it may have: something else than CouchDB gave it, or \`maxDocumentBytes\` is less than what other processes store`,
      ),
    )
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Record<string, string | string[]>): void {
    const [status, headers, message] = this.#start ?? [500, {}, undefined]
    this.#exchange.status = status
    this.#exchange.headers = headers
    const asJson = { ...headers, 'content-type': 'application/json' } as Record<string, string | string[]>
    this.#handler.onResponseStart?.(controller, status, asJson, message)
    for (const chunk of this.#chunks) this.#handler.onResponseData?.(controller, chunk)
    this.#handler.onResponseEnd?.(controller, trailers)
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#exchange.failure = error
    this.#handler.onResponseError?.(controller, error)
  }
}
