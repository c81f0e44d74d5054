import { describe, expect, test } from 'vitest'
import { memoryCache } from '../../src/caches/memory/index.js'
import { frontCacheContract } from '../../src/testing/front-cache-contract.js'
import { movedClock } from './support/moved-clock.js'

describe('the memory cache keeps the contract', () => {
  const clock = movedClock()
  frontCacheContract(test, {
    name: 'memory',
    open: async () => ({ cache: memoryCache({ runtime: clock }) }),
    openRefusing: async () => {
      const cache = memoryCache({ runtime: clock })
      return { cache, refuseValues: () => cache.refuseValues(true) }
    },
    expiryResolutionMs: 1,
    now: clock.now,
    advance: clock.advance,
    cannot: {
      'what one process stores another one reads, and of both with the newest token one is stored':
        'it lives in one process',
    },
  })
})

describe('the memory cache', () => {
  const inAMinute = Date.now() + 60_000
  const bytes = (size: number): Uint8Array => new Uint8Array(size)

  test('forgets the least recently used entries first when its bytes are spent', async () => {
    const cache = memoryCache({ maxBytes: 10_000 })
    await cache.set('a', bytes(4000), inAMinute)
    await cache.set('b', bytes(4000), inAMinute)
    await cache.get('a')
    await cache.set('c', bytes(4000), inAMinute)
    expect(await cache.get('b')).toBeUndefined()
    expect(await cache.get('a')).toBeDefined()
    expect(await cache.get('c')).toBeDefined()
  })

  test('counts what an entry costs beside its bytes, so that empty ones are bounded too', async () => {
    const cache = memoryCache({ maxBytes: 10_000 })
    const keys = Array.from({ length: 1000 }, (_, index) => `key ${index}`)
    for (const key of keys) await cache.set(key, bytes(0), inAMinute)
    const left = await Promise.all(keys.map((key) => cache.get(key)))
    expect(left.filter((entry) => entry !== undefined).length).toBeLessThan(60)
  })

  test('a change that is too large leaves the old entry, and a set that is takes it along, as in Memcached', async () => {
    const cache = memoryCache({ maxValueBytes: 100 })
    const added = await cache.add('k', bytes(100), inAMinute)
    if (added.outcome !== 'stored') throw new Error('not stored')
    expect(await cache.cas('k', bytes(101), added.token, inAMinute)).toEqual({ outcome: 'too-large' })
    expect(await cache.get('k')).toBeDefined()
    await expect(cache.set('k', bytes(101), inAMinute)).rejects.toMatchObject({ code: 'E_SESSION_TOO_LARGE' })
    expect(await cache.get('k')).toBeUndefined()
  })

  test('what fits into no cache of this size is too large, however large a value may be', async () => {
    const cache = memoryCache({ maxBytes: 2000, maxValueBytes: 1_000_000 })
    await expect(cache.set('k', bytes(3000), inAMinute)).rejects.toMatchObject({
      code: 'E_SESSION_TOO_LARGE',
      tier: 'memory',
      operation: 'set',
      applied: 'no',
    })
  })

  test('a flush forgets everything, and the tokens with it', async () => {
    const cache = memoryCache()
    const added = await cache.add('k', bytes(1), inAMinute)
    if (added.outcome !== 'stored') throw new Error('not stored')
    cache.flush()
    expect(await cache.get('k')).toBeUndefined()
    expect(await cache.cas('k', bytes(2), added.token, inAMinute)).toEqual({ outcome: 'missing' })
    await cache.set('k', bytes(3), inAMinute)
    expect(await cache.cas('k', bytes(2), added.token, inAMinute)).toEqual({ outcome: 'conflict' })
  })

  test.each([
    [{ maxBytes: 0 }, 'Expected `maxBytes` to be a whole number of at least 1024, got 0 (number)'],
    [{ maxBytes: 1e9 + 0.5 }, 'Expected `maxBytes` to be a whole number of at least 1024, got 1000000000.5 (number)'],
    [{ maxValueBytes: Number.NaN }, 'Expected `maxValueBytes` to be a whole number of at least 1, got NaN (number)'],
    [
      { maxValueBytes: '1' as unknown as number },
      'Expected `maxValueBytes` to be a whole number of at least 1, got a string: give it as a number, which `Number(…)` makes of a text',
    ],
    [
      { maxByte: 1024 } as object,
      'Expected `maxByte` to be left out: there is no such option (did you mean `maxBytes`?)',
    ],
    [{ runtime: null } as object, 'Expected `runtime` to be a Runtime, got null: leave it out for the default'],
    [
      null as unknown as object,
      'Expected `memoryCache(options)` to be an object, got null: leave it out for the default',
    ],
  ])('the option %j is refused by name', (options, message) => {
    expect(() => memoryCache(options)).toThrow(expect.objectContaining({ code: 'E_CONFIG', message }))
  })
})
