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
