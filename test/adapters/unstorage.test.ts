import { createStorage, type Driver, restoreSnapshot, type Storage, snapshot } from 'unstorage'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import nonstickDriver, { type UnstorageOptions } from '../../src/adapters/unstorage.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import { world } from '../store/world.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../support/servers.js'

const [cacheFound, postgresFound] = [await sharedMemcached(), await sharedPostgres()]
const servers =
  cacheFound.kind === 'absent'
    ? cacheFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { cache: cacheFound, shared: postgresFound }

const sorted = async (keys: Promise<string[]>): Promise<string[]> => (await keys).sort()

skipUnless('what unstorage asks of each of its drivers, on Memcached and PostgreSQL', servers, ({ cache, shared }) => {
  let place: FreshSchema
  let driver: Driver
  let storage: Storage
  beforeAll(async () => {
    place = await freshSchema(shared)
    driver = nonstickDriver({
      cache: memcached({ servers: cache.address }),
      backend: postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }),
      namespace: cache.namespace,
    })
    storage = createStorage({ driver })
  })
  afterAll(async () => {
    await storage.dispose()
    // Twice is fine.
    await driver.dispose?.()
    await place.drop()
  })
  afterEach(async () => await storage.clear())

  test('a snapshot can be put back', async () => {
    await restoreSnapshot(storage as never, { initial: 'works' })
    expect(await storage.getItem('initial')).toBe('works')
    expect(await snapshot(storage, '')).toEqual({ initial: 'works' })
  })

  test('at first nothing is there', async () => {
    expect(await storage.hasItem('one:a')).toBe(false)
    expect(await storage.getItem('two:a')).toBeNull()
    expect(await storage.getItemRaw('two:a')).toBeNull()
    expect(await storage.getKeys()).toEqual([])
  })

  test('what was set is there, also under a key that had a query', async () => {
    await storage.setItem('one:a', 'data')
    await storage.setItem('three:a?q=1', 'data')
    expect(await storage.hasItem('one:a')).toBe(true)
    expect(await storage.getItem('one:a')).toBe('data')
    expect(await storage.getItem('three:a?q=2')).toBe('data')
  })

  test('keys are listed, all of them or those of a base', async () => {
    for (const key of ['one:a', 'two:a', 'three:a?q=1']) await storage.setItem(key, 'data')
    expect(await sorted(storage.getKeys())).toEqual(['one:a', 'three:a', 'two:a'])
    expect(await storage.getKeys('one')).toEqual(['one:a'])
    expect(await storage.getKeys('on')).toEqual([])
  })

  test('keys are listed down to a depth', async () => {
    const keys = ['top', 'down:one', 'down:two', 'down:below:one', 'down:below:two']
    for (const key of keys) await storage.setItem(key, 'data')
    expect(await storage.getKeys(undefined, { maxDepth: 0 })).toEqual(['top'])
    expect(await sorted(storage.getKeys(undefined, { maxDepth: 1 }))).toEqual(['down:one', 'down:two', 'top'])
    expect(await sorted(storage.getKeys(undefined, { maxDepth: 2 }))).toEqual([...keys].sort())
  })

  test('objects, numbers and booleans come back as they were, and what has a toJSON as that says', async () => {
    class AsText {
      toJSON(): string {
        return 'as text'
      }
    }
    class AsObject {
      toJSON(): object {
        return { as: 'object' }
      }
    }
    const values: [string, unknown, unknown][] = [
      ['/data/object.json', { json: 'works' }, { json: 'works' }],
      ['/data/true.json', true, true],
      ['zero', 0, 0],
      ['no', false, false],
      ['text', new AsText(), 'as text'],
      ['object', new AsObject(), { as: 'object' }],
    ]
    for (const [key, value, back] of values) {
      await storage.setItem(key, value as string)
      expect(await storage.getItem(key), key).toEqual(back)
    }
  })

  test('what cannot be written as text is refused', async () => {
    class Nothing {}
    await expect(storage.setItem('bad', new Nothing() as unknown as string)).rejects.toThrow('Cannot stringify value')
    expect(await storage.hasItem('bad')).toBe(false)
  })

  test('bytes come back as they were', async () => {
    const bytes = Uint8Array.from({ length: 256 }, (_, byte) => byte)
    await storage.setItemRaw('/data/raw.bin', bytes)
    const back = await storage.getItemRaw<Uint8Array>('/data/raw.bin')
    expect(Uint8Array.from(back ?? [])).toEqual(bytes)
  })

  test('several items are set and read at once', async () => {
    await storage.setItems([1, 2, 3].map((number) => ({ key: `t:${number}`, value: `data ${number}` })))
    expect(await storage.getItems([{ key: 't:1' }, 't:3?q=1', 't:4'])).toEqual([
      { key: 't:1', value: 'data 1' },
      { key: 't:3', value: 'data 3' },
      { key: 't:4', value: null },
    ])
  })

  test('what was removed is gone, and can be set again at once', async () => {
    for (let round = 0; round < 3; round += 1) {
      await storage.setItem('one:a', `round ${round}`)
      expect(await storage.getItem('one:a')).toBe(`round ${round}`)
      await storage.removeItem('one:a')
      expect(await storage.hasItem('one:a')).toBe(false)
      expect(await storage.getItem('one:a')).toBeNull()
    }
  })

  test('what was described is described until that is removed as well', async () => {
    await storage.setItem('one:a', 'data')
    await storage.setMeta('one:a', { note: 'x' })
    expect(await storage.getMeta('one:a')).toMatchObject({ note: 'x' })
    await storage.removeItem('one:a', { removeMeta: true })
    expect(await storage.getMeta('one:a')).toEqual({})
  })

  test('clearing removes all, or what is below a base, also where nothing is', async () => {
    await storage.clear()
    for (const key of ['one:a', 'one:b', 'two:a']) await storage.setItem(key, 'data')
    await driver.clear?.('one:', {})
    expect(await storage.getKeys()).toEqual(['two:a'])
    await storage.clear()
    expect(await storage.getKeys()).toEqual([])
  })
})

describe('an item', () => {
  const storages = () => {
    const { process, runtime } = world()
    const sessions = process()
    const storage = (options: object = {}): Storage =>
      createStorage({ driver: nonstickDriver({ sessions, runtime, ...options } as UnstorageOptions) })
    return { storage, runtime, sessions }
  }

  test('lives for the seconds that it is given, and else for those of the driver', async () => {
    const { storage, runtime } = storages()
    const [one, short] = [storage(), storage({ ttl: 60 })]
    await one.setItem('a', 1, { ttl: 120 })
    await one.setItem('b', 1)
    await short.setItem('c', 1)
    await short.setItemRaw('d', new Uint8Array(1), { ttl: 120 })
    runtime.advance(60_000)
    expect(await sorted(one.getKeys())).toEqual(['a', 'b', 'd'])
    runtime.advance(60_000)
    expect(await one.getKeys()).toEqual(['b'])
  })

  test('of a mount, or of a driver with another prefix, is its own', async () => {
    const { storage, sessions, runtime } = storages()
    const one = storage()
    one.mount('cache', nonstickDriver({ sessions, runtime, prefix: 'cache' }))
    await one.setItem('a', 'outside')
    await one.setItem('cache:a', 'inside')
    expect(await sorted(one.getKeys())).toEqual(['a', 'cache:a'])
    await one.clear('cache')
    expect(await one.getKeys()).toEqual(['a'])
  })

  test('is not written where its time is no number', async () => {
    const { storage } = storages()
    await expect(storage().setItem('a', 1, { ttl: 'soon' })).rejects.toMatchObject({ code: 'E_CONFIG' })
    expect(() => nonstickDriver({ ttl: 0.5 })).toThrow('`ttl` to be a whole number')
  })
})

describe('a driver that is named in a configuration', () => {
  /** With these variables of ours, and no others. */
  const withEnv = async (env: Record<string, string>, work: () => Promise<void>): Promise<void> => {
    const before = { ...process.env }
    for (const name of Object.keys(process.env))
      if (name.startsWith('NONSTICK_') || name === 'DATABASE_URL') delete process.env[name]
    Object.assign(process.env, env)
    try {
      await work()
    } finally {
      for (const name of Object.keys(env)) delete process.env[name]
      Object.assign(process.env, before)
    }
  }

  test('takes its tiers from the environment, and none of what that says of sessions', async () => {
    const env = {
      NONSTICK_CACHE: 'memory',
      NONSTICK_BACKEND: 'memory',
      NONSTICK_NAMESPACE: 'shop',
      NONSTICK_APP: 'shop',
      NONSTICK_IDLE_TTL_MS: '5s',
    }
    await withEnv(env, async () => {
      const storage = createStorage({ driver: nonstickDriver({ namespace: 'items' }) })
      await storage.setItem('a', 1)
      expect(await storage.getItem('a')).toBe(1)
      const sessions = await nonstickInstance(storage)
      const [entry] = await sessions.list()
      expect(entry?.app).toBe('')
      expect(entry?.idleTtlMs).toBeGreaterThan(10 ** 11)
      await storage.dispose()
      await expect(storage.getItem('a')).rejects.toMatchObject({ code: 'E_CLOSED' })
    })
  })

  test('rejects the first call where nobody names a tier', async () => {
    await withEnv({}, async () => {
      await expect(createStorage({ driver: nonstickDriver() }).getItem('a')).rejects.toMatchObject({
        code: 'E_CONFIG',
        message: expect.stringContaining('NONSTICK_CACHE'),
      })
    })
  })
})

const nonstickInstance = async (storage: Storage) =>
  await (storage.getMount().driver as unknown as ReturnType<typeof nonstickDriver>).getInstance()
