import type { BackendCopy, BackendToken, InsertOptions, InsertOutcome, StoredSession } from '../../contract/backend.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { Locator } from '../../contract/locator.js'
import { butMayBeApplied, isSessionStoreError, SessionStoreError, tierUnavailable } from '../../errors.js'
import { copyVerdict, quarantineVerdict, verdictOnRow } from '../../session/decisions.js'
import { isUserUnproved, type LiveEnvelope } from '../../session/envelope.js'
import { asDurable, type Birth, born, storedSession, trusted } from '../../session/transitions.js'
import type { Call } from '../calls/call.js'
import { type Context, destroyedMeanwhile, rowOf } from '../context.js'
import { limitedCopy } from '../idle-ttl.js'
import type { Flushing } from './flush.js'
import type { InCache, LiveCopy } from './read.js'
import type { Wanted } from './resolve.js'
import { isProved } from './users.js'
import { asInBackend, inCache } from './write.js'

/** What a creation knows of the cache, and holds in it. */
export interface Place {
  /** The lease; `undefined` where the cache cannot be asked, or others are at work there. */
  readonly lease: CasToken | undefined
  /**
   * Whether no session lives there as far as the cache knows. Then a session that has ended in the backend makes room.
   */
  readonly isFree: boolean
  /** The envelope of a session that has ended, in whose place the lease was put. */
  readonly ended: LiveEnvelope | undefined
}

export const NOWHERE: Place = { lease: undefined, isFree: false, ended: undefined }

/** A session that is to be put into the backend for the first time. */
export interface Insertion {
  readonly locator: Locator
  readonly wanted: Pick<Wanted, 'userId'>
  readonly call: Call
}

/** How a session gets into the backend that is not there yet. */
export interface Inserting {
  /**
   * Makes a session under an id that others may know. The lease has to be taken before anybody can know of the insert.
   * Were it taken later, the copy that replaces it could be older than a destroy whose tombstone came and went in
   * between. The lease is gone when this has settled.
   *
   * Rejects with `E_SESSION_CONFLICT` where a session stands, and with `E_SESSION_DESTROYED` where one was destroyed.
   */
  insertUnder(insertion: Insertion, birth: Birth, place: Place): Promise<LiveCopy>
  /**
   * Inserts the row, and gives the copy that is in the backend then. Once it may be in, others may be served the session,
   * so that no error says any more that nothing happened.
   */
  insert(insertion: Insertion, birth: Birth, place: Place): Promise<LiveEnvelope>
  /** Puts the session in the place of its lease. Resolves to `undefined` where the cache did not take it. */
  put(locator: Locator, envelope: LiveEnvelope, lease: CasToken): Promise<InCache | undefined>
  /**
   * Gives the row of a session that stands there and has ended; `undefined` where nothing stands. The backend's copy
   * may last longer than the one in the cache. Where the entry descends from the row, the entry decides that the
   * session has ended.
   *
   * @throws SessionStoreError `E_SESSION_CONFLICT`, `E_SESSION_DESTROYED`
   */
  endedIn(copy: BackendCopy, inCache: LiveEnvelope | undefined): StoredSession | undefined
}

/** How often an insert is tried where a session stands that has ended. */
const ATTEMPTS = 3

export const inserting = (context: Context, flushes: Pick<Flushing, 'lookAfterwards'>): Inserting => {
  const { runtime, cache, backend, options } = context

  const insertUnder: Inserting['insertUnder'] = async (insertion, birth, place) => {
    const { locator, call } = insertion
    const { lease } = place
    let durable: LiveEnvelope
    try {
      durable = await insert(insertion, birth, place)
    } catch (error) {
      if (lease !== undefined) await cache.remove(locator.key, lease)
      throw error
    }
    const now = asInBackend(durable)
    // The entry in the place of the lease proves that nobody has put a mark there, by which nothing would stand here.
    const placed = lease === undefined ? undefined : await put(locator, durable, lease)
    if (placed !== undefined) return placed
    // Somebody may have put one if the lease was lost. And what kept the lease away may be the entry of a session that
    // has ended. Both would hide the new session.
    const look = await flushes.lookAfterwards(locator, durable, birth.writeId, call).catch((error: unknown) => {
      throw butMayBeApplied(error)
    })
    if (look === 'destroyed') throw butMayBeApplied(destroyedMeanwhile())
    return now
  }

  const insert: Inserting['insert'] = async (insertion, birth, place) => {
    let isMaybeIn = false
    const mayBeIn = (): void => {
      isMaybeIn = true
    }
    try {
      return await tryToInsert(insertion, birth, place, mayBeIn)
    } catch (error) {
      throw isMaybeIn ? butMayBeApplied(error) : error
    }
  }

  /** A session that stands there and has ended makes room for the new one, if the cache knows of no session that lives. */
  const tryToInsert = async (
    { locator, wanted, call }: Insertion,
    birth: Birth,
    { isFree, ended }: Place,
    mayBeIn: () => void,
  ): Promise<LiveEnvelope> => {
    let standing: StoredSession | undefined
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      call.refuseIfLate()
      const envelope = born({ ...birth, over: standing })
      const insertOptions = {
        notAfter: birth.now + options.insertMs,
        ...(standing === undefined
          ? {}
          : { over: { lineage: standing.lineage, version: standing.version, endedBy: standing.expiresAt } }),
      }
      const outcome = await send(locator, envelope, wanted.userId, insertOptions, mayBeIn)
      if (outcome.outcome === 'inserted') {
        mayBeIn()
        return await provedDurable(locator, envelope, outcome.token)
      }
      if (outcome.outcome === 'too-late')
        throw tierUnavailable(backend.name, 'insert', { because: 'it came too late', applied: 'no' })
      const { row } = outcome
      if (row.state === 'live' && verdictOnRow(envelope, row) === 'superseded')
        return await provedDurable(locator, envelope, row.token)
      if (row.state === 'destroyed') throw destroyedMeanwhile()
      if (!isFree) throw taken()
      standing = endedIn(await backend.read(locator), ended)
    }
    throw taken()
  }

  /**
   * The copy that is in the backend now, before anybody knows of it.
   *
   * @throws SessionStoreError `E_SESSION_DESTROYED` where its user was logged out everywhere meanwhile
   */
  const provedDurable = async (
    locator: Locator,
    envelope: LiveEnvelope,
    token: BackendToken,
  ): Promise<LiveEnvelope> => {
    if (isUserUnproved(envelope) && !(await isProved(context, locator, envelope))) throw destroyedMeanwhile()
    return asDurable(envelope, runtime.now(), token)
  }

  /**
   * Sends the insert, and sends it again where the answer was lost. If the first one is in, the second finds its own
   * lineage there.
   */
  const send = async (
    locator: Locator,
    envelope: LiveEnvelope,
    userId: string | undefined,
    insertOptions: InsertOptions,
    mayBeIn: () => void,
  ): Promise<InsertOutcome> => {
    const session = storedSession(envelope, userId, options.timings)
    try {
      return await backend.insert(locator, session, 'create', insertOptions)
    } catch (error) {
      if (!isSessionStoreError(error) || error.applied !== 'unknown') throw error
      mayBeIn()
      return await backend.insert(locator, session, 'create', insertOptions)
    }
  }

  const endedIn: Inserting['endedIn'] = (copy, inCache) => {
    const verdict = copyVerdict(limitedCopy(context, copy), runtime.now())
    if (verdict === 'destroyed') throw destroyedMeanwhile()
    if (copy.state !== 'live') return undefined
    const hasEnded =
      verdict === 'expired' || (inCache !== undefined && quarantineVerdict(inCache, rowOf(copy)) === 'believe')
    if (!hasEnded) throw taken()
    return copy.session
  }

  const put: Inserting['put'] = async (locator, envelope, lease) => {
    const stamped = trusted(envelope, Math.max(envelope.trustedAt, cache.trustFrom(locator.key)))
    const stored = await cache.cas(locator.key, stamped, lease)
    if (stored.outcome === 'stored') return inCache(stamped, stored.token)
    await cache.remove(locator.key, lease)
    return undefined
  }

  return { insertUnder, insert, put, endedIn }
}

/** The error where a session stands already. */
export const taken = (): SessionStoreError =>
  new SessionStoreError('E_SESSION_CONFLICT', 'A session with this id exists already', { applied: 'no' })
