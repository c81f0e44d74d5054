import type { CacheKey } from '../../src/contract/locator.js'
import { type DamagedEnvelope, decodeEnvelope, type Envelope, type LiveEnvelope } from '../../src/session/envelope.js'
import type { Sealing } from '../../src/session/seal.js'
import type { Clockwork } from './clockwork.js'

interface Entry {
  readonly value: Uint8Array
  readonly cas: number
  readonly expiresAt: number
}

/** Why an entry went that nobody told to go. */
export type LossReason = 'evicted' | 'restarted' | 'damaged' | 'expired' | 'refused'

/** What a server takes. */
export interface Limits {
  readonly maxValueBytes: number
  /** A value that it refuses takes along what stood there. */
  readonly refusalEvicts: boolean
}

/** How a server is away: it refuses connections, or nothing comes back from it. */
export type Outage = 'refusing' | 'silent'

export interface CacheWatcher {
  /** An entry with session data is lost. */
  onLoss(key: CacheKey, envelope: LiveEnvelope, why: LossReason): void
  /** A process removed an entry with session data. */
  onDropped(key: CacheKey, envelope: LiveEnvelope): void
  onStored(key: CacheKey, value: Uint8Array, before: Uint8Array | undefined): void
}

/**
 * A cache server of the simulated world, as Memcached is one: commands are atomic, CAS ids are counted from 1
 * after each start, and anything may be forgotten at any time.
 */
export class CacheServer {
  readonly name: string
  /** For all processes at once. */
  outage: Outage | undefined
  /** For these processes alone, by name. */
  readonly cutOff = new Map<string, Outage>()
  /** Counts the starts; connections and commands belong to one. */
  life = 1
  readonly entries = new Map<CacheKey, Entry>()
  /** It answers, and takes no new value. */
  isFull = false
  readonly #limits: Limits
  readonly #clock: Clockwork
  readonly #watcher: CacheWatcher
  readonly #sealing: Sealing | undefined
  #lastCas = 0

  constructor(name: string, limits: Limits, clock: Clockwork, watcher: CacheWatcher, sealing: Sealing | undefined) {
    this.name = name
    this.#limits = limits
    this.#clock = clock
    this.#watcher = watcher
    this.#sealing = sealing
  }

  /** How it is away for this process, if it is. */
  outageFor(process: string): Outage | undefined {
    return this.outage ?? this.cutOff.get(process)
  }

  get(key: CacheKey): Entry | undefined {
    const entry = this.entries.get(key)
    if (entry === undefined || this.#clock.now < entry.expiresAt) return entry
    this.lose(key, 'expired')
    return undefined
  }

  add(key: CacheKey, value: Uint8Array, ttlMs: number): number | 'exists' | 'refused' {
    if (this.get(key) !== undefined) return 'exists'
    return this.set(key, value, ttlMs)
  }

  cas(
    key: CacheKey,
    value: Uint8Array,
    cas: number,
    ttlMs: number,
  ): number | 'conflict' | 'missing' | 'too-large' | 'refused' {
    const entry = this.get(key)
    if (entry === undefined) return 'missing'
    if (entry.cas !== cas) return 'conflict'
    const isTooLarge = value.length > this.#limits.maxValueBytes
    if (!isTooLarge && !this.isFull) return this.set(key, value, ttlMs)
    if (this.#limits.refusalEvicts) this.lose(key, 'refused')
    return isTooLarge ? 'too-large' : 'refused'
  }

  set(key: CacheKey, value: Uint8Array, ttlMs: number): number | 'refused' {
    if (this.isFull) return 'refused'
    this.#lastCas += 1
    const before = this.entries.get(key)?.value
    this.entries.set(key, { value, cas: this.#lastCas, expiresAt: this.#clock.now + ttlMs })
    this.#watcher.onStored(key, value, before)
    return this.#lastCas
  }

  delete(key: CacheKey, cas: number): 'deleted' | 'conflict' | 'missing' {
    const entry = this.get(key)
    if (entry === undefined) return 'missing'
    if (entry.cas !== cas) return 'conflict'
    const envelope = this.#decoded(key, entry.value)
    this.entries.delete(key)
    if (envelope.kind === 'live') this.#watcher.onDropped(key, envelope)
    return 'deleted'
  }

  lose(key: CacheKey, why: LossReason): void {
    const entry = this.entries.get(key)
    if (entry === undefined) return
    const envelope = this.#decoded(key, entry.value)
    if (envelope.kind === 'live') this.#watcher.onLoss(key, envelope, why)
    this.entries.delete(key)
  }

  /** As those who watch this world see it, who have all keys. */
  #decoded(key: CacheKey, value: Uint8Array): Envelope | DamagedEnvelope {
    return decodeEnvelope(key, value, this.#sealing)
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
    const envelope = this.#decoded(key, entry.value)
    return envelope.kind === 'live' ? envelope : undefined
  }
}
