import { waitUntil } from './process.js'
import { type RedisServer, startRedis } from './redis.js'

/** A master, its replica, and three Sentinels that watch them. */
export interface WatchedRedis {
  readonly servers: readonly [master: RedisServer, replica: RedisServer]
  /** `redis+sentinel://127.0.0.1:1,127.0.0.1:2,127.0.0.1:3/mymaster` */
  readonly url: string
  /** The server that the Sentinels say is the master now. */
  master(): Promise<RedisServer>
  /** Resolves once the Sentinels say that this server is the master, and it says so itself. */
  untilMaster(server: RedisServer): Promise<void>
  /** Resolves once this server has that many replicas that follow it. */
  untilFollowed(server: RedisServer, replicas: number): Promise<void>
  stop(): Promise<void>
}

const NAME = 'mymaster'
const PATIENCE_MS = 120_000

/**
 * Starts them, and resolves when the replica follows and the Sentinels know each other.
 *
 * @param downAfterMs after how long without an answer a Sentinel takes a server to be down
 */
export const startWatchedRedis = async (downAfterMs = 3_000): Promise<WatchedRedis> => {
  const started: RedisServer[] = []
  const stop = async (): Promise<void> => {
    await Promise.all(started.map((server) => server.stop()))
  }
  const start = async (...args: Parameters<typeof startRedis>): Promise<RedisServer> => {
    const server = await startRedis(...args)
    started.push(server)
    return server
  }
  const untilFollowed = (server: RedisServer, replicas: number): Promise<void> =>
    waitUntil(
      async () => {
        const info = await server.ask('INFO', 'replication').catch(() => '')
        return [...info.matchAll(/^slave\d+:.*state=online/gm)].length === replicas
      },
      PATIENCE_MS,
      () => `the server did not get ${replicas} replicas`,
    )

  try {
    const master = await start()
    const replica = await start({ settings: { replicaof: `127.0.0.1 ${master.port}` } })
    await untilFollowed(master, 1)
    const sentinels: RedisServer[] = []
    for (let at = 0; at < 3; at += 1)
      sentinels.push(
        await start({
          isSentinel: true,
          settings: {
            'sentinel monitor': `${NAME} 127.0.0.1 ${master.port} 2`,
            [`sentinel down-after-milliseconds ${NAME}`]: String(downAfterMs),
            [`sentinel failover-timeout ${NAME}`]: '10000',
          },
        }),
      )
    const [first] = sentinels
    if (first === undefined) throw new Error('There are Sentinels')
    await waitUntil(
      async () =>
        (await Promise.all(sentinels.map((each) => each.ask('SENTINEL', 'CKQUORUM', NAME).catch(() => '')))).every(
          (answer) => answer.startsWith('OK 3 '),
        ) && (await first.ask('SENTINEL', 'REPLICAS', NAME)).includes(String(replica.port)),
      PATIENCE_MS,
      () => 'the Sentinels did not find each other',
    )
    const servers = [master, replica] as const
    const masterNow = async (): Promise<RedisServer> => {
      const [, port] = (await first.ask('SENTINEL', 'GET-MASTER-ADDR-BY-NAME', NAME)).split('\n')
      const found = servers.find((server) => String(server.port) === port)
      if (found === undefined) throw new Error('The Sentinels know of no master')
      return found
    }
    return {
      servers,
      url: `redis+sentinel://${sentinels.map(({ address }) => address).join()}/${NAME}`,
      master: masterNow,
      untilMaster: (server) =>
        waitUntil(
          async () =>
            (await masterNow()) === server &&
            (await server.ask('INFO', 'replication').catch(() => '')).includes('role:master'),
          PATIENCE_MS,
          () => 'the server did not become the master',
        ),
      untilFollowed,
      stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
