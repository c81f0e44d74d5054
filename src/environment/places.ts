/** What `NONSTICK_CACHE` and `NONSTICK_BACKEND` say: which tier it is, and where its servers are. */
import { invalidOption, type SessionStoreError } from '../errors.js'

/** A list as the option `servers` takes it. */
export type CacheServers = readonly (readonly [address: string, weight: number])[]

export type CachePlace =
  | { readonly kind: 'memory' }
  | { readonly kind: 'memcached'; readonly servers: CacheServers; readonly login?: Login }

export type BackendPlace =
  | { readonly kind: 'memory' }
  | { readonly kind: 'postgres'; readonly connectionString: string }
  | { readonly kind: 'couchdb'; readonly urls: readonly string[] }
  | { readonly kind: 'redis'; readonly url: string }

export interface Login {
  readonly username: string
  readonly password: string
}

const A_CACHE =
  'Memcached servers, such as `cache1:11211,cache2:11211`, with weights `cache1:11211=2,cache2:11211=1`, with a ' +
  'login `memcached://user:password@cache1:11211`, through TLS `memcacheds://cache1:11211`, or `memory`'

const A_BACKEND =
  'a URL of the database, `postgres://user:password@host:5432/database`, `couchdb+https://user:password@host:6984` or ' +
  '`redis://user:password@host:6379/0`, or `memory`'

const refused = (variable: string, expected: string, text: string, cure?: string): SessionStoreError =>
  invalidOption(variable, expected, text, { secret: true, ...(cure === undefined ? {} : { cure }) })

/** @throws SessionStoreError `E_CONFIG`, without any of the text: a password may stand in it */
export const cachePlaceOf = (variable: string, text: string): CachePlace => {
  if (text === 'memory') return { kind: 'memory' }
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//i.exec(text)?.[1]?.toLowerCase()
  if (scheme !== undefined && !/^memcacheds?$/.test(scheme)) throw refused(variable, A_CACHE, text)
  const rest = scheme === undefined ? text : text.slice(scheme.length + 3)
  const at = scheme === undefined ? -1 : rest.lastIndexOf('@')
  const list = rest.slice(at + 1).replace(/\/$/, '')
  if (list.trim() === '') throw refused(variable, A_CACHE, text)
  return {
    kind: 'memcached',
    servers: list.split(',').map((item) => withScheme(scheme, weighted(variable, item, text))),
    ...(at < 0 ? {} : { login: loginOf(variable, rest.slice(0, at), text) }),
  }
}

/** The cache itself knows what the scheme asks for. One that asks for nothing is left out. */
const withScheme = (scheme: string | undefined, [address, weight]: CacheServers[number]): CacheServers[number] =>
  scheme === 'memcacheds' && !address.includes('://') ? [`memcacheds://${address}`, weight] : [address, weight]

const weighted = (variable: string, item: string, text: string): readonly [string, number] => {
  const [, address = '', weight] = /^(.*?)(?:=([^=]*))?$/.exec(item.trim()) ?? []
  if (weight === undefined) return [address, 1]
  if (!/^\d{1,6}(?:\.\d{1,6})?$/.test(weight) || Number(weight) === 0)
    throw refused(variable, 'servers whose weights are numbers greater than 0, such as `cache1:11211=2`', text)
  return [address, Number(weight)]
}

const loginOf = (variable: string, text: string, whole: string): Login => {
  const [, username = '', password = ''] = /^([^:]*):(.*)$/s.exec(text) ?? []
  try {
    const login = { username: decodeURIComponent(username), password: decodeURIComponent(password) }
    if (login.username !== '' && login.password !== '') return login
  } catch {
    // Its percent-encoding is wrong, and the complaint below says how it should be.
  }
  throw refused(
    variable,
    A_CACHE,
    whole,
    'a user is followed by a colon and a password; in both, write each of / ? # @ : % , with %',
  )
}

/** @throws SessionStoreError `E_CONFIG`, without any of the text */
export const backendPlaceOf = (variable: string, text: string): BackendPlace => {
  if (text === 'memory') return { kind: 'memory' }
  if (/^postgres(?:ql)?:/i.test(text)) return { kind: 'postgres', connectionString: text }
  if (/^(?:couchdb\+)?https?:\/\//i.test(text))
    return {
      kind: 'couchdb',
      urls: text.split(/,(?=(?:couchdb\+)?https?:\/\/)/i).map((url) => url.trim().replace(/^couchdb\+/i, '')),
    }
  if (/^(?:rediss?(?:\+cluster|\+sentinel)?|unix):/i.test(text)) return { kind: 'redis', url: text }
  throw refused(variable, A_BACKEND, text)
}

/** Where no backend is named. */
export const noBackend = (text: string | undefined): SessionStoreError =>
  invalidOption('NONSTICK_BACKEND', `${A_BACKEND}, or \`DATABASE_URL\` to be one`, text, {
    secret: true,
    cure: 'without it the program would look for a database on this machine, and is not started',
  })

/** Where no cache is named. */
export const noCache = (): SessionStoreError => invalidOption('NONSTICK_CACHE', A_CACHE, undefined)
