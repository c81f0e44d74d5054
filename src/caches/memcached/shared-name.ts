import { lookup } from 'node:dns/promises'
import type { Cancel, Runtime } from '../../contract/time.js'
import type { Connect } from './connecting.js'
import type { Connection } from './connection.js'
import type { ResolvedMemcachedOptions } from './options.js'
import { type CacheRequest, OPCODE, STATUS } from './protocol.js'
import type { ServerAddress, TcpTarget } from './servers.js'

/** A key of the library's own: after a namespace, the store's keys have 43 characters. */
const BADGE_KEY: Buffer = Buffer.from('nonstick:badge')

/** Long enough that a connection which is lost at once is not worth looking behind. */
const LOOK_AFTER_MS = 1_000

const LOOK_AT_MOST_EVERY_MS = 60_000

/** To one address: a balancer that takes turns, or lots, gives one of three to another server, most of the time. */
const CONNECTIONS = 3

/** To a name with so many addresses, one each. */
const MOST_CONNECTIONS = 8

/** The addresses of a host name, in no order. */
export type Resolve = (host: string) => Promise<readonly string[]>

const resolveAll: Resolve = async (host) => (await lookup(host, { all: true })).map(({ address }) => address)

/**
 * How many servers certainly stand behind connections that were asked for their server's badge twice, all a second time
 * after all had answered a first.
 *
 * A badge is random, is put only where none is, and never comes back once it is gone. Of two badges of one server one is
 * gone before the other comes; so badges that were *both* seen in both rounds are of two servers. A server that was
 * flushed or restarted, or that evicted its badge, shows one of them in one round only.
 *
 * @param first the badges in the order of the connections; `undefined` for one that gave none
 */
export const serversBehind = (
  first: readonly (bigint | undefined)[],
  second: readonly (bigint | undefined)[],
): number => new Set(first.filter((badge, index) => badge !== undefined && badge === second[index])).size

/**
 * Finds out whether several servers that know nothing of each other answer to one address of the list: a balancer, a
 * Kubernetes Service, a name with several addresses. Each of them would hold an entry of its own for one session.
 *
 * It looks over connections of its own, after one was made for calls and at most once a minute, and never fails anybody.
 */
export class NameWatch {
  readonly #server: ServerAddress
  readonly #options: ResolvedMemcachedOptions
  readonly #runtime: Runtime
  readonly #connect: Connect
  readonly #resolve: Resolve
  readonly #found: (servers: number) => void
  readonly #closing = new AbortController()
  #next: Cancel | undefined
  #lookedAtMs = Number.NEGATIVE_INFINITY
  #servers = 0

  /** @param found told at each look that finds more than one, how many at least */
  constructor(
    server: ServerAddress,
    options: ResolvedMemcachedOptions,
    connect: Connect,
    found: (servers: number) => void,
    resolve: Resolve = resolveAll,
  ) {
    this.#server = server
    this.#options = options
    this.#runtime = options.runtime
    this.#connect = connect
    this.#found = found
    this.#resolve = resolve
  }

  /** How many servers the last look that found any found at least; 0 before it. */
  get servers(): number {
    return this.#servers
  }

  /** Looks soon, but not twice within a minute. Does nothing where a look is due already, or after `close`. */
  lookSoon(): void {
    const { target } = this.#server
    if (!this.#options.checkSharedNames || 'path' in target) return
    if (this.#next !== undefined || this.#closing.signal.aborted) return
    const allowedInMs = this.#lookedAtMs + LOOK_AT_MOST_EVERY_MS - this.#runtime.monotonicMs()
    this.#next = this.#runtime.after(Math.max(LOOK_AFTER_MS, allowedInMs), () => {
      this.#next = undefined
      this.#lookedAtMs = this.#runtime.monotonicMs()
      void this.#look(target)
    })
  }

  close(): void {
    this.#next?.()
    this.#closing.abort()
  }

  async #look(target: TcpTarget): Promise<void> {
    const connections = await this.#open(await this.#addresses(target.host), target)
    try {
      const first = await Promise.all(connections.map((connection) => this.#badgeOver(connection)))
      const second = await Promise.all(connections.map((connection) => this.#badgeOver(connection)))
      if (this.#closing.signal.aborted) return
      const servers = serversBehind(first, second)
      if (servers > 0) this.#servers = servers
      if (servers > 1) this.#found(servers)
    } finally {
      for (const connection of connections) connection.retire()
    }
  }

  /** None where the name cannot be resolved: calls find that out for themselves. */
  async #addresses(host: string): Promise<readonly string[]> {
    const found = await this.#resolve(host).catch(() => [])
    const addresses = [...new Set(found)].slice(0, MOST_CONNECTIONS)
    const [only] = addresses
    return only !== undefined && addresses.length === 1 ? Array.from({ length: CONNECTIONS }, () => only) : addresses
  }

  /** Those that can be had. */
  async #open(hosts: readonly string[], { host: name, port }: TcpTarget): Promise<readonly Connection[]> {
    const attempts = hosts.map((host) =>
      this.#connect({ ...this.#server, target: { host, port, name } }, this.#options, this.#closing.signal),
    )
    return (await Promise.allSettled(attempts)).flatMap((attempt) =>
      attempt.status === 'fulfilled' ? [attempt.value] : [],
    )
  }

  /** `undefined` from a server that is out of memory, knows no counters, or does not answer in time. */
  async #badgeOver(connection: Connection): Promise<bigint | undefined> {
    try {
      const { response } = await connection.request(badgeRequest(this.#runtime), this.#options.operationTimeoutMs)
      return response.status === STATUS.ok ? Buffer.from(response.value).readBigUInt64BE() : undefined
    } catch {
      return undefined // the connection ended, which is no business of a call's
    }
  }
}

/** "Add nothing to the number that stands there; where none does, put this one, for good": one command, one answer. */
const badgeRequest = (runtime: Runtime): CacheRequest => {
  const extras = Buffer.alloc(20)
  extras.set(runtime.randomBytes(8), 8)
  return { opcode: OPCODE.increment, key: BADGE_KEY, extras }
}
