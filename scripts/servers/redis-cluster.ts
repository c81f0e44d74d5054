import { waitUntil } from './process.js'
import { type RedisServer, startRedis } from './redis.js'

const SLOTS = 16_384

export interface RedisClusterOptions {
  /** @default 3 */
  readonly masters?: number
  /** Of each master. @default 1 */
  readonly replicas?: number
  /** Settings of each node beside those that are usual here. */
  readonly settings?: Readonly<Record<string, string>>
}

/** A real Redis Cluster on loopback that this program started. */
export interface RedisCluster {
  /** The masters at first, then their replicas in the same order, as often as there are. */
  readonly nodes: readonly RedisServer[]
  /** `redis+cluster://127.0.0.1:1,127.0.0.1:2` */
  readonly url: string
  /** The nodes that are masters now and run, with the slots that they say are theirs. */
  masters(): Promise<readonly { readonly node: RedisServer; readonly slots: number }[]>
  /** The node that has a slot now. */
  ownerOf(slot: number): Promise<RedisServer>
  /** Tells both nodes that a slot is on its way; keys stay where they are. */
  beginMove(slot: number, from: RedisServer, to: RedisServer): Promise<void>
  /** Moves at most so many keys of the slot, and gives how many it moved. */
  moveKeys(slot: number, from: RedisServer, to: RedisServer, count: number): Promise<number>
  /** Gives the slot, of which every key has been moved, to its new node. */
  endMove(slot: number, from: RedisServer, to: RedisServer): Promise<void>
  /** Resolves once every slot has a master that runs, by what all nodes that run say. */
  untilWhole(): Promise<void>
  /** Ends all nodes and removes their folders. */
  stop(): Promise<void>
}

const PATIENCE_MS = 60_000

/** Starts the nodes and makes a cluster of them; resolves when it takes commands and each replica follows its master. */
export const startRedisCluster = async (options: RedisClusterOptions = {}): Promise<RedisCluster> => {
  const { masters = 3, replicas = 1, settings } = options
  const nodes: RedisServer[] = []
  const isRunning = async (node: RedisServer): Promise<boolean> =>
    node.ask('PING').then(
      () => true,
      () => false,
    )
  const running = async (): Promise<readonly RedisServer[]> => {
    const states = await Promise.all(nodes.map(isRunning))
    return nodes.filter((_, at) => states[at] === true)
  }
  const idOf = (node: RedisServer): Promise<string> => node.ask('CLUSTER', 'MYID')

  const untilWhole = async (): Promise<void> => {
    await waitUntil(
      async () => {
        const alive = await running()
        const infos = await Promise.all(alive.map((node) => node.ask('CLUSTER', 'INFO')))
        return infos.every((info) => info.includes('cluster_state:ok'))
      },
      PATIENCE_MS,
      () => 'the cluster did not become whole',
    )
  }

  const stop = async (): Promise<void> => {
    await Promise.all(nodes.map((node) => node.stop()))
  }

  try {
    for (let at = 0; at < masters * (1 + replicas); at += 1)
      nodes.push(
        await startRedis({
          settings: {
            'cluster-enabled': 'yes',
            'cluster-config-file': 'nodes.conf',
            'cluster-node-timeout': '2000',
            ...settings,
          },
        }),
      )
    const [first] = nodes
    if (first === undefined) throw new Error('A cluster has nodes')
    for (const [at, node] of nodes.slice(0, masters).entries())
      await node.ask(
        ...['CLUSTER', 'ADDSLOTSRANGE'],
        String(Math.ceil((at * SLOTS) / masters)),
        String(Math.ceil(((at + 1) * SLOTS) / masters) - 1),
      )
    for (const [at, node] of nodes.entries()) {
      await node.ask('CLUSTER', 'SET-CONFIG-EPOCH', String(at + 1))
      if (at > 0) await node.ask('CLUSTER', 'MEET', '127.0.0.1', String(first.port))
    }
    const knowAll = async (): Promise<boolean> =>
      (await Promise.all(nodes.map((node) => node.ask('CLUSTER', 'NODES')))).every(
        (text) => text.trim().split('\n').length === nodes.length && !text.includes('handshake'),
      )
    await waitUntil(knowAll, PATIENCE_MS, () => 'the nodes did not meet')
    for (const [at, node] of nodes.entries()) {
      const master = nodes[at % masters]
      if (at >= masters && master !== undefined) await node.ask('CLUSTER', 'REPLICATE', await idOf(master))
    }
    await untilWhole()
    await waitUntil(
      async () =>
        (await Promise.all(nodes.slice(masters).map((node) => node.ask('INFO', 'replication')))).every((info) =>
          info.includes('master_link_status:up'),
        ),
      PATIENCE_MS,
      () => 'the replicas did not follow their masters',
    )
  } catch (error) {
    await stop()
    throw error
  }

  const tellBoth = async (slot: number, from: RedisServer, to: RedisServer): Promise<void> => {
    const [fromId, toId] = [await idOf(from), await idOf(to)]
    await to.ask('CLUSTER', 'SETSLOT', String(slot), 'IMPORTING', fromId)
    await from.ask('CLUSTER', 'SETSLOT', String(slot), 'MIGRATING', toId)
  }

  return {
    nodes,
    get url() {
      return `redis+cluster://${nodes.map(({ address }) => address).join()}`
    },
    masters: async () => {
      const found: { node: RedisServer; slots: number }[] = []
      for (const node of await running()) {
        if (!(await node.ask('INFO', 'replication')).includes('role:master')) continue
        const own = (await node.ask('CLUSTER', 'NODES')).split('\n').find((line) => line.includes('myself')) ?? ''
        found.push({ node, slots: ranges(own).reduce((sum, [start, end]) => sum + end - start + 1, 0) })
      }
      return found
    },
    ownerOf: async (slot) => {
      const [asked] = await running()
      const text = (await asked?.ask('CLUSTER', 'NODES')) ?? ''
      const line = text.split('\n').find((each) => ranges(each).some(([start, end]) => slot >= start && slot <= end))
      const port = Number(/:(\d+)@/.exec(line ?? '')?.[1])
      const owner = nodes.find((node) => node.port === port)
      if (owner === undefined) throw new Error(`Nobody has the slot ${slot}`)
      return owner
    },
    beginMove: tellBoth,
    moveKeys: async (slot, from, to, count) => {
      const answer = await from.ask('CLUSTER', 'GETKEYSINSLOT', String(slot), String(count))
      const keys = answer === '' ? [] : answer.split('\n')
      if (keys.length > 0) await from.ask('MIGRATE', '127.0.0.1', String(to.port), '', '0', '5000', 'KEYS', ...keys)
      return keys.length
    },
    endMove: async (slot, from, to) => {
      const toId = await idOf(to)
      await to.ask('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId)
      await from.ask('CLUSTER', 'SETSLOT', String(slot), 'NODE', toId)
    },
    untilWhole,
    stop,
  }
}

/** The slots of a master, in a line of CLUSTER NODES. */
const ranges = (line: string): readonly (readonly [start: number, end: number])[] =>
  line
    .split(' ')
    .slice(8)
    .filter((range) => /^\d/.test(range))
    .map((range) => {
      const [start = 0, end = start] = range.split('-').map(Number)
      return [start, end]
    })
