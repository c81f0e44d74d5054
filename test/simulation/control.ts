import type { Backend, GuardedUpdate, UpdateOutcome } from '../../src/contract/backend.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { LegacyStore } from '../../src/contract/legacy.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import type { Runtime } from '../../src/contract/time.js'
import { decodeEnvelope, encodeEnvelope, type LiveEnvelope, type NothingEnvelope } from '../../src/session/envelope.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { Config } from './config.js'
import type { Data } from './data.js'
import type { FaultKind } from './faults.js'
import type { World } from './world.js'

export interface Tiers {
  readonly cache: FrontCache
  readonly backend: Backend
}

/**
 * A weaker protocol, to see that the judge notices. The store's code runs as it is; the commands that it gives are
 * altered on their way to the tiers, or its answers on their way back, so that together they are the weaker protocol.
 */
export interface Control {
  /** As the protocol's search numbered it, and what is weaker. */
  readonly name: string
  readonly options?: (config: Config) => Partial<StoreOptions<Data>>
  readonly alter?: (tiers: Tiers & { readonly world: World }) => Tiers
  /** The store as its callers see it. */
  readonly store?: (store: SessionStore<Data>, world: World) => SessionStore<Data>
  readonly runtime?: (runtime: Runtime) => Runtime
  /** The old store, where there is one, as the store is given it. */
  readonly oldStore?: (legacy: LegacyStore, world: World) => LegacyStore
  /** Where what is weaker shows seldom: a world in which it shows more often. */
  readonly config?: (config: Config) => Config
}

/** A world in which few things go wrong, but these over and over. */
export const where =
  (faults: readonly FaultKind[], changed: Partial<Config> = {}) =>
  (config: Config): Config => ({
    ...config,
    faults: new Set(faults),
    strikes: 16,
    noise: 0.12,
    shortSessions: true,
    sessions: 1,
    persistOn: 'create',
    conflict: 'merge',
    users: undefined,
    ...changed,
  })

/** One server and one list, short deadlines, and nearly no allowance for clocks. */
export const QUICK: Partial<Config> = {
  lists: [[0], [0]],
  deadlineMs: 1_500,
  cacheTimeoutMs: 120,
  backendTimeoutMs: 250,
  leaseMs: 400,
  leaseWaitMs: 100,
  skewMs: 1,
  thinkMs: 10,
}

/** The protocol as it is. */
export const NO_CONTROL: Control = { name: 'none' }

/** A tier with some of its commands altered. */
export const over = <Tier extends object>(tier: Tier, altered: Partial<Tier>): Tier =>
  new Proxy(tier, {
    get: (target, name) => {
      const member: unknown = Reflect.get(name in altered ? altered : target, name)
      return typeof member === 'function' && !(name in altered) ? member.bind(target) : member
    },
  })

export const liveIn = (key: string, value: Uint8Array): LiveEnvelope | undefined => {
  const envelope = decodeEnvelope(key, value)
  return envelope.kind === 'live' ? envelope : undefined
}

/** The mark that nothing stands in the backend; `undefined` for any other envelope. */
export const markIn = (key: string, value: Uint8Array): NothingEnvelope | undefined => {
  const envelope = decodeEnvelope(key, value)
  return envelope.kind === 'nothing' ? envelope : undefined
}

export const ofCache = (name: string, altered: (cache: FrontCache, world: World) => Partial<FrontCache>): Control => ({
  name,
  alter: ({ cache, backend, world }) => ({ cache: over(cache, altered(cache, world)), backend }),
})

export const ofBackend = (name: string, altered: (backend: Backend, world: World) => Partial<Backend>): Control => ({
  name,
  alter: ({ cache, backend, world }) => ({ cache, backend: over(backend, altered(backend, world)) }),
})

/** Only what its callers see of the store is altered. */
export const ofCalls = (
  name: string,
  altered: (store: SessionStore<Data>, world: World) => Partial<SessionStore<Data>>,
): Control => ({
  name,
  store: (store, world) => over(store, altered(store, world)),
})

/** Live entries as `change` makes them; all else as it is. */
export const rewriting = (name: string, change: (envelope: LiveEnvelope) => LiveEnvelope): Control =>
  ofCache(name, (cache) => ({
    cas: (key, value, token, expiresAt) => {
      const envelope = liveIn(key, value)
      return cache.cas(key, envelope === undefined ? value : encodeEnvelope(key, change(envelope)), token, expiresAt)
    },
  }))

/** Updates as `change` makes them. */
export const updating = (name: string, change: (entry: GuardedUpdate) => GuardedUpdate): Control =>
  ofBackend(name, (backend) => ({ update: (entries) => backend.update(entries.map(change)) }))

export const applied: UpdateOutcome = { outcome: 'applied', token: new Uint8Array(0) }

export const isTakeover = ({ guard, session }: GuardedUpdate): boolean => guard.lineage !== session.lineage
