import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, type SessionStoreError, tierUnavailable } from '../../errors.js'
import { type Deadline, DeadlinePassed, deadlineAfter } from './deadline.js'
import { type Fault, faultOf, valueRefused } from './faults.js'
import type { OpenedPool, PostgresClient, PostgresResult } from './pool.js'

export interface Statement {
  readonly text: string
  /** Under which the server may keep it parsed. */
  readonly name: string
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
  constructor(fault: Fault) {
    super(fault.error.message, { cause: fault.error })
    this.fault = fault
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

export interface ConnectionsOptions {
  readonly relation: string
  readonly queryTimeoutMs: number
  readonly statementTimeoutMs: number
  readonly namedStatements: boolean
  readonly runtime: Runtime
}

/** Statements over borrowed connections: each within its call's deadline, no connection ever returned in doubt. */
export class Connections {
  readonly tier: string
  readonly #opened: OpenedPool
  readonly #options: ConnectionsOptions

  constructor(opened: OpenedPool, options: ConnectionsOptions) {
    this.tier = opened.tier
    this.#opened = opened
    this.#options = options
  }

  call(operation: string, { isChange, isRepeatable }: Pick<Call, 'isChange' | 'isRepeatable'>): Call {
    const { runtime, queryTimeoutMs } = this.#options
    return { operation, isChange, isRepeatable, deadline: deadlineAfter(runtime, queryTimeoutMs) }
  }

  /** @throws StatementFailed */
  async run(call: Call, statement: Statement, values: readonly unknown[]): Promise<PostgresResult> {
    let lost: StatementFailed | undefined
    for (let attempt = 1; ; attempt++)
      try {
        return await this.#runOnce(call, statement, values)
      } catch (raised) {
        if (!(raised instanceof StatementFailed)) throw raised
        const { kind } = raised.fault
        const goesOn = kind === 'conflict' || (kind === 'lost' && call.isRepeatable)
        // What was lost may have been done, however clearly a later attempt failed.
        if (!goesOn || attempt === ATTEMPTS) throw lost ?? raised
        if (kind === 'lost') lost ??= raised
      }
  }

  /** The error of a call that certainly changed nothing. */
  untouched({ operation, isChange }: Call, because: string, cause?: unknown): SessionStoreError {
    return tierUnavailable(this.tier, operation, {
      because,
      ...(cause === undefined ? {} : { cause }),
      ...(isChange ? { applied: 'no' as const } : {}),
    })
  }

  /**
   * The parameters that `make` makes of what the caller gave.
   *
   * @throws SessionStoreError `E_SESSION_DATA` when something in it has no place in a row
   */
  checked<Values>(call: Call, make: () => Values): Values {
    try {
      return make()
    } catch (cause) {
      throw valueRefused(cause instanceof Error ? cause.message : 'unreadable', cause, { ...call, tier: this.tier })
    }
  }

  async #runOnce(call: Call, statement: Statement, values: readonly unknown[]): Promise<PostgresResult> {
    return this.borrow(call, async (client, sending) => {
      const { namedStatements, statementTimeoutMs } = this.#options
      const { text, name } = statement
      const query = { text, values: [...values], ...(namedStatements ? { name } : {}) }
      if (statementTimeoutMs === 0) {
        sending()
        return call.deadline.race(client.query(query))
      }
      // One simple query for both: the server takes no parameters for either, and they need no round trip each.
      await call.deadline.race(client.query({ text: `begin; set local statement_timeout = ${statementTimeoutMs}` }))
      const result = await call.deadline.race(client.query(query))
      sending()
      await call.deadline.race(client.query({ text: 'commit' }))
      return result
    })
  }

  /**
   * Lends a connection to `work`, which says `sending()` before the step after which a lost answer leaves open
   * what happened. Any failure costs the connection, unless it was the server's answer to a lone statement.
   *
   * @throws StatementFailed
   */
  async borrow<Result>(
    call: Call,
    work: (client: PostgresClient, sending: () => void) => Promise<Result>,
  ): Promise<Result> {
    const { relation, statementTimeoutMs } = this.#options
    let wasSent = false
    const failed = (raised: unknown): StatementFailed =>
      new StatementFailed(faultOf(raised, { ...call, tier: this.tier, relation, wasSent }))

    const client = await this.#checkOut(call).catch((raised) => {
      throw failed(raised)
    })
    // A connection that breaks while it is lent out has no listener but this one, and would end the process.
    const ignore = (): void => {}
    client.on('error', ignore)
    try {
      const result = await work(client, () => {
        wasSent = true
      })
      client.release()
      return result
    } catch (raised) {
      if (isSessionStoreError(raised)) {
        client.release(true)
        throw raised
      }
      const failure = failed(raised)
      const { kind } = failure.fault
      const inDoubt = kind === 'lost' || kind === 'late' || statementTimeoutMs > 0 || !wasSent
      client.release(inDoubt)
      throw failure
    } finally {
      client.removeListener('error', ignore)
    }
  }

  /** A connection that comes after the deadline goes back unused: its statement was already reported as not sent. */
  async #checkOut(call: Call): Promise<PostgresClient> {
    const pending = this.#opened.pool.connect()
    try {
      return await call.deadline.race(pending)
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
    await deadlineAfter(runtime, queryTimeoutMs)
      .race(this.#opened.close())
      .catch((raised) => {
        if (!(raised instanceof DeadlinePassed)) throw raised
      })
  }
}
