import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Runtime } from '../../contract/time.js'
import { areOptions, invalidOption } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import {
  aFunction,
  aRuntime,
  checkOptions,
  type Kinds,
  kindOf,
  milliseconds,
  oneOf,
  required,
  secret,
  trueOrFalse,
  whole,
} from '../../tools/options.js'
import { type DatabaseNames, databaseNames, type Window } from './months.js'

/** Where the server is, whose sessions it keeps and for how long. */
export interface CouchdbOptions {
  /**
   * `http://couch1:5984`, or several servers of one cluster, which are tried in turn; a path is kept, for a CouchDB
   * behind a proxy. A user and a password in it stand in no message, log or error.
   */
  readonly url: string | readonly string[]
  /**
   * How long a session can live at most, in ms: the store's `absoluteTtlMs`, or more. It bounds the months in which
   * a session is looked for, and says when a month's database may be dropped. 1 to ten years. Too small a value
   * loses sessions to sight.
   */
  readonly absoluteTtlMs: number
  /** With `password`, and in place of those in `url`. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /**
   * `'basic'` sends the password with each request; `'cookie'` exchanges it at `_session` for a cookie, which spares
   * the server the checking of passwords. @default 'basic'
   */
  readonly auth?: 'basic' | 'cookie' | undefined
  /**
   * The name of a month's database, with `{yyyy}` and `{mm}` in it once each: lower-case letters, digits and
   * `_$()+-`, a letter first, at most 200 characters. CouchDB takes a slash too; proxies do not leave it as it is, so
   * that it is refused here. The users' database has `users` in place of the month. @default 'nonstick-{yyyy}-{mm}'
   */
  readonly database?: string | undefined
  /**
   * Make the databases of the months as they come, and that of the users, which takes a server administrator. Otherwise `setUp()` must have
   * made them, run as one at least once a month. @default true
   */
  readonly createDatabases?: boolean | undefined
  /**
   * The users who may read and write databases that are made here; they need not be administrators.
   * @default the user of these options; without one, the server's own default (administrators only)
   */
  readonly members?: readonly string[] | undefined
  /**
   * How many copies of each document a cluster may keep, CouchDB's `n`: 1 to 100. Databases are made with so many, and
   * one that keeps more is refused with `E_BACKEND_SCHEMA`. With more than one, what the store promises holds no longer:
   * see docs/couchdb.md. @default 1
   */
  readonly replicas?: number | undefined
  /** How far the clocks of two processes may be apart, in ms: 0 to an hour. @default 60_000 */
  readonly maxClockSkewMs?: number | undefined
  /** How long a month's database outlives the last moment it could be needed, in ms: 0 to ten years. @default a day */
  readonly purgeGraceMs?: number | undefined
  /** Of how many sessions without a month in their id the month is kept in mind: a positive integer. @default 10_000 */
  readonly rememberedMonths?: number | undefined

  /**
   * How large a document may be, in bytes, 1024 to 4294967295: the server's own `max_document_size`, where that was raised.
   * A larger one is refused with `E_SESSION_TOO_LARGE` before it is sent, and no answer is read that has more than what was
   * asked for may come to. The data takes a third more than its bytes. @default 8_000_000
   */
  readonly maxDocumentBytes?: number | undefined

  /** Connections of one process to each server at most: 1 to 10000. @default 10 */
  readonly maxConnections?: number | undefined
  /** How long a new connection may take, in ms: 1 to 2147483647. @default 1_000 */
  readonly connectTimeoutMs?: number | undefined
  /** How long a whole call may take, in ms, waiting for a connection included: 1 to 2147483647. @default 2_000 */
  readonly requestTimeoutMs?: number | undefined
  /** For `https:`, passed to `tls.connect` as it is: `{ ca }`, `{ cert, key }`. */
  readonly tls?: TlsOptions | undefined

  /** Clock and timers. @default systemRuntime */
  readonly runtime?: Runtime | undefined
  /** Told of what goes wrong beside the calls (a database made ahead, a conflict resolved); no ids. @default silence */
  readonly log?: ((message: string) => void) | undefined
}

/** Who asks; told to the server, and to nobody else. */
export interface Credentials {
  readonly username: string
  readonly password: string
}

/** One of the cluster's servers. */
export interface Server {
  /** Without credentials, and without a slash at its end. */
  readonly url: string
  /** `couchdb 127.0.0.1:5984` */
  readonly tier: string
  readonly credentials: Credentials | undefined
}

export interface ResolvedCouchdbOptions extends Window {
  readonly servers: readonly Server[]
  readonly auth: 'basic' | 'cookie'
  readonly names: DatabaseNames
  readonly createDatabases: boolean
  readonly members: readonly string[]
  readonly replicas: number
  readonly purgeGraceMs: number
  readonly rememberedMonths: number
  readonly maxDocumentBytes: number
  readonly maxConnections: number
  readonly connectTimeoutMs: number
  readonly tls: TlsOptions | undefined
  readonly runtime: Runtime
  readonly log: (message: string) => void
}

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS
const TEN_YEARS_MS = 3_653 * DAY_MS

const URLS =
  'an http or https URL, or a list of them, without a query; in a user or a password each of / ? # @ : % is to be ' +
  'written with %, or `username` and `password` are to be given'

/** CouchDB takes 238 bytes, of which its files need some. */
const LONGEST_NAME = 200

const isText = (value: unknown): value is string => typeof value === 'string' && value !== ''

const isUrls = (value: unknown): boolean =>
  Array.isArray(value) ? value.length > 0 && value.every(isUrl) : isUrl(value)

const isUrl = (value: unknown): boolean => {
  if (!isText(value) || !URL.canParse(value)) return false
  const { protocol, search, hash, username, password, pathname } = new URL(value)
  // Part of a password with a slash in it: the name before it would pass for the host, and be shown.
  if (pathname.includes('@')) return false
  if (search !== '' || hash !== '' || (username === '') !== (password === '')) return false
  return (protocol === 'http:' || protocol === 'https:') && isDecodable(username) && isDecodable(password)
}

const isDecodable = (text: string): boolean => {
  try {
    return typeof decodeURIComponent(text) === 'string'
  } catch {
    return false
  }
}

const isPattern = (value: unknown): boolean => {
  if (!isText(value) || value.length > LONGEST_NAME) return false
  if (value.split('{yyyy}').length !== 2 || value.split('{mm}').length !== 2) return false
  return /^[a-z][a-z0-9_$()+-]*$/.test(value.replace('{yyyy}', '2026').replace('{mm}', '11'))
}

const KINDS: Kinds<CouchdbOptions> = {
  url: required(secret(kindOf(URLS, isUrls))),
  absoluteTtlMs: required(milliseconds(1, TEN_YEARS_MS)),
  username: secret(kindOf('a name without a colon', (value) => isText(value) && !value.includes(':'))),
  password: secret(kindOf('a text', (value) => typeof value === 'string')),
  auth: oneOf('basic', 'cookie'),
  database: secret(
    kindOf('a database name of CouchDB without a slash, with {yyyy} and {mm} in it, once each', isPattern),
  ),
  createDatabases: trueOrFalse,
  replicas: whole(1, 100),
  members: secret(kindOf('a list of names', (value) => Array.isArray(value) && value.every(isText))),
  maxClockSkewMs: milliseconds(0, HOUR_MS),
  purgeGraceMs: milliseconds(0, TEN_YEARS_MS),
  rememberedMonths: whole(1, 100_000_000),
  maxDocumentBytes: whole(1_024, 4_294_967_295),
  maxConnections: whole(1, 10_000),
  connectTimeoutMs: milliseconds(1),
  requestTimeoutMs: milliseconds(1),
  tls: secret(kindOf('TLS options', areOptions)),
  runtime: aRuntime,
  log: aFunction(),
}

/** @throws SessionStoreError `E_CONFIG` */
export const resolveCouchdbOptions = (options: CouchdbOptions): ResolvedCouchdbOptions => {
  checkOptions('couchdb(options)', options, KINDS, '{ url, absoluteTtlMs }')
  const credentials = credentialsOf(options)
  const servers = [options.url].flat().map((url) => serverOf(url, credentials))
  const { auth = 'basic' } = options
  if (auth === 'cookie' && servers.some((server) => server.credentials === undefined))
    throw invalidOption('auth', "left out, or 'basic', where no user is given", auth)
  const user = servers[0]?.credentials?.username
  return Object.freeze({
    servers,
    auth,
    names: databaseNames(options.database ?? 'nonstick-{yyyy}-{mm}'),
    createDatabases: options.createDatabases ?? true,
    members: options.members ?? (user === undefined ? [] : [user]),
    replicas: options.replicas ?? 1,
    absoluteTtlMs: options.absoluteTtlMs,
    maxClockSkewMs: options.maxClockSkewMs ?? 60_000,
    purgeGraceMs: options.purgeGraceMs ?? DAY_MS,
    rememberedMonths: options.rememberedMonths ?? 10_000,
    maxDocumentBytes: options.maxDocumentBytes ?? 8_000_000,
    maxConnections: options.maxConnections ?? 10,
    connectTimeoutMs: options.connectTimeoutMs ?? 1_000,
    requestTimeoutMs: options.requestTimeoutMs ?? 2_000,
    tls: options.tls,
    runtime: runtimeOf(options.runtime),
    log: options.log ?? (() => {}),
  })
}

const credentialsOf = ({ username, password }: CouchdbOptions): Credentials | undefined => {
  if (username !== undefined && password !== undefined) return { username, password }
  if (username !== undefined) throw invalidOption('password', 'given where `username` is', undefined)
  if (password !== undefined) throw invalidOption('username', 'given where `password` is', undefined)
  return undefined
}

const serverOf = (url: string, given: Credentials | undefined): Server => {
  const parsed = new URL(url)
  const inUrl =
    parsed.username === ''
      ? undefined
      : { username: decodeURIComponent(parsed.username), password: decodeURIComponent(parsed.password) }
  if (given !== undefined && inUrl !== undefined)
    throw invalidOption('username', 'left out where `url` names a user', given.username, { secret: true })
  const port = parsed.port === '' ? (parsed.protocol === 'https:' ? '443' : '80') : parsed.port
  return {
    url: `${parsed.origin}${parsed.pathname.replace(/\/+$/, '')}`,
    tier: `couchdb ${parsed.hostname}:${port}`,
    credentials: given ?? inUrl,
  }
}
