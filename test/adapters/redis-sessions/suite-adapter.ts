/**
 * What the published test suite of redis-sessions takes for redis-sessions. The suite pauses by a timer; here its pauses
 * move the clock of all stores instead, so that nothing waits and nothing depends on how fast the machine is.
 */
import timers from 'node:timers/promises'
import { RedisSessions, type RedisSessionsOptions } from '../../../src/adapters/redis-sessions/index.js'
import { postgres } from '../../../src/backends/postgres/index.js'
import { memcached } from '../../../src/caches/memcached/index.js'
import type { Backend } from '../../../src/contract/backend.js'
import type { Runtime } from '../../../src/contract/time.js'
import { memoryBackend, memoryCache } from '../../../src/memory.js'
import { movableRuntime } from '../../../src/testing/movable-runtime.js'
import { couchdb } from '../../backends/couchdb/backend.js'
import type { SuitePlace } from './published-suite.js'

const place = JSON.parse(process.env['REDIS_SESSIONS_PLACE'] ?? '') as SuitePlace
const moved = movableRuntime(place.startsAt)
/** Between two pauses no time passes at all, however long the calls take. */
const runtime: Runtime = { ...moved, monotonicMs: () => moved.now() }

const wait = timers.setTimeout
const pause = async (ms: number): Promise<void> => {
  // What the calls before have left to be done beside their answers is done before time moves on.
  await wait(50)
  moved.advance(ms)
}
Object.assign(timers, { setTimeout: pause })

/** Longer than any machine is busy. */
const PATIENT = { cacheTimeoutMs: 60_000, backendTimeoutMs: 60_000, leaseMs: 70_000, deadlineMs: 120_000 }

const shared = { cache: memoryCache({ runtime }), backend: memoryBackend({ runtime }) }

const backendAt = (where: Exclude<SuitePlace, { kind: 'memory' }>): Backend =>
  where.kind === 'postgres'
    ? postgres({ ...where.options, queryTimeoutMs: 60_000, connectTimeoutMs: 60_000, runtime })
    : couchdb({ ...where.options, requestTimeoutMs: 60_000, connectTimeoutMs: 60_000, runtime })

const tiers = (): Pick<RedisSessionsOptions & { cache: unknown }, 'cache' | 'backend'> =>
  place.kind === 'memory'
    ? shared
    : {
        cache: memcached({
          servers: place.cacheAddress,
          operationTimeoutMs: 60_000,
          connectTimeoutMs: 60_000,
          runtime,
        }),
        backend: backendAt(place),
      }

/** redis-sessions as the suite makes it, with tiers beside its options. Each has connections of its own. */
export default class extends RedisSessions {
  constructor(options: RedisSessionsOptions) {
    super({ ...options, ...PATIENT, ...tiers(), namespace: place.namespace, runtime } as RedisSessionsOptions)
  }
}
