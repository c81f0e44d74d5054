import type {
  AddOutcome,
  CacheDeleteOutcome,
  CacheEntry,
  CasOutcome,
  CasToken,
  FrontCache,
} from '../../src/contract/front-cache.js'
import type { CacheKey } from '../../src/contract/locator.js'
import type { Runtime } from '../../src/contract/time.js'
import { SessionStoreError, tierUnavailable } from '../../src/errors.js'
import type { Owner } from './clockwork.js'
import type { World } from './world.js'

interface Token {
  readonly generation: number
  readonly cas: number
}

interface Pending {
  readonly fail: (because: string) => void
}

/** The longest a command that outlived its connection is still on its way. */
const STRAGGLER_MS = 400

/**
 * One process's connection to the cache server, as the contract has it: a call has a deadline of its own, which
 * cuts the connection; a token dies with its connection; nothing is ever sent twice.
 *
 * A command whose connection was cut may still be read by the server, late, from what had arrived at its machine.
 * It never reaches a server that was started after it was sent: no connection outlives its server.
 */
export class CacheLink implements FrontCache {
  readonly name = 'cache'
  generation = 1
  readonly #world: World
  readonly #process: Owner & { readonly name: string }
  readonly #runtime: Runtime
  readonly #timeoutMs: number
  #pending = new Set<Pending>()
  #closed = false
  /** The server's start that this connection was made to. */
  #life: number

  constructor(world: World, process: Owner & { readonly name: string }, runtime: Runtime, timeoutMs: number) {
    this.#world = world
    this.#process = process
    this.#runtime = runtime
    this.#timeoutMs = timeoutMs
    this.#life = world.cacheServer.life
  }

  /** The connection breaks: what is in flight is unknown, what was seen over it proves nothing any more. */
  cut(because: string): void {
    this.generation += 1
    this.#life = this.#world.cacheServer.life
    const pending = this.#pending
    this.#pending = new Set()
    for (const { fail } of pending) fail(because)
  }

  get(key: CacheKey): Promise<CacheEntry | undefined> {
    const { cacheServer } = this.#world
    return this.#ask('get', key, false, () => {
      this.#world.perhapsDamage(key)
      const entry = cacheServer.get(key)
      if (entry === undefined) return undefined
      return { value: Uint8Array.from(entry.value), token: this.#token(entry.cas) }
    })
  }

  add(key: CacheKey, value: Uint8Array, expiresAt: number): Promise<AddOutcome> {
    const { cacheServer } = this.#world
    const ttlMs = this.#ttlMs(expiresAt)
    return this.#ask('add', key, true, () => {
      const stored = cacheServer.add(key, value, ttlMs)
      return stored === 'exists' ? { outcome: 'exists' } : { outcome: 'stored', token: this.#token(stored) }
    })
  }

  cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: number): Promise<CasOutcome> {
    const { cacheServer } = this.#world
    const { generation, cas } = token as Token
    if (generation !== this.generation) return Promise.resolve({ outcome: 'conflict' })
    const ttlMs = this.#ttlMs(expiresAt)
    return this.#ask('cas', key, true, () => {
      const stored = cacheServer.cas(key, value, cas, ttlMs)
      return typeof stored === 'number' ? { outcome: 'stored', token: this.#token(stored) } : { outcome: stored }
    })
  }

  async set(key: CacheKey, value: Uint8Array, expiresAt: number): Promise<void> {
    const { cacheServer } = this.#world
    const ttlMs = this.#ttlMs(expiresAt)
    await this.#ask('set', key, true, () => cacheServer.set(key, value, ttlMs))
  }

  delete(key: CacheKey, token: CasToken): Promise<CacheDeleteOutcome> {
    const { cacheServer } = this.#world
    const { generation, cas } = token as Token
    if (generation !== this.generation) return Promise.resolve('conflict')
    return this.#ask('delete', key, true, () => cacheServer.delete(key, cas))
  }

  async health(): Promise<{ readonly tier: string; readonly state: 'up'; readonly latencyMs: number }> {
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    this.cut('the cache was closed')
  }

  /** Made at the server, used at the process: so it belongs to the connection that the answer comes over. */
  #token(cas: number): CasToken {
    const { generation } = this
    return { generation, cas } satisfies Token
  }

  /** Memcached counts whole seconds, and never fewer than it was asked for. */
  #ttlMs(expiresAt: number): number {
    return Math.max(1, Math.ceil((expiresAt - this.#runtime.now()) / 1_000)) * 1_000
  }

  #ask<T>(operation: string, key: CacheKey, isChange: boolean, execute: () => T): Promise<T> {
    const world = this.#world
    const { network, config } = world
    if (this.#closed) return Promise.reject(new SessionStoreError('E_CLOSED', 'The cache was closed'))
    return new Promise<T>((resolve, reject) => {
      const generation = this.generation
      const line = `${this.#process.name} ${generation}`
      const fail = (because: string, applied: 'no' | 'unknown' = 'unknown'): void => {
        this.#pending.delete(pending)
        stopWaiting()
        world.note(this.#process, `cache ${operation} ${world.nameOf(key)} failed: ${because}`)
        world.onCacheFailure(this.#process, key)
        reject(tierUnavailable(this.name, operation, { because, ...(isChange ? { applied } : {}) }))
      }
      const pending: Pending = { fail }
      let stopWaiting = (): void => {}
      if (world.cacheOutage === 'refusing') {
        world.strikeFelt('cache unreachable')
        // Not at once: even a refusal travels.
        stopWaiting = this.#runtime.after(0.5, () => fail('connection refused', 'no'))
        return
      }
      this.#pending.add(pending)
      // A deadline that passes cuts the connection: an answer that comes after it must not be taken for another's.
      stopWaiting = this.#runtime.after(this.#timeoutMs, () => this.cut(`no answer within ${this.#timeoutMs} ms`))

      const life = this.#life
      const arrive = (): void => {
        const { cacheServer } = world
        if (life !== cacheServer.life) return
        if (generation !== this.generation) {
          if (!network.meets('command after its connection')) return
          network.deliver(world.lots.between(0, STRAGGLER_MS), () => {
            if (life === cacheServer.life && world.cacheOutage === undefined) execute()
          })
          return
        }
        if (world.cacheOutage !== undefined) return
        const answer = execute()
        world.note(this.#process, `cache ${operation} ${world.nameOf(key)} → ${world.shownAnswer(key, answer)}`)
        if (network.meets('reply dropped')) return
        network.deliver(
          network.delayMs(`${line} back`, config.cacheTimeoutMs, 0),
          () => {
            if (generation !== this.generation || !this.#pending.delete(pending)) return
            stopWaiting()
            resolve(answer)
          },
          this.#process,
        )
      }
      if (world.cacheOutage === 'silent') {
        world.strikeFelt('cache unreachable')
        return
      }
      if (network.meets('request dropped')) return
      if (network.meets('connection cut')) {
        network.deliver(world.lots.between(0, 3), () => this.cut('the connection was reset'), this.#process)
      }
      network.deliver(network.delayMs(line, config.cacheTimeoutMs, 0), arrive)
    })
  }
}
