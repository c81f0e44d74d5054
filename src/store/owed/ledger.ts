import type { Locator } from '../../contract/locator.js'
import type { Runtime } from '../../contract/time.js'
import { retrying, type Tried } from './retrying.js'

/**
 * The sessions whose newest acknowledged write stands in the cache only, as far as this process knows. The ledger is
 * bounded. Where it is full, the session that waits for the longest time is flushed at once; of those whose flush
 * failed, the oldest is left to its next reader.
 */
export interface Ledger {
  /**
   * Notes a write that was acknowledged and that the backend does not have. A session is due `maxStaleMs` after the
   * oldest such write.
   */
  note(locator: Locator, version: number): void
  /**
   * Notes a write whose flush is due and failed, as the backend could not be asked. It is tried again after pauses that
   * grow.
   */
  owe(locator: Locator, version: number): void
  /**
   * The same for a flush that this ledger or a reader began, and for any fault. Tells whether the session meets such a
   * fault for the first time since it was last flushed.
   */
  failed(noted: Noted, fault: FlushFault): boolean
  /** Forgets a session that is in the backend at this version. If a newer version was noted, that stays noted. */
  forget(key: string, version: number): void
  readonly size: number
  /** How many sessions were owed and are no longer in the ledger, as it had no room for them. */
  readonly abandoned: number
  has(key: string): boolean
  /** Whether a session is in the ledger and its last flush failed. */
  hasFailed(key: string): boolean
  /**
   * Since when the session that was noted first has been unflushed, by the monotonic clock; `undefined` if the ledger
   * is empty.
   */
  oldestSinceMs(): number | undefined
  /**
   * Gives everything in the ledger, which stays in it until it is forgotten. From the first call on nothing is flushed
   * by itself any more.
   */
  drain(): readonly Noted[]
}

/** A session with a write that is not in the backend. */
export interface Noted {
  readonly locator: Locator
  /** The newest version that this process knows of. */
  readonly version: number
  /** Since when the session has been unflushed, by the monotonic clock. */
  readonly sinceMs: number
  /** The faults that its flushes met. Outages are left out. */
  readonly met?: ReadonlySet<FlushFault>
}

/** The fault that a flush met. */
export type FlushFault =
  /** A tier could not be asked. The flush is tried again. */
  | 'unavailable'
  /**
   * Anything else that may pass, such as a missing table. The flush is tried again, apart from those that met an
   * outage, so that it holds up none of them.
   */
  | 'failed'
  /**
   * No process like this one can ever flush the session as it stands. The session stays in the ledger and is counted
   * until its next write.
   */
  | 'hopeless'

export interface LedgerOptions {
  readonly runtime: Runtime
  readonly maxStaleMs: number
  /**
   * How many sessions there may be whose time has not come, and how many whose flush met a fault, for each kind of
   * fault.
   */
  readonly maxEntries: number
  /** Flushes a session. Never rejects. Where it fails, it has called `failed` of this ledger. */
  readonly flush: (noted: Noted) => Promise<Tried>
  /** Called where a session is owed for which there is no room. It is left to whoever reads the session next. */
  readonly abandon: () => void
}

/**
 * A session in the ledger. There may be a hundred thousand, so each is one flat object: the moments are whole
 * milliseconds, which V8 keeps in place, and the locator is put together when it is asked for.
 */
interface Entry {
  readonly key: string
  readonly bornMonth: string | undefined
  version: number
  readonly sinceMs: number
  readonly met: ReadonlySet<FlushFault>
  /** When its flush is due, by the monotonic clock. Of an entry that waits. */
  dueAtMs: number
}

const NONE: ReadonlySet<FlushFault> = new Set()

/** The month that was noted last. The entries of one month have one text of it: each id gives one of its own. */
let month: string | undefined

const entryOf = ({ locator: { key, bornMonth }, version, sinceMs, met = NONE }: Noted): Entry => {
  if (month !== bornMonth) month = bornMonth
  return { key, bornMonth: month, version, sinceMs: Math.floor(sinceMs), met, dueAtMs: 0 }
}
const notedOf = ({ key, bornMonth, version, sinceMs, met }: Entry): Noted => ({
  locator: bornMonth === undefined ? { key } : { key, bornMonth },
  version,
  sinceMs,
  met,
})

export const ledger = ({ runtime, maxStaleMs, maxEntries, flush, abandon }: LedgerOptions): Ledger => {
  let draining = false
  let armed: (() => void) | undefined
  let abandoned = 0

  /** The sessions whose time has not come, in the order in which it will, as each joins at the end. */
  const waiting = new Map<string, Entry>()
  const flushEntry = (entry: Entry): Promise<Tried> => flush(notedOf(entry))
  const owed = { unavailable: retrying<Entry>(runtime, flushEntry), failed: retrying<Entry>(runtime, flushEntry) }
  const hopeless = new Map<string, Entry>()

  const wait = (entry: Entry): void => {
    const oldest = waiting.size < maxEntries ? undefined : firstOf(waiting)
    if (oldest !== undefined) {
      waiting.delete(oldest.key)
      void flushEntry(oldest)
    }
    entry.dueAtMs = Math.floor(runtime.monotonicMs() + maxStaleMs)
    waiting.set(entry.key, entry)
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
    const due: Entry[] = []
    for (const entry of waiting.values()) {
      if (entry.dueAtMs > nowMs) break
      due.push(entry)
    }
    for (const entry of due) {
      waiting.delete(entry.key)
      void flushEntry(entry)
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
    remove(oldest.key)
    abandoned += 1
    abandon()
  }

  const failed = ({ locator, version, sinceMs, met = NONE }: Noted, fault: FlushFault): boolean => {
    const { key } = locator
    const known = find(key)
    const isNews = fault !== 'unavailable' && !met.has(fault)
    const entry = entryOf({
      locator,
      version: Math.max(version, known?.version ?? 0),
      sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
      met: isNews ? new Set([...met, fault]) : met,
    })
    // What was written while the flush was under way may well be possible to flush, so it waits for its time.
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
      // The flush of the older write comes first, and brings this one to the backend as well.
      if (known !== undefined) known.version = Math.max(known.version, version)
      else {
        const before = hopeless.get(key)
        hopeless.delete(key)
        const { sinceMs = runtime.monotonicMs(), met = NONE } = before ?? {}
        wait(entryOf({ locator, version, sinceMs, met }))
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
      return [...all()].map(notedOf)
    },
  }
}

/** The value that was put in first. */
const firstOf = <Value>(entries: ReadonlyMap<string, Value>): Value | undefined => entries.values().next().value
