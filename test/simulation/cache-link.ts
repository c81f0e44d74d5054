import type {
  AddOutcome,
  CacheDeleteOutcome,
  CacheEntry,
  CasOutcome,
  CasToken,
  FrontCache,
  Placed,
} from '../../src/contract/front-cache.js'
import type { CacheKey } from '../../src/contract/locator.js'
import type { Runtime } from '../../src/contract/time.js'
import { SessionStoreError, tierUnavailable } from '../../src/errors.js'
import type { CacheServer } from './cache-server.js'
import type { Owner } from './clockwork.js'
import { placedAmong } from './placement.js'
import type { World } from './world.js'

interface Token {
  readonly server: string
  readonly generation: number
  readonly cas: number
}

interface Pending {
  readonly fail: (because: string) => void
}

/** This process's connection to one server. */
interface Line {
  readonly server: CacheServer
  /** Counts the connections: a token belongs to one. */
  generation: number
  pending: Set<Pending>
  /** The server's start that this connection was made to. */
  life: number
}

/** What a process saw of a server's going and coming back. */
export interface SeenOutage {
  readonly server: string
  readonly from: number
  /** The first answer after it; infinite until there is one. */
  to: number
}

/** So many calls in a row without an answer are more than calls that fail each for itself. */
const CALLS_OF_AN_OUTAGE = 3
/** The longest a command that outlived its connection is still on its way. */
const STRAGGLER_MS = 400

/**
 * One process's connections to the cache servers of its list, as the contract has it: a call has a deadline of its
 * own, which cuts the connection; a token dies with its connection; nothing is ever sent twice.
 *
 * A command whose connection was cut may still be read by the server, late, from what had arrived at its machine.
 * It never reaches a server that was started after it was sent: no connection outlives its server.
 */
export class CacheLink implements FrontCache, Placed {
  readonly name = 'cache'
  readonly outages: SeenOutage[] = []
  readonly servers: readonly [CacheServer, ...CacheServer[]]
  readonly serverList: number
  readonly #world: World
  readonly #process: Owner & { readonly name: string }
  readonly #runtime: Runtime
  readonly #timeoutMs: number
  readonly #lines: ReadonlyMap<string, Line>
  #closed = false

  constructor(
    world: World,
    process: Owner & { readonly name: string },
    runtime: Runtime,
    timeoutMs: number,
    servers: readonly [CacheServer, ...CacheServer[]],
  ) {
    this.#world = world
    this.#process = process
    this.#runtime = runtime
    this.#timeoutMs = timeoutMs
    this.servers = servers
    this.serverList = servers.reduce((sum, server) => sum + 2 ** world.cacheServers.indexOf(server), 0)
    this.#lines = new Map(
      servers.map((server) => [server.name, { server, generation: 1, pending: new Set(), life: server.life }]),
    )
  }

  readonly #homes = new Map<CacheKey, CacheServer>()
  /** So many calls to come fail, each for itself; their server is not away. */
  failing = 0
  /** How long each message takes beyond what is usual, while the way to the servers is slow. */
  slowMs = 0
  /** The next call is so late, and comes in time all the same. */
  lateOnceMs = 0
  /** By server: how many calls in a row got no answer, and when one last met an outage, or a server that takes nothing. */
  readonly #unanswered = new Map<string, { inARow: number; outageAt: number }>()

  /** This process could not reach the server of this key of late: nobody can blame it for going round the cache. */
  isUnreached(key: CacheKey): boolean {
    const { inARow, outageAt } = this.#unansweredOf(this.homeOf(key).name)
    return inARow >= CALLS_OF_AN_OUTAGE || this.#world.clock.now - outageAt <= this.#world.config.deadlineMs
  }

  #unansweredOf(server: string): { inARow: number; outageAt: number } {
    const known = this.#unanswered.get(server) ?? { inARow: 0, outageAt: Number.NEGATIVE_INFINITY }
    this.#unanswered.set(server, known)
    return known
  }

  /** Where a key is, as the list says. */
  homeOf(key: CacheKey): CacheServer {
    let home = this.#homes.get(key)
    if (home === undefined) {
      home = placedAmong(this.servers, key)
      this.#homes.set(key, home)
    }
    return home
  }

  /** Where it is put; a control may put it elsewhere. */
  place: (key: CacheKey) => CacheServer = (key) => this.homeOf(key)

  /** As if the servers that are away were not on the list; for a control. */
  placedAmongReached(key: CacheKey): CacheServer {
    const [first, ...others] = this.servers.filter((server) => server.outageFor(this.#process.name) === undefined)
    return placedAmong(first === undefined ? this.servers : [first, ...others], key)
  }

  serverOf(key: CacheKey): string {
    return this.place(key).name
  }

  /** The connection breaks: what is in flight is unknown, what was seen over it proves nothing any more. */
  cut(server: string, because: string): void {
    const line = this.#lines.get(server)
    if (line === undefined) return
    line.generation += 1
    line.life = line.server.life
    const { pending } = line
    line.pending = new Set()
    for (const { fail } of pending) fail(because)
  }

  /** A token as if it were of the connection of now; for a control. */
  revived(token: CasToken): CasToken {
    const { server, cas } = token as Token
    return { server, cas, generation: this.#lines.get(server)?.generation ?? 0 } satisfies Token
  }

  get(key: CacheKey): Promise<CacheEntry | undefined> {
    this.#world.onLook(this.#process.name, key)
    return this.#ask('get', key, false, ({ server }, tokenOf) => {
      this.#world.perhapsDamage(server, key)
      const entry = server.get(key)
      if (entry === undefined) return undefined
      return { value: Uint8Array.from(entry.value), token: tokenOf(entry.cas) }
    })
  }

  add(key: CacheKey, value: Uint8Array, expiresAt: number): Promise<AddOutcome> {
    const ttlMs = this.#ttlMs(expiresAt)
    return this.#ask('add', key, true, ({ server }, tokenOf) => {
      const stored = server.add(key, value, ttlMs)
      if (stored === 'refused') this.#refused(server.name, key)
      return typeof stored === 'number' ? { outcome: 'stored', token: tokenOf(stored) } : { outcome: stored }
    })
  }

  cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: number): Promise<CasOutcome> {
    if (!this.#isAlive(key, token)) return Promise.resolve({ outcome: 'conflict' })
    const ttlMs = this.#ttlMs(expiresAt)
    this.#world.onSentToCache(this.#process.name, key, value)
    return this.#ask('cas', key, true, ({ server }, tokenOf) => {
      const stored = server.cas(key, value, (token as Token).cas, ttlMs)
      if (stored === 'refused') this.#refused(server.name, key)
      if (stored === 'too-large') this.#world.strikeFelt('value too large')
      return typeof stored === 'number' ? { outcome: 'stored', token: tokenOf(stored) } : { outcome: stored }
    })
  }

  async set(key: CacheKey, value: Uint8Array, expiresAt: number): Promise<void> {
    const ttlMs = this.#ttlMs(expiresAt)
    const stored = await this.#ask('set', key, true, ({ server }) => server.set(key, value, ttlMs))
    if (stored !== 'refused') return
    this.#world.strikeFelt('cache full')
    this.#world.onCacheFailure(this.#process, this.homeOf(key).name, key)
    throw tierUnavailable(this.name, 'set', { because: 'out of memory', applied: 'no', answered: true })
  }

  delete(key: CacheKey, token: CasToken): Promise<CacheDeleteOutcome> {
    if (!this.#isAlive(key, token)) return Promise.resolve('conflict')
    return this.#ask('delete', key, true, ({ server }) => server.delete(key, (token as Token).cas))
  }

  async health(): Promise<{ readonly tier: string; readonly state: 'up'; readonly latencyMs: number }> {
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const server of this.#lines.keys()) this.cut(server, 'the cache was closed')
  }

  #isAlive(key: CacheKey, token: CasToken): boolean {
    const { server, generation } = token as Token
    return server === this.serverOf(key) && this.#lines.get(server)?.generation === generation
  }

  /** Memcached counts whole seconds, and never fewer than it was asked for. */
  #ttlMs(expiresAt: number): number {
    return Math.max(1, Math.ceil((expiresAt - this.#runtime.now()) / 1_000)) * 1_000
  }

  #refused(server: string, key: CacheKey): void {
    this.#world.strikeFelt('cache full')
    this.#unansweredOf(server).outageAt = this.#world.clock.now
    this.#world.onCacheRefusal(this.#process, key)
  }

  #failed(server: string): void {
    this.#unansweredOf(server).inARow += 1
    if (this.outages.every((outage) => outage.server !== server || outage.to !== Number.POSITIVE_INFINITY))
      this.outages.push({ server, from: this.#world.clock.now, to: Number.POSITIVE_INFINITY })
  }

  #answered(server: string): void {
    this.#unansweredOf(server).inARow = 0
    for (const outage of this.outages)
      if (outage.server === server) outage.to = Math.min(outage.to, this.#world.clock.now)
  }

  #ask<T>(
    operation: string,
    key: CacheKey,
    isChange: boolean,
    command: (line: Line, tokenOf: (cas: number) => CasToken) => T,
  ): Promise<T> {
    const world = this.#world
    const { network, config } = world
    const link = this.#lines.get(this.serverOf(key)) as Line
    const { server } = link
    // Made at the server, used at the process: so it belongs to the connection that the answer comes over.
    const execute = (): T =>
      command(link, (cas) => ({ server: server.name, generation: link.generation, cas }) satisfies Token)
    if (this.#closed) return Promise.reject(new SessionStoreError('E_CLOSED', 'The cache was closed'))
    return new Promise<T>((resolve, reject) => {
      const { generation } = link
      const line = `${this.#process.name} ${server.name} ${generation}`
      const fail = (because: string, applied: 'no' | 'unknown' = 'unknown'): void => {
        link.pending.delete(pending)
        stopWaiting()
        world.note(this.#process, `${server.name} ${operation} ${world.nameOf(key)} failed: ${because}`)
        if (server.outageFor(this.#process.name) !== undefined)
          this.#unansweredOf(server.name).outageAt = world.clock.now
        this.#failed(server.name)
        world.onCacheFailure(this.#process, server.name, key)
        reject(tierUnavailable(this.name, operation, { because, ...(isChange ? { applied } : {}) }))
      }
      const pending: Pending = { fail }
      let stopWaiting = (): void => {}
      const outage = server.outageFor(this.#process.name)
      if (outage !== undefined) world.strikeFelt(server.outage === undefined ? 'server cut off' : 'cache unreachable')
      if (outage === 'refusing') {
        // Not at once: even a refusal travels.
        stopWaiting = this.#runtime.after(0.5, () => fail('connection refused', 'no'))
        return
      }
      link.pending.add(pending)
      // A deadline that passes cuts the connection: an answer that comes after it must not be taken for another's.
      stopWaiting = this.#runtime.after(this.#timeoutMs, () =>
        this.cut(server.name, `no answer within ${this.#timeoutMs} ms`),
      )
      if (outage === 'silent') return

      const isFailing = this.failing > 0
      if (isFailing) {
        this.failing -= 1
        world.strikeFelt('call failed')
        // Reset at once, or late; and what it asked for may be done all the same.
        if (world.lots.happens(0.7))
          network.deliver(
            world.lots.between(1, 6),
            () => this.cut(server.name, 'the connection was reset'),
            this.#process,
          )
        if (world.lots.happens(0.4)) return
      }
      const slowMs = this.slowMs + this.lateOnceMs
      this.lateOnceMs = 0
      if (this.slowMs > 0) world.strikeFelt('cache slow')
      const { life } = link
      const arrive = (): void => {
        if (life !== server.life) return
        const isAway = server.outageFor(this.#process.name) !== undefined
        if (generation !== link.generation) {
          if (!network.meets('command after its connection')) return
          network.deliver(world.lots.between(0, STRAGGLER_MS), () => {
            // What had arrived at its machine is read whoever is cut off by now.
            if (life === server.life && server.outage === undefined) execute()
          })
          return
        }
        if (isAway) return
        const answer = execute()
        const isSprung = world.spring(this.#process.name, operation, key)
        world.note(
          this.#process,
          `${server.name} ${operation} ${world.nameOf(key)} → ${world.shownAnswer(key, answer)}`,
        )
        if (network.meets('reply dropped') || isFailing || isSprung) return
        network.deliver(
          network.delayMs(`${line} back`, config.cacheTimeoutMs, this.slowMs),
          () => {
            if (generation !== link.generation || !link.pending.delete(pending)) return
            stopWaiting()
            this.#answered(server.name)
            resolve(answer)
          },
          this.#process,
        )
      }
      if (network.meets('request dropped')) return
      if (network.meets('connection cut')) {
        network.deliver(
          world.lots.between(0, 3),
          () => this.cut(server.name, 'the connection was reset'),
          this.#process,
        )
      }
      network.deliver(network.delayMs(line, config.cacheTimeoutMs, slowMs), arrive)
    })
  }
}
