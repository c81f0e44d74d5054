import type { CacheKey, Locator } from '../contract/locator.js'
import { SessionStoreError } from '../errors.js'

/*
 * A handle names a session to those who may look at sessions or end them: an account page, a support desk, an operator.
 * It is made of the session's key, and no id can be made of it. So nobody is let in by it, as by a cookie.
 */

const HANDLE = /^h\.([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])(?:\.(\d{4}))?$/

/** The handle of the session that stands there. */
export const handleOf = ({ key, bornMonth }: Locator): string => {
  const hash = key.slice(key.indexOf(':') + 1)
  return bornMonth === undefined ? `h.${hash}` : `h.${hash}.${bornMonth}`
}

/** Whether a text has the form of a handle. */
export const isHandle = (text: string): boolean => HANDLE.test(text)

/**
 * Where the session of a handle stands in this namespace. A session that is not there, or no longer, has a place all the
 * same.
 *
 * @throws SessionStoreError `E_INVALID_ID` for what is no handle, without its text
 */
export const locatorOfHandle = (namespace: string, handle: unknown): Locator => {
  const parts = typeof handle === 'string' ? HANDLE.exec(handle) : null
  if (parts === null)
    throw new SessionStoreError(
      'E_INVALID_ID',
      'Expected the handle of a session, as a listing or `handleOf` gives it, got something else',
    )
  const key: CacheKey = `${namespace}:${parts[1]}`
  return parts[2] === undefined ? { key } : { key, bornMonth: parts[2] }
}
