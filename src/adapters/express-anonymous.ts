import { isSessionStoreError, SessionStoreError, type SessionStoreErrorCode } from '../errors.js'
import type { ExpressRequest } from './express-options.js'

const UNAVAILABLE: ReadonlySet<SessionStoreErrorCode> = new Set([
  'E_SESSION_UNAVAILABLE',
  'E_OVERLOADED',
  'E_SESSION_UNKNOWN_OUTCOME',
])

/** Whether the store could not be asked, as opposed to what it refuses. */
export const isUnavailable = (error: unknown): error is SessionStoreError =>
  isSessionStoreError(error) && UNAVAILABLE.has(error.code)

/**
 * The requests that are served without their session, as it could not be known (`onUnavailable: 'anonymous'`).
 *
 * express-session asks three things of a request when it ends: whether to set the cookie, whether to save the session, and
 * whether to touch it; and it does none of them for one whose `req.sessionID` is no text. So the id is hidden for as long as
 * the request has its empty session. When it has none any more, after a logout, the id is shown again, as with
 * `unset: 'destroy'` express-session ends the session of this id then.
 */
export class AnonymousRequests {
  readonly #causes = new WeakMap<object, SessionStoreError>()

  /** @param live the empty session that stands in the request from now on */
  begin(req: ExpressRequest, live: object, cause: SessionStoreError): void {
    this.#causes.set(live, cause)
    const id = req.sessionID
    Object.defineProperty(req, 'sessionID', {
      configurable: true,
      enumerable: true,
      get: () => (this.has(req) ? undefined : id),
      set: (other: unknown) => show(req, other),
    })
  }

  has(req: ExpressRequest): boolean {
    return this.#isAnonymous(req.session)
  }

  /** The request gets a session that can be saved, under the id that its cookie has. Where it has one, nothing happens. */
  end(req: ExpressRequest): void {
    if (this.has(req)) show(req, req.session.id)
  }

  /** The id of the session that the request has, be it hidden or not. */
  idOf(req: ExpressRequest): string {
    return this.has(req) ? req.session.id : req.sessionID
  }

  /** @throws SessionStoreError `E_SESSION_UNAVAILABLE` where this is the empty session of such a request */
  refuse(live: object): void {
    const cause = this.#causes.get(live)
    if (cause === undefined) return
    throw new SessionStoreError(
      'E_SESSION_UNAVAILABLE',
      'The session could not be loaded when this request began, so what stands in its place cannot be saved',
      { cause, applied: 'no' },
    )
  }

  #isAnonymous(live: object | null | undefined): boolean {
    return live !== undefined && live !== null && this.#causes.has(live)
  }
}

const show = (req: ExpressRequest, id: unknown): void => {
  Object.defineProperty(req, 'sessionID', { value: id, configurable: true, enumerable: true, writable: true })
}
