import { describe, expect, test } from 'vitest'
import { tierUnavailable } from '../../src/errors.js'
import { change, type Data, expectCode, increment, loaded, settled, world } from './world.js'

const lost = (call: string) => tierUnavailable('memory', call, { because: 'the test says so', applied: 'unknown' })

/** As many changes of another process as can stand in the cache alone. */
const CHANGES = 9

const changesBy = async (store: ReturnType<ReturnType<typeof world>['process']>, id: string): Promise<void> => {
  for (let index = 0; index < CHANGES; index += 1)
    await change(store, id, (data) => Object.assign(data, { [`by ${index}`]: 1 }))
}
const countIn = (data: Data): number => Object.keys(data).filter((key) => key.startsWith('by ')).length

/** A process whose tiers can be tampered with, another one, and a session that is in both tiers. */
const twoProcesses = async (data: Data, options: Parameters<ReturnType<typeof world>['process']>[0] = {}) => {
  const { cache: shared, ...here } = world()
  const tampered = here.processWithTiers(options)
  const other = here.process(options)
  const { id } = await tampered.store.create(data)
  await settled()
  return { ...here, ...tampered, shared, other, id }
}

describe('a failed call is no outage', () => {
  test.each([1, 2, 4, 6])(
    '%i looks in a row that got no answer cost nothing of what others were told is stored',
    async (failures) => {
      const { store, cache, other, id } = await twoProcesses({})
      await changesBy(other, id)
      const session = await loaded(store, id)
      let looks = 0
      cache.intercept = async (call, proceed) => {
        if (call === 'cas') throw lost('cas')
        if (call !== 'get') return await proceed()
        looks += 1
        if (looks > failures) cache.intercept = (_call, go) => go()
        else throw lost('get')
        return await proceed()
      }
      session.data['mine'] = 1
      await store.save(session)
      const { data } = await loaded(other, id)
      expect([data['mine'], countIn(data)]).toEqual([1, CHANGES])
    },
  )

  test('a reader looks again before it is served the older copy of the backend', async () => {
    const { store, cache, id, process } = await twoProcesses({ count: 0 })
    await increment(process(), id)
    let looks = 0
    cache.intercept = async (call, proceed) => {
      looks += call === 'get' ? 1 : 0
      if (looks === 1) throw lost('get')
      return await proceed()
    }
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
  })

  test('a server that this process cannot reach at all is gone round', async () => {
    const { store, cache, id } = await twoProcesses({ count: 0 })
    cache.unreachable = true
    await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 1 })
    expect(cache.calls.filter((call) => call === 'get').length).toBeLessThan(40)
  })
})

describe('a write round the cache that the backend refuses, as it has it already', () => {
  test('costs no living entry, and is seen by everybody', async () => {
    const { store, cache, backend, other, id, cached } = await twoProcesses({}, { breakerFailures: 1 })
    const session = await loaded(store, id)
    // The compare-and-set is in; its answer and the look after it are lost, and with the breaker open it goes round.
    let failures = 2
    cache.intercept = async (call, proceed) => {
      const answer = await proceed()
      if ((call !== 'cas' && call !== 'get') || failures === 0) return answer
      failures -= 1
      throw lost(call)
    }
    let isFirst = true
    backend.intercept = async (call, proceed) => {
      if (call === 'update' && isFirst) {
        isFirst = false
        // The other one makes it durable, and goes on in the cache.
        await other.save(await loaded(other, id), { durable: true })
        await changesBy(other, id)
      }
      return await proceed()
    }
    session.data['mine'] = 1
    await store.save(session)
    expect(isFirst).toBe(false)
    const { data } = await loaded(other, id)
    expect([data['mine'], countIn(data)]).toEqual([1, CHANGES])
    expect(await cached(id)).toMatchObject({ kind: 'live' })
  })

  test('a look that comes late leaves a lineage that has gone on from the very copy', async () => {
    const { store, cache, backend, other, id, loseCache } = await twoProcesses({}, { breakerFailures: 1_000 })
    const session = await loaded(store, id)
    cache.unreachable = true
    backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'update') return answer
      backend.intercept = (_call, go) => go()
      // Before it looks, others fill the cache from its copy, claim it, and go on.
      loseCache()
      await change(other, id, (data) => Object.assign(data, { claimed: 1 }))
      await changesBy(other, id)
      cache.unreachable = false
      return answer
    }
    session.data['mine'] = 1
    await store.save(session)
    const { data } = await loaded(other, id)
    expect([data['mine'], data['claimed'], countIn(data)]).toEqual([1, 1, CHANGES])
  })

  test('is looked after later, where the cache cannot be asked: no dead copy is read for ever', async () => {
    const { store, cache, backend, other, id, shared: others, runtime } = await twoProcesses({ count: 0 })
    const session = await loaded(store, id)
    cache.unreachable = true
    // The row has the write by an answer that was lost, twice: the call ends on what it finds there.
    let failures = 2
    backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'update' || failures === 0) return answer
      failures -= 1
      throw lost('update')
    }
    session.data['count'] = 1
    await expectCode(store.save(session), 'E_SESSION_UNAVAILABLE')
    expect(await store.save(session, { durable: true })).toMatchObject({ durability: 'backend' })
    expect((await loaded(other, id)).data, 'one view of the cache is broken').toEqual({ count: 0 })
    cache.unreachable = false
    for (let seconds = 0; seconds < 60; seconds += 1) {
      runtime.advance(1_000)
      await settled()
    }
    expect((await loaded(other, id)).data).toEqual({ count: 1 })
    expect(others.unreachable).toBe(false)
  })
})

describe('a session that is used while nobody reaches the cache', () => {
  test('is there when the cache is back with what it held, also after longer than its idle time-out', async () => {
    const { process, cache, runtime } = world()
    const MINUTE_MS = 60_000
    const store = process({ idleTtlMs: 15 * MINUTE_MS })
    const { id } = await store.create({ user: 1 })
    await settled()
    cache.unreachable = true
    for (let minute = 0; minute < 20; minute += 1) {
      runtime.advance(MINUTE_MS)
      expect((await loaded(store, id)).data).toEqual({ user: 1 })
      await settled()
    }
    cache.unreachable = false
    runtime.advance(1_000)
    await settled()
    expect((await loaded(store, id)).data).toEqual({ user: 1 })
    // And for as long as it may be idle from its last use on.
    runtime.advance(12 * MINUTE_MS)
    await loaded(store, id)
    await settled()
  })

  test('and one that nobody used has ended', async () => {
    const { process, cache, runtime } = world()
    const store = process({ idleTtlMs: 60_000 })
    const { id } = await store.create({})
    await settled()
    cache.unreachable = true
    await store.load(id, { touch: false })
    runtime.advance(90_000)
    cache.unreachable = false
    runtime.advance(1_000)
    expect(await store.load(id)).toBeUndefined()
  })
})

describe('a cache that answers reads and refuses every new value', () => {
  const refusing = (options = {}) => {
    const cluster = world()
    const { store, cache, backend } = cluster.processWithTiers(options)
    let isRefusing = false
    cache.intercept = async (call, proceed) => {
      if (!isRefusing) return await proceed()
      if (call === 'add' || call === 'cas') return { outcome: 'refused' }
      if (call === 'set')
        throw tierUnavailable('memory', 'set', { because: 'no memory', applied: 'no', answered: true })
      return await proceed()
    }
    return {
      ...cluster,
      store,
      backend,
      refuse: () => {
        isRefusing = true
      },
    }
  }

  test('costs no call its patience: reads and changes go to the backend at once', async () => {
    const { store, refuse, loseCache, runtime } = refusing()
    const { id } = await store.create({ count: 0 })
    await settled()
    loseCache()
    refuse()
    const start = runtime.monotonicMs()
    for (let turn = 0; turn < 5; turn += 1) await increment(store, id)
    expect((await loaded(store, id)).data).toEqual({ count: 5 })
    expect(await change(store, id, (data) => Object.assign(data, { last: 1 }))).toMatchObject({ durability: 'backend' })
    const fresh = await store.regenerate(await loaded(store, id))
    expect((await loaded(store, fresh.id)).data).toEqual({ count: 5, last: 1 })
    expect(runtime.monotonicMs() - start, 'the first patience there is').toBeLessThan(5_000)
  })

  test('takes along what it holds itself when it is gone round', async () => {
    const { store, refuse, process } = refusing()
    const { id } = await store.create({})
    await settled()
    await changesBy(process(), id)
    refuse()
    await change(store, id, (data) => Object.assign(data, { mine: 1 }))
    const { data } = await loaded(store, id)
    expect([data['mine'], countIn(data)]).toEqual([1, CHANGES])
  })

  test('loses nothing of that where the backend is down', async () => {
    const { store, refuse, process, backend } = refusing()
    const { id } = await store.create({})
    await settled()
    await changesBy(process(), id)
    refuse()
    backend.unreachable = true
    await expectCode(
      change(store, id, (data) => Object.assign(data, { mine: 1 })),
      'E_SESSION_UNAVAILABLE',
    )
    backend.unreachable = false
    expect(countIn((await loaded(process(), id)).data)).toBe(CHANGES)
  })

  test('serves no session that was destroyed: what stands there is removed instead', async () => {
    const { store, refuse, cached } = refusing()
    const { id } = await store.create({})
    await settled()
    await loaded(store, id)
    refuse()
    expect(await store.destroy(id)).toEqual({ cache: 'tombstone' })
    expect(await cached(id)).toBeUndefined()
    expect(await store.load(id)).toBeUndefined()
  })
})

describe('a regeneration', () => {
  const identify = ({ user }: Data) => user as string | undefined

  test('shows what the request changed under the new id only, also while it is under way', async () => {
    const { store, backend, other, id } = await twoProcesses({ cart: [] }, { identify })
    const session = await loaded(store, id)
    session.data['user'] = 'ann'
    const seen: unknown[] = []
    backend.intercept = async (call, proceed) => {
      if (call === 'insert' || call === 'destroy') seen.push((await loaded(other, id)).data)
      return await proceed()
    }
    const fresh = await store.regenerate(session)
    expect(seen).toEqual([{ cart: [] }, { cart: [] }])
    expect((await loaded(other, fresh.id)).data).toEqual({ cart: [], user: 'ann' })
    expect(await other.load(id)).toBeUndefined()
  })

  test('that fails leaves the old session as it was, for everybody, and its error says that nothing was applied', async () => {
    const { store, backend, other, id } = await twoProcesses({ cart: [] }, { identify })
    const session = await loaded(store, id)
    session.data['user'] = 'ann'
    backend.intercept = async (call, proceed) => {
      if (call === 'insert') throw tierUnavailable('memory', 'insert', { because: 'the test says so', applied: 'no' })
      return await proceed()
    }
    await expect(store.regenerate(session)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
    expect((await loaded(other, id)).data).toEqual({ cart: [] })
    await increment(other, id)
    expect(session.data).toEqual({ cart: [], user: 'ann' })
  })

  test('whose last step got no answer, twice, gives the old session back', async () => {
    const { store, backend, other, id, runtime } = await twoProcesses({ count: 0 })
    const session = await loaded(store, id)
    backend.intercept = async (call, proceed) => {
      if (call === 'destroy') throw lost('destroy')
      return await proceed()
    }
    await expect(store.regenerate(session)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'no' })
    backend.intercept = (_call, proceed) => proceed()
    await settled()
    await increment(other, id)
    expect((await loaded(other, id)).data).toEqual({ count: 1 })
    runtime.advance(1_000)
    await settled()
    expect(await other.count(), 'the new session, which nobody was told of, has ended').toBe(1)
  })

  test('whose last step is done though it got no answer has succeeded', async () => {
    const { store, backend, id, process } = await twoProcesses({ count: 0 })
    let failures = 2
    backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'destroy' || failures === 0) return answer
      failures -= 1
      throw lost('destroy')
    }
    const fresh = await store.regenerate(await loaded(store, id))
    expect((await loaded(process(), fresh.id)).data).toEqual({ count: 0 })
    expect(await process().load(id)).toBeUndefined()
  })

  test('after which nobody can be asked says that it may have ended the session, and gives it back when it can', async () => {
    const { store, backend, other, id, runtime } = await twoProcesses({ count: 0 })
    const session = await loaded(store, id)
    let isDown = false
    backend.intercept = async (call, proceed) => {
      isDown ||= call === 'destroy'
      if (isDown) throw lost(call)
      return await proceed()
    }
    await expect(store.regenerate(session)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', applied: 'unknown' })
    backend.intercept = (_call, proceed) => proceed()
    for (let seconds = 0; seconds < 60; seconds += 1) {
      runtime.advance(1_000)
      await settled()
    }
    await increment(other, id)
    expect((await loaded(other, id)).data).toEqual({ count: 1 })
  })
})
