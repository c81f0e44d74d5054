/** The API of redis-sessions 4 on a nonstick session store: what `nonstick/redis-sessions` exports. */
export { EX_REDIS_SESSIONS, type Manners } from './manners.js'
export type { GivenStoreOptions, OwnStoreOptions, RedisSessionsOptions } from './options.js'
export { type RedisSessionRecord, userOfRedisSession } from './record.js'
export {
  type Application,
  type CreateRequest,
  type RedisSession,
  RedisSessions,
  type SessionOfToken,
  type SessionsOfUser,
  type SetRequest,
  type TimeWindow,
} from './redis-sessions.js'
export { type Failure, InvalidRequest } from './validation.js'
