import type { FrontCache } from '../../contract/front-cache.js'
import { MemcachedCache } from './memcached-cache.js'
import { type MemcachedOptions, resolveOptions } from './options.js'

export type { MemcachedOptions } from './options.js'
export { type PlacedServer, type Placement, weightedRendezvous } from './placement.js'
export type { MemcachedServers } from './servers.js'
export type { MemcachedTls, Pem } from './tls.js'

/**
 * The front cache on Memcached (binary protocol, through memjs).
 *
 * Nothing is connected until the first call, and each server is connected anew when it is needed after a
 * fault. No command is ever sent twice, and no server's keys are handed to another one while it is down.
 *
 * @throws `E_CONFIG` naming the option that cannot be used.
 */
export const memcached = (options: MemcachedOptions): FrontCache => new MemcachedCache(resolveOptions(options))
