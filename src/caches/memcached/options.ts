import type { Runtime } from '../../contract/time.js'
import { invalidOption, refuseUnknownOptions } from '../../errors.js'
import { systemRuntime } from '../../runtime.js'
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
   * @default 1000
   */
  readonly connectTimeoutMs?: number

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
  return Object.freeze({
    servers: parseServers(options.servers),
    credentials: credentialsOf(options.username, options.password),
    operationTimeoutMs: milliseconds('operationTimeoutMs', options.operationTimeoutMs ?? 500),
    connectTimeoutMs: milliseconds('connectTimeoutMs', options.connectTimeoutMs ?? 1000),
    log: functionOption('log', options.log ?? (() => {})),
    placement: functionOption('placement', options.placement ?? weightedRendezvous),
    runtime,
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

const milliseconds = (option: string, value: number): number => {
  if (!Number.isSafeInteger(value) || value < 1 || value > LONGEST_TIMER_MS)
    throw invalidOption(option, `an integer from 1 to ${LONGEST_TIMER_MS} (milliseconds)`, value)
  return value
}

const functionOption = <F>(option: string, value: F): F => {
  if (typeof value !== 'function') throw invalidOption(option, 'a function', value)
  return value
}
