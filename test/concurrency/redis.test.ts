import { redisHere } from '../backends/redis/server.js'
import { ownMemcached } from '../support/servers.js'
import { races } from './races.js'
import { openRedisCluster } from './redis-cluster.js'

const startMemcached = await ownMemcached()
const found = typeof startMemcached === 'function' ? () => openRedisCluster(startMemcached) : startMemcached
const here = redisHere()

races('three processes on one Memcached and one Redis', typeof here === 'string' ? found : here, 1)
