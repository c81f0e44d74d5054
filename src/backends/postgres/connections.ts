import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, type SessionStoreError, tierUnavailable } from '../../errors.js'
import { type Deadline, DeadlinePassed, deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { type AnswerBound, boundOf } from './answer-meter.js'
import { type Fault, type FaultKind, faultOf, tooLarge, Unfit, valueRefused } from './faults.js'
import { GivenUp } from './given-up.js'
import {
  isClient,
  noClient,
  type OpenedPool,
  type PostgresClient,
  type PostgresQuery,
  type PostgresResult,
} from './pool.js'
import { DataTooLarge } from './row.js'
import { VALUE_TYPES } from './types.js'

export interface Statement {
  readonly text: string
  /** Under which the server may keep it parsed. */
  readonly name: string
  /** What in a row of its answer says that this connection is not fit for our work; in words that follow "because". */
  readonly unfit?: (row: PostgresResult['rows'][number]) => string | undefined
}

/** One call of the contract, from the first of its statements to the last. */
export interface Call {
  /** The contract's word for it, for messages. */
  readonly operation: string
  readonly isChange: boolean
  /** Doing it twice is as good as once and gives the same answer: a connection that broke under it is no failure. */
  readonly isRepeatable: boolean
  readonly deadline: Deadline
}

/** A failed statement: what the call's error would be, and of which kind. */
export class StatementFailed extends Error {
  readonly fault: Fault
  /** The connection was to blame, and is gone: another one may do what it refused, and nothing was done. */
  readonly mayGoElsewhere: boolean
  constructor(fault: Fault, mayGoElsewhere: boolean = false) {
    super(fault.error.message, { cause: fault.error })
    this.fault = fault
    this.mayGoElsewhere = mayGoElsewhere
  }
  override get name(): string {
    return 'StatementFailed'
  }
}

/** What the contract's caller gets to see of a failure. */
export const contractError = (raised: unknown): unknown =>
  raised instanceof StatementFailed ? raised.fault.error : raised

/**
 * A statement that the server rolled back because of others is sent this often; and so is a repeatable one whose
 * connection broke, as each pooled connection does once after the server was restarted.
 */
const ATTEMPTS = 3

/**
 * A connection that is younger is not blamed for a refusal: it was opened by the same server a moment ago, so another
 * one would be refused as well. This bounds how often connections are given up while the server itself refuses.
 */
const YOUNG_MS = 1_000

/** After these nobody knows what still comes over a connection. */
const ENDS: ReadonlySet<FaultKind> = new Set(['lost', 'late', 'unread'])

export interface ConnectionsOptions {
  readonly relation: string
  readonly queryTimeoutMs: number
  readonly statementTimeoutMs: number
  readonly namedStatements: boolean
  readonly runtime: Runtime
}

/** A connection that is ours until `done`, which gives it back, or closes it. */
interface Borrowed {
  readonly client: PostgresClient
  readonly done: (destroy?: boolean) => void
}

/** Sends one statement and waits for its answer, within the call's deadline. An answer beyond its bound is not read. */
export type Ask = (query: PostgresQuery, bound?: AnswerBound) => Promise<PostgresResult>

/** Statements over borrowed connections: each within its call's deadline, no connection ever returned in doubt. */
export class Connections {
  readonly tier: string
  readonly #opened: OpenedPool
  readonly #options: ConnectionsOptions
  readonly #givenUp: GivenUp
  readonly #limited = new WeakSet<object>()

  constructor(opened: OpenedPool, options: ConnectionsOptions) {
    this.tier = opened.tier
    this.#opened = opened
    this.#options = options
    this.#givenUp = new GivenUp(options.runtime, options.queryTimeoutMs)
  }

  call(operation: string, { isChange, isRepeatable }: Pick<Call, 'isChange' | 'isRepeatable'>): Call {
    const { runtime, queryTimeoutMs } = this.#options
    return { operation, isChange, isRepeatable, deadline: deadlineAfter(runtime, queryTimeoutMs) }
  }

  /** @throws StatementFailed */
  async run(
    call: Call,
    statement: Statement,
    values: readonly unknown[],
    bound: AnswerBound = boundOf(),
  ): Promise<PostgresResult> {
    let lost: StatementFailed | undefined
    for (let attempt = 1; ; attempt++)
      try {
        return await this.#runOnce(call, statement, values, bound)
      } catch (raised) {
        if (!(raised instanceof StatementFailed)) throw raised
        const { kind } = raised.fault
        const goesOn = kind === 'conflict' || raised.mayGoElsewhere || (kind === 'lost' && call.isRepeatable)
        // What was lost may have been done, however clearly a later attempt failed.
        if (!goesOn || attempt === ATTEMPTS) throw lost ?? raised
        if (kind === 'lost') lost ??= raised
      }
  }

  /** The error of a call that certainly changed nothing. */
  untouched({ operation, isChange }: Call, because: string, cause?: unknown): SessionStoreError {
    return tierUnavailable(this.tier, operation, {
      because,
      ...(cause === undefined ? {} : { cause, answered: isSessionStoreError(cause) && cause.answered }),
      ...(isChange ? { applied: 'no' as const } : {}),
    })
  }

  /**
   * The parameters that `make` makes of what the caller gave.
   *
   * @throws SessionStoreError `E_SESSION_DATA` when something in it has no place in a row, `E_SESSION_TOO_LARGE`
   */
  checked<Values>(call: Call, make: () => Values): Values {
    try {
      return make()
    } catch (cause) {
      const context = { ...call, tier: this.tier }
      if (cause instanceof DataTooLarge) throw tooLarge(cause, context)
      throw valueRefused(isError(cause) ? cause.message : 'unreadable', cause, context)
    }
  }

  async #runOnce(
    call: Call,
    statement: Statement,
    values: readonly unknown[],
    bound: AnswerBound,
  ): Promise<PostgresResult> {
    return this.borrow(call, async (ask, sending) => {
      const { namedStatements, statementTimeoutMs } = this.#options
      const { text, name, unfit } = statement
      const query = { text, values: [...values], types: VALUE_TYPES, ...(namedStatements ? { name } : {}) }
      const checked = (result: PostgresResult): PostgresResult => {
        const because = result.rows[0] === undefined ? undefined : unfit?.(result.rows[0])
        if (because !== undefined) throw new Unfit(because)
        return result
      }
      if (statementTimeoutMs === 0) {
        sending()
        return checked(await ask(query, bound))
      }
      // One simple query for both: the server takes no parameters for either, and they need no round trip each.
      await ask({ text: `begin; set local statement_timeout = ${statementTimeoutMs}` })
      const result = checked(await ask(query, bound))
      sending()
      await ask({ text: 'commit' })
      return result
    })
  }

  /**
   * Lends a connection to `work`, which says `sending()` before the step after which a lost answer leaves open
   * what happened. Any failure costs the connection, unless it was the server's answer to a lone statement that says
   * nothing of the connection itself. A statement that is given up is cancelled at the server.
   *
   * @throws StatementFailed
   */
  async borrow<Result>(call: Call, work: (ask: Ask, sending: () => void) => Promise<Result>): Promise<Result> {
    const { relation, statementTimeoutMs } = this.#options
    let wasSent = false
    const faultIn = (raised: unknown): Fault => faultOf(raised, { ...call, tier: this.tier, relation, wasSent })

    const { client, done } = await this.#checkOutFree(call).catch((raised) => {
      throw isSessionStoreError(raised) ? raised : new StatementFailed(faultIn(raised))
    })
    let underWay: Promise<PostgresResult> | undefined
    const meter = this.#opened.meterOf(client)
    const ask: Ask = async (query, bound = boundOf()) => {
      meter?.expect(bound)
      underWay = client.query(query)
      const result = await call.deadline.race(underWay)
      underWay = undefined
      return result
    }
    try {
      await this.#limit(client, ask)
      const result = await work(ask, () => {
        wasSent = true
      })
      done()
      return result
    } catch (raised) {
      if (isSessionStoreError(raised)) {
        done(true)
        throw raised
      }
      const fault = faultIn(meter?.unread ?? raised)
      if (fault.kind === 'late' && underWay !== undefined) this.#givenUp.take(client, underWay, done)
      else if (fault.blames === 'connection' && !this.#isYoung(client)) {
        this.#givenUp.dismiss(client, done)
        throw new StatementFailed(fault, true)
      } else done(ENDS.has(fault.kind) || statementTimeoutMs > 0 || !wasSent)
      throw new StatementFailed(fault)
    }
  }

  #isYoung(client: PostgresClient): boolean {
    const openedAt = this.#opened.openedAt(client)
    return openedAt !== undefined && this.#options.runtime.monotonicMs() - openedAt < YOUNG_MS
  }

  /** A new connection is told how long a statement may take, where nobody has told it. */
  async #limit(client: PostgresClient, ask: Ask): Promise<void> {
    const { limits } = this.#opened
    if (limits === undefined || this.#limited.has(client)) return
    this.#limited.add(client)
    await ask(limits(client))
  }

  /**
   * A connection on which no transaction is open. Somebody who shares the pool may have left one: a change in it would be
   * acknowledged, and rolled back with all else.
   */
  async #checkOutFree(call: Call): Promise<Borrowed> {
    for (let attempt = 1; ; attempt++) {
      const client = await this.#checkOut(call)
      // A connection that breaks while it is lent out has no listener but this one, and would end the process.
      const ignore = (): void => {}
      client.on('error', ignore)
      const done = (destroy?: boolean): void => {
        this.#opened.meterOf(client)?.expect()
        client.removeListener('error', ignore)
        client.release(destroy)
      }
      const status = client.getTransactionStatus?.()
      if (status !== 'T' && status !== 'E') return { client, done }
      this.#givenUp.dismiss(client, done)
      if (attempt === ATTEMPTS) throw new Unfit('somebody leaves transactions open on the connections of the pool')
    }
  }

  /** A connection that comes after the deadline goes back unused: its statement was already reported as not sent. */
  async #checkOut(call: Call): Promise<PostgresClient> {
    const pending = this.#opened.pool.connect()
    try {
      const client = await call.deadline.race(pending)
      if (!isClient(client)) throw noClient()
      return client
    } catch (raised) {
      if (raised instanceof DeadlinePassed)
        pending.then(
          (late) => late.release(),
          () => {},
        )
      throw raised
    }
  }

  /** A server that has gone silent is not waited for: a goodbye is a courtesy. */
  async close(): Promise<void> {
    const { runtime, queryTimeoutMs } = this.#options
    this.#givenUp.close()
    await deadlineAfter(runtime, queryTimeoutMs)
      .race(this.#opened.close())
      .catch((raised) => {
        if (!(raised instanceof DeadlinePassed)) throw raised
      })
  }
}
