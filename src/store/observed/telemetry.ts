import type { FlushReason, StoreEventName, StoreEvents, StoreStats } from '../../contract/events.js'
import {
  codeIn,
  didYouMean,
  invalidOption,
  isSessionStoreError,
  SessionStoreError,
  tierUnavailable,
} from '../../errors.js'
import { isHeard, publish } from './channels.js'
import { unheard } from './unheard.js'

type Counter = Exclude<keyof StoreStats, 'flushes' | keyof Unflushed>

/** What is owed to the backend now, as far as the ledger knows. */
type Unflushed = Pick<StoreStats, 'unflushed' | 'oldestUnflushedMs'>

/** The events as they are raised: the error of a fault is still whatever a tier threw. */
type Raised = Omit<StoreEvents, 'fault'> & {
  fault: { readonly tier: string; readonly operation: string; readonly error: unknown }
}

/**
 * What a store counts, and the events that it sends out. Counting costs an addition; an event that nobody listens to
 * costs a look-up.
 */
export interface Telemetry {
  count(counter: Counter, by?: number): void
  /** The backend has taken so many sessions in one call, for this reason. */
  flushed(reason: FlushReason, count: number): void
  /** Sends out an event. An error in it is shown without its cause. */
  emit<Name extends StoreEventName>(name: Name, event: Raised[Name]): void
  on<Name extends StoreEventName>(name: Name, listener: (event: StoreEvents[Name]) => void): () => void
  /** Whether anybody listens to the event `audit`, or to its channel. */
  isAuditHeard(): boolean
  stats(unflushed: Unflushed): StoreStats
}

const EVENTS: Readonly<Record<StoreEventName, true>> = {
  fault: true,
  breaker: true,
  serversDiffer: true,
  sharedName: true,
  damaged: true,
  flush: true,
  abandoned: true,
  audit: true,
}
const EVENT_NAMES: ReadonlySet<string> = new Set(Object.keys(EVENTS))

export const telemetry = (namespace: string): Telemetry => {
  const counters: Record<Counter, number> = {
    cacheHits: 0,
    cacheMisses: 0,
    unknownIds: 0,
    leaseWaits: 0,
    fills: 0,
    adopted: 0,
    backendReads: 0,
    readsRefused: 0,
    backendWrites: 0,
    writes: 0,
    conflicts: 0,
    merges: 0,
    touches: 0,
    extensions: 0,
    purged: 0,
    destroys: 0,
    bypassed: 0,
    quarantined: 0,
    damaged: 0,
    serversDiffer: 0,
    sharedNames: 0,
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
  const unheardOf = unheard()
  const isListenedTo = (name: StoreEventName): boolean => (listeners.get(name)?.size ?? 0) > 0

  const tell = <Name extends StoreEventName>(name: Name, make: () => StoreEvents[Name]): void => {
    const audience = listeners.get(name)
    if (audience === undefined || audience.size === 0) return
    const event = make()
    // Who begins to listen now, hears of the next one.
    for (const listener of [...audience]) {
      try {
        listener(event as never)
      } catch (error) {
        // An error of a listener must not become one of the session, and must not go unnoticed either.
        queueMicrotask(() => {
          throw error
        })
      }
    }
  }
  const emit: Telemetry['emit'] = (name, event) => {
    if (name === 'fault') {
      const { tier, operation, error } = event as Raised['fault']
      if (!isListenedTo('fault') && !isHeard('nonstick:fault'))
        unheardOf.warn(
          `fault of ${tier}`,
          () =>
            `${tellable(error, tier, operation).message}. Nobody listens to the session store's event 'fault': further faults of ${tier} are only counted, in stats().`,
          'NONSTICK_FAULT',
        )
      tell('fault', () => ({ tier, operation, error: tellable(error, tier, operation) }))
      publish('nonstick:fault', () => {
        const { code, message, tier: at = tier } = tellable(error, tier, operation)
        return { namespace, tier: at, operation, code, message }
      })
    } else if (name === 'abandoned') {
      const { operation, error } = event as Raised['abandoned']
      if (!isListenedTo('abandoned'))
        unheardOf.warn(
          'abandoned',
          () =>
            `${tellable(error, 'the session store', operation).message}. Nobody listens to the session store's event 'abandoned': no more of them will be told.`,
          'NONSTICK_ABANDONED',
        )
      tell('abandoned', () => ({ operation, error: tellable(error, 'the session store', operation) }))
    } else {
      tell(name, () => event as never)
      if (name === 'audit') publish('nonstick:audit', () => event as Raised['audit'])
    }
  }
  return {
    count: (counter, by = 1) => {
      counters[counter] += by
    },
    flushed: (reason, count) => {
      counters.backendWrites += count
      flushes[reason] += count
      tell('flush', () => ({ reason, count }))
    },
    emit,
    on: (name, listener) => {
      if (!EVENT_NAMES.has(name)) {
        const hint = typeof name === 'string' ? didYouMean(name, EVENT_NAMES) : ''
        throw invalidOption('name', `one of ${[...EVENT_NAMES].join(', ')}${hint}`, name)
      }
      if (typeof listener !== 'function') throw invalidOption('listener', 'a function', listener)
      const own = (event: never): void => listener(event)
      const all = listeners.get(name) ?? new Set()
      listeners.set(name, all.add(own))
      return () => void all.delete(own)
    },
    isAuditHeard: () => isListenedTo('audit') || isHeard('nonstick:audit'),
    stats: (unflushed) => ({ ...counters, flushes: { ...flushes }, ...unflushed }),
  }
}

/**
 * An error as everybody may read it. An error of ours says nothing of a session, but its cause may come from a driver,
 * and may quote what the driver was given. So the cause is left out. Of a foreign error only the code is shown.
 */
const tellable = (error: unknown, tier: string, operation: string): SessionStoreError => {
  if (!isSessionStoreError(error)) {
    const code = codeIn(error)
    return tierUnavailable(tier, operation, code === undefined ? {} : { because: code })
  }
  const { code, message, applied, answered } = error
  const shownError = new SessionStoreError(code, message, {
    tier: error.tier ?? tier,
    operation: error.operation ?? operation,
    answered,
    ...(applied === undefined ? {} : { applied }),
  })
  if (error.stack !== undefined) shownError.stack = error.stack
  return shownError
}
