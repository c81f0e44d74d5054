import { Redis } from 'ioredis'
import { createClient } from 'redis'
import { expect, test } from 'vitest'
import { startRedis } from '../../../scripts/servers/index.js'
import { redis } from '../../../src/backends/redis/index.js'
import { Keys, placeOfKey } from '../../../src/backends/redis/keys.js'
import { systemRuntime } from '../../../src/runtime.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { skipUnless } from '../../support/skip.js'
import { freshPrefix, optionsFor, redisForThisFile, redisHere } from './server.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

skipUnless('what stands in Redis', redisHere(), () => {
  const server = redisForThisFile()

  const expiryOf = async (key: string): Promise<number> => Number(await server().ask('PEXPIRETIME', key))

  test('Redis itself removes a session an hour after its grace, and none at once', async () => {
    const prefix = freshPrefix()
    const backend = redis(optionsFor(server(), prefix))
    const start = systemRuntime.now()
    const keyOf = (key: string): string => new Keys(prefix).session(placeOfKey(key))
    const put = async (expiresAt: number, absoluteExpiresAt: number): Promise<string> => {
      const locator = sampleLocator()
      await backend.insert(locator, storedSession({ createdAt: start, expiresAt, absoluteExpiresAt }))
      return keyOf(locator.key)
    }
    expect(await expiryOf(await put(start + DAY_MS, start + 9 * DAY_MS))).toBe(start + 2 * DAY_MS + HOUR_MS)
    expect(await expiryOf(await put(start + DAY_MS, start + DAY_MS + 5))).toBe(start + DAY_MS + 5 + HOUR_MS)
    expect(await expiryOf(await put(1, 1))).toBeGreaterThanOrEqual(start + HOUR_MS)

    const locator = sampleLocator()
    await backend.insert(locator, storedSession({ createdAt: start }))
    await backend.extend([{ locator, seenAt: start, expiresAt: start + 3 * DAY_MS }])
    expect(await expiryOf(keyOf(locator.key))).toBe(start + 4 * DAY_MS + HOUR_MS)
    await backend.destroy(locator, { writeId: sampleWriteId(), at: start, keepUntil: start + 5 * DAY_MS })
    expect(await expiryOf(keyOf(locator.key))).toBe(start + 5 * DAY_MS + HOUR_MS)
    await backend.close()
  })

  test('a purge tidies the indexes behind what Redis has removed, and counts nothing twice', async () => {
    const prefix = freshPrefix()
    const backend = redis(optionsFor(server(), prefix))
    const start = systemRuntime.now()
    const locator = sampleLocator()
    const ended = { createdAt: start - 3 * DAY_MS, expiresAt: start - 2 * DAY_MS }
    await backend.insert(locator, storedSession({ ...ended, userId: 'somebody', app: 'shop' }))
    const tombstone = sampleLocator()
    await backend.destroy(tombstone, { writeId: sampleWriteId(), at: start - DAY_MS, keepUntil: start - HOUR_MS })
    for (const { key } of [locator, tombstone]) await server().ask('DEL', new Keys(prefix).session(placeOfKey(key)))
    expect(await backend.purge({ now: start, limit: 10 })).toEqual({ removed: 0, more: false })
    const left = (await server().ask('KEYS', `${prefix}*`)).split('\n')
    expect(left).toEqual([`${prefix}{namespaces}`])
    await backend.close()
  })

  test('nothing that a tombstone or a removed session had is left in any index', async () => {
    const prefix = freshPrefix()
    const backend = redis(optionsFor(server(), prefix))
    const start = systemRuntime.now()
    for (const userId of [undefined, 'somebody']) {
      const locator = sampleLocator()
      const session = storedSession({ userId })
      await backend.insert(locator, session)
      const other = { ...session, version: 2, userId: 'another', app: 'blog' }
      const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
      await backend.update([{ locator, session: other, guard, token: new Uint8Array(0) }])
      await backend.destroy(locator, { writeId: sampleWriteId(), at: start, keepUntil: start + 5 })
    }
    await backend.purge({ now: start + DAY_MS, limit: 10, graceMs: 0 })
    expect(await server().ask('KEYS', `${prefix}*`)).toBe(`${prefix}{namespaces}`)
    await backend.close()
  })

  test('a function that the server has forgotten is sent to it again', async () => {
    const backend = redis(optionsFor(server()))
    const locator = sampleLocator()
    await backend.insert(locator, storedSession())
    await server().ask('SCRIPT', 'FLUSH')
    const end = { writeId: sampleWriteId(), at: 1, keepUntil: systemRuntime.now() + HOUR_MS }
    expect(await backend.destroy(locator, end)).toBe('destroyed')
    await backend.close()
  })

  test('what is no session of ours is unreadable, and is never written over', async () => {
    const prefix = freshPrefix()
    const backend = redis(optionsFor(server(), prefix))
    const locator = sampleLocator()
    const key = new Keys(prefix).session(placeOfKey(locator.key))
    await server().ask('HSET', key, 'f', 's9', 'x', 'from a newer program')
    await expect(backend.read(locator)).rejects.toMatchObject({ code: 'E_SESSION_FORMAT' })
    await expect(backend.insert(locator, storedSession())).rejects.toMatchObject({ code: 'E_SESSION_FORMAT' })
    await server().ask('DEL', key)
    await server().ask('SET', key, 'somebody else’s')
    await expect(backend.read(locator)).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      message: expect.stringContaining('prefix'),
    })
    await backend.close()
  })

  test('a full server refuses a new session with words, and takes a logout', async () => {
    const full = await startRedis({ settings: { maxmemory: '2mb', 'maxmemory-policy': 'noeviction' } })
    try {
      const backend = redis(optionsFor(full))
      const locator = sampleLocator()
      await backend.insert(locator, storedSession())
      await full.ask('CONFIG', 'SET', 'maxmemory', '1')
      const refused = backend.insert(sampleLocator(), storedSession())
      await expect(refused).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no', answered: true })
      await expect(refused).rejects.toThrow('maxmemory')
      expect(await backend.health()).toMatchObject({ state: 'down', reason: expect.stringContaining('maxmemory') })
      const end = { writeId: sampleWriteId(), at: 1, keepUntil: systemRuntime.now() + HOUR_MS }
      expect(await backend.destroy(locator, end)).toBe('destroyed')
      await backend.close()
    } finally {
      await full.stop()
    }
  })

  test('a user who has the rights that the page names can do all, and one who lacks them is told so', async () => {
    const page = (await import('node:fs')).readFileSync(new URL('../../../docs/redis.md', import.meta.url), 'utf8')
    const rights = /^ACL SETUSER sessions (.*)$/m.exec(page)?.[1] ?? ''
    await server().ask('ACL', 'SETUSER', 'sessions', ...rights.split(' '))
    const url = `redis://sessions:secret@${server().address}`
    const backend = redis({ url, prefix: 'nonstick:', queryTimeoutMs: 60_000 })
    const [locator, session] = [sampleLocator(), storedSession({ userId: 'ada' })]
    const start = systemRuntime.now()
    await backend.setUp()
    expect((await backend.health()).state).toBe('up')
    await backend.insert(locator, session)
    await backend.read(locator)
    await backend.extend([{ locator, seenAt: start, expiresAt: session.expiresAt }])
    await backend.writeUser({ namespace: 'contract', userId: 'ada' }, { epoch: 1, seats: [] }, '')
    const which = { namespace: 'contract', now: start }
    expect(await backend.count({ ...which, app: '' })).toBe(1)
    expect(await backend.countUsers(which)).toBe(1)
    expect((await backend.list({ ...which, limit: 9, withData: true, maxBytes: 9 })).entries).toHaveLength(1)
    await backend.destroy(locator, { writeId: sampleWriteId(), at: start, keepUntil: start })
    expect((await backend.purge({ now: start + HOUR_MS, limit: 9 })).removed).toBe(1)
    expect(await backend.planPurge({ now: start })).toEqual([{ removable: 0 }])
    await backend.close()

    const nobody = redis({ url: `redis://sessions:wrong@${server().address}`, queryTimeoutMs: 60_000 })
    await expect(nobody.read(locator)).rejects.toThrow('refused the user or the password')
    await nobody.close()
    await server().ask('ACL', 'SETUSER', 'sessions', '-zadd')
    const lacking = redis({ url, queryTimeoutMs: 60_000 })
    await expect(lacking.insert(sampleLocator(), session)).rejects.toThrow('docs/redis.md')
    await lacking.close()
  })
})

skipUnless('a Redis that is away', redisHere(), () => {
  test('a call fails at once where nobody listens, says that nothing was done, and the next one works when it is back', async () => {
    const server = await startRedis()
    const backend = redis({ url: server.url, queryTimeoutMs: 60_000 })
    const locator = sampleLocator()
    await backend.insert(locator, storedSession())
    await server.kill9()
    const failed = backend.insert(sampleLocator(), storedSession())
    await expect(failed).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    await expect(backend.insert(sampleLocator(), storedSession())).rejects.toMatchObject({ applied: 'no' })
    await server.restart()
    let state: string | undefined
    for (let attempt = 0; state === undefined && attempt < 200; attempt += 1)
      state = await backend.read(locator).then(
        (copy) => copy.state,
        () => new Promise((resolve) => systemRuntime.after(50, () => resolve(undefined))),
      )
    expect(state, 'what was acknowledged before the process was killed is there').toBe('live')
    await backend.close()
    await server.stop()
  })

  test('a silent server costs each call no more than its time, and its connection is given up', async () => {
    const server = await startRedis()
    const backend = redis({ url: server.url, queryTimeoutMs: 2_000 })
    const locator = sampleLocator()
    const readAtLast = async (): Promise<string> => {
      for (;;) {
        const copy = await backend.read(locator).catch(() => undefined)
        if (copy !== undefined) return copy.state
      }
    }
    const connections = async (): Promise<readonly (string | undefined)[]> =>
      (await server.ask('CLIENT', 'LIST'))
        .split('\n')
        .filter((line) => line !== '' && !line.includes('cmd=client|list'))
        .map((line) => /^id=(\d+)/.exec(line)?.[1])
    expect(await readAtLast()).toBe('absent')
    const before = await connections()
    expect(before).toHaveLength(1)
    server.pause()
    await expect(backend.read(locator)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: undefined })
    await expect(backend.insert(locator, storedSession())).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    server.resume()
    await readAtLast()
    expect(await connections()).not.toContain(before[0])
    await backend.close()
    await server.stop()
  })

  test('a client of the program’s own that is not connected is told to be connected', async () => {
    const client = createClient({ url: 'redis://127.0.0.1:1' })
    const backend = redis({ client })
    await expect(backend.read(sampleLocator())).rejects.toThrow('is to be connected first')
    await backend.close()
  })

  test('closing leaves a given client open', async () => {
    const server = await startRedis()
    const client = new Redis(server.port, '127.0.0.1', { autoResendUnfulfilledCommands: false })
    const backend = redis({ client })
    await backend.read(sampleLocator())
    await backend.close()
    await expect(backend.read(sampleLocator())).rejects.toMatchObject({ code: 'E_CLOSED' })
    expect(await client.ping()).toBe('PONG')
    client.disconnect()
    await server.stop()
  })
})
