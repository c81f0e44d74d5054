import { describe, expect, test } from 'vitest'
import { SessionStoreError } from '../../src/errors.js'
import { change, increment, settled, world } from './world.js'

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

  test('one session that can never be flushed is told as abandoned, and holds up no other', async () => {
    const { process, backend, runtime, stored } = world()
    const store = process({ maxStaleCount: 100, maxStaleMs: 1_000 })
    const abandoned: string[] = []
    store.on('abandoned', ({ operation, error }) => abandoned.push(`${operation} ${error.code}`))
    const [bad, good] = [await store.create({ count: 0 }), await store.create({ count: 0 })]
    await settled()
    backend.intercept = async (call, proceed) => {
      if (call !== 'update') return await proceed()
      throw new SessionStoreError('E_SESSION_DATA', 'The backend cannot keep this value', { applied: 'no' })
    }
    await change(store, bad.id, (data) => {
      data['user'] = 'somebody\0'
    }).catch(() => {})
    await increment(store, bad.id)
    await seconds(runtime, 3)
    backend.intercept = (_call, proceed) => proceed()
    await increment(store, good.id)
    await seconds(runtime, 3)
    expect(abandoned).toEqual(['flush E_SESSION_DATA'])
    expect(await stored(good.id)).toMatchObject({ session: { version: 2 } })
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
