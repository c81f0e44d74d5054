/** Real servers for the demo and the tests: on loopback, in temporary folders, ended with the program. */
export { findExecutable, findMemcached, findPostgres, findRedis, type PostgresBinaries } from './find.js'
export { ensureMemcached, ensureRedis, ensureTestPrograms } from './install.js'
export { type MemcachedOptions, type MemcachedServer, memcachedServers, startMemcached } from './memcached.js'
export { type PostgresOptions, type PostgresServer, postgresUrl, startPostgres } from './postgres.js'
export { freePort } from './process.js'
export { type RedisServer, type RedisServerOptions, startRedis } from './redis.js'
export { type RedisCluster, type RedisClusterOptions, startRedisCluster } from './redis-cluster.js'
export { startWatchedRedis, type WatchedRedis } from './redis-sentinel.js'
