import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { expect, onTestFinished, test, vi } from 'vitest'
import { startRedisCluster, startWatchedRedis } from '../../../scripts/servers/index.js'
import { waitUntil } from '../../../scripts/servers/process.js'
import { type RedisOptions, redis } from '../../../src/backends/redis/index.js'
import type { Backend } from '../../../src/contract/backend.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'
import { skipUnless } from '../../support/skip.js'
import { redisHere } from './server.js'

vi.setConfig({ testTimeout: 300_000, hookTimeout: 300_000 })

/** What stands before a node: it takes every connection, and says nothing before `speak`, nor ever over older ones. */
interface Gate {
  readonly port: number
  /** How many connections to it are open. */
  open(): number
  speak(): void
  close(): Promise<void>
}

const openGate = async (nodePort: number): Promise<Gate> => {
  const sockets = new Set<Socket>()
  let speaks = false
  const server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {}).on('close', () => sockets.delete(socket))
    if (!speaks) return void socket.resume()
    const node = connect(nodePort, '127.0.0.1')
    node.on('error', () => socket.destroy()).on('close', () => socket.destroy())
    socket.on('close', () => node.destroy())
    socket.pipe(node).pipe(socket)
  })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return {
    port: (server.address() as AddressInfo).port,
    open: () => sockets.size,
    speak: () => {
      speaks = true
    },
    close: async () => {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

const isServed = (backend: Backend) => (): Promise<boolean> =>
  backend.read(sampleLocator()).then(
    () => true,
    () => false,
  )

const PATIENCE_MS = 60_000

/** Resolves once a read is answered. */
const untilServed = (backend: Backend): Promise<void> =>
  waitUntil(isServed(backend), PATIENCE_MS, () => 'no read was answered')

const IMPATIENT = { queryTimeoutMs: 500, connectTimeoutMs: 300 } as const satisfies Partial<RedisOptions>

/** A cluster or Sentinels, with the port of the first node that is named, and the URL that names another in its place. */
interface Several {
  readonly port: number
  urlBy(port: number): string
  stop(): Promise<unknown>
}

const KINDS: Readonly<Record<string, () => Promise<Several>>> = {
  'a cluster': async () => {
    const cluster = await startRedisCluster()
    return {
      port: cluster.nodes[0]?.port ?? 0,
      urlBy: (port) => `redis+cluster://127.0.0.1:${port}`,
      stop: () => cluster.stop(),
    }
  },
  Sentinels: async () => {
    const watched = await startWatchedRedis()
    const [, port, name] = /:(\d+)[^/]*\/(\w+)$/.exec(watched.url) ?? []
    return {
      port: Number(port),
      urlBy: (by) => `redis+sentinel://127.0.0.1:${by}/${name}`,
      stop: () => watched.stop(),
    }
  },
}

/** A backend that has begun to connect by way of a node that is silent, and has rejected its first call. */
const meetingSilence = async (start: () => Promise<Several>) => {
  const several = await start()
  const gate = await openGate(several.port)
  const backend = redis({ url: several.urlBy(gate.port), ...IMPATIENT })
  onTestFinished(async () => {
    await backend.close()
    await gate.close()
    await several.stop()
  })
  await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
  await waitUntil(
    () => gate.open() > 0,
    PATIENCE_MS,
    () => 'nobody connected',
  )
  return { gate, backend }
}

skipUnless('a Redis of several nodes that is opened', redisHere(), () => {
  test.for(Object.entries(KINDS))(
    'while the named node of %s takes connections and is silent, is there once that node speaks',
    async ([, start]) => {
      const { gate, backend } = await meetingSilence(start)
      gate.speak()
      await untilServed(backend)
    },
  )

  test.for(Object.entries(KINDS))(
    'while the named node of %s is silent, leaves no connection when it is closed',
    async ([, start]) => {
      const { gate, backend } = await meetingSilence(start)
      await backend.close()
      await waitUntil(
        () => gate.open() === 0,
        PATIENCE_MS,
        () => `${gate.open()} connections are left`,
      )
    },
  )

  test('before the replica of a dead master has taken its place, is there afterwards', async () => {
    const cluster = await startRedisCluster()
    const [dead, ...others] = cluster.nodes
    await dead?.kill9()
    const url = `redis+cluster://${others.map(({ port }) => `127.0.0.1:${port}`).join(',')}`
    const backend = redis({ url, ...IMPATIENT })
    try {
      // It begins to connect, and is told of a master that nobody reaches any more.
      await isServed(backend)()
      await waitUntil(
        async () => (await cluster.masters()).length === 3,
        PATIENCE_MS,
        () => 'no replica took the place',
      )
      await cluster.untilWhole()
      await untilServed(backend)
    } finally {
      await backend.close()
      await cluster.stop()
    }
  })
})
