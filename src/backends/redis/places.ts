/** Where the servers are, as a URL says it. */

export interface Address {
  readonly host: string
  readonly port: number
}

/** Who asks; told to the servers, and to nobody else. */
export interface Login {
  readonly username: string | undefined
  readonly password: string
}

interface Shared {
  readonly login: Login | undefined
  /** Whether the servers are spoken to through TLS. */
  readonly isSecure: boolean
}

export type Place =
  /** One server, by its address or its unix socket. */
  | (Shared & { readonly kind: 'server'; readonly at: Address | { readonly path: string }; readonly database: number })
  /** A Redis Cluster, by some of its nodes. */
  | (Shared & { readonly kind: 'cluster'; readonly nodes: readonly Address[] })
  /** The master that some Sentinels watch under a name. */
  | (Shared & {
      readonly kind: 'sentinel'
      readonly nodes: readonly Address[]
      readonly name: string
      readonly database: number
    })

const DEFAULT_PORT = 6379
const DEFAULT_SENTINEL_PORT = 26_379

const FORM =
  /^(?<scheme>rediss?)(?:\+(?<kind>cluster|sentinel))?:\/\/(?:(?<login>[^@/]*)@)?(?<hosts>[^@/?#]+)(?<path>\/[^@?#]*)?$/i

const SOCKET =
  /^(?:redis\+)?unix:(?:\/\/)?(?:(?<login>[^@/]*)@)?(?<path>\/(?!\/)[^@?#]+)(?:\?db=(?<database>\d{1,5}))?$/i

const HOST = /^(?:\[(?<six>[0-9a-fA-F:.]+)\]|(?<name>[^\s:[\],]+))(?::(?<port>\d{1,5}))?$/

/** What a URL says, or `undefined` for a text that is none of those that docs/redis.md names. */
export const placeOf = (url: string): Place | undefined => {
  try {
    return placeIn(url)
  } catch {
    // Its percent-encoding is wrong.
    return undefined
  }
}

const placeIn = (url: string): Place | undefined => {
  const socket = SOCKET.exec(url)?.groups
  if (socket !== undefined)
    return {
      kind: 'server',
      at: { path: decodeURIComponent(socket['path'] ?? '') },
      database: Number(socket['database'] ?? 0),
      login: loginOf(socket['login']),
      isSecure: false,
    }
  const { scheme = '', kind, login, hosts = '', path = '' } = FORM.exec(url)?.groups ?? {}
  const usual = kind?.toLowerCase() === 'sentinel' ? DEFAULT_SENTINEL_PORT : DEFAULT_PORT
  const nodes = hosts.split(',').map((host) => addressOf(host.trim(), usual))
  if (!nodes.every((node) => node !== undefined)) return undefined
  const shared = { login: loginOf(login), isSecure: scheme.toLowerCase() === 'rediss' }
  const parts = path
    .split('/')
    .slice(1)
    .filter((part) => part !== '')
  const [first] = nodes
  if (first === undefined) return undefined
  if (kind === undefined) {
    const database = databaseOf(parts[0])
    if (nodes.length > 1 || parts.length > 1 || database === undefined) return undefined
    return { kind: 'server', at: first, database, ...shared }
  }
  if (kind.toLowerCase() === 'cluster') return parts.length > 0 ? undefined : { kind: 'cluster', nodes, ...shared }
  const [name, ...rest] = parts
  const database = databaseOf(rest[0])
  if (name === undefined || rest.length > 1 || database === undefined) return undefined
  return { kind: 'sentinel', nodes, name: decodeURIComponent(name), database, ...shared }
}

const databaseOf = (text = '0'): number | undefined => (/^\d{1,5}$/.test(text) ? Number(text) : undefined)

const addressOf = (text: string, usualPort: number): Address | undefined => {
  const { six, name, port } = HOST.exec(text)?.groups ?? {}
  const host = six ?? name
  const number = port === undefined ? usualPort : Number(port)
  return host === undefined || number < 1 || number > 65_535 ? undefined : { host, port: number }
}

const loginOf = (text: string | undefined): Login | undefined => {
  if (text === undefined || text === '') return undefined
  const colon = text.indexOf(':')
  const username = decodeURIComponent(colon < 0 ? text : text.slice(0, colon))
  const password = colon < 0 ? '' : decodeURIComponent(text.slice(colon + 1))
  return { username: username === '' ? undefined : username, password }
}

const shown = ({ host, port }: Address): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

/** `redis 127.0.0.1:6379`, for errors. */
export const tierOf = (place: Place): string => {
  if (place.kind === 'server') return `redis ${'path' in place.at ? place.at.path : shown(place.at)}`
  return place.kind === 'cluster'
    ? `redis cluster ${place.nodes.map(shown).join()}`
    : `redis ${place.name} of sentinel ${place.nodes.map(shown).join()}`
}
