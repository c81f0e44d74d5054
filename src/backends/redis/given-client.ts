/** The clients that a program can give to the backend, as far as the backend uses them. */
import { type Command, type Connection, CountingWire, type Wire } from './wire.js'

type Argument = string | Buffer

/** A client of node-redis, made by `createClient` and connected. */
export interface NodeRedisClient {
  readonly isOpen: boolean
  sendCommand(args: readonly Argument[], options?: object): Promise<unknown>
  duplicate(): unknown
}

/** A cluster of node-redis, made by `createCluster` and connected. */
export interface NodeRedisCluster {
  readonly isOpen: boolean
  sendCommand(
    firstKey: Argument | undefined,
    isReadonly: boolean | undefined,
    args: readonly Argument[],
    options?: object,
  ): Promise<unknown>
  duplicate(): unknown
  getNodeClientForKey(key: Argument, isReadonly?: boolean): Promise<unknown>
}

/** A client of ioredis or iovalkey, by way of Sentinel or not; or a cluster of theirs. */
export interface IoredisClient {
  readonly status: string
  callBuffer(command: string, ...args: Argument[]): Promise<unknown>
}

export type RedisClient = NodeRedisClient | NodeRedisCluster | IoredisClient

/** A given client, and how to have a connection like it for oneself. */
export interface GivenClient {
  readonly wire: Wire
  readonly isCluster: boolean
  /** A connection of our own, for `wait`. `undefined` where the client cannot say on which connection a command goes. */
  readonly connection: (() => Connection) | undefined
}

/** Texts as buffers; 36 is the type of a text of any bytes in node-redis. */
const AS_BUFFERS = { 36: Buffer }

const sendingWith = (client: NodeRedisClient): Wire['send'] => {
  return ({ args }, abortSignal) => client.sendCommand(args, { abortSignal, typeMapping: AS_BUFFERS })
}

/** Never a replica: a replica may be behind, and shows a session that has been destroyed. */
const sendingByKeyWith = (cluster: NodeRedisCluster): Wire['send'] => {
  return ({ key, args }, abortSignal) => cluster.sendCommand(key, false, args, { abortSignal, typeMapping: AS_BUFFERS })
}

/** By the connection to the master of the key. The cluster itself would send `WAIT` to all masters. */
const sendingBesideWith = (cluster: NodeRedisCluster): Wire['send'] => {
  return async (command, signal) => {
    const node = (await cluster.getNodeClientForKey(command.key ?? '', false)) as NodeRedisClient
    return sendingWith(node)(command, signal)
  }
}

/** The wire of a client of node-redis that is one server, or that is a cluster. */
export const wireOfNodeRedis = (client: NodeRedisClient | NodeRedisCluster): Wire =>
  isCluster(client)
    ? new CountingWire(sendingByKeyWith(client), sendingBesideWith(client))
    : new CountingWire(sendingWith(client))

const isCluster = (client: NodeRedisClient | NodeRedisCluster): client is NodeRedisCluster =>
  'getNodeClientForKey' in client

const sendingWithIoredis = (client: IoredisClient): Wire['send'] => {
  return async ({ args: [name = '', ...rest] }: Command) => client.callBuffer(String(name), ...rest)
}

type Parts = Readonly<Record<string, unknown>>

const partsOf = (value: unknown): Parts | undefined =>
  typeof value === 'object' && value !== null ? (value as Parts) : undefined

const isFunction = (parts: Parts | undefined, name: string): boolean => typeof parts?.[name] === 'function'

const optionOf = (client: Parts, name: string): unknown => partsOf(client['options'])?.[name]

/** Why a client that is one cannot be used as it is, with what to do. `undefined` for one that can, and for anything else. */
export const unfitnessOf = (value: unknown): string | undefined => {
  const client = partsOf(value)
  if (client === undefined) return undefined
  if (isFunction(client, 'getSentinelNode'))
    return 'that of Sentinel sends a change again by itself; give `url`, as `redis+sentinel://…`'
  if (isFunction(client, 'callBuffer')) {
    if (client['isCluster'] === true) {
      if ((optionOf(client, 'scaleReads') ?? 'master') !== 'master')
        return 'a replica may be behind, and would show a destroyed session; leave `scaleReads` out'
      return optionOf(client, 'retryDelayOnFailover') === 0
        ? undefined
        : 'it would send a change again by itself; make the cluster with `retryDelayOnFailover: 0`'
    }
    return optionOf(client, 'autoResendUnfulfilledCommands') === false
      ? undefined
      : 'it would send a change again by itself; make the client with `autoResendUnfulfilledCommands: false`'
  }
  return undefined
}

/** `undefined` for anything but a client that can be used. */
export const wireOf = (value: unknown): GivenClient | undefined => {
  const client = partsOf(value)
  if (client === undefined || unfitnessOf(value) !== undefined) return undefined
  if (isFunction(client, 'callBuffer')) {
    const given = value as IoredisClient
    return {
      wire: new CountingWire(sendingWithIoredis(given)),
      isCluster: client['isCluster'] === true,
      connection: client['isCluster'] === true ? undefined : () => new Duplicate(value as Duplicable),
    }
  }
  if (!isFunction(client, 'sendCommand') || !isFunction(client, 'duplicate')) return undefined
  return {
    wire: wireOfNodeRedis(value as NodeRedisClient | NodeRedisCluster),
    isCluster: isFunction(client, 'getNodeClientForKey'),
    connection: () => new Duplicate(value as Duplicable),
  }
}

interface Duplicable {
  /** Of node-redis. */
  readonly isOpen?: boolean
  /** Of ioredis. */
  readonly status?: string
  duplicate(): Duplicable
  on(event: 'error', listener: () => void): unknown
  /** Of node-redis; a duplicate of ioredis connects by itself. */
  connect?(): Promise<unknown>
  destroy?(): unknown
  disconnect?(): unknown
}

/** Whether it was lost and will not connect again by itself, as the program's options for its client may say. */
const hasEnded = ({ isOpen, status }: Duplicable): boolean => isOpen === false || status === 'end'

/** A connection made by `duplicate()` of a given client, at the first use, and anew once it has ended. */
class Duplicate implements Connection {
  readonly #original: Duplicable
  #opening: Promise<Wire> | undefined
  #duplicate: Duplicable | undefined
  #isOpened = false

  constructor(original: Duplicable) {
    this.#original = original
  }

  async ready(): Promise<Wire> {
    if (this.#isOpened && this.#duplicate !== undefined && hasEnded(this.#duplicate)) this.#opening = undefined
    this.#opening ??= this.#open()
    try {
      return await this.#opening
    } catch (error) {
      this.#opening = undefined
      throw error
    }
  }

  async #open(): Promise<Wire> {
    const duplicate = this.#original.duplicate()
    this.#duplicate = duplicate
    this.#isOpened = false
    // Without a listener an error of the connection would end the process. The calls are told of it.
    duplicate.on('error', () => {})
    const isIoredis = 'callBuffer' in duplicate
    if (!isIoredis) await duplicate.connect?.()
    this.#isOpened = true
    return isIoredis
      ? new CountingWire(sendingWithIoredis(duplicate as unknown as IoredisClient))
      : wireOfNodeRedis(duplicate as unknown as NodeRedisClient)
  }

  suspect(): void {}

  async close(): Promise<void> {
    const duplicate = this.#duplicate
    if (duplicate === undefined) return
    if (duplicate.destroy === undefined) duplicate.disconnect?.()
    else
      try {
        duplicate.destroy()
      } catch {
        // node-redis says so where it is closed already.
      }
  }
}

/** A client that somebody else opens and closes. */
export class GivenConnection implements Connection {
  readonly #wire: Wire

  constructor({ wire }: GivenClient) {
    this.#wire = wire
  }

  async ready(): Promise<Wire> {
    return this.#wire
  }

  suspect(): void {}

  async close(): Promise<void> {}
}
