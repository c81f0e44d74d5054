import type { Runtime } from '../../contract/time.js'
import { type SessionStoreError, tierUnavailable } from '../../errors.js'
import { type Authentication, authenticationOf } from './authentication.js'
import { type Deadline, deadlineAfter, withSignal } from './deadline.js'
import { type FaultContext, faultOf, RequestFailed } from './faults.js'
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
  /** Statuses that are an answer, beside success. */
  readonly expect?: readonly number[]
  /** It changes something, and an error of it says whether it did. @default false */
  readonly isChange?: boolean
  /** Sent again after a lost answer it does no harm and gives the same. @default what does not change anything */
  readonly isRepeatable?: boolean
}

export interface Answer {
  readonly status: number
  /** A JSON object or list; nothing else passes for an answer. */
  readonly body: Readonly<Record<string, unknown>> & object
}

/** A repeatable request whose connection breaks is sent this often, however few servers there are. */
const ATTEMPTS = 2

/** Requests to the servers of one cluster, tried in turn: each within its call's deadline, each answer judged. */
export class Requests {
  readonly #servers: readonly Server[]
  readonly #runtime: Runtime
  readonly #requestTimeoutMs: number
  readonly #transport: Transport
  readonly #authentication: Authentication
  /** Whom to ask first: the one that answered last. */
  #first = 0

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

  /** Asks the servers in turn, beginning with the one that answered last. @throws RequestFailed */
  async send(call: Call, request: Request, manner: Manner = {}): Promise<Answer> {
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
        return await this.sendTo(at, call, request, manner, call.deadline.remainingMs() / shares)
      } catch (raised) {
        if (!(raised instanceof RequestFailed)) throw raised
        const { kind, error } = raised.fault
        const elsewhere = kind === 'unreachable' || kind === 'lost' || (kind === 'late' && others > 0)
        if (elsewhere && this.#first === at) this.#first = (at + 1) % this.#servers.length
        const isHarmless = isRepeatable || kind === 'unreachable' || error.applied === 'no'
        // What was lost may have been done, however clearly a later attempt failed.
        if (error.applied === 'unknown') inDoubt ??= raised
        if (!elsewhere || !isHarmless || isLast || call.deadline.remainingMs() === 0) throw inDoubt ?? raised
      }
    }
  }

  /** Asks one server. @throws RequestFailed */
  async sendTo(
    at: number,
    call: Call,
    request: Request,
    { expect = [], isChange = false }: Manner,
    ms: number = call.deadline.remainingMs(),
  ): Promise<Answer> {
    const server = this.#servers[at]
    if (server === undefined) throw new RangeError(`There is no server ${at}`)
    const context = { ...this.context(call), tier: server.tier, isSentToChange: isChange }
    if (ms <= 0) throw this.#tooLate(call, context)
    let late = false
    const exchange = await withSignal(this.#runtime, ms, async (signal) => {
      const answer = await this.#authentication.send(server, request, signal)
      late = signal.aborted
      return answer
    })
    const fault = faultOf(exchange, late, expect, context)
    if (fault !== undefined) throw new RequestFailed(fault)
    return { status: exchange.status ?? 0, body: exchange.body as Answer['body'] }
  }

  /** A request that there is no time for is not sent. */
  #tooLate(call: Call, context: FaultContext): RequestFailed {
    const { operation, isChange } = call
    const because = 'no answer came in time'
    const error = tierUnavailable(context.tier, operation, { because, ...(isChange ? { applied: 'no' as const } : {}) })
    return new RequestFailed({ kind: 'late', error })
  }

  /** The error of a call that certainly changed nothing. */
  untouched({ operation, isChange }: Call, because: string, cause?: unknown): SessionStoreError {
    return tierUnavailable(this.#servers[this.#first]?.tier ?? 'couchdb', operation, {
      because,
      ...(cause === undefined ? {} : { cause }),
      ...(isChange ? { applied: 'no' as const } : {}),
    })
  }

  context({ operation, isChange }: Call): FaultContext {
    return { tier: this.#servers[this.#first]?.tier ?? 'couchdb', operation, isChange }
  }

  /** A server that has gone silent is not waited for. */
  async close(): Promise<void> {
    let cancel = (): void => {}
    const patience = new Promise<void>((resolve) => {
      cancel = this.#runtime.after(this.#requestTimeoutMs, resolve)
    })
    await Promise.race([this.#transport.close().catch(() => {}), patience])
    cancel()
    await this.#transport.destroy()
  }
}
