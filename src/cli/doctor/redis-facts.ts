import { RedisBackend } from '../../backends/redis/redis.js'
import type { Backend } from '../../contract/backend.js'
import type { Finding } from './finding.js'

/** What is weak about each server of a Redis backend; nothing for a backend that is none. */
export const examineRedis = async (backend: Backend): Promise<readonly Finding[]> =>
  ((await RedisBackend.lookAt(backend)) ?? []).flatMap(({ tier, weaknesses }) =>
    weaknesses.map(({ check, severity, finding, cure }) => ({
      check: `redis-${check}`,
      severity,
      tier,
      finding,
      cure,
    })),
  )
