import { describe, expect, test } from 'vitest'
import { msgpackCodec } from '../../src/codecs/index.js'
import type { Codec } from '../../src/contract/codec.js'
import { tierUnavailable } from '../../src/errors.js'
import { calls, change, expectCode, loaded, settled, world } from './world.js'

/** More than the memory cache takes of one value. */
const BIG = 'x'.repeat(2 * 1024 * 1024)

const withLarge = async () => {
  const here = world()
  const [one, other] = [here.process(), here.process()]
  const { id } = await one.create({ n: 0 })
  await settled()
  await change(one, id, (data) => {
    data['big'] = BIG
  })
  return { ...here, one, other, id }
}

describe('a session that is too large for the cache', () => {
  test('is marked in the cache by whoever reads it first; from then on a read is one look there and one in the backend', async () => {
    const { other, id, cached, cache, backend } = await withLarge()
    await loaded(other, id)
    expect(await cached(id)).toMatchObject({ kind: 'large' })
    const [seen, read] = [cache.calls.length, backend.calls.length]
    expect((await loaded(other, id)).data).toMatchObject({ n: 0, big: BIG })
    expect([cache.calls.slice(seen), backend.calls.slice(read)]).toEqual([['get'], ['read']])
  })

  test('loses no change of two processes, and is in the backend with each', async () => {
    const { one, other, id, stored } = await withLarge()
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    mine.data['mine'] = 1
    theirs.data['theirs'] = 1
    expect(await one.save(mine)).toMatchObject({ durability: 'backend' })
    expect(await other.save(theirs)).toMatchObject({ durability: 'backend', merged: true })
    expect((await loaded(one, id)).data).toMatchObject({ mine: 1, theirs: 1 })
    expect(await stored(id)).toMatchObject({ state: 'live' })
  })

  for (const [how, fail] of [
    [
      'surely did not take it',
      (call: string) => tierUnavailable('memory', call, { because: 'it is down', applied: 'no' }),
    ],
    [
      'may have taken it',
      (call: string) => tierUnavailable('memory', call, { because: 'it is slow', applied: 'unknown' }),
    ],
  ] as const)
    test(`that could not be stored, as the backend ${how}, leaves the session to its writers`, async () => {
      const { process, processWithTiers, runtime } = world()
      const other = process()
      const mine = processWithTiers()
      const { id } = await other.create({ n: 0 })
      await settled()
      const session = await loaded(mine.store, id)
      session.data['big'] = BIG
      // As Memcached does for what is more than maxValueBytes: refused, and what stood there stands.
      let refused = false
      mine.cache.intercept = async (call, proceed) => {
        if (call !== 'cas' || refused) return await proceed()
        refused = true
        return { outcome: 'too-large' }
      }
      mine.backend.intercept = async (call, proceed) => {
        if (call === 'update') throw fail(call)
        return await proceed()
      }
      await expectCode(mine.store.save(session), 'E_SESSION_UNAVAILABLE')
      await settled()
      runtime.advance(200)
      await settled()
      await change(other, id, (data) => {
        data['n'] = 1
      })
      expect((await loaded(other, id)).data).toEqual({ n: 1 })
    })

  test('that could not be stored leaves nothing frozen, also where the answer to the freezing was lost', async () => {
    const { process, processWithTiers, cached } = world()
    const other = process()
    const mine = processWithTiers()
    const { id } = await other.create({ n: 0 })
    await settled()
    const session = await loaded(mine.store, id)
    session.data['big'] = BIG
    let sent = 0
    mine.cache.intercept = async (call, proceed) => {
      if (call !== 'cas') return await proceed()
      sent += 1
      if (sent === 1) return { outcome: 'too-large' }
      const answer = await proceed()
      if (sent > 2) return answer
      throw tierUnavailable('memory', call, { because: 'the connection was reset', applied: 'unknown' })
    }
    mine.backend.intercept = async (call, proceed) => {
      if (call === 'update') throw tierUnavailable('memory', call, { because: 'it is down', applied: 'no' })
      return await proceed()
    }
    await expectCode(mine.store.save(session), 'E_SESSION_UNAVAILABLE')
    await settled()
    expect(sent).toBeGreaterThan(2)
    expect(await cached(id)).toMatchObject({ kind: 'live', frozen: false })
  })

  test('is back in the cache when it is small again', async () => {
    const { one, other, id, cached, backend } = await withLarge()
    await loaded(other, id)
    await change(one, id, (data) => {
      delete data['big']
    })
    await loaded(other, id)
    await loaded(other, id)
    expect(await cached(id)).toMatchObject({ kind: 'live' })
    expect(await calls(backend, () => loaded(one, id))).toEqual([])
  })

  test('is destroyed like any other, its mark and all', async () => {
    const { one, other, id, cached } = await withLarge()
    await loaded(other, id)
    await one.destroy(id)
    expect(await cached(id)).toMatchObject({ kind: 'tombstone' })
    expect(await other.load(id)).toBeUndefined()
  })

  test('that is gone from the backend behind its mark is gone', async () => {
    const { other, id, backend, cached, runtime } = await withLarge()
    await loaded(other, id)
    runtime.advance(3 * 86_400_000)
    await backend.purge({ now: runtime.now(), limit: 10 })
    expect(await other.load(id)).toBeUndefined()
    expect(await cached(id)).toMatchObject({ kind: 'nothing' })
  })
})

describe('maxSessionBytes', () => {
  test('refuses more, naming what came and what is allowed, and leaves what stood there', async () => {
    const { process } = world()
    const store = process({ maxSessionBytes: 2_000 })
    const { id } = await store.create({ n: 1 })
    const tooLarge = { data: 'x'.repeat(3_000) }
    const refused = await store.create(tooLarge).catch((error: unknown) => error)
    expect(refused).toMatchObject({ code: 'E_SESSION_TOO_LARGE', applied: 'no' })
    expect(String(refused)).toMatch(/at most 2000 bytes.*got 30\d\d/)
    await expectCode(
      change(store, id, (data) => Object.assign(data, tooLarge)),
      'E_SESSION_TOO_LARGE',
    )
    await expectCode(store.put(id, tooLarge), 'E_SESSION_TOO_LARGE')
    await expectCode(
      store.update(id, (data) => Object.assign(data, tooLarge)),
      'E_SESSION_TOO_LARGE',
    )
    expect((await loaded(store, id)).data).toEqual({ n: 1 })
  })

  test('holds for far larger data too, in one direction as in the other', async () => {
    const { process } = world()
    const [small, large] = [
      process({ maxSessionBytes: 2_000 }),
      process({ maxSessionBytes: 104_857_600, deadlineMs: 600_000 }),
    ]
    let shared: unknown = []
    for (let level = 0; level < 40; level += 1) shared = [shared, shared]
    for (const data of [{ bytes: Buffer.alloc(70_000_000, 7) }, { shared }])
      await expect(small.create(data)).rejects.toMatchObject({
        code: 'E_SESSION_TOO_LARGE',
        applied: 'no',
        message: expect.stringMatching(/at most 2000 bytes \(maxSessionBytes\), got more than 8000/),
      })
    const { id } = await large.create({ bytes: Buffer.alloc(70_000_000, 7) })
    expect((await loaded(large, id)).data['bytes']).toHaveLength(70_000_000)
  })

  test('refuses two changes that fit alone and not together', async () => {
    const { process } = world()
    const [one, other] = [process({ maxSessionBytes: 2_000 }), process({ maxSessionBytes: 2_000 })]
    const { id } = await one.create({})
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    mine.data['mine'] = 'x'.repeat(1_200)
    theirs.data['theirs'] = 'x'.repeat(1_200)
    await one.save(mine)
    await expectCode(other.save(theirs), 'E_SESSION_TOO_LARGE')
    expect(Object.keys((await loaded(one, id)).data)).toEqual(['mine'])
  })
})

describe('maxSessionValues', () => {
  const MANY = 101

  const many = <Value>(value: (at: number) => Value): Value[] => Array.from({ length: MANY }, (_, at) => value(at))

  const TOO_MANY: readonly (readonly [what: string, data: Record<string, unknown>, path: string])[] = [
    ['properties', Object.fromEntries(many((at) => [`key${at}`, at])), 'data'],
    ['nested properties', { user: { seen: Object.fromEntries(many((at) => [`key${at}`, at])) } }, 'data.user.seen'],
    ['elements', { few: [1, 2, 3], list: many((at) => at) }, 'data.list'],
    ['elements of elements', { list: many(() => [[]]) }, 'data.list'],
    ['entries of a Map', { map: new Map(many((at) => [at, at])) }, 'data.map'],
    ['members of a Set', { set: new Set(many((at) => at)) }, 'data.set'],
    ['objects', { cart: { items: many((at) => ({ at })) } }, 'data.cart.items'],
  ]

  test.each(TOO_MANY)(
    'refuses too many %s, with the path of the largest part and the size',
    async (_what, data, path) => {
      const store = world().process({ maxSessionValues: 100 })
      const { id } = await store.create({ n: 1 })
      const refused = { code: 'E_SESSION_TOO_LARGE', applied: 'no', path }
      const said = /at most 100 values \(maxSessionValues\), got at least [12]\d\d:/
      for (const call of [
        () => store.create(data),
        () => store.put(id, data),
        () => change(store, id, (held) => Object.assign(held, data)),
        () => store.update(id, () => data),
        async () => {
          const session = await loaded(store, id)
          session.data = data
          return await store.regenerate(session)
        },
      ])
        await expect(call()).rejects.toMatchObject({ ...refused, message: expect.stringMatching(said) })
      expect((await loaded(store, id)).data).toEqual({ n: 1 })
    },
  )

  test('takes as many as it says, the data itself not counted', async () => {
    const store = world().process({ maxSessionValues: 100 })
    await store.create({ list: many((at) => at).slice(2) })
    await expectCode(store.create({ list: many((at) => at).slice(1) }), 'E_SESSION_TOO_LARGE')
  })

  test('is 10,000, also where far more come', async () => {
    const store = world().process()
    const keys = (count: number) => Object.fromEntries(Array.from({ length: count }, (_, at) => [`key${at}`, at]))
    await store.create(keys(10_000))
    await expect(store.create({ deep: { map: keys(100_000) } })).rejects.toMatchObject({
      path: 'data.deep.map',
      message: expect.stringMatching(/at most 10000 values \(maxSessionValues\), got at least 10000\d:.*property 0/),
    })
  })

  test('is no reason to refuse a read: what stands there is served, and may be made smaller', async () => {
    const { process } = world()
    const [strict, generous] = [process({ maxSessionValues: 100 }), process()]
    const { id } = await generous.create({ list: many((at) => at) })
    const session = await loaded(strict, id)
    expect(session.data['list']).toHaveLength(MANY)
    session.data['one'] = 1
    await expectCode(strict.save(session), 'E_SESSION_TOO_LARGE')
    session.data['list'] = [1]
    await strict.save(session)
    expect((await loaded(generous, id)).data).toEqual({ list: [1], one: 1 })
  })

  test('refuses two changes that fit alone and not together', async () => {
    const { process } = world()
    const [one, other] = [process({ maxSessionValues: 100 }), process({ maxSessionValues: 100 })]
    const { id } = await one.create({})
    const [mine, theirs] = [await loaded(one, id), await loaded(other, id)]
    mine.data['mine'] = many((at) => at).slice(0, 60)
    theirs.data['theirs'] = many((at) => at).slice(0, 60)
    await one.save(mine)
    await expect(other.save(theirs)).rejects.toMatchObject({ code: 'E_SESSION_TOO_LARGE' })
    expect(Object.keys((await loaded(one, id)).data)).toEqual(['mine'])
  })

  test('is not counted by a codec that does not count', async () => {
    const codec: Codec = { ...msgpackCodec, id: 200, encode: (value) => msgpackCodec.encode(value) }
    const store = world().process({ maxSessionValues: 100, codec })
    const { id } = await store.create({ list: many((at) => at) })
    expect((await loaded(store, id)).data['list']).toHaveLength(MANY)
  })
})

test('data of too many bytes is refused with the path of its largest part', async () => {
  const store = world().process({ maxSessionBytes: 2_000 })
  const carts = [{ note: 'x'.repeat(100) }, { note: 'x'.repeat(2_000), bytes: Buffer.alloc(500) }]
  for (const size of [1, 10])
    await expect(store.create({ carts, more: 'x'.repeat(1_500 * (size - 1)) })).rejects.toMatchObject({
      code: 'E_SESSION_TOO_LARGE',
      path: size === 1 ? 'data.carts[1].note' : 'data.more',
    })
})
