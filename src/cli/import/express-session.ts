import { idleTtlMsOf, storedCookie } from '../../adapters/express-cookie.js'
import type { EpochMs } from '../../contract/time.js'
import { isPlainObject } from '../../tools/is-plain-object.js'
import { lifeUntil } from './life.js'
import type { Item } from './source.js'

/** Where a session of express-session stands in a source, and until when. */
interface Place {
  readonly ref: string
  readonly id: string
  /** When it ends by what the source tells; `undefined` where it tells nothing. */
  readonly expiresAt: EpochMs | undefined
  /** How long the source lets a session live unused whose cookie does not say it, where that is known. */
  readonly idleTtlMs: number | undefined
  readonly now: EpochMs
}

/**
 * A session of express-session, as the store of `nonstick/express` would have stored it. The source tells when it ends: the
 * `expires` of its cookie is as old as the last change.
 */
export const expressItem = (session: unknown, { ref, id, expiresAt, idleTtlMs, now }: Place): Item => {
  if (!isPlainObject(session)) return { ref, unreadable: 'it is no session of express-session: no object' }
  if (!isPlainObject(session['cookie'])) return { ref, unreadable: 'it is no session of express-session: no `cookie`' }
  const cookie = storedCookie(session['cookie'], now)
  const lived = lifeUntil(expiresAt, idleTtlMsOf(cookie) ?? idleTtlMs, now)
  return 'life' in lived ? { ref, id, session: { data: { ...session, cookie }, ...lived.life } } : { ref, ...lived }
}

/** The value of a text of JSON. */
export const fromJson = (text: string): { readonly value: unknown } | { readonly unreadable: string } => {
  try {
    return { value: JSON.parse(text) as unknown }
  } catch {
    // The message of the error quotes the text.
    return { unreadable: 'it is no JSON; it may be encrypted, or of another serializer' }
  }
}
