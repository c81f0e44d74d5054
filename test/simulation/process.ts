import { jsonCodec } from '../../src/codecs/index.js'
import type { Backend } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import type { Runtime } from '../../src/contract/time.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { StoreOptions } from '../../src/store/options.js'
import { BackendLink } from './backend-link.js'
import { BackendLinkWithUsers } from './backend-link-with-users.js'
import { CacheLink } from './cache-link.js'
import type { Owner } from './clockwork.js'
import type { UsersConfig } from './config.js'
import { type Data, mergedByHand, mergedInPlace } from './data.js'
import { OldStoreLink } from './old-store.js'
import { keysOf, NONCE_BYTES } from './sealing.js'
import { EPOCH, type World } from './world.js'

const limitOf = (
  users: UsersConfig | undefined,
): Pick<StoreOptions<Data>, 'maxSessionsPerUser' | 'onTooManySessions'> =>
  users?.limit === undefined ? {} : { maxSessionsPerUser: users.limit.most, onTooManySessions: users.limit.onTooMany }

const legacyOf = (world: World, process: SimulatedProcess): Pick<StoreOptions<Data>, 'legacy'> => {
  if (world.oldStore === undefined) return {}
  const link = new OldStoreLink(world, process, world.oldStore)
  return { legacy: world.control.oldStore?.(link, world) ?? link }
}

/** One process of the cluster: a store, a clock that may be wrong, and its ways to the tiers. */
export class SimulatedProcess implements Owner {
  readonly name: string
  readonly store: SessionStore<Data>
  readonly cacheLink: CacheLink
  alive = true
  /** It is being closed, or was: its clients have gone. */
  leaving = false
  pausedAt: number | undefined
  /** When it was last awake after a pause. */
  readonly pauses: { readonly from: number; to: number }[] = []
  /** It told that it could not keep in mind all that it owes the backend. */
  hasAbandoned = false
  /** The servers, and perhaps the backend, that its store asks nothing now, as they did not answer. */
  readonly leftAlone = new Set<string>()
  /** How far its clock is off; it may step. */
  skewMs: number
  readonly backendLink: BackendLink
  readonly #world: World
  #postponed: (() => void)[] = []

  constructor(world: World, name: string, skewMs: number, servers: CacheLink['servers']) {
    const { config, control, clock } = world
    this.name = name
    this.skewMs = skewMs
    this.#world = world
    const lots = world.lots.branch(name)
    // The nonces of seals are drawn apart, so that the rest of a schedule is what it was without them.
    const nonces = world.lots.branch(`${name} nonces`)
    const right: Runtime = {
      now: () => Math.floor(EPOCH + clock.now + this.skewMs),
      monotonicMs: () => clock.now,
      after: (delayMs, callback) => clock.after(delayMs, callback, this),
      randomBytes: (size) => (size === NONCE_BYTES ? nonces : lots).bytes(size),
      random: () => lots.next(),
    }
    const runtime = control.runtime?.(right) ?? right
    this.cacheLink = new CacheLink(world, this, runtime, config.cacheTimeoutMs * 0.8, servers)
    const Link = config.users === undefined ? BackendLink : BackendLinkWithUsers
    this.backendLink = new Link(world, this, runtime, config.backendTimeoutMs * 0.8)
    const tiers: { cache: FrontCache; backend: Backend } = control.alter?.({
      cache: this.cacheLink,
      backend: this.backendLink,
      world,
    }) ?? { cache: this.cacheLink, backend: this.backendLink }
    const merged = config.faults.has('conflict function alters its arguments')
      ? (copies: Parameters<typeof mergedInPlace>[0]) => {
          world.strikeFelt('conflict function alters its arguments')
          return mergedInPlace(copies)
        }
      : mergedByHand
    const store = createSessionStore<Data>({
      ...tiers,
      persistOn: config.persistOn,
      conflict: config.conflict === 'function' ? merged : config.conflict,
      codec: jsonCodec,
      runtime,
      identify: ({ user }) => user,
      maxStaleCount: config.maxStaleCount,
      maxStaleMs: config.maxStaleMs,
      idleTtlMs: config.idleTtlMs,
      absoluteTtlMs: config.absoluteTtlMs,
      onBackendDown: config.onBackendDown,
      onCacheUnreachable: config.onCacheUnreachable,
      deadlineMs: config.deadlineMs,
      cacheTimeoutMs: config.cacheTimeoutMs,
      backendTimeoutMs: config.backendTimeoutMs,
      breakerFailures: config.breakerFailures,
      cacheRetryMs: config.cacheRetryMs,
      backendRetryMs: config.backendRetryMs,
      tombstoneTtlMs: config.tombstoneTtlMs,
      leaseMs: config.leaseMs,
      leaseWaitMs: config.leaseWaitMs,
      unknownIdTtlMs: config.unknownIdTtlMs,
      maxClockSkewMs: config.skewMs,
      // lru-cache makes room at once for as many as it may ever hold.
      maxUnflushed: config.maxUnflushed,
      ...limitOf(config.users),
      ...(config.sealed === true ? { sealing: { keys: keysOf(world.processes.length) } } : {}),
      ...legacyOf(world, this),
      // The world purges by strikes of its own.
      purgeEveryMs: 0,
      ...control.options?.(config),
    })
    this.store = control.store?.(store, world) ?? store
    store.on('fault', () => {}) // What a store warns of where nobody listens is no news here.
    store.on('abandoned', ({ operation }) => {
      if (operation === 'flush') this.hasAbandoned = true
    })
    store.on('breaker', ({ tier, server, state }) => {
      if (state === 'closed') this.leftAlone.delete(server)
      else this.leftAlone.add(server)
      world.note(this, `the breaker of ${server} of the ${tier} is ${state}`)
    })
  }

  get paused(): boolean {
    return this.pausedAt !== undefined
  }

  postpone(event: () => void): void {
    this.#postponed.push(event)
  }

  pause(): void {
    this.pausedAt = this.#world.clock.now
  }

  /** Everything that came meanwhile happens now, in the order it came. */
  resume(): void {
    if (this.pausedAt === undefined) return
    this.pauses.push({ from: this.pausedAt, to: this.#world.clock.now })
    this.pausedAt = undefined
    const postponed = this.#postponed
    this.#postponed = []
    for (const event of postponed) this.#world.clock.after(0, event, this)
  }

  /** At once, like a kill: what it sent may arrive, what it waited for is nobody's. */
  die(): void {
    this.alive = false
    this.#postponed = []
  }

  /** Its ways to the tiers are as they should be. What its clock has lost or gained it keeps. */
  heal(): void {
    this.cacheLink.failing = 0
    this.cacheLink.slowMs = 0
    this.backendLink.failing = 0
  }

  /** How long of the time between these moments it was paused. */
  pausedBetween(from: number, to: number): number {
    let sum = 0
    for (const pause of this.pauses) sum += Math.max(0, Math.min(to, pause.to) - Math.max(from, pause.from))
    if (this.pausedAt !== undefined) sum += Math.max(0, to - Math.max(from, this.pausedAt))
    return sum
  }
}
