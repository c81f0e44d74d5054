import { afterAll, beforeAll, describe, test } from 'vitest'
import { type MemcachedOptions, memcached } from '../../src/caches/memcached/index.js'
import { frontCacheContract } from '../../src/testing/front-cache-contract.js'
import { noMemcached, type RealMemcached, startMemcached } from './support/memcached.js'

const OUTSIDE = process.env['MEMCACHED_SERVERS']

/** The contract over real servers; the rules run side by side, because they wait for the servers' clock. */
const keepsTheContract = (
  title: string,
  unavailable: string | undefined,
  start: () => Promise<{ options: MemcachedOptions; servers: RealMemcached[] }>,
): void => {
  describe.skipIf(unavailable !== undefined)(`${title}${unavailable === undefined ? '' : ` (${unavailable})`}`, () => {
    let options: MemcachedOptions
    let servers: RealMemcached[] = []
    beforeAll(async () => {
      ;({ options, servers } = await start())
    })
    afterAll(async () => {
      await Promise.all(servers.map((server) => server.stop()))
    })
    const open = () => memcached({ operationTimeoutMs: 5000, connectTimeoutMs: 5000, ...options })
    frontCacheContract(test.concurrent, {
      name: title,
      open: async () => ({ cache: open(), another: async () => open() }),
      expiryResolutionMs: 2200,
    })
  })
}

keepsTheContract('one Memcached', OUTSIDE === undefined ? noMemcached : undefined, async () => {
  if (OUTSIDE !== undefined) return { options: { servers: OUTSIDE }, servers: [] }
  const server = await startMemcached()
  return { options: { servers: server.address }, servers: [server] }
})

keepsTheContract('two Memcacheds of different weight', noMemcached, async () => {
  const servers = await Promise.all([startMemcached(), startMemcached()])
  return { options: { servers: servers.map(({ address }, index) => [address, index + 1] as const) }, servers }
})
