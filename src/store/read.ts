import type { BackendCopy } from '../contract/backend.js'
import type { CasToken } from '../contract/front-cache.js'
import type { CacheKey, Locator } from '../contract/locator.js'
import { tierUnavailable } from '../errors.js'
import { type CopyVerdict, copyVerdict, quarantineVerdict } from '../session/decisions.js'
import { type LiveEnvelope, LONGEST_HEADER_BYTES } from '../session/envelope.js'
import { hasExpired, hasPassed } from '../session/expiry.js'
import { filled, trusted } from '../session/transitions.js'
import type { Seen } from './cache-tier.js'
import { type Context, isUnavailable, randomName, rowOf } from './context.js'
import { jittered, sleep } from './waiting.js'

/** A live session as it stands in the cache, with the token to change it by. */
export interface InCache {
  readonly state: 'live'
  readonly where: 'cache'
  readonly envelope: LiveEnvelope
  readonly token: CasToken
}

/** A live session read round the cache: in the backend's own lineage, to be changed in the backend only. */
export interface InBackend {
  readonly state: 'live'
  readonly where: 'backend'
  readonly envelope: LiveEnvelope
  readonly why: 'unreachable' | 'too-large' | 'patience'
}

export type Live = InCache | InBackend

export interface None {
  readonly state: 'none'
  /** There was one, and it must not come back. `expired`: it is still there, past its deadline. */
  readonly because: 'absent' | 'destroyed' | 'expired'
}

export type Found = Live | None

const none = (because: None['because']): None => ({ state: 'none', because })

/** Of a copy that is not live, or no longer. */
const noneOf = (verdict: CopyVerdict): None => none(verdict === 'live' ? 'expired' : verdict)

/** How long a waiter on another's lease pauses before it looks again: the first time, and at most. */
const FIRST_LOOK_MS = 5
const SLOWEST_LOOK_MS = 100
const FROZEN_PAUSE_MS = 20

/** A fill in flight in this process; `readFrom` counts up, to tell whether it read after one began to wait. */
interface Flight {
  readonly result: Promise<Found | 'again'>
  readFrom: number
}

export interface Reading {
  /**
   * What a session is, now: from the cache, or on a miss from the backend through a lease.
   *
   * A reader whose patience ends while others hold the lease reads the backend for itself and fills nothing. A
   * writer must not, since it could not be told from a fork: it rejects with `E_SESSION_UNAVAILABLE`.
   */
  observe(locator: Locator, as: 'reader' | 'writer'): Promise<Found>
  /** For a writer: what stands once a regeneration that is under way has ended, or has taken so long that it is dead. */
  observeThawed(locator: Locator): Promise<Found>
  /** The backend's copy, read round the cache. */
  fromBackend(locator: Locator, why: InBackend['why']): Promise<Found>
}

export const reading = (context: Context): Reading => {
  const { runtime, cache, backend, telemetry, options } = context
  const flights = new Map<CacheKey, Flight>()
  let order = 0

  const observe: Reading['observe'] = async (locator, as) => {
    order += 1
    const began = order
    const beganAtMs = runtime.monotonicMs()
    const patienceMs = as === 'reader' ? options.leaseWaitMs : options.leaseMs
    for (let looks = 0; ; looks += 1) {
      const seen = await look(locator)
      if (seen === undefined) return fromBackend(locator, 'unreachable')
      if (seen.state === 'live') {
        if (looks === 0) telemetry.count('cacheHits')
        if (hasExpired(seen.envelope, runtime.now())) return none('expired')
        if (seen.envelope.trustedAt >= cache.trustFrom(locator.key))
          return { state: 'live', where: 'cache', envelope: seen.envelope, token: seen.token }
      }
      if (seen.state === 'tombstone') {
        if (looks === 0) telemetry.count('cacheHits')
        return none('destroyed')
      }
      if (looks === 0 && (seen.state === 'missing' || seen.state === 'lease')) telemetry.count('cacheMisses')

      if (seen.state !== 'lease') {
        const flight = flights.get(locator.key)
        if (flight === undefined) {
          const result = await fly(locator, (onRead) => {
            if (seen.state === 'live') return compare(locator, seen, onRead)
            if (seen.state === 'large') return readLarge(locator, seen, onRead)
            return fill(locator, seen.token, onRead)
          })
          if (result !== 'again') return result
        } else {
          const result = await flight.result
          if (result !== 'again' && flight.readFrom > began) return result
        }
      } else if (looks === 0) telemetry.count('leaseWaits')
      // What stands in the cache may be newer than the backend's copy: no impatience makes up for comparing them.
      if (runtime.monotonicMs() - beganAtMs < (seen.state === 'live' ? options.deadlineMs : patienceMs)) {
        await sleep(runtime, jittered(runtime, Math.min(FIRST_LOOK_MS * 2 ** looks, SLOWEST_LOOK_MS)))
        continue
      }
      if (as === 'reader' && seen.state !== 'live') return fromBackend(locator, 'patience')
      throw tierUnavailable(cache.name, as === 'reader' ? 'read' : 'write', {
        because: 'others are at work on the session for too long',
        ...(as === 'reader' ? {} : { applied: 'no' }),
      })
    }
  }

  /** `undefined` where the cache cannot be asked: the newest copy may be there, so that is no miss. */
  const look = async (locator: Locator): Promise<Awaited<ReturnType<typeof cache.get>> | undefined> => {
    try {
      return await cache.get(locator.key)
    } catch (error) {
      if (!isUnavailable(error)) throw error
      return undefined
    }
  }

  /** One flight of a session at a time in this process: others that come meanwhile share what it finds. */
  const fly = async (
    locator: Locator,
    work: (onRead: () => void) => Promise<Found | 'again'>,
  ): Promise<Found | 'again'> => {
    const flight: { result?: Promise<Found | 'again'>; readFrom: number } = { readFrom: 0 }
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

  /**
   * Quarantine: an entry that may be from before an outage is compared with the backend before it is believed.
   * Rejects if the backend cannot be asked, since then nobody can tell.
   */
  const compare = async (
    locator: Locator,
    { envelope, token }: { readonly envelope: LiveEnvelope; readonly token: CasToken },
    onRead: () => void,
  ): Promise<Found | 'again'> => {
    const { key } = locator
    const stamp = trustStamp(key)
    onRead()
    const verdict = quarantineVerdict(envelope, rowOf(await backend.read(locator)))
    telemetry.count('quarantined')
    if (verdict === 'bury') {
      await cache.bury(key, token)
      return none('destroyed')
    }
    if (verdict === 'drop') {
      await cache.drop(key, token)
      return 'again'
    }
    const believed = trusted(envelope, stamp)
    const put = await cache.cas(key, believed, token)
    return put.outcome === 'stored' ? { state: 'live', where: 'cache', envelope: believed, token: put.token } : 'again'
  }

  /**
   * What is filled or checked now is trusted also by processes whose clocks are ahead of this one's. Taken before the
   * backend is read: what is changed there after that, round this cache, is not in the copy.
   */
  const trustStamp = (key: CacheKey): number => Math.max(runtime.now(), cache.trustFrom(key))

  /**
   * Lease first, then read, then put: a copy that was read before the lease could be older than a destroy that
   * came and was forgotten in between.
   */
  const fill = async (locator: Locator, over: CasToken | undefined, onRead: () => void): Promise<Found | 'again'> => {
    const { key } = locator
    const lease = await cache.lease(key, randomName(runtime), over)
    if (lease.outcome !== 'stored') return 'again'
    const stamp = trustStamp(key)
    onRead()
    const copy = await readUnderLease(locator, lease.token)
    const now = runtime.now()
    const verdict = copyVerdict(copy, now)
    if (copy.state !== 'live' || verdict !== 'live') {
      if (verdict === 'destroyed') await cache.bury(key, lease.token)
      else await cache.drop(key, lease.token)
      return noneOf(verdict)
    }
    const envelope = trusted(filled(copy.session, copy.token, randomName(runtime), now), stamp)
    const put = await cache.cas(key, envelope, lease.token)
    if (put.outcome === 'too-large') {
      await cache.markLarge(key, put.bytes, lease.token)
      return inBackend(copy, 'too-large')
    }
    if (put.outcome !== 'stored') return 'again'
    telemetry.count('fills')
    return { state: 'live', where: 'cache', envelope, token: put.token }
  }

  /** One that is too large for the cache; of one that has become smaller the mark goes, so that the next reader fills. */
  const readLarge = async (
    locator: Locator,
    { refusedBytes, token }: Extract<Seen, { state: 'large' }>,
    onRead: () => void,
  ): Promise<Found> => {
    onRead()
    const copy = await backend.read(locator)
    const fits = copy.state !== 'live' || copy.session.data.length + LONGEST_HEADER_BYTES < refusedBytes
    if (fits) await cache.drop(locator.key, token)
    return foundIn(copy, 'too-large')
  }

  const readUnderLease = async (locator: Locator, lease: CasToken): Promise<BackendCopy> => {
    try {
      return await backend.read(locator)
    } catch (error) {
      await cache.drop(locator.key, lease) // let the next one try at once
      throw error
    }
  }

  const fromBackend: Reading['fromBackend'] = async (locator, why) => {
    if (why === 'unreachable') telemetry.count('bypassed')
    const found = foundIn(await backend.read(locator), why)
    // Before it was persisted a session stands in the cache alone, and that cannot be asked.
    const mayStandInCache = options.policy.persistOn !== 'create' && why === 'unreachable'
    if (mayStandInCache && found.state === 'none' && found.because === 'absent')
      throw tierUnavailable(cache.name, 'read', { because: 'the session may not have been persisted yet' })
    return found
  }

  const foundIn = (copy: BackendCopy, why: InBackend['why']): Found => {
    const verdict = copyVerdict(copy, runtime.now())
    return copy.state === 'live' && verdict === 'live' ? inBackend(copy, why) : noneOf(verdict)
  }

  const inBackend = (copy: Extract<BackendCopy, { state: 'live' }>, why: InBackend['why']): InBackend => ({
    state: 'live',
    where: 'backend',
    envelope: filled(copy.session, copy.token, copy.session.lineage, runtime.now()),
    why,
  })

  const observeThawed: Reading['observeThawed'] = async (locator) => {
    for (;;) {
      const found = await observe(locator, 'writer')
      if (found.state === 'none' || !found.envelope.frozen) return found
      if (hasPassed(options.thawMs, found.envelope.writtenAt, runtime.now())) return found
      await sleep(runtime, jittered(runtime, FROZEN_PAUSE_MS))
    }
  }

  return { observe, observeThawed, fromBackend }
}
