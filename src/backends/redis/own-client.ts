import type { ConnectionOptions as TlsOptions } from 'node:tls'
import type { Runtime } from '../../contract/time.js'
import { codeIn, SessionStoreError } from '../../errors.js'
import { LONGEST_TIMER_MS } from '../../runtime.js'
import { deadlineAfter } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { NeverConnected } from './faults.js'
import { type NodeRedisClient, type NodeRedisCluster, wireOfNodeRedis } from './given-client.js'
import type { Place } from './places.js'
import { tlsWords } from './tls-words.js'
import type { Connection, Wire } from './wire.js'

export interface OwnClientOptions {
  readonly place: Place
  readonly tls: TlsOptions | undefined
  readonly connectTimeoutMs: number
  readonly queryTimeoutMs: number
  readonly runtime: Runtime
  readonly log: (message: string) => void
}

/** What the client of node-redis is used for here, of whichever kind it is. */
interface Client {
  on(event: string, listener: (error: unknown) => void): unknown
  connect(): Promise<unknown>
  close(): Promise<unknown>
  destroy(): unknown
}

/** A client that was opened, and how one knows whether it can be used now. */
interface Live {
  readonly wire: Wire
  readonly client: Client
  /** Resolves once it is connected; rejects with why it is not. */
  ready(): Promise<void>
  /** Other servers than the one that is silent may answer by it. */
  readonly hasSeveral: boolean
}

const FIRST_PAUSE_MS = 25
const LONGEST_PAUSE_MS = 1_000

/** A client of node-redis of our own. It is made at the first call, and made anew where it has gone silent. */
export class OwnClient implements Connection {
  readonly #options: OwnClientOptions
  /** Begun at once: to load a package takes a while, in which the process does nothing else. */
  readonly #loading: Promise<NodeRedis>
  #opening: Promise<Live> | undefined
  #live: Live | undefined
  readonly #closing = new AbortController()

  constructor(options: OwnClientOptions) {
    this.#options = options
    this.#loading = loaded()
    // Told by the first call.
    this.#loading.catch(() => {})
  }

  async ready(): Promise<Wire> {
    this.#opening ??= this.#open()
    const opening = this.#opening
    let live: Live
    try {
      live = await opening
    } catch (error) {
      if (this.#opening === opening) this.#opening = undefined
      throw error
    }
    await live.ready()
    return live.wire
  }

  suspect(wire: Wire, answers: number): void {
    const live = this.#live
    if (live?.wire !== wire || (!live.hasSeveral && wire.answers > answers)) return
    this.#live = undefined
    this.#opening = undefined
    // What other servers are still to answer by it, they answer by then.
    if (live.hasSeveral) this.#options.runtime.after(this.#options.queryTimeoutMs, () => destroy(live.client))
    else destroy(live.client)
  }

  async close(patience: (goodbye: Promise<unknown>) => Promise<unknown>): Promise<void> {
    this.#closing.abort()
    const live = this.#live
    if (live === undefined) return
    this.#live = undefined
    await patience(live.client.close().catch(() => {}))
    destroy(live.client)
  }

  async #open(): Promise<Live> {
    const { signal } = this.#closing
    const live = await openClient(await this.#loading, this.#options, signal)
    if (signal.aborted) destroy(live.client)
    else this.#live = live
    return live
  }
}

const destroy = (client: Client): void => {
  try {
    client.destroy()
  } catch {
    // It was closed already, which node-redis raises.
  }
}

const openClient = async (
  { createClient, createCluster, createSentinel }: NodeRedis,
  options: OwnClientOptions,
  closing: AbortSignal,
): Promise<Live> => {
  const { place, connectTimeoutMs, runtime, log } = options
  const server = {
    RESP: 2 as const,
    // A call waits for a connection itself, and for no longer than its time.
    disableOfflineQueue: true,
    ...(place.login === undefined ? {} : { password: place.login.password }),
    ...(place.login?.username === undefined ? {} : { username: place.login.username }),
    socket: {
      connectTimeout: connectTimeoutMs,
      reconnectStrategy: (retries: number) =>
        Math.min(FIRST_PAUSE_MS * 2 ** retries, LONGEST_PAUSE_MS) * (0.5 + runtime.random()),
      ...(place.isSecure ? { ...options.tls, tls: true as const } : {}),
    },
  }
  if (place.kind === 'server') {
    const { at, database } = place
    const client = createClient({ ...server, database, socket: { ...server.socket, ...at } as never })
    return single(client as unknown as Client & NodeRedisClient, { isSecure: place.isSecure, log })
  }
  // Each node that is named, and then a master: to connect to it, and to hear of it.
  const withinMs = Math.min(LONGEST_TIMER_MS, 2 * (place.nodes.length + 1) * connectTimeoutMs)
  const several = (client: Client): Promise<Live> => connectedSeveral(client, { withinMs, closing, runtime, log })
  // A node that is asked where the others are, and is silent, would be waited for without end.
  const silence = { socketTimeout: connectTimeoutMs }
  if (place.kind === 'cluster') {
    const rootNodes = place.nodes.map(({ host, port }) => ({ socket: { host, port, ...silence } }))
    return several(createCluster({ rootNodes, RESP: 2, defaults: server as never }) as unknown as Client)
  }
  const sentinel = createSentinel({
    name: place.name,
    sentinelRootNodes: place.nodes.map(({ host, port }) => ({ host, port })),
    nodeClientOptions: { ...server, database: place.database } as never,
    // The connection that hears of a new master has nothing else to say.
    sentinelClientOptions: {
      RESP: 2,
      socket: { ...server.socket, ...silence },
      pingInterval: Math.ceil(connectTimeoutMs / 2),
    } as never,
    RESP: 2,
    // A change is sent once: the store must know of what was sent twice.
    maxCommandRediscovers: 0,
    scanInterval: 1_000,
  })
  return several(byMaster(sentinel as unknown as Client & SentinelClient))
}

interface SentinelClient {
  sendCommand(isReadonly: boolean, args: readonly (string | Buffer)[], options?: object): Promise<unknown>
}

/** Every command goes to the master. */
const byMaster = (sentinel: Client & SentinelClient): Client & Pick<NodeRedisClient, 'sendCommand'> => ({
  on: (event, listener) => sentinel.on(event, listener),
  connect: () => sentinel.connect(),
  close: () => sentinel.close(),
  destroy: () => sentinel.destroy(),
  sendCommand: (args, options) => sentinel.sendCommand(false, args, options),
})

/**
 * node-redis connects to all masters of a cluster, and waits for one that is away without end: also when its replica has long
 * taken its place. So an attempt that is not through in time is given up, and the next one asks anew where the masters are.
 */
const connectedSeveral = async (
  client: Client,
  {
    withinMs,
    closing,
    runtime,
    log,
  }: Pick<OwnClientOptions, 'runtime' | 'log'> & { readonly withinMs: number; readonly closing: AbortSignal },
): Promise<Live> => {
  client.on('error', (error) => log(lost(error)))
  const giveUp = (): void => destroy(client)
  closing.addEventListener('abort', giveUp)
  try {
    await deadlineAfter(runtime, withinMs).race(client.connect(), () => new NeverConnected(NOT_ALL_REACHED))
  } catch (error) {
    giveUp()
    throw error
  } finally {
    closing.removeEventListener('abort', giveUp)
  }
  return {
    client,
    wire: wireOfNodeRedis(client as unknown as NodeRedisClient | NodeRedisCluster),
    ready: async () => {},
    hasSeveral: true,
  }
}

const NOT_ALL_REACHED = 'the servers that it consists of could not all be reached in time'

/** While an attempt to connect is under way, calls wait for how it ends. Between two attempts they are told how one ended. */
const single = (
  client: Client & NodeRedisClient,
  { isSecure, log }: { readonly isSecure: boolean; readonly log: (message: string) => void },
): Live => {
  let hasEverBeenReady = false
  let state: 'trying' | 'ready' | { readonly error: unknown } = 'trying'
  let waiting: { readonly resolve: () => void; readonly reject: (error: unknown) => void }[] = []
  const settle = (how: (each: (typeof waiting)[number]) => void): void => {
    const all = waiting
    waiting = []
    for (const each of all) how(each)
  }
  client.on('ready', () => {
    state = 'ready'
    hasEverBeenReady = true
    settle(({ resolve }) => resolve())
  })
  client.on('reconnecting', () => {
    state = 'trying'
  })
  client.on('error', (raised) => {
    log(lost(raised))
    const error = hasEverBeenReady ? raised : neverReady(raised, isSecure)
    state = { error }
    settle(({ reject }) => reject(error))
  })
  // Its failures are told by the event.
  client.connect().catch(() => {})
  return {
    client,
    wire: wireOfNodeRedis(client),
    ready: () => {
      if (state === 'ready') return Promise.resolve()
      if (state !== 'trying') return Promise.reject(state.error)
      return new Promise((resolve, reject) => {
        waiting.push({ resolve, reject })
      })
    },
    hasSeveral: false,
  }
}

/**
 * The error of a server that was never reached, in words where it may be that one side speaks TLS and the other does not:
 * a Redis without TLS waits in silence for more of the greeting, and one with TLS hangs up on who sends none.
 */
const neverReady = (error: unknown, isSecure: boolean): unknown => {
  const isSilent = isError(error) && error.message === 'Connection timeout'
  if (isSecure && isSilent)
    return new NeverConnected(
      'it did not answer in TLS in time: it is slow, or does not speak TLS on this port; then write `redis://`',
      { cause: error },
    )
  const hungUp = codeIn(error) === 'ECONNRESET' || (isError(error) && error.message === 'Socket closed unexpectedly')
  if (!isSecure && hungUp)
    return new NeverConnected(
      'it hung up before it had answered anything: if it speaks TLS on this port, write `rediss://`',
      { cause: error },
    )
  return error
}

/** An error of the network may hold anything, but its code does not. */
const lost = (error: unknown): string => {
  const code = codeIn(error)
  return `redis: a connection failed: ${code === undefined ? 'no code' : (tlsWords(code) ?? code)}`
}

type NodeRedis = typeof import('redis')

const loaded = async (): Promise<NodeRedis> => {
  try {
    return await import('redis')
  } catch (cause) {
    const isMissing = isError(cause) && 'code' in cause && /MODULE_NOT_FOUND$/.test(String(cause.code))
    if (!isMissing) throw cause
    throw new SessionStoreError(
      'E_CONFIG',
      'Expected the package `redis` to be installed where `redis({ url })` is used: run `npm install redis`, or give a `client`',
      { cause },
    )
  }
}
