/** What a fleet asks of its servers, and what it can lose: by reckoning, without measuring. */

export interface Fleet {
  readonly processes: number
  /** Requests in a second at each process. */
  readonly requestsPerSecond: number
  /** Which part of the requests changes its session, from 0 to 1. */
  readonly writing: number
  /** The store's `maxStaleCount`, N. */
  readonly maxStaleCount: number
  /** The store's `maxStaleMs`. */
  readonly maxStaleMs: number
  /** The store's `touchBackendMs`. */
  readonly touchBackendMs: number
  /** Sessions that are alive; the requests are spread evenly over them. */
  readonly sessions: number
  /** The encoded data of a session, in bytes. */
  readonly bytes: number
}

export interface Capacity {
  /** In a second, at all cache servers: one for each request, and one more for each that writes. */
  readonly cacheCommandsPerSecond: number
  /** Rows that the backend writes in a second, flushes and touches together. Creations and ends of sessions come on top. */
  readonly rowsPerSecond: number
  /** Changes of one session that a loss of the cache can cost, at most. */
  readonly lostOfASession: number
  /** For how long, at most, a change stands in the cache alone, in ms. */
  readonly lossWindowMs: number
  /** Changes of all sessions that a loss of all cache servers at once can cost, at most. */
  readonly lostInAll: number
  /** Memory that the cache needs, in bytes. */
  readonly cacheBytes: number
}

/**
 * What an entry takes beside its data: the header of the envelope, eight write ids, the key, and what Memcached keeps of an
 * item.
 */
export const ENTRY_BYTES = 144 + 8 * 8 + 52 + 56
/** Memcached has room for items in a few sizes, a quarter apart: of each room an eighth stays empty, in the middle. */
const SLAB_FACTOR = 1.125

export const capacityOf = (fleet: Fleet): Capacity => {
  const { maxStaleCount, maxStaleMs, sessions } = fleet
  const requests = fleet.processes * fleet.requestsPerSecond
  const changes = requests * fleet.writing
  // A flush takes along all changes since the one that it waited for, but no more than N.
  const changesMeanwhile = sessions === 0 ? 0 : (changes / sessions) * (maxStaleMs / 1_000)
  const changesOfAFlush = Math.min(maxStaleCount, 1 + changesMeanwhile)
  const touches = sessions / (fleet.touchBackendMs / 1_000)
  return {
    cacheCommandsPerSecond: requests + changes,
    rowsPerSecond: changes / changesOfAFlush + touches,
    lostOfASession: maxStaleCount - 1,
    lossWindowMs: maxStaleCount === 1 ? 0 : maxStaleMs,
    lostInAll: maxStaleCount === 1 ? 0 : Math.min(changes * (maxStaleMs / 1_000), sessions * (maxStaleCount - 1)),
    cacheBytes: sessions * (fleet.bytes + ENTRY_BYTES) * SLAB_FACTOR,
  }
}
