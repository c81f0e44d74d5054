import type { SessionStore } from '../contract/session-store.js'
import { areOptions, invalidOption } from '../errors.js'
import { sessionStoreFromEnv } from '../from-env.js'
import { runtimeOf } from '../runtime.js'
import { checkedOption, whole } from '../tools/options.js'
import { Keys } from './keys.js'
import { type KeysOptions, keysStoreOptions, type OwnKeysOptions, resolveKeysOptions } from './keys-options.js'

export type { GivenKeysOptions, KeysOptions, OwnKeysOptions } from './keys-options.js'

/**
 * `sessions`, or `cache` and `backend`, where the program makes them itself. Without either, the environment names the tiers,
 * as for `sessionStoreFromEnv`: then all options are such that a configuration file can hold them.
 */
export type UnstorageOptions = KeysOptions & {
  /** How long an item lives that is set without a `ttl` of its own, in seconds: whole, from 1 on. Absent: until it is removed. */
  readonly ttl?: number | undefined
}

/** What a call can be told; unstorage hands it through. */
export interface ItemOptions {
  /** How long the item lives, in seconds. 0 and absent: as the driver's own `ttl` says. */
  readonly ttl?: number | undefined
}

/** A driver as unstorage 1 wants one. */
export interface NonstickDriver {
  readonly name: string
  readonly flags: { readonly ttl: true }
  readonly options: UnstorageOptions
  /** The store underneath: for `health()`, `stats()` and `on()`. */
  getInstance(): Promise<SessionStore<unknown>>
  hasItem(key: string): Promise<boolean>
  getItem(key: string): Promise<never>
  getItemRaw(key: string): Promise<unknown>
  setItem(key: string, value: string, options?: ItemOptions): Promise<void>
  setItemRaw(key: string, value: unknown, options?: ItemOptions): Promise<void>
  removeItem(key: string): Promise<void>
  getKeys(base?: string): Promise<string[]>
  clear(base?: string): Promise<void>
  dispose(): Promise<void>
}

const NAME = 'unstorage'

/** What the environment says of the sessions of the program, and not of what is stored here. */
const OF_THE_SESSIONS: ReadonlySet<string> = new Set(
  [
    ...['NAMESPACE', 'APP', 'IDLE_TTL_MS', 'ANONYMOUS_TTL_MS', 'ABSOLUTE_TTL_MS', 'TOMBSTONE_TTL_MS'],
    ...['TOUCH_INTERVAL_MS', 'TOUCH_BACKEND_MS', 'PERSIST_ON', 'CONFLICT', 'MAX_ATTEMPTS'],
    ...['MAX_SESSIONS_PER_USER', 'ON_TOO_MANY_SESSIONS'],
  ].map((name) => `NONSTICK_${name}`),
)

/**
 * Makes a driver for unstorage, on a nonstick store. Each change is in the backend when it resolves. A call rejects where
 * the store cannot be asked (`docs/errors.md`). `dispose` closes the store, unless it was given.
 *
 * It is the default export, so that Nitro can name it: `storage: { data: { driver: 'nonstick/unstorage' } }`.
 *
 * @throws SessionStoreError `E_CONFIG`; where the environment names the tiers, the first call rejects with it
 */
export const nonstickDriver = (options: UnstorageOptions = {}): NonstickDriver => {
  const keysOf = openedBy(options)
  const { ttl: usualTtl } = options

  const set = async (key: string, value: unknown, ttl: number | undefined): Promise<void> => {
    const seconds = ttl || usualTtl
    if (seconds !== undefined && !Number.isFinite(seconds)) throw invalidOption('ttl', 'a number of seconds', seconds)
    const keys = await keysOf()
    await keys.set(key, value, seconds === undefined ? undefined : keys.now() + seconds * 1_000)
  }
  const get = async (key: string): Promise<unknown> => (await (await keysOf()).get(key))?.value ?? null

  return {
    name: 'nonstick',
    flags: { ttl: true },
    options,
    getInstance: async () => (await keysOf()).sessions,
    hasItem: async (key) => (await (await keysOf()).get(key)) !== undefined,
    getItem: async (key) => (await get(key)) as never,
    getItemRaw: get,
    setItem: async (key, value, itemOptions) => await set(key, value, itemOptions?.ttl),
    setItemRaw: async (key, value, itemOptions) => await set(key, value, itemOptions?.ttl),
    removeItem: async (key) => void (await (await keysOf()).delete(key)),
    getKeys: async (base) => {
      const found: string[] = []
      for await (const [key] of (await keysOf()).entries(base)) found.push(key)
      return found
    },
    clear: async (base) => await (await keysOf()).clear(base),
    dispose: async () => await (await keysOf()).close(),
  }
}

export default nonstickDriver

/**
 * What gives the keys of these options.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
const openedBy = (options: UnstorageOptions): (() => Promise<Keys>) => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  const { ttl, ...others } = options
  if (ttl !== undefined) checkedOption('ttl', ttl, whole(1))
  const { sessions, cache, backend } = others
  if (sessions !== undefined || cache !== undefined || backend !== undefined) {
    const keys = Promise.resolve(new Keys(resolveKeysOptions(others, NAME)))
    return () => keys
  }
  const { prefix = NAME, ...store } = others
  // They are checked here and now, as far as that can be done without the tiers.
  const storeOptions = keysStoreOptions(store as OwnKeysOptions)
  let opened: Promise<Keys> | undefined
  return () => {
    opened ??= fromEnvironment(storeOptions, prefix)
    return opened
  }
}

const fromEnvironment = async (options: ReturnType<typeof keysStoreOptions>, prefix: string): Promise<Keys> => {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !OF_THE_SESSIONS.has(name)))
  const sessions = await sessionStoreFromEnv<unknown>({ ...options, env })
  return new Keys({ sessions, owned: true, runtime: runtimeOf(options.runtime), prefix })
}
