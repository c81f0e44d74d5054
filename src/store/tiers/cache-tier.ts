import type { Lineage } from '../../contract/backend.js'
import { type CasToken, type FrontCache, onSharedName, serverListOf, serverOf } from '../../contract/front-cache.js'
import type { TierHealth } from '../../contract/health.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { type Applied, isSessionStoreError } from '../../errors.js'
import {
  decodeEnvelope,
  type Envelope,
  encodeEnvelope,
  type LiveEnvelope,
  type NothingEnvelope,
  serverListOf as serverListIn,
} from '../../session/envelope.js'
import { cacheDeadline, type LifeTimings, LONGEST_UNKNOWN_ID_MS } from '../../session/expiry.js'
import type { Sealing } from '../../session/seal.js'
import { isError } from '../../tools/is-error.js'
import type { Telemetry } from '../observed/telemetry.js'
import { outages } from './outages.js'
import { type Asked, tierCalls } from './tier-calls.js'

/**
 * What stands in the cache under a key, with the token that a change of it needs. Damaged bytes are `missing`, with a
 * token. So is the mark that nothing stands in the backend: `fresh` where it may be believed, `old` where its time is over,
 * or where it may be from before an outage.
 */
export type EntryState =
  | { readonly state: 'live'; readonly envelope: LiveEnvelope; readonly token: CasToken }
  | { readonly state: 'lease'; readonly nonce: Lineage; readonly token: CasToken }
  /** `isAlone`: of a session that stood in the cache alone. */
  | { readonly state: 'tombstone'; readonly isAlone: boolean }
  /** The session is in the backend alone, as the cache refused an envelope of so many bytes. */
  | { readonly state: 'large'; readonly refusedBytes: number; readonly token: CasToken }
  | { readonly state: 'missing'; readonly token?: CasToken; readonly mark?: 'fresh' | 'old' }

/** How a change of the cache ended. `lost` says that no answer came, or that the cache could not be asked. */
export type PutOutcome =
  | { readonly outcome: 'stored'; readonly token: CasToken }
  | { readonly outcome: 'conflict' | 'missing' }
  | { readonly outcome: 'too-large'; readonly bytes: number }
  /** The server answered and takes no new value. What stood there may be gone. */
  | { readonly outcome: 'refused' }
  | { readonly outcome: 'lost'; readonly applied: Applied; readonly error: unknown }

/**
 * The front cache as the protocol sees it. It takes and gives envelopes instead of bytes. Each call has a deadline,
 * each fault is counted, and a change that meets a fault ends with an outcome instead of an error. A read rejects when
 * the cache cannot be asked, as that is no miss.
 */
export interface CacheTier {
  readonly name: string
  get(key: CacheKey): Promise<EntryState>
  /**
   * An entry whose `trustedAt` is older than this moment may be from before an outage of the server that keeps this
   * key. It has to be compared with the backend before anybody is served from it. 0 where no outage was seen.
   */
  trustFrom(key: CacheKey): EpochMs
  /**
   * Whether the server that keeps this key is away for this process: nobody listens at its address, or several calls
   * failed and none was answered for so long that it is neither a broken connection nor a late answer.
   */
  isAway(key: CacheKey): boolean
  /** Puts a lease where nothing stands, or over the very entry that was read with `token`. */
  lease(key: CacheKey, nonce: string, token?: CasToken): Promise<PutOutcome>
  cas(key: CacheKey, envelope: LiveEnvelope, token: CasToken): Promise<PutOutcome>
  /**
   * Puts the mark of a session that is too large for this cache: over the very entry that was read with `token` or, if
   * that is gone, where nothing stands. Whoever meets the mark asks the backend. So it does no harm where it is wrong,
   * and it does not matter where it is missing.
   */
  markLarge(key: CacheKey, refusedBytes: number, token: CasToken): Promise<void>
  /**
   * Puts the mark that nothing stands in the backend over the very lease under which that was found: whoever has put
   * something else there since has seen more.
   */
  markNothing(
    key: CacheKey,
    mark: Pick<NothingEnvelope, 'trustedAt' | 'expiresAt'>,
    token: CasToken,
  ): Promise<PutOutcome>
  /**
   * Puts a tombstone over the very entry that was read with `token`. Resolves to `false` if that entry, or a successor
   * of it, may still stand there.
   */
  putTombstone(key: CacheKey, token: CasToken): Promise<boolean>
  /**
   * Puts a tombstone over the very entry of a session that stands in the cache alone, which was read with `token`. It stands
   * there no longer than the session would have. Only `stored` says that it stands.
   */
  endAlone(key: CacheKey, envelope: LiveEnvelope, token: CasToken): Promise<PutOutcome['outcome']>
  /**
   * Puts a tombstone over whatever stands there. Rejects if the cache could not be asked.
   *
   * @param orRemove what to do where the server takes no new value: `true` removes whatever stands there, so that
   *   whoever fills the cache next finds the tombstone in the backend. It has to be `false` where the backend has none.
   * @default true
   */
  setTombstone(key: CacheKey, orRemove?: boolean): Promise<void>
  /** Removes the very entry that was read with `token`. Resolves to `false` if the cache could not be asked. */
  remove(key: CacheKey, token: CasToken): Promise<boolean>
  /**
   * The same for a caller that has to know that nobody can write to that entry any more. Resolves to `gone` where the
   * entry was removed or nothing stood there, to `conflict` where an entry may still stand there, and to `lost` where
   * the cache could not be asked.
   */
  removeAndTell(key: CacheKey, token: CasToken): Promise<'gone' | 'conflict' | 'lost'>
  health(): Promise<TierHealth>
  close(): Promise<void>
}

export interface CacheTierOptions {
  readonly runtime: Runtime
  readonly telemetry: Telemetry
  readonly cacheTimeoutMs: number
  readonly breakerFailures: number
  readonly cacheRetryMs: number
  readonly cacheAwayAfterMs: number
  readonly leaseMs: number
  readonly tombstoneTtlMs: number
  readonly maxClockSkewMs: number
  readonly timings: LifeTimings
  /** `undefined` where envelopes are not sealed. */
  readonly sealing: Sealing | undefined
}

/** How many differing lists of servers are told of. A process meets few of them. */
const MAX_LISTS_TOLD = 16

/** How often it is tried to remove an entry that others write to at the same moment. */
const LOOKS_TO_EMPTY = 10

/** How long the mark of a session that is too large stands. Then one reader tries again whether the session fits. */
const LARGE_FOR_MS = 3_600_000

/** The codes by which the system says that nobody listens at the address of a server. */
const NOBODY_LISTENS: ReadonlySet<unknown> = new Set(['ECONNREFUSED', 'ENOENT'])
/** How many causes of an error are looked at, each below the other. */
const DEEPEST_CAUSE = 8

const isConnectionRefused = (error: unknown): boolean => {
  let each = error
  for (let depth = 0; depth < DEEPEST_CAUSE && isError(each); depth += 1) {
    if (NOBODY_LISTENS.has((each as { readonly code?: unknown }).code)) return true
    each = each.cause
  }
  return false
}

/**
 * Whether an answer shows that the server was asked. A cache answers `conflict` by itself for a token that died with
 * its connection.
 */
const wasAsked = (answer: unknown): boolean => {
  const outcome =
    typeof answer === 'object' && answer !== null ? (answer as { readonly outcome?: unknown }).outcome : answer
  return outcome !== 'conflict'
}

export const cacheTier = (cache: FrontCache, options: CacheTierOptions): CacheTier => {
  const { runtime, telemetry, leaseMs, tombstoneTtlMs, maxClockSkewMs, timings, sealing } = options

  const servers = outages({ runtime, maxClockSkewMs, awayAfterMs: options.cacheAwayAfterMs })

  const calls = tierCalls(cache.name, { ...options, timeoutMs: options.cacheTimeoutMs, retryMs: options.cacheRetryMs })

  const ask = <T>(key: CacheKey, operation: string, isChange: boolean, call: () => Promise<T>): Promise<T> =>
    calls.ask(operation, isChange, call, askedOf(serverOf(cache, key)))

  /** What is special about the calls of each server. There are few of them. */
  const askedOfServers = new Map<string, Asked<unknown>>()
  const askedOf = (server: string): Asked<unknown> => {
    const known = askedOfServers.get(server)
    if (known !== undefined) return known
    const asked: Asked<unknown> = {
      server,
      wasAsked,
      answered: () => servers.answered(server),
      failed: (error) => servers.failed(server, isConnectionRefused(error)),
    }
    askedOfServers.set(server, asked)
    return asked
  }
  const change = async (
    key: CacheKey,
    operation: string,
    call: () => Promise<{ readonly outcome: 'stored'; readonly token: CasToken } | { readonly outcome: string }>,
  ): Promise<PutOutcome> => {
    try {
      const answer = await ask(key, operation, true, call)
      return (answer.outcome === 'exists' ? { outcome: 'conflict' } : answer) as PutOutcome
    } catch (error) {
      return { outcome: 'lost', applied: isSessionStoreError(error) ? (error.applied ?? 'unknown') : 'unknown', error }
    }
  }
  const encode = (key: CacheKey, envelope: Envelope): Uint8Array =>
    encodeEnvelope(key, envelope, serverListOf(cache), sealing)
  const listsTold = new Set<number>()
  const compareLists = (bytes: Uint8Array): void => {
    const [own, others] = [serverListOf(cache), serverListIn(bytes)]
    if (others === own || others === 0 || own === 0) return
    telemetry.count('serversDiffer')
    if (listsTold.has(others) || listsTold.size >= MAX_LISTS_TOLD) return
    listsTold.add(others)
    telemetry.emit('serversDiffer', { tier: cache.name, own, others })
  }
  const sharedNamesTold = new Set<string>()
  const unwatch = onSharedName(cache, ({ server, servers }) => {
    telemetry.count('sharedNames')
    if (sharedNamesTold.has(server)) return
    sharedNamesTold.add(server)
    telemetry.emit('sharedName', { tier: cache.name, server, servers })
  })
  const tombstone = (): Envelope => {
    const now = runtime.now()
    return { kind: 'tombstone', destroyedAt: now, expiresAt: now + tombstoneTtlMs }
  }

  /** A moment that is further off than any process may say is by a clock that is wrong, so that it bounds nothing. */
  const isFresh = (key: CacheKey, { trustedAt, expiresAt }: NothingEnvelope): boolean => {
    const leftMs = expiresAt - runtime.now()
    return (
      leftMs > 0 &&
      leftMs <= LONGEST_UNKNOWN_ID_MS + maxClockSkewMs &&
      trustedAt >= servers.trustFrom(serverOf(cache, key))
    )
  }

  const removeAndTell: CacheTier['removeAndTell'] = async (key, token) => {
    try {
      const outcome = await ask(key, 'delete', true, () => cache.delete(key, token))
      return outcome === 'conflict' ? 'conflict' : 'gone'
    } catch {
      return 'lost' // `ask` has counted the fault; every caller goes on from a fresh look at the cache
    }
  }
  const remove: CacheTier['remove'] = async (key, token) => (await removeAndTell(key, token)) !== 'lost'
  /**
   * Removes whatever stands there. Resolves to `false` where the cache could not be asked, or where others keep
   * writing.
   */
  const isEmptied = async (key: CacheKey): Promise<boolean> => {
    for (let looks = 0; looks < LOOKS_TO_EMPTY; looks += 1) {
      const entry = await ask(key, 'get', false, () => cache.get(key))
      if (entry === undefined || (await removeAndTell(key, entry.token)) === 'gone') return true
    }
    return false
  }

  return {
    name: cache.name,
    trustFrom: (key) => servers.trustFrom(serverOf(cache, key)),
    isAway: (key) => servers.isAway(serverOf(cache, key)),
    get: async (key) => {
      const entry = await ask(key, 'get', false, () => cache.get(key))
      if (entry === undefined) return { state: 'missing' }
      const { token } = entry
      const envelope = decodeEnvelope(key, entry.value, sealing)
      if (envelope.kind !== 'damaged') compareLists(entry.value)
      switch (envelope.kind) {
        case 'live':
          return { state: 'live', envelope, token }
        case 'lease':
          // The cache should have forgotten an old lease by itself. One that stays must not hold up readers for ever.
          return runtime.now() >= envelope.expiresAt
            ? { state: 'missing', token }
            : { state: 'lease', nonce: envelope.nonce, token }
        case 'tombstone':
          return { state: 'tombstone', isAlone: envelope.isAlone === true }
        case 'large':
          return { state: 'large', refusedBytes: envelope.refusedBytes, token }
        case 'nothing':
          return { state: 'missing', token, mark: isFresh(key, envelope) ? 'fresh' : 'old' }
        case 'damaged':
          telemetry.count('damaged')
          telemetry.emit('damaged', { tier: cache.name, reason: envelope.reason })
          return { state: 'missing', token }
      }
    },
    lease: async (key, nonce, token) => {
      const expiresAt = runtime.now() + leaseMs
      const bytes = encode(key, { kind: 'lease', nonce, expiresAt })
      return token === undefined
        ? await change(key, 'add', () => cache.add(key, bytes, expiresAt))
        : await change(key, 'cas', () => cache.cas(key, bytes, token, expiresAt))
    },
    cas: async (key, envelope, token) => {
      const bytes = encode(key, envelope)
      const put = await change(key, 'cas', () => cache.cas(key, bytes, token, cacheDeadline(envelope, timings)))
      return put.outcome === 'too-large' ? { outcome: 'too-large', bytes: bytes.length } : put
    },
    markLarge: async (key, refusedBytes, token) => {
      const expiresAt = runtime.now() + LARGE_FOR_MS
      const bytes = encode(key, { kind: 'large', refusedBytes, expiresAt })
      const put = await change(key, 'cas', () => cache.cas(key, bytes, token, expiresAt))
      if (put.outcome === 'missing') await change(key, 'add', () => cache.add(key, bytes, expiresAt))
    },
    markNothing: async (key, mark, token) => {
      const bytes = encode(key, { kind: 'nothing', ...mark })
      return await change(key, 'cas', () => cache.cas(key, bytes, token, mark.expiresAt))
    },
    putTombstone: async (key, token) => {
      const envelope = tombstone()
      const bytes = encode(key, envelope)
      const put = await change(key, 'cas', () => cache.cas(key, bytes, token, envelope.expiresAt))
      if (put.outcome === 'refused') return (await removeAndTell(key, token)) === 'gone'
      return put.outcome === 'stored' || put.outcome === 'missing'
    },
    endAlone: async (key, envelope, token) => {
      const { expiresAt } = envelope
      const bytes = encode(key, { kind: 'tombstone', destroyedAt: runtime.now(), expiresAt, isAlone: true })
      const put = await change(key, 'cas', () => cache.cas(key, bytes, token, expiresAt))
      return put.outcome
    },
    setTombstone: async (key, orRemove = true) => {
      const envelope = tombstone()
      const bytes = encode(key, envelope)
      try {
        await ask(key, 'set', true, () => cache.set(key, bytes, envelope.expiresAt))
      } catch (error) {
        const isRefused = isSessionStoreError(error) && error.answered
        if (!isRefused || !orRemove || !(await isEmptied(key))) throw error
      }
    },
    remove,
    removeAndTell,
    health: () => calls.health(() => cache.health()),
    close: () => {
      unwatch()
      return cache.close()
    },
  }
}
