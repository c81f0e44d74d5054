import type { Locator } from '../../contract/locator.js'
import type { Runtime } from '../../contract/time.js'
import { type Pauses, pauseAfter } from '../../tools/waiting.js'

/** What became of a flush that was tried again. */
export type Tried = 'flushed' | 'nothing to do' | 'failed'

/** Sessions whose flush was due and could not be done. They are tried again after pauses that grow. */
export interface Retrying<Entry extends { readonly locator: Locator }> {
  readonly entries: ReadonlyMap<string, Entry>
  /** Behind all others. */
  add(entry: Entry): void
  delete(key: string): void
  /** Nothing is tried by itself any more. */
  stop(): void
}

const PAUSES: Pauses = { firstMs: 500, longestMs: 2_000 }
/** So many are tried first; the others when one of them was flushed. They need not all be on one cache server. */
const CANARIES = 16

/** @param flush takes over an entry, which is out of `entries` then; adds it again where it failed; never rejects */
export const retrying = <Entry extends { readonly locator: Locator }>(
  runtime: Runtime,
  flush: (entry: Entry) => Promise<Tried>,
): Retrying<Entry> => {
  /** The longest untried first. */
  const entries = new Map<string, Entry>()
  let armed: (() => void) | undefined
  /** How many tries in a row have failed, with the one that brought the first entry here. */
  let failures = 1
  let stopped = false

  const arm = (): void => {
    if (armed !== undefined || stopped || entries.size === 0) return
    armed = runtime.after(pauseAfter(runtime, PAUSES, failures), () => void retry())
  }
  const retry = async (): Promise<void> => {
    const tried = await Promise.all(flushNext(CANARIES))
    const isWell = tried.includes('flushed') || !tried.includes('failed')
    failures = isWell ? 1 : failures + 1
    armed = undefined
    if (isWell && !stopped) void Promise.all(flushNext(entries.size))
    arm()
  }
  const flushNext = (count: number): Promise<Tried>[] =>
    [...entries.values()].slice(0, count).map((entry) => {
      entries.delete(entry.locator.key)
      return flush(entry)
    })

  return {
    entries,
    add: (entry) => {
      entries.set(entry.locator.key, entry)
      arm()
    },
    delete: (key) => void entries.delete(key),
    stop: () => {
      stopped = true
      armed?.()
    },
  }
}
