import { told } from './words.js'

/** How long one step of the clean-up may take before the next one is tried. */
const STEP_DEADLINE_MS = 60_000

/**
 * Ends what was started, last first, once.
 *
 * A thing is entered before it starts: a Ctrl-C in the middle of a start waits for the start and ends it.
 */
export class CleanUp {
  readonly #steps: { readonly what: string; readonly end: () => Promise<unknown> }[] = []
  #running: Promise<void> | undefined

  /** Starts something that has an end. Rejects as `start` does, and when the clean-up has begun already. */
  async start<Thing>(
    what: string,
    start: () => Promise<Thing>,
    end: (thing: Thing) => Promise<unknown>,
  ): Promise<Thing> {
    if (this.#running !== undefined) throw new Error(`${what} was not started: the demo is ending`)
    const starting = start()
    // What never started has nothing to end; whoever asked for it is told below.
    this.#steps.push({ what, end: () => starting.then(end, () => undefined) })
    return await starting
  }

  /** Ends everything. Calling it again waits for the first call. Never rejects; what failed goes to `report`. */
  run(report: (line: string) => void): Promise<void> {
    this.#running ??= this.#end(report)
    return this.#running
  }

  get ending(): boolean {
    return this.#running !== undefined
  }

  async #end(report: (line: string) => void): Promise<void> {
    for (const { what, end } of this.#steps.reverse()) {
      let timer: NodeJS.Timeout | undefined
      const late = new Promise<never>((_, reject) => {
        timer = setTimeout(() => reject(new Error(`no end after ${STEP_DEADLINE_MS} ms`)), STEP_DEADLINE_MS)
      })
      try {
        await Promise.race([end(), late])
      } catch (error) {
        report(`${what} did not end as it should: ${told(error)}`)
      } finally {
        clearTimeout(timer)
      }
    }
  }
}
