import type { SourceKind } from '../source.js'
import { connectMemcached } from './connect-memcached.js'
import { connectMongo } from './connect-mongo.js'
import { connectPgSimple } from './connect-pg-simple.js'
import { connectRedis } from './connect-redis.js'
import { koaRedis } from './koa-redis.js'
import { redisSessions } from './redis-sessions.js'
import { sessionFileStore } from './session-file-store.js'

/** The stores that sessions can come from, by the names that `--from` has for them. */
export const SOURCES: Readonly<Record<string, SourceKind>> = {
  'connect-redis': connectRedis,
  'connect-pg-simple': connectPgSimple,
  'connect-mongo': connectMongo,
  'connect-memcached': connectMemcached,
  'session-file-store': sessionFileStore,
  'koa-redis': koaRedis,
  'redis-sessions': redisSessions,
}
