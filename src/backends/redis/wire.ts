/** How the backend speaks to Redis, whichever client does the speaking. */

export type Argument = string | Buffer

/** One command, with its name first. */
export interface Command {
  readonly args: readonly Argument[]
  /** The key by which a cluster finds the node; `undefined` for a command that any node may answer. */
  readonly key: string | undefined
}

/** What one connection, or the connections to one cluster, can do. */
export interface Wire {
  /**
   * Resolves with the answer, its texts as buffers. Rejects with whatever the client raises.
   *
   * @param signal takes back a command that has not been sent yet; one that has been sent goes on
   */
  send(command: Command, signal: AbortSignal): Promise<unknown>

  /**
   * How many replicas have what this command changed, which was answered by this wire before: as soon as those are so many
   * as are asked for, and at the latest after the time-out.
   */
  copies(
    command: Command,
    wait: { readonly replicas: number; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<number>

  /** How many commands have been answered, with an error or without. */
  readonly answers: number
}

/** A wire that comes and goes. */
export interface Connection {
  /** The wire to send by. Rejects with what the client raised where there is none now. */
  ready(): Promise<Wire>

  /** A command by this wire was sent and not answered in time, and `answers` was so much when it was sent. */
  suspect(wire: Wire, answers: number): void

  /** Ends what was opened for it. Commands under way may be answered yet, until `patience` settles. */
  close(patience: (goodbye: Promise<unknown>) => Promise<unknown>): Promise<void>
}

/** A wire of which it is known how to send by it. */
export class CountingWire implements Wire {
  readonly #send: Wire['send']
  /** Sends a command by the very connection by which those with its key go. */
  readonly #sendBeside: Wire['send']
  #answers = 0

  constructor(send: Wire['send'], sendBeside: Wire['send'] = send) {
    this.#send = send
    this.#sendBeside = sendBeside
  }

  get answers(): number {
    return this.#answers
  }

  async send(command: Command, signal: AbortSignal): Promise<unknown> {
    try {
      return await this.#send(command, signal)
    } finally {
      this.#answers += 1
    }
  }

  async copies(
    { key }: Command,
    { replicas, timeoutMs }: { readonly replicas: number; readonly timeoutMs: number },
    signal: AbortSignal,
  ): Promise<number> {
    return Number(await this.#sendBeside({ key, args: ['WAIT', String(replicas), String(timeoutMs)] }, signal))
  }
}
