import type { Backend } from '../contract/backend.js'
import type { FrontCache } from '../contract/front-cache.js'
import type { Runtime } from '../contract/time.js'
import { invalidOption, SessionStoreError } from '../errors.js'
import type { CachePlace } from './places.js'
import { type FromEnvironment, type Given, inVariables } from './read.js'
import type { Owner } from './variables.js'

/** What the tiers go by besides the environment. */
export interface TierParts {
  readonly runtime: Runtime | undefined
  /** How long a session can live at most, which a CouchDB must know. */
  readonly absoluteTtlMs: number
}

/**
 * The cache that the environment names; `undefined` where it names none. The client of no other cache is loaded.
 *
 * @throws SessionStoreError `E_CONFIG`, which names the variable
 */
export const cacheFrom = async (read: FromEnvironment, parts: TierParts): Promise<FrontCache | undefined> => {
  const { cache } = read
  if (cache === undefined) return undefined
  const clock = clockOf(parts)
  if (cache.kind === 'memory') return (await import('../caches/memory/index.js')).memoryCache(clock)
  const { memcached } = await import('../caches/memcached/index.js')
  return named('memcached', read, () => memcached({ ...memcachedOptionsOf(read, cache), ...clock } as never))
}

/** The options of `memcached`, as the environment gives them. */
export const memcachedOptionsOf = (
  { options }: FromEnvironment,
  { servers, login }: Extract<CachePlace, { kind: 'memcached' }>,
): Readonly<Record<string, unknown>> => {
  const { username, password } = options.memcached
  if (login !== undefined && (username ?? password) !== undefined)
    throw invalidOption(
      username === undefined ? 'NONSTICK_MEMCACHED_PASSWORD' : 'NONSTICK_MEMCACHED_USERNAME',
      'left out where `NONSTICK_CACHE` names a user',
      username ?? password,
      { secret: true },
    )
  return { servers, ...withTls(options.memcached), ...login }
}

/** Options of TLS ask for TLS, as they do in a program: `tls: { ca }`. */
const withTls = (given: Given): Given => {
  if (given['tls'] === false && Object.keys(given).some((option) => option.startsWith('tls.')))
    throw invalidOption('tls', 'true or left out where an option of TLS is given', false)
  return nested(given, 'tls')
}

/** What is called `tls.ca` stands as `ca` in an object `tls`, in place of what `tls` itself says. */
const nested = (given: Given, name: string): Given => {
  const isInside = ([option]: readonly [string, unknown]): boolean => option.startsWith(`${name}.`)
  const all = Object.entries(given)
  const inside = all.filter(isInside).map(([option, value]) => [option.slice(name.length + 1), value] as const)
  if (inside.length === 0) return given
  return { ...Object.fromEntries(all.filter((each) => !isInside(each))), [name]: Object.fromEntries(inside) }
}

/**
 * The backend that the environment names; `undefined` where it names none. The client of no other backend is loaded.
 *
 * @throws SessionStoreError `E_CONFIG`, which names the variable
 */
export const backendFrom = async (read: FromEnvironment, parts: TierParts): Promise<Backend | undefined> => {
  const { backend, options } = read
  if (backend === undefined) return undefined
  const clock = clockOf(parts)
  if (backend.kind === 'memory') return (await import('../backends/memory/index.js')).memoryBackend(clock)
  if (backend.kind === 'postgres') {
    const { postgres } = await import('../backends/postgres/index.js')
    const { connectionString } = backend
    return named('postgres', read, () => postgres({ connectionString, ...options.postgres, ...clock } as never))
  }
  if (backend.kind === 'redis') {
    const { redis } = await import('../backends/redis/index.js')
    const { url } = backend
    return named('redis', read, () => redis({ url, ...nested(options.redis, 'wait'), ...clock } as never))
  }
  const { couchdb } = await import('../backends/couchdb/index.js')
  const { urls } = backend
  const { absoluteTtlMs } = parts
  return named('couchdb', read, () => couchdb({ url: urls, absoluteTtlMs, ...options.couchdb, ...clock } as never))
}

const clockOf = ({ runtime }: TierParts): { readonly runtime?: Runtime } => (runtime === undefined ? {} : { runtime })

const named = <Tier>(owner: Owner, read: FromEnvironment, make: () => Tier): Tier => {
  try {
    return make()
  } catch (error) {
    throw inVariables(error, owner, read)
  }
}

/** A word in a variable is enough for sessions that nobody may lose, so that production asks twice. */
export const refuseEmbedded = (read: FromEnvironment, env: Readonly<Record<string, string | undefined>>): void => {
  const variable = read.cache?.kind === 'memory' ? 'NONSTICK_CACHE' : 'NONSTICK_BACKEND'
  const isEmbedded = read.cache?.kind === 'memory' || read.backend?.kind === 'memory'
  if (isEmbedded && env['NODE_ENV'] === 'production' && read.options.store['allowEmbedded'] !== true)
    throw new SessionStoreError(
      'E_CONFIG',
      `Expected \`${variable}\` to name servers under NODE_ENV=production, got \`memory\` (\`NONSTICK_ALLOW_EMBEDDED=true\` runs without)`,
    )
}
