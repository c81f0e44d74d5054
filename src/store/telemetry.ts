import type { FlushReason, StoreEventName, StoreEvents, StoreStats } from '../contract/events.js'

type Counter = Exclude<keyof StoreStats, 'flushes' | keyof Unflushed>

/** What is owed to the backend now, as the ledger knows it. */
type Unflushed = Pick<StoreStats, 'unflushed' | 'oldestUnflushedMs'>

/** What a store counts and tells. Counting costs an addition; telling nobody costs a look-up. */
export interface Telemetry {
  count(counter: Counter, by?: number): void
  flushed(reason: FlushReason): void
  emit<Name extends StoreEventName>(name: Name, event: StoreEvents[Name]): void
  on<Name extends StoreEventName>(name: Name, listener: (event: StoreEvents[Name]) => void): () => void
  stats(unflushed: Unflushed): StoreStats
}

export const telemetry = (): Telemetry => {
  const counters: Record<Counter, number> = {
    cacheHits: 0,
    cacheMisses: 0,
    leaseWaits: 0,
    fills: 0,
    backendReads: 0,
    backendWrites: 0,
    writes: 0,
    conflicts: 0,
    merges: 0,
    touches: 0,
    extensions: 0,
    destroys: 0,
    bypassed: 0,
    quarantined: 0,
    damaged: 0,
    faults: 0,
  }
  const flushes: Record<FlushReason, number> = {
    create: 0,
    count: 0,
    claim: 0,
    time: 0,
    bypass: 0,
    refused: 0,
    identify: 0,
    durable: 0,
    regenerate: 0,
    drain: 0,
  }
  const listeners = new Map<StoreEventName, Set<(event: never) => void>>()

  const emit: Telemetry['emit'] = (name, event) => {
    for (const listener of listeners.get(name) ?? []) {
      try {
        listener(event as never)
      } catch (error) {
        // The listener's fault must not become the session's, and must not go unnoticed either.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
  return {
    count: (counter, by = 1) => {
      counters[counter] += by
    },
    flushed: (reason) => {
      counters.backendWrites += 1
      flushes[reason] += 1
      emit('flush', { reason, count: 1 })
    },
    emit,
    on: (name, listener) => {
      const own = (event: never): void => listener(event)
      const all = listeners.get(name) ?? new Set()
      listeners.set(name, all.add(own))
      return () => void all.delete(own)
    },
    stats: (unflushed) => ({ ...counters, flushes: { ...flushes }, ...unflushed }),
  }
}
