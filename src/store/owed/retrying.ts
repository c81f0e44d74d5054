import type { Runtime } from '../../contract/time.js'
import { type Pauses, pauseAfter } from '../../tools/waiting.js'

/** How a flush ended that was tried again. */
export type Tried = 'flushed' | 'nothing to do' | 'failed'

/** The sessions whose flush was due and failed. They are tried again after pauses that grow. */
export interface Retrying<Entry extends { readonly key: string }> {
  readonly entries: ReadonlyMap<string, Entry>
  /** Puts an entry behind all others. */
  add(entry: Entry): void
  delete(key: string): void
  /** From now on nothing is tried by itself any more. */
  stop(): void
}

const PAUSES: Pauses = { firstMs: 500, longestMs: 2_000 }
/**
 * How many entries are tried first. The others are tried when one of these was flushed. There are several because not
 * all sessions are on one cache server.
 */
const CANARIES = 16

/**
 * @param flush flushes an entry, which was taken out of `entries` for it. Where that fails, `flush` adds the entry
 *   again. Never rejects.
 */
export const retrying = <Entry extends { readonly key: string }>(
  runtime: Runtime,
  flush: (entry: Entry) => Promise<Tried>,
): Retrying<Entry> => {
  /** The entries, the one that was tried the longest time ago first. */
  const entries = new Map<string, Entry>()
  let armed: (() => void) | undefined
  /** How many tries in a row have failed, counting the one that brought the first entry here. */
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
      entries.delete(entry.key)
      return flush(entry)
    })

  return {
    entries,
    add: (entry) => {
      entries.set(entry.key, entry)
      arm()
    },
    delete: (key) => void entries.delete(key),
    stop: () => {
      stopped = true
      armed?.()
    },
  }
}
