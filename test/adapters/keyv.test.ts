import { keyvIteratorTests, default as keyvTestSuite } from '@keyv/test-suite'
import Keyv5 from 'keyv'
import { Keyv as Keyv6 } from 'keyv6'
import * as vitest from 'vitest'
import type { KeysOptions } from '../../src/adapters/keys-options.js'
import { NonstickKeyv, NonstickKeyv5 } from '../../src/adapters/keyv.js'
import { postgres } from '../../src/backends/postgres/index.js'
import { memcached } from '../../src/caches/memcached/index.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { world } from '../store/world.js'
import { type FreshSchema, freshSchema, sharedMemcached, sharedPostgres, skipUnless } from '../support/servers.js'

const { afterAll, beforeAll, describe, expect, test } = vitest
const TEN_YEARS_MS = 3_650 * 86_400_000

const [cacheFound, postgresFound] = [await sharedMemcached(), await sharedPostgres()]
const servers =
  cacheFound.kind === 'absent'
    ? cacheFound
    : postgresFound.kind === 'absent'
      ? postgresFound
      : { cache: cacheFound, shared: postgresFound }

skipUnless('Keyv on Memcached and PostgreSQL', servers, ({ cache, shared }) => {
  let place: FreshSchema
  let sessions: SessionStore<unknown>
  beforeAll(async () => {
    place = await freshSchema(shared)
    sessions = createSessionStore<unknown>({
      cache: memcached({ servers: cache.address }),
      backend: postgres({ connectionString: place.connectionString, schema: place.schema, migrate: true }),
      namespace: cache.namespace,
      absoluteTtlMs: TEN_YEARS_MS,
      idleTtlMs: TEN_YEARS_MS,
    })
    await sessions.ready()
  })
  afterAll(async () => {
    await sessions.close()
    await place.drop()
  })

  describe('its published suite passes on Keyv 5', () => {
    const store = (): NonstickKeyv5 => new NonstickKeyv5({ sessions })
    keyvTestSuite(vitest, Keyv5, store as never)
    keyvIteratorTests(vitest, Keyv5, store as never)
  })

  describe('its published suite passes on Keyv 6, told what Keyv 6 says in other words', () => {
    const store = (): NonstickKeyv => Object.assign(new NonstickKeyv({ sessions }), { opts: {} })
    keyvTestSuite(vitest, Keyv6InOldWords as never, store as never)
    keyvIteratorTests(vitest, Keyv6InOldWords as never, store as never)
  })

  describe('its published suite passes on Keyv 6 with the adapter for Keyv 5', () => {
    const store = (): NonstickKeyv5 => new NonstickKeyv5({ sessions })
    keyvTestSuite(vitest, Keyv6InOldWords as never, store as never)
    keyvIteratorTests(vitest, Keyv6InOldWords as never, store as never)
  })
})

test('two Keyv with two namespaces on one adapter clear nothing of each other’s, and are told to have one each', async () => {
  const { process } = world()
  const sessions = process()
  const five = new NonstickKeyv5({ sessions })
  const [prices, users] = ['prices', 'users'].map(
    (namespace) => new Keyv5({ store: five, namespace, throwOnErrors: true }),
  )
  await prices?.set('tea', 4)
  await users?.set('ann', 1)
  const refusal = { code: 'E_CONFIG', message: expect.stringContaining('make another adapter') }
  await expect(five.clear()).rejects.toMatchObject(refusal)
  expect([await prices?.get('tea'), await users?.get('ann')]).toEqual([4, 1])
  const own = new Keyv5({ store: new NonstickKeyv5({ sessions }), namespace: 'prices' })
  await own.clear()
  expect([await prices?.get('tea'), await users?.get('ann')]).toEqual([undefined, 1])

  const six = new NonstickKeyv({ sessions })
  for (const namespace of ['prices', 'users', 'prices']) six.namespace = namespace
  await expect(six.clear()).rejects.toMatchObject(refusal)
})

describe('a key of Keyv', () => {
  /** Two processes with Keyv, and the store that they share by its tiers. */
  const processes = () => {
    const { process, runtime, cache, backend } = world()
    const sessions = process({ absoluteTtlMs: TEN_YEARS_MS })
    return { sessions, runtime, cache, backend }
  }
  const DAY_MS = 86_400_000

  test('lives as long with Keyv 5, which gives durations, as with Keyv 6, which gives moments', async () => {
    const { sessions, runtime } = processes()
    const five = new NonstickKeyv5({ sessions, runtime })
    const six = new NonstickKeyv({ sessions, runtime })
    await five.set('five', 'x', 40 * DAY_MS)
    await six.set('six', 'x', runtime.now() + 40 * DAY_MS)
    runtime.advance(40 * DAY_MS - 1)
    expect(await five.getMany(['five', 'six'])).toEqual(['x', 'x'])
    runtime.advance(1)
    expect(await six.getMany(['five', 'six'])).toEqual([undefined, undefined])
    expect(await six.hasMany(['five', 'six'])).toEqual([false, false])
  })

  test('is refused by the adapter of the other version as soon as it is given an end', async () => {
    const { sessions, runtime } = processes()
    await expect(new NonstickKeyv5({ sessions, runtime }).set('k', 1, runtime.now() + 1_000)).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringContaining('NonstickKeyv`'),
    })
    await expect(new NonstickKeyv({ sessions, runtime }).set('k', 1, 1_000)).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringContaining('NonstickKeyv5'),
    })
  })

  test('is an error where the store is down: of Keyv 5 with `throwOnErrors`, and as an event of Keyv 6', async () => {
    const { sessions, runtime, cache, backend } = processes()
    const five = new Keyv5({ store: new NonstickKeyv5({ sessions, runtime }), throwOnErrors: true })
    const six = new Keyv6({ store: new NonstickKeyv({ sessions, runtime }) })
    cache.unreachable = true
    backend.unreachable = true
    await expect(five.get('k')).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    const told: unknown[] = []
    six.on('error', (error: unknown) => told.push(error))
    expect(await six.set('k', 1)).toBe(false)
    expect(told).toMatchObject([{ code: 'E_SESSION_UNAVAILABLE' }])
  })

  test('outlives Keyv where the store was given, and closes it with `disconnect` where it was made here', async () => {
    const { sessions, runtime } = processes()
    const keyv = new Keyv5({ store: new NonstickKeyv5({ sessions, runtime }) })
    await keyv.set('k', 1)
    await keyv.disconnect()
    expect(await sessions.count()).toBe(1)
    const own = new NonstickKeyv()
    await own.set('k', 1)
    await own.disconnect()
    await expect(own.get('k')).rejects.toMatchObject({ code: 'E_CLOSED' })
  })
})

test('an option that means nothing for keys, or that nobody knows, is named', () => {
  const refused = (options: object): string => {
    try {
      new NonstickKeyv(options as KeysOptions)
    } catch (error) {
      return (error as Error).message
    }
    return 'nothing'
  }
  expect(refused({ identify: () => 'ann' })).toContain('`identify` to be left out')
  expect(refused({ idleTtlMs: 1_000 })).toContain('`idleTtlMs` to be left out, got a number')
  expect(refused({ prefix: 'a:b' })).toContain('`prefix` to be 1 to 64 letters')
  expect(refused({ sessions: {} })).toContain('`sessions` to be a session store')
  expect(refused({ sessions: createSessionStore(), cache: 1 })).toContain('`cache` to be left to the store')
  expect(refused({ namspace: 'x' })).toContain('namespace')
  expect(refused(createSessionStore())).toContain('it is a session store, which is given as `sessions`')
})

/** Keyv 6, for a suite that expects of several deletions the answer of Keyv 5. */
class Keyv6InOldWords extends Keyv6 {
  override async delete(key: string | string[]): Promise<never> {
    const deleted: boolean | boolean[] = await super.delete(key as string)
    return (Array.isArray(deleted) ? (deleted as boolean[]).every(Boolean) : deleted) as never
  }
}
