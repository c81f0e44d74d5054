import type { SessionData, Store } from 'express-session'
import type { ClientInfo } from '../contract/index.js'
import { areOptions, invalidOption } from '../errors.js'
import { type GivenStore, type OwnStore, type ResolvedStore, resolveStore } from './given-store.js'

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
  readonly recordClient?: boolean | ((req: ExpressRequest) => ClientInfo | undefined) | undefined
}

export interface OutageOptions {
  /**
   * What becomes of a request whose session cannot be known, as neither tier can be asked (`E_SESSION_UNAVAILABLE`) or too
   * many wait for the backend (`E_OVERLOADED`).
   *
   * `'error'`: express-session gives the error to the request's error handler.
   *
   * `'anonymous'`: the request is served with an empty `req.session` that cannot be saved: `req.session.save`, `reload`,
   * `regenerate` and `destroy` give their callback the error for as long as the store cannot be asked, and what the
   * request puts into the session is dropped at its end. `req.sessionID` is `undefined` meanwhile, by which a handler can
   * tell. The visitor's cookie is left as it is. A request that could load its session, and whose change cannot be stored
   * at its end, or that would begin a session, ends without an error too; `'dropped'` is then emitted with the reason.
   * @default 'error'
   */
  readonly onUnavailable?: 'error' | 'anonymous' | undefined
}

/** For a store made elsewhere: it serves other parts of the program too, and whoever made it closes it. */
export interface GivenStoreOptions extends GivenStore, RecordingOptions, OutageOptions {}

/** The options of `createSessionStore`: the store is made here, and closed by `close()`. */
export interface OwnStoreOptions extends OwnStore<ExpressData>, RecordingOptions, OutageOptions {}

export type NonstickStoreOptions = GivenStoreOptions | OwnStoreOptions

/** The options, seen through. */
export interface ResolvedExpressOptions extends ResolvedStore<ExpressData> {
  /** What is to be recorded of the client of a request; `undefined` for nothing. */
  readonly clientOf: (req: ExpressRequest) => ClientInfo | undefined
  /** Whether a request is served without its session where that cannot be known. */
  readonly servesAnonymous: boolean
}

/** @throws SessionStoreError `E_CONFIG` */
export const resolveExpressOptions = (options: NonstickStoreOptions): ResolvedExpressOptions => {
  if (!areOptions(options)) throw invalidOption('options', 'an object', options, { secret: true })
  const { recordClient, onUnavailable = 'error' } = options
  const clientOf = clientBy(recordClient)
  if (onUnavailable !== 'error' && onUnavailable !== 'anonymous')
    throw invalidOption('onUnavailable', "'error' or 'anonymous'", onUnavailable)
  const store = resolveStore<ExpressData>(options, ['recordClient', 'onUnavailable'])
  return { ...store, clientOf, servesAnonymous: onUnavailable === 'anonymous' }
}

/** @throws SessionStoreError `E_CONFIG` */
const clientBy = (recordClient: unknown): ResolvedExpressOptions['clientOf'] => {
  if (recordClient === undefined || recordClient === false) return () => undefined
  if (recordClient === true) return ({ ip, headers }) => ({ address: ip, userAgent: headers['user-agent'] })
  if (typeof recordClient === 'function')
    return (req) => {
      const client = (recordClient as ResolvedExpressOptions['clientOf'])(req)
      // The store refuses a promise. Nobody waits for it, and so it must not end the process when it rejects.
      if (client instanceof Promise) client.catch(() => {})
      return client
    }
  throw invalidOption('recordClient', 'true, false or a function of the request', recordClient)
}
