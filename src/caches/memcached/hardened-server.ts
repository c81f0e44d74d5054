import memjs from 'memjs'
import type { Cancel, Runtime } from '../../contract/time.js'
import { isError } from '../../tools/is-error.js'
import { type Answer, type Connection, type Generation, Late, Unsent } from './connection.js'
import { encode, type Frame, FrameReader, type Head } from './frames.js'
import { type CacheRequest, IMPOSSIBLE_LENGTH, longestBody, mismatch, OPCODE } from './protocol.js'
import type { ServerAddress } from './servers.js'
import { strangerOf } from './strangers.js'
import type { MemcachedTls } from './tls.js'
import { openWire, type Wire } from './wire.js'

export interface ServerOptions {
  readonly log: (line: string) => void
  readonly runtime: Runtime
  /** How the connection is encrypted. @default not at all */
  readonly tls?: MemcachedTls | undefined
  /** The largest value that is kept when it is answered, in bytes. @default 1_000_000 */
  readonly maxValueBytes?: number
  /** The number before that of the first request, from 0 to 2^32 - 1. @default the one before `TWO_LINE_ENDS` */
  readonly lastNumber?: number
}

/**
 * The number of a connection's first request: two line ends, so that a server which speaks in lines takes what comes
 * before them for one, and answers something by which it is recognized, instead of waiting for more.
 */
const TWO_LINE_ENDS = 0x0d0a_0d0a

/** Begins to connect; what is asked meanwhile is sent as soon as the connection stands. */
export const openServer = (server: ServerAddress, options: ServerOptions): Connection =>
  new HardenedServer(server, options)

/** What is asked and not answered yet. */
interface Question {
  readonly number: number
  readonly request: CacheRequest
  readonly timeoutMs: number
  readonly dueAtMs: number
  /** memjs's two handlers of this request. */
  respond: (answer: Answer) => void
  fail: (cause: Error) => void
}

/**
 * What lies under memjs's client, which calls `onResponse`, `onError` and `write` for each request: a socket
 * layer of our own in place of memjs's, with one socket that is used once. This file is the only one that knows
 * memjs. What its own layer does wrong in 1.3.2, and how this one does it:
 *
 * - a FIN leaves calls pending for ever: here every end of the socket fails all that is in flight, at once;
 * - its time-out is an idle timer that every write puts off: here each request has a deadline;
 * - half an answer is kept and put before the next connection's bytes, so that one key can be answered with
 *   another's value: here reader, queue and socket live and die together;
 * - it looks for the question by number alone, and keeps what nobody asked for as long as it comes: here the answers
 *   come in the order of the questions, for the same command and the same key, or the connection ends with their first
 *   bytes;
 * - it copies all it has with each piece of an answer, and writes each request by itself: here a value is
 *   joined once, and the requests of one tick leave together;
 * - it connects, signs in and sends again by itself: here `connecting.ts` and `ServerLink` decide that.
 */
class HardenedServer extends memjs.Server implements Connection {
  readonly generation: Generation = Symbol('connection')
  answered = 0
  readonly #client: NumberingClient
  readonly #runtime: Runtime
  readonly #wire: Wire
  readonly #reader = new FrameReader({
    admit: (head) => this.#admit(head),
    strange: (bytes) => new Error(this.answered > 0 ? 'it sent bytes that are no answer' : strangerOf(bytes)),
    take: (frame) => this.#take(frame),
  })
  readonly #maxValueBytes: number
  /** In the order of asking, which is the order of answering. */
  readonly #questions: Question[] = []
  /** The requests of this tick. */
  #unsent: Buffer[] = []
  #asking: Question | undefined
  #alarm: { readonly dueAtMs: number; readonly cancel: Cancel } | undefined
  #retired = false
  #ended: Connection['ended']

  constructor({ target }: ServerAddress, options: ServerOptions) {
    const { log, runtime, tls, maxValueBytes = 1_000_000, lastNumber = TWO_LINE_ENDS - 1 } = options
    const [host, port] = 'path' in target ? [undefined, target.path] : [target.host, target.port]
    // One attempt and no fail-over. The object is made anew: memjs writes into it.
    const memjsOptions = { retries: 1, failover: false, logger: { log: quietly(log) } }
    super(host, port, undefined, undefined, memjsOptions)
    this.#client = new NumberingClient([this], memjsOptions)
    this.#client.seq = lastNumber
    this.#runtime = runtime
    this.#maxValueBytes = maxValueBytes
    this.#wire = openWire(target, tls, {
      received: (chunk) => this.#received(chunk),
      ended: (cause) => this.destroy(cause),
    })
  }

  get ended(): Connection['ended'] {
    return this.#ended
  }

  get inFlight(): number {
    return this.#questions.length
  }

  request(request: CacheRequest, timeoutMs: number): Promise<Answer> {
    if (this.#ended !== undefined || this.#retired)
      return Promise.reject(new Unsent('the connection has ended', { cause: this.#ended?.cause }))
    return new Promise((resolve, reject) => {
      this.#client.incrSeq()
      const { seq: number } = this.#client
      const dueAtMs = this.#runtime.monotonicMs() + timeoutMs
      this.#asking = { number, request, timeoutMs, dueAtMs, respond: resolve, fail: reject }
      this.#client.perform('', encode(request, number), number, (error, answer) =>
        error === null ? resolve(answer as Answer) : reject(error),
      )
    })
  }

  override onResponse(_number: number, respond: (answer: unknown) => void): void {
    if (this.#asking !== undefined) this.#asking.respond = respond
  }

  override onError(_number: number, fail: (cause: Error) => void): void {
    if (this.#asking !== undefined) this.#asking.fail = fail
  }

  override write(request: Buffer): void {
    if (this.#asking === undefined) return
    this.#questions.push(this.#asking)
    this.#wakeAt(this.#asking.dueAtMs, this.#asking.timeoutMs)
    this.#asking = undefined
    // After the rest of this tick, so that all that is asked in it leaves in one system call.
    if (this.#unsent.push(request) === 1) process.nextTick(() => this.#send())
  }

  override error(cause: Error): void {
    this.destroy(cause)
  }

  override close(): void {
    this.retire()
  }

  retire(): void {
    this.#retired = true
    this.#endWhenRetired()
  }

  destroy(cause: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = { cause, atMs: this.#runtime.monotonicMs() }
    this.#alarm?.cancel()
    this.#wire.reset()
    for (const { fail } of this.#questions.splice(0)) fail(cause)
  }

  #endWhenRetired(): void {
    if (!this.#retired || this.#questions.length > 0 || this.#ended !== undefined) return
    this.#ended = { cause: new Error('the connection was closed'), atMs: this.#runtime.monotonicMs() }
    this.#alarm?.cancel()
    this.#wire.end()
  }

  #send(): void {
    const requests = this.#unsent
    this.#unsent = []
    if (this.#ended === undefined) this.#wire.write(requests)
  }

  #received(chunk: Buffer): void {
    if (this.#ended !== undefined) return
    try {
      this.#reader.push(chunk)
    } catch (error) {
      this.destroy(isError(error) ? error : new Error(String(error)))
    }
  }

  #admit(head: Head | undefined): number {
    const [question] = this.#questions
    if (question === undefined || (head !== undefined && head.opaque !== question.number))
      throw new Error('it answered what was not asked')
    const longest = longestBody(question.request, this.#maxValueBytes)
    if (head === undefined) return longest
    if (head.opcode !== question.request.opcode) throw new Error('it answered another command than was sent')
    if (head.opcode !== OPCODE.getKey && head.bodyBytes > longest) throw new Error(IMPOSSIBLE_LENGTH)
    return longest
  }

  /** Whatever is wrong with an answer is thrown, while its question is still in flight: it fails with the others. */
  #take(frame: Frame): void {
    if (this.#ended !== undefined) return
    const [question] = this.#questions
    if (question === undefined) return
    const wrong = mismatch(question.request, frame)
    if (wrong !== undefined) throw new Error(wrong)
    this.#questions.shift()
    this.answered += 1
    question.respond({ response: frame, generation: this.generation })
    this.#endWhenRetired()
  }

  #lateness(timeoutMs: number): Error {
    const awaited = this.#wire.isWaitingFor
    if (awaited === undefined) return new Late(`it did not answer within ${timeoutMs} ms`)
    return new Error(`within ${timeoutMs} ms it was not through with ${awaited}`)
  }

  /** One timer for all: it rings at the earliest deadline that it knows of, and then looks who is late. */
  #wakeAt(dueAtMs: number, inMs: number): void {
    if (this.#alarm !== undefined && this.#alarm.dueAtMs <= dueAtMs) return
    this.#alarm?.cancel()
    this.#alarm = { dueAtMs, cancel: this.#runtime.after(inMs, () => this.#awake()) }
  }

  #awake(): void {
    this.#alarm?.cancel()
    this.#alarm = undefined
    const nowMs = this.#runtime.monotonicMs()
    const isLate = ({ dueAtMs }: Question): boolean => dueAtMs <= nowMs
    if (this.#questions.some(isLate)) {
      // A process that was busy finds its timers due before it has read the answers that are waiting for
      // it. One round of the event loop lets them in.
      setImmediate(() => {
        const late = this.#questions.find(isLate)
        if (late === undefined) this.#awake()
        else this.destroy(this.#lateness(late.timeoutMs))
      })
    } else if (this.#questions.length > 0) {
      const dueAtMs = this.#questions.reduce((earliest, question) => Math.min(earliest, question.dueAtMs), Infinity)
      this.#wakeAt(dueAtMs, Math.ceil(dueAtMs - nowMs))
    }
  }
}

/** memjs's own counter is signed, and breaks for good at 2^31. */
class NumberingClient extends memjs.Client {
  override incrSeq(): void {
    this.seq = (this.seq + 1) >>> 0
  }
}

/** A logger that throws must not break what it was told about. */
const quietly =
  (log: (line: string) => void) =>
  (...parts: unknown[]): void => {
    try {
      log(parts.map(String).join(' '))
    } catch {
      // There is nobody left to tell.
    }
  }
