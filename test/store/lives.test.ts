import { describe, expect, test } from 'vitest'
import { type Data, expectCode, held, loaded, loseOneAnswer, settled, world } from './world.js'

const DAY_MS = 86_400_000
const MINUTE_MS = 60_000
/** Longer than a session may be idle by default, and its entry is kept in the cache. */
const IDLE_MS = 2 * DAY_MS

const pass = async ({ advance }: { readonly advance: (ms: number) => void }, ms: number): Promise<void> => {
  advance(ms)
  await settled()
}

describe('an id whose session has expired', () => {
  test.each(['create', 'identify', 'due'] as const)(
    'is free for create and for put (persistOn %s)',
    async (persistOn) => {
      const { process, runtime, loseCache } = world()
      const store = process({ persistOn })
      for (const losing of [false, true])
        for (const call of ['create', 'put'] as const) {
          const id = `${call}-${losing}`
          await store.put(id, { round: 1 })
          await pass(runtime, IDLE_MS)
          if (losing) loseCache()
          expect(await store.load(id)).toBeUndefined()
          if (call === 'create') await store.create({ round: 2 }, { id })
          else await store.put(id, { round: 2 })
          await settled()
          expect((await loaded(store, id)).data).toEqual({ round: 2 })
          await expectCode(store.create({ round: 3 }, { id }), 'E_SESSION_CONFLICT')
        }
    },
  )

  test('is free where its entry is still in the cache, though the backend, which is told less often, would keep it', async () => {
    const { process, runtime, cached, stored } = world()
    const store = process()
    for (const id of ['created', 'put']) await store.create({ round: 1 }, { id })
    await settled()
    await pass(runtime, 1.05 * DAY_MS)
    for (const id of ['created', 'put']) {
      expect(await cached(id)).toMatchObject({ kind: 'live', version: 1 })
      expect(await store.load(id)).toBeUndefined()
      expect(await stored(id)).toMatchObject({ state: 'live' })
    }
    await store.create({ round: 2 }, { id: 'created' })
    await store.put('put', { round: 2 })
    await settled()
    for (const id of ['created', 'put']) expect((await loaded(store, id)).data).toEqual({ round: 2 })
  })

  test('is free where the row was purged', async () => {
    const { process, runtime, backend } = world()
    const store = process()
    await store.create({ round: 1 }, { id: 'purged' })
    await settled()
    await runtime.advance(IDLE_MS)
    await backend.purge({ now: runtime.now(), limit: 10, graceMs: 0 })
    await store.create({ round: 2 }, { id: 'purged' })
    await settled()
    expect((await loaded(store, 'purged')).data).toEqual({ round: 2 })
  })

  test('is free while nobody reaches the cache, which then does not hide the new session', async () => {
    const { process, runtime, cache } = world()
    const store = process()
    await store.create({ round: 1 }, { id: 'unreached' })
    await settled()
    await runtime.advance(IDLE_MS)
    cache.unreachable = true
    const creating = store.create({ round: 2 }, { id: 'unreached' })
    await runtime.advance(5_000)
    await creating
    cache.unreachable = false
    await runtime.advance(MINUTE_MS)
    expect((await loaded(store, 'unreached')).data).toEqual({ round: 2 })
  })

  test('where the lease that a creation took got no answer, the old entry does not hide the new session', async () => {
    const { process, runtime, cache } = world()
    const store = process()
    await store.create({ round: 1 }, { id: 'unanswered' })
    await settled()
    await runtime.advance(IDLE_MS)
    const lost = loseOneAnswer(cache, 'add')
    await store.create({ round: 2 }, { id: 'unanswered' })
    expect(lost()).toBe(1)
    expect((await loaded(store, 'unanswered')).data).toEqual({ round: 2 })
  })

  test('is taken once, however many ask for it at once', async () => {
    const { process, runtime } = world()
    const stores = Array.from({ length: 5 }, () => process())
    await stores[0]?.create({ by: 'nobody' }, { id: 'asked-for' })
    await settled()
    await runtime.advance(IDLE_MS)
    const asked = await Promise.allSettled(stores.map((store, by) => store.create({ by }, { id: 'asked-for' })))
    expect(asked.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await settled()
    const winner = asked.findIndex(({ status }) => status === 'fulfilled')
    for (const store of stores) expect((await loaded(store, 'asked-for')).data).toEqual({ by: winner })
  })

  test('is not free while the session is in use, though the backend has not heard of that for long', async () => {
    const { process, runtime, backend } = world()
    const store = process()
    await store.create({ round: 1 }, { id: 'in-use' })
    await settled()
    backend.unreachable = true
    for (let hour = 0; hour < 40; hour += 1) {
      await pass(runtime, 60 * MINUTE_MS)
      await loaded(store, 'in-use')
      await settled()
    }
    backend.unreachable = false
    await expectCode(store.create({ round: 2 }, { id: 'in-use' }), 'E_SESSION_CONFLICT')
    expect((await loaded(store, 'in-use')).data).toEqual({ round: 1 })
  })
})

describe('a handle of a session that has expired, when another one was made under its id', () => {
  const another = async (persistOn: 'create' | 'due' = 'create') => {
    const made = world()
    const store = made.process({ persistOn })
    const old = await store.create({ round: 1 } as Data, { id: 'reused' })
    await settled()
    await pass(made.runtime, IDLE_MS)
    await made.process({ persistOn }).create({ round: 2 }, { id: 'reused' })
    await settled()
    return { ...made, store, old }
  }

  test.each(['create', 'due'] as const)(
    'stores nothing in it, by a save however durable (persistOn %s)',
    async (persistOn) => {
      const { store, old } = await another(persistOn)
      old.data['late'] = true
      for (const durable of [false, true]) await expectCode(store.save(old, { durable }), 'E_SESSION_DESTROYED')
      expect((await loaded(store, 'reused')).data).toEqual({ round: 2 })
    },
  )

  test('is not told that it is durable, where it changed nothing', async () => {
    const { store, old } = await another()
    await expectCode(store.save(old, { durable: true }), 'E_SESSION_DESTROYED')
  })

  test('moves it to no new id, and changes no time-out of it', async () => {
    const { store, old } = await another()
    await expectCode(store.regenerate(old), 'E_SESSION_DESTROYED')
    await store.touch(old, { idleTtlMs: 5_000 })
    expect((await loaded(store, 'reused')).idleTtlMs).toBe(DAY_MS)
  })

  test('a flush of it that comes late changes nothing', async () => {
    const { processWithTiers, process, runtime } = world()
    const slow = processWithTiers({ maxStaleCount: 1 })
    const old = await slow.store.create({ round: 1 } as Data, { id: 'late-flush' })
    await settled()
    const gate = held()
    slow.backend.intercept = async (call, proceed) => {
      if (call === 'update') await gate.opened
      return await proceed()
    }
    old.data['late'] = true
    const saving = slow.store.save(old).catch(() => undefined)
    await settled()
    await runtime.advance(IDLE_MS)
    const store = process()
    await store.create({ round: 2 }, { id: 'late-flush' })
    gate.open()
    await saving
    await settled()
    expect((await loaded(store, 'late-flush')).data).toEqual({ round: 2 })
  })
})

describe('a destroy where nothing stands', () => {
  test('leaves nothing in either tier under an id that nobody else knows', async () => {
    const { process, stored, cached } = world()
    expect(await process().destroy('new', { isNew: true })).toEqual({ cache: 'tombstone' })
    expect(await stored('new')).toEqual({ state: 'absent' })
    expect(await cached('new')).toBeUndefined()
  })

  test.each(['create', 'due'] as const)(
    'ends a session that stands all the same, in either tier (persistOn %s)',
    async (persistOn) => {
      const { process, loseCache } = world()
      const store = process({ persistOn })
      await store.create({}, { id: 'not-new' })
      await store.destroy('not-new', { isNew: true })
      expect(await store.load('not-new')).toBeUndefined()
      loseCache()
      expect(await store.load('not-new')).toBeUndefined()
    },
  )

  test('is forgotten after hours, and one of a session that stood there after a month', async () => {
    const { process, runtime, backend, stored } = world()
    const store = process()
    await store.create({}, { id: 'stood' })
    for (const id of ['stood', 'nobody']) await store.destroy(id)
    const purge = async (): Promise<void> => void (await backend.purge({ now: runtime.now(), limit: 10, graceMs: 0 }))
    await runtime.advance(239 * MINUTE_MS)
    await purge()
    expect(await stored('nobody')).toEqual({ state: 'destroyed' })
    await runtime.advance(2 * MINUTE_MS)
    await purge()
    expect(await stored('nobody')).toEqual({ state: 'absent' })
    await runtime.advance(30 * DAY_MS)
    await purge()
    expect(await stored('stood')).toEqual({ state: 'destroyed' })
  })

  test('is remembered as long as a session may live, where creations are put off', async () => {
    const { process, runtime, backend, stored } = world()
    await process({ persistOn: 'due' }).destroy('nobody')
    await runtime.advance(30 * DAY_MS)
    await backend.purge({ now: runtime.now(), limit: 10, graceMs: 0 })
    expect(await stored('nobody')).toEqual({ state: 'destroyed' })
  })

  test.each(['create', 'due'] as const)(
    'an insert that was under way before it comes in neither while its tombstone stands nor after (persistOn %s)',
    async (persistOn) => {
      for (const laterMs of [MINUTE_MS, 31 * DAY_MS]) {
        const { process, processWithTiers, runtime, backend, stored, loseCache } = world()
        const slow = processWithTiers({ persistOn, maxStaleCount: 2 })
        const gate = held()
        slow.backend.intercept = async (call, proceed) => {
          if (call === 'insert') await gate.opened
          return await proceed()
        }
        const creating = slow.store.put('late', { count: 1 }, { durable: true })
        const saving = creating.then((session) => {
          session.data['count'] = 2
          return slow.store.save(session, { durable: true })
        })
        void saving.catch(() => undefined)
        await settled()
        const other = process({ persistOn })
        await other.destroy('late')
        loseCache()
        for (let passed = 0; passed < laterMs; passed += laterMs / 4) {
          await pass(runtime, laterMs / 4)
          await backend.purge({ now: runtime.now(), limit: 10, graceMs: 0 })
        }
        gate.open()
        await settled()
        expect(['absent', 'destroyed']).toContain((await stored('late')).state)
        expect(await other.load('late')).toBeUndefined()
      }
    },
  )
})
