import { startRedis } from '../../scripts/servers/index.js'
import { Keys, placeOfKey } from '../../src/backends/redis/keys.js'
import { locate } from '../../src/session/key.js'
import { changesJournal } from './changes-journal.js'
import { type Cluster, clusterOn, openCache, type Servers } from './cluster.js'

const PREFIX = 'races:'

/** As `openCluster`, with the sessions in Redis. */
export const openRedisCluster = async (startMemcached: Servers['startMemcached']): Promise<Cluster> => {
  const [cache, server] = await Promise.all([openCache(startMemcached), startRedis()])
  const keys = new Keys(PREFIX)
  return await clusterOn({
    cacheAddress: cache.cacheAddress,
    backend: { kind: 'redis', url: server.url, prefix: PREFIX },
    journal: changesJournal(server.changesFolder, PREFIX),
    emptyCache: cache.emptyCache,
    isTombstone: async (id) => {
      const key = keys.session(placeOfKey(locate('nonstick', id).key))
      return (await server.ask('HMGET', key, 'f')) === 't1' && (await server.ask('HEXISTS', key, 'd')) === '0'
    },
    stop: async () => {
      await Promise.all([cache.stop(), server.stop()])
    },
  })
}
