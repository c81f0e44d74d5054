import type { CacheKey } from '../../src/contract/locator.js'
import { decodeEnvelope, type LiveEnvelope } from '../../src/session/envelope.js'
import type { Clockwork } from './clockwork.js'

interface Entry {
  readonly value: Uint8Array
  readonly cas: number
  readonly expiresAt: number
}

/** Why an entry went that nobody told to go. */
export type LossReason = 'evicted' | 'restarted' | 'damaged' | 'expired'

export interface CacheWatcher {
  /** An entry with session data is lost. */
  onLoss(key: CacheKey, envelope: LiveEnvelope, why: LossReason): void
  onStored(key: CacheKey, value: Uint8Array): void
}

/**
 * The one cache server of the simulated world, as Memcached is one: commands are atomic, CAS ids are counted from 1
 * after each start, and anything may be forgotten at any time.
 */
export class CacheServer {
  /** Counts the starts; connections and commands belong to one. */
  life = 1
  readonly entries = new Map<CacheKey, Entry>()
  readonly #clock: Clockwork
  readonly #watcher: CacheWatcher
  #lastCas = 0

  constructor(clock: Clockwork, watcher: CacheWatcher) {
    this.#clock = clock
    this.#watcher = watcher
  }

  get(key: CacheKey): Entry | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || this.#clock.now < entry.expiresAt) return entry
    this.lose(key, 'expired')
    return undefined
  }

  add(key: CacheKey, value: Uint8Array, ttlMs: number): number | 'exists' {
    return this.get(key) === undefined ? this.set(key, value, ttlMs) : 'exists'
  }

  cas(key: CacheKey, value: Uint8Array, cas: number, ttlMs: number): number | 'conflict' | 'missing' {
    const entry = this.get(key)
    if (entry === undefined) return 'missing'
    return entry.cas === cas ? this.set(key, value, ttlMs) : 'conflict'
  }

  set(key: CacheKey, value: Uint8Array, ttlMs: number): number {
    this.#lastCas += 1
    this.entries.set(key, { value, cas: this.#lastCas, expiresAt: this.#clock.now + ttlMs })
    this.#watcher.onStored(key, value)
    return this.#lastCas
  }

  delete(key: CacheKey, cas: number): 'deleted' | 'conflict' | 'missing' {
    const entry = this.get(key)
    if (entry === undefined) return 'missing'
    if (entry.cas !== cas) return 'conflict'
    this.entries.delete(key)
    return 'deleted'
  }

  lose(key: CacheKey, why: LossReason): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    const envelope = decodeEnvelope(key, entry.value)
    if (envelope.kind === 'live') this.#watcher.onLoss(key, envelope, why)
    this.entries.delete(key)
  }

  damage(key: CacheKey, value: Uint8Array): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    this.lose(key, 'damaged')
    this.entries.set(key, { ...entry, value })
  }

  restart(): void {
    for (const key of [...this.entries.keys()]) this.lose(key, 'restarted')
    this.#lastCas = 0
    this.life += 1
  }

  /** What stands there, if it is session data; for the judges only. */
  live(key: CacheKey): LiveEnvelope | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || this.#clock.now >= entry.expiresAt) return undefined
    const envelope = decodeEnvelope(key, entry.value)
    return envelope.kind === 'live' ? envelope : undefined
  }
}
