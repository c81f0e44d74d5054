import type { SessionData, Store } from 'express-session'
import type { ClientInfo, GivenIdleTtl, SessionStore } from '../contract/index.js'
import { createSessionStore } from '../create-session-store.js'
import { areOptions, invalidOption } from '../errors.js'
import type { StoreOptions } from '../store/options.js'

/** What an application keeps in `req.session`, as declared by merging into express-session's `SessionData`. */
export type ExpressData = Partial<SessionData>

/** The request of express, as express-session has it. */
export type ExpressRequest = Parameters<Store['createSession']>[0]

export interface RecordingOptions {
  /**
   * Records from where and with what each session is used: `true` takes `req.ip` and the header `user-agent`, a function
   * says it of the request, or nothing by `undefined`. They are stored with each write that a request makes,
   * and shown by listings. Both are personal data, and `req.ip` is the proxy's unless express is told to trust it
   * (`docs/trust-proxy.md`). What a program stores by hand (`set` with an object of its own) has no request and no client.
   * @default false
   */
  readonly recordClient?: boolean | ((req: ExpressRequest) => ClientInfo | undefined)
}

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStoreOptions extends RecordingOptions {
  readonly sessions: SessionStore<unknown>

  /**
   * How long a session lives untouched whose cookie has no `maxAge` (it ends with the browser, of which the
   * server learns nothing). In ms. A cookie that has one is itself the session's idle time-out.
   * @default as `sessions` created it: its own `idleTtlMs`
   */
  readonly idleTtlMs?: number

  readonly cache?: never
  readonly backend?: never
}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStoreOptions extends StoreOptions<ExpressData>, RecordingOptions {
  readonly sessions?: never
}

export type NonstickStoreOptions = GivenStoreOptions | OwnStoreOptions

/** The options, seen through. */
export interface ResolvedExpressOptions {
  readonly sessions: SessionStore<ExpressData>
  readonly owned: boolean
  /** The idle time-out of a session whose cookie has no `maxAge`; `undefined` leaves it as it is. */
  readonly idleTtlMs: GivenIdleTtl | undefined
  /** What is to be recorded of the client of a request; `undefined` for nothing. */
  readonly clientOf: (req: ExpressRequest) => ClientInfo | undefined
}

const USED = ['create', 'load', 'save', 'touch', 'put', 'destroy', 'list', 'count', 'destroyAll', 'close'] as const
const BESIDE_A_GIVEN_STORE: ReadonlySet<string> = new Set(['sessions', 'idleTtlMs', 'recordClient'])

/** @throws SessionStoreError `E_CONFIG` */
export const resolveExpressOptions = (options: NonstickStoreOptions): ResolvedExpressOptions => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  if (options.sessions === undefined) return made(options)
  const { sessions, idleTtlMs, recordClient } = options
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
  return { sessions: sessions as SessionStore<ExpressData>, owned: false, idleTtlMs, clientOf: clientBy(recordClient) }
}

const made = (options: OwnStoreOptions): ResolvedExpressOptions => {
  const { sessions: _, recordClient, ...storeOptions } = options
  const clientOf = clientBy(recordClient)
  const sessions = createSessionStore<ExpressData>(storeOptions)
  return { sessions, owned: true, idleTtlMs: 'default', clientOf }
}

/** @throws SessionStoreError `E_CONFIG` */
const clientBy = (recordClient: unknown): ResolvedExpressOptions['clientOf'] => {
  if (recordClient === undefined || recordClient === false) return () => undefined
  if (recordClient === true) return ({ ip, headers }) => ({ address: ip, userAgent: headers['user-agent'] })
  if (typeof recordClient === 'function') return recordClient as ResolvedExpressOptions['clientOf']
  throw invalidOption('recordClient', 'true, false or a function of the request', recordClient)
}
