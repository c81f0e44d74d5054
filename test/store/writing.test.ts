import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { calls, change, expectCode, held, increment, loaded, loseOneAnswer, settled, world } from './world.js'

describe('saving a session', () => {
  test('a warm save is one compare-and-set and nothing else', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    session.data['count'] = 1
    const before = backend.calls.length
    expect(await calls(cache, () => store.save(session))).toEqual(['cas'])
    expect(backend.calls.length).toBe(before)
  })

  test('every process sees what another saved', async () => {
    const { process } = world()
    const [one, other] = [process(), process()]
    const { id } = await one.create({ count: 0 })
    for (let n = 1; n <= 20; n += 1) {
      await increment(n % 2 === 0 ? one : other, id)
      expect((await loaded(n % 2 === 0 ? other : one, id)).data).toEqual({ count: n })
    }
  })

  test('a hundred changes of a session are ten writes to the backend after the one that created it', async () => {
    const { process, backend } = world()
    const store = process({ maxStaleCount: 10 })
    const { id } = await store.create({ count: 0 })
    await settled()
    const during = await calls(backend, async () => {
      for (let n = 0; n < 100; n += 1) await increment(store, id)
    })
    expect(during).toEqual(Array.from({ length: 10 }, () => 'update'))
    expect(store.stats()).toMatchObject({ backendWrites: 11, writes: 100, flushes: { create: 1, count: 10, claim: 0 } })
  })

  test.each([1, 2, 3, 10])(
    'with maxStaleCount %i, losing the cache at any moment costs fewer than that many changes',
    async (n) => {
      for (let lossAfter = 0; lossAfter <= 2 * n + 1; lossAfter += 1) {
        const { process, loseCache } = world()
        const store = process({ maxStaleCount: n })
        const { id } = await store.create({ count: 0 })
        await settled()
        for (let done = 0; done < lossAfter; done += 1) await increment(store, id)
        loseCache()
        const { data } = await loaded(store, id)
        expect(lossAfter - Number(data['count'])).toBeLessThan(n)
        expect(Number(data['count'])).toBeLessThanOrEqual(lossAfter)
      }
    },
  )

  test('the first change after a loss is written through, so that two losses do not cost twice', async () => {
    const { process, loseCache, stored } = world()
    const store = process({ maxStaleCount: 10 })
    const { id } = await store.create({ count: 0 })
    await settled()
    loseCache()
    await increment(store, id)
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats().flushes).toMatchObject({ claim: 1 })
    loseCache()
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('data equal to what was loaded is no write', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ cart: ['tea'], at: new Date(5), tags: new Set(['a']) })
    await settled()
    const session = await loaded(store, id)
    session.data['cart'] = ['tea']
    expect(await calls(cache, () => store.save(session))).toEqual([])
    expect(await store.save(session)).toEqual({ changed: false, merged: false, durability: 'backend' })
    expect(store.stats().writes).toBe(0)
  })

  test('a change inside a Map, a Set or a Date is a change', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ map: new Map([['a', 1]]), set: new Set([1]), at: new Date(0) })
    await change(store, id, (data) => (data['map'] as Map<string, number>).set('b', 2))
    await change(store, id, (data) => (data['set'] as Set<number>).add(2))
    await change(store, id, (data) => (data['at'] as Date).setTime(7))
    expect((await loaded(store, id)).data).toEqual({
      map: new Map([
        ['a', 1],
        ['b', 2],
      ]),
      set: new Set([1, 2]),
      at: new Date(7),
    })
  })

  test('one handle may be saved again and again', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    for (let n = 1; n <= 25; n += 1) {
      session.data['count'] = n
      expect((await store.save(session)).changed).toBe(true)
    }
    expect((await loaded(store, session.id)).data).toEqual({ count: 25 })
    expect(store.stats().conflicts).toBe(0)
  })

  test('a durable save is in the backend when it resolves, with everything before it', async () => {
    const { process, loseCache } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    await settled()
    session.data['count'] = 1
    expect(await store.save(session)).toMatchObject({ durability: 'cache' })
    expect(await store.save(session, { durable: true })).toEqual({
      changed: false,
      merged: false,
      durability: 'backend',
    })
    loseCache()
    expect((await loaded(store, session.id)).data).toEqual({ count: 1 })
    const again = await loaded(store, session.id)
    again.data['count'] = 2
    expect(await store.save(again, { durable: true })).toMatchObject({ changed: true, durability: 'backend' })
    loseCache()
    expect((await loaded(store, session.id)).data).toEqual({ count: 2 })
  })

  test('data that cannot be stored is refused with the offender’s path, and nothing is lost', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({ count: 1 })
    session.data['cart'] = [{ price: () => 1 }]
    await expect(store.save(session)).rejects.toMatchObject({ code: 'E_SESSION_DATA', path: 'data.cart[0].price' })
    expect((await loaded(store, session.id)).data).toEqual({ count: 1 })
    await expectCode(store.create({ f: Symbol('x') }), 'E_SESSION_DATA')
  })

  test('beforeSave may drop what cannot be stored, in place or by returning something else', async () => {
    const { process } = world()
    const store = process({
      beforeSave: ({ socket: _socket, ...rest }) => rest,
    })
    const session = await store.create({ count: 1, socket: () => {} })
    expect((await loaded(store, session.id)).data).toEqual({ count: 1 })
    session.data['count'] = 2
    session.data['socket'] = () => {}
    await store.save(session)
    expect((await loaded(store, session.id)).data).toEqual({ count: 2 })
    expect(session.data['socket']).toBeTypeOf('function')
  })

  test('a session that somebody destroyed meanwhile is not brought back by a late save', async () => {
    const { process, loseCache, stored } = world()
    const [one, other] = [process(), process()]
    const { id } = await one.create({ count: 0 })
    const late = await loaded(other, id)
    await one.destroy(id)
    late.data['count'] = 9
    await expectCode(other.save(late), 'E_SESSION_DESTROYED')
    loseCache()
    await expectCode(other.save(late), 'E_SESSION_DESTROYED')
    expect(await other.load(id)).toBeUndefined()
    expect(await stored(id)).toEqual({ state: 'destroyed' })
  })

  test('a save by a request that is older than the idle time-out brings no ended session back', async () => {
    const { process, runtime } = world()
    const store = process({ idleTtlMs: 10_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    runtime.advance(10_200)
    expect(await store.load(id)).toBeUndefined()
    session.data['count'] = 1
    await expectCode(store.save(session), 'E_SESSION_DESTROYED')
    expect(await store.load(id)).toBeUndefined()
  })

  test('an unchanged save after one that went round the cache still says that the backend has it', async () => {
    const { process, cache } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    await settled()
    cache.unreachable = true
    session.data['count'] = 1
    expect(await store.save(session)).toMatchObject({ changed: true, durability: 'backend' })
    expect(await store.save(session)).toMatchObject({ changed: false, durability: 'backend' })
  })
})

describe('changes made at the same time', () => {
  test('different keys changed by different requests all survive', async () => {
    const { process } = world()
    const stores = [process(), process(), process()]
    const { id } = await (stores[0] ?? process()).create({})
    const requests = await Promise.all(
      Array.from({ length: 30 }, async (_, n) => {
        const store = stores[n % 3] ?? process()
        return { store, session: await loaded(store, id), key: `k${n}` }
      }),
    )
    await Promise.all(
      requests.map(({ store, session, key }) => {
        session.data[key] = key
        return store.save(session)
      }),
    )
    const { data } = await loaded(stores[0] ?? process(), id)
    expect(Object.keys(data)).toHaveLength(30)
  })

  test('the saver whose change was merged holds both afterwards, and is told', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({})
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['a'] = 1
    other.data['b'] = 2
    expect(await store.save(one)).toMatchObject({ merged: false })
    expect(await store.save(other)).toMatchObject({ merged: true })
    expect(other.data).toEqual({ a: 1, b: 2 })
    expect(one.data).toEqual({ a: 1 })
    delete other.data['a']
    await store.save(other)
    expect((await loaded(store, id)).data).toEqual({ b: 2 })
  })

  test('of two changes of one key the later acknowledged one stands', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ a: 0 })
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['a'] = 1
    other.data['a'] = 2
    await store.save(one)
    await store.save(other)
    expect((await loaded(store, id)).data).toEqual({ a: 2 })
  })

  test('with conflict "reject" the second saver is told, and the first change stands', async () => {
    const { process } = world()
    const store = process({ conflict: 'reject' })
    const { id } = await store.create({})
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['a'] = 1
    other.data['b'] = 2
    await store.save(one)
    await expectCode(store.save(other), 'E_SESSION_CONFLICT')
    expect((await loaded(store, id)).data).toEqual({ a: 1 })
  })

  test('with conflict "overwrite" the second saver’s copy stands', async () => {
    const { process } = world()
    const store = process({ conflict: 'overwrite' })
    const { id } = await store.create({})
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['a'] = 1
    other.data['b'] = 2
    await store.save(one)
    await store.save(other)
    expect((await loaded(store, id)).data).toEqual({ b: 2 })
  })

  test('a conflict function decides, from three copies of its own', async () => {
    const { process } = world()
    const store = process({
      conflict: ({ base, mine, current }) => ({
        sum: [base, mine, current].reduce((sum, { n }) => sum + Number(n), 0),
      }),
    })
    const { id } = await store.create({ n: 1 })
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['n'] = 10
    other.data['n'] = 100
    await store.save(one)
    await store.save(other)
    expect((await loaded(store, id)).data).toEqual({ sum: 111 })
  })

  test('a merge never crosses a change of user: Alice’s cart does not land in Bob’s session', async () => {
    const { process } = world()
    const store = process({ identify: (data) => data['userId'] as string | undefined })
    const { id } = await store.create({ userId: 'alice' })
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['userId'] = 'bob'
    other.data['cart'] = ['alice’s']
    await store.save(one)
    await expectCode(store.save(other), 'E_SESSION_CONFLICT')
    expect((await loaded(store, id)).data).toEqual({ userId: 'bob' })
  })

  test('a deletion of what identify reads beats a change: nobody is logged in again', async () => {
    const { process } = world()
    const store = process({
      identify: (data) => (data['login'] as { user?: string } | undefined)?.user,
    })
    const { id } = await store.create({ login: { user: 'alice', seen: 1 } })
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    delete one.data['login']
    other.data['login'] = { user: 'alice', seen: 2 }
    await store.save(one)
    await expectCode(store.save(other), 'E_SESSION_CONFLICT')
    expect((await loaded(store, id)).data).toEqual({})
  })

  test('a change of user is in the backend before it is acknowledged', async () => {
    const { process, stored } = world()
    const store = process({ identify: (data) => data['userId'] as string | undefined })
    const { id } = await store.create({})
    expect(await change(store, id, (data) => Object.assign(data, { userId: 'alice' }))).toMatchObject({
      durability: 'backend',
    })
    expect(await stored(id)).toMatchObject({ session: { userId: 'alice', version: 2 } })
    expect(store.stats().flushes).toMatchObject({ identify: 1 })
  })

  test('keys that take no part in merging are the saver’s own', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ cookie: { maxAge: 1 } })
    const [one, other] = [await loaded(store, id), await loaded(store, id)]
    one.data['cookie'] = { maxAge: 2 }
    other.data['b'] = 2
    await store.save(one)
    await store.save(other, { unmergedKeys: ['cookie'] })
    expect((await loaded(store, id)).data).toEqual({ cookie: { maxAge: 1 }, b: 2 })
  })
})

describe('update', () => {
  test('fifty increments at once over three processes make fifty', async () => {
    const { process } = world()
    const stores = [process(), process(), process()]
    const first = stores[0] ?? process()
    const { id } = await first.create({ count: 0 })
    await Promise.all(
      Array.from({ length: 50 }, (_, n) =>
        (stores[n % 3] ?? first).update(id, (data) => {
          data['count'] = Number(data['count']) + 1
        }),
      ),
    )
    expect((await loaded(first, id)).data).toEqual({ count: 50 })
  })

  test('changes that arrive together are one write', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const during = await calls(cache, () =>
      Promise.all(
        Array.from({ length: 50 }, () =>
          store.update(id, (data) => {
            data['count'] = Number(data['count']) + 1
          }),
        ),
      ),
    )
    expect(during.filter((call) => call === 'cas').length).toBeLessThanOrEqual(3)
    expect((await loaded(store, id)).data).toEqual({ count: 50 })
  })

  test('a change that throws rejects its own caller and leaves no trace', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ count: 0, half: false })
    const good = (data: Record<string, unknown>): void => {
      data['count'] = Number(data['count']) + 1
    }
    const outcomes = await Promise.allSettled([
      store.update(id, good),
      store.update(id, (data) => {
        data['half'] = true
        throw new RangeError('no')
      }),
      store.update(id, good),
    ])
    expect(outcomes.map(({ status }) => status)).toEqual(['fulfilled', 'rejected', 'fulfilled'])
    expect((await loaded(store, id)).data).toEqual({ count: 2, half: false })
  })

  test('updating what is not there is a value', async () => {
    const { process } = world()
    expect(await process().update('nobody', () => {})).toBeUndefined()
  })

  test('a promise that the change returns is awaited', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({})
    await store.update(id, async (data) => {
      await new Promise((resolve) => setTimeout(resolve, 1))
      data['late'] = true
    })
    expect((await loaded(store, id)).data).toEqual({ late: true })
  })
})

describe('when a tier fails during a save', () => {
  test('an unreachable cache is gone round: the change is in the backend when it is acknowledged', async () => {
    const { process, cache, stored } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    const session = await loaded(store, id)
    cache.unreachable = true
    session.data['count'] = 1
    expect(await store.save(session)).toMatchObject({ durability: 'backend' })
    expect(await stored(id)).toMatchObject({ state: 'live' })
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
    for (let n = 2; n <= 5; n += 1) await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 5 })
    cache.unreachable = false
    expect((await loaded(store, id)).data['count']).toBeGreaterThanOrEqual(0)
  })

  test('a writer that held unflushed changes takes them along round the cache', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    for (let n = 1; n <= 5; n += 1) await increment(store, id)
    const session = await loaded(store, id)
    cache.unreachable = true
    session.data['count'] = 6
    await store.save(session)
    expect((await loaded(store, id)).data).toEqual({ count: 6 })
  })

  test('after the outage the entry that the takeover left behind is dropped', async () => {
    const { process, cache, runtime } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    cache.unreachable = true
    session.data['count'] = 1
    await store.save(session)
    cache.unreachable = false
    runtime.advance(1_600)
    await settled()
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('a change that is due with the backend down is served from the cache, kept in mind, and flushed later', async () => {
    const { process, backend, runtime, stored } = world()
    const store = process({ maxStaleCount: 1, maxStaleMs: 1_000 })
    const { id } = await store.create({ count: 0 })
    await settled()
    backend.unreachable = true
    expect(await increment(store, id)).toMatchObject({ durability: 'cache' })
    expect(store.stats().unflushed).toBe(1)
    backend.unreachable = false
    runtime.advance(1_000)
    await settled()
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
    expect(store.stats().unflushed).toBe(0)
  })

  test('with onBackendDown "reject" such a change rejects', async () => {
    const { process, backend } = world()
    const store = process({ maxStaleCount: 1, onBackendDown: 'reject' })
    const { id } = await store.create({ count: 0 })
    await settled()
    backend.unreachable = true
    await expectCode(increment(store, id), 'E_SESSION_UNAVAILABLE')
  })

  test('a durable save, a change of user and a creation reject with the backend down', async () => {
    const { process, backend } = world()
    const store = process({ identify: (data) => data['userId'] as string | undefined })
    const { id } = await store.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    backend.unreachable = true
    await expectCode(store.create({}), 'E_SESSION_UNAVAILABLE')
    session.data['count'] = 1
    await expectCode(store.save(session, { durable: true }), 'E_SESSION_UNAVAILABLE')
    session.data['userId'] = 'alice'
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
  })

  test('a lost answer to a save that is in does not apply it twice', async () => {
    const { process, cache, cached } = world()
    const store = process()
    const { id } = await store.create({ log: [] as string[] })
    await settled()
    const session = await loaded(store, id)
    ;(session.data['log'] as string[]).push('once')
    const lost = loseOneAnswer(cache, 'cas')
    await store.save(session)
    expect(lost()).toBe(1)
    expect((await loaded(store, id)).data).toEqual({ log: ['once'] })
    expect(await cached(id)).toMatchObject({ version: 2 })
    expect(store.stats()).toMatchObject({ writes: 1 })
  })

  test('a lost answer to an update that is in does not apply it twice', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const lost = loseOneAnswer(cache, 'cas')
    await store.update(id, (data) => {
      data['count'] = Number(data['count']) + 1
    })
    expect(lost()).toBe(1)
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('a lost answer to a login that is in is no change of user by somebody else', async () => {
    const { process, processWithTiers } = world()
    const options = { identify: (data: Record<string, unknown>) => data['userId'] as string | undefined }
    const { store, cache } = processWithTiers(options)
    const other = process(options)
    const { id } = await store.create({})
    await settled()
    const session = await loaded(store, id)
    session.data['userId'] = 'alice'
    let lost = 0
    cache.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'cas' || lost > 0) return answer
      lost += 1
      await change(other, id, (data) => Object.assign(data, { seen: true }))
      throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
    }
    expect(await store.save(session)).toMatchObject({ durability: 'backend' })
    expect((await loaded(store, id)).data).toEqual({ userId: 'alice', seen: true })
  })

  test('a lost answer to a save that is not in does it over', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await settled()
    const session = await loaded(store, id)
    session.data['count'] = 1
    let lost = 0
    cache.intercept = async (call, proceed) => {
      if (call !== 'cas' || lost > 0) return await proceed()
      lost += 1
      throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
    }
    await store.save(session)
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('a lost answer, and too many other writes since, is an unknown outcome and not a guess', async () => {
    const { process, processWithTiers } = world()
    const other = process()
    const mine = processWithTiers()
    const { id } = await other.create({ count: 0, mine: 0 })
    await settled()
    const session = await loaded(mine.store, id)
    session.data['mine'] = 1
    let lost = false
    mine.cache.intercept = async (call, proceed) => {
      if (call !== 'cas' || lost) return await proceed()
      lost = true
      await proceed()
      for (let n = 0; n < 8; n += 1) await increment(other, id)
      throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
    }
    await expectCode(mine.store.save(session), 'E_SESSION_UNKNOWN_OUTCOME')
  })

  test('a write round the cache that was sent twice, with too many others between, is an unknown outcome too', async () => {
    const { process, processWithTiers, cache } = world()
    const other = process()
    const mine = processWithTiers()
    const { id } = await other.create({ count: 0, mine: 0 })
    await settled()
    cache.unreachable = mine.cache.unreachable = true
    let lost = false
    mine.backend.intercept = async (call, proceed) => {
      if (call !== 'update' || lost) return await proceed()
      lost = true
      await proceed()
      for (let n = 0; n < 8; n += 1) await increment(other, id)
      throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
    }
    await expectCode(
      mine.store.update(id, (data) => {
        data['mine'] = Number(data['mine']) + 1
      }),
      'E_SESSION_UNKNOWN_OUTCOME',
    )
    expect((await loaded(other, id)).data).toEqual({ count: 8, mine: 1 })
  })

  test('a lost answer of the backend to a flush is asked again, and counts once', async () => {
    const { process, backend, stored } = world()
    const store = process({ maxStaleCount: 1 })
    const { id } = await store.create({ count: 0 })
    await settled()
    loseOneAnswer(backend, 'update')
    expect(await increment(store, id)).toMatchObject({ durability: 'backend' })
    expect(await stored(id)).toMatchObject({ session: { version: 2 } })
  })

  test('a save that the cache took, and that then cannot be made durable, does not say that nothing happened', async () => {
    const { process, backend } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    await settled()
    backend.unreachable = true
    session.data['count'] = 1
    await expect(store.save(session, { durable: true })).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      applied: 'unknown',
    })
    expect((await loaded(store, session.id)).data).toEqual({ count: 1 })
  })

  test('a save in doubt that then finds nobody to ask does not say that nothing happened', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    await settled()
    session.data['count'] = 1
    cache.intercept = async (call, proceed) => {
      await proceed()
      cache.unreachable = backend.unreachable = true
      throw tierUnavailable('memory', call, { because: 'the answer was lost', applied: 'unknown' })
    }
    await expect(store.save(session)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' })
  })

  test('a value that grew too large from an old copy does not undo what another made durable meanwhile', async () => {
    const { process } = world()
    const [one, other] = [process(), process()]
    const { id } = await one.create({})
    await settled()
    const session = await loaded(one, id)
    const theirs = await loaded(other, id)
    theirs.data['kept'] = true
    await other.save(theirs, { durable: true })
    session.data['big'] = 'x'.repeat(2 * 1024 * 1024)
    await one.save(session)
    const { data } = await loaded(other, id)
    expect(Object.keys(data).sort()).toEqual(['big', 'kept'])
  })

  test('a value that the cache refuses lives in the backend, and is served from there', async () => {
    const { process, stored } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    const big = 'x'.repeat(2 * 1024 * 1024)
    expect(await change(store, id, (data) => Object.assign(data, { big }))).toMatchObject({ durability: 'backend' })
    expect((await loaded(store, id)).data).toEqual({ count: 0, big })
    await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 1, big })
    expect(await stored(id)).toMatchObject({ state: 'live' })
    expect(store.stats().flushes.refused).toBeGreaterThanOrEqual(2)
    await change(store, id, (data) => {
      delete data['big']
    })
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
    const created = await store.create({ big })
    expect((await loaded(store, created.id)).data).toEqual({ big })
  })

  test('a flush that arrives after a newer one of the same lineage changes nothing', async () => {
    const { process, processWithTiers, stored } = world()
    const slow = processWithTiers({ maxStaleCount: 1 })
    const quick = process({ maxStaleCount: 1 })
    const { id } = await quick.create({ count: 0 })
    await settled()
    const gate = held()
    slow.backend.intercept = async (call, proceed) => {
      if (call === 'update') await gate.opened
      return await proceed()
    }
    const saving = increment(slow.store, id)
    await settled()
    await increment(quick, id)
    expect(await stored(id)).toMatchObject({ session: { version: 3 } })
    gate.open()
    expect(await saving).toMatchObject({ durability: 'backend' })
    expect(await stored(id)).toMatchObject({ session: { version: 3 } })
    expect((await loaded(quick, id)).data).toEqual({ count: 2 })
  })

  test('a writer whose lineage died in the backend drops it, and does its write over on what lives', async () => {
    const { process, processWithTiers, stored } = world()
    const cutOff = processWithTiers({ maxStaleCount: 2 })
    const other = process({ maxStaleCount: 2 })
    const { id } = await other.create({})
    await settled()
    const session = await loaded(cutOff.store, id)
    cutOff.cache.unreachable = true
    session.data['fromTheCutOff'] = true
    await cutOff.store.save(session)

    await change(other, id, (data) => Object.assign(data, { a: 1 }))
    await change(other, id, (data) => Object.assign(data, { b: 2 }))
    expect((await loaded(other, id)).data).toMatchObject({ fromTheCutOff: true, b: 2 })
    expect(await stored(id)).toMatchObject({ state: 'live' })
  })

  test('a flush that finds a copy filled from before it in the cache does its write over', async () => {
    const { process, processWithTiers, loseCache } = world()
    const writer = processWithTiers({ maxStaleCount: 1 })
    const reader = processWithTiers()
    const other = process()
    const { id } = await other.create({})
    await settled()

    const [update, read] = [held(), held()]
    writer.backend.intercept = async (call, proceed) => {
      if (call === 'update') await update.opened
      return await proceed()
    }
    reader.backend.intercept = async (_call, proceed) => {
      const copy = await proceed()
      await read.opened
      return copy
    }
    const session = await loaded(writer.store, id)
    session.data['acknowledged'] = true
    const saving = writer.store.save(session)
    await settled() // the cache took the write, and the backend is about to
    loseCache()
    const filling = reader.store.load(id)
    await settled() // the reader has read the row as it was before, under its lease
    let looks = 0
    writer.cache.intercept = async (call, proceed) => {
      looks += call === 'get' ? 1 : 0
      if (looks === 1) read.open()
      if (looks >= 1) await filling
      return await proceed()
    }
    update.open()
    expect(await saving).toMatchObject({ durability: 'backend' })
    expect((await loaded(other, id)).data).toEqual({ acknowledged: true })
  })

  test('a stale copy that was flushed late never overwrites a newer branch', async () => {
    const { process, processWithTiers, loseCache, stored } = world()
    const slow = processWithTiers({ maxStaleCount: 2 })
    const quick = process({ maxStaleCount: 2 })
    const { id } = await quick.create({ who: [] as string[] })
    await settled()
    await change(quick, id, (data) => (data['who'] as string[]).push('first'))

    const session = await loaded(slow.store, id)
    ;(session.data['who'] as string[]).push('slow')
    const gate = held()
    slow.backend.intercept = async (call, proceed) => {
      if (call === 'update') await gate.opened
      return await proceed()
    }
    const saving = slow.store.save(session)
    await settled()
    loseCache()
    await change(quick, id, (data) => Object.assign(data, { other: true }))
    gate.open()
    await saving
    const { data } = await loaded(quick, id)
    expect(data).toMatchObject({ other: true })
    expect(data['who']).toContain('slow')
    expect(await stored(id)).toMatchObject({ state: 'live' })
  })
})
