import type { SessionStoreError, SessionStoreErrorCode } from '../errors.js'
import type { BreakerState } from './health.js'
import type { EpochMs } from './time.js'

/** Why the backend was written. */
export type FlushReason =
  /** A session was created. */
  | 'create'
  /** This write would have left the backend `maxStaleCount` writes behind. */
  | 'count'
  /** The first write after a cache miss. */
  | 'claim'
  /** The oldest unflushed write reached `maxStaleMs`, or the backend's expiry had to follow. */
  | 'time'
  /** The cache could not be reached. */
  | 'bypass'
  /** The cache refused the value as too large. */
  | 'refused'
  /** The session's user changed. */
  | 'identify'
  /** `save(session, { durable: true })`. */
  | 'durable'
  /** `regenerate` made the old or the new copy durable. */
  | 'regenerate'
  /** `close()` is draining. */
  | 'drain'

/** What became of a session, or of many. */
export type AuditAction =
  /** A session was made; also one that has a user from the beginning, of which `identified` tells besides. */
  | 'created'
  /** A session of the old store (`legacy`) was taken over, under the id that it had there. */
  | 'adopted'
  /** A session became a user's (a login), another user's, or nobody's; or it was refused that, at a limit. */
  | 'identified'
  /** A session was given a new id. It goes on under the same name in the trail. */
  | 'regenerated'
  /** A session was ended. */
  | 'destroyed'
  /**
   * A reader found that a session has ended, as its user had been logged out everywhere. Whoever did that may tell of the
   * same session in `destroyed`, or may have died before.
   */
  | 'ended'
  /** A user was logged out everywhere. Of each session that is ended for it, `destroyed` tells. */
  | 'logged-out-everywhere'
  /** What had expired was removed from the backend. */
  | 'purged'

/**
 * Who did it: a request that has the session; a user, beside his sessions; an operator; the limit of sessions of a user;
 * a purge; or `epoch`, a later reader, who ended what a logout everywhere had left. The first three are as the call says.
 */
export type AuditActor = 'request' | 'user' | 'operator' | 'limit' | 'purge' | 'epoch'

/**
 * A line of the audit trail. Unlike every other event it has a user and his address, so it is personal data. It has no
 * id, no handle, no key and no data, so it lets nobody in.
 */
export interface AuditEvent {
  /** The store's `namespace`. */
  readonly namespace: string
  /** When the store knew of it, by the clock of this process. */
  readonly at: EpochMs
  readonly action: AuditAction
  /**
   * `refused`: a login that a limit of sessions has refused. `unknown`: no answer came, so nobody knows whether it was done;
   * the call was rejected.
   */
  readonly outcome: 'done' | 'refused' | 'unknown'
  readonly by: AuditActor
  /**
   * The name of the session in the trail, the same one as long as it lives, whatever its id: 22 characters. Absent without
   * the option `auditKey`, of what is about no single session, and where nobody could find out which session it was.
   */
  readonly session?: string
  /** Whose session it is from now on, or was when it ended; absent for nobody's. */
  readonly user?: string
  /** Of `identified` and `regenerated`: whose session it was, where that was another user. */
  readonly formerUser?: string
  /** The application within the namespace; absent where none was named. */
  readonly app?: string
  /** The address of the client, where a call was given it to record. */
  readonly address?: string
  /** What the client calls itself, where a call was given it to record. */
  readonly userAgent?: string
  /** Of `purged`: how many rows were removed, sessions and tombstones, of all namespaces in the table. */
  readonly count?: number
  /** Of `purged`: sessions that had expired by this moment. */
  readonly expiredBy?: EpochMs
  /** The code of the error, where the outcome is `refused` or `unknown`. */
  readonly code?: SessionStoreErrorCode
}

/**
 * What a store tells whoever listens. Nothing here but `audit` carries an id, a key, data or a user: an event may be
 * logged as it is. A listener that throws is the listener's fault and reaches `process.on('uncaughtException')`.
 */
export interface StoreEvents {
  /**
   * A tier failed; the operation that met the fault went on, or rejected, as its documentation says. Or a listing met
   * sessions that this program cannot read, which is told once for each page. The error has no
   * `cause`, as a driver's may quote what it was given; the one that a call rejects with has.
   */
  fault: { readonly tier: string; readonly operation: string; readonly error: SessionStoreError }
  /** A circuit breaker opened, or tries whether its server is back, or found that it is. `server`: its address. */
  breaker: { readonly tier: string; readonly server: string; readonly state: BreakerState }
  /**
   * An entry in the cache was written by a process with another list of cache servers: for as long as the lists differ,
   * a session may stand on two servers. Told once for each list, by its number.
   */
  serversDiffer: { readonly tier: string; readonly own: number; readonly others: number }
  /**
   * At least so many Memcached servers answer to one address of the list, each with sessions of its own: changes and
   * logouts are lost to whoever meets another of them. Told once for each address. `server`: the address.
   */
  sharedName: { readonly tier: string; readonly server: string; readonly servers: number }
  /** Bytes in the cache that were damaged, or were another session's. They are treated as a miss. */
  damaged: { readonly tier: string; readonly reason: string }
  /**
   * The backend was written. `count` is how many sessions it took for this reason in one batch; the sum of all counts
   * is `stats().backendWrites`.
   */
  flush: { readonly reason: FlushReason; readonly count: number }
  /** What became of a session, for an audit trail. Personal data. */
  audit: AuditEvent
  /** Work that was acknowledged and could not be finished in the background either; it is counted as left. */
  abandoned: { readonly operation: string; readonly error: SessionStoreError }
}

export type StoreEventName = keyof StoreEvents

/** What every message of a channel has, but for the one about faults. */
interface Ended {
  /** The store's `namespace`, where one process has several. */
  readonly namespace: string
  /** From the call to its end, by a clock that never goes back, in ms with fractions. */
  readonly durationMs: number
  /** Only where it failed: the error's code, `unknown` where it is none of this library's. */
  readonly code?: SessionStoreErrorCode | 'unknown'
}

/** A `load` has settled. */
export interface ReadMessage extends Ended {
  readonly outcome: 'found' | 'none' | 'failed'
  /** Only where one was found. `backend`: it was served round the cache. */
  readonly from?: 'cache' | 'backend'
}

/** A call that changes a session, or may, has settled. */
export interface WriteMessage extends Ended {
  readonly operation: 'create' | 'save' | 'update' | 'put' | 'touch' | 'regenerate'
  /** `none`: there was no session to `update`. */
  readonly outcome: 'done' | 'none' | 'failed'
  /** Of a `save`: as its report says. */
  readonly changed?: boolean
  /** Of a `save`: as its report says. */
  readonly merged?: boolean
  /** Of a `save`: as its report says. */
  readonly durability?: 'cache' | 'backend'
}

/** The backend was asked to take a session. */
export interface FlushMessage extends Ended {
  readonly reason: FlushReason
  /** `refused`: another copy stands there, or a tombstone; the session itself may be well. */
  readonly outcome: 'written' | 'refused' | 'failed'
}

/** A `destroy` has settled. */
export interface DestroyMessage extends Ended {
  readonly outcome: 'done' | 'failed'
  /** Only where it is done: as its report says. */
  readonly cache?: 'tombstone' | 'unreachable'
}

/** As the event `fault`, in words alone. */
export interface FaultMessage {
  /** The store's `namespace`. */
  readonly namespace: string
  /** Which tier, and its address where the fault is one server's. */
  readonly tier: string
  readonly operation: string
  readonly code: SessionStoreErrorCode
  readonly message: string
}

/**
 * What a store publishes on the channels of `node:diagnostics_channel`, for all stores of a process. Like the events,
 * no message but that of `nonstick:audit` carries an id, a key, data or a user. Where nobody has subscribed, nothing is measured and no message is
 * made. A subscriber that throws reaches `process.on('uncaughtException')`.
 */
export interface ChannelMessages {
  'nonstick:read': ReadMessage
  'nonstick:write': WriteMessage
  'nonstick:flush': FlushMessage
  'nonstick:destroy': DestroyMessage
  'nonstick:fault': FaultMessage
  'nonstick:audit': AuditEvent
}

/**
 * Counters since the store was made. Each is a count of events in this process, but for the last two, which say how
 * things stand now.
 */
export interface StoreStats {
  /** Reads answered by the cache. */
  readonly cacheHits: number
  /** Reads for which the cache had nothing. */
  readonly cacheMisses: number
  /** Calls with an id under which nothing stands: wrong, made up, or of a session that is gone for good. */
  readonly unknownIds: number
  /** Reads that met another reader's lease, and waited. */
  readonly leaseWaits: number
  /** Sessions put back into the cache after a miss. */
  readonly fills: number
  /** Sessions that were taken over from the old store (`legacy`). */
  readonly adopted: number
  /** Sessions read from the backend. */
  readonly backendReads: number
  /**
   * Reads of the backend that were refused with `E_OVERLOADED`, as too many waited in line. A read that several calls share
   * counts once.
   */
  readonly readsRefused: number
  /** Sessions written to the backend: creations and flushes, not touches and tombstones. */
  readonly backendWrites: number
  /** The same, by reason. */
  readonly flushes: Readonly<Record<FlushReason, number>>
  /** Changes of sessions that were acknowledged, creations not counted. */
  readonly writes: number
  /** Writes that met another's write. */
  readonly conflicts: number
  /** Changes that were merged with another's; also those that met it before they were tried. */
  readonly merges: number
  /** Touches that reached the cache. */
  readonly touches: number
  /** Touches that reached the backend. */
  readonly extensions: number
  /** Sessions and tombstones that this process has removed from the backend, as their time was over. */
  readonly purged: number
  readonly destroys: number
  /** Calls that went round a cache that could not be reached. */
  readonly bypassed: number
  /** Entries that might be from before an outage of their server, and were compared with the backend. */
  readonly quarantined: number
  /** Damaged or foreign bytes met in the cache. */
  readonly damaged: number
  /** Entries met in the cache that a process with another list of cache servers had written. */
  readonly serversDiffer: number
  /** How often several cache servers were found behind one address. */
  readonly sharedNames: number
  /** Failed calls to a tier, and sessions in a listing that this program could not read. */
  readonly faults: number
  /** Sessions this process knows to be newer in the cache than in the backend, now. */
  readonly unflushed: number
  /**
   * Since how long that is so for the one of them that waits longest, in ms; 0 where there is none. More than
   * `maxStaleMs` and a little: the backend cannot be written.
   */
  readonly oldestUnflushedMs: number
}
