import type { Clockwork, Owner } from './clockwork.js'
import type { Config } from './config.js'
import type { FaultCounts, FaultKind } from './faults.js'
import type { Lots } from './random.js'

/** What lies between the processes and the tiers: how long a message takes, and whether it comes at all. */
export class Network {
  /** Once healed, no message meets a fault of its own any more. */
  healed = false
  readonly #clock: Clockwork
  readonly #config: Config
  readonly #lots: Lots
  readonly #happened: FaultCounts
  /** When the latest message of each line will have arrived, to see one overtake another. */
  readonly #latest = new Map<string, number>()

  constructor(clock: Clockwork, config: Config, lots: Lots, happened: FaultCounts) {
    this.#clock = clock
    this.#config = config
    this.#lots = lots
    this.#happened = happened
  }

  /** Whether this message meets this fault; if so it is counted. */
  meets(kind: FaultKind): boolean {
    const does = !this.healed && this.#config.faults.has(kind) && this.#lots.happens(this.#config.noise)
    if (does) this.#happened[kind] += 1
    return does
  }

  /** How long a message is on its way. `slowMs`: what the far end adds. */
  delayMs(line: string, timeoutMs: number, slowMs: number): number {
    const usual = this.#lots.between(0.2, 2) + slowMs
    const delay = usual + (this.meets('message delayed') ? this.#lots.between(0, timeoutMs * 1.5) : 0)
    const arrivesAt = this.#clock.now + delay
    const latest = this.#latest.get(line) ?? 0
    // One line keeps its messages in order, unless this schedule's network does not.
    if (arrivesAt < latest) {
      if (!this.healed && this.#config.faults.has('message re-ordered')) this.#happened['message re-ordered'] += 1
      else return latest - this.#clock.now
    } else this.#latest.set(line, arrivesAt)
    return delay
  }

  deliver(delayMs: number, arrive: () => void, to?: Owner): void {
    this.#clock.after(delayMs, arrive, to)
  }
}
