import type { Runtime } from '../../contract/time.js'
import { invalidOption, refuseUnknownOptions } from '../../errors.js'
import { runtimeOf, systemRuntime } from '../../runtime.js'
import { type Placement, weightedRendezvous } from './placement.js'
import { type MemcachedServers, parseServers, type ServerAddress } from './servers.js'

export interface MemcachedOptions {
  /**
   * Where the entries are kept, with weights: a server of weight 2 holds twice the sessions of one of weight 1.
   * Every process must be given the same servers; their order does not matter.
   *
   * There is no TLS: what travels is protected by your network or by sealing the sessions, not by this link.
   */
  readonly servers: MemcachedServers

  /**
   * Signs in to every server (SASL PLAIN). Together with `password` or not at all; the environment
   * is not looked at. A server that refuses, or that has no SASL, cannot be used.
   */
  readonly username?: string
  readonly password?: string

  /**
   * Within how many milliseconds each call settles, waiting for a connection included. A server that exceeds
   * it has its connection thrown away, with all that is in flight on it. From 1 to 2_147_483_647.
   * @default 500
   */
  readonly operationTimeoutMs?: number

  /**
   * After how many milliseconds an attempt to connect (including signing in and a first answer) is given up.
   * A call waits for it no longer than `operationTimeoutMs`. From 1 to 2_147_483_647.
   * @default 500
   */
  readonly connectTimeoutMs?: number

  /**
   * For about how many milliseconds calls fail at once, surely not applied, after an attempt to connect has
   * failed. It doubles with each further failure in a row up to `reconnectMaxMs`; each time a random half to
   * whole of it is waited, so that a fleet does not come back in step. A connection that ends before it has
   * answered anything counts as a failed attempt. From 1 to 2_147_483_647.
   * @default 50
   */
  readonly reconnectMinMs?: number

  /**
   * The longest such pause: a server that returns is asked again after at most this and `connectTimeoutMs`.
   * From `reconnectMinMs` to 2_147_483_647.
   * @default 100, or `reconnectMinMs` if that is longer
   */
  readonly reconnectMaxMs?: number

  /**
   * How many calls may wait for one server at a time, for a connection or an answer. One more is rejected at
   * once, surely not applied, and is not sent. From 1 to 1_000_000.
   * @default 10_000
   */
  readonly maxInFlight?: number

  /**
   * The largest value that is sent, in bytes: less than what the servers take (`-I`, 1 MiB by default, their own header
   * included), so that no value travels in vain. A larger session is kept in the backend alone. From 1_024 to 1_073_741_824. @default 1_000_000
   */
  readonly maxValueBytes?: number

  /**
   * Whether to find out if several servers answer to one address, as behind a balancer: each would hold sessions of its
   * own. A second after a connection was made, and at most once a minute, a few short connections are made to the same
   * name and compared; calls do not wait for that. A store tells of what is found (`sharedName`), and so does health.
   * @default true
   */
  readonly checkSharedNames?: boolean

  /** Where memjs's own lines go. @default nowhere */
  readonly log?: (line: string) => void

  /** Which server holds which key. @default weightedRendezvous */
  readonly placement?: Placement

  /** The clock and the timers. @default systemRuntime */
  readonly runtime?: Runtime
}

export interface ResolvedMemcachedOptions {
  readonly servers: readonly ServerAddress[]
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

const OPTION_NAMES: ReadonlySet<string> = new Set([
  'servers',
  'username',
  'password',
  'operationTimeoutMs',
  'connectTimeoutMs',
  'reconnectMinMs',
  'reconnectMaxMs',
  'maxInFlight',
  'maxValueBytes',
  'checkSharedNames',
  'log',
  'placement',
  'runtime',
] satisfies (keyof MemcachedOptions)[])

/** @throws `E_CONFIG` naming the first option that cannot be used. */
export const resolveOptions = (options: MemcachedOptions): ResolvedMemcachedOptions => {
  if (typeof options !== 'object' || options === null)
    throw invalidOption('memcached(options)', 'an object such as `{ servers }`', options, { secret: true })
  refuseUnknownOptions(options, OPTION_NAMES)
  const { runtime = systemRuntime } = options
  if (typeof runtime?.after !== 'function') throw invalidOption('runtime', 'a Runtime', runtime)
  const reconnectMinMs = milliseconds('reconnectMinMs', options.reconnectMinMs ?? 50)
  return Object.freeze({
    servers: parseServers(options.servers),
    credentials: credentialsOf(options.username, options.password),
    operationTimeoutMs: milliseconds('operationTimeoutMs', options.operationTimeoutMs ?? 500),
    connectTimeoutMs: milliseconds('connectTimeoutMs', options.connectTimeoutMs ?? 500),
    reconnectMinMs,
    reconnectMaxMs: milliseconds(
      'reconnectMaxMs',
      options.reconnectMaxMs ?? Math.max(100, reconnectMinMs),
      reconnectMinMs,
    ),
    maxInFlight: count('maxInFlight', options.maxInFlight ?? 10_000, 1, 1_000_000),
    maxValueBytes: count('maxValueBytes', options.maxValueBytes ?? 1_000_000, 1_024, 1_073_741_824),
    checkSharedNames: flag('checkSharedNames', options.checkSharedNames ?? true),
    log: functionOption('log', options.log ?? (() => {})),
    placement: functionOption('placement', options.placement ?? weightedRendezvous),
    runtime: runtimeOf(runtime),
  })
}

const credentialsOf = (username: unknown, password: unknown): ResolvedMemcachedOptions['credentials'] => {
  if (username === undefined && password === undefined) return undefined
  return { username: credential('username', username), password: credential('password', password) }
}

/** NUL separates the two on the wire. */
const credential = (option: string, value: unknown): string => {
  if (typeof value !== 'string' || value === '' || value.includes('\0'))
    throw invalidOption(option, 'a string that is not empty (username and password are given together)', value, {
      secret: true,
    })
  return value
}

/** The most that a timer of Node takes; beyond it would fire at once. */
const LONGEST_TIMER_MS = 2_147_483_647

const milliseconds = (option: string, value: number, least = 1): number => {
  if (!Number.isSafeInteger(value) || value < least || value > LONGEST_TIMER_MS)
    throw invalidOption(option, `an integer from ${least} to ${LONGEST_TIMER_MS} (milliseconds)`, value)
  return value
}

const count = (option: string, value: number, least: number, most: number): number => {
  if (!Number.isSafeInteger(value) || value < least || value > most)
    throw invalidOption(option, `an integer from ${least} to ${most}`, value)
  return value
}

const flag = (option: string, value: boolean): boolean => {
  if (typeof value !== 'boolean') throw invalidOption(option, 'true or false', value)
  return value
}

const functionOption = <F>(option: string, value: F): F => {
  if (typeof value !== 'function') throw invalidOption(option, 'a function', value)
  return value
}
