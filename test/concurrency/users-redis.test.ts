import { redisHere } from '../backends/redis/server.js'
import { ownMemcached } from '../support/servers.js'
import { openRedisCluster } from './redis-cluster.js'
import { userRaces } from './user-races.js'

const startMemcached = await ownMemcached()
const found = typeof startMemcached === 'function' ? () => openRedisCluster(startMemcached) : startMemcached
const here = redisHere()

userRaces(
  'the sessions of one user in three processes on one Memcached and one Redis',
  typeof here === 'string' ? found : here,
)
