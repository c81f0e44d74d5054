import { spawnSync } from 'node:child_process'
import v8 from 'node:v8'
import vm from 'node:vm'
import { describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { FrontCache } from '../../src/contract/front-cache.js'
import type { PurgeReport, SessionStore } from '../../src/contract/session-store.js'
import type { Runtime } from '../../src/contract/time.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { StoreOptions } from '../../src/store/options.js'
import type { MovableRuntime } from '../../src/testing/movable-runtime.js'
import { sampleLocator, storedSession } from '../../src/testing/stored-session.js'
import { quietRuntime } from '../support/calendar.js'
import { change, type Data, expectCode, held, loaded, settled, world } from './world.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

/** A cluster in which so many sessions have expired long ago. */
const scene = async (expired = 0, options: StoreOptions<Data> = {}) => {
  const cluster = world()
  const store = cluster.process({ idleTtlMs: HOUR_MS, absoluteTtlMs: 30 * DAY_MS, ...options })
  const ids: string[] = []
  for (let index = 0; index < expired; index += 1) ids.push((await store.create({ index })).id)
  await settled()
  if (expired > 0) cluster.runtime.advance(2 * DAY_MS)
  return { ...cluster, store, ids }
}

/** A cache of which one server is silent: the one that has these keys. */
const silentAbout = <Cache extends FrontCache>(cache: Cache, keys: ReadonlySet<string>): Cache =>
  new Proxy(cache, {
    get: (target, name) =>
      name === 'get'
        ? async (key: string) => {
            if (keys.has(key)) throw new Error('nobody answers')
            return await target.get(key)
          }
        : (Reflect.get(target, name) as unknown),
  })

describe('purge', () => {
  test('removes what has expired for a day, in batches, and tells of each', async () => {
    const { store, backend, ids, stored } = await scene(1_201)
    const young = await store.create({ young: true })
    const told: PurgeReport[] = []
    const asked: number[] = []
    backend.intercept = (call, proceed) => {
      if (call === 'purge') asked.push(told.length)
      return proceed()
    }
    expect(await store.purge({ onProgress: (soFar) => told.push(soFar) })).toEqual({
      removed: 1_201,
      inUse: 0,
      unsure: 0,
      more: false,
    })
    expect(told.map(({ removed, more }) => [removed, more])).toEqual([
      [500, true],
      [1_000, true],
      [1_201, false],
    ])
    expect(asked).toEqual([0, 1, 2])
    expect(store.stats().purged).toBe(1_201)
    expect(await stored(ids[0] ?? '')).toEqual({ state: 'absent' })
    expect((await loaded(store, young.id)).data).toEqual({ young: true })
  })

  test('removes no more than its limit, and says that there is more', async () => {
    const { store } = await scene(12)
    expect(await store.purge({ limit: 5 })).toMatchObject({ removed: 5, more: true })
    expect(await store.purge({ limit: 100 })).toMatchObject({ removed: 7, more: false })
    expect(await store.purge()).toEqual({ removed: 0, inUse: 0, unsure: 0, more: false })
  })

  test('extends a session that lives on in the cache, as the backend was away for longer than its idle time-out', async () => {
    const { store, backend, runtime, stored } = await scene()
    const { id } = await store.create({ n: 1 })
    await settled()
    backend.unreachable = true
    // Somebody uses it twice an hour for three days, and only the cache hears of it.
    for (let round = 0; round < 3 * 48; round += 1) {
      runtime.advance(HOUR_MS / 2)
      await loaded(store, id)
      await settled()
    }
    backend.unreachable = false
    runtime.advance(1_000)
    await store.count() // which closes the breaker
    const before = await stored(id)
    expect(before.state === 'live' && before.session.expiresAt < runtime.now() - 2 * DAY_MS).toBe(true)
    expect(await store.purge()).toEqual({ removed: 0, inUse: 1, unsure: 0, more: false })
    const after = await stored(id)
    expect(after.state === 'live' && after.session.expiresAt > runtime.now()).toBe(true)
    expect((await loaded(store, id)).data).toEqual({ n: 1 })
  })

  test('leaves what it cannot ask the cache about, and goes on with the rest', async () => {
    const { process, cache, backend, runtime } = world()
    const now = runtime.now()
    const locators = Array.from({ length: 620 }, () => sampleLocator({ namespace: 'nonstick' }))
    const session = storedSession({ createdAt: now, expiresAt: now + HOUR_MS })
    for (const locator of locators) await backend.insert(locator, session)
    runtime.advance(2 * DAY_MS)
    const silent = new Set(locators.slice(0, 510).map(({ key }) => key))
    const store = process({ cache: silentAbout(cache, silent), breakerFailures: 1_000_000 })
    expect(await store.purge()).toEqual({ removed: 110, inUse: 0, unsure: 510, more: false })
    for (const [index, locator] of locators.entries())
      expect((await backend.read(locator)).state).toBe(index < 510 ? 'live' : 'absent')
    // Once a session has reached its absolute end it can be in use nowhere, and nobody has to be asked.
    runtime.advance(30 * DAY_MS)
    expect(await store.purge()).toEqual({ removed: 510, inUse: 0, unsure: 0, more: false })
  })

  test('ends where it can ask about more than a thousand sessions nowhere', async () => {
    const { process, cache, backend, runtime } = world()
    const now = runtime.now()
    const locators = Array.from({ length: 2_000 }, () => sampleLocator({ namespace: 'nonstick' }))
    const session = storedSession({ createdAt: now, expiresAt: now + HOUR_MS })
    for (const locator of locators) await backend.insert(locator, session)
    runtime.advance(2 * DAY_MS)
    const store = process({ cache: silentAbout(cache, new Set(locators.map(({ key }) => key))) })
    expect(await store.purge()).toEqual({ removed: 0, inUse: 0, unsure: 1_500, more: true })
  })

  test('spares a session of another namespace for a day, as it may be in another cache', async () => {
    const { store, backend, runtime } = await scene(3)
    const other = sampleLocator({ namespace: 'other' })
    const now = runtime.now()
    await backend.insert(other, storedSession({ createdAt: now - 9 * HOUR_MS, expiresAt: now - 8 * HOUR_MS }))
    expect(await store.purge({ graceMs: 0 })).toEqual({ removed: 3, inUse: 0, unsure: 1, more: false })
    runtime.advance(DAY_MS)
    expect(await store.purge({ graceMs: 0 })).toMatchObject({ removed: 0, unsure: 1 })
    expect(await store.purge()).toMatchObject({ removed: 1, unsure: 0 })
  })

  test('that is aborted begins no further batch, and says that some may be gone', async () => {
    const { store, backend } = await scene(1_100)
    const controller = new AbortController()
    const purging = store.purge({ signal: controller.signal, onProgress: () => controller.abort() })
    await expect(purging).rejects.toMatchObject({ code: 'E_ABORTED', applied: 'unknown', operation: 'purge' })
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(backend.calls.filter((call) => call === 'purge')).toHaveLength(1)
    await expect(store.purge({ signal: AbortSignal.abort() })).rejects.toMatchObject({ applied: 'no' })
    expect(await store.purge()).toMatchObject({ removed: 600, more: false })
  })

  test('rejects with what its listener throws, and as it was closed', async () => {
    const { store, process } = await scene(600)
    const mistake = new TypeError('a mistake of the program')
    const throwing = (): never => {
      throw mistake
    }
    await expect(store.purge({ onProgress: throwing })).rejects.toBe(mistake)
    const leaving = process()
    await leaving.close()
    await expectCode(leaving.purge(), 'E_CLOSED')
  })

  test.each([{ limit: 0 }, { limit: 1.5 }, { graceMs: -1 }, { onProgress: true }, { batch: 5 }])(
    'refuses %o',
    async (options) => {
      const { store, backend } = await scene()
      await expectCode(store.purge(options as never), 'E_CONFIG')
      expect(backend.calls).not.toContain('purge')
    },
  )

  test('waits for another process whose turn it is', async () => {
    const { store, backend } = await scene(2)
    let busy = 3
    backend.intercept = (call, proceed) => {
      if (call !== 'purge' || busy === 0) return proceed()
      busy -= 1
      return Promise.resolve({ removed: 0, more: true, isBusy: true })
    }
    expect(await store.purge()).toMatchObject({ removed: 2, more: false })
  })

  test('ends where it removes nothing in many batches', async () => {
    const { store, backend } = await scene()
    backend.intercept = (call, proceed) => (call === 'purge' ? Promise.resolve({ removed: 0, more: true }) : proceed())
    expect(await store.purge()).toMatchObject({ removed: 0, more: true })
    expect(backend.calls.filter((call) => call === 'purge').length).toBeLessThan(20)
  })
})

describe('the purge that happens by itself', () => {
  const purges = (calls: readonly string[]): number => calls.filter((call) => call === 'purge').length

  /** Lets time pass, little by little as time does, until the next purge has been, and tells how much that was. */
  const nextPurge = async ({ calls }: { readonly calls: readonly string[] }, runtime: MovableRuntime) => {
    await settled()
    const before = purges(calls)
    let passedMs = 0
    for (; purges(calls) === before && passedMs < 2 * HOUR_MS; passedMs += 1_000) runtime.advance(1_000)
    await settled()
    return passedMs
  }

  test.each([['by default', {}] as const, ['as it is told', { purgeEveryMs: HOUR_MS }] as const])(
    'comes once an hour, give or take a half, %s',
    async (_how, options) => {
      const { cache, backend, runtime } = world()
      const store = createSessionStore({ cache, backend, runtime, ...options })
      await store.load('an-id')
      for (let round = 0; round < 4; round += 1) {
        const now = runtime.now()
        const expired = sampleLocator({ namespace: 'nonstick' })
        await backend.insert(expired, storedSession({ createdAt: now - 3 * DAY_MS, expiresAt: now - 2 * DAY_MS }))
        const passedMs = await nextPurge(backend, runtime)
        expect(passedMs).toBeGreaterThanOrEqual(HOUR_MS / 2)
        expect(passedMs).toBeLessThanOrEqual(1.5 * HOUR_MS + 1_000)
        expect(await backend.read(expired)).toEqual({ state: 'absent' })
      }
      await store.close()
    },
  )

  test('is switched off by 0, never begins before the first call, and ends with the store', async () => {
    const { process, backend, runtime } = world()
    const [off, unused, closed] = [process(), process({ purgeEveryMs: 1_000 }), process({ purgeEveryMs: 1_000 })]
    await off.load('an-id')
    await closed.load('an-id')
    await closed.close()
    runtime.advance(9 * HOUR_MS)
    await settled()
    expect(purges(backend.calls)).toBe(0)
    await unused.load('an-id')
    runtime.advance(1_500)
    await settled()
    expect(purges(backend.calls)).toBe(1)
  })

  test('tells of its faults and never throws, and comes again', async () => {
    const { store, backend, runtime } = await scene(0, { purgeEveryMs: 1_000 })
    const faults: unknown[] = []
    store.on('fault', ({ tier, operation, error }) => faults.push([tier, operation, error.code]))
    await store.load('an-id')
    backend.unreachable = true
    runtime.advance(1_500)
    await settled()
    expect(faults).toEqual([['memory', 'purge', 'E_SESSION_UNAVAILABLE']])
    backend.unreachable = false
    backend.intercept = (call, proceed) => (call === 'purge' ? Promise.resolve(undefined as never) : proceed())
    runtime.advance(1_500)
    await settled()
    expect(faults[1]).toEqual(['the session store', 'purge', 'E_SESSION_UNAVAILABLE'])
    backend.intercept = (_call, proceed) => proceed()
    runtime.advance(1_500)
    await settled()
    expect(faults).toHaveLength(2)
    expect(purges(backend.calls)).toBe(3)
  })

  test('is left to another process where that is purging', async () => {
    const { store, backend, runtime } = await scene(0, { purgeEveryMs: 1_000 })
    await store.load('an-id')
    backend.intercept = (call, proceed) =>
      call === 'purge' ? Promise.resolve({ removed: 0, more: true, isBusy: true }) : proceed()
    runtime.advance(1_500)
    await new Promise((resolve) => setTimeout(resolve, 300))
    expect(purges(backend.calls)).toBe(1)
  })

  test('is waited for by close, within its deadline, and begins no further batch', async () => {
    const { store, backend, runtime } = await scene(700, { purgeEveryMs: HOUR_MS })
    const before = purges(backend.calls)
    const gate = held()
    backend.intercept = async (call, proceed) => {
      if (call === 'purge') await gate.opened
      return await proceed()
    }
    await nextPurge(backend, runtime)
    let isClosed = false
    const closing = store.close().then(() => {
      isClosed = true
    })
    await settled()
    expect(isClosed).toBe(false)
    gate.open()
    await closing
    await new Promise((resolve) => setTimeout(resolve, 100))
    expect(purges(backend.calls)).toBe(before + 1)
  })

  test('does not keep a silent backend from letting the store close', async () => {
    const { store, backend, runtime } = await scene(1, { purgeEveryMs: 1_000 })
    backend.intercept = () => new Promise(() => {})
    runtime.advance(1_500)
    await settled()
    const closing = store.close({ deadlineMs: 700 })
    await settled()
    runtime.advance(700)
    expect(await closing).toEqual({ flushed: 0, left: 0, destroysLeft: 0 })
  })

  test('serves requests meanwhile, and never removes a session that is used', async () => {
    const { store, backend, ids } = await scene(600)
    const { id } = await store.create({ count: 0 })
    const purging = store.purge()
    for (let round = 0; round < 20; round += 1)
      await change(store, id, (data) => {
        data['count'] = Number(data['count']) + 1
      })
    expect(await purging).toMatchObject({ removed: 600 })
    expect((await loaded(store, id)).data).toEqual({ count: 20 })
    expect(ids).toHaveLength(600)
    expect(purges(backend.calls)).toBeGreaterThan(1)
  })

  test.each([-1, 999, 1.5, '1000', Number.NaN, 3_651 * DAY_MS])('refuses purgeEveryMs %o', (purgeEveryMs) => {
    expect(() => createSessionStore({ purgeEveryMs: purgeEveryMs as never })).toThrow('purgeEveryMs')
  })

  test('holds the process of a program neither with its timer nor with a rejection', () => {
    const program = `
      import { createSessionStore } from './src/index.ts'
      import { memoryBackend, memoryCache } from './src/memory.ts'
      const backend = memoryBackend()
      backend.purge = async () => { throw new Error('the disk is gone') }
      const sessions = createSessionStore({ cache: memoryCache(), backend, purgeEveryMs: 1_000 })
      await sessions.create({})
      await new Promise((resolve) => setTimeout(resolve, 2_200))
      console.log(sessions.stats().faults > 0 ? 'told' : 'silent')
    `
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      ['--import', 'tsx', '--input-type=module', '-e', program],
      { encoding: 'utf8', timeout: 60_000 },
    )
    expect(stderr).toContain('NONSTICK_FAULT')
    expect(stdout.trim()).toBe('told')
    expect(status).toBe(0)
  })
})

describe('a store that its program has forgotten', () => {
  v8.setFlagsFromString('--expose-gc')
  const collect = vm.runInNewContext('gc') as () => void

  /** Timers that nobody fires, and that hold what they are given as those of Node do. */
  const holding = () => {
    const timers = new Set<() => void>()
    const runtime: Runtime = {
      ...quietRuntime,
      after: (_delayMs, callback) => {
        timers.add(callback)
        return () => void timers.delete(callback)
      },
    }
    return { runtime, timers }
  }
  const isCollected = async (held: WeakRef<object>): Promise<boolean> => {
    for (let turn = 0; turn < 20; turn += 1) {
      await new Promise((resolve) => setImmediate(resolve))
      collect()
      if (held.deref() === undefined) return true
    }
    return false
  }

  /** Uses a store and forgets it. What it stood on is seen from afar: it lives for as long as any part of the store. */
  const forgotten = async (runtime: Runtime, alsoHeld: (store: SessionStore) => void): Promise<WeakRef<object>> => {
    const backend = memoryBackend({ runtime })
    const store = createSessionStore({ cache: memoryCache({ runtime }), backend, runtime })
    await store.load('an-id')
    alsoHeld(store)
    return new WeakRef(backend)
  }

  test('is garbage, although its purge is to come', async () => {
    const { runtime, timers } = holding()
    const backend = await forgotten(runtime, () => {})
    expect(timers.size).toBeGreaterThan(0)
    expect(await isCollected(backend)).toBe(true)
    for (const fire of timers) fire()
  })

  test('would be kept by a timer that holds it', async () => {
    const { runtime } = holding()
    const backend = await forgotten(runtime, (store) => void runtime.after(1, () => void store.stats()))
    expect(await isCollected(backend)).toBe(false)
  })
})
