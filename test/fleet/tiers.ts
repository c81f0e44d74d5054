import { memoryBackend } from '../../src/backends/memory/index.js'
import { weightedRendezvous } from '../../src/caches/memcached/placement.js'
import type { Backend } from '../../src/contract/backend.js'
import type { CacheEntry, CasToken, FrontCache, Placed } from '../../src/contract/front-cache.js'
import type { CacheKey } from '../../src/contract/locator.js'
import type { Runtime } from '../../src/contract/time.js'
import { tierUnavailable } from '../../src/errors.js'
import type { Clockwork } from '../simulation/clockwork.js'
import type { Lots } from '../simulation/random.js'

/** What was done in one second of the simulated time. */
export interface Second {
  backendReads: number
  /** Statements that write, each for one session or a batch. */
  backendWrites: number
  /** Rows in them. */
  rowsWritten: number
  cacheCalls: number
}

/** Counts what is done by the second. */
export class Counters {
  readonly seconds: Second[] = []
  readonly #clock: Clockwork

  constructor(clock: Clockwork) {
    this.#clock = clock
  }

  get now(): Second {
    const at = Math.floor(this.#clock.now / 1_000)
    while (this.seconds.length <= at)
      this.seconds.push({ backendReads: 0, backendWrites: 0, rowsWritten: 0, cacheCalls: 0 })
    return this.seconds[at] as Second
  }
}

interface Kept {
  readonly value: Uint8Array
  readonly cas: number
  readonly expiresAt: number
}

/** A Memcached: it keeps what it is given until it is lost. */
export class FleetServer {
  readonly entries = new Map<CacheKey, Kept>()
  isUp = true
  /** Counts its starts: a token is of one of them. */
  life = 1
  readonly address: string
  #cas = 0

  constructor(address: string) {
    this.address = address
  }

  put(key: CacheKey, value: Uint8Array, expiresAt: number): CasToken {
    this.#cas += 1
    this.entries.set(key, { value, cas: this.#cas, expiresAt })
    return { cas: this.#cas, life: this.life }
  }

  lose(): void {
    this.isUp = false
    this.entries.clear()
  }

  start(): void {
    this.isUp = true
    this.life += 1
  }
}

/** The cache servers of the fleet, and which of them has a key: by the placement of nonstick/memcached. */
export class FleetServers {
  readonly all: readonly FleetServer[]
  readonly #place: (key: CacheKey) => number
  readonly #homes = new Map<CacheKey, FleetServer>()

  constructor(count: number) {
    this.all = Array.from({ length: count }, (_, at) => new FleetServer(`cache${at + 1}:11211`))
    this.#place = weightedRendezvous(this.all.map(({ address }) => ({ address, weight: 1 })))
  }

  homeOf(key: CacheKey): FleetServer {
    const known = this.#homes.get(key)
    if (known !== undefined) return known
    const home = this.all[this.#place(key)] as FleetServer
    this.#homes.set(key, home)
    return home
  }
}

/** How long a call to a tier takes there and back, in ms: between the least and twice as much. */
export const CACHE_MS = 0.25
export const BACKEND_MS = 1

/** A process's way to the cache servers. A server that is lost refuses the connection. */
export class FleetCache implements FrontCache, Placed {
  readonly name = 'cache'
  readonly serverList = 1
  readonly #servers: FleetServers
  readonly #clock: Clockwork
  readonly #runtime: Runtime
  readonly #counters: Counters
  readonly #lots: Lots

  constructor(servers: FleetServers, clock: Clockwork, runtime: Runtime, counters: Counters, lots: Lots) {
    this.#servers = servers
    this.#clock = clock
    this.#runtime = runtime
    this.#counters = counters
    this.#lots = lots
  }

  serverOf(key: CacheKey): string {
    return this.#servers.homeOf(key).address
  }

  async #reach(operation: string, key: CacheKey): Promise<{ server: FleetServer; standing: Kept | undefined }> {
    await this.#clock.sleep(CACHE_MS * (1 + this.#lots.next()))
    const server = this.#servers.homeOf(key)
    if (!server.isUp) throw tierUnavailable(this.name, operation, { because: 'ECONNREFUSED', applied: 'no' })
    this.#counters.now.cacheCalls += 1
    const kept = server.entries.get(key)
    return { server, standing: kept === undefined || kept.expiresAt <= this.#runtime.now() ? undefined : kept }
  }

  async get(key: CacheKey): Promise<CacheEntry | undefined> {
    const { server, standing } = await this.#reach('get', key)
    return standing && { value: Uint8Array.from(standing.value), token: { cas: standing.cas, life: server.life } }
  }

  async add(key: CacheKey, value: Uint8Array, expiresAt: number): ReturnType<FrontCache['add']> {
    const { server, standing } = await this.#reach('add', key)
    if (standing !== undefined) return { outcome: 'exists' }
    return { outcome: 'stored', token: server.put(key, Uint8Array.from(value), expiresAt) }
  }

  async cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: number): ReturnType<FrontCache['cas']> {
    const { server, standing } = await this.#reach('cas', key)
    if (standing === undefined) return { outcome: 'missing' }
    if (!isOf(token, standing, server)) return { outcome: 'conflict' }
    return { outcome: 'stored', token: server.put(key, Uint8Array.from(value), expiresAt) }
  }

  async set(key: CacheKey, value: Uint8Array, expiresAt: number): Promise<void> {
    const { server } = await this.#reach('set', key)
    server.put(key, Uint8Array.from(value), expiresAt)
  }

  async delete(key: CacheKey, token: CasToken): ReturnType<FrontCache['delete']> {
    const { server, standing } = await this.#reach('delete', key)
    if (standing === undefined) return 'missing'
    if (!isOf(token, standing, server)) return 'conflict'
    server.entries.delete(key)
    return 'deleted'
  }

  async health(): ReturnType<FrontCache['health']> {
    return { tier: this.name, state: 'up', latencyMs: 0 }
  }

  async close(): Promise<void> {}
}

const isOf = (token: CasToken, { cas }: Kept, { life }: FleetServer): boolean => {
  const seen = token as { readonly cas: number; readonly life: number }
  return seen.cas === cas && seen.life === life
}

/** Every process's way to the one backend: each call is counted, and takes its time. */
export const fleetBackend = (clock: Clockwork, runtime: Runtime, counters: Counters, lots: Lots): Backend => {
  const backend = memoryBackend({ runtime })
  const later = async <Result>(count: (second: Second) => void, call: () => Promise<Result>): Promise<Result> => {
    await clock.sleep(BACKEND_MS * (1 + lots.next()))
    count(counters.now)
    return await call()
  }
  const reading = (second: Second): void => {
    second.backendReads += 1
  }
  const writing =
    (rows: number) =>
    (second: Second): void => {
      second.backendWrites += 1
      second.rowsWritten += rows
    }
  return {
    name: 'backend',
    read: (locator) => later(reading, () => backend.read(locator)),
    insert: (locator, session, options) => later(writing(1), () => backend.insert(locator, session, options)),
    update: (entries) => later(writing(entries.length), () => backend.update(entries)),
    extend: (entries) => later(writing(entries.length), () => backend.extend(entries)),
    destroy: (locator, options) => later(writing(1), () => backend.destroy(locator, options)),
    purge: (options) => backend.purge(options),
    setUp: () => backend.setUp(),
    health: () => backend.health(),
    close: async () => {},
  }
}
