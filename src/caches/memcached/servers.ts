import { isIPv6 } from 'node:net'
import { crc32 } from 'node:zlib'
import { invalidOption } from '../../errors.js'

/**
 * `'host:11211'`, several of them separated by commas, or a list whose items are such addresses, each alone
 * or with its weight: `[['cache1:11211', 1], ['cache2:11211', 2]]`.
 *
 * An address is a host name or IPv4 address with or without port, `[::1]:11211`, a bare `::1`, or a unix
 * socket (`/run/memcached.sock`, `unix:/run/memcached.sock`). Without a port it is 11211, without a weight 1.
 *
 * `memcacheds://` before an address asks for TLS, with all servers of the list; `memcached://` asks for nothing.
 */
export type MemcachedServers = string | readonly (string | readonly [address: string, weight: number])[]

export interface ServerAddress {
  /** As errors, health and placement name it: `cache1:11211`, `[::1]:11211`, `unix:/run/memcached.sock`. */
  readonly address: string
  readonly weight: number
  readonly target: TcpTarget | { readonly path: string }
  /** What stood before `://`, where something did. It is no part of `address`, so that TLS moves no key. */
  readonly scheme?: 'memcached' | 'memcacheds'
}

export interface TcpTarget {
  readonly host: string
  readonly port: number
  /** The host as it is listed, where `host` is one of the addresses behind it: a certificate is for this one. */
  readonly name?: string
}

const DEFAULT_PORT = 11211

/**
 * @throws `E_CONFIG` naming the place as the user typed it (`servers[1][0]`); also on a server listed twice,
 *   however it is written.
 */
export const parseServers = (servers: unknown): readonly ServerAddress[] => {
  const parsed = typeof servers === 'string' ? fromText(servers) : fromList(servers)
  const seen = new Set<string>()
  for (const { option, server } of parsed) {
    if (seen.has(server.address)) throw invalidOption(option, 'a server that is listed only once', server.address)
    seen.add(server.address)
  }
  return parsed.map(({ server }) => server)
}

/** A number for a list of servers and their weights, whatever their order; from 1 to 2^32 - 1. */
export const serverListNumber = (servers: readonly Pick<ServerAddress, 'address' | 'weight'>[]): number => {
  const lines = servers.map(({ address, weight }) => `${address} ${weight}`).sort()
  return crc32(lines.join('\n')) || 1
}

interface Parsed {
  readonly option: string
  readonly server: ServerAddress
}

const fromText = (text: string): Parsed[] => {
  // Looked at before the cut: the comma might stand inside a password.
  if (text.split(',').some(holdsCredentials)) throw withCredentials('servers', text)
  return text.split(',').map((item) => ({ option: 'servers', server: server('servers', item, 1) }))
}

const fromList = (servers: unknown): Parsed[] => {
  if (!Array.isArray(servers) || servers.length === 0)
    throw invalidOption('servers', 'at least one server, `host:port` or a list of them with their weights', servers)
  return servers.map((item: unknown, index) => {
    const option = `servers[${index}]`
    if (typeof item === 'string') return { option, server: server(option, item, 1) }
    if (!Array.isArray(item) || item.length !== 2)
      throw invalidOption(option, "an address, or an address with its weight like `['cache1:11211', 1]`", item, {
        secret: true,
      })
    return { option: `${option}[0]`, server: server(`${option}[0]`, item[0], weightOf(`${option}[1]`, item[1])) }
  })
}

const weightOf = (option: string, weight: unknown): number => {
  if (typeof weight !== 'number' || !Number.isFinite(weight) || weight <= 0)
    throw invalidOption(option, 'a weight greater than 0', weight)
  return weight
}

const server = (option: string, input: unknown, weight: number): ServerAddress => {
  if (typeof input !== 'string') throw invalidOption(option, 'an address like `cache1:11211`', input, { secret: true })
  const [, scheme, text = ''] = /^(?:(memcacheds?):\/\/)?(.*)$/is.exec(input.trim()) ?? []
  if (holdsCredentials(text)) throw withCredentials(option, input)
  if (scheme === undefined) return { weight, ...place(option, text, input) }
  const isTls = scheme.toLowerCase() === 'memcacheds'
  return { weight, ...place(option, text.replace(/\/$/, ''), input), scheme: isTls ? 'memcacheds' : 'memcached' }
}

const place = (option: string, text: string, input: string): Pick<ServerAddress, 'address' | 'target'> => {
  const path = text.startsWith('unix:') ? text.slice('unix:'.length) : text
  if (path.startsWith('/') && path.length > 1 && !path.includes('\0'))
    return { address: `unix:${path}`, target: { path } }

  const { host, port } = hostAndPort(option, text, input)
  return { address: `${host.includes(':') ? `[${host}]` : host}:${port}`, target: { host, port } }
}

const hostAndPort = (option: string, text: string, input: string): { host: string; port: number } => {
  if (isIPv6(text)) return { host: shortIPv6(text), port: DEFAULT_PORT }
  const found = /^(?:\[([^\]]+)\]|([A-Za-z0-9._-]+))(?::(\d{1,5}))?$/.exec(text)
  const [, bracketed, name, digits] = found ?? []
  const port = digits === undefined ? DEFAULT_PORT : Number(digits)
  if (port < 1 || port > 65_535) throw invalidOption(option, 'an address with a port from 1 to 65535', input)
  if (bracketed !== undefined && isIPv6(bracketed)) return { host: shortIPv6(bracketed), port }
  if (name !== undefined) return { host: name.toLowerCase(), port }
  throw invalidOption(option, 'an address like `cache1:11211`, `[::1]:11211` or `/run/memcached.sock`', input)
}

/** One spelling per address, so that a server listed in two of them is found. */
const shortIPv6 = (address: string): string => {
  if (address.includes('%')) return address.toLowerCase()
  return new URL(`http://[${address}]`).hostname.slice(1, -1)
}

const holdsCredentials = (text: string): boolean => text.includes('@') && !/^\s*(?:unix:)?\//.test(text)

const withCredentials = (option: string, got: string): Error =>
  invalidOption(option, 'an address without credentials (they go into `username` and `password`)', got, {
    secret: true,
  })
