import { setMaxListeners } from 'node:events'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, tierUnavailable } from '../../errors.js'
import { type Deadline, deadlineAfter } from '../../tools/deadline.js'
import { sleep } from '../../tools/waiting.js'
import {
  CommandFailed,
  type Fault,
  type FaultContext,
  faultOf,
  lateFault,
  oddAnswer,
  tooFewReplicas,
} from './faults.js'
import type { RedisFunction } from './functions.js'
import type { WaitOptions } from './options.js'
import type { Argument, Command, Connection } from './wire.js'

/** One call of the contract, from the first of its commands to the last. */
export interface Call {
  /** The contract's word for it, for messages. */
  readonly operation: string
  readonly isChange: boolean
  /** What it changes must outlive the server, so that replicas are waited for where `wait` asks for that. */
  readonly isLasting: boolean
  readonly deadline: Deadline
}

/** What a call does with what it finds. */
export type Manner = 'reads' | 'changes' | 'changes for good'

/** A function, and what it is given. */
export interface Run {
  readonly function: RedisFunction
  readonly keys: readonly string[]
  readonly args: readonly Argument[]
}

/** How a command ended. */
export type Settled = { readonly reply: unknown } | { readonly fault: Fault }

/** How long a command is left alone whose slot is being moved, in ms. */
const MOVING_PAUSE_MS = 20

/** Of a command: whether it went out, and whether it is answered. */
interface Fate {
  wasSent: boolean
  settled: Settled | undefined
}

export interface CallsOptions {
  readonly tier: string
  readonly queryTimeoutMs: number
  readonly wait: WaitOptions | undefined
  readonly runtime: Runtime
}

/** Commands of calls, each within its call's time. What could not be sent by then never is, where the client allows that. */
export class Calls {
  readonly #options: CallsOptions
  readonly #reader: Connection
  /** Another connection where changes wait for replicas: whoever waits holds up what comes behind him. */
  readonly #writer: Connection

  constructor(options: CallsOptions, reader: Connection, writer: Connection) {
    this.#options = options
    this.#reader = reader
    this.#writer = writer
  }

  get tier(): string {
    return this.#options.tier
  }

  call(operation: string, manner: Manner): Call {
    const { runtime, queryTimeoutMs } = this.#options
    return {
      operation,
      isChange: manner !== 'reads',
      isLasting: manner === 'changes for good',
      deadline: deadlineAfter(runtime, queryTimeoutMs),
    }
  }

  contextOf({ operation, isChange }: Call, wasSent: boolean): FaultContext {
    return { tier: this.tier, operation, isChange, wasSent }
  }

  /** @throws CommandFailed */
  async ask(call: Call, key: string | undefined, ...args: readonly Argument[]): Promise<unknown> {
    const [reply] = await this.askAll(call, [{ key, args }])
    return reply
  }

  /**
   * The answers, in the order of the commands, which are sent at once.
   *
   * @throws CommandFailed of the first command that failed
   */
  async askAll(call: Call, commands: readonly Command[]): Promise<readonly unknown[]> {
    return this.#settle(
      call,
      commands.map((command) => (signal, fate) => this.#send(call, command, signal, fate)),
    ).then(repliesOf)
  }

  /** @throws CommandFailed */
  async run(call: Call, run: Run): Promise<unknown> {
    const [reply] = await this.runAll(call, [run])
    return reply
  }

  /** @throws CommandFailed of the first function that failed */
  async runAll(call: Call, runs: readonly Run[]): Promise<readonly unknown[]> {
    return repliesOf(await this.tryAll(call, runs))
  }

  /** How each function ended, in the order given. */
  async tryAll(call: Call, runs: readonly Run[]): Promise<readonly Settled[]> {
    return this.#settle(
      call,
      runs.map((run) => (signal, fate) => this.#run(call, run, signal, fate)),
    )
  }

  /** The error of a call that certainly changed nothing. */
  untouched({ operation, isChange }: Call, because: string): CommandFailed {
    const error = tierUnavailable(this.tier, operation, { because, ...(isChange ? { applied: 'no' as const } : {}) })
    return new CommandFailed({ kind: 'refused', error })
  }

  /** The error of an answer that this program cannot read. */
  odd(call: Call): CommandFailed {
    return new CommandFailed(oddAnswer(this.contextOf(call, true)))
  }

  async close(): Promise<void> {
    const { runtime, queryTimeoutMs } = this.#options
    const patience = (goodbye: Promise<unknown>): Promise<unknown> =>
      deadlineAfter(runtime, queryTimeoutMs).settles(goodbye)
    await Promise.all([...new Set([this.#reader, this.#writer])].map((connection) => connection.close(patience)))
  }

  async #settle(
    call: Call,
    work: readonly ((signal: AbortSignal, fate: Fate) => Promise<Settled>)[],
  ): Promise<readonly Settled[]> {
    const controller = new AbortController()
    // Each command listens to the signal until it is sent, and there may be hundreds.
    setMaxListeners(0, controller.signal)
    const fates = work.map((each) => {
      const fate: Fate = { wasSent: false, settled: undefined }
      const done = each(controller.signal, fate).then((settled) => {
        fate.settled = settled
      })
      return { fate, done }
    })
    if (!(await call.deadline.settles(Promise.all(fates.map(({ done }) => done))))) {
      controller.abort()
      // What is taken back now says so in this turn of the event loop.
      await new Promise((resolve) => setImmediate(resolve))
    }
    return fates.map(({ fate }) => fate.settled ?? { fault: lateFault(this.contextOf(call, fate.wasSent)) })
  }

  /** By its hash; by its text where the server does not know it. Where changes wait for replicas, it waits for them. */
  async #run(
    call: Call,
    { function: { sha1, text }, keys, args }: Run,
    signal: AbortSignal,
    fate: Fate,
  ): Promise<Settled> {
    const rest = [String(keys.length), ...keys, ...args]
    const [key] = keys
    const settled = await this.#send(call, { key, args: ['EVALSHA', sha1, ...rest] }, signal, fate)
    if (!('fault' in settled) || settled.fault.kind !== 'unknown-function') return settled
    return this.#send(call, { key, args: ['EVAL', text, ...rest] }, signal, fate)
  }

  async #send(call: Call, command: Command, signal: AbortSignal, fate: Fate): Promise<Settled> {
    for (;;) {
      const settled = await this.#sendOnce(call, command, signal, fate)
      if (!('fault' in settled) || settled.fault.kind !== 'moving' || signal.aborted) return settled
      // A last attempt right before the deadline could be on its way when that passes, and nobody would know of it.
      if (call.deadline.leftMs() < 2 * MOVING_PAUSE_MS) return settled
      fate.wasSent = false
      await sleep(this.#options.runtime, MOVING_PAUSE_MS)
    }
  }

  async #sendOnce(call: Call, command: Command, signal: AbortSignal, fate: Fate): Promise<Settled> {
    const { wait, runtime, queryTimeoutMs } = this.#options
    const connection = call.isChange ? this.#writer : this.#reader
    fate.wasSent = false
    try {
      const wire = await connection.ready()
      if (signal.aborted) return { fault: lateFault(this.contextOf(call, false)) }
      fate.wasSent = true
      const { answers } = wire
      const sentAtMs = runtime.monotonicMs()
      const forget = runtime.after(call.deadline.leftMs(), () => {
        // Who was sent late in its call says nothing of the server, and what is there to be read is read first.
        if (runtime.monotonicMs() - sentAtMs >= queryTimeoutMs / 2)
          setImmediate(() => connection.suspect(wire, answers))
      })
      try {
        const reply = await wire.send(command, signal)
        if (!call.isLasting || wait === undefined) return { reply }
        const replicas = await wire.copies(command, wait, signal)
        return replicas >= wait.replicas
          ? { reply }
          : { fault: tooFewReplicas(this.contextOf(call, true), replicas, wait.replicas) }
      } finally {
        forget()
      }
    } catch (raised) {
      // The package of the client is not installed.
      if (isSessionStoreError(raised)) return { fault: { kind: 'unreachable', error: raised } }
      return { fault: faultOf(raised, this.contextOf(call, fate.wasSent)) }
    }
  }
}

const repliesOf = (settled: readonly Settled[]): readonly unknown[] =>
  settled.map((each) => {
    if ('fault' in each) throw new CommandFailed(each.fault)
    return each.reply
  })
