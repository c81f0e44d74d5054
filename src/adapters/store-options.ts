import type { SessionStore } from '../contract/index.js'
import { createSessionStore } from '../create-session-store.js'
import { areOptions, invalidOption } from '../errors.js'
import type { StoreOptions } from '../store/options.js'

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStoreOptions<Data> {
  readonly sessions: SessionStore<Data>

  /**
   * How long a session lives untouched of which the framework says nothing (its cookie ends with the browser, of which
   * the server learns nothing). In ms, whole, at least 1_000.
   * @default as the options of `sessions` say
   */
  readonly idleTtlMs?: number

  readonly cache?: never
  readonly backend?: never
}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStoreOptions<Data> extends StoreOptions<Data> {
  readonly sessions?: never
}

export type AdapterOptions<Data> = GivenStoreOptions<Data> | OwnStoreOptions<Data>

/** The options, seen through. */
export interface ResolvedStore<Data> {
  readonly sessions: SessionStore<Data>
  /** Whether the store was made here, and is closed with the adapter. */
  readonly owned: boolean
  /** The idle time-out of a session of which the framework says nothing; `undefined`: as the store's options say. */
  readonly idleTtlMs: number | undefined
}

const USED = ['create', 'load', 'save', 'touch', 'put', 'destroy', 'close'] as const
const BESIDE_A_GIVEN_STORE: ReadonlySet<string> = new Set(['sessions', 'idleTtlMs'])

/** @throws SessionStoreError `E_CONFIG` */
export const resolveStore = <Data>(options: AdapterOptions<Data>): ResolvedStore<Data> => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  if (options.sessions === undefined) {
    const { sessions: _, ...storeOptions } = options
    return { sessions: createSessionStore<Data>(storeOptions), owned: true, idleTtlMs: undefined }
  }
  const { sessions, idleTtlMs } = options
  for (const [name, value] of Object.entries(options))
    if (!BESIDE_A_GIVEN_STORE.has(name))
      throw invalidOption(name, 'left to the store given as `sessions`', value, { secret: true })
  const methods = sessions as unknown as Readonly<Record<string, unknown>> | null
  if (typeof methods !== 'object' || methods === null || !USED.every((name) => typeof methods[name] === 'function'))
    throw invalidOption('sessions', 'a session store, such as createSessionStore({ … }) gives', sessions, {
      secret: true,
    })
  if (idleTtlMs !== undefined && !(Number.isSafeInteger(idleTtlMs) && idleTtlMs >= 1_000))
    throw invalidOption('idleTtlMs', 'a whole number of at least 1000', idleTtlMs)
  return { sessions, owned: false, idleTtlMs }
}
