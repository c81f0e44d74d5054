import type { GivenIdleTtl, SessionStore } from '../contract/index.js'
import { createSessionStore } from '../create-session-store.js'
import { areOptions, invalidOption } from '../errors.js'
import type { StoreOptions } from '../store/options.js'
import { checkedOption, having, type Kind, milliseconds, required } from '../tools/options.js'

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStore<Data = unknown> {
  readonly sessions: SessionStore<Data>

  /**
   * How long a session lives untouched whose cookie has no `maxAge` (it ends with the browser, of which the
   * server learns nothing). In ms. A cookie that has one is itself the session's idle time-out.
   * @default as `sessions` created it: its own `idleTtlMs`
   */
  readonly idleTtlMs?: number | undefined

  readonly cache?: undefined
  readonly backend?: undefined
}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStore<Data> extends StoreOptions<Data> {
  readonly sessions?: undefined
}

/** The store underneath an adapter, given or made. */
export interface ResolvedStore<Data> {
  readonly sessions: SessionStore<Data>
  readonly owned: boolean
  /** The idle time-out of a session whose cookie has no `maxAge`; `undefined` leaves it as it is. */
  readonly idleTtlMs: GivenIdleTtl | undefined
}

/** The idle time-out that an option gives. */
export const IDLE_TTL: Kind<number> = milliseconds(1_000, Number.MAX_SAFE_INTEGER)

const USED = [
  'create',
  'load',
  'save',
  'touch',
  'put',
  'destroy',
  'regenerate',
  'list',
  'count',
  'destroyAll',
  'close',
] as const

/**
 * @param own the names of the adapter's own options, which the store underneath does not know
 * @throws SessionStoreError `E_CONFIG`
 */
export const resolveStore = <Data>(
  options: GivenStore | OwnStore<Data>,
  own: readonly string[] = [],
): ResolvedStore<Data> => {
  checkAdapterOptions(options)
  const ofTheStore = Object.fromEntries(Object.entries(options).filter(([name]) => !own.includes(name)))
  if (options.sessions === undefined) {
    const { sessions: _, ...storeOptions } = ofTheStore as OwnStore<Data>
    return { sessions: createSessionStore<Data>(storeOptions), owned: true, idleTtlMs: 'default' }
  }
  const { sessions, idleTtlMs, ...others } = ofTheStore as Record<string, unknown>
  const given = givenStore<Data>(sessions, others, USED)
  return {
    sessions: given,
    owned: false,
    idleTtlMs: idleTtlMs === undefined ? undefined : checkedOption('idleTtlMs', idleTtlMs, IDLE_TTL),
  }
}

/** Refuses options that are none, and a store in their place. */
export const checkAdapterOptions = (options: object): void => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  if (having('a session store', USED).accepts(options))
    throw invalidOption('options', 'an object such as `{ sessions }`', options, {
      cure: 'it is a session store, which is given as `sessions`',
    })
}

/** The store that was given as `sessions`, with nothing beside it that only whoever made it could have said. */
const givenStore = <Data>(
  sessions: unknown,
  others: object,
  used: readonly Extract<keyof SessionStore<Data>, string>[],
): SessionStore<Data> => {
  for (const [name, value] of Object.entries(others))
    if (value !== undefined) throw invalidOption(name, 'left to the store given as `sessions`', value, { secret: true })
  const aStore = required(having<SessionStore<Data>>('a session store, such as createSessionStore({ … }) gives', used))
  return checkedOption('sessions', sessions, aStore)
}

/** How an adapter knows whose a session is. */
export interface NamedUsers<Data> {
  readonly identify: (data: unknown) => string | undefined
  /** For who would say it himself by the option `identify`. */
  readonly because: string
  /** What the adapter calls of a store that it was given. */
  readonly used: readonly Extract<keyof SessionStore<Data>, string>[]
}

/** The options of an adapter that says itself whose a session is: of a store that it makes, or a store that it was given. */
export interface OptionsOfNamed {
  readonly sessions?: unknown
  readonly idleTtlMs?: number | undefined
}

/**
 * The store underneath such an adapter. `idleTtlMs` is the option as it was given; a store that is made here has it, too.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const resolveNamedStore = <Data>(
  options: OptionsOfNamed,
  { identify, because, used }: NamedUsers<Data>,
): { readonly sessions: SessionStore<Data>; readonly owned: boolean; readonly idleTtlMs: number | undefined } => {
  checkAdapterOptions(options)
  const { sessions, idleTtlMs, ...others } = options
  if (idleTtlMs !== undefined) checkedOption('idleTtlMs', idleTtlMs, IDLE_TTL)
  if (sessions === undefined) {
    if ('identify' in others) throw invalidOption('identify', 'left out', others.identify, { cure: because })
    const storeOptions: StoreOptions<Data> = { ...others, ...(idleTtlMs === undefined ? {} : { idleTtlMs }), identify }
    return { sessions: createSessionStore<Data>(storeOptions), owned: true, idleTtlMs }
  }
  return { sessions: givenStore(sessions, others, used), owned: false, idleTtlMs }
}
