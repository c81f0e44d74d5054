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
  /** Makes the session large, or small again. */
  pad?: string
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
  for (const name of Object.keys(base).filter(isOwn)) if (!(name in mine)) delete merged[name]
  if (mine.shared !== undefined && mine.shared !== base.shared) merged.shared = mine.shared
  if (mine.pad !== base.pad) setOrDelete(merged, 'pad', mine.pad)
  return merged
}

/**
 * The same, by an application that alters what it is given: what others did goes into `mine`. The store gives it
 * copies, so that nobody sees that.
 */
export const mergedInPlace = ({ base, mine, current }: { base: Data; mine: Data; current: Data }): Data => {
  // What the cache has lost since this request read it is not to be brought back by way of the request's copy.
  mine.log.splice(0, mine.log.length, ...current.log, ...mine.log.filter((token) => !base.log.includes(token)))
  setOrDelete(mine, 'putBy', current.putBy)
  if (mine.pad === base.pad) setOrDelete(mine, 'pad', current.pad)
  if (mine.shared === base.shared) setOrDelete(mine, 'shared', current.shared)
  else if (current.shared !== base.shared && mine.shared !== current.shared)
    throw new SessionStoreError('E_SESSION_CONFLICT', 'Both changed the shared key', { applied: 'no' })
  for (const name of [...Object.keys(base), ...Object.keys(current)].filter(isOwn))
    if (mine[name] === base[name]) setOrDelete(mine, name, current[name])
  return mine
}

const setOrDelete = <Name extends keyof Data>(data: Data, name: Name, value: Data[Name] | undefined): void => {
  if (value === undefined) delete data[name]
  else data[name] = value
}

const OWN = 'by save '
const isOwn = (name: string): name is ReturnType<typeof ownKey> => name.startsWith(OWN)

/** The key under which a save's own token stands. */
export const ownKey = (token: string): `by save ${string}` => `${OWN}${token}`

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
    user: session.data.user,
    expiresAt: session.expiresAt,
  }
}
