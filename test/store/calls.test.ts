import { runInNewContext } from 'node:vm'
import { describe, expect, test } from 'vitest'
import { jsonLike, msgpackCodec } from '../../src/codecs/index.js'
import type { Session, SessionStore } from '../../src/contract/session-store.js'
import { type Data, expectCode, increment, loaded, settled, world } from './world.js'

describe('a session or its id', () => {
  const GIVEN: Record<string, (session: Session<Data>) => Session<Data> | string> = {
    'a session': (session) => session,
    'an id': ({ id }) => id,
  }

  test.each(Object.keys(GIVEN))('%s can be destroyed, touched and regenerated', async (what) => {
    const { process, runtime } = world()
    const store = process({ idleTtlMs: 100_000 })
    const given = GIVEN[what] ?? expect.fail()
    const session = await store.create({ cart: 'tea' })
    runtime.advance(60_000)
    await store.touch(given(session), { idleTtlMs: 500_000 })
    expect((await loaded(store, session.id)).idleTtlMs).toBe(500_000)

    const regenerated = await store.regenerate(given(session))
    expect(regenerated.data).toEqual({ cart: 'tea' })
    expect(await store.load(session.id)).toBeUndefined()

    await store.destroy(given(regenerated))
    expect(await store.load(regenerated.id)).toBeUndefined()
  })

  test('a session takes into its regeneration what the request changed, and an id what is stored', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({ n: 1 })
    session.data['n'] = 2
    const other = await store.create({ n: 1 })
    other.data['n'] = 2
    const regenerated = store.regenerate(session)
    session.data['n'] = 3
    expect((await loaded(store, (await regenerated).id)).data).toEqual({ n: 2 })
    expect((await store.regenerate(other.id)).data).toEqual({ n: 1 })
  })

  test('of one that is gone, a touch does nothing, a destroy succeeds and a regeneration is refused', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({})
    await store.destroy(session)
    for (const given of [session, session.id, 'never there']) {
      await store.touch(given)
      await expectCode(store.regenerate(given), 'E_SESSION_DESTROYED')
      await store.destroy(given)
    }
  })

  const CALLS: Record<string, (store: SessionStore<Data>, id: string) => Promise<unknown>> = {
    load: (store, id) => store.load(id),
    create: (store, id) => store.create({}, { id }),
    put: (store, id) => store.put(id, {}),
    update: (store, id) => store.update(id, () => {}),
    touch: (store, id) => store.touch(id),
    regenerate: (store, id) => store.regenerate(id),
    destroy: (store, id) => store.destroy(id),
  }
  test.each(Object.keys(CALLS))(
    '%s refuses a handle of a listing, and a key, before any tier is asked',
    async (name) => {
      const { process, cache, backend } = world()
      const store = process()
      await store.create({ user: 'ada' })
      await settled()
      const [listed] = await store.list()
      const handle = listed?.handle ?? expect.fail()
      const asked = cache.calls.length + backend.calls.length
      for (const wrong of [handle, `nonstick:${handle.slice(2)}`])
        await expectCode(CALLS[name]?.(store, wrong) ?? expect.fail(), 'E_INVALID_ID')
      expect(cache.calls.length + backend.calls.length).toBe(asked)
      expect(await store.count()).toBe(1)
    },
  )

  test.each([undefined, null, '', 7])('destroy refuses %o', async (id) => {
    await expectCode(
      world()
        .process()
        .destroy(id as never),
      'E_INVALID_ID',
    )
  })

  test('an id of an application that has a colon in it is no key', async () => {
    const store = world().process()
    for (const id of ['nonstick:', 'nonstick:ann', `other:${'k'.repeat(43)}`, `nonstick:${'|'.repeat(43)}`])
      expect((await store.create({}, { id })).id).toBe(id)
  })
})

test('a copy of a session has all that a session has, as it stood when the copy was made', async () => {
  const { process, runtime } = world()
  const store = process({ idleTtlMs: 100_000 })
  const { id } = await store.create({ user: 1 })
  const session = await loaded(store, id)
  const copy = { ...session }
  const { createdAt, seenAt, expiresAt, absoluteExpiresAt, idleTtlMs, reads, writes } = session
  const life = { createdAt, seenAt, expiresAt, absoluteExpiresAt, idleTtlMs }
  const recorded = { reads, writes, app: '', address: undefined, userAgent: undefined }
  expect(copy).toStrictEqual({ id, data: session.data, ...life, ...recorded })
  expect(JSON.parse(JSON.stringify(session))).toEqual(copy)
  runtime.advance(50_000)
  await store.touch(session)
  expect(session.expiresAt).toBeGreaterThan(copy.expiresAt)
  expect(copy.expiresAt).toBe(expiresAt)
})

describe('what a function of update returns', () => {
  const dataAfter = async (before: Data, change: (data: Data) => unknown) => {
    const store = world().process()
    const { id } = await store.create(before)
    const updated = await store.update(id, change)
    expect(updated?.data).toEqual((await loaded(store, id)).data)
    return updated?.data
  }
  const item = { name: 'tea' }

  test('is stored where it is a new plain object, or a promise of one', async () => {
    expect(await dataAfter({ n: 1, m: 1 }, ({ n: _, ...rest }) => ({ ...rest, k: 1 }))).toEqual({ m: 1, k: 1 })
    expect(await dataAfter({ n: 1 }, async (data) => ({ ...data, m: 2 }))).toEqual({ n: 1, m: 2 })
    expect(await dataAfter({ n: 1 }, () => Object.assign(Object.create(null), { m: 2 }))).toEqual({ m: 2 })
  })

  test.each<[string, Data, (data: Data) => unknown, Data]>([
    ['the data', { n: 1 }, (data) => Object.assign(data, { n: 2 }), { n: 2 }],
    ['a part that stood in it', { a: { b: item } }, (data) => (data as { a: { b: object } }).a.b, { a: { b: item } }],
    ['a part that was put into it', {}, (data) => (data['user'] = { ...item }), { user: item }],
    ['a part that was taken out', { cart: [item] }, ({ cart }) => (cart as object[]).pop(), { cart: [] }],
    ['a list of what was taken out', { cart: [item] }, ({ cart }) => (cart as object[]).splice(0), { cart: [] }],
    [
      'a part in a Map',
      { m: new Map([[1, item]]) },
      ({ m }) => (m as Map<number, object>).get(1),
      { m: new Map([[1, item]]) },
    ],
    ['a part in a Set', { s: new Set([item]) }, ({ s }) => [...(s as Set<object>)][0], { s: new Set([item]) }],
    ['a number', { n: 1 }, () => 7, { n: 1 }],
    ['nothing', { n: 1 }, () => null, { n: 1 }],
    ['an instance of a class', { n: 1 }, () => new URL('http://localhost/'), { n: 1 }],
  ])('is ignored where it is %s', async (_what, before, change, stored) => {
    expect(await dataAfter(before, change)).toEqual(stored)
  })

  test('goes through a round of changes that came together, each on what the last one left', async () => {
    const store = world().process()
    const { id } = await store.create({ n: 0, log: [] })
    const changes = Array.from({ length: 20 }, (_, at) =>
      store.update(id, (data) =>
        at % 2 === 0 ? { ...data, n: Number(data['n']) + 1 } : void (data['log'] as number[]).push(at),
      ),
    )
    await Promise.all(changes)
    expect((await loaded(store, id)).data).toEqual({ n: 10, log: [1, 3, 5, 7, 9, 11, 13, 15, 17, 19] })
  })

  test('is made anew where another process came between', async () => {
    const cluster = world()
    const [store, other] = [cluster.process(), cluster.process()]
    const { id } = await store.create({ count: 0 })
    let calls = 0
    await store.update(id, async (data) => {
      calls += 1
      if (calls === 1) await increment(other, id)
      return { ...data, mine: true }
    })
    expect(calls).toBe(2)
    expect((await loaded(other, id)).data).toEqual({ count: 1, mine: true })
  })
})

describe('what is mistaken is refused', () => {
  test('an idle time-out below a second, by every call that takes one', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({ n: 1 }, { idleTtlMs: 1_000 })
    expect(session.idleTtlMs).toBe(1_000)
    for (const idleTtlMs of [60, 999, 0, -1, 1_000.5, Number.NaN])
      for (const call of [
        () => store.create({}, { idleTtlMs }),
        () => store.save(session, { idleTtlMs }),
        () => store.touch(session, { idleTtlMs }),
        () => store.put('an-id', {}, { idleTtlMs }),
        () => store.update(session.id, () => {}, { idleTtlMs }),
      ])
        await expectCode(call(), 'E_CONFIG')
    expect(await store.count()).toBe(1)
  })

  test('unmergedKeys, by the calls that merge nothing', async () => {
    const store = world().process()
    const { id } = await store.create({})
    await expectCode(store.put(id, {}, { unmergedKeys: ['a'] } as never), 'E_CONFIG')
    await expectCode(
      store.update(id, () => {}, { unmergedKeys: ['a'] } as never),
      'E_CONFIG',
    )
  })

  test.each(['falut', 'error', 'toString', undefined, null, 3])('a listener for the event %o', (name) => {
    expect(() =>
      world()
        .process()
        .on(name as never, () => {}),
    ).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
  })

  test('a misspelt event is told what may have been meant, and a listener is a function', () => {
    const store = world().process()
    expect(() => store.on('falut' as never, () => {})).toThrow('did you mean `fault`?')
    expect(() => store.on('fault', 'log' as never)).toThrow('Expected `listener` to be a function')
  })

  test.each<[string, (data: Data) => unknown]>([
    ['a promise', async ({ name }) => name],
    ['a promise that rejects', async () => Promise.reject(new Error('no database'))],
    ['false', ({ age }) => age !== undefined],
    ['NaN', ({ age }) => Number(age)],
    ['an object', () => ({ id: 7 })],
  ])('%s as a user: the call rejects, and nothing is stored', async (_what, identify) => {
    const store = world().process({ identify: identify as never })
    await expectCode(store.create({ name: 'ann' }), 'E_CONFIG')
    await expectCode(store.put('an-id', { name: 'ann' }), 'E_CONFIG')
    expect(await store.count()).toBe(0)
  })
})

describe('options of a call that are of another kind than expected are refused', () => {
  test.each<[string, (store: SessionStore<Data>) => Promise<unknown>]>([
    ['none at all: null', (store) => store.load('an-id', null as never)],
    ['a list', (store) => store.create({}, [] as never)],
    ['a function', (store) => store.close((() => {}) as never)],
    ['null for `ready`', (store) => store.ready(null as never)],
    ['a text for true', async (store) => store.save(await store.create({}), { durable: 'true' as never })],
    ['a text for false', async (store) => store.save(await store.create({}), { isolated: 'false' as never })],
    ['a number for false', (store) => store.load('an-id', { touch: 0 as never })],
    ['null for false', (store) => store.destroy('an-id', { isNew: null as never })],
    [
      'a key for a list of keys',
      async (store) => store.save(await store.create({}), { unmergedKeys: 'cookie' as never }),
    ],
    ['a list of numbers', async (store) => store.save(await store.create({}), { unmergedKeys: [1] as never })],
  ])('%s', async (_what, call) => {
    const store = world().process()
    await expectCode(call(store), 'E_CONFIG')
    await store.close({ deadlineMs: 100 })
  })
})

describe('what `beforeSave` and `conflict` return', () => {
  const wrong: [string, () => unknown][] = [
    ['a promise', async () => ({ n: 2 })],
    ['a promise that rejects', async () => await Promise.reject(new Error('by itself'))],
    ['a promise of another realm', () => runInNewContext('Promise.resolve({ n: 2 })') as unknown],
    ['what `delete` gives', () => true],
    ['a text', () => 'cake'],
  ]
  const wrongOfAConflict: [string, () => unknown][] = [...wrong, ['nothing', () => {}], ['null', () => null]]
  const codecs = { msgpack: msgpackCodec, jsonLike: jsonLike() }

  test.each(wrong)('is refused where it is %s, and nothing is stored', async (_what, give) => {
    for (const codec of Object.values(codecs)) {
      const store = world().process({ codec, beforeSave: give as never })
      await expectCode(store.create({ n: 1 }), 'E_CONFIG')
      expect(await store.count()).toBe(0)
    }
  })

  test.each(wrongOfAConflict)(
    'is refused where, of a conflict, it is %s, and the first change stands',
    async (_what, give) => {
      for (const codec of Object.values(codecs)) {
        const store = world().process({ codec, conflict: give as never })
        const { id } = await store.create({ n: 1 })
        const [one, other] = [await loaded(store, id), await loaded(store, id)]
        other.data['theirs'] = true
        await store.save(other)
        one.data['n'] = 2
        await expectCode(store.save(one), 'E_CONFIG')
        expect((await loaded(store, id)).data).toEqual({ n: 1, theirs: true })
      }
    },
  )

  test('may be of any kind where the data is no object', async () => {
    const store = world().process({ beforeSave: ((data: unknown) => `${String(data)}!`) as never })
    const { id } = await store.create('tea' as never)
    expect((await loaded(store, id)).data).toBe('tea!')
  })
})

test('a listener that ends itself and begins anew hears of each event once', async () => {
  const { process } = world()
  const store = process()
  let heard = 0
  const listen = (): void => {
    const end = store.on('flush', () => {
      heard += 1
      if (heard > 10) return
      end()
      listen()
    })
  }
  listen()
  await store.create({})
  expect(heard).toBe(1)
})

test('two sessions that begin with one object have their data apart, of `create` and of `put`', async () => {
  const { process } = world()
  const store = process()
  const empty = Object.freeze({ cart: [] as string[] })
  const sessions = [
    await store.create(empty),
    await store.create(empty),
    await store.put('a new one', empty),
    await store.put('a new one', empty),
  ]
  for (const [at, { data }] of sessions.entries()) (data as unknown as typeof empty).cart.push(`of ${at}`)
  expect(sessions.map(({ data }) => data)).toEqual([0, 1, 2, 3].map((at) => ({ cart: [`of ${at}`] })))
  expect(empty).toEqual({ cart: [] })
})
