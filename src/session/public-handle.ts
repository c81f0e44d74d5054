import { type Locator, splitKey } from '../contract/locator.js'
import { SessionStoreError } from '../errors.js'

/*
 * A handle names a session to those who may look at sessions or end them: an account page, a support desk, an operator.
 * It is made of the session's key, and no id can be made of it. So nobody is let in by it, as by a cookie.
 */

const HANDLE = /^h\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])$/

/** The handle of the session that stands there. A session has the same one, whoever makes it. */
export const handleOf = ({ key }: Pick<Locator, 'key'>): string => `h.${splitKey(key).hash}`

/** Whether a text has the form of a handle. */
export const isHandle = (text: unknown): boolean => typeof text === 'string' && HANDLE.test(text)

/**
 * Where the session of a handle stands in this namespace, without its birth month, as a handle carries none: a backend
 * that goes by months looks for it. A session that is not there, or no longer, has a place all the same.
 *
 * @throws SessionStoreError `E_INVALID_ID` for what is no handle, without its text
 */
export const locatorOfHandle = (namespace: string, handle: unknown): Locator => {
  if (typeof handle !== 'string' || !HANDLE.test(handle))
    throw new SessionStoreError(
      'E_INVALID_ID',
      'Expected the handle of a session, as a listing or `handleOf` gives it, got something else',
    )
  return { key: `${namespace}:${handle.slice(2)}` }
}
