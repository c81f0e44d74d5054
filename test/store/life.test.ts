import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { generateSessionId } from '../../src/index.js'
import {
  calls,
  change,
  type Data,
  expectCode,
  held,
  increment,
  loaded,
  loseOneAnswer,
  settled,
  world,
} from './world.js'

const DAY_MS = 86_400_000

describe('creating a session', () => {
  test('a created session is in the backend when it resolves, and in the cache soon after', async () => {
    const { process, stored, cached } = world()
    const { id } = await process().create({ cart: [] })
    expect(await stored(id)).toMatchObject({ state: 'live', session: { version: 1 } })
    await settled()
    expect(await cached(id)).toMatchObject({ kind: 'live', version: 1, durableVersion: 1 })
  })

  test('an id of nonstick’s own carries the month of its birth and never repeats', async () => {
    const { process } = world()
    const store = process()
    const ids = await Promise.all(Array.from({ length: 100 }, async () => (await store.create({})).id))
    expect(new Set(ids).size).toBe(100)
    for (const id of ids) expect(id).toMatch(/^2611[A-Za-z0-9_-]{43}$/)
    expect(generateSessionId()).toMatch(/^\d{4}[A-Za-z0-9_-]{43}$/)
  })

  test('a foreign id may be given, and a taken one is refused', async () => {
    const { process } = world()
    const store = process()
    await store.create({ a: 1 }, { id: 'a-framework’s own id' })
    await expectCode(store.create({ a: 2 }, { id: 'a-framework’s own id' }), 'E_SESSION_CONFLICT')
    expect((await loaded(store, 'a-framework’s own id')).data).toEqual({ a: 1 })
  })

  test('an id that was destroyed is never used again', async () => {
    const { process } = world()
    const store = process()
    await store.create({}, { id: 'once' })
    await store.destroy('once')
    await expectCode(store.create({}, { id: 'once' }), 'E_SESSION_DESTROYED')
    await expectCode(store.put('once', {}), 'E_SESSION_DESTROYED')
  })

  test('with the cache unreachable a session is created all the same', async () => {
    const { process, cache } = world()
    const store = process()
    cache.unreachable = true
    const { id } = await store.create({ a: 1 })
    cache.unreachable = false
    expect((await loaded(store, id)).data).toEqual({ a: 1 })
  })

  test('a lost answer to the insert is asked again, and the session is created once', async () => {
    const { process, backend } = world()
    const store = process()
    loseOneAnswer(backend, 'insert')
    const { id } = await store.create({ a: 1 })
    expect((await loaded(store, id)).data).toEqual({ a: 1 })
  })

  test.each(['create', 'due'] as const)(
    'a session that is destroyed while it is still being created does not come back (persistOn %s)',
    async (persistOn) => {
      const { process, processWithTiers, loseCache } = world()
      const slow = processWithTiers({ persistOn })
      const other = process({ persistOn })
      const gate = held()
      slow.cache.intercept = async (call, proceed) => {
        if (call === 'add' || call === 'cas') await gate.opened
        return await proceed()
      }
      const creating = slow.store.create({ count: 0 }, { id: 'known-to-others' }).catch(() => undefined)
      await settled()
      await other.destroy('known-to-others')
      loseCache()
      gate.open()
      await creating
      await settled()
      expect(await other.load('known-to-others')).toBeUndefined()
      loseCache()
      expect(await other.load('known-to-others')).toBeUndefined()
    },
  )

  test('a session whose copy was on its way into the cache when it was destroyed does not come back', async () => {
    const { process, processWithTiers, loseCache } = world()
    const slow = processWithTiers()
    const other = process()
    const gate = held()
    slow.cache.intercept = async (call, proceed) => {
      if (call === 'cas') await gate.opened
      return await proceed()
    }
    const { id } = await slow.store.create({ count: 0 })
    await other.destroy(id)
    loseCache()
    gate.open()
    await settled()
    expect(await other.load(id)).toBeUndefined()
  })

  test('a cache that is slow to answer does not hold up a creation', async () => {
    const { process, cache } = world()
    const store = process()
    const gate = held()
    cache.intercept = async (_call, proceed) => {
      await gate.opened
      return await proceed()
    }
    const { id } = await store.create({ count: 0 })
    gate.open()
    await settled()
    expect((await loaded(store, id)).data).toEqual({ count: 0 })
  })

  test('persistOn "identify" keeps visitors out of the backend until somebody is known', async () => {
    const { process, backend, stored, loseCache } = world()
    const store = process({
      persistOn: 'identify',
      identify: (data) => data['userId'] as string | undefined,
      maxStaleCount: 2,
    })
    const { id } = await store.create({ cart: [] as string[] })
    for (let n = 0; n < 30; n += 1) await change(store, id, (data) => (data['cart'] as string[]).push('tea'))
    expect(backend.calls).toEqual([])
    await change(store, id, (data) => Object.assign(data, { userId: 'alice' }))
    expect(await stored(id)).toMatchObject({ session: { userId: 'alice', version: 32 } })
    loseCache()
    expect((await loaded(store, id)).data['cart']).toHaveLength(30)
    const known = await store.create({ userId: 'bob' })
    expect(await stored(known.id)).toMatchObject({ state: 'live' })
  })

  test.each(['create', 'identify', 'due'] as const)(
    'a durable put is in the backend when it resolves, as it was called, whether the id was new or not (persistOn %s)',
    async (persistOn) => {
      const { process, loseCache } = world()
      const store = process({
        persistOn,
        beforeSave: (data) => {
          data['saves'] = Number(data['saves'] ?? 0) + 1
          return undefined
        },
      })
      for (const n of [1, 2]) {
        const data: Data = { n }
        const putting = store.put('of-our-own', data, { durable: true })
        data['later'] = true
        await putting
        loseCache()
        expect((await loaded(process(), 'of-our-own')).data).toEqual({ n, saves: 1 })
      }
    },
  )

  test('persistOn "due" writes a session first with its maxStaleCount-th change', async () => {
    const { process, backend, stored } = world()
    const store = process({ persistOn: 'due', maxStaleCount: 5 })
    const { id } = await store.create({ count: 0 })
    for (let n = 0; n < 3; n += 1) await increment(store, id)
    expect(backend.calls).toEqual([])
    await increment(store, id)
    expect(await stored(id)).toMatchObject({ session: { version: 5 } })
  })

  test('persistOn "due" never writes a session that nobody came back to change, and one that somebody did in time', async () => {
    const { process, backend, runtime, stored } = world()
    const store = process({ persistOn: 'due', maxStaleMs: 1_000 })
    await store.create({ robot: true })
    const { id } = await store.create({ robot: false })
    await increment(store, id)
    runtime.advance(1_000)
    await settled()
    expect(backend.calls).toEqual(['insert'])
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('a deferred session that was destroyed does not come back, whatever is flushed late', async () => {
    const { process, processWithTiers, stored } = world()
    const late = processWithTiers({ persistOn: 'due', maxStaleCount: 2 })
    const other = process({ persistOn: 'due', maxStaleCount: 2 })
    const session = await late.store.create({ count: 0 })
    await settled()
    const gate = held()
    late.backend.intercept = async (call, proceed) => {
      if (call === 'insert') await gate.opened
      return await proceed()
    }
    session.data['count'] = 1
    const saving = late.store.save(session)
    await settled()
    await other.destroy(session.id)
    gate.open()
    await expectCode(saving, 'E_SESSION_DESTROYED')
    expect(await stored(session.id)).toEqual({ state: 'destroyed' })
    expect(await other.load(session.id)).toBeUndefined()
  })

  test('put creates an unknown id, and overwrites a known one whatever stands there', async () => {
    const { process } = world()
    const store = process()
    await store.put('some-id', { a: 1 })
    expect((await loaded(store, 'some-id')).data).toEqual({ a: 1 })
    await change(store, 'some-id', (data) => Object.assign(data, { b: 2 }))
    await store.put('some-id', { c: 3 })
    expect((await loaded(store, 'some-id')).data).toEqual({ c: 3 })
  })

  test('a hundred puts of one unknown id at once leave one session', async () => {
    const { process } = world()
    const stores = [process(), process()]
    await Promise.all(Array.from({ length: 100 }, (_, n) => stores[n % 2]?.put('some-id', { n })))
    expect((await loaded(stores[0] ?? process(), 'some-id')).data['n']).toBeTypeOf('number')
  })
})

describe('the end of a session', () => {
  test('an idle session ends after its idle time-out, and not before', async () => {
    const { process, runtime } = world()
    const store = process({ idleTtlMs: 10_000, touchIntervalMs: 100, touchBackendMs: 1_000 })
    const { id } = await store.create({})
    await settled()
    runtime.advance(9_999)
    expect(await store.load(id, { touch: false })).toBeDefined()
    runtime.advance(102)
    expect(await store.load(id, { touch: false })).toBeUndefined()
  })

  test('once it has ended a session does not come back from the backend while the cache remembers', async () => {
    const { process, runtime } = world()
    const store = process({ idleTtlMs: 10_000, touchIntervalMs: 100, touchBackendMs: 1_000 })
    const { id } = await store.create({})
    await settled()
    for (let ms = 10_101; ms < 14_000; ms += 500) {
      runtime.advance(ms === 10_101 ? 10_101 : 500)
      expect(await store.load(id, { touch: false })).toBeUndefined()
    }
  })

  test('a session in use lives on, and the cache is told only now and then', async () => {
    const { process, runtime } = world()
    const store = process({ idleTtlMs: 10_000, touchIntervalMs: 1_000, touchBackendMs: 5_000 })
    const { id } = await store.create({})
    await settled()
    for (let n = 0; n < 100; n += 1) {
      runtime.advance(500)
      await loaded(store, id)
      await settled()
    }
    expect(store.stats().touches).toBeLessThanOrEqual(50)
    expect(store.stats().extensions).toBeLessThanOrEqual(10)
    expect(store.stats().extensions).toBeGreaterThanOrEqual(8)
    expect(store.stats().backendWrites).toBe(1)
  })

  test('a session in use does not end by a loss of the cache', async () => {
    for (let lossAt = 1; lossAt <= 40; lossAt += 3) {
      const { process, runtime, loseCache } = world()
      const store = process({ idleTtlMs: 10_000, touchIntervalMs: 1_000, touchBackendMs: 5_000 })
      const { id } = await store.create({})
      await settled()
      for (let n = 0; n < lossAt; n += 1) {
        runtime.advance(4_900)
        await loaded(store, id)
        await settled()
      }
      loseCache()
      runtime.advance(9_900)
      await loaded(store, id)
    }
  })

  test('a session that is used just before its end lives on, also while the backend does not answer', async () => {
    const { backend, process, runtime } = world()
    const store = process({ idleTtlMs: 60_000, backendTimeoutMs: 3_000 })
    const { id } = await store.create({ cart: 1 })
    await settled()
    runtime.advance(59_900)
    backend.intercept = (call, proceed) => (call === 'extend' ? new Promise(() => {}) : proceed())
    expect(await store.load(id)).toMatchObject({ data: { cart: 1 } })
    await settled()
    runtime.advance(1_000)
    expect(await store.load(id)).toMatchObject({ data: { cart: 1 } })
  })

  test('its absolute lifetime ends a session however much it is used', async () => {
    const { process, runtime, loseCache } = world()
    const store = process({ idleTtlMs: 10_000, absoluteTtlMs: 30_000, touchIntervalMs: 100 })
    const { id } = await store.create({})
    await settled()
    for (let n = 0; n < 5; n += 1) {
      runtime.advance(5_000)
      await change(store, id, (data) => Object.assign(data, { n }))
      await settled()
    }
    runtime.advance(4_999)
    expect(await store.load(id)).toBeDefined()
    runtime.advance(1)
    expect(await store.load(id)).toBeUndefined()
    loseCache()
    expect(await store.load(id)).toBeUndefined()
  })

  test('a use is told although the mark of a flush came between', async () => {
    const { process, processWithTiers, runtime } = world()
    const options = { idleTtlMs: 10_000, touchIntervalMs: 100, touchBackendMs: 5_000, maxStaleCount: 100 }
    const other = process(options)
    const mine = processWithTiers(options)
    const { id } = await other.create({ n: 0 })
    await settled()
    await change(other, id, (data) => {
      data['n'] = 1
    })
    await change(other, id, (data) => {
      data['n'] = 2
    })
    runtime.advance(1_000)
    const theirs = await other.load(id, { touch: false })
    if (theirs === undefined) expect.fail()
    let marked = 0
    mine.cache.intercept = async (call, proceed) => {
      if (call === 'cas' && marked === 0) {
        marked += 1
        expect(await other.save(theirs, { durable: true })).toMatchObject({ changed: false, durability: 'backend' })
      }
      return await proceed()
    }
    await loaded(mine.store, id)
    await settled()
    expect(marked).toBe(1)
    expect(mine.store.stats().touches).toBe(1)
  })

  test('a touch rewrites the header alone: version, data and trust are as before', async () => {
    const { process, runtime, cached } = world()
    const store = process({ touchIntervalMs: 1_000 })
    const { id } = await store.create({ a: 1 })
    await settled()
    const before = await cached(id)
    runtime.advance(1_000)
    await store.touch(await loaded(store, id))
    const after = await cached(id)
    if (before?.kind !== 'live' || after?.kind !== 'live') throw new Error('not cached')
    const { touchedAt, expiresAt, reads, ...rest } = after
    expect(rest).toEqual((({ touchedAt: _t, expiresAt: _e, reads: _r, ...same }) => same)(before))
    expect({ touchedAt, reads }).toEqual({ touchedAt: runtime.now(), reads: 1 })
  })

  test('a touch that meets another’s write gives way', async () => {
    const { process, runtime } = world()
    const store = process({ touchIntervalMs: 1_000 })
    const { id } = await store.create({ a: 1 })
    await settled()
    runtime.advance(1_000)
    const session = await store.load(id, { touch: false })
    if (session === undefined) throw new Error('not there')
    await change(store, id, (data) => Object.assign(data, { a: 2 }))
    await store.touch(session)
    expect((await loaded(store, id)).data).toEqual({ a: 2 })
  })

  test('a session may have an idle time-out of its own, which a touch can change', async () => {
    const { process, runtime, loseCache } = world()
    const store = process({ touchIntervalMs: 0, touchBackendMs: 0 })
    const session = await store.create({}, { idleTtlMs: 5_000 })
    expect(session.idleTtlMs).toBe(5_000)
    await settled()
    runtime.advance(4_000)
    await store.touch(session, { idleTtlMs: 60_000 })
    runtime.advance(50_000)
    expect((await loaded(store, session.id)).idleTtlMs).toBe(60_000)
    await store.save(session, { durable: true })
    loseCache()
    expect((await loaded(store, session.id)).idleTtlMs).toBe(60_000)
    await expectCode(store.touch(session, { idleTtlMs: 0.5 }), 'E_CONFIG')
  })

  test('a session with a short idle time-out of its own ends in proportion, also after a loss of the cache', async () => {
    const { process, runtime, loseCache } = world()
    const store = process({ idleTtlMs: DAY_MS })
    const { id } = await store.create({}, { idleTtlMs: 300_000 })
    await settled()
    runtime.advance(299_999)
    expect(await store.load(id, { touch: false })).toBeDefined()
    runtime.advance(3_002)
    expect(await store.load(id, { touch: false })).toBeUndefined()
    loseCache()
    runtime.advance(30_001)
    expect(await store.load(id, { touch: false })).toBeUndefined()
  })
})

describe('destroying a session', () => {
  test('the cache stops giving it before the backend is told, and gets its tombstone after that', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({})
    await settled()
    const order: string[] = []
    cache.intercept = (call, proceed) => {
      order.push(`cache ${call}`)
      return proceed()
    }
    backend.intercept = (call, proceed) => {
      order.push(`backend ${call}`)
      return proceed()
    }
    expect(await store.destroy(id)).toEqual({ cache: 'tombstone' })
    expect(order).toEqual(['cache get', 'cache set', 'backend destroy', 'cache set'])
  })

  test('destroying what is not there, or twice, succeeds', async () => {
    const { process } = world()
    const store = process()
    expect(await store.destroy('never-seen')).toEqual({ cache: 'tombstone' })
    expect(await store.destroy('never-seen')).toEqual({ cache: 'tombstone' })
  })

  test('a fill that read the session before it was destroyed brings nothing back', async () => {
    const { process, processWithTiers, loseCache } = world()
    const slow = processWithTiers()
    const other = process()
    const { id } = await other.create({})
    await settled()
    loseCache()
    const gate = held()
    slow.backend.intercept = async (_call, proceed) => {
      const copy = await proceed()
      await gate.opened
      return copy
    }
    const loading = slow.store.load(id)
    await settled()
    await other.destroy(id)
    loseCache()
    slow.backend.intercept = (_call, proceed) => proceed()
    gate.open()
    expect(await loading).toBeUndefined()
    expect(await other.load(id)).toBeUndefined()
  })

  test('with the backend down it rejects, hides the session, and goes on until both have heard', async () => {
    const { process, backend, stored, runtime, loseCache } = world()
    const store = process()
    const { id } = await store.create({})
    await settled()
    backend.unreachable = true
    await expectCode(store.destroy(id), 'E_SESSION_UNAVAILABLE')
    expect(await store.load(id)).toBeUndefined()
    backend.unreachable = false
    runtime.advance(1_600)
    await settled()
    expect(await stored(id)).toEqual({ state: 'destroyed' })
    loseCache()
    expect(await store.load(id)).toBeUndefined()
  })

  test('with the cache unreachable it resolves saying so, and goes on until the cache has heard', async () => {
    const { process, processWithTiers, runtime } = world()
    const cutOff = processWithTiers()
    const other = process()
    const { id } = await other.create({})
    await settled()
    cutOff.cache.unreachable = true
    expect(await cutOff.store.destroy(id)).toEqual({ cache: 'unreachable' })
    cutOff.cache.unreachable = false
    runtime.advance(1_600)
    await settled()
    expect(await other.load(id)).toBeUndefined()
  })

  test('with onCacheUnreachable "reject" it rejects instead, and goes on all the same', async () => {
    const { process, cache, runtime } = world()
    const store = process({ onCacheUnreachable: 'reject' })
    const { id } = await store.create({})
    await settled()
    cache.unreachable = true
    await expectCode(store.destroy(id), 'E_SESSION_UNAVAILABLE')
    cache.unreachable = false
    runtime.advance(1_600)
    await settled()
    expect(await store.load(id)).toBeUndefined()
  })
})

describe('regenerating a session', () => {
  test('the data goes on under a new id, durable, and the old id is dead everywhere', async () => {
    const { process, loseCache, stored } = world()
    const store = process()
    const old = await store.create({ cart: ['tea'] })
    await settled()
    old.data['userId'] = 'alice'
    const fresh = await store.regenerate(old)
    expect(fresh.id).not.toBe(old.id)
    expect(fresh.data).toEqual({ cart: ['tea'], userId: 'alice' })
    expect(await store.load(old.id)).toBeUndefined()
    loseCache()
    expect(await store.load(old.id)).toBeUndefined()
    expect((await loaded(store, fresh.id)).data).toEqual({ cart: ['tea'], userId: 'alice' })
    expect(await stored(old.id)).toEqual({ state: 'destroyed' })
    await expectCode(store.save(Object.assign(old, { data: { late: true } })), 'E_SESSION_DESTROYED')
  })

  test('no acknowledged write is lost to a regeneration at the same time', async () => {
    for (let round = 0; round < 30; round += 1) {
      const { process } = world()
      const [one, other] = [process({ maxStaleCount: 3 }), process({ maxStaleCount: 3 })]
      const session = await one.create({ log: [] as number[] })
      await settled()
      const acknowledged: number[] = []
      const writer = (async () => {
        for (let n = 0; n < 5; n += 1) {
          const done = await other
            .update(session.id, (data) => (data['log'] as number[]).push(n))
            .catch(() => undefined)
          if (done !== undefined) acknowledged.push(n)
        }
      })()
      for (let turn = 0; turn < round; turn += 1) await Promise.resolve()
      const fresh = await one.regenerate(await loaded(one, session.id))
      await writer
      expect((await loaded(one, fresh.id)).data['log']).toEqual(acknowledged)
    }
  })

  test('while a session is regenerated it can be read, and a write waits to hear that it is gone', async () => {
    const { process, processWithTiers } = world()
    const other = process()
    const regenerating = processWithTiers()
    const session = await other.create({ count: 0 })
    await settled()
    const gate = held()
    regenerating.backend.intercept = async (call, proceed) => {
      if (call === 'insert') await gate.opened
      return await proceed()
    }
    const regenerated = regenerating.store.regenerate(await loaded(regenerating.store, session.id))
    await settled()

    const during = await loaded(other, session.id)
    expect(during.data).toEqual({ count: 0 })
    during.data['count'] = 1
    const saving = other.save(during)
    session.data['count'] = 2
    const savingAnOlderCopy = other.save(session)
    const refused = Promise.all([
      expectCode(saving, 'E_SESSION_DESTROYED'),
      expectCode(savingAnOlderCopy, 'E_SESSION_DESTROYED'),
    ])
    await settled()
    gate.open()
    await refused
    expect((await loaded(other, (await regenerated).id)).data).toEqual({ count: 0 })
  })

  test('a regeneration whose process died does not block writers for ever', async () => {
    const { process, runtime, cached, plantEnvelope } = world()
    const store = process({ deadlineMs: 3_000, backendTimeoutMs: 1_000, maxClockSkewMs: 500 })
    const session = await store.create({ count: 0 })
    await settled()
    const envelope = await cached(session.id)
    if (envelope?.kind !== 'live') throw new Error('not cached')
    await plantEnvelope(session.id, { ...envelope, frozen: true, version: 2, writtenAt: runtime.now() })
    expect((await loaded(store, session.id)).data).toEqual({ count: 0 })
    runtime.advance(5_500)
    await increment(store, session.id)
    await increment(store, session.id)
    expect((await loaded(store, session.id)).data).toEqual({ count: 2 })
    expect(await cached(session.id)).toMatchObject({ kind: 'live', frozen: false })
  })

  test.each(['create', 'due'] as const)(
    'a regeneration that its caller was told has failed ends nothing any more (persistOn %s)',
    async (persistOn) => {
      const { process, processWithTiers, runtime, stored } = world()
      const options = { persistOn, deadlineMs: 3_000, backendTimeoutMs: 3_000, maxClockSkewMs: 0 }
      const other = process(options)
      const regenerating = processWithTiers(options)
      const session = await other.create({ count: 0 })
      await settled()
      const gate = held()
      const sent: string[] = []
      regenerating.backend.intercept = async (call, proceed) => {
        sent.push(call)
        if (call === 'destroy') await gate.opened
        return await proceed()
      }
      const failed = expectCode(
        regenerating.store.regenerate(await loaded(regenerating.store, session.id)),
        'E_SESSION_UNAVAILABLE',
      )
      await settled()
      runtime.advance(3_000)
      await failed
      await settled()
      runtime.advance(6_000)
      await increment(other, session.id)
      gate.open()
      await settled()
      expect((await loaded(other, session.id)).data).toEqual({ count: 1 })
      expect(await stored(session.id)).toMatchObject({ state: 'live' })
      expect(await other.count(), 'no session is left under an id that nobody was told').toBe(1)
      expect(sent.filter((call) => call === 'insert').length).toBeLessThanOrEqual(2)
    },
  )

  test('a regeneration for which the backend is down gives the session back to its writers, as it was', async () => {
    const { process, processWithTiers } = world()
    const other = process()
    const regenerating = processWithTiers()
    const { id } = await other.create({ count: 0 })
    await settled()
    await increment(other, id)
    regenerating.backend.unreachable = true
    const session = await loaded(regenerating.store, id)
    session.data['userId'] = 'alice'
    await expect(regenerating.store.regenerate(session)).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      applied: 'no',
    })
    await increment(other, id)
    expect((await loaded(other, id)).data).toEqual({ count: 2 })
  })

  test('an entry that a dead regeneration froze, of a lineage that died since, does not stand in the way of writers', async () => {
    const { process, processWithTiers, runtime, plantEnvelope, cached } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const envelope = await cached(id)
    if (envelope?.kind !== 'live') throw new Error('it is not cached')
    // Frozen by a process that died; then the row was claimed round the cache, which keeps the frozen entry.
    await plantEnvelope(id, { ...envelope, frozen: true, version: envelope.version + 1 })
    const elsewhere = processWithTiers()
    elsewhere.cache.unreachable = true
    await elsewhere.store.update(id, (data) => {
      data['count'] = 1
    })
    elsewhere.backend.unreachable = true
    expect(await cached(id)).toMatchObject({ frozen: true })
    runtime.advance(60_000)
    await store.update(id, (data) => {
      data['count'] = Number(data['count']) + 1
    })
    expect((await loaded(process(), id)).data).toEqual({ count: 2 })
  })

  test('a regeneration that fails half-way gives the old session back to its writers at once', async () => {
    const { process, processWithTiers } = world()
    const other = process()
    const regenerating = processWithTiers()
    const session = await other.create({ count: 0 })
    await settled()
    regenerating.backend.intercept = async (call, proceed) => {
      if (call === 'insert') throw tierUnavailable('memory', call, { because: 'for this test', applied: 'no' })
      return await proceed()
    }
    await expectCode(
      regenerating.store.regenerate(await loaded(regenerating.store, session.id)),
      'E_SESSION_UNAVAILABLE',
    )
    await increment(other, session.id)
    expect((await loaded(other, session.id)).data).toEqual({ count: 1 })
  })

  test('a freezing whose answer was lost loses no write that another had acknowledged', async () => {
    for (const isIn of [true, false]) {
      const { process, processWithTiers } = world()
      const other = process()
      const { store, cache } = processWithTiers()
      const { id } = await other.create({ log: [] as number[] })
      await settled()
      const session = await loaded(store, id)
      let lost = false
      cache.intercept = async (call, proceed) => {
        if (call !== 'cas' || lost) return await proceed()
        lost = true
        if (isIn) await proceed()
        else await change(other, id, (data) => (data['log'] as number[]).push(1))
        throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
      }
      const fresh = await store.regenerate(session)
      expect((await loaded(other, fresh.id)).data).toEqual({ log: isIn ? [] : [1] })
      expect(await other.load(id)).toBeUndefined()
    }
  })

  test('of two regenerations at once one succeeds, and the other is told that the session is gone', async () => {
    const { process } = world()
    const [one, other] = [process(), process()]
    const { id } = await one.create({ cart: ['tea'] })
    await settled()
    const outcomes = await Promise.allSettled([
      one.regenerate(await loaded(one, id)),
      other.regenerate(await loaded(other, id)),
    ])
    const won = outcomes.filter(({ status }) => status === 'fulfilled')
    expect(won).toHaveLength(1)
    await settled()
    expect(await one.count()).toBe(1)
  })

  test('a regeneration over which the session is logged out rejects, and leaves no session behind', async () => {
    const { process, processWithTiers } = world()
    const other = process()
    const regenerating = processWithTiers()
    const { id } = await other.create({ cart: ['tea'] })
    await settled()
    regenerating.backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      // Between the new session's insert and the old one's tombstone.
      if (call === 'insert') await other.destroy(id)
      return answer
    }
    await expectCode(regenerating.store.regenerate(await loaded(regenerating.store, id)), 'E_SESSION_DESTROYED')
    await settled()
    expect(await other.count()).toBe(0)
  })

  test('a regeneration whose tombstone got no answer knows it for its own when it asks again', async () => {
    const { process, backend } = world()
    const store = process()
    const session = await store.create({ cart: ['tea'] })
    await settled()
    loseOneAnswer(backend, 'destroy')
    const fresh = await store.regenerate(session)
    expect((await loaded(store, fresh.id)).data).toEqual({ cart: ['tea'] })
    expect(await store.load(session.id)).toBeUndefined()
  })

  test('regenerating what was destroyed rejects', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({})
    await store.destroy(session.id)
    await expectCode(store.regenerate(session), 'E_SESSION_DESTROYED')
  })

  test('a visitor’s session that was never in the backend regenerates at login', async () => {
    const { process, stored } = world()
    const store = process({ persistOn: 'identify', identify: (data) => data['userId'] as string | undefined })
    const old = await store.create({ cart: ['tea'] })
    old.data['userId'] = 'alice'
    const fresh = await store.regenerate(old)
    expect(await stored(fresh.id)).toMatchObject({ session: { userId: 'alice' } })
    expect(await store.load(old.id)).toBeUndefined()
  })

  test('can be given an id and an idle time-out by the caller, and an id that is taken leaves both sessions as they are', async () => {
    const { process } = world()
    const store = process()
    const old = await store.create({ n: 1 })
    const other = await store.create({ n: 2 }, { id: 'an id that is taken' })
    await expectCode(store.regenerate(old, { id: other.id }), 'E_SESSION_CONFLICT')
    await expectCode(store.regenerate(old, { id: old.id }), 'E_SESSION_CONFLICT')
    await expectCode(store.regenerate(old, { id: '' }), 'E_INVALID_ID')
    await expectCode(store.regenerate(old, { idleTtlMs: 5 }), 'E_CONFIG')
    await settled()
    expect([(await loaded(process(), old.id)).data, (await loaded(process(), other.id)).data]).toEqual([
      { n: 1 },
      { n: 2 },
    ])
    const moved = await store.regenerate(old, { id: 'an id of the caller’s own', idleTtlMs: 5_000 })
    expect([moved.id, moved.idleTtlMs]).toEqual(['an id of the caller’s own', 5_000])
    expect((await loaded(process(), moved.id)).data).toEqual({ n: 1 })
    expect(await process().load(old.id)).toBeUndefined()
  })

  test.each(['create', 'identify', 'due'] as const)(
    'can be given an id of which the cache remembers that it was free (persistOn %s)',
    async (persistOn) => {
      const { process } = world()
      const options = { persistOn, identify: (data: Data) => data['userId'] as string | undefined }
      const [store, elsewhere] = [process(options), process(options)]
      for (const data of [{ n: 1 }, { n: 1, userId: 'alice' }]) {
        const old = await store.create({ n: 1 })
        const id = `an id of ${Object.keys(data).length} keys`
        expect(await elsewhere.load(id)).toBeUndefined() // is it free?
        await settled()
        Object.assign(old.data, data)
        await store.regenerate(old, { id })
        await settled()
        expect((await loaded(elsewhere, id)).data).toEqual(data)
      }
    },
  )

  test.each(['identify', 'due'] as const)(
    'refuses an id whose session stands in the cache alone, or was ended there (persistOn %s)',
    async (persistOn) => {
      const { process } = world()
      const options = { persistOn, identify: (data: Data) => data['userId'] as string | undefined }
      const [store, elsewhere] = [process(options), process(options)]
      const other = await elsewhere.create({ n: 2 }, { id: 'an id that is taken' })
      const old = await store.create({ n: 1 })
      await expectCode(store.regenerate(old, { id: other.id }), 'E_SESSION_CONFLICT')
      old.data['userId'] = 'alice' // a login moves the session to the backend
      const refused = store.regenerate(old, { id: other.id })
      await expect(refused).rejects.toMatchObject({ code: 'E_SESSION_CONFLICT', applied: 'no' })
      await settled()
      expect([(await loaded(store, old.id)).data, (await loaded(store, other.id)).data]).toEqual([{ n: 1 }, { n: 2 }])
      await elsewhere.destroy(other)
      await expectCode(store.regenerate(old, { id: other.id }), 'E_SESSION_CONFLICT')
      const moved = await store.regenerate(old, { id: 'an id that is free' })
      await settled()
      expect((await loaded(elsewhere, moved.id)).data).toEqual({ n: 1, userId: 'alice' })
      expect(await elsewhere.load(old.id)).toBeUndefined()
    },
  )

  test('with `isolated`, others’ changes are stored and do not come into the data, nor does a later save undo them', async () => {
    const { process } = world()
    const store = process()
    const old = await store.create({ mine: 0, theirs: 0 })
    await store.update(old.id, (data) => ({ ...data, theirs: 1 }))
    old.data['mine'] = 1
    const moved = await store.regenerate(old, { isolated: true })
    expect(moved.data).toEqual({ mine: 1, theirs: 0 })
    moved.data['mine'] = 2
    await store.save(moved)
    expect((await loaded(process(), moved.id)).data).toEqual({ mine: 2, theirs: 1 })
  })
})

describe('time', () => {
  test('a change is in the backend maxStaleMs after it was made, without another request', async () => {
    const { process, runtime, stored } = world()
    const store = process({ maxStaleMs: 60_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    await increment(store, id)
    expect(store.stats().unflushed).toBe(1)
    runtime.advance(59_999)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 1 } })
    runtime.advance(1)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats()).toMatchObject({ unflushed: 0, flushes: { time: 1 } })
  })

  test('a change made while an older one is being flushed by time is still kept in mind', async () => {
    const { process, runtime, backend, stored } = world()
    const store = process({ maxStaleMs: 60_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    await increment(store, id)
    const gate = held()
    backend.intercept = async (call, proceed) => {
      if (call === 'update') await gate.opened
      return await proceed()
    }
    runtime.advance(60_000)
    await settled()
    await increment(store, id)
    gate.open()
    await settled()
    expect(store.stats().unflushed).toBe(1)
    runtime.advance(60_000)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 3 } })
  })

  test('a session that falls out of the ledger is flushed, not forgotten', async () => {
    const { process, stored } = world()
    const store = process({ maxUnflushed: 2 })
    const ids = await Promise.all([1, 2, 3].map(async (count) => (await store.create({ count })).id))
    await settled()
    for (const id of ids) await increment(store, id)
    await settled()
    const versions = await Promise.all(ids.map(async (id) => await stored(id)))
    expect(versions.map((copy) => (copy.state === 'live' ? copy.session.version : 0))).toEqual([2, 1, 1])
  })

  test('after a drain that left nothing, losing the cache loses nothing', async () => {
    const { processWithTiers, stored } = world()
    const leaving = processWithTiers()
    const ids = await Promise.all(
      Array.from({ length: 50 }, async (_, count) => (await leaving.store.create({ count })).id),
    )
    await settled()
    for (const id of ids) await increment(leaving.store, id)
    const report = await leaving.store.close()
    expect(report).toEqual({ flushed: 50, left: 0, destroysLeft: 0 })
    expect(leaving.store.stats().flushes.drain).toBe(50)
    expect(await leaving.store.close()).toBe(report)
    await expectCode(leaving.store.load(ids[0] ?? ''), 'E_CLOSED')
    for (const id of ids) expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('a drain waits for the saves that are under way, and flushes them too', async () => {
    const { processWithTiers, stored } = world()
    const leaving = processWithTiers()
    const { id } = await leaving.store.create({ count: 0 })
    await settled()
    const gate = held()
    const session = await loaded(leaving.store, id)
    leaving.cache.intercept = async (call, proceed) => {
      if (call === 'cas') await gate.opened
      return await proceed()
    }
    session.data['count'] = 1
    const saving = leaving.store.save(session)
    const closing = leaving.store.close()
    await settled()
    gate.open()
    await saving
    expect(await closing).toEqual({ flushed: 1, left: 0, destroysLeft: 0 })
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('a flush by time that has not ended when the drain’s deadline comes is counted as left', async () => {
    const { processWithTiers, runtime } = world()
    const leaving = processWithTiers({ maxStaleMs: 60_000 })
    const { id } = await leaving.store.create({ count: 0 })
    await settled()
    await increment(leaving.store, id)
    leaving.backend.intercept = () => new Promise(() => {})
    runtime.advance(60_000)
    await settled()
    expect(await leaving.store.close({ deadlineMs: 50 })).toEqual({ flushed: 0, left: 1, destroysLeft: 0 })
  })

  test('a flush that has not ended is counted as left, though another of the same session has', async () => {
    const { processWithTiers, process, runtime } = world()
    const { store, backend } = processWithTiers({ maxStaleMs: 1_000, maxStaleCount: 100 })
    const { id } = await process().create({ count: 0 })
    await settled()
    await increment(store, id)
    const gate = held()
    let hangs = 0
    backend.intercept = async (call, proceed) => {
      if (call !== 'update') return await proceed()
      hangs += 1
      if (hangs === 1) await gate.opened
      return await proceed()
    }
    runtime.advance(1_000)
    await settled()
    // The next reader finds it overdue, and flushes it as well.
    runtime.advance(300)
    await loaded(store, id)
    await settled()
    const closed = store.close({ deadlineMs: 100 })
    expect((await closed).left).toBe(1)
    gate.open()
  })

  test('what was given up for want of room is counted as left', async () => {
    const { process, backend } = world()
    const store = process({ maxUnflushed: 1, maxStaleCount: 1 })
    const ids = await Promise.all(Array.from({ length: 3 }, async () => (await store.create({ count: 0 })).id))
    await settled()
    backend.unreachable = true
    for (const id of ids) await increment(store, id)
    expect((await store.close({ deadlineMs: 100 })).left).toBe(3)
  })

  test('a drain with the backend down ends at its deadline and says what is left', async () => {
    const { processWithTiers } = world()
    const leaving = processWithTiers()
    const { id } = await leaving.store.create({ count: 0 })
    await settled()
    await increment(leaving.store, id)
    leaving.backend.intercept = () => new Promise(() => {})
    expect(await leaving.store.close({ deadlineMs: 50 })).toEqual({ flushed: 0, left: 1, destroysLeft: 0 })
  })

  test('flushes that arrive while one is in flight go out together', async () => {
    const { process, backend } = world()
    const store = process({ maxStaleCount: 1 })
    const ids = await Promise.all(Array.from({ length: 40 }, async (_, count) => (await store.create({ count })).id))
    await settled()
    const during = await calls(backend, () => Promise.all(ids.map((id) => increment(store, id))))
    expect(during.filter((call) => call === 'update').length).toBeLessThanOrEqual(5)
    expect(store.stats().flushes.count).toBe(40)
  })
})

describe('all sessions', () => {
  test('listing, counting and destroying all keep to the namespace', async () => {
    const { process } = world()
    const [mine, theirs] = [process({ namespace: 'mine' }), process({ namespace: 'theirs' })]
    await Promise.all([mine.create({ n: 1 }), mine.create({ n: 2 }), theirs.create({ n: 3 })])
    expect(await mine.count()).toBe(2)
    const sessions = await mine.list({ data: true })
    expect(sessions.map(({ data }) => data?.['n']).sort()).toEqual([1, 2])
    const { next } = await mine.list({ limit: 1 })
    expect(await mine.list({ limit: 1, after: next ?? expect.fail() })).toHaveLength(1)
    expect((await mine.destroyAll()).destroyed).toBe(2)
    expect(await mine.count()).toBe(0)
    expect(await theirs.count()).toBe(1)
    await expectCode(mine.list({ limit: 0 }), 'E_CONFIG')
  })

  test('a session that was destroyed with all others is gone from the cache too', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({})
    await loaded(store, id)
    await store.destroyAll()
    expect(await store.load(id)).toBeUndefined()
  })
})

describe('health', () => {
  test('both tiers are asked, and one that is down makes the store degraded', async () => {
    const { process, cache, backend } = world()
    const store = process()
    expect(await store.health()).toMatchObject({ state: 'up', cache: { state: 'up' }, backend: { state: 'up' } })
    cache.unreachable = true
    expect(await store.health()).toMatchObject({ state: 'degraded', cache: { state: 'down' } })
    backend.unreachable = true
    expect(await store.health()).toMatchObject({ state: 'down' })
  })

  test('a day without use of the store leaves nothing running that keeps a process alive', async () => {
    const { process, runtime } = world()
    const store = process()
    await store.create({})
    runtime.advance(DAY_MS)
    expect(store.stats().unflushed).toBe(0)
  })
})
