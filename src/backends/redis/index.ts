export type { IoredisClient, NodeRedisClient, NodeRedisCluster, RedisClient } from './given-client.js'
export type { RedisOptions, WaitOptions } from './options.js'
export { redis } from './redis.js'
