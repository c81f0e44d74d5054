import { describe, expect, test } from 'vitest'
import type { LegacySession, LegacyStore } from '../../src/contract/legacy.js'
import { createSessionStore } from '../../src/create-session-store.js'
import type { Envelope } from '../../src/session/envelope.js'
import type { StoreOptions } from '../../src/store/options.js'
import { calls, type Data, expectCode, held, increment, loaded, loseOneAnswer, settled, world } from './world.js'

const ID = 'an id that the old store gave out'
const HOUR_MS = 3_600_000
const DAY_MS = 24 * HOUR_MS

interface OldStore extends LegacyStore {
  readonly sessions: Map<string, LegacySession>
  /** The calls since this was last emptied: `get an id`. */
  readonly asked: string[]
  fails: boolean
  /** What a call waits for before it answers, with what it has read by then. */
  wait: () => Promise<void>
}

const oldStore = (given: Record<string, LegacySession> = {}, more: { readonly remove?: boolean } = {}): OldStore => {
  const sessions = new Map(Object.entries(given))
  const old: OldStore = {
    sessions,
    asked: [],
    fails: false,
    wait: async () => {},
    ...more,
    get: async (id) => {
      old.asked.push(`get ${id}`)
      if (old.fails) throw new Error('connection refused')
      const session = sessions.get(id)
      await old.wait()
      return session === undefined ? null : structuredClone(session)
    },
    destroy: async (id) => {
      old.asked.push(`destroy ${id}`)
      if (old.fails) throw new Error('connection refused')
      sessions.delete(id)
    },
  }
  return old
}

const identify = (data: Data): string | undefined => data['user'] as string | undefined

/** A world whose processes all come from one old store. */
const movingWorld = (old: OldStore, options: StoreOptions<Data> = {}) => {
  const common = world()
  return { ...common, process: (more: StoreOptions<Data> = {}) => common.process({ legacy: old, ...options, ...more }) }
}

describe('an id that neither tier knows', () => {
  test('is asked of the old store once, and what stands there is the session from then on, in both tiers and under the same id', async () => {
    const old = oldStore({ [ID]: { data: { cart: ['tea'] } } })
    const { process, loseCache, stored, cached, backend } = movingWorld(old)
    const store = process()
    expect((await loaded(store, ID)).data).toEqual({ cart: ['tea'] })
    expect(await stored(ID)).toMatchObject({ state: 'live' })
    expect(await cached(ID)).toMatchObject({ kind: 'live' })
    expect(old.asked).toEqual([`get ${ID}`])
    expect(old.sessions.has(ID)).toBe(true)
    expect(store.stats()).toMatchObject({ adopted: 1, unknownIds: 0 })

    expect(await calls(backend, () => loaded(process(), ID))).toEqual([])
    loseCache()
    await increment(process(), ID)
    expect((await loaded(process(), ID)).data).toEqual({ cart: ['tea'], count: 1 })
    expect(old.asked).toEqual([`get ${ID}`])
  })

  test('is one that the old store does not know either: then it is not asked again until the mark of that is over', async () => {
    const old = oldStore()
    const { process, runtime } = movingWorld(old, { unknownIdTtlMs: 3_000 })
    const [one, other] = [process(), process()]
    expect(await one.load(ID)).toBeUndefined()
    expect(await other.load(ID)).toBeUndefined()
    expect(old.asked).toEqual([`get ${ID}`])
    runtime.advance(3_001)
    old.sessions.set(ID, { data: { late: true } })
    expect((await loaded(other, ID)).data).toEqual({ late: true })
  })

  describe('where a creation under the same id looks for it in the tiers alone', () => {
    /** What a reader has left who died: a creation cannot take its own lease at once, and looks what stands there. */
    const deadLease = (now: number): Envelope => ({ kind: 'lease', nonce: 'aaaaaaaaaaaaaaaa', expiresAt: now - 1 })

    test('is asked of the old store all the same by whoever comes next: the creation leaves no mark', async () => {
      const old = oldStore({ [ID]: { data: { theirs: true } } })
      const { process, processWithTiers, plantEnvelope, runtime } = movingWorld(old)
      await plantEnvelope(ID, deadLease(runtime.now()))
      const { store, cache, backend } = processWithTiers({ legacy: old })
      const gate = held()
      let left = Number.POSITIVE_INFINITY
      backend.intercept = async (call, proceed) => {
        if (call === 'read') left = 1 // what the read comes to is put into the cache, and then the process stands still
        return await proceed()
      }
      cache.intercept = async (_call, proceed) => {
        if (left <= 0) await gate.opened
        left -= 1
        return await proceed()
      }
      const creating = store.create({ mine: true }, { id: ID })
      const refused = expectCode(creating, 'E_SESSION_CONFLICT')
      await settled()
      expect((await loaded(process(), ID)).data).toEqual({ theirs: true })
      gate.open()
      await refused
    })

    test('is asked of the old store all the same by a load that meets it under way', async () => {
      const old = oldStore({ [ID]: { data: { theirs: true } } })
      const { processWithTiers, plantEnvelope, runtime } = movingWorld(old)
      await plantEnvelope(ID, deadLease(runtime.now()))
      const { store, cache } = processWithTiers({ legacy: old })
      const gate = held()
      cache.intercept = async (call, proceed) => {
        if (call === 'cas') await gate.opened
        return await proceed()
      }
      const creating = store.create({ mine: true }, { id: ID }).catch(() => {})
      await settled()
      const loading = store.load(ID, { verified: true })
      await settled()
      gate.open()
      expect(await loading).toBeDefined()
      await creating
    })
  })

  test('is found by update, put, touch and regenerate as well', async () => {
    const sessions = Object.fromEntries(['update', 'put', 'touch', 'regenerate'].map((id) => [id, { data: { n: 1 } }]))
    const old = oldStore(sessions)
    const store = movingWorld(old).process()
    await store.update('update', (data) => {
      data['n'] = Number(data['n']) + 1
    })
    expect((await loaded(store, 'update')).data).toEqual({ n: 2 })
    await store.put('put', { n: 3 })
    expect((await loaded(store, 'put')).data).toEqual({ n: 3 })
    await store.touch('touch')
    expect(store.stats().adopted).toBe(3)
    const fresh = await store.regenerate('regenerate')
    expect(fresh.data).toEqual({ n: 1 })
    await settled()
    expect(await store.load('regenerate')).toBeUndefined()
    expect(old.sessions.has('regenerate')).toBe(false)
  })

  test('becomes one session where several processes take it over at once, and no change of either is lost', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process, cache, backend } = movingWorld(old)
    // Without the cache nobody holds a lease that would let the others wait.
    cache.unreachable = true
    const stores = [process(), process(), process()]
    const gate = held()
    old.wait = () => gate.opened
    const loading = stores.map((store) => loaded(store, ID))
    await expect.poll(() => old.asked.length).toBe(3)
    const inserts = await calls(backend, async () => {
      gate.open()
      await Promise.all(loading)
    })
    expect(inserts.filter((call) => call === 'insert')).toHaveLength(3)
    expect(stores.map((store) => store.stats().adopted).reduce((sum, n) => sum + n)).toBe(1)
    const sessions = await Promise.all(loading)
    for (const [n, session] of sessions.entries()) session.data[`of ${n}`] = n
    for (const [n, session] of sessions.entries()) await stores[n]?.save(session)
    expect((await loaded(process(), ID)).data).toEqual({ 'of 0': 0, 'of 1': 1, 'of 2': 2 })
  })

  test('is taken over once where many ask for it at once in one process', async () => {
    const old = oldStore({ [ID]: { data: { n: 1 } } })
    const { process } = movingWorld(old)
    const [one, other] = [process(), process()]
    await Promise.all([...Array.from({ length: 20 }, () => loaded(one, ID)), loaded(other, ID)])
    expect(old.asked).toEqual([`get ${ID}`])
  })

  test('is taken over round a cache that cannot be reached, and the cache has it once it is back', async () => {
    const old = oldStore({ [ID]: { data: { n: 1 } } })
    const { process, cache, stored, runtime } = movingWorld(old)
    const store = process()
    cache.unreachable = true
    expect((await loaded(store, ID)).data).toEqual({ n: 1 })
    expect(await stored(ID)).toMatchObject({ state: 'live' })
    cache.unreachable = false
    runtime.advance(1_000)
    await increment(store, ID)
    expect((await loaded(process(), ID)).data).toEqual({ n: 1, count: 1 })
  })

  test('is taken over although the answer to its insert was lost', async () => {
    const old = oldStore({ [ID]: { data: { n: 1 } } })
    const { process, backend } = movingWorld(old)
    const lost = loseOneAnswer(backend, 'insert')
    expect((await loaded(process(), ID)).data).toEqual({ n: 1 })
    expect(lost()).toBe(1)
  })
})

describe('the age of a session that is taken over', () => {
  test('stays: since when it lives, its idle time-out, and when it ends', async () => {
    const old = oldStore()
    const { process, runtime } = movingWorld(old, { absoluteTtlMs: 10 * DAY_MS })
    const now = runtime.now()
    const past = {
      createdAt: now - 9 * DAY_MS,
      seenAt: now - HOUR_MS,
      expiresAt: now + HOUR_MS,
      idleTtlMs: 2 * HOUR_MS,
    }
    old.sessions.set(ID, { data: {}, ...past })
    const session = await process().load(ID, { touch: false })
    expect(session).toMatchObject({ ...past, absoluteExpiresAt: now + DAY_MS })
    runtime.advance(HOUR_MS)
    expect(await process().load(ID)).toBeUndefined()
  })

  test('begins to count anew with its next use, by the idle time-out that it brought', async () => {
    const old = oldStore()
    const { process, runtime } = movingWorld(old)
    const now = runtime.now()
    old.sessions.set(ID, { data: {}, seenAt: now - HOUR_MS, expiresAt: now + HOUR_MS, idleTtlMs: 2 * HOUR_MS })
    await loaded(process(), ID)
    await settled()
    runtime.advance(HOUR_MS + HOUR_MS / 2)
    expect(await process().load(ID)).toBeDefined()
  })

  test('is that of the options where the old store says nothing of it', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process, runtime } = movingWorld(old, { idleTtlMs: HOUR_MS })
    expect(await loaded(process(), ID)).toMatchObject({ idleTtlMs: HOUR_MS, createdAt: runtime.now() })
    runtime.advance(2 * HOUR_MS)
    expect(await process().load(ID)).toBeUndefined()
  })

  test.each([
    ['its own end has passed', { expiresAt: -1 }],
    ['it is older than any session may be', { createdAt: -31 * DAY_MS }],
    ['nobody has used it for as long as its idle time-out', { seenAt: -3 * HOUR_MS, idleTtlMs: HOUR_MS }],
  ])('is past where %s: then there is no session', async (_, ago) => {
    const old = oldStore()
    const { process, runtime, stored } = movingWorld(old)
    const moments = Object.fromEntries(
      Object.entries(ago).map(([name, ms]) => [name, name === 'idleTtlMs' ? ms : runtime.now() + ms]),
    )
    old.sessions.set(ID, { data: {}, ...moments })
    expect(await process().load(ID)).toBeUndefined()
    expect(await stored(ID)).toEqual({ state: 'absent' })
  })
})

describe('a logout during a change-over', () => {
  test('ends a session that was taken over in both stores', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process } = movingWorld(old)
    const store = process()
    await store.destroy(await loaded(store, ID))
    expect(old.sessions.has(ID)).toBe(false)
    expect(await process().load(ID)).toBeUndefined()
  })

  test('ends a session that only the old store has, and it is never taken over, however late an old process stores it again', async () => {
    const old = oldStore({ [ID]: { data: { n: 1 } } })
    const { process, runtime, loseCache } = movingWorld(old)
    await process().destroy(ID)
    expect(old.sessions.has(ID)).toBe(false)
    for (const afterMs of [0, HOUR_MS, DAY_MS, 29 * DAY_MS]) {
      runtime.advance(afterMs)
      loseCache()
      await process().purge()
      old.sessions.set(ID, { data: { n: 2 } })
      expect(await process().load(ID)).toBeUndefined()
    }
  })

  test.each(['destroy', 'regenerate'] as const)(
    'or a new id (%s), given to a session in the cache alone under the id of an old one: neither comes back, however late an old process stores it again',
    async (call) => {
      const old = oldStore()
      const { process, loseCache } = movingWorld(old, { identify, persistOn: 'identify' })
      const store = process()
      await store.put(ID, { cart: ['tea'] })
      if (call === 'destroy') await store.destroy(ID)
      else await store.regenerate(await loaded(store, ID))
      await settled()
      old.sessions.set(ID, { data: { cart: ['coffee'] } })
      loseCache()
      expect(await process().load(ID)).toBeUndefined()
    },
  )

  test('that comes while the session is being taken over is the end of it', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process } = movingWorld(old)
    const gate = held()
    old.wait = () => gate.opened
    const loading = process().load(ID)
    await settled()
    await process().destroy(ID)
    gate.open()
    expect(await loading).toBeUndefined()
    expect(await process().load(ID)).toBeUndefined()
    expect(old.sessions.has(ID)).toBe(false)
  })

  test('rejects where the old store cannot be told, although the session has ended here; it is told later', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process, runtime } = movingWorld(old)
    const store = process()
    store.on('fault', () => {})
    await loaded(store, ID)
    old.fails = true
    await expect(store.destroy(ID)).rejects.toMatchObject({
      code: 'E_SESSION_UNAVAILABLE',
      tier: 'the old store',
      applied: 'unknown',
    })
    expect(await store.load(ID)).toBeUndefined()
    old.fails = false
    runtime.advance(60_000)
    await settled()
    expect(old.sessions.has(ID)).toBe(false)
    expect(await store.close()).toMatchObject({ destroysLeft: 0 })
  })

  test('is still owed when the store is closed while the old store cannot be told', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process } = movingWorld(old)
    const store = process()
    store.on('fault', () => {})
    store.on('abandoned', () => {})
    old.fails = true
    await store.destroy(ID).catch(() => {})
    expect(await store.close({ deadlineMs: 0 })).toMatchObject({ destroysLeft: 1 })
  })

  test('by a handle ends the session in the old store when its id is next shown', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process } = movingWorld(old)
    const store = process()
    await loaded(store, ID)
    await store.destroyByHandle(store.handleOf(ID))
    expect(old.sessions.has(ID)).toBe(true)
    expect(await store.load(ID)).toBeUndefined()
    await settled()
    expect(old.sessions.has(ID)).toBe(false)
    old.asked.length = 0
    for (let n = 0; n < 3; n += 1) await store.load(ID)
    expect(old.asked).toEqual([])
  })

  test('of a user everywhere ends the sessions of his that only the old store has: none of them is taken over', async () => {
    const old = oldStore({
      [ID]: { data: { user: 'ada' } },
      other: { data: { user: 'ada' } },
      'not hers': { data: { user: 'bob' } },
    })
    const { process } = movingWorld(old, { identify })
    const store = process()
    await loaded(store, ID)
    await store.destroyByUser('ada')
    expect(await store.load(ID)).toBeUndefined()
    expect(await store.load('other')).toBeUndefined()
    expect((await loaded(store, 'not hers')).data).toEqual({ user: 'bob' })
    await settled()
    expect([...old.sessions.keys()]).toEqual(['not hers'])
    const { id } = await store.create({ user: 'ada' })
    expect(await process().load(id)).toBeDefined()
  })

  test('of an id that the caller has just made asks nobody', async () => {
    const old = oldStore()
    await movingWorld(old).process().destroy('a new id', { isNew: true })
    expect(old.asked).toEqual([])
  })
})

describe('an old store that fails', () => {
  test('is an error and never "no session", and leaves no mark behind', async () => {
    const old = oldStore({ [ID]: { data: { n: 1 } } })
    const { process, cached } = movingWorld(old)
    const store = process()
    store.on('fault', () => {})
    old.fails = true
    await expect(store.load(ID)).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', tier: 'the old store' })
    expect(await cached(ID)).toBeUndefined()
    old.fails = false
    expect((await loaded(store, ID)).data).toEqual({ n: 1 })
  })

  test('by never answering is given up after the time-out of the backend', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process, runtime } = movingWorld(old)
    const store = process()
    store.on('fault', () => {})
    old.wait = () => new Promise(() => {})
    const loading = store.load(ID)
    const rejected = expectCode(loading, 'E_SESSION_UNAVAILABLE')
    await settled()
    runtime.advance(4_000)
    await rejected
  })

  test('touches nobody whose session is here already, and no new session', async () => {
    const old = oldStore({ [ID]: { data: {} } })
    const { process, loseCache } = movingWorld(old)
    const store = process()
    await loaded(store, ID)
    old.fails = true
    loseCache()
    await increment(store, ID)
    const { id } = await store.create({})
    await increment(store, id)
    await loaded(process(), id)
  })

  test('by giving what is no session is told so, without what it gave', async () => {
    const old = oldStore({
      text: 'secret' as never,
      empty: {} as never,
      short: { data: {}, idleTtlMs: 5 },
      moment: { data: {}, expiresAt: 'tomorrow' as never },
    })
    const store = movingWorld(old).process()
    store.on('fault', () => {})
    for (const id of ['text', 'empty', 'short', 'moment']) {
      const error: unknown = await store.load(id).catch((raised: unknown) => raised)
      expect(error).toMatchObject({ code: 'E_CONFIG' })
      expect(String(error)).toContain('legacy.get')
      expect(String(error)).not.toContain('secret')
    }
  })
})

describe('what was taken over', () => {
  test('is removed from the old store where that is asked for, once it is durable here', async () => {
    const old = oldStore({ [ID]: { data: {} } }, { remove: true })
    const { process, stored } = movingWorld(old)
    const store = process()
    await loaded(store, ID)
    expect(await stored(ID)).toMatchObject({ state: 'live' })
    await settled()
    expect(old.sessions.has(ID)).toBe(false)
    expect(await store.load(ID)).toBeDefined()
  })

  test('is told to the audit trail as adopted, with its user', async () => {
    const old = oldStore({ [ID]: { data: { user: 'ada' } } })
    const store = movingWorld(old, { identify }).process()
    const trail: unknown[] = []
    store.on('audit', ({ action, by, user, outcome }) => void trail.push({ action, by, user, outcome }))
    await loaded(store, ID)
    expect(trail).toEqual([{ action: 'adopted', by: 'request', user: 'ada', outcome: 'done' }])
  })

  test('takes a seat of its user, as a login does, and none is made beyond the limit', async () => {
    const old = oldStore({ a: { data: { user: 'ada' } }, b: { data: { user: 'ada' } } })
    const limited = { identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' } as const
    const store = movingWorld(old, limited).process()
    await loaded(store, 'a')
    expect(await store.load('b')).toBeUndefined()
    expect(await store.countByUser('ada')).toBe(1)
    await store.destroy('a')
    expect((await loaded(store, 'b')).data).toEqual({ user: 'ada' })
  })

  test('ends the oldest session of its user where he may have no more, as its visitor is there', async () => {
    const old = oldStore()
    const { process, runtime } = movingWorld(old, { identify, maxSessionsPerUser: 2 })
    const store = process()
    const first = await store.create({ user: 'ada' })
    runtime.advance(HOUR_MS)
    const second = await store.create({ user: 'ada' })
    runtime.advance(HOUR_MS)
    const seenAt = runtime.now() - 60_000
    old.sessions.set('a', { data: { user: 'ada' }, seenAt })
    await loaded(store, 'a')
    expect(await store.load(first.id)).toBeUndefined()
    expect(await store.load(second.id)).toBeDefined()
    expect((await store.inspect(store.handleOf('a')))?.session).toMatchObject({ identifiedAt: seenAt })
  })
})

test.each([
  [
    { legacy: {} },
    'Expected `legacy` to be an old store, such as fromExpressStore(store) gives, got an object: it lacks',
  ],
  [{ legacy: 'redis://' }, 'Expected `legacy` to be an old store'],
])('an old store that is none is refused: %j', (options, complaint) => {
  expect(() => createSessionStore(options as never)).toThrow(complaint)
})
