import type { SessionStore } from '../contract/index.js'
import { isPlainObject } from '../tools/is-plain-object.js'
import { idleTtlMsOf, isSpent } from './express-cookie.js'
import type { ExpressData } from './express-options.js'
import type { StoredObject } from './session-objects.js'

/**
 * Whether this id is no session's but a mark: `issuer|subject` or `issuer|session`, with an issuer that is a URL. Under
 * such ids express-openid-connect notes who was logged out over the back channel.
 */
export const isMark = (id: unknown): id is string => typeof id === 'string' && /^https?:\/\/[^|]+\|/.test(id)

/** A mark that was taken away stands for so long as something that is none. */
const GONE_MS = 1_000

/**
 * Marks are taken away at each login and set again at the next logout, where the id of a session that was destroyed is
 * never used again. So what takes a mark away is no tombstone, but an empty entry in its place that expires at once. Both
 * are written through to the backend: a logout must not be lost with the cache.
 */
export class Marks {
  readonly #sessions: SessionStore<ExpressData>

  constructor(sessions: SessionStore<ExpressData>) {
    this.#sessions = sessions
  }

  async set(id: string, mark: StoredObject): Promise<void> {
    if (isSpent(mark.cookie)) return await this.takeAway(id)
    const idleTtlMs = idleTtlMsOf(mark.cookie)
    await this.#sessions.put(id, mark as unknown as ExpressData, {
      durable: true,
      ...(idleTtlMs === undefined ? {} : { idleTtlMs }),
    })
  }

  /** Where there is none, nothing is written. */
  async takeAway(id: string): Promise<void> {
    const session = await this.#sessions.load(id, { touch: false })
    if (session === undefined || !isThere(session.data)) return
    await this.#sessions.put(id, {}, { durable: true, idleTtlMs: GONE_MS })
  }
}

/** Whether this is a mark, and not what stands in the place of one that was taken away. */
export const isThere = (data: unknown): boolean => isPlainObject(data) && 'cookie' in data
