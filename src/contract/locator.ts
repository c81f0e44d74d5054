/**
 * What a tier sees of a session: `<namespace>:` and the base64url of the SHA-256 of the session id.
 * A key never works as an id, and no id can be read from a key.
 */
export type CacheKey = string

/** How a tier is asked for a session. */
export interface Locator {
  readonly key: CacheKey

  /**
   * The session's birth month, `yyMM` in UTC (`2611` is November 2026), for backends that are sharded by it.
   * Absent for ids that do not carry one; it comes from the id and is therefore a claim, not a fact.
   */
  readonly bornMonth?: string
}

/** The two halves of a key. The namespace itself may hold no colon. */
export const splitKey = (key: CacheKey): { readonly namespace: string; readonly hash: string } => {
  const colon = key.indexOf(':')
  return { namespace: key.slice(0, colon), hash: key.slice(colon + 1) }
}
