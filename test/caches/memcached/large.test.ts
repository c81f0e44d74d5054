import { expect, test } from 'vitest'
import { type MemcachedOptions, memcached } from '../../../src/caches/memcached/index.js'
import { serverListNumber } from '../../../src/caches/memcached/servers.js'
import { type CasToken, type FrontCache, serverListOf } from '../../../src/contract/front-cache.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'
import { sharedMemcached, skipUnless } from '../../support/servers.js'

const TOO_LARGE = new Uint8Array(2 * 1024 * 1024)

skipUnless('a value that is too large for Memcached', await sharedMemcached(), ({ address }) => {
  const refused = async (options: Partial<MemcachedOptions>, isStale: boolean): Promise<Uint8Array | undefined> => {
    const cache = memcached({ servers: address, ...options })
    const { key } = sampleLocator()
    const expiresAt = Date.now() + 60_000
    const { token } = (await cache.add(key, Uint8Array.of(1), expiresAt)) as { readonly token: CasToken }
    if (isStale) await cache.set(key, Uint8Array.of(2), expiresAt)
    expect(await cache.cas(key, TOO_LARGE, token, expiresAt)).toEqual({ outcome: 'too-large' })
    const stands = await cache.get(key)
    await cache.close()
    return stands?.value
  }

  test.each([
    ['where it is not sent', {}],
    ['where the server takes less than it was said to', { maxValueBytes: 1_073_741_824 }],
  ])('costs nothing of what stands there, %s', async (_, options) => {
    expect(await refused(options, false)).toEqual(Uint8Array.of(1))
    expect(await refused(options, true)).toEqual(Uint8Array.of(2))
  })

  test('is told apart from a miss where another process may store it, and costs no other call', async () => {
    const open = (maxValueBytes: number): FrontCache => memcached({ servers: address, maxValueBytes })
    const [generous, narrow] = [open(1_000_000), open(2_000)]
    const [small, large] = [sampleLocator().key, sampleLocator().key]
    const expiresAt = Date.now() + 60_000
    await narrow.add(small, new Uint8Array(2_000), expiresAt)
    await generous.add(large, new Uint8Array(900_000), expiresAt)
    const [one, refused, other] = await Promise.allSettled([narrow.get(small), narrow.get(large), narrow.get(small)])
    for (const read of [one, other]) expect(read).toMatchObject({ status: 'fulfilled', value: { token: {} } })
    expect(refused).toMatchObject({
      status: 'rejected',
      reason: { code: 'E_SESSION_UNAVAILABLE', answered: true, message: expect.stringContaining('`maxValueBytes`') },
    })
    await Promise.all([generous.close(), narrow.close()])
  })
})

test.each([1_023, 1_073_741_825, 1.5, Number.NaN])('maxValueBytes refuses %d', (maxValueBytes) => {
  expect(() => memcached({ servers: 'host', maxValueBytes })).toThrow(/maxValueBytes.*1024 to 1073741824/)
})

test('a list of servers has a number of its own, whatever the order of the servers', async () => {
  const numberOf = async (servers: MemcachedOptions['servers']): Promise<number> => {
    const cache = memcached({ servers })
    await cache.close()
    return serverListOf(cache)
  }
  const both = await numberOf('one:1,other:2')
  expect(await numberOf('other:2,one:1')).toBe(both)
  for (const servers of ['one:1', 'one:1,other:3', 'one:1,other:2,third:3', [['one:1', 2], 'other:2'] as const])
    expect(await numberOf(servers)).not.toBe(both)
  expect(serverListNumber([])).toBeGreaterThan(0)
})
