import type {
  AddOutcome,
  CacheDeleteOutcome,
  CacheEntry,
  CasOutcome,
  CasToken,
  FrontCache,
  Placed,
  SharedName,
  WatchesNames,
} from '../../contract/front-cache.js'
import type { TierHealth } from '../../contract/health.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs, Runtime } from '../../contract/time.js'
import { invalidOption, SessionStoreError, tierUnavailable } from '../../errors.js'
import { type Connect, connect } from './connecting.js'
import { type Answer, type Generation, Unsent } from './connection.js'
import { expirationSeconds } from './expiration.js'
import { reasonOf, ServerLink } from './link.js'
import type { ResolvedMemcachedOptions } from './options.js'
import { type CacheRequest, OPCODE, refusalOf, STATUS } from './protocol.js'
import { type ServerAddress, serverListNumber } from './servers.js'
import { NameWatch } from './shared-name.js'

/** The server's number for an entry, good for as long as the connection that it came over. */
class Token {
  readonly generation: Generation
  readonly cas: bigint

  constructor(generation: Generation, cas: bigint) {
    this.generation = generation
    this.cas = cas
  }
}

type Change = 'add' | 'cas' | 'set' | 'delete'

/** Translates the contract into Memcached's commands and its statuses back into outcomes; decides nothing. */
export class MemcachedCache implements FrontCache, Placed, WatchesNames {
  readonly name = 'memcached'
  readonly serverList: number
  readonly #links: readonly ServerLink[]
  readonly #watches = new Map<ServerAddress, NameWatch>()
  readonly #sharedNameListeners = new Set<(found: SharedName) => void>()
  readonly #indexOf: (key: CacheKey) => number
  readonly #options: ResolvedMemcachedOptions
  readonly #runtime: Runtime
  readonly #maxValueBytes: number
  #running = 0
  #whenIdle: (() => void) | undefined
  #closed: Promise<void> | undefined

  constructor(options: ResolvedMemcachedOptions, connectTo: Connect = connect) {
    this.#links = options.servers.map((server) => {
      const watch = new NameWatch(server, options, connectTo, (servers) => {
        for (const listener of [...this.#sharedNameListeners]) listener({ server: server.address, servers })
      })
      this.#watches.set(server, watch)
      return new ServerLink(server, options, connectTo, () => watch.lookSoon())
    })
    this.#options = options
    this.#indexOf = options.placement(options.servers)
    this.#runtime = options.runtime
    this.#maxValueBytes = options.maxValueBytes
    this.serverList = serverListNumber(options.servers)
  }

  /** The options of a cache that is one of these; `undefined` of any other. A password may stand in them. */
  static optionsOf(cache: FrontCache): ResolvedMemcachedOptions | undefined {
    return #options in cache ? cache.#options : undefined
  }

  serverOf(key: CacheKey): string {
    return this.#linkOf(key).server.address
  }

  onSharedName(listener: (found: SharedName) => void): () => void {
    const own = (found: SharedName): void => listener(found)
    this.#sharedNameListeners.add(own)
    return () => void this.#sharedNameListeners.delete(own)
  }

  /** Each load of a session is one of these, so that it is one function, without the steps that the changes share. */
  async get(key: CacheKey): Promise<CacheEntry | undefined> {
    this.#begin('get')
    try {
      const request = { opcode: OPCODE.getKey, key: keyBytes(key) }
      const link = this.#linkOf(key)
      let answer: Answer
      try {
        answer = await link.ask(request)
      } catch (cause) {
        throw tierUnavailable(link.label, 'get', { cause, because: reasonOf(cause) })
      }
      const { status, value, omittedBytes } = answer.response
      if (status === STATUS.notFound) return undefined
      if (status !== STATUS.ok) throw this.#refused(link, 'get', status)
      if (omittedBytes > 0) throw this.#larger(link, omittedBytes)
      // Copied: what was received is one buffer, shared by the answers in it. Into Node's pool, since a buffer of its own
      // for each value would be work for the garbage collector.
      const copy = Buffer.from(value)
      const token = this.#token(link, 'get', answer)
      return { value: new Uint8Array(copy.buffer, copy.byteOffset, copy.length), token }
    } finally {
      this.#end()
    }
  }

  add(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<AddOutcome> {
    return this.#call('add', async () => {
      const request = { opcode: OPCODE.add, key: keyBytes(key), value, expiration: this.#expiration(expiresAt) }
      const link = this.#linkOf(key)
      if (value.byteLength > this.#maxValueBytes) throw tooLarge(link, 'add', value)
      const answer = await this.#change(link, 'add', link.ask(request))
      const { status } = answer.response
      if (status === STATUS.ok) return { outcome: 'stored', token: this.#token(link, 'add', answer) }
      if (status === STATUS.exists || status === STATUS.notStored) return { outcome: 'exists' }
      if (status === STATUS.tooLarge) throw tooLarge(link, 'add', value)
      if (refusalOf(status)?.isOutcome) return { outcome: 'refused' }
      throw this.#refused(link, 'add', status)
    })
  }

  cas(key: CacheKey, value: Uint8Array, token: CasToken, expiresAt: EpochMs): Promise<CasOutcome> {
    return this.#call('cas', async () => {
      // REPLACE and not SET: a SET that Memcached refuses, for its size or for want of memory, drops what stands there
      // before it looks at the number.
      const request = { opcode: OPCODE.replace, key: keyBytes(key), value, expiration: this.#expiration(expiresAt) }
      const link = this.#linkOf(key)
      // Not sent: it would be refused once all of it had arrived.
      if (value.byteLength > this.#maxValueBytes) return { outcome: 'too-large' }
      const sent = this.#over(link, token, request)
      if (sent === undefined) return { outcome: 'conflict' }
      const answer = await this.#change(link, 'cas', sent)
      const { status } = answer.response
      if (status === STATUS.ok) return { outcome: 'stored', token: this.#token(link, 'cas', answer) }
      if (status === STATUS.exists || status === STATUS.notStored) return { outcome: 'conflict' }
      if (status === STATUS.notFound) return { outcome: 'missing' }
      if (status === STATUS.tooLarge) return { outcome: 'too-large' }
      if (refusalOf(status)?.isOutcome) return { outcome: 'refused' }
      throw this.#refused(link, 'cas', status)
    })
  }

  set(key: CacheKey, value: Uint8Array, expiresAt: EpochMs): Promise<void> {
    return this.#call('set', async () => {
      const request = { opcode: OPCODE.set, key: keyBytes(key), value, expiration: this.#expiration(expiresAt) }
      const link = this.#linkOf(key)
      if (value.byteLength > this.#maxValueBytes) throw tooLarge(link, 'set', value)
      const { response } = await this.#change(link, 'set', link.ask(request))
      const { status } = response
      if (status === STATUS.ok) return
      throw status === STATUS.tooLarge ? tooLarge(link, 'set', value) : this.#refused(link, 'set', status)
    })
  }

  delete(key: CacheKey, token: CasToken): Promise<CacheDeleteOutcome> {
    return this.#call('delete', async () => {
      const request = { opcode: OPCODE.delete, key: keyBytes(key) }
      const link = this.#linkOf(key)
      const sent = this.#over(link, token, request)
      if (sent === undefined) return 'conflict'
      const { status } = (await this.#change(link, 'delete', sent)).response
      if (status === STATUS.ok) return 'deleted'
      if (status === STATUS.exists) return 'conflict'
      if (status === STATUS.notFound) return 'missing'
      throw this.#refused(link, 'delete', status)
    })
  }

  health(): Promise<TierHealth> {
    return this.#call('health', async () => {
      const servers = await Promise.all(this.#links.map((link) => this.#healthOf(link)))
      const [first, ...others] = servers
      if (first !== undefined && others.length === 0) return { ...first, tier: this.name, servers }
      const impaired = servers.filter(({ state }) => state !== 'up').length
      const allDown = servers.every(({ state }) => state === 'down')
      return {
        tier: this.name,
        state: impaired === 0 ? 'up' : allDown ? 'down' : 'degraded',
        latencyMs: Math.max(...servers.map(({ latencyMs }) => latencyMs)),
        ...(impaired === 0 ? {} : { reason: `${impaired} of ${servers.length} servers are not up` }),
        servers,
      }
    })
  }

  /** What is in flight is let come in first; its deadlines bound the wait. */
  close(): Promise<void> {
    this.#closed ??= new Promise<void>((resolve) => {
      this.#whenIdle = resolve
      if (this.#running === 0) resolve()
    }).then(() => {
      for (const link of this.#links) link.close()
      for (const watch of this.#watches.values()) watch.close()
    })
    return this.#closed
  }

  async #call<Result>(operation: string, body: () => Promise<Result>): Promise<Result> {
    this.#begin(operation)
    try {
      return await body()
    } finally {
      this.#end()
    }
  }

  #begin(operation: string): void {
    if (this.#closed !== undefined)
      throw new SessionStoreError('E_CLOSED', 'The memcached cache is closed', { tier: this.name, operation })
    this.#running += 1
  }

  #end(): void {
    this.#running -= 1
    if (this.#running === 0) this.#whenIdle?.()
  }

  #linkOf(key: CacheKey): ServerLink {
    const index = this.#links.length === 1 ? 0 : this.#indexOf(key)
    const link = this.#links[index]
    if (link === undefined)
      throw invalidOption('placement', `a function that returns an index below ${this.#links.length}`, index)
    return link
  }

  async #change(link: ServerLink, operation: Change, sent: Promise<Answer>): Promise<Answer> {
    try {
      const answer = await sent
      if (operation !== 'delete') this.#noteRefusal(link, answer.response.status)
      return answer
    } catch (cause) {
      const applied = cause instanceof Unsent ? 'no' : 'unknown'
      throw tierUnavailable(link.label, operation, { cause, applied, because: reasonOf(cause) })
    }
  }

  /** For `health`: a server that answers a greeting may take no new value. What is said of one value does not count. */
  #noteRefusal(link: ServerLink, status: number): void {
    const refusal = refusalOf(status)
    if (status === STATUS.ok) link.refusesValues = undefined
    else if (refusal?.isOutcome && status !== STATUS.tooLarge && status !== STATUS.notStored)
      link.refusesValues = refusal.because
  }

  /** `undefined` where the token is dead or not of our making: then nothing was sent. */
  #over(link: ServerLink, token: CasToken, request: CacheRequest): Promise<Answer> | undefined {
    return token instanceof Token ? link.askOver(token.generation, { ...request, cas: token.cas }) : undefined
  }

  /**
   * A Memcached started with `-C` numbers nothing, and a compare-and-set with the number 0 is an
   * unconditional one: such a server cannot be used.
   */
  #token(link: ServerLink, operation: 'get' | 'add' | 'cas', { response, generation }: Answer): CasToken {
    if (response.cas === 0n)
      throw tierUnavailable(link.label, operation, {
        because: 'it runs without compare-and-set (option -C)',
        ...(operation === 'get' ? {} : { applied: 'unknown' }),
      })
    return new Token(generation, response.cas)
  }

  /** Of an unknown status nobody can tell whether it is a refusal: it counts as a fault. */
  #refused(link: ServerLink, operation: 'get' | Change, status: number): SessionStoreError {
    const refusal = refusalOf(status)
    return tierUnavailable(link.label, operation, {
      because: refusal?.because ?? unknownStatus(status),
      ...(operation === 'get' ? {} : { applied: refusal === undefined ? 'unknown' : 'no' }),
      ...(refusal === undefined ? {} : { answered: true }),
    })
  }

  /** Another process takes larger values than this one. What it stored is no miss: it may be newer than the backend. */
  #larger(link: ServerLink, bytes: number): SessionStoreError {
    const because = `it holds an entry of ${bytes} bytes, which is more than \`maxValueBytes\` of ${this.#maxValueBytes} allows: give every process the same`
    return tierUnavailable(link.label, 'get', { because, answered: true })
  }

  #expiration(expiresAt: EpochMs): number {
    return expirationSeconds(expiresAt, this.#runtime.now())
  }

  async #healthOf(link: ServerLink): Promise<TierHealth> {
    link.forgetFailure()
    const startedAtMs = this.#runtime.monotonicMs()
    const unusable = await link
      .ask({ opcode: OPCODE.noop })
      .then(
        ({ response: { status } }) =>
          status === STATUS.ok ? undefined : (refusalOf(status)?.because ?? unknownStatus(status)),
        reasonOf,
      )
    const latencyMs = this.#runtime.monotonicMs() - startedAtMs
    if (unusable !== undefined) return { tier: link.label, state: 'down', latencyMs, reason: unusable }
    const watch = this.#watches.get(link.server)
    watch?.lookSoon()
    const reasons = [
      ...(link.refusesValues === undefined
        ? []
        : [`it refused the last value that it was to store: ${link.refusesValues}`]),
      ...(watch === undefined || watch.servers < 2 ? [] : [sharedBy(watch.servers)]),
    ]
    if (reasons.length === 0) return { tier: link.label, state: 'up', latencyMs }
    return { tier: link.label, state: 'degraded', latencyMs, reason: reasons.join('; ') }
  }
}

const sharedBy = (servers: number): string =>
  `at least ${servers} servers answer to this name, each with sessions of its own: list each of them by an address of its own`

const unknownStatus = (status: number): string => `it answered with status 0x${status.toString(16)}`

const tooLarge = (link: ServerLink, operation: 'add' | 'set', value: Uint8Array): SessionStoreError =>
  new SessionStoreError('E_SESSION_TOO_LARGE', `${link.label} does not take a value of ${value.byteLength} bytes`, {
    tier: link.label,
    operation,
    applied: 'no',
  })

/** Memcached's own limit; and no blanks or control characters, which the tools that read it in text trip over. */
const keyBytes = (key: CacheKey): Buffer => {
  const bytes = Buffer.from(key)
  if (bytes.length === 0 || bytes.length > 250 || !/^[^\p{Cc}\p{Cs}\s]+$/u.test(key))
    throw new TypeError('A cache key has 1 to 250 bytes, and no blanks or control characters')
  return bytes
}
