import { expect, test } from 'vitest'
import { redis } from '../../../src/backends/redis/index.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { skipUnless } from '../../support/skip.js'
import { PATIENCE, redisForThisFile, redisHere } from './server.js'

const HOUR_MS = 3_600_000

skipUnless('prefixes in Redis', redisHere(), () => {
  const server = redisForThisFile()

  test('`session:` and `session:shop:` stand beside each other, and beside what session_redis keeps under the same names', async () => {
    // As session_redis writes them: `session:<id>`, and `session:<prefix>:<id>` where it has one.
    const foreign = ['session:5f0d3c7ae2b94c1f', 'session:shop:5f0d3c7ae2b94c1f']
    for (const key of foreign) await server().ask('SET', key, '{"login":"ann"}', 'EX', '3600')
    const [plain, shop] = ['session:', 'session:shop:'].map((prefix) =>
      redis({ url: server().url, prefix, ...PATIENCE }),
    )
    if (plain === undefined || shop === undefined) throw new TypeError('There should be two')
    const locator = sampleLocator({ namespace: 'shop' })
    const now = systemRuntime.now()
    const session = storedSession({ userId: 'ann', createdAt: now, expiresAt: now + HOUR_MS })
    expect((await plain.insert(locator, session)).outcome).toBe('inserted')
    expect((await shop.read(locator)).state).toBe('absent')
    expect((await shop.insert(locator, session)).outcome).toBe('inserted')
    const which = { namespace: 'shop', now }
    for (const backend of [plain, shop]) {
      expect((await backend.listKeys({ ...which, limit: 10 })).entries).toEqual([{ key: locator.key }])
      expect(await backend.count({ ...which, userId: 'ann' })).toBe(1)
    }

    const keys = (await server().ask('KEYS', '*')).split('\n')
    const own = keys.filter((key) => !foreign.includes(key))
    expect(own.filter((key) => !/^session:(?:shop:)?\{/.test(key))).toEqual([])
    const hash = locator.key.split(':')[1]
    for (const prefix of ['session:', 'session:shop:'])
      expect(own.filter((key) => key.startsWith(`${prefix}{shop:`) && key.endsWith(`}:${hash}`))).toHaveLength(1)

    const at = { writeId: '00000000000000aa', at: now, keepUntil: now + HOUR_MS }
    expect(await plain.destroy(locator, at)).toBe('destroyed')
    expect((await shop.read(locator)).state).toBe('live')
    let removed = 0
    for (const backend of [plain, shop])
      removed += (await backend.purge({ now: now + 4 * 24 * HOUR_MS, limit: 10, graceMs: 0 })).removed
    expect(removed).toBe(2)
    for (const key of foreign) expect(await server().ask('GET', key)).toBe('{"login":"ann"}')
    for (const backend of [plain, shop]) await backend.close()
  })
})
