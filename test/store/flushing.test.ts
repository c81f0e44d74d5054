import { describe, expect, test } from 'vitest'
import { SessionStoreError, type SessionStoreErrorCode } from '../../src/errors.js'
import type { FaultControls } from '../../src/testing/faulty-tier.js'
import { change, expectCode, increment, loaded, settled, world } from './world.js'

const HOUR_MS = 3_600_000
const DAY_MS = 86_400_000

/** Second by second: a call that is under way must not find its deadline passed. */
const seconds = async (runtime: { advance(ms: number): void }, count: number): Promise<void> => {
  for (let second = 0; second < count; second += 1) {
    await settled()
    runtime.advance(1_000)
  }
  await settled()
}

describe('flushing through trouble', () => {
  test('what was due while the backend was down is there within ten seconds of its return, long before maxStaleMs', async () => {
    const { process, backend, runtime, stored } = world()
    const store = process({ maxStaleCount: 2, maxStaleMs: 3_600_000 })
    const ids = await Promise.all(Array.from({ length: 40 }, async () => (await store.create({ count: 0 })).id))
    await settled()
    backend.unreachable = true
    for (const id of ids) for (let n = 0; n < 2; n += 1) await increment(store, id)
    expect(store.stats().unflushed).toBe(40)
    await seconds(runtime, 10)
    backend.unreachable = false
    await seconds(runtime, 10)
    for (const id of ids) expect(await stored(id)).toMatchObject({ session: { version: 3 } })
    expect(store.stats()).toMatchObject({ unflushed: 0, oldestUnflushedMs: 0 })
  })

  test('a backend that is down is asked ever more seldom, and by a few sessions, however many wait', async () => {
    const { process, backend, runtime } = world()
    const store = process({ maxStaleCount: 1, breakerFailures: 1_000_000 })
    const ids = await Promise.all(Array.from({ length: 100 }, async () => (await store.create({ count: 0 })).id))
    await settled()
    backend.unreachable = true
    for (const id of ids) await increment(store, id)
    const before = backend.calls.length
    await seconds(runtime, 60)
    // Sixteen sessions at a time, in a batch or two, each sent twice, every two seconds give or take a half.
    expect(backend.calls.length - before).toBeLessThan(60 * 2 * 2)
  })

  test('what falls out of a full ledger while the backend is down does not go round and round', async () => {
    const { process, backend, runtime } = world()
    const store = process({ maxUnflushed: 1 })
    const told: string[] = []
    store.on('abandoned', ({ operation }) => told.push(operation))
    const ids = await Promise.all(Array.from({ length: 3 }, async () => (await store.create({ count: 0 })).id))
    await settled()
    backend.unreachable = true
    for (const id of ids) await increment(store, id)
    const before = backend.calls.length
    await seconds(runtime, 5)
    expect(backend.calls.length - before).toBeLessThan(50)
    expect(told).toContain('flush')
  })
})

/** Every flush is met with what `make` makes. Tells how often. */
const failFlushes = (backend: FaultControls, make: () => unknown): (() => number) => {
  let met = 0
  backend.intercept = async (call, proceed) => {
    if (call !== 'update') return await proceed()
    met += 1
    throw make()
  }
  return () => met
}
const mend = (backend: FaultControls): void => {
  backend.intercept = (_call, proceed) => proceed()
}

describe('what lasts is measured by the monotonic clock', () => {
  const STEPS = [
    ['set back by an hour', -HOUR_MS],
    ['set forward by an hour', HOUR_MS],
  ] as const

  test.each(STEPS)('a change is flushed maxStaleMs after it was made, with the wall clock %s', async (_how, stepMs) => {
    const { process, runtime, stored } = world()
    const store = process({ maxStaleMs: 60_000 })
    const [before, after] = [await store.create({ count: 0 }), await store.create({ count: 0 })]
    await settled()
    await increment(store, before.id)
    runtime.stepWallClock(stepMs)
    await increment(store, after.id)
    await seconds(runtime, 59)
    for (const { id } of [before, after]) expect(await stored(id)).toMatchObject({ session: { version: 1 } })
    await seconds(runtime, 2)
    for (const { id } of [before, after]) expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats()).toMatchObject({ unflushed: 0, oldestUnflushedMs: 0 })
  })

  test.each(STEPS)('a flush that failed is tried again in seconds, with the wall clock %s', async (_how, stepMs) => {
    const { process, backend, runtime, stored } = world()
    const store = process({ maxStaleCount: 1 })
    const { id } = await store.create({ count: 0 })
    await settled()
    backend.unreachable = true
    await increment(store, id)
    await seconds(runtime, 10)
    runtime.stepWallClock(stepMs)
    backend.unreachable = false
    await seconds(runtime, 10)
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test.each(STEPS)(
    'a destroy goes on in the background with pauses that grow, with the wall clock %s',
    async (_how, stepMs) => {
      const { process, backend, runtime, stored } = world()
      const store = process({ breakerFailures: 1_000_000 })
      const { id } = await store.create({})
      await settled()
      backend.unreachable = true
      await expectCode(store.destroy(id), 'E_SESSION_UNAVAILABLE')
      await seconds(runtime, 60)
      const before = backend.calls.length
      runtime.stepWallClock(stepMs)
      await seconds(runtime, 60)
      // Two tries of two calls each and a spare one: by then the pauses are half a minute, give or take a half.
      expect(backend.calls.length - before).toBeGreaterThan(0)
      expect(backend.calls.length - before).toBeLessThanOrEqual(8)
      backend.unreachable = false
      await seconds(runtime, 46)
      expect(await stored(id)).toEqual({ state: 'destroyed' })
    },
  )

  test('a maxStaleMs of 30 days, longer than a timer of Node can wait, is waited for to the day', async () => {
    const { process, runtime, stored } = world()
    const delays: number[] = []
    const store = process({
      maxStaleMs: 30 * DAY_MS,
      absoluteTtlMs: 60 * DAY_MS,
      idleTtlMs: 60 * DAY_MS,
      runtime: {
        ...runtime,
        after: (delayMs, callback) => {
          delays.push(delayMs)
          return runtime.after(delayMs, callback)
        },
      },
    })
    const { id } = await store.create({ count: 0 })
    await settled()
    delays.length = 0
    await increment(store, id)
    for (let day = 1; day < 30; day += 1) runtime.advance(DAY_MS)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 1 } })
    const long = delays.filter((delayMs) => delayMs > DAY_MS)
    expect(long.length).toBeGreaterThan(1)
    expect(long.length).toBeLessThan(4)
    expect(Math.max(...delays)).toBeLessThan(2 ** 31)
    runtime.advance(DAY_MS)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })
})

describe('a flush by time that meets something else than an outage', () => {
  const FAULTS = [
    [
      'a table that is missing',
      () => new SessionStoreError('E_BACKEND_SCHEMA', 'it lacks the table', { applied: 'no' }),
    ],
    ['an error of a tier that may not be asked so', () => new SessionStoreError('E_CONFIG', 'not like this')],
    ['an error that nobody knows', () => new Error('of a driver')],
  ] as const

  test.each(FAULTS)(
    '%s: it is tried again, and the change reaches the backend when that is over',
    async (_what, make) => {
      const { process, backend, runtime, stored } = world()
      const store = process({ maxStaleMs: 1_000 })
      const { id } = await store.create({ count: 0 })
      await settled()
      const met = failFlushes(backend, make)
      await increment(store, id)
      await seconds(runtime, 60)
      expect(met()).toBeGreaterThan(10)
      expect(met()).toBeLessThan(200)
      expect(store.stats()).toMatchObject({ unflushed: 1 })
      expect(store.stats().oldestUnflushedMs).toBeGreaterThan(59_000)
      mend(backend)
      await seconds(runtime, 10)
      expect(await stored(id)).toMatchObject({ session: { version: 2 } })
      expect(store.stats()).toMatchObject({ unflushed: 0, oldestUnflushedMs: 0 })
    },
  )

  test.each(FAULTS)('%s: close() takes along what has not been flushed', async (_what, make) => {
    const { processWithTiers, runtime, stored } = world()
    const { store, backend } = processWithTiers({ maxStaleMs: 1_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    const met = failFlushes(backend, make)
    await increment(store, id)
    await seconds(runtime, 3)
    expect(met()).toBeGreaterThan(0)
    mend(backend)
    expect(await store.close()).toEqual({ flushed: 1, left: 0, destroysLeft: 0 })
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('a function of the application that throws is told once, and holds up no session that an outage held up', async () => {
    const { process, backend, runtime, stored } = world()
    let isBroken = false
    const identify = (data: Record<string, unknown>): string | undefined => {
      if (isBroken && data['bad'] === true) throw new TypeError('of the application')
      return undefined
    }
    const store = process({ maxStaleMs: 1_000, identify })
    const told: string[] = []
    store.on('fault', ({ tier, operation }) => {
      if (tier === 'the session store') told.push(operation)
    })
    // More of them than are tried at a time.
    const bad = await Promise.all(Array.from({ length: 400 }, async () => (await store.create({ bad: true })).id))
    const good = await Promise.all(Array.from({ length: 20 }, async () => (await store.create({ count: 0 })).id))
    await settled()
    for (const id of bad) await increment(store, id)
    isBroken = true
    await seconds(runtime, 10)
    expect(told).toEqual(bad.map(() => 'flush'))

    for (const id of good) await increment(store, id)
    backend.unreachable = true
    await seconds(runtime, 30)
    backend.unreachable = false
    await seconds(runtime, 10)
    for (const id of good) expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats().unflushed).toBe(400)
    expect(told).toHaveLength(400)

    isBroken = false
    await seconds(runtime, 60)
    for (const id of bad) expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats().unflushed).toBe(0)
  })
})

describe('a session that can never be flushed as it stands', () => {
  const CODES: readonly SessionStoreErrorCode[] = ['E_SESSION_DATA', 'E_SESSION_TOO_LARGE', 'E_SESSION_FORMAT']

  /** A bad and a good session; the bad one was changed, and the backend does not take it. */
  const withABadOne = async (code: SessionStoreErrorCode) => {
    const here = world()
    const { store, backend, cache } = here.processWithTiers({ maxStaleCount: 100, maxStaleMs: 1_000 })
    const abandoned: string[] = []
    store.on('abandoned', ({ operation, error }) => abandoned.push(`${operation} ${error.code}`))
    const [bad, good] = [await store.create({ count: 0 }), await store.create({ count: 0 })]
    await settled()
    const refused: string[] = []
    backend.intercept = async (call, proceed) => {
      const row = await here.stored(bad.id)
      const isBad = call === 'update' && row.state === 'live' && row.session.version === 1
      if (!isBad || (await here.cached(bad.id))?.kind !== 'live') return await proceed()
      refused.push(call)
      throw new SessionStoreError(code, 'The backend cannot keep this value', { applied: 'no' })
    }
    await increment(store, bad.id)
    await seconds(here.runtime, 3)
    return { ...here, store, backend, cache, abandoned, refused, bad: bad.id, good: good.id }
  }

  test.each(CODES)(
    '%s: it is told as abandoned once, and stays counted, also in the report of close()',
    async (code) => {
      const { store, runtime, abandoned, refused } = await withABadOne(code)
      await seconds(runtime, 600)
      expect(refused).toHaveLength(1)
      expect(abandoned).toEqual([`flush ${code}`])
      expect(store.stats().unflushed).toBe(1)
      expect(store.stats().oldestUnflushedMs).toBeGreaterThan(600_000)
      expect(await store.close()).toEqual({ flushed: 0, left: 1, destroysLeft: 0 })
      expect(abandoned).toEqual([`flush ${code}`, 'drain E_SESSION_UNAVAILABLE'])
    },
  )

  test('its readers do not try either, each time', async () => {
    const { store, runtime, refused, bad } = await withABadOne('E_SESSION_DATA')
    for (let minute = 0; minute < 5; minute += 1) {
      runtime.advance(60_000)
      await loaded(store, bad)
      await settled()
    }
    expect(refused).toHaveLength(1)
  })

  test('it holds up no other', async () => {
    const { store, backend, runtime, stored, good } = await withABadOne('E_SESSION_DATA')
    mend(backend)
    await increment(store, good)
    await seconds(runtime, 3)
    expect(await stored(good)).toMatchObject({ session: { version: 2 } })
    expect(store.stats().unflushed).toBe(1)
  })

  test('a further change is flushed in its turn, and if that works it is left no longer', async () => {
    const { store, backend, runtime, stored, abandoned, refused, bad } = await withABadOne('E_SESSION_DATA')
    await increment(store, bad)
    await seconds(runtime, 3)
    expect(refused).toHaveLength(2)
    expect(abandoned).toEqual(['flush E_SESSION_DATA'])
    expect(store.stats().unflushed).toBe(1)

    mend(backend)
    await increment(store, bad)
    await seconds(runtime, 3)
    expect(await stored(bad)).toMatchObject({ session: { version: 4 } })
    expect(store.stats().unflushed).toBe(0)
  })

  test('what was changed while its flush was under way is flushed all the same', async () => {
    const { process, backend, runtime, stored } = world()
    const store = process({ maxStaleCount: 100, maxStaleMs: 1_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    let tries = 0
    backend.intercept = async (call, proceed) => {
      if (call !== 'update') return await proceed()
      tries += 1
      if (tries > 1) return await proceed()
      await change(store, id, (data) => {
        data['mended'] = true
      })
      throw new SessionStoreError('E_SESSION_DATA', 'The backend cannot keep this value', { applied: 'no' })
    }
    await increment(store, id)
    await seconds(runtime, 5)
    expect(await stored(id)).toMatchObject({ session: { version: 3 } })
    expect(store.stats().unflushed).toBe(0)
  })
})
