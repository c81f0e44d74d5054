import type { Locator } from '../../contract/locator.js'
import type { Runtime } from '../../contract/time.js'
import { retrying, type Tried } from './retrying.js'

/**
 * The sessions whose newest acknowledged write stands in the cache only, as far as this process knows. Bounded: what
 * falls out is flushed, not forgotten.
 */
export interface Ledger {
  /** A write was acknowledged that the backend does not have. The oldest such write sets the time. */
  note(locator: Locator, version: number): void
  /** The flush of a write is due, and the backend could not be asked: it is tried again after a pause that grows. */
  owe(locator: Locator, version: number): void
  /**
   * The same for a flush that this ledger, or a reader, began. Tells whether this is the first time that the session
   * meets such a fault since it was flushed last.
   */
  failed(noted: Noted, fault: FlushFault): boolean
  /** The backend has this version; a newer one that was noted stays noted. */
  forget(key: string, version: number): void
  readonly size: number
  /** How many were owed and are no longer kept in mind, for want of room. */
  readonly abandoned: number
  has(key: string): boolean
  /** It is in it, and its last flush failed. */
  hasFailed(key: string): boolean
  /** Since when the one has been unflushed that was noted first, by the monotonic clock; `undefined` if it is empty. */
  oldestSinceMs(): number | undefined
  /**
   * Everything in it, and from the first time on nothing is flushed by itself any more. It all stays in it until it
   * is forgotten.
   */
  drain(): readonly Noted[]
}

/** A session with a write that is not in the backend. */
export interface Noted {
  readonly locator: Locator
  /** The newest one that is known of. */
  readonly version: number
  /** Since when it is unflushed, by the monotonic clock. */
  readonly sinceMs: number
  /** The faults that its flushes met, but for outages. */
  readonly met?: ReadonlySet<FlushFault>
}

/** What a flush met. */
export type FlushFault =
  /** A tier could not be asked. It is tried again. */
  | 'unavailable'
  /** Anything else that may pass, such as a missing table. It is tried again, and holds up none of the former. */
  | 'failed'
  /** Nobody here can ever flush the session as it stands. It waits for the next write, and is counted meanwhile. */
  | 'hopeless'

export interface LedgerOptions {
  readonly runtime: Runtime
  readonly maxStaleMs: number
  /** Of sessions whose time has not come, and of those whose flush met a fault of each kind. */
  readonly maxEntries: number
  /** Never rejects. Where it fails, it has told this ledger so. */
  readonly flush: (noted: Noted) => Promise<Tried>
  /** One is owed for which there is no room: it is left to whoever reads the session next. */
  readonly abandon: () => void
}

interface Entry extends Noted {
  version: number
}

interface Waiting extends Entry {
  /** By the monotonic clock. */
  readonly dueAtMs: number
}

const NONE: ReadonlySet<FlushFault> = new Set()

export const ledger = ({ runtime, maxStaleMs, maxEntries, flush, abandon }: LedgerOptions): Ledger => {
  let draining = false
  let armed: (() => void) | undefined
  let abandoned = 0

  /** In the order in which their time is up, as each is put in when it begins to wait. */
  const waiting = new Map<string, Waiting>()
  const owed = { unavailable: retrying<Entry>(runtime, flush), failed: retrying<Entry>(runtime, flush) }
  const hopeless = new Map<string, Entry>()

  const wait = (entry: Entry): void => {
    const oldest = waiting.size < maxEntries ? undefined : firstOf(waiting)
    if (oldest !== undefined) {
      waiting.delete(oldest.locator.key)
      void flush(oldest)
    }
    waiting.set(entry.locator.key, { ...entry, dueAtMs: runtime.monotonicMs() + maxStaleMs })
    arm()
  }
  const arm = (): void => {
    if (armed !== undefined || draining) return
    const oldest = firstOf(waiting)
    if (oldest === undefined) return
    armed = runtime.after(Math.max(0, oldest.dueAtMs - runtime.monotonicMs()), () => {
      armed = undefined
      flushDue()
      arm()
    })
  }
  const flushDue = (): void => {
    const nowMs = runtime.monotonicMs()
    const due: Waiting[] = []
    for (const entry of waiting.values()) {
      if (entry.dueAtMs > nowMs) break
      due.push(entry)
    }
    for (const entry of due) {
      waiting.delete(entry.locator.key)
      void flush(entry)
    }
  }

  const toBeFlushed = (key: string): Entry | undefined =>
    waiting.get(key) ?? owed.unavailable.entries.get(key) ?? owed.failed.entries.get(key)
  const find = (key: string): Entry | undefined => toBeFlushed(key) ?? hopeless.get(key)
  const remove = (key: string): void => {
    waiting.delete(key)
    owed.unavailable.delete(key)
    owed.failed.delete(key)
    hopeless.delete(key)
  }
  const all = function* (): Generator<Entry> {
    yield* owed.unavailable.entries.values()
    yield* owed.failed.entries.values()
    yield* hopeless.values()
    yield* waiting.values()
  }
  const makeRoomIn = (entries: ReadonlyMap<string, Entry>): void => {
    const oldest = firstOf(entries)
    if (oldest === undefined || entries.size < maxEntries) return
    remove(oldest.locator.key)
    abandoned += 1
    abandon()
  }

  const failed = ({ locator, version, sinceMs, met = NONE }: Noted, fault: FlushFault): boolean => {
    const { key } = locator
    const known = find(key)
    const isNews = fault !== 'unavailable' && !met.has(fault)
    const entry: Entry = {
      locator,
      version: Math.max(version, known?.version ?? 0),
      sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
      met: isNews ? new Set([...met, fault]) : met,
    }
    // What was written while the flush was under way may well be possible to flush.
    const isOutdated = known !== undefined && known.version > version
    remove(key)
    if (fault === 'hopeless' && isOutdated) wait(entry)
    else if (fault === 'hopeless') {
      makeRoomIn(hopeless)
      hopeless.set(key, entry)
    } else {
      makeRoomIn(owed[fault].entries)
      owed[fault].add(entry)
    }
    return isNews
  }

  return {
    note: (locator, version) => {
      const { key } = locator
      const known = toBeFlushed(key)
      // The older write's time comes first, and takes this one along.
      if (known !== undefined) known.version = Math.max(known.version, version)
      else {
        const before = hopeless.get(key)
        hopeless.delete(key)
        wait({ sinceMs: runtime.monotonicMs(), ...before, locator, version })
      }
    },
    owe: (locator, version) => {
      failed({ locator, version, sinceMs: runtime.monotonicMs() }, 'unavailable')
    },
    failed,
    forget: (key, version) => {
      const known = find(key)
      if (known !== undefined && known.version <= version) remove(key)
    },
    get size() {
      return waiting.size + owed.unavailable.entries.size + owed.failed.entries.size + hopeless.size
    },
    get abandoned() {
      return abandoned
    },
    has: (key) => find(key) !== undefined,
    hasFailed: (key) => find(key) !== undefined && !waiting.has(key),
    oldestSinceMs: () => {
      let oldest: number | undefined
      for (const { sinceMs } of all()) oldest = Math.min(oldest ?? sinceMs, sinceMs)
      return oldest
    },
    drain: () => {
      draining = true
      armed?.()
      armed = undefined
      owed.unavailable.stop()
      owed.failed.stop()
      return [...all()].map(({ locator, version, sinceMs }) => ({ locator, version, sinceMs }))
    },
  }
}

/** What was put in first. */
const firstOf = <Value>(entries: ReadonlyMap<string, Value>): Value | undefined => entries.values().next().value
