import { createHash } from 'node:crypto'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { expect, test } from 'vitest'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { createSessionStore } from '../../src/index.js'
import { absent, ownMemcached, ownPostgres, skipUnless } from '../support/servers.js'
import { textsIn } from '../support/texts.js'
import type { Data } from './world.js'

const CHANNELS = ['nonstick:read', 'nonstick:write', 'nonstick:flush', 'nonstick:destroy', 'nonstick:fault']
const ID = 'recognisable-session-id-of-a-test'
const [memcachedFound, postgresFound] = [await ownMemcached(), ownPostgres()]
const servers =
  typeof memcachedFound !== 'function'
    ? memcachedFound
    : typeof postgresFound !== 'function'
      ? absent('there is no PostgreSQL that a test may kill')
      : { startMemcached: memcachedFound, startPostgres: postgresFound }

skipUnless('what is told of real servers', servers, ({ startMemcached, startPostgres }) => {
  test('says which server failed, and never an id, a key, data, a user or a password', {
    timeout: 300_000,
  }, async () => {
    const [cache, backend] = await Promise.all([startMemcached(), startPostgres({ fsync: false })])
    const store = createSessionStore<Data>({
      cache: memcached({ servers: cache.address, operationTimeoutMs: 200 }),
      backend: postgres({ connectionString: backend.adminUrl, migrate: true, queryTimeoutMs: 2_000 }),
      identify: (data) => data['userId'] as string,
      breakerFailures: 1_000,
    })
    const told: unknown[] = []
    const hear = (message: unknown): void => void told.push(message)
    for (const name of CHANNELS) subscribe(name, hear)
    for (const name of ['fault', 'damaged', 'flush', 'abandoned', 'breaker'] as const) store.on(name, hear)
    const quietly = (work: Promise<unknown>): Promise<unknown> => work.catch(() => {})
    const data = { recognisableName: 'recognisable-value', userId: 'recognisable-user' }
    const useIt = async (): Promise<void> => {
      await quietly(store.load(ID))
      await quietly(store.update(ID, (each) => Object.assign(each, { at: performance.now() }), { durable: true }))
      await quietly(store.put(ID, data))
      await quietly(store.create(data))
    }
    try {
      await store.create(data, { id: ID })
      await useIt()
      // A user that PostgreSQL cannot keep.
      await quietly(store.create({ ...data, userId: 'recognisable-user\0' }))
      cache.pause()
      await useIt()
      cache.resume()
      await backend.kill9()
      await useIt()
      await quietly(store.destroy(ID))
      await cache.kill9()
      await useIt()
      told.push(await store.health(), store.stats())
      await store.close({ deadlineMs: 200 })
    } finally {
      for (const name of CHANNELS) unsubscribe(name, hear)
      await Promise.all([cache.stop(), backend.stop()])
    }

    const hash = createHash('sha256').update(ID).digest()
    const password = new URL(backend.adminUrl).password
    const secrets = [ID, hash.toString('hex'), hash.toString('base64url'), 'recognisable', password]
    const texts = textsIn(told)
    expect(texts.flatMap((text) => secrets.filter((secret) => text.includes(secret)).map(() => text))).toEqual([])
    expect(texts.some((text) => text.startsWith(`memcached ${cache.address} could not be asked`))).toBe(true)
    expect(texts.some((text) => text.startsWith(`postgres 127.0.0.1:${backend.port} could not be asked`))).toBe(true)
    expect(texts.some((text) => text.startsWith(`postgres 127.0.0.1:${backend.port} cannot keep a value`))).toBe(true)
  })
})
