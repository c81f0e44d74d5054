import { describe, expect, test } from 'vitest'
import type { StoreEvents } from '../../src/contract/events.js'
import type { BreakerState } from '../../src/contract/health.js'
import { breaker, type Report } from '../../src/store/tiers/breaker.js'
import { movableRuntime } from '../../src/testing/movable-runtime.js'
import { calls, expectCode, held, loaded, settled, world } from './world.js'

const FAILURES = 3
const OPEN_MS = 10_000
/** Longer than it stays open with the jitter that these tests give it. */
const SURELY_MS = OPEN_MS + 1

const made = () => {
  const runtime = { ...movableRuntime(), random: () => 0.5 }
  const changes: BreakerState[] = []
  const one = breaker({ runtime, failures: FAILURES, openMs: OPEN_MS, onChange: (state) => changes.push(state) })
  const admitted = (): Report => {
    const report = one.admit()
    if (report === undefined) throw new Error('it let no call through')
    return report
  }
  const fail = (times: number): void => {
    for (let count = 0; count < times; count += 1) admitted()('failed')
  }
  return { runtime, one, changes, admitted, fail }
}

describe('A circuit breaker', () => {
  test('lets every call through while calls are answered, and bears fewer failures than it was told', () => {
    const { one, changes, admitted, fail } = made()
    for (let round = 0; round < 5; round += 1) {
      fail(FAILURES - 1)
      admitted()('answered')
    }
    expect(one.state).toBe('closed')
    expect(changes).toEqual([])
  })

  test('opens at so many failures in a row, and lets nothing through for half its time at least', () => {
    const { one, runtime, fail } = made()
    fail(FAILURES)
    expect(one.state).toBe('open')
    expect(one.admit()).toBeUndefined()
    runtime.advance(OPEN_MS / 2 - 1_000)
    expect(one.admit()).toBeUndefined()
  })

  test('then lets one call through, alone, whose answer closes it', () => {
    const { one, runtime, changes, admitted, fail } = made()
    fail(FAILURES)
    runtime.advance(SURELY_MS)
    const probe = admitted()
    expect(one.state).toBe('half-open')
    expect(one.admit()).toBeUndefined()
    probe('answered')
    expect(one.state).toBe('closed')
    expect(one.admit()).toBeDefined()
    expect(changes).toEqual(['open', 'half-open', 'closed'])
  })

  test('opens again for as long where that call fails too, however many failures it bore before', () => {
    const { one, runtime, admitted, fail } = made()
    fail(FAILURES)
    runtime.advance(SURELY_MS)
    admitted()('failed')
    expect(one.state).toBe('open')
    runtime.advance(OPEN_MS / 2 - 1_000)
    expect(one.admit()).toBeUndefined()
    runtime.advance(SURELY_MS)
    admitted()('answered')
    expect(one.state).toBe('closed')
  })

  test('forgets what it knew when nobody asked for as long again, and then bears no failure at all', () => {
    const { one, runtime, changes, admitted, fail } = made()
    fail(FAILURES)
    runtime.advance(2 * OPEN_MS + 1)
    const [first, second] = [admitted(), admitted()]
    expect(one.state).toBe('closed')
    first('failed')
    expect(one.state).toBe('open')
    second('failed')
    expect(changes).toEqual(['open', 'closed', 'open'])
  })

  test('learns nothing from a call for which nobody was asked: the next one is the probe', () => {
    const { one, runtime, admitted, fail } = made()
    fail(FAILURES - 1)
    admitted()('not asked')
    fail(1)
    expect(one.state).toBe('open')
    runtime.advance(OPEN_MS + 1)
    admitted()('not asked')
    expect(one.state).toBe('open')
    admitted()('answered')
    expect(one.state).toBe('closed')
  })

  test('a late failure of a call from before it opened decides nothing, a late answer closes it', () => {
    const { one, runtime, admitted, fail } = made()
    const [slow, slower] = [admitted(), admitted()]
    fail(FAILURES)
    runtime.advance(SURELY_MS)
    const probe = admitted()
    slow('failed')
    expect(one.state).toBe('half-open')
    slower('answered')
    expect(one.state).toBe('closed')
    probe('failed')
    fail(FAILURES - 1)
    expect(one.state).toBe('closed')
  })
})

describe('A store with a tier that does not answer', () => {
  const told = (events: StoreEvents['breaker'][]) =>
    events.map(({ tier, server, state }) => `${tier} ${server} ${state}`)

  test('asks a cache no more, goes round it at once, and is back at it when it answers', async () => {
    const { process, cache, runtime } = world()
    const store = process({ breakerFailures: 3, cacheRetryMs: 60_000 })
    const events: StoreEvents['breaker'][] = []
    store.on('breaker', (event) => events.push(event))
    const { id } = await store.create({ n: 1 })
    await settled()
    cache.unreachable = true
    for (let count = 0; count < 3; count += 1) await loaded(store, id)
    expect(await calls(cache, () => loaded(store, id))).toEqual([])
    expect(told(events)).toEqual(['memory memory open'])
    expect(await store.health()).toMatchObject({ cache: { breaker: 'open' } })

    cache.unreachable = false
    expect(await calls(cache, () => loaded(store, id))).toEqual([])
    runtime.advance(120_000)
    expect(await calls(cache, () => loaded(store, id))).toContain('get')
    expect(told(events).at(-1)).toEqual('memory memory closed')
  })

  test('fails at once what only the backend can answer, and serves what the cache has', async () => {
    const { process, backend } = world()
    const store = process({ breakerFailures: 3, backendRetryMs: 60_000 })
    const { id } = await store.create({ n: 1 })
    await settled()
    backend.unreachable = true
    for (let count = 0; count < 3; count += 1) await expectCode(store.load(`unknown-${count}`), 'E_SESSION_UNAVAILABLE')
    const asked = await calls(backend, () => expectCode(store.load('unknown'), 'E_SESSION_UNAVAILABLE'))
    expect(asked).toEqual([])
    expect((await loaded(store, id)).data).toEqual({ n: 1 })
    await expect(store.destroy(id)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
  })

  test('a backend that refuses what it is asked is no backend that is down', async () => {
    const { process, backend } = world()
    const store = process({ breakerFailures: 1 })
    const session = await store.create({ n: 1 })
    for (let count = 0; count < 5; count += 1)
      await expectCode(store.create({}, { id: session.id }), 'E_SESSION_CONFLICT')
    expect(await calls(backend, () => store.create({}))).toEqual(['insert'])
  })

  test('a slow backend holds up nobody whom the cache can answer', async () => {
    const { process, backend } = world()
    const store = process({ maxBackendReads: 1 })
    const { id } = await store.create({ n: 1 })
    await settled()
    const gate = held()
    backend.intercept = async (_call, proceed) => {
      await gate.opened
      return await proceed()
    }
    const cold = [store.load('cold-1'), store.load('cold-2')]
    const session = await loaded(store, id)
    session.data['n'] = 2
    expect(await store.save(session)).toMatchObject({ durability: 'cache' })
    gate.open()
    expect(await Promise.all(cold)).toEqual([undefined, undefined])
  })
})
