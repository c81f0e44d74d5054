import type { TierHealth } from './health.js'
import type { CacheKey } from './locator.js'
import type { EpochMs } from './time.js'

/**
 * Proof of having seen an entry as it stands. Opaque: kept, given back, never looked into.
 *
 * A token dies with the connection it came over: servers count their tokens anew after a restart, so an old
 * one may fit an entry it has never seen. A cache answers a dead token as a `conflict`.
 */
export type CasToken = object

export interface CacheEntry {
  /** The caller's own copy; nobody else writes into it. */
  readonly value: Uint8Array
  readonly token: CasToken
}

export type AddOutcome =
  | { readonly outcome: 'stored'; readonly token: CasToken }
  /** Something stands there already; it was left as it is. */
  | { readonly outcome: 'exists' }
  /** The server answers and takes no new value: out of memory, say. Nothing was stored. */
  | { readonly outcome: 'refused' }

export type CasOutcome =
  /** With the token of the new entry, so that the next change needs no read. */
  | { readonly outcome: 'stored'; readonly token: CasToken }
  /** The entry is not the one the token saw (or the token died); it was left as it is. */
  | { readonly outcome: 'conflict' }
  /** Nothing stands there: never stored, expired, evicted or lost. Nothing was stored. */
  | { readonly outcome: 'missing' }
  /**
   * The value is larger than the cache takes, and was not stored. The entry that the token saw may be gone; any other is
   * left as it is.
   */
  | { readonly outcome: 'too-large' }
  /**
   * The server answers and takes no new value: out of memory, say. Nothing was stored. The entry that the token saw may be
   * gone; any other is left as it is.
   */
  | { readonly outcome: 'refused' }

export type CacheDeleteOutcome = 'deleted' | 'conflict' | 'missing'

/**
 * The cache in front: asked first, at every request, and free to forget anything at any time.
 *
 * It translates and never decides. It knows bytes, keys and moments, and nothing of sessions. Each call
 * settles within a deadline of the cache's own. A call rejects only when the cache could not be asked or did
 * not answer (`E_SESSION_UNAVAILABLE`, with `tier`, `operation`, and for a change `applied`: `'no'` or
 * `'unknown'`); an entry that is not there is a value. No change is ever sent twice.
 *
 * Every implementation passes `frontCacheContract` from `nonstick/testing`.
 */
export interface FrontCache {
  /** Lower-case, for errors, metrics and test titles: 'memcached'. */
  readonly name: string

  /** The entry, or `undefined` when there is none or it has expired. Two keys never share an entry. */
  get(key: CacheKey): Promise<CacheEntry | undefined>

  /**
   * Stores only where nothing stands. The store uses it for leases and for nothing else: a value that is too
   * large rejects with `E_SESSION_TOO_LARGE`.
   */
  add(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<AddOutcome>

  /** Stores only over the very entry that `token` saw; of several callers with one token, one succeeds. */
  cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: EpochMs): Promise<CasOutcome>

  /**
   * Stores whatever stands there. The store uses it for tombstones and for nothing else. Where the server answers and
   * takes no new value, it rejects with `E_SESSION_UNAVAILABLE`, `applied: 'no'` and `answered: true`.
   */
  set(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<void>

  /** Removes only the very entry that `token` saw. */
  delete(key: CacheKey, token: CasToken): Promise<CacheDeleteOutcome>

  /** Asks every server. Resolves also when all are down. */
  health(): Promise<TierHealth>

  /** Releases what this cache opened itself. Twice is fine; calls after it reject with `E_CLOSED`. */
  close(): Promise<void>
}

/** A cache of several servers, which fail one by one and come back one by one. */
export interface Placed {
  /** Which of them keeps this key: an address, the same for the same key. */
  serverOf(key: CacheKey): string
  /** A number that is the same for the same servers and weights, 1 to 2^32 - 1. */
  readonly serverList?: number
}

/** The server that keeps this key; of a cache that says nothing of servers, the cache itself. */
export const serverOf = (cache: FrontCache, key: CacheKey): string =>
  typeof (cache as Partial<Placed>).serverOf === 'function' ? (cache as FrontCache & Placed).serverOf(key) : cache.name

/** The number of this cache's list of servers; 0 for a cache that says nothing of servers. */
export const serverListOf = (cache: FrontCache): number => (cache as Partial<Placed>).serverList ?? 0

/** Several servers, each with entries of its own, answer to one address. */
export interface SharedName {
  /** The address, as `serverOf` gives it. */
  readonly server: string
  /** How many at least. */
  readonly servers: number
}

/** A cache that notices when several servers answer to one of its addresses. */
export interface WatchesNames {
  /** Calls `listener` each time that is found. Gives a function that stops it. */
  onSharedName(listener: (found: SharedName) => void): () => void
}

/** Listens to a cache that watches its names; of another one nothing is heard. */
export const onSharedName = (cache: FrontCache, listener: (found: SharedName) => void): (() => void) =>
  typeof (cache as Partial<WatchesNames>).onSharedName === 'function'
    ? (cache as FrontCache & WatchesNames).onSharedName(listener)
    : () => {}

/*
 * `expiresAt` is a moment everywhere; the cache converts it on the line that talks to its client. An entry
 * lives at least until `expiresAt` unless it is evicted or lost, and at most the cache's own resolution (one
 * or two seconds for Memcached) longer. A moment in the past or now is stored for the shortest time the cache
 * knows, never for ever, and never not at all where that would read as "for ever".
 */
