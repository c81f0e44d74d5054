import { describe, expect, test } from 'vitest'
import { memoryBackend } from '../../src/backends/memory/index.js'
import { memoryCache } from '../../src/caches/memory/index.js'
import type { StoreEvents } from '../../src/contract/events.js'
import type { SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { Runtime } from '../../src/index.js'
import { systemRuntime } from '../../src/runtime.js'
import type { FaultControls } from '../../src/testing/faulty-tier.js'
import { startWatch } from '../support/stopwatch.js'
import { type Data, expectCode, held, increment, loaded, settled, world } from './world.js'

const SILENT = (): Promise<never> => new Promise(() => {})

/** A process that leaves, with this many sessions changed in the cache only. */
const leavingWith = async (sessions: number) => {
  const here = world()
  const leaving = here.processWithTiers()
  const ids: string[] = []
  for (let count = 0; count < sessions; count += 1) ids.push((await leaving.store.create({ count: 0 })).id)
  await settled()
  for (const id of ids) await increment(leaving.store, id)
  return { ...here, ...leaving, id: ids[0] ?? '', ids }
}

/** How long a drain took, less what the machine withheld from it, and what it said. */
const closing = async (store: SessionStore<Data>, deadlineMs: number) => {
  const watch = startWatch()
  const report = await store.close({ deadlineMs })
  return { report, tookMs: watch() }
}

describe('a drain through trouble ends in time and says what is left', () => {
  const down = (tier: FaultControls): void => {
    tier.unreachable = true
  }
  const silent = (tier: FaultControls): void => {
    tier.intercept = SILENT
  }
  test.each([
    ['the backend refuses', 'backend', down],
    ['the backend is silent', 'backend', silent],
    ['the cache refuses', 'cache', down],
    ['the cache is silent', 'cache', silent],
  ] as const)('%s', async (_what, tier, breakIt) => {
    const leaving = await leavingWith(3)
    breakIt(leaving[tier])
    const { report, tookMs } = await closing(leaving.store, 300)
    expect(report).toEqual({ flushed: 0, left: 3, destroysLeft: 0 })
    // The tiers' own deadlines are 2 and 3 seconds.
    expect(tookMs).toBeLessThan(1_500)
    expect(leaving.store.stats().unflushed).toBe(3)
  })

  test('both tiers are silent, a call is under way, and neither wants to close', async () => {
    const leaving = await leavingWith(2)
    leaving.cache.intercept = SILENT
    leaving.backend.intercept = SILENT
    const late = leaving.store.load(leaving.id).catch((error: unknown) => error)
    const store = createSessionStore<Data>({
      cache: Object.assign(memoryCache(), { close: SILENT }),
      backend: Object.assign(memoryBackend(), { close: SILENT }),
    })
    await store.create({})
    const [one, other] = await Promise.all([closing(leaving.store, 200), closing(store, 200)])
    expect(one.report).toEqual({ flushed: 0, left: 2, destroysLeft: 0 })
    expect(other.report).toEqual({ flushed: 0, left: 0, destroysLeft: 0 })
    expect(Math.max(one.tookMs, other.tookMs)).toBeLessThan(1_500)
    leaving.runtime.advance(20_000)
    expect(await late).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
  })

  test('a tier that throws when it is closed', async () => {
    const store = createSessionStore<Data>({
      cache: Object.assign(memoryCache(), {
        close: () => {
          throw new Error('not now')
        },
      }),
      backend: memoryBackend(),
    })
    expect(await store.close()).toEqual({ flushed: 0, left: 0, destroysLeft: 0 })
  })

  test('what is left is told by an event too, for those who never see the report', async () => {
    const leaving = await leavingWith(2)
    const told: StoreEvents['abandoned'][] = []
    leaving.store.on('abandoned', (event) => told.push(event))
    leaving.backend.unreachable = true
    await expectCode(leaving.store.destroy(leaving.id), 'E_SESSION_UNAVAILABLE')
    expect(await leaving.store.close({ deadlineMs: 100 })).toMatchObject({ left: 1, destroysLeft: 1 })
    expect(told).toHaveLength(1)
    expect(told[0]).toMatchObject({
      operation: 'drain',
      error: { code: 'E_SESSION_UNAVAILABLE', message: expect.stringMatching(/1 session\b.*1 destroy\b/) },
    })
  })
})

describe('a drain uses the time it has', () => {
  test('a backend that is back in time gets what it missed, destroys too', async () => {
    const leaving = await leavingWith(4)
    leaving.backend.unreachable = true
    const [gone, ...kept] = leaving.ids
    await expectCode(leaving.store.destroy(gone ?? ''), 'E_SESSION_UNAVAILABLE')
    const closed = leaving.store.close({ deadlineMs: 10_000 })
    await new Promise((resolve) => setTimeout(resolve, 250))
    leaving.backend.unreachable = false
    expect(await closed).toEqual({ flushed: 3, left: 0, destroysLeft: 0 })
    for (const id of kept) expect(await leaving.stored(id)).toMatchObject({ session: { version: 2 } })
    expect(await leaving.stored(gone ?? '')).toEqual({ state: 'destroyed' })
  })

  test('a call that never ends holds up no flush', async () => {
    const leaving = await leavingWith(3)
    const { id } = await leaving.store.create({})
    await settled()
    const gate = held()
    leaving.backend.intercept = async (call, proceed) => {
      if (call === 'destroy') await gate.opened
      return await proceed()
    }
    void leaving.store.destroy(id).catch(() => {})
    await settled()
    expect((await closing(leaving.store, 300)).report).toEqual({ flushed: 3, left: 0, destroysLeft: 0 })
    gate.open()
  })

  test.each([
    ['a listing', (store: SessionStore<Data>): Promise<unknown> => store.list(), 10_000],
    [
      'a change',
      (store: SessionStore<Data>, id: string): Promise<unknown> => store.update(id, () => new Promise(() => {})),
      // Its deadline, twice that of a call to the backend, and what clocks may be apart.
      18_000,
    ],
  ] as const)(
    '%s that never ends is not waited for, once its caller was told and its last step is over',
    async (_what, begin, overAfterMs) => {
      const leaving = await leavingWith(1)
      leaving.backend.intercept = async (call, proceed) => await (call === 'list' ? SILENT() : proceed())
      const late = begin(leaving.store, leaving.id).catch((error: unknown) => error)
      await settled()
      leaving.runtime.advance(overAfterMs)
      await settled()
      expect(await late).toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
      // Time stands still from here on: a drain that waited would wait for ever.
      expect(await leaving.store.close({ deadlineMs: 100_000 })).toEqual({ flushed: 1, left: 0, destroysLeft: 0 })
    },
  )

  test('what nobody can read is left, and holds up no other', async () => {
    const { processWithTiers, process, plantEnvelope, cached, stored } = world()
    const leaving = processWithTiers({ identify: (data) => data['userId'] as string })
    const [bad, good] = [await leaving.store.create({ n: 0 }), await leaving.store.create({ n: 0 })]
    await settled()
    for (const { id } of [bad, good]) await increment(leaving.store, id)
    const envelope = await cached(bad.id)
    if (envelope?.kind !== 'live') throw new Error('the session is not cached')
    await plantEnvelope(bad.id, { ...envelope, codecId: 99 })
    const faults: unknown[] = []
    leaving.store.on('fault', (event) => faults.push(event))
    const { report, tookMs } = await closing(leaving.store, 10_000)
    expect(report).toEqual({ flushed: 1, left: 1, destroysLeft: 0 })
    // It does not use up its deadline in vain.
    expect(tookMs).toBeLessThan(5_000)
    expect(faults).toMatchObject([{ operation: 'drain', error: { code: 'E_SESSION_FORMAT' } }])
    expect(await stored(good.id)).toMatchObject({ session: { version: 2 } })
    await process().close()
  })

  test('thousands of sessions go out a few hundred at a time', async () => {
    const leaving = await leavingWith(600)
    let [inFlight, most] = [0, 0]
    leaving.cache.intercept = async (call, proceed) => {
      if (call !== 'get') return await proceed()
      inFlight += 1
      most = Math.max(most, inFlight)
      await new Promise((resolve) => setTimeout(resolve, 2))
      inFlight -= 1
      return await proceed()
    }
    leaving.backend.intercept = async (_call, proceed) => {
      await new Promise((resolve) => setTimeout(resolve, 5))
      return await proceed()
    }
    expect((await leaving.store.close()).flushed).toBe(600)
    expect(most).toBe(256)
    expect(leaving.backend.calls.filter((call) => call === 'update').length).toBeLessThan(20)
  })
})

describe('closing', () => {
  test('twice gives one report, whatever the second asks for, also while the first is under way', async () => {
    const leaving = await leavingWith(2)
    const first = leaving.store.close()
    const second = leaving.store.close({ deadlineMs: 0 })
    expect(await second).toBe(await first)
    expect(await leaving.store.close()).toEqual({ flushed: 2, left: 0, destroysLeft: 0 })
    await leaving.store[Symbol.asyncDispose]()
  })

  test('happens by itself where the block of an `await using` ends, also by an error', async () => {
    const { processWithTiers, stored } = world()
    const { store } = processWithTiers()
    const { id } = await store.create({ count: 0 })
    await settled()
    const useIt = async (): Promise<void> => {
      await using sessions = store
      await increment(sessions, id)
      throw new Error('of the application')
    }
    await expect(useIt()).rejects.toThrow('of the application')
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    await expectCode(store.load(id), 'E_CLOSED')
  })

  test('a deadline that is none is refused, and the store stays open', async () => {
    const { process } = world()
    const store = process()
    for (const deadlineMs of [-1, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '5' as never])
      await expectCode(store.close({ deadlineMs }), 'E_CONFIG')
    const { id } = await store.create({})
    await loaded(store, id)
  })

  test('the process is kept alive while a drain is under way, and not a moment longer', async () => {
    let holds = 0
    const runtime: Runtime = {
      ...systemRuntime,
      keepAlive: () => {
        holds += 1
        return () => {
          holds -= 1
        }
      },
    }
    const backend = memoryBackend()
    const store = createSessionStore<Data>({ runtime, cache: memoryCache(), backend })
    const { id } = await store.create({ count: 0 })
    expect(holds).toBe(0)
    await increment(store, id)
    const closed = store.close()
    expect(holds).toBe(1)
    await closed
    expect(holds).toBe(0)
  })

  test('health can still be asked for, and says that the tiers are closed', async () => {
    const store = createSessionStore<Data>({ cache: memoryCache(), backend: memoryBackend() })
    await store.close()
    expect(await store.health()).toMatchObject({ state: 'down' })
  })
})
