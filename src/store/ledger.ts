import { LRUCache } from 'lru-cache'
import type { Locator } from '../contract/locator.js'
import type { EpochMs, Runtime } from '../contract/time.js'

/**
 * The sessions whose newest acknowledged write stands in the cache only, as far as this process knows, in the
 * order in which their time is up. Bounded: what falls out is flushed, not forgotten.
 */
export interface Ledger {
  /** A write was acknowledged that the backend does not have. The oldest such write sets the time. */
  note(locator: Locator, version: number): void
  /** The backend has this version; a newer one that was noted stays noted. */
  forget(key: string, version: number): void
  readonly size: number
  /** Everything in it; what it is told while being drained is kept, but no longer flushed by itself. */
  drain(): readonly Locator[]
}

export interface LedgerOptions {
  readonly runtime: Runtime
  readonly maxStaleMs: number
  readonly maxEntries: number
  readonly flush: (locator: Locator) => void
}

interface Entry {
  readonly locator: Locator
  readonly dueAt: EpochMs
  /** The newest one noted. */
  version: number
}

export const ledger = ({ runtime, maxStaleMs, maxEntries, flush }: LedgerOptions): Ledger => {
  let draining = false
  let armed: (() => void) | undefined

  // Entries are only peeked at, so the order of recent use stays the order in which their time is up.
  const entries = new LRUCache<string, Entry>({
    max: maxEntries,
    dispose: (entry, _key, reason) => {
      if (reason === 'evict') flush(entry.locator)
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
    for (const { locator } of due) {
      entries.delete(locator.key)
      flush(locator)
    }
  }

  return {
    note: (locator, version) => {
      const known = entries.peek(locator.key)
      // The older write's time comes first, and takes this one along.
      if (known !== undefined) known.version = Math.max(known.version, version)
      else entries.set(locator.key, { locator, dueAt: runtime.now() + maxStaleMs, version })
      arm()
    },
    forget: (key, version) => {
      const known = entries.peek(key)
      if (known !== undefined && known.version <= version) entries.delete(key)
    },
    get size() {
      return entries.size
    },
    drain: () => {
      draining = true
      armed?.()
      armed = undefined
      const locators = [...entries.values()].map(({ locator }) => locator)
      entries.clear()
      return locators
    },
  }
}
