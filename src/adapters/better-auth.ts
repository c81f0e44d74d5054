import type { SessionStore } from '../contract/session-store.js'
import { invalidOption } from '../errors.js'
import { type Entry, Keys } from './keys.js'
import { type KeysOptions, resolveKeysOptions } from './keys-options.js'

export type { GivenKeysOptions, KeysOptions, OwnKeysOptions } from './keys-options.js'

/** `secondaryStorage` of better-auth. */
export interface NonstickSecondaryStorage {
  /** The store underneath: for `health()`, `stats()` and `on()`. */
  readonly sessions: SessionStore<unknown>

  /** What stands under a key; `null` where nothing does, or where its time is over. */
  get(key: string): Promise<string | null>

  /** The same, and removes it. Of several calls at once, in whatever processes, one is given it, and the others `null`. */
  getAndDelete(key: string): Promise<string | null>

  /**
   * Adds one and gives the sum. Where nothing stands it begins with 1, which ends after `ttl` seconds; a later call does
   * not lengthen that. No call is missed, in whatever process.
   */
  increment(key: string, ttl: number): Promise<number>

  /** @param ttl in seconds; absent: it stays until it is deleted. 0, and less, leaves nothing there */
  set(key: string, value: string, ttl?: number): Promise<void>

  /** Removes what stands there; nothing is fine. */
  delete(key: string): Promise<void>

  /** Closes the store that was made here. A store that was given is left open. */
  close(): Promise<void>
}

const PREFIX = 'better-auth'

/**
 * Makes the `secondaryStorage` of better-auth, on a nonstick store: where it keeps sessions, verifications and the counts of
 * its rate limit. Each change is in the backend when it resolves. A call rejects where the store cannot be asked
 * (`docs/errors.md`).
 *
 * @param options `{ sessions }` for a store made elsewhere, or the options of `createSessionStore`; nothing at all gives the
 *   embedded store, in this process only.
 * @throws SessionStoreError `E_CONFIG`
 */
export const nonstickStorage = (options: KeysOptions = {}): NonstickSecondaryStorage => {
  const keys = new Keys(resolveKeysOptions(options, PREFIX))
  return {
    sessions: keys.sessions,
    get: async (key) => textOf(await keys.get(key)),
    getAndDelete: async (key) => textOf(await keys.take(key)),
    increment: async (key, ttl) => await keys.increment(key, msOf(ttl)),
    set: async (key, value, ttl) => await keys.set(key, value, ttl === undefined ? undefined : keys.now() + msOf(ttl)),
    delete: async (key) => void (await keys.delete(key)),
    close: async () => await keys.close(),
  }
}

const textOf = (entry: Entry | undefined): string | null => (entry === undefined ? null : String(entry.value))

/** @throws SessionStoreError `E_CONFIG` */
const msOf = (ttl: number): number => {
  if (!Number.isFinite(ttl)) throw invalidOption('ttl', 'a number of seconds', ttl)
  return ttl * 1_000
}
