import { describe, expect, test } from 'vitest'
import { change, type Data, expectCode, increment, loaded, settled, world } from './world.js'

const identify = (data: Data): string | undefined => data['user'] as string | undefined
const ADDRESS = '192.0.2.7'
const BROWSER = 'Browser/1.0'
const CLIENT = { address: ADDRESS, userAgent: BROWSER }

describe('what a session records of its use', () => {
  test('a new session was written once, read never, and seen when it was created', async () => {
    const { process, runtime } = world()
    const session = await process().create({})
    const facts = { createdAt: runtime.now(), seenAt: runtime.now(), reads: 0, writes: 1, app: '' }
    expect(session).toMatchObject({ ...facts, address: undefined, userAgent: undefined })
    expect({ ...session }).toMatchObject(facts)
  })

  test('each accepted change counts as a write, and one that changes nothing does not', async () => {
    const { process, loseCache } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    for (let n = 0; n < 5; n += 1) await increment(store, id)
    await store.save(await loaded(store, id))
    await store.update(id, () => undefined)
    expect((await loaded(store, id)).writes).toBe(6)
    await store.save(await loaded(store, id), { durable: true })
    loseCache()
    expect((await loaded(store, id)).writes).toBe(6)
  })

  test('without an interval between touches each load counts as a read', async () => {
    const { process, runtime } = world()
    const store = process({ touchIntervalMs: 0 })
    const { id } = await store.create({})
    for (let n = 0; n < 5; n += 1) {
      runtime.advance(1)
      await loaded(store, id)
      await settled()
    }
    expect(await store.load(id, { touch: false })).toMatchObject({ reads: 5, writes: 1, seenAt: runtime.now() })
  })

  test('with one, at most one use in each interval is counted, and only that is known', async () => {
    const { process, runtime } = world()
    const store = process({ touchIntervalMs: 10_000 })
    const { id, createdAt } = await store.create({})
    await settled()
    for (let second = 1; second < 30; second += 1) {
      runtime.advance(1_000)
      await loaded(store, id)
      await settled()
    }
    expect(await store.load(id, { touch: false })).toMatchObject({ reads: 2, seenAt: createdAt + 20_000 })
  })

  test('a request sees when the session was used before it, and after a touch of its own that', async () => {
    const { process, runtime } = world()
    const store = process({ touchIntervalMs: 0 })
    const { id, createdAt } = await store.create({})
    await settled()
    runtime.advance(60_000)
    const session = await store.load(id, { touch: false })
    expect(session?.seenAt).toBe(createdAt)
    await store.touch(session ?? expect.fail())
    expect(session?.seenAt).toBe(runtime.now())
  })

  test('the numbers of a session with a new id begin anew', async () => {
    const { process } = world()
    const store = process({ touchIntervalMs: 0 })
    const session = await store.create({ count: 0 })
    for (let n = 0; n < 3; n += 1) await increment(store, session.id)
    expect(await store.regenerate(session.id)).toMatchObject({ reads: 0, writes: 1 })
  })
})

describe('the application of a session', () => {
  test('is that of its store, or the one that create was given, and stays that for good', async () => {
    const { process, stored, loseCache } = world()
    const shop = process({ app: 'shop' })
    const mine = await shop.create({ count: 0 })
    const theirs = await shop.create({}, { app: 'desk.2' })
    expect([mine.app, theirs.app]).toEqual(['shop', 'desk.2'])
    const other = process()
    await increment(other, mine.id)
    loseCache()
    expect((await loaded(other, mine.id)).app).toBe('shop')
    expect((await other.regenerate(mine.id)).app).toBe('shop')
    const put = await shop.put('an id of a framework', {})
    expect(await stored(put.id)).toMatchObject({ session: { app: 'shop' } })
    expect(await shop.count({ app: 'shop' })).toBe(2)
  })

  test.each(['a b', 'größer', 'a/b', 'x'.repeat(65), 7, null])('%o is refused as its name', async (app) => {
    const { process, backend } = world()
    expect(() => process({ app: app as string })).toThrow('Expected `app` to be an application: up to 64 letters')
    await expectCode(process().create({}, { app: app as string }), 'E_CONFIG')
    expect(backend.calls).toEqual([])
  })

  test('the longest name is kept, and the empty one is none', async () => {
    const { process } = world()
    const longest = 'a-Z_0.9x'.repeat(8)
    expect((await process().create({}, { app: longest })).app).toBe(longest)
    expect((await process({ app: 'shop' }).create({}, { app: '' })).app).toBe('')
  })
})

describe('the client of a session', () => {
  test('is not recorded unless a call is given it', async () => {
    const { process, stored } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    await store.save(await loaded(store, id), { durable: true })
    expect(await stored(id)).toMatchObject({ session: { address: undefined, userAgent: undefined } })
  })

  test('every call that writes can be given it, and it is there after a loss of the cache', async () => {
    const { process, loseCache } = world()
    const store = process({ maxStaleCount: 1 })
    const created = await store.create({ count: 0 }, { client: CLIENT })
    expect(created).toMatchObject(CLIENT)
    created.data['count'] = 1
    await store.save(created, { client: { address: '198.51.100.1', userAgent: 'saved' } })
    loseCache()
    expect(await loaded(store, created.id)).toMatchObject({ address: '198.51.100.1', userAgent: 'saved' })
    const bump = (data: Data): unknown => Object.assign(data, { count: 2 })
    const updated = await store.update(created.id, bump, { client: { userAgent: 'updated' } })
    expect(updated).toMatchObject({ address: undefined, userAgent: 'updated' })
    expect(await store.put(created.id, { count: 3 }, { client: CLIENT })).toMatchObject(CLIENT)
    expect(await store.put('another id', {}, { client: CLIENT })).toMatchObject(CLIENT)
    const regenerated = await store.regenerate(created.id, { client: { address: '203.0.113.9' } })
    loseCache()
    expect(await loaded(store, regenerated.id)).toMatchObject({ address: '203.0.113.9', userAgent: undefined })
  })

  test('stays as it was with a write that is not told of it, and with a new id', async () => {
    const { process } = world()
    const store = process()
    const session = await store.create({ count: 0 }, { client: CLIENT })
    await increment(store, session.id)
    expect(await loaded(store, session.id)).toMatchObject(CLIENT)
    expect(await store.regenerate(session.id)).toMatchObject(CLIENT)
  })

  test('alone it is no reason for a write, and goes with the next one of the same session object', async () => {
    const { process, cached } = world()
    const store = process()
    const session = await store.create({ count: 0 })
    await settled()
    expect(await store.save(session, { client: CLIENT })).toMatchObject({ changed: false })
    expect(await cached(session.id)).toMatchObject({ version: 1, address: undefined })
    session.data['count'] = 1
    await store.save(session)
    expect(await cached(session.id)).toMatchObject({ version: 2, ...CLIENT })
    await store.update(session.id, () => undefined, { client: { address: '203.0.113.9' } })
    expect(await cached(session.id)).toMatchObject({ version: 2, ...CLIENT })
  })

  test('a login brings it along, also where the login takes a new id', async () => {
    const { process, stored } = world()
    const store = process({ identify })
    const visitor = await store.create({})
    await store.save(visitor, { client: CLIENT })
    visitor.data['user'] = 'ada'
    const user = await store.regenerate(visitor)
    expect(await stored(user.id)).toMatchObject({ session: { userId: 'ada', ...CLIENT } })
  })

  test('of several updates in one round the last client that was given counts', async () => {
    const { process } = world()
    const store = process()
    const { id } = await store.create({ count: 0 })
    const add = (data: Data): unknown => Object.assign(data, { count: Number(data['count']) + 1 })
    await store.update(id, add)
    const clients = ['first', 'second', 'third'].map((userAgent) => ({ userAgent }))
    await Promise.all([...clients.map((client) => store.update(id, add, { client })), store.update(id, add)])
    expect(await loaded(store, id)).toMatchObject({ data: { count: 5 }, userAgent: 'third' })
  })

  test('what a request sent is cut and cleaned rather than refused', async () => {
    const { process, stored } = world()
    const store = process()
    const session = await store.create({}, { client: { address: 'a\0b', userAgent: 'ö'.repeat(10_000) } })
    expect(session).toMatchObject({ address: 'a�b', userAgent: 'ö'.repeat(127) })
    expect(await stored(session.id)).toMatchObject({ session: { address: 'a�b', userAgent: 'ö'.repeat(127) } })
  })

  test.each([
    ['a text', '192.0.2.1'],
    ['null', null],
    ['a number as the address', { address: 7 }],
    ['null as the address', { address: null }],
    ['another field', { adress: '192.0.2.1' }],
    ['a promise', Promise.resolve(CLIENT)],
  ])('%s is refused as a client, and nothing of it is shown', async (_, client) => {
    const { process } = world()
    const store = process()
    const given = { client: client as never }
    const session = await store.create({ count: 0 })
    for (const call of [
      () => store.create({}, given),
      () => store.save(session, given),
      () => store.update(session.id, () => undefined, given),
      () => store.put(session.id, {}, given),
      () => store.regenerate(session, given),
    ]) {
      const complaint = await call().catch((error: unknown) => error)
      expect(complaint).toMatchObject({ code: 'E_CONFIG' })
      expect(String(complaint)).toContain('Expected `client` to be an object with the texts `address` and `userAgent`')
      expect(String(complaint)).not.toContain('192.0.2.1')
    }
    await change(store, session.id, (data) => Object.assign(data, { count: 1 }))
  })
})
