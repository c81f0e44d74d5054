import { expect } from 'vitest'
import {
  type GivenStoreOptions,
  type OwnStoreOptions,
  type RedisSession,
  RedisSessions,
} from '../../../src/adapters/redis-sessions/index.js'
import { world } from '../../store/world.js'

/** Processes of one cluster, on tiers and by a clock that all of them share. */
export const cluster = () => {
  const { runtime, cache, backend, loseCache, process } = world()
  return {
    runtime,
    cache,
    backend,
    loseCache,
    /** A store that was made without any thought of redis-sessions. */
    store: process,
    process: (options: OwnStoreOptions = {}): RedisSessions =>
      new RedisSessions({ cache, backend, runtime, ...options }),
    on: (options: GivenStoreOptions): RedisSessions => new RedisSessions({ runtime, ...options }),
  }
}

export const USER = { app: 'shop', id: 'ada', ip: '127.0.0.1' } as const

/** The session; fails the test where there is none. */
export const got = async (sessions: RedisSessions, token: string, app = 'shop'): Promise<RedisSession> =>
  (await sessions.get({ app, token })) ?? expect.fail('the session is not there')
