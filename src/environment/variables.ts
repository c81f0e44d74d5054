/** The environment variables, and which option each of them gives. */
import type { CouchdbOptions } from '../backends/couchdb/options.js'
import type { PostgresOptions } from '../backends/postgres/options.js'
import type { RedisOptions, WaitOptions } from '../backends/redis/options.js'
import type { MemcachedOptions } from '../caches/memcached/options.js'
import type { MemcachedTls } from '../caches/memcached/tls.js'
import type { StoreOptions } from '../store/options.js'
import type { SealingOptions } from '../store/sealing.js'
import { asBoolean, asList, asMilliseconds, asNumber, asPemFile, asText, type Reader } from './values.js'

/** Each option of a part: how a text gives it, or why none does. */
type Readers<Options> = { readonly [Name in keyof Options]-?: Reader | NotByText }

/** Why an option has no variable of its own. */
type NotByText =
  | 'it is no text'
  | 'the place of the tier says it'
  | 'it is that of the store'
  | 'each of its parts has one'

const NO_TEXT = 'it is no text'
const BY_PLACE = 'the place of the tier says it'

const STORE: Readers<StoreOptions<unknown>> = {
  cache: NO_TEXT,
  backend: NO_TEXT,
  allowEmbedded: asBoolean,
  codec: asText,
  namespace: asText,
  app: asText,
  maxStaleCount: asNumber,
  maxStaleMs: asMilliseconds,
  idleTtlMs: asMilliseconds,
  anonymousTtlMs: asMilliseconds,
  absoluteTtlMs: asMilliseconds,
  touchIntervalMs: asMilliseconds,
  touchBackendMs: asMilliseconds,
  persistOn: asText,
  identify: NO_TEXT,
  beforeSave: NO_TEXT,
  conflict: asText,
  onBackendDown: asText,
  onCacheUnreachable: asText,
  purgeEveryMs: asMilliseconds,
  deadlineMs: asMilliseconds,
  cacheTimeoutMs: asMilliseconds,
  backendTimeoutMs: asMilliseconds,
  breakerFailures: asNumber,
  cacheRetryMs: asMilliseconds,
  backendRetryMs: asMilliseconds,
  leaseMs: asMilliseconds,
  leaseWaitMs: asMilliseconds,
  maxBackendReads: asNumber,
  maxWaitingReads: asNumber,
  unknownIdTtlMs: asMilliseconds,
  maxSessionBytes: asNumber,
  maxSessionValues: asNumber,
  maxAttempts: asNumber,
  maxUnflushed: asNumber,
  tombstoneTtlMs: asMilliseconds,
  maxClockSkewMs: asMilliseconds,
  maxSessionsPerUser: asNumber,
  onTooManySessions: asText,
  legacy: NO_TEXT,
  sealing: 'each of its parts has one',
  auditKey: asText,
  runtime: NO_TEXT,
}

const SEALING: Readers<SealingOptions> = {
  keys: asList,
  acceptUnsealed: asBoolean,
  writeUnsealed: asBoolean,
  hashUserIds: asText,
}

const MEMCACHED: Readers<MemcachedOptions> = {
  servers: BY_PLACE,
  tls: asBoolean,
  username: asText,
  password: asText,
  operationTimeoutMs: asMilliseconds,
  connectTimeoutMs: asMilliseconds,
  reconnectMinMs: asMilliseconds,
  reconnectMaxMs: asMilliseconds,
  maxInFlight: asNumber,
  maxValueBytes: asNumber,
  checkSharedNames: asBoolean,
  log: NO_TEXT,
  placement: NO_TEXT,
  runtime: NO_TEXT,
}

const MEMCACHED_TLS: Readers<MemcachedTls> = {
  ca: asPemFile,
  cert: asPemFile,
  key: asPemFile,
  passphrase: asText,
  servername: asText,
  minVersion: asText,
  ciphers: asText,
  rejectUnauthorized: asBoolean,
}

const POSTGRES: Readers<PostgresOptions> = {
  connectionString: BY_PLACE,
  pool: NO_TEXT,
  host: BY_PLACE,
  port: BY_PLACE,
  user: BY_PLACE,
  password: BY_PLACE,
  database: BY_PLACE,
  ssl: BY_PLACE,
  schema: asText,
  table: asText,
  migrate: asBoolean,
  partitions: asNumber,
  maxConnections: asNumber,
  connectTimeoutMs: asMilliseconds,
  queryTimeoutMs: asMilliseconds,
  statementTimeoutMs: asMilliseconds,
  namedStatements: asBoolean,
  maxDataBytes: asNumber,
  applicationName: asText,
  runtime: NO_TEXT,
  log: NO_TEXT,
}

const COUCHDB: Readers<CouchdbOptions> = {
  url: BY_PLACE,
  absoluteTtlMs: 'it is that of the store',
  username: asText,
  password: asText,
  auth: asText,
  database: asText,
  createDatabases: asBoolean,
  members: asList,
  replicas: asNumber,
  maxClockSkewMs: asMilliseconds,
  purgeGraceMs: asMilliseconds,
  rememberedMonths: asNumber,
  maxDocumentBytes: asNumber,
  maxConnections: asNumber,
  connectTimeoutMs: asMilliseconds,
  requestTimeoutMs: asMilliseconds,
  tls: NO_TEXT,
  runtime: NO_TEXT,
  log: NO_TEXT,
}

const REDIS: Readers<RedisOptions> = {
  url: BY_PLACE,
  client: NO_TEXT,
  username: asText,
  password: asText,
  tls: NO_TEXT,
  prefix: asText,
  wait: 'each of its parts has one',
  purgeGraceMs: asMilliseconds,
  maxDataBytes: asNumber,
  connectTimeoutMs: asMilliseconds,
  queryTimeoutMs: asMilliseconds,
  runtime: NO_TEXT,
  log: NO_TEXT,
}

const REDIS_WAIT: Readers<WaitOptions> = { replicas: asNumber, timeoutMs: asMilliseconds }

/** What a variable gives an option to. */
export type Owner = 'store' | 'sealing' | 'memcached' | 'postgres' | 'couchdb' | 'redis'

export interface Variable {
  readonly name: string
  readonly owner: Owner
  /** Its name; that of an option of an option with both: `tls.ca`. */
  readonly option: string
  readonly read: Reader
}

/** `maxStaleCount` becomes `MAX_STALE_COUNT`, and `tls.ca` becomes `TLS_CA`. */
const capitals = (option: string): string =>
  option
    .replace(/[A-Z]/g, (letter) => `_${letter}`)
    .replace('.', '_')
    .toUpperCase()

/** Names that `nonstick setup` has had from the beginning. */
const OLDER_NAMES: Readonly<Record<string, string>> = {
  NONSTICK_POSTGRES_SCHEMA: 'NONSTICK_SCHEMA',
  NONSTICK_POSTGRES_TABLE: 'NONSTICK_TABLE',
}

const variablesOf = (owner: Owner, readers: Readonly<Record<string, Reader | NotByText>>): readonly Variable[] =>
  Object.entries(readers).flatMap(([option, read]) => {
    if (typeof read === 'string') return []
    const name = `NONSTICK_${owner === 'store' ? '' : `${owner.toUpperCase()}_`}${capitals(option)}`
    return [{ name: OLDER_NAMES[name] ?? name, owner, option, read }]
  })

const within = (outer: string, readers: Readonly<Record<string, Reader | NotByText>>): typeof readers =>
  Object.fromEntries(Object.entries(readers).map(([option, read]) => [`${outer}.${option}`, read]))

/** Every variable that gives an option; `NONSTICK_CACHE` and `NONSTICK_BACKEND` say where the tiers are. */
export const VARIABLES: readonly Variable[] = [
  ...variablesOf('store', STORE),
  ...variablesOf('sealing', SEALING),
  ...variablesOf('memcached', MEMCACHED),
  ...variablesOf('memcached', within('tls', MEMCACHED_TLS)),
  ...variablesOf('postgres', POSTGRES),
  ...variablesOf('couchdb', COUCHDB),
  ...variablesOf('redis', REDIS),
  ...variablesOf('redis', within('wait', REDIS_WAIT)),
]

/** Variables that the command `nonstick` reads, and a store does not. */
const OF_THE_COMMAND = ['CONFIG', 'IMPORT_FROM', 'IMPORT_AT', 'ADMIN_URL', 'DATABASE', 'ROLE', 'PASSWORD'].map(
  (name) => `NONSTICK_${name}`,
)

export const KNOWN_NAMES: ReadonlySet<string> = new Set([
  'NONSTICK_CACHE',
  'NONSTICK_BACKEND',
  ...VARIABLES.map(({ name }) => name),
  ...OF_THE_COMMAND,
])

/** What Kubernetes, and Docker's links, put into the environment of a container beside a service called `nonstick`. */
export const OF_A_SERVICE: RegExp =
  /^NONSTICK(?:_[A-Z0-9_]+)?_(?:SERVICE_(?:HOST|PORT)(?:_[A-Z0-9_]+)?|PORT(?:_\d+_(?:TCP|UDP)(?:_(?:PROTO|PORT|ADDR))?)?)$/
