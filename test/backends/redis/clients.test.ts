import { Redis } from 'ioredis'
import { Redis as Valkey } from 'iovalkey'
import { createClient } from 'redis'
import { describe, expect, test } from 'vitest'
import { startRedis } from '../../../scripts/servers/index.js'
import { waitUntil } from '../../../scripts/servers/process.js'
import { type RedisClient, redis } from '../../../src/backends/redis/index.js'
import { backendContract } from '../../../src/testing/backend-contract.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, PATIENCE, redisForThisFile, redisHere } from './server.js'

skipUnless('redis by other ways', redisHere(), () => {
  const server = redisForThisFile({ unixSocket: true })
  const { queryTimeoutMs } = PATIENCE

  const WAYS: readonly (readonly [string, () => Promise<{ client: RedisClient; close: () => Promise<unknown> }>])[] = [
    [
      'a client of node-redis',
      async () => {
        const client = createClient({ url: server().url })
        await client.connect()
        return { client, close: async () => client.destroy() }
      },
    ],
    [
      'a client of node-redis with the older protocol',
      async () => {
        const client = createClient({ url: server().url, RESP: 2 })
        await client.connect()
        return { client, close: async () => client.destroy() }
      },
    ],
    [
      'a client of ioredis',
      async () => {
        const client = new Redis(server().port, '127.0.0.1', { autoResendUnfulfilledCommands: false })
        return { client, close: async () => client.disconnect() }
      },
    ],
    [
      'a client of iovalkey',
      async () => {
        const client = new Valkey(server().port, '127.0.0.1', { autoResendUnfulfilledCommands: false })
        return { client, close: async () => client.disconnect() }
      },
    ],
  ]

  for (const [way, make] of WAYS) {
    const prefix = freshPrefix()
    backendContract(test, {
      name: way,
      open: async () => {
        const { client, close } = await make()
        return { backend: redis({ client, prefix, queryTimeoutMs }), close }
      },
    })
  }

  test('a unix socket and a database of their own are reached by the URL', async () => {
    const backend = redis({ url: `unix://${server().socket}?db=3`, prefix: 'there:' })
    const locator = sampleLocator()
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
    expect((await backend.read(locator)).state).toBe('live')
    await backend.close()
    const elsewhere = redis({ url: `${server().url}/2`, prefix: 'there:' })
    expect((await elsewhere.read(locator)).state).toBe('absent')
    await elsewhere.close()
    const same = redis({ url: `${server().url}/3`, prefix: 'there:' })
    expect((await same.read(locator)).state).toBe('live')
    await same.close()
  })

  describe('a client that would send a change twice, or ask a replica, is refused with what to do', () => {
    test.each([
      ['ioredis as it comes', () => new Redis({ lazyConnect: true }), /autoResendUnfulfilledCommands: false/],
      [
        'a cluster of ioredis as it comes',
        () => new Redis.Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true }),
        /retryDelayOnFailover: 0/,
      ],
      [
        'a cluster of ioredis that reads replicas',
        () => new Redis.Cluster([], { lazyConnect: true, retryDelayOnFailover: 0, scaleReads: 'slave' }),
        /scaleReads/,
      ],
    ])('%s', (_, make, words) => {
      expect(() => redis({ client: make() })).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
      expect(() => redis({ client: make() })).toThrow(words)
    })
  })
})

skipUnless('a client of the program’s own that does not connect again by itself', redisHere(), () => {
  const CLIENTS: Readonly<Record<string, (port: number) => Promise<Reconnected>>> = {
    'node-redis': async (port) => {
      const client = createClient({ socket: { host: '127.0.0.1', port, reconnectStrategy: false } })
      client.on('error', () => {})
      await client.connect()
      return {
        client,
        isLost: () => !client.isOpen,
        connect: () => client.connect(),
        close: () => client.destroy(),
      }
    },
    ioredis: async (port) => {
      const client = new Redis(port, '127.0.0.1', {
        autoResendUnfulfilledCommands: false,
        retryStrategy: () => null,
      })
      client.on('error', () => {})
      return {
        client,
        isLost: () => client.status === 'end',
        connect: () => client.connect(),
        close: () => client.disconnect(),
      }
    },
  }

  test.for(Object.entries(CLIENTS))(
    'is used for changes that wait for replicas, too, once the program has connected %s again',
    { timeout: 200_000 },
    async ([, open]) => {
      const master = await startRedis()
      const replica = await startRedis({ settings: { replicaof: `127.0.0.1 ${master.port}` } })
      const { client, isLost, connect, close } = await open(master.port)
      const backend = redis({
        client,
        prefix: freshPrefix(),
        wait: { replicas: 1, timeoutMs: 1_000 },
        queryTimeoutMs: PATIENCE.queryTimeoutMs,
      })
      const untilInserted = (): Promise<void> =>
        waitUntil(
          () =>
            backend.insert(sampleLocator(), storedSession()).then(
              () => true,
              () => false,
            ),
          60_000,
          () => 'nothing was inserted',
        )
      try {
        await untilInserted()
        await master.ask('CLIENT', 'KILL', 'TYPE', 'normal')
        await waitUntil(isLost, 60_000, () => 'the connection was not lost')
        await connect()
        await untilInserted()
      } finally {
        await backend.close()
        close()
        await replica.stop()
        await master.stop()
      }
    },
  )
})

interface Reconnected {
  readonly client: RedisClient
  isLost(): boolean
  connect(): Promise<unknown>
  close(): void
}
