import { placeOf } from '../../backends/redis/places.js'
import { RedisBackend } from '../../backends/redis/redis.js'
import type { Backend } from '../../contract/backend.js'
import type { FromEnvironment } from '../../environment/read.js'
import { type Finding, isOnThisMachine } from './finding.js'

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

/** Whether sessions and a password travel in the clear to the Redis that the environment names. */
export const redisInTheClear = (tier: string, { backend }: FromEnvironment): readonly Finding[] => {
  const place = backend?.kind === 'redis' ? placeOf(backend.url) : undefined
  if (place === undefined || place.isSecure) return []
  const hosts = place.kind === 'server' ? ('path' in place.at ? [] : [place.at]) : place.nodes
  if (hosts.every(({ host }) => isOnThisMachine(host))) return []
  return [
    {
      check: 'backend-tls',
      severity: 'warning',
      tier,
      finding: 'Sessions and the password travel to another machine, and the connection is not encrypted.',
      cure: 'Let Redis listen with TLS (`tls-port`), and begin the URL with `rediss`.',
    },
  ]
}
