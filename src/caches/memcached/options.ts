import type { Runtime } from '../../contract/time.js'
import { runtimeOf } from '../../runtime.js'
import {
  aFunction,
  aRuntime,
  checkedOption,
  checkOptions,
  type Kinds,
  kindOf,
  milliseconds,
  required,
  secret,
  trueOrFalse,
  whole,
} from '../../tools/options.js'
import { type Placement, weightedRendezvous } from './placement.js'
import { type MemcachedServers, parseServers, type ServerAddress } from './servers.js'
import { type MemcachedTls, TLS_KIND, tlsOf } from './tls.js'

export interface MemcachedOptions {
  /**
   * Where the entries are kept, with weights: a server of weight 2 holds twice the sessions of one of weight 1.
   * Every process must be given the same servers; their order does not matter.
   */
  readonly servers: MemcachedServers

  /**
   * Whether the connections are encrypted, and how the servers prove who they are. `true` takes a server whose certificate
   * is by an authority that Node trusts and is for the host by which the server is listed; an object says it otherwise.
   * It counts for all servers, none of which may be a unix socket. Nothing is ever sent without TLS where it is asked for.
   * @default true where a server is listed with `memcacheds://`, else false
   */
  readonly tls?: boolean | MemcachedTls | undefined

  /**
   * Signs in to every server (SASL PLAIN). Together with `password` or not at all; the environment
   * is not looked at. A server that refuses, or that has no SASL, cannot be used.
   */
  readonly username?: string | undefined
  readonly password?: string | undefined

  /**
   * Within how many milliseconds each call settles, waiting for a connection included. A server that exceeds
   * it has its connection thrown away, with all that is in flight on it. From 1 to 2_147_483_647.
   * @default 500
   */
  readonly operationTimeoutMs?: number | undefined

  /**
   * After how many milliseconds an attempt to connect (including signing in and a first answer) is given up.
   * A call waits for it no longer than `operationTimeoutMs`. From 1 to 2_147_483_647.
   * @default 500
   */
  readonly connectTimeoutMs?: number | undefined

  /**
   * For about how many milliseconds calls fail at once, surely not applied, after an attempt to connect has
   * failed. It doubles with each further failure in a row up to `reconnectMaxMs`; each time a random half to
   * whole of it is waited, so that a fleet does not come back in step. A connection that ends before it has
   * answered anything counts as a failed attempt. From 1 to 2_147_483_647.
   * @default 50
   */
  readonly reconnectMinMs?: number | undefined

  /**
   * The longest such pause: a server that returns is asked again after at most this and `connectTimeoutMs`.
   * From `reconnectMinMs` to 2_147_483_647.
   * @default 100, or `reconnectMinMs` if that is longer
   */
  readonly reconnectMaxMs?: number | undefined

  /**
   * How many calls may wait for one server at a time, for a connection or an answer. One more is rejected at
   * once, surely not applied, and is not sent. From 1 to 1_000_000.
   * @default 10_000
   */
  readonly maxInFlight?: number | undefined

  /**
   * The largest value that is sent, in bytes: less than what the servers take (`-I`, 1 MiB by default, their own header
   * included), so that no value travels in vain. A larger session is kept in the backend alone. From 1_024 to 1_073_741_824. @default 1_000_000
   */
  readonly maxValueBytes?: number | undefined

  /**
   * Whether to find out if several servers answer to one address, as behind a balancer: each would hold sessions of its
   * own. A second after a connection was made, and at most once a minute, a few short connections are made to the same
   * name and compared; calls do not wait for that. A store tells of what is found (`sharedName`), and so does health.
   * @default true
   */
  readonly checkSharedNames?: boolean | undefined

  /** Where memjs's own lines go. @default nowhere */
  readonly log?: ((line: string) => void) | undefined

  /** Which server holds which key. @default weightedRendezvous */
  readonly placement?: Placement | undefined

  /** The clock and the timers. @default systemRuntime */
  readonly runtime?: Runtime | undefined
}

export interface ResolvedMemcachedOptions {
  readonly servers: readonly ServerAddress[]
  readonly tls: MemcachedTls | undefined
  readonly credentials: { readonly username: string; readonly password: string } | undefined
  readonly operationTimeoutMs: number
  readonly connectTimeoutMs: number
  readonly reconnectMinMs: number
  readonly reconnectMaxMs: number
  readonly maxInFlight: number
  readonly maxValueBytes: number
  readonly checkSharedNames: boolean
  readonly log: (line: string) => void
  readonly placement: Placement
  readonly runtime: Runtime
}

/** NUL separates the two on the wire. */
const credential = secret(
  kindOf<string>(
    'a string that is not empty (username and password are given together)',
    (value) => typeof value === 'string' && value !== '' && !value.includes('\0'),
  ),
)

const KINDS: Kinds<MemcachedOptions> = {
  // What is wrong with one of them is said by `parseServers`, of its place in the list.
  servers: required(
    secret(
      kindOf(
        'at least one server, `host:port` or a list of them with their weights',
        (value) => typeof value === 'string' || (Array.isArray(value) && value.length > 0),
      ),
    ),
  ),
  tls: TLS_KIND,
  username: credential,
  password: credential,
  operationTimeoutMs: milliseconds(1),
  connectTimeoutMs: milliseconds(1),
  reconnectMinMs: milliseconds(1),
  reconnectMaxMs: milliseconds(1),
  maxInFlight: whole(1, 1_000_000),
  maxValueBytes: whole(1_024, 1_073_741_824),
  checkSharedNames: trueOrFalse,
  log: aFunction(),
  placement: aFunction(),
  runtime: aRuntime,
}

/** @throws `E_CONFIG` naming the first option that cannot be used. */
export const resolveOptions = (options: MemcachedOptions): ResolvedMemcachedOptions => {
  checkOptions('memcached(options)', options, KINDS, '{ servers }')
  const { reconnectMinMs = 50 } = options
  const { reconnectMaxMs = Math.max(100, reconnectMinMs) } = options
  const servers = parseServers(options.servers)
  return Object.freeze({
    servers,
    tls: tlsOf(options.tls, servers),
    credentials: credentialsOf(options),
    operationTimeoutMs: options.operationTimeoutMs ?? 500,
    connectTimeoutMs: options.connectTimeoutMs ?? 500,
    reconnectMinMs,
    reconnectMaxMs: checkedOption(
      'reconnectMaxMs',
      reconnectMaxMs,
      milliseconds({ value: reconnectMinMs, because: '`reconnectMinMs`' }),
    ),
    maxInFlight: options.maxInFlight ?? 10_000,
    maxValueBytes: options.maxValueBytes ?? 1_000_000,
    checkSharedNames: options.checkSharedNames ?? true,
    log: options.log ?? (() => {}),
    placement: options.placement ?? weightedRendezvous,
    runtime: runtimeOf(options.runtime),
  })
}

const credentialsOf = ({ username, password }: MemcachedOptions): ResolvedMemcachedOptions['credentials'] => {
  if (username === undefined && password === undefined) return undefined
  return {
    username: checkedOption('username', username, credential),
    password: checkedOption('password', password, credential),
  }
}
