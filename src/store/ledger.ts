import { LRUCache } from 'lru-cache'
import type { Locator } from '../contract/locator.js'
import type { EpochMs, Runtime } from '../contract/time.js'

/**
 * The sessions whose newest acknowledged write stands in the cache only, as far as this process knows, in the
 * order in which their time is up. Bounded: what falls out is flushed, not forgotten.
 */
export interface Ledger {
  /**
   * A write was acknowledged that the backend does not have. The oldest such write sets the time. `sinceMs`, by the
   * monotonic clock: since when that is so, if not since now; for what is noted again after a flush that failed.
   */
  note(locator: Locator, version: number, sinceMs?: number): void
  /** The backend has this version; a newer one that was noted stays noted. */
  forget(key: string, version: number): void
  readonly size: number
  has(key: string): boolean
  /** Since when the one has been in it that was noted first, by the monotonic clock; `undefined` if it is empty. */
  oldestSinceMs(): number | undefined
  /**
   * Everything in it, and from the first time on nothing is flushed by itself any more. It all stays in it until it
   * is forgotten.
   */
  drain(): readonly Noted[]
}

export interface Noted {
  readonly locator: Locator
  readonly version: number
}

export interface LedgerOptions {
  readonly runtime: Runtime
  readonly maxStaleMs: number
  readonly maxEntries: number
  /** `sinceMs`: as `note` was told. */
  readonly flush: (locator: Locator, sinceMs: number) => void
}

interface Entry {
  readonly locator: Locator
  readonly dueAt: EpochMs
  /** The newest one noted. */
  version: number
  sinceMs: number
}

export const ledger = ({ runtime, maxStaleMs, maxEntries, flush }: LedgerOptions): Ledger => {
  let draining = false
  let armed: (() => void) | undefined

  // Entries are only peeked at, so the order of recent use stays the order in which their time is up.
  const entries = new LRUCache<string, Entry>({
    max: maxEntries,
    dispose: (entry, _key, reason) => {
      if (reason === 'evict') flush(entry.locator, entry.sinceMs)
    },
  })
  const arm = (): void => {
    if (armed !== undefined || draining) return
    const oldest = entries.rvalues().next()
    if (oldest.done === true || oldest.value === undefined) return
    armed = runtime.after(Math.max(0, oldest.value.dueAt - runtime.now()), () => {
      armed = undefined
      flushDue()
      arm()
    })
  }
  const flushDue = (): void => {
    const now = runtime.now()
    const due: Entry[] = []
    for (const entry of entries.rvalues()) {
      if (entry === undefined || entry.dueAt > now) break
      due.push(entry)
    }
    for (const { locator, sinceMs } of due) {
      entries.delete(locator.key)
      flush(locator, sinceMs)
    }
  }

  return {
    note: (locator, version, sinceMs = runtime.monotonicMs()) => {
      const known = entries.peek(locator.key)
      if (known === undefined)
        entries.set(locator.key, { locator, dueAt: runtime.now() + maxStaleMs, version, sinceMs })
      else {
        // The older write's time comes first, and takes this one along.
        known.version = Math.max(known.version, version)
        known.sinceMs = Math.min(known.sinceMs, sinceMs)
      }
      arm()
    },
    forget: (key, version) => {
      const known = entries.peek(key)
      if (known !== undefined && known.version <= version) entries.delete(key)
    },
    get size() {
      return entries.size
    },
    has: (key) => entries.has(key),
    oldestSinceMs: () => {
      // Not the first one in line: what is noted again after a failed flush goes to the end with its old moment.
      let oldest: number | undefined
      for (const entry of entries.values()) oldest = Math.min(oldest ?? entry.sinceMs, entry.sinceMs)
      return oldest
    },
    drain: () => {
      draining = true
      armed?.()
      armed = undefined
      return [...entries.values()].map(({ locator, version }) => ({ locator, version }))
    },
  }
}
