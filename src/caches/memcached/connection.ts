import type { Socket } from 'node:net'
import memjs from 'memjs'
import type { Runtime } from '../../contract/time.js'
import { type Frame, FrameReader } from './frames.js'
import { type CacheRequest, type CacheResponse, mismatch, OPCODE, STATUS } from './protocol.js'
import type { ServerAddress } from './servers.js'

/** Names one connection, and with it the tokens that came over it. No two connections share one. */
export type Generation = symbol

/**
 * One connection to one server, from its first answer to its first fault. It is never mended: a time-out, a
 * close, an error or an answer that cannot be right ends it at once with everything in flight on it, and
 * the next one is another generation.
 *
 * This file is the only one that knows memjs; a socket layer of our own replaces it behind this interface.
 */
export interface Connection {
  readonly generation: Generation
  /** False from the first fault on. */
  readonly alive: boolean
  /** True when it has carried so many requests that it should be retired. */
  readonly worn: boolean

  /**
   * Rejects with `Unsent` when nothing was sent, and with another error when the answer did not come within
   * `timeoutMs` or the connection ended before it.
   */
  request(request: CacheRequest, timeoutMs: number): Promise<CacheResponse>

  /** Takes no new request; ends when those in flight have settled. */
  retire(): void

  /** Ends it at once; what is still in the send buffer is dropped where the system can do that. */
  destroy(cause: Error): void
}

/** The request did not leave this process, so it surely was not carried out. */
export class Unsent extends Error {
  override get name(): string {
    return 'Unsent'
  }
}

export interface ConnectOptions {
  readonly credentials: { readonly username: string; readonly password: string } | undefined
  readonly connectTimeoutMs: number
  readonly log: (line: string) => void
  readonly runtime: Runtime
  /** After how many requests a connection is worn. */
  readonly maxRequests?: number
}

/** Rejects also when `signal` is aborted; then nothing is left open. */
export type Connect = (server: ServerAddress, options: ConnectOptions, signal: AbortSignal) => Promise<Connection>

/**
 * Connects, signs in, and waits for the answer to a first NOOP: a frozen process still accepts connections,
 * and a change should not be the first thing that it is sent.
 */
export const connect: Connect = async (server, options, signal) => {
  const connection = new MemjsConnection(server, options)
  const abort = (): void => connection.destroy(new Error('the cache was closed'))
  signal.addEventListener('abort', abort)
  try {
    await connection.greet(options.connectTimeoutMs)
  } finally {
    signal.removeEventListener('abort', abort)
  }
  return connection
}

/**
 * memjs numbers requests with a signed 32-bit counter and breaks for good when it overflows at 2^31 (seen in
 * 1.3.2). Half of that is far enough away.
 */
const MAX_REQUESTS = 2 ** 30

const NOTHING: Buffer = Buffer.alloc(0)

/**
 * A memjs client with one server and one socket, all three used once. What memjs 1.3.2 does wrong, and what
 * is done about it here:
 *
 * - a FIN leaves its requests pending for ever: we watch the socket and fail them;
 * - its time-out is an idle timer that every write puts off: it is switched off, each request has a deadline;
 * - half an answer is kept and put before the next connection's bytes, so that one key can be answered with
 *   another's value: our own reader, one per socket;
 * - any answer but one counts as signed in: we judge both SASL answers;
 * - the environment's credentials go to every server: they are overwritten;
 * - it sends changes again by itself: one attempt, no fail-over.
 */
class MemjsConnection implements Connection {
  readonly generation: Generation = Symbol('connection')
  readonly #server: InstanceType<typeof memjs.Server>
  readonly #client: InstanceType<typeof memjs.Client>
  readonly #runtime: Runtime
  readonly #maxRequests: number
  readonly #reader = new FrameReader()
  readonly #isTcp: boolean
  #socket: Socket | undefined
  #signIn: 'not asked for' | 'mechanisms' | 'answer' | 'done'
  #inFlight = 0
  #retired = false
  #end: Error | undefined

  constructor(server: ServerAddress, { credentials, log, runtime, maxRequests = MAX_REQUESTS }: ConnectOptions) {
    // 0 switches memjs's idle timers off. The object is made anew: memjs writes into it.
    const options = {
      timeout: 0,
      conntimeout: 0,
      keepAlive: true,
      retries: 1,
      failover: false,
      logger: { log: (...parts: unknown[]) => quietly(() => log(parts.map(String).join(' '))) },
    }
    const { target } = server
    this.#isTcp = 'port' in target
    this.#server =
      'path' in target
        ? new memjs.Server(undefined, target.path, undefined, undefined, options)
        : new memjs.Server(target.host, target.port, undefined, undefined, options)
    this.#server.username = credentials?.username
    this.#server.password = credentials?.password
    this.#server.responseHandler = (chunk) => this.#received(chunk)
    this.#client = new memjs.Client([this.#server], options)
    this.#signIn = credentials === undefined ? 'not asked for' : 'mechanisms'
    this.#runtime = runtime
    this.#maxRequests = maxRequests
  }

  get alive(): boolean {
    return this.#end === undefined
  }

  get worn(): boolean {
    return this.#client.seq >= this.#maxRequests
  }

  async greet(timeoutMs: number): Promise<void> {
    const answered = this.request({ opcode: OPCODE.noop }, timeoutMs)
    // memjs opened the socket within that call; from here on we hear what it hears.
    this.#watch(this.#server._socket)
    const { status } = await answered
    if (status === STATUS.ok) return
    const cause = new Error(
      status === STATUS.authenticationError
        ? 'it wants a username and password'
        : `it answered a greeting with status 0x${status.toString(16)}`,
    )
    this.destroy(cause)
    throw cause
  }

  request(request: CacheRequest, timeoutMs: number): Promise<CacheResponse> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined || this.#retired)
        return reject(new Unsent('the connection has ended', { cause: this.#end }))

      this.#client.incrSeq()
      const { seq } = this.#client
      const { opcode, key = NOTHING, extras = NOTHING, value = NOTHING, cas } = request
      const bytes = memjs.Utils.makeRequestBuffer(opcode, asBuffer(key), asBuffer(extras), asBuffer(value), seq)
      if (cas !== undefined) bytes.set(cas, 16)

      this.#inFlight += 1
      let settled = false
      const cancel = this.#runtime.after(timeoutMs, () => {
        // A process that was busy finds its timers due before it has read the answers that are waiting for
        // it. One round of the event loop lets them in.
        setImmediate(() => {
          if (!settled) this.destroy(new Error(`it did not answer within ${timeoutMs} ms`))
        })
      })
      const settle = (error: unknown, frame: CacheResponse | undefined): void => {
        if (settled) return
        settled = true
        cancel()
        this.#inFlight -= 1
        const wrong = frame && mismatch(request, frame)
        if (frame !== undefined && wrong === undefined) resolve(frame)
        else reject(error instanceof Error ? error : new Error(wrong ?? 'the connection failed'))
        if (wrong !== undefined) this.destroy(new Error(wrong))
        this.#endWhenRetired()
      }
      try {
        this.#client.perform('', bytes, seq, (error, response) =>
          settle(error, (response as Answered | undefined)?.frame),
        )
      } catch (error) {
        settle(new Unsent('the request could not be written', { cause: error }), undefined)
        this.destroy(error instanceof Error ? error : new Error(String(error)))
      }
    })
  }

  retire(): void {
    this.#retired = true
    this.#endWhenRetired()
  }

  destroy(cause: Error): void {
    if (this.#end !== undefined) return
    this.#end = cause
    const socket = this.#socket
    // A reset drops what is not sent yet; an ordinary close would still deliver it. On a unix socket it is an
    // error to ask for one, and while connecting it would wait for the connection.
    if (this.#isTcp && socket?.connecting === false) socket.resetAndDestroy()
    else socket?.destroy()
    // Fails all that is in flight.
    this.#server.error(cause)
  }

  #endWhenRetired(): void {
    if (!this.#retired || this.#inFlight > 0 || this.#end !== undefined) return
    this.#end = new Error('the connection was closed')
    this.#socket?.end()
    this.#socket?.destroySoon()
  }

  #watch(socket: Socket | undefined): void {
    if (socket === undefined) return
    this.#socket = socket
    socket.setNoDelay(true)
    socket.on('error', (error) => this.destroy(error))
    socket.on('end', () => this.destroy(new Error('it closed the connection')))
    socket.on('close', () => this.destroy(new Error('the connection was closed')))
  }

  #received(chunk: Buffer): void {
    if (this.#end !== undefined) return
    try {
      for (const frame of this.#reader.push(chunk)) {
        if (this.#end !== undefined) return
        this.#answered(frame)
      }
    } catch (error) {
      this.destroy(error instanceof Error ? error : new Error(String(error)))
    }
  }

  #answered(frame: Frame): void {
    if (this.#signIn === 'mechanisms' || this.#signIn === 'answer') this.#signingIn(frame)
    else if (Object.hasOwn(this.#server.responseCallbacks, frame.opaque))
      this.#server.respond({ header: { opaque: frame.opaque }, frame } satisfies Answered)
    else throw new Error('it answered what was not asked')
  }

  #signingIn({ opcode, status, value }: Frame): void {
    if (status === STATUS.unknownCommand) throw new Error('it knows no SASL, but a username and password were given')
    if (status !== STATUS.ok) throw new Error('it refused the username and password')
    if (this.#signIn === 'mechanisms' && opcode === OPCODE.saslMechanisms) {
      if (!asBuffer(value).toString('latin1').split(' ').includes('PLAIN'))
        throw new Error('it does not offer to sign in with SASL PLAIN')
      this.#signIn = 'answer'
      this.#server.saslAuth()
    } else if (this.#signIn === 'answer' && opcode === OPCODE.saslAuthenticate) {
      this.#signIn = 'done'
      this.#server.emit('authenticated')
    } else throw new Error('it answered what was not asked')
  }
}

/** What goes through memjs's hands on its way from our reader to our callback. */
interface Answered {
  readonly header: { readonly opaque: number }
  readonly frame: Frame
}

const asBuffer = (bytes: Uint8Array): Buffer =>
  Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

/** A logger that throws must not break what it was told about. */
const quietly = (action: () => void): void => {
  try {
    action()
  } catch {
    // There is nobody left to tell.
  }
}
