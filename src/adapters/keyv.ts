import type { SessionStore } from '../contract/session-store.js'
import { invalidOption } from '../errors.js'
import { type Entry, Keys } from './keys.js'
import { type KeysOptions, resolveKeysOptions } from './keys-options.js'

export type { GivenKeysOptions, KeysOptions, OwnKeysOptions } from './keys-options.js'

/** What stands under a key, as Keyv made it. */
type Raw = never

/** An entry as `setMany` of Keyv 6 gives it. */
export interface KeyvEntry {
  readonly key: string
  readonly value: unknown
  /** The moment at which it ends; absent for one that is to stay. */
  readonly expires?: number | undefined
}

/**
 * Keyv 5 gives the time that a key has left, Keyv 6 the moment at which it ends. No time that is left is as long as this, in
 * ms, and no moment since the year 2001 is as early: so that a store of the wrong one is noticed at the first key with an end.
 */
const FIRST_MOMENT = 1e12

const PREFIX = 'keyv'

/** What both versions have in common. */
abstract class KeyvStorage {
  /** The store underneath: for `health()`, `stats()` and `on()`. */
  readonly sessions: SessionStore<unknown>
  protected readonly keys: Keys
  /** Of each Keyv that was made with this adapter. */
  readonly #namespaces = new Set<string | undefined>()
  #namespace: string | undefined

  /**
   * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at all gives
   *   the embedded store, in this process only.
   * @throws SessionStoreError `E_CONFIG`
   */
  constructor(options: KeysOptions = {}) {
    this.keys = new Keys(resolveKeysOptions(options, PREFIX))
    this.sessions = this.keys.sessions
  }

  /** Set by each Keyv that is made with this adapter: the last one's. */
  get namespace(): string | undefined {
    return this.#namespace
  }

  set namespace(namespace: string | undefined) {
    this.#namespaces.add(namespace)
    this.#namespace = namespace
  }

  /** A Keyv does not say that it is the one that asks: what it clears might be the other's keys. */
  protected refuseIfShared(): void {
    if (this.#namespaces.size > 1)
      throw invalidOption(
        'namespace',
        'one for each adapter: make another adapter on the same `sessions`',
        this.namespace,
      )
  }

  /** Closes the store that was made here. A store that was given is left open. */
  async disconnect(): Promise<void> {
    await this.keys.close()
  }
}

/**
 * A storage adapter for Keyv 6, on a nonstick store. Each change is in the backend when it resolves. A call rejects where
 * the store cannot be asked (`docs/errors.md`); Keyv makes an `error` event of that, and of a reading `undefined`.
 */
export class NonstickKeyv extends KeyvStorage {
  /** Says to Keyv 6 that `set` is given the moment at which a key ends. */
  readonly capabilities: { readonly compatible: true; readonly store: 'keyvStorage'; readonly expires: true } = {
    compatible: true,
    store: 'keyvStorage',
    expires: true,
  }

  async get(key: string): Promise<Raw | undefined> {
    return rawOf(await this.keys.get(this.#within(key)))
  }

  /**
   * @param expires when it ends, in ms since 1970; absent: it stays until it is deleted
   * @throws SessionStoreError `E_CONFIG` for a time to live, as Keyv 5 gives it
   */
  async set(key: string, value: unknown, expires?: number): Promise<boolean> {
    if (expires !== undefined && expires < FIRST_MOMENT)
      throw invalidOption('expires', 'a moment, as Keyv 6 gives it; Keyv 5 needs `NonstickKeyv5`', expires)
    await this.keys.set(this.#within(key), value, expires)
    return true
  }

  async delete(key: string): Promise<boolean> {
    return await this.keys.delete(this.#within(key))
  }

  /**
   * Removes the keys of the namespace; without one, all.
   *
   * @throws SessionStoreError `E_CONFIG` where two Keyv with two namespaces have this one adapter
   */
  async clear(): Promise<void> {
    this.refuseIfShared()
    await this.keys.clear(this.#within(''))
  }

  async has(key: string): Promise<boolean> {
    return (await this.keys.get(this.#within(key))) !== undefined
  }

  async getMany(keys: readonly string[]): Promise<(Raw | undefined)[]> {
    return (await this.keys.getMany(keys.map((key) => this.#within(key)))).map(rawOf)
  }

  /** One `true` for each. The first that fails rejects it; the others may be in. */
  async setMany(entries: readonly KeyvEntry[]): Promise<boolean[]> {
    return await this.keys.each(entries, async ({ key, value, expires }) => await this.set(key, value, expires))
  }

  async deleteMany(keys: readonly string[]): Promise<boolean[]> {
    return await this.keys.deleteMany(keys.map((key) => this.#within(key)))
  }

  async hasMany(keys: readonly string[]): Promise<boolean[]> {
    return (await this.getMany(keys)).map((raw) => raw !== undefined)
  }

  /** The keys of the namespace, as the backend lists them. */
  async *iterator(): AsyncGenerator<[key: string, value: Raw], void> {
    const start = this.#within('')
    for await (const [key, { value }] of this.keys.entries(start)) yield [key.slice(start.length), value as Raw]
  }

  /** Keyv 6 leaves it to the adapter to keep namespaces apart. */
  #within(key: string): string {
    return this.namespace ? `${this.namespace}::${key}` : key
  }
}

/** The same for Keyv 5, which gives times to live, and keeps its namespaces apart itself. */
export class NonstickKeyv5 extends KeyvStorage {
  /** Keyv 5 asks only adapters of a few names for their `iterator`, and looks for the name here. */
  readonly opts: Record<string, unknown> = { dialect: 'postgres', url: '' }

  async get(key: string): Promise<Raw | undefined> {
    return rawOf(await this.keys.get(key))
  }

  /**
   * @param ttl how long it lives, in ms; absent: it stays until it is deleted
   * @throws SessionStoreError `E_CONFIG` for a moment, as Keyv 6 gives it
   */
  async set(key: string, value: unknown, ttl?: number): Promise<boolean> {
    if (ttl !== undefined && ttl >= FIRST_MOMENT)
      throw invalidOption('ttl', 'a duration, as Keyv 5 gives it; Keyv 6 needs `NonstickKeyv`', ttl)
    await this.keys.set(key, value, ttl === undefined ? undefined : this.keys.now() + ttl)
    return true
  }

  async delete(key: string): Promise<boolean> {
    return await this.keys.delete(key)
  }

  /**
   * Removes the keys of the namespace; without one, all.
   *
   * @throws SessionStoreError `E_CONFIG` where two Keyv with two namespaces have this one adapter
   */
  async clear(): Promise<void> {
    this.refuseIfShared()
    await this.keys.clear(this.namespace ? `${this.namespace}:` : '')
  }

  async has(key: string): Promise<boolean> {
    return (await this.keys.get(key)) !== undefined
  }

  async getMany(keys: readonly string[]): Promise<(Raw | undefined)[]> {
    return (await this.keys.getMany(keys)).map(rawOf)
  }

  /** Whether something stood under each of them. */
  async deleteMany(keys: readonly string[]): Promise<boolean> {
    return (await this.keys.deleteMany(keys)).every(Boolean)
  }

  /** The keys that begin with a namespace, as the backend lists them; without one, all. */
  async *iterator(namespace?: string): AsyncGenerator<[key: string, value: Raw], void> {
    for await (const [key, { value }] of this.keys.entries(namespace ? `${namespace}:` : '')) yield [key, value as Raw]
  }
}

const rawOf = (entry: Entry | undefined): Raw | undefined => entry?.value as Raw | undefined
