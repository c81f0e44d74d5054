import { LRUCache } from 'lru-cache'
import type { Locator } from '../contract/locator.js'
import type { EpochMs, Runtime } from '../contract/time.js'
import { jittered } from './waiting.js'

/**
 * The sessions whose newest acknowledged write stands in the cache only, as far as this process knows. Bounded: what
 * falls out is flushed, not forgotten.
 */
export interface Ledger {
  /** A write was acknowledged that the backend does not have. The oldest such write sets the time. */
  note(locator: Locator, version: number): void
  /**
   * A flush that is due could not be done: it is tried again after a pause that grows. `sinceMs`, by the monotonic
   * clock: since when the session is unflushed, if not since now.
   */
  owe(locator: Locator, version: number, sinceMs?: number): void
  /** The backend has this version; a newer one that was noted stays noted. */
  forget(key: string, version: number): void
  readonly size: number
  /** How many were owed and are no longer kept in mind, for want of room. */
  readonly abandoned: number
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
  /** Of sessions whose time has not come, and of those whose flush failed, each. */
  readonly maxEntries: number
  /** Resolves to `false` where it could not be done, and is owed again. */
  readonly flush: (locator: Locator, sinceMs: number) => Promise<boolean>
  /** One is owed for which there is no room: it is left to whoever reads the session next. */
  readonly abandon: () => void
}

interface Entry {
  readonly locator: Locator
  readonly dueAt: EpochMs
  /** The newest one noted. */
  version: number
  sinceMs: number
}

const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 2_000
/** So many are tried first; the others when one of them was flushed. They need not all be on one cache server. */
const CANARIES = 16

export const ledger = ({ runtime, maxStaleMs, maxEntries, flush, abandon }: LedgerOptions): Ledger => {
  let draining = false
  let armed: (() => void) | undefined
  let retryArmed: (() => void) | undefined
  let pauseMs = FIRST_PAUSE_MS
  let abandoned = 0

  // Entries are only peeked at, so the order of recent use stays the order in which their time is up.
  const entries = new LRUCache<string, Entry>({
    max: maxEntries,
    dispose: (entry, _key, reason) => {
      if (reason === 'evict') void flush(entry.locator, entry.sinceMs)
    },
  })
  /** Those whose flush failed, the longest untried first. */
  const owed = new Map<string, Entry>()

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
      void flush(locator, sinceMs)
    }
  }

  const armRetry = (): void => {
    if (retryArmed !== undefined || draining || owed.size === 0) return
    retryArmed = runtime.after(jittered(runtime, pauseMs), () => void retry())
  }
  const retry = async (): Promise<void> => {
    const tried = await Promise.all(flushOwed(CANARIES))
    const isBack = tried.includes(true)
    pauseMs = isBack ? FIRST_PAUSE_MS : Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
    retryArmed = undefined
    if (isBack && !draining) void Promise.all(flushOwed(owed.size))
    armRetry()
  }
  const flushOwed = (count: number): Promise<boolean>[] =>
    [...owed.values()].slice(0, count).map(({ locator, sinceMs }) => {
      owed.delete(locator.key)
      return flush(locator, sinceMs)
    })

  const all = function* (): Generator<Entry> {
    yield* owed.values()
    yield* entries.values()
  }

  return {
    note: (locator, version) => {
      const known = entries.peek(locator.key) ?? owed.get(locator.key)
      // The older write's time comes first, and takes this one along.
      if (known !== undefined) known.version = Math.max(known.version, version)
      else
        entries.set(locator.key, {
          locator,
          dueAt: runtime.now() + maxStaleMs,
          version,
          sinceMs: runtime.monotonicMs(),
        })
      arm()
    },
    owe: (locator, version, sinceMs = runtime.monotonicMs()) => {
      const { key } = locator
      const known = entries.peek(key) ?? owed.get(key)
      entries.delete(key)
      owed.delete(key)
      const [oldest] = owed.keys()
      if (oldest !== undefined && owed.size >= maxEntries) {
        owed.delete(oldest)
        abandoned += 1
        abandon()
      }
      owed.set(key, {
        locator,
        dueAt: runtime.now(),
        version: Math.max(version, known?.version ?? 0),
        sinceMs: Math.min(sinceMs, known?.sinceMs ?? sinceMs),
      })
      armRetry()
    },
    forget: (key, version) => {
      const known = entries.peek(key) ?? owed.get(key)
      if (known === undefined || known.version > version) return
      entries.delete(key)
      owed.delete(key)
    },
    get size() {
      return entries.size + owed.size
    },
    get abandoned() {
      return abandoned
    },
    has: (key) => entries.has(key) || owed.has(key),
    oldestSinceMs: () => {
      let oldest: number | undefined
      for (const { sinceMs } of all()) oldest = Math.min(oldest ?? sinceMs, sinceMs)
      return oldest
    },
    drain: () => {
      draining = true
      armed?.()
      retryArmed?.()
      armed = undefined
      return [...all()].map(({ locator, version }) => ({ locator, version }))
    },
  }
}
