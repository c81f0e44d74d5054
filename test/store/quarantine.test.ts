import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { calls, change, expectCode, increment, loaded, settled, world } from './world.js'

describe('a cache server that comes back from an outage with its old contents', () => {
  test('a session that was destroyed meanwhile is not served again, by any process that noticed the outage', async () => {
    const { process, processWithTiers, cache, cached } = world()
    const store = process()
    const other = processWithTiers()
    const { id } = await store.create({ userId: 'alice' })
    await settled()
    cache.unreachable = other.cache.unreachable = true
    await loaded(other.store, id)
    expect(await store.destroy(id)).toEqual({ cache: 'unreachable' })
    cache.unreachable = other.cache.unreachable = false
    expect(await cached(id)).toMatchObject({ kind: 'live' })

    expect(await other.store.load(id)).toBeUndefined()
    expect(await cached(id)).toMatchObject({ kind: 'tombstone' })
    expect(await store.load(id)).toBeUndefined()
  })

  test('what was written round the cache meanwhile is what is read', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await increment(store, id)
    const session = await loaded(store, id)
    cache.unreachable = true
    session.data['count'] = 2
    await store.save(session)
    cache.unreachable = false
    expect((await loaded(store, id)).data).toEqual({ count: 2 })
    await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 3 })
  })

  test('an entry that the backend agrees with is believed, keeps its unflushed changes, and is compared once only', async () => {
    const { process, processWithTiers, cache, backend } = world()
    const store = process()
    const other = processWithTiers()
    const { id } = await store.create({ count: 0 })
    for (let n = 0; n < 5; n += 1) await increment(store, id)
    cache.unreachable = other.cache.unreachable = true
    await expect(store.load('some-other-id')).resolves.toBeUndefined()
    await expect(other.store.load('some-other-id')).resolves.toBeUndefined()
    cache.unreachable = other.cache.unreachable = false

    const before = other.backend.calls.length
    expect(await calls(backend, async () => expect((await loaded(store, id)).data).toEqual({ count: 5 }))).toEqual([
      'read',
    ])
    expect((await loaded(store, id)).data).toEqual({ count: 5 })
    expect((await loaded(other.store, id)).data).toEqual({ count: 5 })
    expect(other.backend.calls.length).toBe(before)
    expect(store.stats().quarantined).toBe(1)
  })

  test('a session made or filled after the outage is not compared', async () => {
    const { process, cache } = world()
    const store = process()
    cache.unreachable = true
    await store.load('some-id')
    cache.unreachable = false
    const { id } = await store.create({})
    await settled()
    await loaded(store, id)
    await loaded(store, id)
    expect(store.stats().quarantined).toBe(0)
  })

  test('a session that was never in the backend, on purpose, is believed', async () => {
    const { process, cache } = world()
    const store = process({ persistOn: 'due' })
    const { id } = await store.create({ count: 0 })
    await increment(store, id)
    cache.unreachable = true
    await expectCode(store.load('some-id'), 'E_SESSION_UNAVAILABLE')
    cache.unreachable = false
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('while the backend cannot be asked nobody can tell, and that is an error', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({})
    await settled()
    cache.unreachable = true
    await store.load('some-id')
    cache.unreachable = false
    backend.unreachable = true
    await expectCode(store.load(id), 'E_SESSION_UNAVAILABLE')
    backend.unreachable = false
    expect((await loaded(store, id)).data).toEqual({})
  })

  test('touches and changes do not make an entry trusted: only a fill and a check do', async () => {
    const { process, processWithTiers, runtime, cached } = world()
    const blind = process({ touchIntervalMs: 0 })
    const aware = processWithTiers()
    const { id } = await blind.create({ count: 0 })
    await settled()
    const stamp = await cached(id)
    aware.cache.unreachable = true
    await loaded(aware.store, id)
    aware.cache.unreachable = false
    runtime.advance(10_000)
    await change(blind, id, (data) => Object.assign(data, { count: 1 }))
    await blind.touch(await loaded(blind, id))
    expect(await cached(id)).toMatchObject({
      trustedAt: stamp?.kind === 'live' ? stamp.trustedAt : 'not cached',
    })
  })
})

test('a compare-and-set for which nobody had to be asked does not end an outage', async () => {
  const { process, processWithTiers, cache } = world()
  const store = process()
  const other = processWithTiers()
  const { id } = await store.create({ userId: 'alice' })
  await settled()
  const held = await loaded(other.store, id)
  cache.unreachable = other.cache.unreachable = true
  await loaded(other.store, id)
  expect(await store.destroy(id)).toEqual({ cache: 'unreachable' })
  // Its token died with its connection: that is known here, and says nothing of the server.
  other.cache.unreachable = false
  other.cache.intercept = async (call) => {
    if (call === 'cas') return { outcome: 'conflict' }
    throw tierUnavailable('memory', call, { because: 'it is away' })
  }
  held.data['n'] = 1
  await expectCode(other.store.save(held), 'E_SESSION_DESTROYED')
  other.cache.intercept = (_call, proceed) => proceed()
  expect(await other.store.load(id)).toBeUndefined()
})

describe('a session that is not durable yet, while the cache cannot be asked', () => {
  test('is an error and not "no session", and is there again afterwards', async () => {
    const { process, cache } = world()
    const store = process({ persistOn: 'due' })
    const session = await store.create({ n: 0 })
    await settled()
    cache.unreachable = true
    await expectCode(store.load(session.id), 'E_SESSION_UNAVAILABLE')
    session.data['n'] = 1
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    cache.unreachable = false
    // Its breaker has opened: once that tries the cache again, the session is there.
    await expect.poll(() => store.load(session.id).catch(() => undefined)).toMatchObject({ data: { n: 0 } })
  })

  test('is made all the same, with an id of somebody’s own and without', async () => {
    const { process, cache } = world()
    const store = process({ persistOn: 'identify' })
    cache.unreachable = true
    const { id } = await store.create({ n: 1 })
    expect((await loaded(store, id)).data).toEqual({ n: 1 })
    await store.put('of-my-own', { n: 2 })
    expect((await loaded(store, 'of-my-own')).data).toEqual({ n: 2 })
  })
})
