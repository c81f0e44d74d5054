/**
 * Where a pool of our own leads, and how: from the options, the connection string and the environment, in this order.
 */
import type { ConnectionOptions as TlsOptions } from 'node:tls'
import { invalidOption, SessionStoreError } from '../../errors.js'
import { LONGEST_TIMER_MS } from '../../runtime.js'
import { type ConnectionString, isHost, isPort, readConnectionString, refusedParameter } from './connection-string.js'
import { tellingPassword } from './network-words.js'
import { isVerified, type Ssl, TLS_PARAMETERS, tlsOf } from './tls.js'

/** The options that say where the server is, and how a pool of our own reaches it. */
export interface ServerOptions {
  /**
   * `postgres://user:password@host:5432/database`, read at once. No part of it stands in a message, log or error but
   * host and port, and the names of parameters that cannot be obeyed (docs/set-up.md lists those that can).
   */
  readonly connectionString?: string | undefined
  /** A host name, an address, or the folder of a unix socket. @default PGHOST, else 'localhost' */
  readonly host?: string | undefined
  /** @default PGPORT, else 5432 */
  readonly port?: number | undefined
  /** @default PGUSER, else the name of the process's user */
  readonly user?: string | undefined
  /** Or a function that gives it, asked at each new connection. @default PGPASSWORD */
  readonly password?: string | (() => string | Promise<string>) | undefined
  /** @default PGDATABASE, else the user's name */
  readonly database?: string | undefined
  /**
   * Passed to `tls.connect` as it is; `true` verifies against the system's authorities. Not beside a connection string
   * that says something of TLS itself. @default what the connection string says, else PGSSLMODE, else `false`
   */
  readonly ssl?: boolean | TlsOptions | undefined
  /** Connections of one process at most: a positive integer. Not with `pool`. @default 10 */
  readonly maxConnections?: number | undefined
  /** How long a new connection may take, in ms: 1 to 2147483647. Not with `pool`. @default 2_000 */
  readonly connectTimeoutMs?: number | undefined
  /** Shown in `pg_stat_activity`. Not with `pool`. @default 'nonstick' */
  readonly applicationName?: string | undefined
}

/** How to reach the server with a pool of our own, in pg's words. Nothing that matters is left for pg to find out. */
export interface OwnPoolOptions {
  readonly host: string
  readonly port: number
  readonly user?: string
  readonly password?: string | (() => string | Promise<string>)
  readonly database?: string
  readonly ssl: Ssl
  readonly sslnegotiation: 'postgres' | 'direct'
  readonly enableChannelBinding?: boolean
  readonly options?: string
  readonly statement_timeout?: number
  readonly lock_timeout?: number
  readonly idle_in_transaction_session_timeout?: number
  readonly max: number
  readonly connectionTimeoutMillis: number
  readonly application_name: string
}

export type Environment = Readonly<Record<string, string | undefined>>

type OptionName = keyof ServerOptions

/** Options that say the same as parameters of a connection string. */
const SAID_TWICE: Partial<Record<OptionName, readonly string[]>> = {
  ssl: [...TLS_PARAMETERS, 'sslnegotiation'],
  applicationName: ['application_name'],
  connectTimeoutMs: ['connect_timeout'],
}

/** Parameters that a new connection tells the server: a number of milliseconds each. */
const SERVER_TIMEOUTS = ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout'] as const

/** Parameters that libpq knows, with the values that say what is done here anyway. */
const SATISFIED: Readonly<Record<string, RegExp>> = {
  client_encoding: /^utf-?8$/i,
  encoding: /^utf-?8$/i,
  gssencmode: /^(?:disable|prefer)$/,
  target_session_attrs: /^any$/,
}

const OBEYED: ReadonlySet<string> = new Set([
  ...TLS_PARAMETERS,
  ...SERVER_TIMEOUTS,
  ...['sslnegotiation', 'channel_binding', 'application_name', 'fallback_application_name', 'options'],
  'connect_timeout',
])

/** What the connection string says, as far as it can be obeyed and no option says it too. */
const readParameters = (options: ServerOptions): ConnectionString => {
  if (options.connectionString === undefined) return { parameters: new Map() }
  const read = readConnectionString(options.connectionString)
  refuseUnreadParameters(read)
  for (const [option, parameters] of Object.entries(SAID_TWICE)) {
    const given = options[option as OptionName]
    const parameter = parameters.find((name) => read.parameters.has(name))
    if (given !== undefined && parameter !== undefined)
      throw invalidOption(option, `left out where \`${parameter}\` is in the connection string`, given, {
        secret: true,
      })
  }
  return read
}

/** What is not obeyed is not passed over either: it was meant to matter. */
const refuseUnreadParameters = ({ parameters }: ConnectionString): void => {
  for (const [name, value] of parameters) {
    if (OBEYED.has(name)) continue
    if (SATISFIED[name] === undefined)
      throw /^[a-z_]{1,40}$/i.test(name)
        ? refusedParameter(name, 'left out: it is none that is read here')
        : refusedParameter('?', 'followed by parameters, each a name, `=` and a value')
    if (!SATISFIED[name].test(value)) throw refusedParameter(name, 'left out: this value of it cannot be obeyed')
  }
}

/** @throws SessionStoreError `E_CONFIG` */
export const ownPoolOptions = (options: ServerOptions, env: Environment): OwnPoolOptions => {
  const read = readParameters(options)
  const { parameters } = read
  const user = options.user ?? read.user
  const password = options.password ?? read.password
  const database = options.database ?? read.database
  const ssl = options.ssl ?? tlsOf({ parameters, env })
  const startUp = parameters.get('options')
  const timeouts = SERVER_TIMEOUTS.flatMap((name) => {
    const value = numberOf(parameters, name, 0)
    return value === undefined ? [] : [[name, value] as const]
  })
  const connectTimeout = numberOf(parameters, 'connect_timeout', 1)
  return {
    host: options.host ?? read.host ?? hostOf(env),
    port: options.port ?? read.port ?? portOf(env),
    ...(user === undefined ? {} : { user }),
    ...(password === undefined ? {} : { password: tellingPassword(password) }),
    ...(database === undefined ? {} : { database }),
    ssl,
    sslnegotiation: negotiationOf(parameters, env, ssl),
    ...(bindsChannel(parameters, ssl) ? { enableChannelBinding: true } : {}),
    ...(startUp === undefined ? {} : { options: startUp }),
    ...Object.fromEntries(timeouts),
    max: options.maxConnections ?? 10,
    connectionTimeoutMillis:
      options.connectTimeoutMs ??
      (connectTimeout === undefined ? 2_000 : Math.min(connectTimeout * 1_000, LONGEST_TIMER_MS)),
    application_name:
      options.applicationName ??
      (parameters.get('application_name') || parameters.get('fallback_application_name') || 'nonstick'),
  }
}

const hostOf = ({ PGHOST }: { readonly PGHOST?: string | undefined }): string => {
  const host = PGHOST || 'localhost'
  if (isHost(host)) return host
  throw refusedVariable('PGHOST', 'one host name, one address, or the folder of a socket')
}

const portOf = ({ PGPORT }: { readonly PGPORT?: string | undefined }): number => {
  const port = PGPORT || '5432'
  if (isPort(port)) return Number(port)
  throw refusedVariable('PGPORT', 'a port, 1 to 65535')
}

const refusedVariable = (name: string, expected: string): SessionStoreError =>
  new SessionStoreError('E_CONFIG', `Expected the environment variable \`${name}\` to be ${expected}`)

const numberOf = (parameters: ConnectionString['parameters'], name: string, least: number): number | undefined => {
  const value = parameters.get(name)
  if (value === undefined) return undefined
  const number = Number(value)
  if (/^\d{1,10}$/.test(value) && number >= least && number <= LONGEST_TIMER_MS) return number
  throw refusedParameter(name, `a whole number from ${least} on`)
}

const negotiationOf = (
  parameters: ConnectionString['parameters'],
  env: Environment,
  ssl: Ssl,
): OwnPoolOptions['sslnegotiation'] => {
  const value = parameters.get('sslnegotiation') ?? (env['PGSSLNEGOTIATION'] || 'postgres')
  if (value === 'postgres' || (value === 'direct' && ssl !== false)) return value
  throw refusedParameter('sslnegotiation', '`postgres`, or, where the connection is encrypted, `direct`')
}

/**
 * pg binds the password's proof to the TLS channel where the server offers it, and cannot insist on it. Insisting helps
 * against a server in the middle, which the check of the certificate excludes already.
 */
const bindsChannel = (parameters: ConnectionString['parameters'], ssl: Ssl): boolean => {
  const value = parameters.get('channel_binding') ?? 'disable'
  if (value === 'disable' || value === 'prefer') return value === 'prefer' && ssl !== false
  if (value === 'require' && isVerified(ssl)) return true
  throw refusedParameter('channel_binding', '`disable`, `prefer`, or, beside `sslmode=verify-full`, `require`')
}
