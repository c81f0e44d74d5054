import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { startRedisCluster, startWatchedRedis, type WatchedRedis } from '../../../scripts/servers/index.js'
import { redis } from '../../../src/backends/redis/index.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, PATIENCE, redisHere } from './server.js'
import { startWriters, type Writers } from './writers.js'

vi.setConfig({ testTimeout: 600_000, hookTimeout: 300_000 })

const WAIT = { replicas: 1, timeoutMs: 2_000 }

skipUnless('a failover of Redis by Sentinel, while three processes write', redisHere(), () => {
  let watched: WatchedRedis
  let writers: Writers | undefined

  beforeEach(async () => {
    watched = await startWatchedRedis()
  })
  afterEach(async () => {
    await writers?.stop()
    await watched.stop()
  })

  test('with `wait` no acknowledged change is lost, and the writers go on by the new master', async () => {
    const prefix = freshPrefix()
    const [master, replica] = watched.servers
    writers = startWriters({ url: watched.url, prefix, wait: WAIT })
    await writers.more(300)
    await master.kill9()
    await watched.untilMaster(replica)
    // As a replica of the new master, which without one acknowledges nothing.
    await master.restart()
    await watched.untilFollowed(replica, 1)
    await writers.more(300)
    await writers.stop()
    const backend = redis({ url: replica.url, prefix, ...PATIENCE })
    expect(await writers.missing(backend)).toEqual([])
    await backend.close()
    expect(writers.failures().size).toBeGreaterThan(0)
  })

  test('with `wait` nothing is acknowledged that the replica does not have, and each such error says that it may be done', async () => {
    const prefix = freshPrefix()
    const [master, replica] = watched.servers
    writers = startWriters({ url: watched.url, prefix, wait: { replicas: 1, timeoutMs: 300 } })
    await writers.more(100)
    replica.pause()
    const before = writers.acknowledged()
    while ((writers.failures().get('unknown') ?? 0) < 6 && writers.acknowledged() - before <= 6)
      await new Promise((resolve) => systemRuntime.after(50, () => resolve(undefined)))
    // What the replica had acknowledged before it was stopped may be told late: one change of each process.
    expect(writers.acknowledged() - before).toBeLessThanOrEqual(6)
    await master.kill9()
    replica.resume()
    await watched.untilMaster(replica)
    await writers.stop()
    const backend = redis({ url: replica.url, prefix, ...PATIENCE })
    expect(await writers.missing(backend)).toEqual([])
    await backend.close()
  })

  test('without `wait` what is lost is what the new master had not received', async () => {
    const prefix = freshPrefix()
    const [master, replica] = watched.servers
    writers = startWriters({ url: watched.url, prefix })
    await writers.more(200)
    const cutAt = systemRuntime.monotonicMs()
    // It cannot connect again while it is stopped, so that nothing more is on its way to it.
    replica.pause()
    await master.ask('CLIENT', 'KILL', 'TYPE', 'replica')
    await writers.more(200)
    await master.kill9()
    replica.resume()
    await watched.untilMaster(replica)
    await writers.more(100)
    await writers.stop()
    const backend = redis({ url: replica.url, prefix, ...PATIENCE })
    const missing = await writers.missing(backend)
    await backend.close()
    expect(missing.length, 'a change was lost, or this shows nothing').toBeGreaterThan(0)
    // What had just been acknowledged may not have been received when it was cut off.
    expect(missing.filter(({ at }) => at < cutAt - 5_000)).toEqual([])
  })
})

skipUnless('a master of a Redis Cluster that is killed, while three processes write', redisHere(), () => {
  test('its replica takes its place, and with `wait` no acknowledged change is lost', async () => {
    const cluster = await startRedisCluster()
    const prefix = freshPrefix()
    const writers = startWriters({ url: cluster.url, prefix, wait: WAIT })
    try {
      await writers.more(300)
      const [killed] = cluster.nodes
      await killed?.kill9()
      while ((await cluster.masters()).length < 3)
        await new Promise((resolve) => systemRuntime.after(100, () => resolve(undefined)))
      await cluster.untilWhole()
      // The slots of the new master have no replica before the killed one is back.
      await killed?.restart()
      await writers.more(300)
      await writers.stop()
      const backend = redis({ url: cluster.url, prefix, ...PATIENCE })
      expect(await writers.missing(backend)).toEqual([])
      const locator = sampleLocator()
      expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
      await backend.close()
    } finally {
      await writers.stop()
      await cluster.stop()
    }
  })
})
