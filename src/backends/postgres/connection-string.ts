/**
 * What a connection string says. It is read here and not by pg, which drops what it does not know, lets the string
 * overrule options in silence, and takes a piece of a badly written password for the name of a host.
 */
import { SessionStoreError } from '../../errors.js'

/** What a connection string says; what it leaves out is not there. */
export interface ConnectionString {
  readonly host?: string
  readonly port?: number
  readonly user?: string
  readonly password?: string
  readonly database?: string
  /** All that stands behind the question mark and is none of the above, by its name. */
  readonly parameters: ReadonlyMap<string, string>
}

const SCHEMES = new Set(['postgres', 'postgresql', 'pg', 'socket'])

/** The one complaint that shows no word of the string: any part of it may be a part of the password. */
const refuse = (because: string): SessionStoreError =>
  new SessionStoreError(
    'E_CONFIG',
    `Expected \`connectionString\` to be a connection URL, postgres://user:password@host:port/database, got a string: ${because}`,
  )

/** A complaint about one parameter: its name is ours, its value is not shown. */
export const refusedParameter = (name: string, cure: string): SessionStoreError =>
  new SessionStoreError('E_CONFIG', `Expected \`${name}\` in the connection string to be ${cure}`)

/**
 * Reads `postgres://user:password@host:port/database?…`, `socket:/folder?db=…`, and `/folder database`.
 *
 * @throws SessionStoreError `E_CONFIG` where a part cannot be told from another, without any of the string
 */
export const readConnectionString = (given: string): ConnectionString => {
  const text = given.trim()
  if (hasControlCharacters(text)) throw refuse('there is a line end or another control character in it')
  if (text.startsWith('/')) return folderAndDatabase(text)
  const [, scheme, rest] = /^([a-z]+):(.*)$/is.exec(text) ?? []
  if (scheme === undefined || rest === undefined || !SCHEMES.has(scheme.toLowerCase()))
    throw refuse('it should begin with postgres://')
  if (/%(?![0-9a-f]{2})/i.test(rest)) throw refuse('write a % in the password as %25')
  if (rest.includes('#')) throw refuse('write a # in the password as %23')

  const isSocket = scheme.toLowerCase() === 'socket'
  const [, authority = '', path = '', query = ''] = /^(?:\/\/([^/?]*))?([^?]*)(?:\?(.*))?$/s.exec(rest) ?? []
  if (!isSocket && !rest.startsWith('//')) throw refuse('it should begin with postgres://')
  // The user and the password end at the last @ before the first / or ?. One behind these was meant to end them.
  if (`${path}?${query}`.includes('@'))
    throw refuse('in the password write / as %2F and ? as %3F; elsewhere write @ as %40')

  const at = authority.lastIndexOf('@')
  const [, user = '', password = ''] = /^([^:]*):?(.*)$/s.exec(at < 0 ? '' : authority.slice(0, at)) ?? []
  const [, host = '', port = ''] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/s.exec(authority.slice(at + 1)) ?? []
  if (authority.slice(at + 1) !== '' && host === '' && port === '') throw refuse('its host cannot be read')
  const parameters = parametersOf(query)
  const take = (...names: string[]): string | undefined => {
    const values = names.map((name) => [parameters.get(name), parameters.delete(name)][0]).filter(Boolean)
    return values[0] === undefined ? undefined : String(values[0])
  }
  return withoutEmpty({
    host: take('host') ?? (isSocket ? decoded(path) : decoded(host.replace(/^\[(.*)\]$/, '$1'))),
    port: take('port') ?? port,
    user: take('user') ?? decoded(user),
    password: take('password') ?? decoded(password),
    database: take('dbname', 'db') ?? (isSocket ? '' : decoded(path.slice(1))),
    parameters,
  })
}

/** `/var/run/postgresql sessions` */
const folderAndDatabase = (text: string): ConnectionString => {
  const [host = '', database = '', ...more] = text.split(/ +/)
  if (more.length > 0) throw refuse('behind a folder there is the name of a database, and no more')
  return withoutEmpty({ host, port: '', user: '', password: '', database, parameters: new Map() })
}

const parametersOf = (query: string): Map<string, string> => {
  const parameters = new Map<string, string>()
  for (const [name, value] of new URLSearchParams(query)) {
    if (parameters.has(name)) throw refuse('a parameter stands in it twice')
    parameters.set(name, value)
  }
  return parameters
}

const withoutEmpty = (
  read: Readonly<Record<'host' | 'port' | 'user' | 'password' | 'database', string>> &
    Pick<ConnectionString, 'parameters'>,
): ConnectionString => {
  if (read.host !== '' && !isHost(read.host))
    throw refuse('its host cannot be one; several hosts cannot be given either')
  if (read.port !== '' && !isPort(read.port)) throw refuse('its port is none')
  return {
    ...(read.host === '' ? {} : { host: read.host }),
    ...(read.port === '' ? {} : { port: Number(read.port) }),
    ...(read.user === '' ? {} : { user: read.user }),
    ...(read.password === '' ? {} : { password: read.password }),
    ...(read.database === '' ? {} : { database: read.database }),
    parameters: read.parameters,
  }
}

const decoded = (text: string): string => {
  try {
    return decodeURIComponent(text)
  } catch {
    throw refuse('its percent-encoding is not that of UTF-8')
  }
}

const hasControlCharacters = (text: string): boolean => /\p{Cc}/u.test(text)

/** A name, an address, or the folder of a unix socket: one, and nothing that a URL could be. */
export const isHost = (host: string): boolean =>
  host.startsWith('/')
    ? !hasControlCharacters(host)
    : /^[\p{L}\p{N}._-]+$/u.test(host) || /^[\da-f:.%a-z]*:[\da-f:.%a-z]*$/i.test(host)

export const isPort = (port: string): boolean => /^\d{1,5}$/.test(port) && Number(port) >= 1 && Number(port) <= 65_535
