import type { SessionStore } from '../contract/index.js'
import { createSessionStore } from '../create-session-store.js'
import { areOptions, invalidOption } from '../errors.js'
import type { StoreOptions } from '../store/options.js'
import { checkedOption, having, type Kind, milliseconds, secret } from '../tools/options.js'

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
const A_STORE = secret(having<unknown>('a session store, such as createSessionStore({ … }) gives', USED))
const AN_IDLE_TTL = milliseconds(1_000, Number.MAX_SAFE_INTEGER)
const BESIDE_A_GIVEN_STORE: ReadonlySet<string> = new Set(['sessions', 'idleTtlMs'])

/**
 * @param own what the adapter's own options may be, which may stand beside either kind of store
 * @throws SessionStoreError `E_CONFIG`
 */
export const resolveStore = <Data>(
  options: AdapterOptions<Data>,
  own: Readonly<Record<string, Kind<unknown>>> = {},
): ResolvedStore<Data> => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  for (const [name, value] of given) if (own[name] !== undefined) checkedOption(name, value, own[name])
  const ofStore = given.filter(([name]) => own[name] === undefined)
  if (options.sessions === undefined) {
    const sessions = createSessionStore<Data>(Object.fromEntries(ofStore) as StoreOptions<Data>)
    return { sessions, owned: true, idleTtlMs: undefined }
  }
  for (const [name, value] of ofStore)
    if (!BESIDE_A_GIVEN_STORE.has(name))
      throw invalidOption(name, 'left to the store given as `sessions`', value, { secret: true })
  const { sessions, idleTtlMs } = options
  checkedOption('sessions', sessions, A_STORE)
  if (idleTtlMs !== undefined) checkedOption('idleTtlMs', idleTtlMs, AN_IDLE_TTL)
  return { sessions, owned: false, idleTtlMs }
}
