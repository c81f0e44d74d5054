import { describe, expect, test } from 'vitest'
import type { StoreOptions } from '../../src/store/options.js'
import { calls, change, type Data, expectCode, loaded, settled, world } from './world.js'

const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

const identify = (data: Data): string | undefined => data['user'] as string | undefined

/** Whether a session ends at a moment, to the millisecond, without being used until then. */
const endsAfter = async (
  { runtime, process }: ReturnType<typeof world>,
  options: StoreOptions<Data>,
  id: string,
  ms: number,
): Promise<void> => {
  runtime.advance(ms - 1)
  expect(await process(options).load(id, { touch: false })).toBeDefined()
  runtime.advance(1)
  expect(await process(options).load(id, { touch: false })).toBeUndefined()
}

describe('an idle time-out that goes by the data', () => {
  const options: StoreOptions<Data> = {
    idleTtlMs: (data) => (data['kiosk'] === true ? 300_000 : undefined),
    touchIntervalMs: 0,
  }

  test('each session has the one that the function says of its data, and the others have a day', async () => {
    const there = world()
    const store = there.process(options)
    const kiosk = await store.create({ kiosk: true })
    const desk = await store.create({})
    expect([kiosk.idleTtlMs, desk.idleTtlMs]).toEqual([300_000, DAY_MS])
    await endsAfter(there, options, kiosk.id, 300_000)
    await endsAfter(there, options, desk.id, DAY_MS - 300_000)
  })

  test('a change of the data changes it with the write that stores it, and back', async () => {
    const { process } = world()
    const store = process(options)
    const session = await store.create({})
    session.data['kiosk'] = true
    await store.save(session)
    expect((await loaded(store, session.id)).idleTtlMs).toBe(300_000)
    const updated = await store.update(session.id, (data) => {
      delete data['kiosk']
    })
    expect(updated?.idleTtlMs).toBe(DAY_MS)
    const put = await store.put(session.id, { kiosk: true })
    expect(put.idleTtlMs).toBe(300_000)
    expect((await store.regenerate(put)).idleTtlMs).toBe(300_000)
  })

  test('touches are as frequent as the idle time-out of the session needs', async () => {
    const { process, runtime, cached } = world()
    const store = process({ idleTtlMs: (data) => data['idle'] as number })
    const { id } = await store.create({ idle: HOUR_MS })
    await settled()
    const before = await cached(id)
    runtime.advance(HOUR_MS / 100 - 1)
    await store.touch(id)
    expect(await cached(id)).toEqual(before)
    runtime.advance(1)
    await store.touch(id)
    expect(await cached(id)).toMatchObject({ touchedAt: runtime.now(), expiresAt: runtime.now() + 1.01 * HOUR_MS })
  })

  test('the time-out that a call gives is the session’s own: no data changes it, until a call gives it back', async () => {
    const { process, cached, loseCache } = world()
    const store = process(options)
    const session = await store.create({}, { idleTtlMs: HOUR_MS })
    session.data['kiosk'] = true
    await store.save(session, { durable: true })
    expect(session.idleTtlMs).toBe(HOUR_MS)
    loseCache()
    expect((await loaded(store, session.id)).idleTtlMs).toBe(HOUR_MS)
    await change(store, session.id, (data) => Object.assign(data, { more: 1 }))
    const again = await loaded(store, session.id)
    expect(again.idleTtlMs).toBe(HOUR_MS)
    await store.touch(again, { idleTtlMs: 'default' })
    expect(again.idleTtlMs).toBe(300_000)
    expect(await cached(session.id)).toMatchObject({ idleTtlMs: 300_000, hasOwnIdleTtl: false })
    await store.save(again, { idleTtlMs: 2 * HOUR_MS })
    expect((await store.regenerate(again)).idleTtlMs).toBe(2 * HOUR_MS)
  })

  test('the time-out that an update gives is kept, also where its change leaves the data as it is', async () => {
    const { process, cache } = world()
    const store = process(options)
    const { id } = await store.create({ kiosk: true })
    await settled()
    const given = (idleTtlMs: number | 'default') => store.update(id, () => undefined, { idleTtlMs })
    expect((await given(HOUR_MS))?.idleTtlMs).toBe(HOUR_MS)
    expect((await loaded(store, id)).idleTtlMs).toBe(HOUR_MS)
    expect(await calls(cache, () => given(HOUR_MS))).not.toContain('cas')
    expect((await given('default'))?.idleTtlMs).toBe(300_000)
    expect((await loaded(store, id)).idleTtlMs).toBe(300_000)
  })

  test('to give a session what it has as its own is written once, and to give back what it has not is nothing', async () => {
    const { process, cache } = world()
    const store = process()
    const { id } = await store.create({})
    await settled()
    const session = await loaded(store, id)
    expect(await calls(cache, () => store.touch(session, { idleTtlMs: 'default' }))).toEqual([])
    expect(await calls(cache, () => store.touch(session, { idleTtlMs: DAY_MS }))).toEqual(['cas'])
    expect(await calls(cache, () => store.touch(session, { idleTtlMs: DAY_MS }))).toEqual([])
  })

  test.each([
    ['a promise', Promise.resolve(5_000)],
    ['a string', '5000'],
    ['an object', { ms: 5_000 }],
    ['999', 999],
    ['1000.5', 1_000.5],
    ['NaN', Number.NaN],
    ['Infinity', Number.POSITIVE_INFINITY],
    ['-5000', -5_000],
  ])('a function that returns %s is refused, and nothing is stored', async (what, returned) => {
    const { process, backend } = world()
    const store = process({ idleTtlMs: () => returned as number })
    const creating = store.create({}, { id: 'an id' })
    await expect(creating).rejects.toMatchObject({ code: 'E_CONFIG', applied: 'no' })
    await expect(creating).rejects.toThrow(what)
    expect(backend.calls).toEqual([])
  })

  test('no more than the absolute lifetime counts, and without a number that bounds the default, too', async () => {
    const { process } = world()
    const store = process({ idleTtlMs: (data) => data['idle'] as number | undefined, absoluteTtlMs: 2 * HOUR_MS })
    expect((await store.create({ idle: 5 * HOUR_MS })).idleTtlMs).toBe(2 * HOUR_MS)
    expect((await store.create({})).idleTtlMs).toBe(2 * HOUR_MS)
  })
})

describe('an idle time-out for sessions of nobody', () => {
  const options: StoreOptions<Data> = {
    identify,
    anonymousTtlMs: 3 * HOUR_MS,
    idleTtlMs: 8 * HOUR_MS,
    touchIntervalMs: 0,
  }

  test('a visitor’s session has it until somebody logs in with it, and again after a logout', async () => {
    const there = world()
    const store = there.process(options)
    const session = await store.create({ cart: [] })
    expect(session.idleTtlMs).toBe(3 * HOUR_MS)
    session.data['user'] = 'ada'
    await store.save(session)
    expect(session.idleTtlMs).toBe(8 * HOUR_MS)
    expect(await there.stored(session.id)).toMatchObject({ session: { idleTtlMs: 8 * HOUR_MS, hasOwnIdleTtl: false } })
    there.runtime.advance(7 * HOUR_MS)
    await change(store, session.id, (data) => {
      delete data['user']
    })
    await endsAfter(there, options, session.id, 3 * HOUR_MS)
  })

  test('a login that takes a new id gets the ordinary idle time-out as well', async () => {
    const { process } = world()
    const store = process(options)
    const visitor = await store.create({ cart: [] })
    visitor.data['user'] = 'ada'
    expect((await store.regenerate(visitor)).idleTtlMs).toBe(8 * HOUR_MS)
  })

  test('what a call gives goes before it, and so does what a function returns', async () => {
    const { process } = world()
    expect((await process(options).create({}, { idleTtlMs: 5_000 })).idleTtlMs).toBe(5_000)
    const byData = process({ ...options, idleTtlMs: (data) => (data['kiosk'] === true ? 300_000 : undefined) })
    expect((await byData.create({ kiosk: true })).idleTtlMs).toBe(300_000)
    expect((await byData.create({})).idleTtlMs).toBe(3 * HOUR_MS)
    expect((await byData.create({ user: 'ada' })).idleTtlMs).toBe(DAY_MS)
  })
})

describe('a time-out that was made shorter', () => {
  test('the absolute one ends sessions that exist, wherever they are read from', async () => {
    for (const where of ['cache', 'backend'] as const) {
      const there = world()
      const { runtime, process, loseCache } = there
      const before = process({ idleTtlMs: DAY_MS })
      const { id } = await before.create({})
      await settled()
      runtime.advance(HOUR_MS)
      await loaded(before, id)
      await settled()
      if (where === 'backend') loseCache()
      const options = { idleTtlMs: 2 * HOUR_MS, absoluteTtlMs: 2 * HOUR_MS }
      expect((await loaded(process(options), id)).absoluteExpiresAt).toBe(runtime.now() + HOUR_MS)
      await endsAfter(there, options, id, HOUR_MS)
    }
  })

  test('what is written from then on has the nearer end, in both tiers', async () => {
    const { runtime, process, cached, stored } = world()
    const { id } = await process().create({})
    await settled()
    const absoluteExpiresAt = runtime.now() + 2 * HOUR_MS
    const store = process({ idleTtlMs: HOUR_MS, absoluteTtlMs: 2 * HOUR_MS })
    const session = await loaded(store, id)
    session.data['a'] = 1
    await store.save(session, { durable: true })
    // A change shortens no life; what was written down before lasts for as long as a use may be written down late.
    const life = { absoluteExpiresAt, idleTtlMs: HOUR_MS, expiresAt: runtime.now() + 1.11 * HOUR_MS }
    expect(await cached(id)).toMatchObject(life)
    expect(await stored(id)).toMatchObject({ session: life })
  })

  test('the idle one is counted from the last use that was written down', async () => {
    for (const where of ['cache', 'backend'] as const) {
      const there = world()
      const { runtime, process, loseCache } = there
      const { id } = await process({ idleTtlMs: DAY_MS }).create({})
      await settled()
      if (where === 'backend') loseCache()
      runtime.advance(HOUR_MS / 2)
      const options = { idleTtlMs: HOUR_MS }
      // An hour, and what a use may be late in either tier: a hundredth and a tenth of it.
      await endsAfter(there, options, id, 1.11 * HOUR_MS - HOUR_MS / 2)
    }
  })

  test('a session that is in use lives on under it', async () => {
    const { runtime, process } = world()
    const { id } = await process({ idleTtlMs: DAY_MS }).create({})
    const store = process({ idleTtlMs: HOUR_MS })
    for (let half = 0; half < 10; half += 1) {
      runtime.advance(HOUR_MS / 2)
      await loaded(store, id)
      await settled()
    }
    runtime.advance(1.01 * HOUR_MS)
    expect(await store.load(id)).toBeUndefined()
  })

  test('a session with an idle time-out of its own keeps it', async () => {
    const there = world()
    const { process, loseCache } = there
    const { id } = await process({ touchIntervalMs: 0 }).create({}, { idleTtlMs: DAY_MS })
    const options = { idleTtlMs: HOUR_MS, touchIntervalMs: 0 }
    expect((await loaded(process(options), id)).idleTtlMs).toBe(DAY_MS)
    loseCache()
    expect((await loaded(process(options), id)).idleTtlMs).toBe(DAY_MS)
  })

  test('that of visitors ends only visitors’ sessions', async () => {
    const { runtime, process } = world()
    const before = process({ identify })
    const [visitor, user] = [await before.create({}), await before.create({ user: 'ada' })]
    runtime.advance(4 * HOUR_MS)
    const store = process({ identify, anonymousTtlMs: 3 * HOUR_MS })
    expect(await store.load(visitor.id)).toBeUndefined()
    expect((await loaded(store, user.id)).idleTtlMs).toBe(DAY_MS)
  })

  test('an id whose session has ended by it is free again', async () => {
    for (const where of ['cache', 'backend'] as const) {
      const { runtime, process, loseCache } = world()
      await process().create({ of: 'old' }, { id: 'chosen' })
      await settled()
      runtime.advance(2 * HOUR_MS)
      if (where === 'backend') loseCache()
      const store = process({ idleTtlMs: HOUR_MS })
      expect(await store.load('chosen')).toBeUndefined()
      await store.create({ of: 'new' }, { id: 'chosen' })
      expect((await loaded(store, 'chosen')).data).toEqual({ of: 'new' })
    }
  })

  test('a save of a session that has ended by it is refused', async () => {
    const { runtime, process } = world()
    const { id } = await process().create({})
    runtime.advance(HOUR_MS / 2)
    const store = process({ idleTtlMs: HOUR_MS })
    const session = await loaded(store, id)
    await settled()
    runtime.advance(2 * HOUR_MS)
    session.data['a'] = 1
    await expectCode(store.save(session), 'E_SESSION_DESTROYED')
  })

  test('one that was made longer comes with the next write, and brings back nothing that has ended', async () => {
    const { runtime, process } = world()
    const short = process({ idleTtlMs: HOUR_MS, touchIntervalMs: 0 })
    const [used, ended] = [await short.create({}), await short.create({})]
    const store = process({ idleTtlMs: DAY_MS, touchIntervalMs: 0 })
    await change(store, used.id, (data) => Object.assign(data, { a: 1 }))
    runtime.advance(HOUR_MS)
    expect((await loaded(store, used.id)).idleTtlMs).toBe(DAY_MS)
    expect(await store.load(ended.id)).toBeUndefined()
  })
})

describe('a new id for a session', () => {
  test('renews the absolute lifetime, as a login does, unless the deadline is to be kept', async () => {
    const { runtime, process } = world()
    const store = process({ absoluteTtlMs: 10 * HOUR_MS, idleTtlMs: HOUR_MS })
    const session = await store.create({})
    const { absoluteExpiresAt } = session
    runtime.advance(HOUR_MS / 2)
    const kept = await store.regenerate(session, { keepDeadline: true })
    expect(kept).toMatchObject({ absoluteExpiresAt, createdAt: runtime.now() })
    const keptAgain = await store.regenerate(kept.id, { keepDeadline: true })
    expect(keptAgain.absoluteExpiresAt).toBe(absoluteExpiresAt)
    expect((await loaded(store, keptAgain.id)).absoluteExpiresAt).toBe(absoluteExpiresAt)
    const renewed = await store.regenerate(keptAgain)
    expect(renewed.absoluteExpiresAt).toBe(runtime.now() + 10 * HOUR_MS)
  })

  test('a deadline that is kept is not passed by any use', async () => {
    const { runtime, process } = world()
    const store = process({ absoluteTtlMs: 2 * HOUR_MS, idleTtlMs: 2 * HOUR_MS })
    const session = await store.create({})
    runtime.advance(1.5 * HOUR_MS)
    const kept = await store.regenerate(session, { keepDeadline: true })
    kept.data['a'] = 1
    await store.save(kept)
    runtime.advance(HOUR_MS / 2 - 1)
    expect(await store.load(kept.id)).toBeDefined()
    runtime.advance(1)
    expect(await store.load(kept.id)).toBeUndefined()
  })

  test('what a call of regenerate cannot do is refused', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({})
    await expectCode(store.regenerate(session, { keepDeadline: 1 as never }), 'E_CONFIG')
    await expectCode(store.regenerate(session, { keepDeadlines: true } as never), 'E_CONFIG')
    expect(await store.load(session.id)).toBeDefined()
  })
})
