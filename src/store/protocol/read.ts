import type { BackendCopy, Lineage, StoredSession } from '../../contract/backend.js'
import type { CasToken } from '../../contract/front-cache.js'
import type { LegacySession } from '../../contract/legacy.js'
import type { CacheKey, Locator } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import { isSessionStoreError, tierUnavailable } from '../../errors.js'
import { type CopyVerdict, copyVerdict, quarantineVerdict } from '../../session/decisions.js'
import { isUserUnproved, type LiveEnvelope, LONGEST_HEADER_BYTES } from '../../session/envelope.js'
import { hasExpired, markLifeMs } from '../../session/expiry.js'
import { filled, trusted, usedSince } from '../../session/transitions.js'
import { jittered, type Pauses, pauseAfter, sleep } from '../../tools/waiting.js'
import type { Call } from '../calls/call.js'
import { type Context, randomName, rowOf, userAudited } from '../context.js'
import { limitedCopy, limitedEnvelope } from '../idle-ttl.js'
import type { Asker } from '../tiers/backend-tier.js'
import type { EntryState } from '../tiers/cache-tier.js'
import { lookAt } from './look.js'

/** A live session as it stands in the cache, with the token that a change of it needs. */
export interface InCache {
  readonly state: 'live'
  readonly where: 'cache'
  readonly envelope: LiveEnvelope
  readonly token: CasToken
}

/**
 * A live session that was read round the cache. It is in the lineage of the backend's row, and can be changed in the
 * backend only.
 */
export interface InBackend {
  readonly state: 'live'
  readonly where: 'backend'
  readonly envelope: LiveEnvelope
  /**
   * Why it was read round the cache: the cache cannot be asked (`unreachable`), does not take this session
   * (`too-large`), takes no new value at all (`refused`), or others were filling it for too long (`patience`).
   */
  readonly why: 'unreachable' | 'too-large' | 'refused' | 'patience'
}

export type LiveCopy = InCache | InBackend

export interface None {
  readonly state: 'none'
  /** `expired` means that the session is still stored, but its deadline has passed. */
  readonly because: 'absent' | 'destroyed' | 'expired'
  /** The entry in the cache whose deadline has passed, where one stands. */
  readonly entry?: Pick<InCache, 'envelope' | 'token'>
  /**
   * The token of the mark that nothing stands in the backend, where that mark stands in the cache. It is awaited by those
   * alone who go on to create a session there.
   */
  readonly mark?: Promise<CasToken | undefined>
}

export type Standing = LiveCopy | None

const none = (because: None['because']): None => ({ state: 'none', because })

const expired = ({ envelope, token }: NonNullable<None['entry']>): None => ({
  state: 'none',
  because: 'expired',
  entry: { envelope, token },
})

/** Whether a read found nothing, which the old store may have. */
const isAbsent = (result: Standing | 'again'): boolean =>
  result !== 'again' && result.state === 'none' && result.because === 'absent'

/** The answer for a copy that cannot be served. A verdict of `live` counts as `expired` here. */
const noneOf = (verdict: CopyVerdict): None => none(verdict === 'live' ? 'expired' : verdict)

/**
 * How long a reader that waits for the end of another's lease pauses before it looks again: the first time, and at
 * most.
 */
const LOOK_PAUSES: Pauses = { firstMs: 5, longestMs: 100 }
const FROZEN_PAUSE_MS = 20

/** Who reads the backend. */
interface Reader {
  /** On whose behalf; `undefined` for the store itself. */
  readonly asker: Asker | undefined
  /** To be called just before the backend is asked. */
  readonly onRead: () => void
  /** The id for which the old store is asked where the backend has nothing; `undefined`: it is not asked. */
  readonly id?: string | undefined
}

/** A lease in the cache under which the backend was read. */
interface Lease {
  readonly nonce: Lineage
  readonly token: CasToken
  /** The stamp of trust from before the read. */
  readonly stamp: EpochMs
  /** The moment before the read. */
  readonly readAt: EpochMs
}

/**
 * A read of the backend that is under way in this process, and that several callers may share. `readFrom` is the place
 * of its read in the order of this process's calls and reads, or 0 before the read has begun. A caller may use the
 * result only if the read began after the call did. A caller who would ask the old store may not go by one that did not.
 */
interface Flight {
  readonly result: Promise<Standing | 'again'>
  readonly asksOldStore: boolean
  readFrom: number
}

/** What a read needs of the flush, to end the login of another. */
export interface Flusher {
  flush(
    locator: Locator,
    envelope: LiveEnvelope,
    token: CasToken,
    reason: 'identify',
  ): Promise<
    | { readonly outcome: 'durable'; readonly now: InCache | undefined }
    | { readonly outcome: 'again' }
    | { readonly outcome: 'destroyed' }
  >
}

/** A session of the old store, and the id under which it stands there. */
export interface Found {
  readonly id: string
  readonly session: LegacySession
}

/** What became of a session of the old store: it is this store's now, or is none of it. */
export type Adopted =
  | { readonly outcome: 'adopted'; readonly now: LiveCopy }
  /** It has ended, by its own deadline or by what this store knows of its user, or its user may have no more sessions. */
  | { readonly outcome: 'ended' }
  /** This store has ended a session under this id. */
  | { readonly outcome: 'destroyed' }
  /** Another call has taken it over meanwhile. */
  | { readonly outcome: 'again' }

/** How a session of the old store becomes one of this store. */
export interface Adopting {
  /** Whether a session that was taken over is removed in the old store. */
  readonly removes: boolean
  /** Whether a mark that nothing stands here says that the old store has nothing either. */
  readonly believesMarks: boolean
  /** The session of the old store; `undefined` where it has none. Rejects where the old store cannot be asked. */
  find(id: string): Promise<Found | undefined>
  /**
   * Makes it one of this store, durably and under the same id, with the age that it has. Of several calls that do so at
   * once, in whichever processes, one makes the session, and the others are told to look again.
   *
   * @param lease the lease in the cache under which neither tier knew the id; it is gone when this has settled.
   *   `undefined` where none could be taken
   */
  adopt(locator: Locator, found: Found, lease: CasToken | undefined): Promise<Adopted>
}

export interface Reading {
  /**
   * Gives what stands under a key now: from the cache or, on a miss, from the backend through a lease.
   *
   * A reader that has waited too long while others hold the lease reads the backend for itself, and does not fill the
   * cache. A writer must not do that, since others could not tell its copy from a second line of the same lineage. A
   * writer takes over a lease that has stood for too long, and rejects with `E_SESSION_UNAVAILABLE` where one lease
   * follows another. Nobody looks any more once the call is late.
   *
   * @param id the id, for a reader to whom what the old store has under it is a session as well
   */
  observe(locator: Locator, as: 'reader' | 'writer', call: Call, id?: string): Promise<Standing>
  /**
   * The same for a writer. It waits while the session is frozen: until the regeneration that has frozen it ends, or has
   * taken so long that it must be dead.
   */
  observeThawed(locator: Locator, call: Call): Promise<Standing>
}

export const reading = (context: Context, { flush }: Flusher, old: Adopting | undefined): Reading => {
  const { runtime, cache, backend, background, telemetry, audit, options } = context
  /** A read that goes before others does not share one that has to wait behind them. */
  const flightsOf = { first: new Map<CacheKey, Flight>(), others: new Map<CacheKey, Flight>() }
  let order = 0

  const observe: Reading['observe'] = async (locator, as, call, id) => {
    order += 1
    const began = order
    const beganAtMs = runtime.monotonicMs()
    const patienceMs = as === 'reader' ? options.leaseWaitMs : options.leaseMs
    // A writer holds a session, or has just met one.
    const asker = as === 'reader' ? call.asker : undefined
    const flights = asker === undefined || asker.isFirst ? flightsOf.first : flightsOf.others
    /** The lease that the first look found, if it found one. */
    let lease: Extract<EntryState, { state: 'lease' }> | undefined
    for (let looks = 0; ; looks += 1) {
      call.refuseIfLate()
      let entry = await lookAt(context, locator.key, as, call)
      if (entry === 'away') return fromBackend(locator, 'unreachable', { asker, id })
      if (entry.state === 'live') {
        const envelope = limitedEnvelope(context, entry.envelope)
        if (envelope !== entry.envelope) entry = { ...entry, envelope }
        if (looks === 0) telemetry.count('cacheHits')
        // What is to be compared may have been used since, so that nobody says yet that it has expired.
        if (!isToBeCompared(locator, entry.envelope)) {
          if (hasExpired(entry.envelope, runtime.now())) return expired(entry)
          if (!isUserUnproved(entry.envelope))
            return { state: 'live', where: 'cache', envelope: entry.envelope, token: entry.token }
        }
      }
      if (entry.state === 'tombstone') {
        if (looks === 0) telemetry.count('cacheHits')
        return none('destroyed')
      }
      // A writer is told by the backend alone that its session is gone.
      const believesMark = as === 'reader' && old?.believesMarks !== false
      if (entry.state === 'missing' && entry.mark === 'fresh' && entry.token !== undefined && believesMark) {
        if (looks === 0) telemetry.count('cacheHits')
        return { ...none('absent'), mark: Promise.resolve(entry.token) }
      }
      if (looks === 0 && (entry.state === 'missing' || entry.state === 'lease')) telemetry.count('cacheMisses')

      const isPatient = runtime.monotonicMs() - beganAtMs < patienceMs
      if (entry.state === 'lease') {
        if (looks === 0) {
          telemetry.count('leaseWaits')
          lease = entry
        }
        // The holder of the lease has died, and its clock was ahead, so that the lease does not end by itself yet.
        if (!isPatient && as === 'writer' && lease?.nonce === entry.nonce)
          entry = { state: 'missing', token: entry.token }
      }
      if (entry.state !== 'lease') {
        const met = entry
        const flight = flights.get(locator.key)
        if (flight === undefined) {
          const result = await fly(flights, locator, id !== undefined, (onRead) => {
            const reader: Reader = { asker, onRead, id }
            if (met.state === 'live')
              return isToBeCompared(locator, met.envelope) ? compare(locator, met, reader) : prove(locator, met, reader)
            if (met.state === 'large') return readLarge(locator, met, reader)
            return fill(locator, met.token, reader)
          })
          if (result !== 'again') return result
        } else {
          const result = await flight.result.catch((error: unknown) => {
            // Another caller's place in the line was refused, which says nothing about this one's.
            if (!isSessionStoreError(error, 'E_OVERLOADED') || flight.readFrom > 0) throw error
            return 'again' as const
          })
          const isForMe = id === undefined || flight.asksOldStore || !isAbsent(result)
          if (result !== 'again' && flight.readFrom > began && isForMe) return result
        }
      }
      // What stands in the cache may be newer than the copy in the backend. So the two have to be compared, however
      // long that takes.
      if (isPatient || entry.state === 'live') {
        await sleep(runtime, pauseAfter(runtime, LOOK_PAUSES, looks + 1))
        continue
      }
      if (as === 'reader') return fromBackend(locator, 'patience', { asker, id })
      throw tierUnavailable(cache.name, 'write', {
        because: 'others are at work on the session for too long',
        applied: 'no',
      })
    }
  }

  /**
   * Whether an entry has to be compared with the backend before anybody is served from it. It may be from before an outage.
   * Or a regeneration has frozen it, and nobody has compared it since that regeneration would have to be over: if its
   * process died after it had put the tombstone into the backend, the cache was never told.
   */
  const isToBeCompared = ({ key }: Locator, { frozen, writtenAt, trustedAt }: LiveEnvelope): boolean =>
    trustedAt < cache.trustFrom(key) || (frozen && trustedAt < writtenAt + options.thawMs)

  /**
   * Runs `work`, which reads the backend, as the one flight of a session in this process: others that come meanwhile
   * share its result.
   */
  const fly = async (
    flights: Map<CacheKey, Flight>,
    locator: Locator,
    asksOldStore: boolean,
    work: (onRead: () => void) => Promise<Standing | 'again'>,
  ): Promise<Standing | 'again'> => {
    const flight: { result?: Promise<Standing | 'again'>; readonly asksOldStore: boolean; readFrom: number } = {
      asksOldStore,
      readFrom: 0,
    }
    flight.result = work(() => {
      order += 1
      flight.readFrom = order
    })
    flights.set(locator.key, flight as Flight)
    try {
      return await flight.result
    } finally {
      flights.delete(locator.key)
    }
  }

  /** What stands in the backend, with no longer a life than the options allow by now. */
  const readBackend = (locator: Locator, { asker, onRead }: Reader): Promise<BackendCopy> =>
    backend.inTurn(asker, async (read) => {
      onRead()
      return limitedCopy(context, await read(locator))
    })

  /**
   * The quarantine: compares an entry that may be from before an outage, or that is frozen, with the backend, before
   * anybody is served from it. Rejects if the backend cannot be asked, since then nobody can tell whether the entry holds.
   */
  const compare = async (
    locator: Locator,
    { envelope, token }: { readonly envelope: LiveEnvelope; readonly token: CasToken },
    reader: Reader,
  ): Promise<Standing | 'again'> => {
    const { key } = locator
    const stamp = trustStamp(key)
    const copy = await readBackend(locator, reader)
    const verdict = quarantineVerdict(envelope, rowOf(copy))
    telemetry.count('quarantined')
    if (verdict === 'tombstone') {
      await cache.putTombstone(key, token)
      return none('destroyed')
    }
    if (verdict === 'remove') {
      await cache.remove(key, token)
      return 'again'
    }
    const now = runtime.now()
    const used = copy.state === 'live' ? usedSince(envelope, copy.session, now) : envelope
    if (hasExpired(used, now)) return expired({ envelope: used, token })
    // What holds may be a login that nobody has proved yet.
    if (isUserUnproved(used)) return prove(locator, { envelope: used, token }, reader)
    const believed = trusted(used, stamp)
    const put = await cache.cas(key, believed, token)
    if (put.outcome === 'stored') return { state: 'live', where: 'cache', envelope: believed, token: put.token }
    // The entry holds, but the cache does not take the new stamp. So the next reader compares it again.
    return put.outcome === 'refused' ? { state: 'live', where: 'cache', envelope: used, token } : 'again'
  }

  /**
   * Ends a login that is under way, or whose process has died: brings it to the backend, and looks if its user was logged
   * out everywhere meanwhile, before anybody is served the session as that user's. Rejects if the backend cannot be
   * asked, since then nobody can tell.
   */
  const prove = async (
    locator: Locator,
    { envelope, token }: { readonly envelope: LiveEnvelope; readonly token: CasToken },
    { onRead }: Reader,
  ): Promise<Standing | 'again'> => {
    onRead()
    const flushed = await flush(locator, envelope, token, 'identify')
    if (flushed.outcome === 'destroyed') return none('destroyed')
    // Another login may have come after this one, and is to be proved in its turn.
    return flushed.outcome === 'durable' && flushed.now !== undefined && !isUserUnproved(flushed.now.envelope)
      ? flushed.now
      : 'again'
  }

  /**
   * The stamp of trust for what is filled or compared now, such that processes whose clocks are ahead of this one's
   * trust it as well. It has to be taken before the backend is read: a change that another process makes in the backend
   * after that, going round this cache, is not in the copy.
   */
  const trustStamp = (key: CacheKey): number => Math.max(runtime.now(), cache.trustFrom(key))

  /**
   * Fills the cache: takes the lease first, then reads the backend, then puts the copy. A copy that was read before the
   * lease was taken could be older than a destroy whose tombstone came and went in between. The lease is taken when the
   * turn among the reads of the backend has come: nobody else has to wait for a lease that only stands in line, and who is
   * refused there leaves nothing in the cache.
   */
  const fill = async (
    locator: Locator,
    over: CasToken | undefined,
    { asker, onRead, id }: Reader,
  ): Promise<Standing | 'again'> => {
    const { key } = locator
    const read = await backend.inTurn(asker, async (readNow) => {
      const nonce = randomName(runtime)
      const lease = await cache.lease(key, nonce, over)
      if (lease.outcome !== 'stored' && lease.outcome !== 'refused') return 'again'
      const readAt = runtime.now()
      const stamp = trustStamp(key)
      onRead()
      if (lease.outcome === 'refused') return { ...(await readBoth(readNow, locator, id)), lease: undefined }
      const { token } = lease
      try {
        return { ...(await readBoth(readNow, locator, id)), lease: { nonce, token, stamp, readAt } }
      } catch (error) {
        await cache.remove(key, token) // so that the next reader can fill the cache at once
        throw error
      }
    })
    if (read === 'again') return 'again'
    const { copy, inOldStore, lease } = read
    if (inOldStore !== undefined) return await adopt(locator, inOldStore, lease, 'refused')
    if (lease === undefined) return foundIn(copy, 'refused')
    const now = runtime.now()
    const verdict = copyVerdict(copy, now)
    if (copy.state !== 'live' || verdict !== 'live') {
      // The mark says that the old store has nothing either.
      if (verdict === 'absent' && (old === undefined || id !== undefined))
        return { ...none('absent'), mark: markNothing(key, lease) }
      if (verdict === 'destroyed') {
        if ((await cache.putTombstone(key, lease.token)) && copy.state === 'live') tellOfEnd(key, copy.session)
      } else await cache.remove(key, lease.token)
      return noneOf(verdict)
    }
    const { stamp } = lease
    const envelope = trusted(filled(copy.session, copy.token, randomName(runtime), now), stamp)
    const put = await cache.cas(key, envelope, lease.token)
    if (put.outcome === 'too-large') {
      await cache.markLarge(key, put.bytes, lease.token)
      return inBackend(copy, 'too-large')
    }
    if (put.outcome === 'refused') {
      await cache.remove(key, lease.token)
      return inBackend(copy, 'refused')
    }
    if (put.outcome !== 'stored') return 'again'
    telemetry.count('fills')
    return { state: 'live', where: 'cache', envelope, token: put.token }
  }

  /** What stands in the backend and, where that has nothing, in the old store. */
  const readBoth = async (
    read: (locator: Locator) => Promise<BackendCopy>,
    locator: Locator,
    id: string | undefined,
  ): Promise<{ readonly copy: BackendCopy; readonly inOldStore: Found | undefined }> => {
    const copy = limitedCopy(context, await read(locator))
    if (copy.state !== 'absent' || id === undefined || old === undefined) return { copy, inOldStore: undefined }
    const inOldStore = await old.find(id)
    if (inOldStore !== undefined || !old.removes) return { copy, inOldStore }
    // It was in neither at the moment when that was asked. Another process may have moved it from one to the other in
    // between: it removes there only what it has brought here.
    return { copy: limitedCopy(context, await read(locator)), inOldStore: undefined }
  }

  /** Takes a session of the old store over. What has ended there is none here either. */
  const adopt = async (
    locator: Locator,
    found: Found,
    lease: Lease | undefined,
    why: InBackend['why'],
  ): Promise<Standing | 'again'> => {
    if (old === undefined) return none('absent')
    const adopted = await old.adopt(locator, found, lease?.token)
    if (adopted.outcome === 'again') return 'again'
    if (adopted.outcome === 'adopted') {
      const { now } = adopted
      return now.where === 'cache' ? now : { ...now, why }
    }
    return none(adopted.outcome === 'destroyed' ? 'destroyed' : 'expired')
  }

  /** Tells that the user of a session which stands in the backend was logged out everywhere. */
  const tellOfEnd = (key: CacheKey, session: StoredSession): void => {
    if (!audit.isHeard()) return
    const user = userAudited(context, session, session.userId)
    audit.done(key, session, { action: 'ended', by: 'epoch', ...(user === undefined ? {} : { user }) })
  }

  /**
   * Puts the mark that nothing stands in the backend in the place of the lease under which that was found, so that the
   * next who ask for the id are answered by the cache. Its life is counted from before the read: so it is over soon after
   * any creation that the read did not see. Marks that were made at once end one after the other, so that somebody who asks
   * for the same thousand ids over and over does not fill the line of reads each time that they end.
   *
   * Whoever asked for the id need not wait for it: it is sent before he is answered, and nothing is told that hangs on it.
   */
  const markNothing = (key: CacheKey, { nonce, token, stamp, readAt }: Lease): Promise<CasToken | undefined> => {
    const marking = (async () => {
      const expiresAt = readAt + markLifeMs(options.unknownIdTtlMs, nonce)
      const put = expiresAt > runtime.now() && (await cache.markNothing(key, { trustedAt: stamp, expiresAt }, token))
      if (put !== false && put.outcome === 'stored') return put.token
      await cache.remove(key, token)
      return undefined
    })()
    background.run('mark', () => marking)
    return marking
  }

  /**
   * Reads a session that is too large for the cache. If it has become small enough, its mark is removed, so that the
   * next reader fills the cache.
   */
  const readLarge = async (
    locator: Locator,
    { refusedBytes, token }: Extract<EntryState, { state: 'large' }>,
    reader: Reader,
  ): Promise<Standing> => {
    const copy = await readBackend(locator, reader)
    const fits = copy.state !== 'live' || copy.session.data.length + LONGEST_HEADER_BYTES < refusedBytes
    if (fits) await cache.remove(locator.key, token)
    return foundIn(copy, 'too-large')
  }

  /** Reads the copy in the backend, round the cache. `why` says why the cache is not used. */
  const fromBackend = async (
    locator: Locator,
    why: InBackend['why'],
    { asker, id }: Pick<Reader, 'asker' | 'id'>,
  ): Promise<Standing> => {
    if (why === 'unreachable') telemetry.count('bypassed')
    const { copy, inOldStore } = await backend.inTurn(asker, (read) => readBoth(read, locator, id))
    if (inOldStore !== undefined) {
      const adopted = await adopt(locator, inOldStore, undefined, why)
      return adopted === 'again' ? foundIn(await readBackend(locator, { asker, onRead: () => {} }), why) : adopted
    }
    const found = foundIn(copy, why)
    // Until it is durable, a session stands in the cache alone, and the cache cannot be asked.
    const mayStandInCache = options.policy.persistOn !== 'create' && why === 'unreachable'
    if (mayStandInCache && found.state === 'none' && found.because === 'absent')
      throw tierUnavailable(cache.name, 'read', { because: 'the session may not have been persisted yet' })
    return found
  }

  const foundIn = (copy: BackendCopy, why: InBackend['why']): Standing => {
    const verdict = copyVerdict(copy, runtime.now())
    return copy.state === 'live' && verdict === 'live' ? inBackend(copy, why) : noneOf(verdict)
  }

  const inBackend = (copy: Extract<BackendCopy, { state: 'live' }>, why: InBackend['why']): InBackend => ({
    state: 'live',
    where: 'backend',
    envelope: filled(copy.session, copy.token, copy.session.lineage, runtime.now()),
    why,
  })

  const observeThawed: Reading['observeThawed'] = async (locator, call) => {
    for (;;) {
      const found = await observe(locator, 'writer', call)
      if (found.state === 'none' || !found.envelope.frozen) return found
      const frozenForMs = runtime.now() - found.envelope.writtenAt
      // A moment in the future is by a clock that was wrong, so that nobody can tell since when the session is frozen.
      // Overruling a regeneration that is still under way does no harm: it then finds that its session was claimed, and
      // begins anew.
      if (frozenForMs >= options.thawMs || frozenForMs < -options.maxClockSkewMs) return found
      await sleep(runtime, jittered(runtime, FROZEN_PAUSE_MS))
    }
  }

  return { observe, observeThawed }
}
