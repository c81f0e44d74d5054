export type ScriptedCommand =
  | 'get'
  | 'getk'
  | 'gat'
  | 'set'
  | 'add'
  | 'replace'
  | 'delete'
  | 'increment'
  | 'touch'
  | 'flush'
  | 'version'
  | 'noop'
  | 'stat'
  | 'quit'
  | 'sasl-mechanisms'
  | 'sasl-authenticate'
  | 'unknown'

/** What goes wrong with a command. Where nothing else is said it is carried out, and then: */
export type ScriptedFault =
  /** Not carried out; neither this command nor any later one of its connection is answered. */
  | { readonly kind: 'hang' }
  /**
   * Nothing of its connection is carried out or read from here on, until `resume`, which then carries it all out,
   * also when the client has long gone: as a process does that was stopped, or cut off for a while.
   */
  | { readonly kind: 'stall' }
  /** The answer to this one is lost; later ones are answered. */
  | { readonly kind: 'lose-answer' }
  /** The answer comes late; the answers behind it overtake it. Milliseconds. */
  | { readonly kind: 'delay'; readonly ms: number }
  /** Instead of the answer the connection is closed, politely or by a reset. @default carryOut true */
  | { readonly kind: 'fin' | 'reset'; readonly carryOut?: boolean }
  /** Only the first bytes of the answer are sent; then the connection is closed, reset or left hanging. */
  | { readonly kind: 'cut'; readonly afterBytes: number; readonly then: 'fin' | 'reset' | 'hang' }
  /** These bytes are sent instead of the answer. */
  | { readonly kind: 'garbage'; readonly bytes: Uint8Array }
  /** What is sent is made from what would have been. */
  | { readonly kind: 'tamper'; readonly change: (answer: Uint8Array) => Uint8Array }
  /** A GETK is answered as it should be, but with another key of the same length in it. */
  | { readonly kind: 'wrong-key' }
  /** Not carried out; answered with this status. */
  | { readonly kind: 'status'; readonly status: number }

export interface FaultScope {
  /** Only these commands. @default all */
  readonly on?: ScriptedCommand | readonly ScriptedCommand[]
  /** So many of them go well first. @default 0 */
  readonly after?: number
  /** So many of them are hit, then it is over. @default all */
  readonly times?: number
}

/** The faults of a scripted server; they may be switched while it runs, and hold for commands that come then. */
export class ScriptedFaults {
  #scripts: { fault: ScriptedFault; on: readonly ScriptedCommand[] | undefined; after: number; times: number }[] = []

  add(fault: ScriptedFault, { on, after = 0, times = Number.POSITIVE_INFINITY }: FaultScope = {}): void {
    this.#scripts.push({ fault, on: typeof on === 'string' ? [on] : on, after, times })
  }

  clear(): void {
    this.#scripts = []
  }

  /** The server's question, once per command: what goes wrong with this one? The first script that fits. */
  next(command: ScriptedCommand): ScriptedFault | undefined {
    for (const script of this.#scripts) {
      if (script.times === 0 || script.on?.includes(command) === false) continue
      if (script.after > 0) {
        script.after -= 1
        continue
      }
      script.times -= 1
      return script.fault
    }
    return undefined
  }
}
