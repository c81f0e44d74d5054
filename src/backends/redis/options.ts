import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Runtime } from '../../contract/time.js'
import { areOptions, invalidOption } from '../../errors.js'
import { runtimeOf } from '../../runtime.js'
import {
  aFunction,
  aRuntime,
  aText,
  checkOptions,
  type Kinds,
  kindOf,
  milliseconds,
  required,
  secret,
  whole,
} from '../../tools/options.js'
import { type GivenClient, type RedisClient, unfitnessOf, wireOf } from './given-client.js'
import { type Place, placeOf } from './places.js'

/** For how many replicas a change waits. */
export interface WaitOptions {
  /** How many replicas must have a change before it is acknowledged: 1 to 100. */
  readonly replicas: number
  /** How long the server waits for them, in ms: 1 to 60000, and less than `queryTimeoutMs`. */
  readonly timeoutMs: number
}

/** Where the sessions are: either `url` or `client`. */
export interface RedisOptions {
  /**
   * `redis://user:password@host:6379/0`, `rediss://…` for TLS, `unix:///run/redis.sock?db=0`; for a cluster some of its
   * nodes, `redis+cluster://host1:6379,host2:6379`; for Sentinel `redis+sentinel://host1:26379,host2:26379/mymaster/0`.
   * A user and a password in it are those of the Redis servers, and stand in no message, log or error.
   */
  readonly url?: string | undefined
  /**
   * A client of your own: of node-redis (`createClient` or `createCluster`), ioredis or iovalkey. It is never closed here.
   * docs/redis.md says how each has to be set up.
   */
  readonly client?: RedisClient | undefined
  /** With `password`, and in place of those in `url`. */
  readonly username?: string | undefined
  readonly password?: string | undefined
  /** For `rediss:`, passed to `tls.connect` as it is: `{ ca }`, `{ cert, key }`. */
  readonly tls?: TlsOptions | undefined

  /**
   * What the names of all keys begin with: at most 200 characters, without braces, control characters and half surrogate
   * pairs; may be empty. @default 'nonstick:'
   */
  readonly prefix?: string | undefined
  /**
   * Creation, `destroy`, the records of users and what is saved wait until so many replicas have it. Where fewer have it in
   * time, the call rejects with `applied: 'unknown'`. @default none are waited for
   */
  readonly wait?: WaitOptions | undefined
  /**
   * How long after its end Redis itself removes a session, in ms: 0 to ten years. A session whose `absoluteExpiresAt` has
   * passed needs no such time. An hour comes on top, since the clocks of two machines differ. @default 86_400_000 (a day)
   */
  readonly purgeGraceMs?: number | undefined
  /**
   * How much data a session may have, in bytes: 1024 to 268000000. More is refused with `E_SESSION_TOO_LARGE` before it is
   * sent. @default 16_777_216
   */
  readonly maxDataBytes?: number | undefined

  /** How long a new connection may take, in ms: 1 to 2147483647. @default 1_000 */
  readonly connectTimeoutMs?: number | undefined
  /** How long a whole call may take, in ms, waiting for a connection included: 1 to 2147483647. @default 2_000 */
  readonly queryTimeoutMs?: number | undefined

  /** Clock and timers of the deadlines. @default systemRuntime */
  readonly runtime?: Runtime | undefined
  /** Told of what goes wrong beside the calls: lost connections, unfit settings; no ids, no credentials. @default silence */
  readonly log?: ((message: string) => void) | undefined
}

export type ClientSource =
  | { readonly place: Place; readonly tls: TlsOptions | undefined; readonly connectTimeoutMs: number }
  | { readonly given: GivenClient }

export interface ResolvedRedisOptions {
  readonly source: ClientSource
  readonly prefix: string
  readonly wait: WaitOptions | undefined
  readonly purgeGraceMs: number
  readonly maxDataBytes: number
  readonly queryTimeoutMs: number
  readonly runtime: Runtime
  readonly log: (message: string) => void
}

const DAY_MS = 86_400_000
const TEN_YEARS_MS = 3_653 * DAY_MS

const A_URL =
  'a URL such as `redis://host:6379/0`, `rediss://host`, `unix:///run/redis.sock`, `redis+cluster://host1,host2` or ' +
  '`redis+sentinel://host1,host2/mymaster`; in a user or a password each of / ? # @ : % is to be written with %, or ' +
  '`username` and `password` are to be given'

const isPrefix = (value: unknown): boolean =>
  typeof value === 'string' && value.length <= 200 && !/[{}\p{Cc}\p{Surrogate}]/u.test(value)

const KINDS: Kinds<RedisOptions> = {
  url: secret(kindOf(A_URL, (value) => typeof value === 'string' && placeOf(value) !== undefined)),
  client: secret(
    kindOf(
      'a client of node-redis, ioredis or iovalkey',
      (value) => wireOf(value) !== undefined,
      (value) => unfitnessOf(value),
    ),
  ),
  username: aText('a name'),
  password: secret(kindOf('a text', (value) => typeof value === 'string')),
  tls: secret(kindOf('TLS options', areOptions)),
  prefix: secret(kindOf('a text of at most 200 characters without { and }', isPrefix)),
  wait: kindOf('an object such as `{ replicas: 1, timeoutMs: 500 }`', areOptions),
  purgeGraceMs: milliseconds(0, TEN_YEARS_MS),
  maxDataBytes: whole(1_024, 268_000_000),
  connectTimeoutMs: milliseconds(1),
  queryTimeoutMs: milliseconds(1),
  runtime: aRuntime,
  log: aFunction(),
}

const OF_OUR_OWN_CLIENT = ['username', 'password', 'tls', 'connectTimeoutMs'] as const

/** @throws SessionStoreError `E_CONFIG` */
export const resolveRedisOptions = (options: RedisOptions): ResolvedRedisOptions => {
  checkOptions('redis(options)', options, KINDS, '{ url }')
  const { queryTimeoutMs = 2_000, wait } = options
  if (wait !== undefined) {
    const below = { value: queryTimeoutMs - 1, because: 'less than `queryTimeoutMs`' }
    const kinds: Kinds<WaitOptions> = {
      replicas: required(whole(1, 100)),
      timeoutMs: required(milliseconds(1, below.value < 60_000 ? below : 60_000)),
    }
    checkOptions('wait', wait, kinds, '{ replicas: 1, timeoutMs: 500 }', 'wait.')
  }
  return Object.freeze({
    source: sourceOf(options),
    prefix: options.prefix ?? 'nonstick:',
    wait: wait === undefined ? undefined : Object.freeze({ ...wait }),
    purgeGraceMs: options.purgeGraceMs ?? DAY_MS,
    maxDataBytes: options.maxDataBytes ?? 16_777_216,
    queryTimeoutMs,
    runtime: runtimeOf(options.runtime),
    log: options.log ?? (() => {}),
  })
}

const sourceOf = (options: RedisOptions): ClientSource => {
  const { url, client, tls, username, password } = options
  if (client !== undefined) {
    for (const name of ['url', ...OF_OUR_OWN_CLIENT] as const)
      if (options[name] !== undefined)
        throw invalidOption(name, 'left out where `client` is given', options[name], { secret: true })
    return { given: checkedClient(client, options.wait !== undefined) }
  }
  const place = url === undefined ? undefined : placeOf(url)
  if (place === undefined) throw invalidOption('url', A_URL, url, { secret: true, cure: 'it has no default' })
  if (place.login !== undefined && username !== undefined)
    throw invalidOption('username', 'left out where `url` names a user', username, { secret: true })
  if (place.login !== undefined && password !== undefined)
    throw invalidOption('password', 'left out where `url` has one', password, { secret: true })
  if (username !== undefined && password === undefined)
    throw invalidOption('password', 'given where `username` is', undefined)
  if (tls !== undefined && !place.isSecure)
    throw invalidOption('tls', 'left out unless `url` begins with `rediss`', tls, { secret: true })
  return {
    place: password === undefined ? place : { ...place, login: { username, password } },
    tls,
    connectTimeoutMs: options.connectTimeoutMs ?? 1_000,
  }
}

const checkedClient = (client: RedisClient, waits: boolean): GivenClient => {
  const given = wireOf(client)
  if (given === undefined) throw invalidOption('client', KINDS.client.expected, client, { secret: true })
  if (waits && given.connection === undefined)
    throw invalidOption('wait', 'left out with this kind of client', waits, {
      cure: 'give `url`, or a client of node-redis or of one server',
    })
  return given
}
