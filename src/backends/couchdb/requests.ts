import type { Runtime } from '../../contract/time.js'
import { type Applied, isSessionStoreError, type SessionStoreError, tierUnavailable } from '../../errors.js'
import { type Deadline, deadlineAfter } from '../../tools/deadline.js'
import { settledWithin, withSignal } from '../../tools/waiting.js'
import { type Reader, saysNoDatabase } from './answers.js'
import { type Authentication, authenticationOf } from './authentication.js'
import { type FaultContext, faultOf, gone, RequestFailed } from './faults.js'
import type { ResolvedCouchdbOptions, Server } from './options.js'
import { openTransport, type Request, type Transport } from './transport.js'

/** One call of the contract, from the first of its requests to the last. */
export interface Call {
  /** The contract's word for it, for messages. */
  readonly operation: string
  readonly isChange: boolean
  readonly deadline: Deadline
}

/** How a request is meant. */
export interface Manner {
  /** A database that is known to be there: an answer that it is not is a fault of the server that gives it. */
  readonly mustExist?: string
  /** It changes something, and an error of it says whether it did. @default false */
  readonly isChange?: boolean
  /** Sent again after a lost answer it does no harm and gives the same. @default what does not change anything */
  readonly isRepeatable?: boolean
}

/** Whom the server takes us for: what only CouchDB answers, at the root of the URL. */
export const WHO: Request = { method: 'get', path: '_session' }

/** A repeatable request whose connection breaks is sent this often, however few servers there are. */
const ATTEMPTS = 2

/** After how long it is looked whether a server that was left answers again; a fleet does not look in step. */
const LOOK_BACK_MS = 30_000

/**
 * Requests to the servers of one cluster, tried in turn: each within its call's deadline, each answer judged. All
 * processes ask the first of the list while it answers: what one of them has written there, the others read there.
 */
export class Requests {
  readonly #servers: readonly Server[]
  readonly #runtime: Runtime
  readonly #requestTimeoutMs: number
  readonly #transport: Transport
  readonly #authentication: Authentication
  /** Whom to ask first: the first of the list, or whoever answered after it had failed. */
  #first = 0
  /** Where it is not the first of the list: when to look whether that one answers again, by the monotonic clock. */
  #lookBackAt = 0
  #servesAgain: (at: number, call: Call) => Promise<unknown> = () => Promise.resolve()

  constructor(options: ResolvedCouchdbOptions) {
    this.#servers = options.servers
    this.#runtime = options.runtime
    this.#requestTimeoutMs = options.requestTimeoutMs
    this.#transport = openTransport(options)
    this.#authentication = authenticationOf(options, this.#transport)
  }

  get servers(): readonly Server[] {
    return this.#servers
  }

  call(operation: string, isChange: boolean, timeoutMs: number = this.#requestTimeoutMs): Call {
    return { operation, isChange, deadline: deadlineAfter(this.#runtime, timeoutMs) }
  }

  /** @param check rejects with `RequestFailed` where the server does not give what the store needs */
  onLookingBack(check: (at: number, call: Call) => Promise<unknown>): void {
    this.#servesAgain = check
  }

  /** Asks the servers in turn, beginning with the one that answered last. @throws RequestFailed */
  async send<Answer>(call: Call, request: Request, read: Reader<Answer>, manner: Manner = {}): Promise<Answer> {
    this.#lookBack()
    const { isChange = false, isRepeatable = !isChange } = manner
    const attempts = Math.max(this.#servers.length, isRepeatable ? ATTEMPTS : 1)
    const others = this.#servers.length - 1
    let inDoubt: RequestFailed | undefined
    for (let attempt = 1; ; attempt++) {
      const at = this.#first
      const isLast = attempt === attempts
      try {
        // One that is silent must leave time for the next, unless the request may go out only once.
        const shares = isRepeatable ? Math.max(1, others + 2 - attempt) : 1
        return await this.sendTo(at, call, request, read, manner, call.deadline.leftMs() / shares)
      } catch (raised) {
        if (!(raised instanceof RequestFailed)) throw raised
        const { kind, error } = raised.fault
        const elsewhere = kind === 'unreachable' || kind === 'lost' || (kind === 'late' && others > 0)
        if (elsewhere && this.#first === at) this.#moveTo((at + 1) % this.#servers.length)
        const isHarmless = isRepeatable || kind === 'unreachable' || error.applied === 'no'
        // What was lost may have been done, however clearly a later attempt failed.
        if (error.applied === 'unknown') inDoubt ??= raised
        if (!elsewhere || !isHarmless || isLast || call.deadline.leftMs() === 0) throw inDoubt ?? raised
      }
    }
  }

  /** Asks one server. @throws RequestFailed */
  async sendTo<Answer>(
    at: number,
    call: Call,
    request: Request,
    read: Reader<Answer>,
    { mustExist, isChange = false }: Manner = {},
    ms: number = call.deadline.leftMs(),
  ): Promise<Answer> {
    const server = this.#servers[at]
    if (server === undefined) throw new RangeError(`There is no server ${at}`)
    const context = { ...this.context(call), tier: server.tier, isSentToChange: isChange }
    // A request that there is no time for is not sent.
    if (ms <= 0) throw this.tooLate(call, 'no', server)
    let late = false
    const exchange = await withSignal(this.#runtime, ms, async (signal) => {
      const answer = await this.#authentication.send(server, request, signal)
      late = signal.aborted
      return answer
    })
    const { status, body, isLogin = false } = exchange
    if (status !== undefined && !isLogin) {
      if (mustExist !== undefined && saysNoDatabase(status, body) !== undefined) throw gone(mustExist, context)
      const answer = read(status, body)
      if (answer !== undefined) return answer
    }
    throw new RequestFailed(faultOf(exchange, late, context))
  }

  #moveTo(at: number): void {
    this.#first = at
    this.#lookBackAt = this.#runtime.monotonicMs() + LOOK_BACK_MS * (0.5 + this.#runtime.random())
  }

  /** Beside the calls, so that none of them waits for a server that is still silent. */
  #lookBack(): void {
    if (this.#first === 0 || this.#runtime.monotonicMs() < this.#lookBackAt) return
    const left = this.#first
    this.#moveTo(left)
    void this.#firstOfThoseBefore(left).then((at) => {
      if (at < left && this.#first === left) this.#moveTo(at)
    })
  }

  async #firstOfThoseBefore(left: number): Promise<number> {
    for (let at = 0; at < left; at++)
      try {
        await this.#servesAgain(at, this.call('look whether it is back', false))
        return at
      } catch (raised) {
        if (!(raised instanceof RequestFailed)) throw raised
      }
    return left
  }

  /** What to reject with where no answer came in time. @param applied `'no'` for a request that was not even sent */
  tooLate(
    { operation, isChange }: Call,
    applied: Applied,
    { tier }: Pick<Server, 'tier'> = this.#asked,
  ): RequestFailed {
    const because = 'no answer came in time'
    return new RequestFailed({
      kind: 'late',
      error: tierUnavailable(tier, operation, { because, ...(isChange ? { applied } : {}) }),
    })
  }

  /** The error of a call that certainly changed nothing. */
  untouched({ operation, isChange }: Call, because: string, cause?: unknown): SessionStoreError {
    return tierUnavailable(this.#asked.tier, operation, {
      because,
      ...(cause === undefined ? {} : { cause }),
      ...(isChange ? { applied: 'no' as const } : {}),
      ...(isSessionStoreError(cause) && cause.answered ? { answered: true } : {}),
    })
  }

  context({ operation, isChange }: Call): FaultContext {
    return { tier: this.#asked.tier, operation, isChange }
  }

  get #asked(): Pick<Server, 'tier'> {
    return this.#servers[this.#first] ?? { tier: 'couchdb' }
  }

  /** Waits for `calls`, and the requests they take; a server that has gone silent is not waited for. */
  async close(calls: Promise<unknown>): Promise<void> {
    const closed = calls.then(() => this.#transport.close())
    await settledWithin(this.#runtime, this.#requestTimeoutMs, closed)
    await this.#transport.destroy()
  }
}
