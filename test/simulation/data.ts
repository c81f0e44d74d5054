import { SessionStoreError } from '../../src/errors.js'
import type { Sight } from './history.js'

/**
 * What the simulated application keeps in a session. Each write leaves a token of its own: `update` appends it to
 * the one `log`; a `save` puts it under a key of its own, which nobody else writes; a shared key holds the token of
 * whoever wrote it last.
 */
export interface Data {
  log: string[]
  shared?: string
  user?: string
  /** The put that wrote everything anew. */
  putBy?: string
  [own: `by save ${string}`]: true
}

/**
 * An application's own merging: what mine has of its own joins what stands. Where both changed the one key that all
 * share it refuses.
 */
export const mergedByHand = ({ base, mine, current }: { base: Data; mine: Data; current: Data }): Data => {
  if (mine.shared !== base.shared && current.shared !== base.shared && mine.shared !== current.shared)
    throw new SessionStoreError('E_SESSION_CONFLICT', 'Both changed the shared key', { applied: 'no' })
  const merged: Data = { ...current }
  for (const [name, value] of Object.entries(mine))
    if (name.startsWith(OWN) && !(name in base)) Object.assign(merged, { [name]: value })
  if (mine.shared !== undefined && mine.shared !== base.shared) merged.shared = mine.shared
  return merged
}

const OWN = 'by save '

export const logOf = (data: Data): string[] => {
  const tokens = [...data.log]
  for (const name of Object.keys(data)) if (name.startsWith(OWN)) tokens.push(name.slice(OWN.length))
  return tokens
}

export const tokensOf = (data: Data): Set<string> => new Set(logOf(data))

export const sightOf = (session: { readonly data: Data; readonly expiresAt: number }): Sight => {
  const log = logOf(session.data)
  return {
    tokens: new Set(log),
    log,
    shared: session.data.shared,
    putBy: session.data.putBy,
    expiresAt: session.expiresAt,
  }
}
