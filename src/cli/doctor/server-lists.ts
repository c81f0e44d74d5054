import { type Backend, canEnumerate } from '../../contract/backend.js'
import { type FrontCache, serverListOf as ownServerListOf } from '../../contract/front-cache.js'
import type { Runtime } from '../../contract/time.js'
import { serverListOf } from '../../session/envelope.js'
import type { Finding } from './finding.js'

/** How many sessions are looked at, and for how long. */
const SAMPLE = 500
const LOOKING_MS = 5_000

/**
 * Whether another process goes by another list of cache servers. Each entry of the cache tells by a number which list
 * its writer had, so the entries of some sessions are read; their data is not. An entry that is on no server of this
 * list cannot be found, but where lists differ some sessions fall on the same server by either.
 */
export const examineServerLists = async (
  { cache, backend }: { readonly cache: FrontCache; readonly backend: Backend },
  { namespace, runtime }: { readonly namespace: string; readonly runtime: Runtime },
): Promise<readonly Finding[]> => {
  const own = ownServerListOf(cache)
  if (own === 0 || !canEnumerate(backend)) return []
  const { entries } = await backend.listKeys({ namespace, now: runtime.now(), limit: SAMPLE })
  const until = runtime.monotonicMs() + LOOKING_MS
  const others = new Map<number, number>()
  for (const { key } of entries) {
    if (runtime.monotonicMs() > until) break
    const entry = await cache.get(key)
    const list = entry === undefined ? 0 : serverListOf(entry.value)
    if (list !== 0 && list !== own) others.set(list, (others.get(list) ?? 0) + 1)
  }
  if (others.size === 0) return []
  const count = [...others.values()].reduce((sum, each) => sum + each, 0)
  return [
    {
      check: 'cache-server-lists',
      severity: 'fault',
      tier: cache.name,
      finding:
        `${count} of the sessions looked at were written by processes with ${others.size === 1 ? 'another list' : `${others.size} other lists`} ` +
        'of cache servers: a session may stand on two servers, and a change or a logout on one of them is not seen on the other.',
      cure: 'Give every process, and this command, the same servers with the same weights (NONSTICK_CACHE); their order does not matter.',
    },
  ]
}
