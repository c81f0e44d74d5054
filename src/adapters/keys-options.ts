import type { SessionStore } from '../contract/session-store.js'
import type { Runtime } from '../contract/time.js'
import { createSessionStore } from '../create-session-store.js'
import { invalidOption } from '../errors.js'
import { runtimeOf } from '../runtime.js'
import { LONGEST_MS, type StoreOptions } from '../store/options.js'
import { aRuntime, checkedOption, having, kindOf, required } from '../tools/options.js'
import { checkAdapterOptions } from './given-store.js'

/** Options of a store that mean nothing for keys: what is kept under a key is nobody's session. */
type OfSessionsAlone =
  | 'app'
  | 'identify'
  | 'beforeSave'
  | 'conflict'
  | 'persistOn'
  | 'idleTtlMs'
  | 'anonymousTtlMs'
  | 'maxSessionsPerUser'
  | 'onTooManySessions'

interface Common {
  /**
   * What stands before each key, so that several users of one store do not meet: 1 to 64 letters, digits, `_`, `.` and `-`.
   * @default the name of the adapter
   */
  readonly prefix?: string | undefined
}

/** For a store that was made elsewhere: whoever made it closes it. */
export interface GivenKeysOptions extends Common {
  /**
   * A store whose `absoluteTtlMs` is as long as a key may live, however often it is set; ten years, say. A key never outlives
   * that, counted from when it was first set.
   */
  readonly sessions: SessionStore<never> | SessionStore<unknown> | SessionStore
  /** The clock of that store, where it was given one. @default the system's */
  readonly runtime?: Runtime | undefined
  readonly cache?: undefined
  readonly backend?: undefined
}

/**
 * The options of `createSessionStore`: the store is made here, and closed with the adapter. Its defaults differ in that
 * `namespace` is `keys`, `absoluteTtlMs` is ten years, and `maxAttempts` is 1_000.
 */
export interface OwnKeysOptions extends Common, Omit<StoreOptions<unknown>, OfSessionsAlone> {
  readonly sessions?: undefined
}

export type KeysOptions = GivenKeysOptions | OwnKeysOptions

/** The options, seen through. */
export interface ResolvedKeysOptions {
  readonly sessions: SessionStore<unknown>
  readonly owned: boolean
  readonly runtime: Runtime
  readonly prefix: string
}

const OF_SESSIONS_ALONE: readonly OfSessionsAlone[] = [
  ...(['app', 'identify', 'beforeSave', 'conflict', 'persistOn', 'idleTtlMs', 'anonymousTtlMs'] as const),
  ...(['maxSessionsPerUser', 'onTooManySessions'] as const),
]

const aPrefix = kindOf<string>(
  '1 to 64 letters, digits, _, . and -',
  (value) => typeof value === 'string' && /^[A-Za-z0-9_.-]{1,64}$/.test(value),
)
const STORE = required(
  having<SessionStore<unknown>>('a session store, such as createSessionStore({ … }) gives', [
    ...['create', 'load', 'put', 'update', 'list', 'close'],
  ]),
)

/** @throws SessionStoreError `E_CONFIG` */
export const resolveKeysOptions = (options: KeysOptions, defaultPrefix: string): ResolvedKeysOptions => {
  checkAdapterOptions(options)
  const { prefix = defaultPrefix, sessions, ...others } = options
  checkedOption('prefix', prefix, aPrefix)
  if (sessions === undefined) return { ...made(others as OwnKeysOptions), prefix }
  const { runtime, ...tooMany } = others as Omit<GivenKeysOptions, 'sessions'>
  for (const [name, value] of Object.entries(tooMany))
    if (value !== undefined) throw invalidOption(name, 'left to the store given as `sessions`', value, { secret: true })
  if (runtime !== undefined) checkedOption('runtime', runtime, aRuntime)
  const store = checkedOption('sessions', sessions as SessionStore<unknown>, STORE)
  return { sessions: store, owned: false, runtime: runtimeOf(runtime), prefix }
}

/** The options of a store for keys alone, with what they are where nobody says otherwise. */
export const keysStoreOptions = (options: OwnKeysOptions): StoreOptions<unknown> => {
  for (const name of OF_SESSIONS_ALONE) {
    const value: unknown = Reflect.get(options, name)
    if (value !== undefined)
      throw invalidOption(name, 'left out', value, { secret: true, cure: 'what is kept under a key is no session' })
  }
  const { sessions: _, prefix: __, ...given } = options
  const absoluteTtlMs = given.absoluteTtlMs ?? LONGEST_MS
  return { namespace: 'keys', maxAttempts: 1_000, ...given, absoluteTtlMs, idleTtlMs: absoluteTtlMs }
}

const made = (options: OwnKeysOptions): Omit<ResolvedKeysOptions, 'prefix'> => ({
  sessions: createSessionStore<unknown>(keysStoreOptions(options)),
  owned: true,
  runtime: runtimeOf(options.runtime),
})
