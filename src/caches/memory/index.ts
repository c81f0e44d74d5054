import { LRUCache } from 'lru-cache'
import type {
  AddOutcome,
  CacheDeleteOutcome,
  CacheEntry,
  CasOutcome,
  CasToken,
  FrontCache,
} from '../../contract/front-cache.js'
import type { TierHealth } from '../../contract/health.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { SessionStoreError, tierUnavailable } from '../../errors.js'
import { systemRuntime } from '../../runtime.js'
import { aRuntime, checkOptions, type Kinds, whole } from '../../tools/options.js'

export interface MemoryCacheOptions {
  /**
   * How much memory the entries may take, in bytes; beyond it the least recently used ones are forgotten.
   * An integer of at least 1024.
   * @default 67_108_864 (64 MiB)
   */
  readonly maxBytes?: number | undefined

  /**
   * The largest value taken, in bytes; a larger one is `too-large`. A positive integer. What does not fit
   * into `maxBytes` is too large as well.
   * @default 1_048_376 (what a Memcached with its default settings takes)
   */
  readonly maxValueBytes?: number | undefined

  /** The clock that expiry is judged by. @default systemRuntime */
  readonly runtime?: Runtime | undefined
}

/** A `FrontCache` inside this process; other processes do not see it. */
export interface MemoryCache extends FrontCache {
  /** Forgets every entry at once, as a restarted server would. The cache stays usable. */
  flush(): void

  /**
   * For tests. From now on no new value is taken, as by a Memcached that is out of memory: `add` and `cas` end as
   * `refused`, `set` takes the old entry along and rejects; reads and deletes are answered. `false`: as before.
   */
  refuseValues(isRefusing: boolean): void
}

interface KeptEntry {
  readonly value: Uint8Array
  /** Made anew by every change, so that a token can never fit an entry that it has not seen. */
  readonly token: CasToken
  readonly expiresAt: EpochMs
}

/** About what an entry costs besides its key and value; keeps many tiny entries within `maxBytes` too. */
const ENTRY_OVERHEAD_BYTES = 200

const KINDS: Kinds<MemoryCacheOptions> = { maxBytes: whole(1_024), maxValueBytes: whole(1), runtime: aRuntime }

const DEFAULT_MAX_BYTES = 64 * 1024 * 1024
const DEFAULT_MAX_VALUE_BYTES = 1024 * 1024 - ENTRY_OVERHEAD_BYTES

/**
 * A front cache in this process's memory, on lru-cache: the embedded default and the reference
 * implementation. It behaves as a Memcached does: it forgets under pressure, a `set` that is refused for its size takes
 * the old entry along while a refused `cas` leaves it, and a restart (`flush`) leaves nothing.
 *
 * @throws `E_CONFIG` on an option out of range, or one that there is not.
 */
export const memoryCache = (options: MemoryCacheOptions = {}): MemoryCache => new LruFrontCache(options)

class LruFrontCache implements MemoryCache {
  readonly name = 'memory'
  readonly #runtime: Runtime
  readonly #maxValueBytes: number
  readonly #maxBytes: number
  readonly #entries: LRUCache<CacheKey, KeptEntry>
  #refusesValues = false
  #closed = false

  constructor(options: MemoryCacheOptions) {
    checkOptions('memoryCache(options)', options, KINDS)
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
    this.#maxValueBytes = options.maxValueBytes ?? DEFAULT_MAX_VALUE_BYTES
    this.#runtime = options.runtime ?? systemRuntime
    // Not lru-cache's own `ttl`: it reads a clock of its own, and ours can be moved.
    this.#entries = new LRUCache({ maxSize: this.#maxBytes, sizeCalculation: (entry, key) => sizeOf(key, entry.value) })
  }

  async get(key: CacheKey): Promise<CacheEntry | undefined> {
    this.#assertOpen('get')
    const entry = this.#live(key)
    return entry && { value: new Uint8Array(entry.value), token: entry.token }
  }

  async add(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<AddOutcome> {
    this.#assertOpen('add')
    if (this.#live(key) !== undefined) return { outcome: 'exists' }
    if (this.#isTooLarge(key, value)) throw this.#tooLarge('add', value)
    if (this.#refusesValues) return { outcome: 'refused' }
    return { outcome: 'stored', token: this.#store(key, value, expiresAt) }
  }

  async cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: EpochMs): Promise<CasOutcome> {
    this.#assertOpen('cas')
    // What stands there stays, as with Memcached: the token may be an old one, and the entry another's change.
    if (this.#isTooLarge(key, value)) return { outcome: 'too-large' }
    if (this.#refusesValues) return { outcome: 'refused' }
    const entry = this.#live(key)
    if (entry === undefined) return { outcome: 'missing' }
    if (entry.token !== token) return { outcome: 'conflict' }
    return { outcome: 'stored', token: this.#store(key, value, expiresAt) }
  }

  async set(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<void> {
    this.#assertOpen('set')
    const isTooLarge = this.#isTooLarge(key, value)
    if (isTooLarge || this.#refusesValues) {
      this.#entries.delete(key)
      if (isTooLarge) throw this.#tooLarge('set', value)
      throw tierUnavailable(this.name, 'set', { because: 'it takes no new value', applied: 'no', answered: true })
    }
    this.#store(key, value, expiresAt)
  }

  async delete(key: CacheKey, token: CasToken): Promise<CacheDeleteOutcome> {
    this.#assertOpen('delete')
    const entry = this.#live(key)
    if (entry === undefined) return 'missing'
    if (entry.token !== token) return 'conflict'
    this.#entries.delete(key)
    return 'deleted'
  }

  async health(): Promise<TierHealth> {
    this.#assertOpen('health')
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#entries.clear()
  }

  flush(): void {
    this.#entries.clear()
  }

  refuseValues(isRefusing: boolean): void {
    this.#refusesValues = isRefusing
  }

  #live(key: CacheKey): KeptEntry | undefined {
    const entry = this.#entries.get(key)
    if (entry === undefined || this.#runtime.now() < entry.expiresAt) return entry
    this.#entries.delete(key)
    return undefined
  }

  #store(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): CasToken {
    const now = this.#runtime.now()
    // Asked this way round, so that NaN, too, is stored for the shortest time and not for ever.
    const entry = { value: new Uint8Array(value), token: {}, expiresAt: expiresAt > now ? expiresAt : now + 1 }
    this.#entries.set(key, entry)
    return entry.token
  }

  #isTooLarge(key: CacheKey, value: Uint8Array): boolean {
    return value.byteLength > this.#maxValueBytes || sizeOf(key, value) > this.#maxBytes
  }

  #tooLarge(operation: string, value: Uint8Array): SessionStoreError {
    return new SessionStoreError('E_SESSION_TOO_LARGE', `memory does not take a value of ${value.byteLength} bytes`, {
      tier: this.name,
      operation,
      applied: 'no',
    })
  }

  #assertOpen(operation: string): void {
    if (this.#closed)
      throw new SessionStoreError('E_CLOSED', 'The memory cache is closed', { tier: this.name, operation })
  }
}

const sizeOf = (key: CacheKey, value: Uint8Array): number => key.length * 2 + value.byteLength + ENTRY_OVERHEAD_BYTES
