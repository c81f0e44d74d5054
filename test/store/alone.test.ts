import { describe, expect, test } from 'vitest'
import { isAlone } from '../../src/session/envelope.js'
import { type Data, expectCode, held, loaded, settled, world } from './world.js'

const USER = { identify: (data: Data) => data['user'] as string | undefined }

/** A session that stands in the cache alone, and two processes. */
const visited = async (persistOn: 'identify' | 'due' = 'identify') => {
  const here = world()
  const options = { ...USER, persistOn }
  const [store, other] = [here.process(options), here.process(options)]
  const session = await store.create({ page: 1 })
  const { id } = session
  return { ...here, options, store, other, session, id }
}

describe('a session that stands in the cache alone', () => {
  test('leaves nothing in the backend when it is destroyed, however often and by whom', async () => {
    const { store, other, id, stored, cached } = await visited()
    expect(await store.destroy(id)).toEqual({ cache: 'tombstone' })
    expect(await other.destroy(id)).toEqual({ cache: 'tombstone' })
    await store.destroyByHandle(store.handleOf(id))
    expect(await stored(id)).toEqual({ state: 'absent' })
    expect(await cached(id)).toMatchObject({ kind: 'tombstone', isAlone: true })
    expect(await other.load(id)).toBeUndefined()
  })

  test('does not come back by a save, a put or an update of whoever had it', async () => {
    const { store, other, session, id, stored, loseCache } = await visited()
    const theirs = await loaded(other, id)
    await store.destroy(id)
    theirs.data['page'] = 2
    await expectCode(other.save(theirs), 'E_SESSION_DESTROYED')
    await expectCode(other.put(id, {}), 'E_SESSION_DESTROYED')
    expect(await other.update(id, () => {})).toBeUndefined()
    await loseCache()
    session.data['page'] = 3
    await expectCode(store.save(session, { durable: true }), 'E_SESSION_DESTROYED')
    expect(await other.load(id)).toBeUndefined()
    expect(await stored(id)).toEqual({ state: 'absent' })
  })

  test('is kept as ended no longer than it would have stood there', async () => {
    const { store, id, cached } = await visited()
    const before = await cached(id)
    await store.destroy(id)
    expect((await cached(id))?.expiresAt).toBe(before?.expiresAt)
  })

  test('is marked before it is brought to the backend, so that a destroy which comes between leaves a tombstone', async () => {
    for (const [how, bring] of [
      ['a login', (session) => Object.assign(session.data, { user: 'ann' })],
      ['a durable save', (session) => Object.assign(session.data, { page: 2 })],
    ] as [string, (session: { data: Data }) => void][]) {
      const { store, other, session, id, backend, stored, cached, loseCache } = await visited()
      const insert = held()
      const sent = held()
      backend.intercept = async (call, proceed) => {
        if (call !== 'insert') return await proceed()
        sent.open()
        await insert.opened
        return await proceed()
      }
      bring(session)
      const saving = store.save(session, { durable: true })
      await sent.opened
      const entry = await cached(id)
      expect(entry?.kind === 'live' && isAlone(entry), how).toBe(false)
      await other.destroy(id)
      expect(await stored(id), how).toEqual({ state: 'destroyed' })
      insert.open()
      await expectCode(saving, 'E_SESSION_DESTROYED')
      await loseCache()
      expect(await other.load(id), how).toBeUndefined()
    }
  })

  test('brought to the backend by a durable save of what is unchanged, is marked as well, and ends with a tombstone', async () => {
    const { store, other, session, id, stored } = await visited()
    await store.save(session, { durable: true })
    expect(await stored(id)).toMatchObject({ state: 'live' })
    await other.destroy(id)
    expect(await stored(id)).toEqual({ state: 'destroyed' })
  })

  test('gets a new id without a row or a tombstone, with its data, for a visitor who has no user', async () => {
    const { store, other, session, id, stored, cached } = await visited()
    session.data['page'] = 7
    const again = await store.regenerate(session, { keepDeadline: true })
    expect(again.data).toEqual({ page: 7 })
    expect(again.absoluteExpiresAt).toBe(session.absoluteExpiresAt)
    for (const each of [id, again.id]) expect(await stored(each)).toEqual({ state: 'absent' })
    expect(await other.load(id)).toBeUndefined()
    expect((await loaded(other, again.id)).data).toEqual({ page: 7 })
    expect(await cached(id)).toMatchObject({ kind: 'tombstone', isAlone: true })
    again.data['page'] = 8
    expect(await store.save(again)).toMatchObject({ durability: 'cache' })
    await expectCode(store.regenerate(session), 'E_SESSION_DESTROYED')
  })

  test('gets a new id in the backend with a login, and where others wait for its changes', async () => {
    for (const persistOn of ['identify', 'due'] as const) {
      const { store, session, id, stored } = await visited(persistOn)
      if (persistOn === 'identify') session.data['user'] = 'ann'
      const again = await store.regenerate(session)
      expect(await stored(id)).toEqual({ state: 'destroyed' })
      expect(await stored(again.id)).toMatchObject({ state: 'live' })
    }
  })

  test('of two who give it a new id at once, one does', async () => {
    const { store, other, session, id, stored } = await visited()
    const theirs = await loaded(other, id)
    const results = await Promise.allSettled([store.regenerate(session), other.regenerate(theirs)])
    expect(results.map(({ status }) => status).sort()).toEqual(['fulfilled', 'rejected'])
    expect(await stored(id)).toEqual({ state: 'absent' })
  })

  test('is destroyed with a tombstone after an outage of its cache, when nobody can tell what it missed', async () => {
    const { other, id, cache, runtime, stored } = await visited()
    cache.unreachable = true
    for (let call = 0; call < 6; call += 1) {
      await other.load(id).catch(() => {})
      runtime.advance(1_000)
      await settled()
    }
    cache.unreachable = false
    runtime.advance(5_000)
    await other.destroy(id)
    await settled()
    expect(await stored(id)).toEqual({ state: 'destroyed' })
  })

  test('a destroy of an id that neither tier knows leaves a tombstone, unless it is new', async () => {
    const { store, stored } = await visited()
    await store.destroy('of nobody')
    await store.destroy('new', { isNew: true })
    expect(await stored('of nobody')).toEqual({ state: 'destroyed' })
    expect(await stored('new')).toEqual({ state: 'absent' })
  })

  test('where the cache takes no mark, and has room for a tombstone a moment later, the row that came is ended', async () => {
    const { store, other, session, id, cache, backend, stored, loseCache } = await visited()
    const insert = held()
    const sent = held()
    let isFull = true
    cache.intercept = async (call, proceed) => (isFull && call === 'cas' ? { outcome: 'refused' } : await proceed())
    backend.intercept = async (call, proceed) => {
      if (call !== 'insert') return await proceed()
      sent.open()
      await insert.opened
      return await proceed()
    }
    const saving = store.save(session, { durable: true })
    await sent.opened
    isFull = false
    await other.destroy(id)
    insert.open()
    await expectCode(saving, 'E_SESSION_DESTROYED')
    expect(await stored(id)).toEqual({ state: 'destroyed' })
    await loseCache()
    expect(await other.load(id)).toBeUndefined()
  })
})
