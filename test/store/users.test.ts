import { describe, expect, test } from 'vitest'
import type { Session, SessionStore } from '../../src/contract/session-store.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { isSessionStoreError } from '../../src/errors.js'
import { memoryBackend, memoryCache } from '../../src/memory.js'
import { quietRuntime } from '../support/calendar.js'
import { type Data, expectCode, held, loaded, settled, world } from './world.js'

const identify = ({ user }: Data): string | undefined => user as string | undefined

const usersOf = async (store: SessionStore<Data>, userId: string): Promise<readonly Data[]> => {
  const all: Data[] = []
  for await (const { data } of store.listByUser(userId, { data: true })) all.push(data ?? expect.fail())
  return all
}

const codeOf = async (call: Promise<unknown>): Promise<string> =>
  await call.then(
    () => 'done',
    (error: unknown) => (isSessionStoreError(error) ? error.code : String(error)),
  )

/** A login whose process died before its flush got through, so that it stands in the cache alone; and another process. */
const loginCutShort = async () => {
  const { process, backend } = world()
  const [dying, other] = [process({ identify }), process({ identify })]
  const session = await dying.create({})
  session.data['user'] = 'ada'
  // The flush never gets through, so the login stands in the cache alone.
  backend.intercept = (call, proceed) => (call === 'update' ? new Promise(() => {}) : proceed())
  void dying.save(session).catch(() => {})
  await settled()
  backend.intercept = (_call, proceed) => proceed()
  return { session, other }
}

describe('the sessions of a user', () => {
  test('are listed with what is recorded of them, as the cache has them, and their data on request', async () => {
    const { process, runtime } = world()
    const [store, other] = [process({ identify }), process({ identify })]
    const anonymous = await store.create({ n: 1 })
    await store.create({ user: 'eve' })
    const second = await store.create({ user: 'ada', n: 2 })
    runtime.advance(5_000)
    anonymous.data['user'] = 'ada'
    await store.save(anonymous)
    const changed = await loaded(other, second.id)
    changed.data['n'] = 3
    await other.save(changed)
    expect(await usersOf(store, 'ada')).toEqual(
      expect.arrayContaining([
        { user: 'ada', n: 1 },
        { user: 'ada', n: 3 },
      ]),
    )

    const infos = []
    for await (const info of store.listByUser('ada')) infos.push(info)
    expect(infos).toHaveLength(2)
    const info = infos.find(({ handle }) => handle === store.handleOf(anonymous.id)) ?? expect.fail()
    expect(info).toMatchObject({ from: 'cache', userId: 'ada', data: undefined, writes: 2, address: undefined })
    expect((info.identifiedAt ?? 0) - (info.createdAt ?? 0)).toBe(5_000)
    expect(JSON.stringify(infos), 'no id is in it').not.toContain(anonymous.id)
    expect(await store.countByUser('ada')).toBe(2)
    expect(await store.countByUser('nobody of that name')).toBe(0)
  })

  test('are those of the backend where the cache cannot be asked', async () => {
    const { process, cache } = world()
    const store = process({ identify })
    await store.create({ user: 'ada' })
    cache.unreachable = true
    const infos = []
    for await (const info of store.listByUser('ada')) infos.push(info)
    expect(infos).toMatchObject([{ from: 'backend', userId: 'ada' }])
  })

  test('are exported with their data, for whoever asks for what is kept of him', async () => {
    const { process } = world()
    const store = process({ identify })
    await store.create({ user: 'ada', cart: ['tea'] })
    expect(await store.exportByUser('ada')).toMatchObject({
      userId: 'ada',
      sessions: [{ userId: 'ada', data: { user: 'ada', cart: ['tea'] } }],
    })
  })

  test.each([undefined, null, '', {}, Number.NaN])('of %o cannot be asked for', async (userId) => {
    const store = world().process({ identify })
    for (const call of [
      () => store.destroyByUser(userId as never),
      () => store.countByUser(userId as never),
      () => store.exportByUser(userId as never),
      async () => store.listByUser(userId as never),
    ])
      await expectCode(call(), 'E_CONFIG')
  })
})

describe('logging a user out everywhere', () => {
  test('ends every session of the user in every process, and nobody else’s', async () => {
    const { process, loseCache } = world()
    const [one, other] = [process({ identify }), process({ identify })]
    const mine = [await one.create({ user: 'ada' }), await other.create({ user: 'ada' })]
    const anonymous = await one.create({})
    anonymous.data['user'] = 'ada'
    await one.save(anonymous)
    const eve = await one.create({ user: 'eve' })
    expect(await other.destroyByUser('ada')).toEqual({ destroyed: 3, cache: 'tombstone' })
    for (const { id } of [...mine, anonymous])
      for (const store of [one, other]) expect(await store.load(id)).toBeUndefined()
    loseCache()
    for (const { id } of [...mine, anonymous]) expect(await one.load(id)).toBeUndefined()
    expect((await loaded(other, eve.id)).data).toEqual({ user: 'eve' })
    expect(await one.destroyByUser('ada')).toEqual({ destroyed: 0, cache: 'tombstone' })
    expect((await one.create({ user: 'ada' })).data, 'a login afterwards is one').toEqual({ user: 'ada' })
    expect(await other.countByUser('ada')).toBe(1)
  })

  test('leaves the session that is excepted, also after the cache was lost', async () => {
    const { process, loseCache } = world()
    const store = process({ identify })
    const [here, there] = [await store.create({ user: 'ada', n: 1 }), await store.create({ user: 'ada' })]
    for (const except of [here.id, await loaded(store, here.id)]) {
      await store.destroyByUser('ada', { except })
      loseCache()
      expect((await loaded(store, here.id)).data).toEqual({ user: 'ada', n: 1 })
    }
    expect(await store.load(there.id)).toBeUndefined()
    const changed = await loaded(store, here.id)
    changed.data['n'] = 2
    expect(await store.save(changed)).toMatchObject({ changed: true })
  })

  test('twice at once, both with the same session excepted, leaves it', async () => {
    const { process } = world()
    const [one, other] = [process({ identify }), process({ identify })]
    const here = await one.create({ user: 'ada' })
    await one.create({ user: 'ada' })
    await Promise.all([one, other, one].map((store) => store.destroyByUser('ada', { except: here.id })))
    expect((await loaded(other, here.id)).data).toEqual({ user: 'ada' })
    expect(await one.countByUser('ada')).toBe(1)
  })

  test('does not except what is another’s session, or none', async () => {
    const { process } = world()
    const store = process({ identify })
    const [ada, eve] = [await store.create({ user: 'ada' }), await store.create({ user: 'eve' })]
    expect((await store.destroyByUser('ada', { except: eve.id })).destroyed).toBe(1)
    expect(await store.load(ada.id)).toBeUndefined()
    expect((await loaded(store, eve.id)).data).toEqual({ user: 'eve' })
    await store.create({ user: 'ada' })
    expect((await store.destroyByUser('ada', { except: 'an id that nobody has' })).destroyed).toBe(1)
    await expectCode(store.destroyByUser('ada', { except: store.handleOf(eve.id) }), 'E_INVALID_ID')
  })

  test.each(['create', 'save', 'update', 'put', 'regenerate'] as const)(
    'catches a login by %s that is between its write in the backend and its answer',
    async (by) => {
      const { process, backend } = world()
      const [store, other] = [process({ identify }), process({ identify })]
      const session = await store.create({})
      await settled()
      const gate = held()
      let reads = 0
      backend.intercept = async (call, proceed) => {
        // The second look of the login at the record of its user waits, as on a slow line.
        if (call === 'readUser' && ++reads === 2) await gate.opened
        return await proceed()
      }
      session.data['user'] = 'ada'
      const logins = {
        create: () => store.create({ user: 'ada' }),
        save: () => store.save(session),
        update: () => store.update(session.id, (data) => ({ ...data, user: 'ada' })),
        put: () => store.put(session.id, { user: 'ada' }),
        regenerate: () => store.regenerate(session),
      }
      const login = codeOf(logins[by]())
      await settled()
      expect(reads).toBe(2)
      backend.intercept = (_call, proceed) => proceed()
      await other.destroyByUser('ada')
      gate.open()
      expect(await login).toBe('E_SESSION_DESTROYED')
      await settled()
      expect(await other.countByUser('ada')).toBe(0)
      expect(await usersOf(store, 'ada')).toEqual([])
      expect((await other.load(session.id))?.data['user']).toBeUndefined()
    },
  )

  test('catches a login whose process dies after it is in the cache: nobody is served it before it is proved', async () => {
    const { session, other } = await loginCutShort()
    await other.destroyByUser('ada')
    expect(await other.load(session.id)).toBeUndefined()
  })

  test('and one that nobody has logged out is proved by the next reader', async () => {
    const { session, other } = await loginCutShort()
    expect((await loaded(other, session.id)).data).toEqual({ user: 'ada' })
    expect(await other.countByUser('ada')).toBe(1)
  })

  test('finds a login in a row whose process died before its second look, also when the cache is lost', async () => {
    const { process, backend, loseCache } = world()
    const [dying, other] = [process({ identify }), process({ identify })]
    let reads = 0
    backend.intercept = (call, proceed) => (call === 'readUser' && ++reads === 2 ? new Promise(() => {}) : proceed())
    void dying.create({ user: 'ada' }, { id: 'an id of the application' }).catch(() => {})
    await settled()
    backend.intercept = (_call, proceed) => proceed()
    expect(await other.destroyByUser('ada')).toMatchObject({ destroyed: 1 })
    loseCache()
    expect(await other.load('an id of the application')).toBeUndefined()
  })

  test('a row that comes in after it, from a login that had begun before and then died, is nobody’s session', async () => {
    const { process, processWithTiers, loseCache } = world()
    const { store: dying, backend } = processWithTiers({ identify })
    const other = process({ identify })
    const gate = held()
    let reads = 0
    backend.intercept = async (call, proceed) => {
      if (call === 'insert') await gate.opened
      if (call === 'readUser' && ++reads === 2) await new Promise(() => {})
      return await proceed()
    }
    void dying.create({ user: 'ada' }, { id: 'an id of the application' }).catch(() => {})
    await settled()
    expect(await other.destroyByUser('ada')).toMatchObject({ destroyed: 0 })
    gate.open()
    await settled()
    loseCache()
    expect(await other.countByUser('ada'), 'the row is there').toBe(1)
    expect(await other.load('an id of the application')).toBeUndefined()
  })

  test('rejects where the backend is down, and where the cache is away says so', async () => {
    const { process, backend, cache } = world()
    const store = process({ identify })
    await store.create({ user: 'ada' })
    cache.unreachable = true
    expect(await store.destroyByUser('ada')).toEqual({ destroyed: 1, cache: 'unreachable' })
    cache.unreachable = false
    await store.create({ user: 'ada' })
    backend.unreachable = true
    await expectCode(store.destroyByUser('ada'), 'E_SESSION_UNAVAILABLE')
    backend.unreachable = false
    // The session that the cache could not be told of is ended once more, as it may still be there.
    expect(await store.destroyByUser('ada')).toEqual({ destroyed: 2, cache: 'tombstone' })
    expect(await usersOf(store, 'ada')).toEqual([])
  })

  test('twice at once, or again after a process died in it, ends what the first has not told the cache of', async () => {
    const { process, processWithTiers } = world()
    const dying = processWithTiers({ identify })
    const [store, other] = [process({ identify }), process({ identify })]
    const session = await store.create({ user: 'ada' })
    await loaded(other, session.id)
    dying.cache.intercept = (call, proceed) => (call === 'set' ? new Promise(() => {}) : proceed())
    void dying.store.destroyByUser('ada').catch(() => {})
    await settled()
    expect(await store.destroyByUser('ada')).toMatchObject({ cache: 'tombstone' })
    expect(await other.load(session.id)).toBeUndefined()
  })

  test('ends what another process was about to end when it died, also once the backend had its tombstone', async () => {
    for (const end of ['destroy', 'regenerate'] as const) {
      const { process, processWithTiers } = world()
      const dying = processWithTiers({ identify })
      const [store, other] = [process({ identify }), process({ identify })]
      const session = await dying.store.create({ user: 'ada' })
      await loaded(other, session.id)
      dying.backend.intercept = async (call, proceed) => {
        const answer = await proceed()
        return call === 'destroy' ? await new Promise(() => {}) : answer
      }
      const ending = end === 'destroy' ? dying.store.destroy(session) : dying.store.regenerate(session)
      void ending.catch(() => {})
      await settled()
      await store.destroyByUser('ada')
      expect(await other.load(session.id), end).toBeUndefined()
    }
  })

  test('ends a session that another logout, which is still under way, lets stay, also where the cache cannot be told', async () => {
    const { process, processWithTiers } = world()
    const store = process({ identify })
    const [excepting, cutOff] = [processWithTiers({ identify }), processWithTiers({ identify })]
    const session = await store.create({ user: 'ada' })
    await settled()
    excepting.backend.intercept = (call, proceed) => (call === 'writeUser' ? new Promise(() => {}) : proceed())
    void excepting.store.destroyByUser('ada', { except: session.id }).catch(() => {})
    await settled()
    cutOff.cache.unreachable = true
    await cutOff.store.destroyByUser('ada')
    expect(await cutOff.store.load(session.id)).toBeUndefined()
  })

  test('lists nothing that it has ended, also where the cache could not be told', async () => {
    const { process, cache } = world()
    const store = process({ identify })
    await store.create({ user: 'ada' })
    cache.unreachable = true
    await store.destroyByUser('ada')
    expect(await usersOf(store, 'ada')).toEqual([])
    cache.unreachable = false
    expect(await usersOf(store, 'ada')).toEqual([])
  })

  test('catches a login that stands in the cache alone, for whoever compares the cache after an outage', async () => {
    const { process, processWithTiers } = world()
    const [dying, other] = [processWithTiers({ identify }), processWithTiers({ identify })]
    const session = await dying.store.create({})
    session.data['user'] = 'ada'
    dying.backend.intercept = (call, proceed) => (call === 'update' ? new Promise(() => {}) : proceed())
    void dying.store.save(session).catch(() => {})
    await settled()
    other.cache.unreachable = true
    await other.store.load(session.id)
    other.cache.unreachable = false
    await process({ identify }).destroyByUser('ada')
    expect(await other.store.load(session.id)).toBeUndefined()
  })

  test.each(['is logged out everywhere', 'cannot be asked for'] as const)(
    'a creation that others have seen does not say that nothing happened, where its user %s then',
    async (what) => {
      const { process, processWithTiers, loseCache } = world()
      const [creating, other] = [processWithTiers({ identify }), process({ identify })]
      const id = 'an-id-that-others-know'
      creating.backend.intercept = async (call, proceed) => {
        const answer = await proceed()
        if (call !== 'insert') return answer
        loseCache()
        expect((await loaded(other, id)).data).toEqual({ user: 'ada' })
        if (what === 'is logged out everywhere') await other.destroyByUser('ada')
        else creating.backend.unreachable = true
        return answer
      }
      await expect(creating.store.create({ user: 'ada' }, { id })).rejects.toMatchObject({
        code: what === 'is logged out everywhere' ? 'E_SESSION_DESTROYED' : 'E_SESSION_UNAVAILABLE',
        applied: 'unknown',
      })
    },
  )

  test('leaves the session that is excepted, also where it is just given a new id', async () => {
    const { process, processWithTiers } = world()
    const store = process({ identify })
    const [regenerating, cutOff] = [processWithTiers({ identify }), processWithTiers({ identify })]
    const session = await regenerating.store.create({ user: 'ada' })
    cutOff.cache.unreachable = true
    let logouts = 0
    regenerating.backend.intercept = async (call, proceed) => {
      if (call === 'destroy' && logouts === 0) {
        logouts += 1
        await cutOff.store.destroyByUser('ada', { except: session.id })
      }
      return await proceed()
    }
    const fresh = await regenerating.store.regenerate(session)
    expect(logouts).toBe(1)
    expect((await loaded(store, fresh.id)).data).toEqual({ user: 'ada' })
  })

  test('a session that becomes a user’s stands in the backend at once, whatever `persistOn` says', async () => {
    for (const persistOn of ['create', 'identify', 'due'] as const) {
      const { process } = world()
      const store = process({ identify, persistOn })
      const session = await store.create({})
      session.data['user'] = 'ada'
      await store.save(session)
      await store.create({ user: 'ada' })
      expect(await store.countByUser('ada'), persistOn).toBe(2)
    }
  })
})

describe('a limit of a user’s sessions', () => {
  const limited = { identify, maxSessionsPerUser: 5 }

  test('twenty logins at once in three processes leave five sessions', async () => {
    const { process } = world()
    const stores = [process(limited), process(limited), process(limited)]
    const logins = await Promise.allSettled(
      Array.from({ length: 20 }, (_, n) => (stores[n % 3] ?? expect.fail()).create({ user: 'ada', n })),
    )
    for (const login of logins)
      if (login.status === 'rejected') expect(login.reason).toMatchObject({ code: 'E_SESSION_DESTROYED' })
    expect(await usersOf(stores[0] ?? expect.fail(), 'ada')).toHaveLength(5)
  })

  test('the same, where too many are refused: five come through, and the others are told so', async () => {
    const { process } = world()
    const options = { ...limited, onTooManySessions: 'refuse' } as const
    const stores = [process(options), process(options), process(options)]
    const codes = await Promise.all(
      Array.from({ length: 20 }, (_, n) => codeOf((stores[n % 3] ?? expect.fail()).create({ user: 'ada', n }))),
    )
    expect(codes.filter((code) => code === 'done')).toHaveLength(5)
    expect(codes.filter((code) => code === 'E_SESSION_LIMIT')).toHaveLength(15)
    expect(await stores[0]?.countByUser('ada')).toBe(5)
  })

  test('ends the session that has been the user’s for the longest time, however old it is', async () => {
    const { process, runtime } = world()
    const store = process({ identify, maxSessionsPerUser: 2 })
    const old = await store.create({})
    runtime.advance(1_000)
    const first = await store.create({ user: 'ada' })
    runtime.advance(1_000)
    old.data['user'] = 'ada'
    await store.save(old)
    runtime.advance(1_000)
    const third = await store.create({ user: 'ada' })
    expect(await store.load(first.id)).toBeUndefined()
    for (const { id } of [old, third]) expect(await store.load(id)).toBeDefined()
  })

  test('a logout makes room, and so does the end of a session', async () => {
    const { process, runtime } = world()
    const store = process({ identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' })
    const first = await store.create({ user: 'ada' })
    await expectCode(store.create({ user: 'ada' }), 'E_SESSION_LIMIT')
    await store.destroy(first)
    runtime.advance(120_000)
    await store.create({ user: 'ada' }, { idleTtlMs: 1_000 })
    await expectCode(store.create({ user: 'ada' }), 'E_SESSION_LIMIT')
    runtime.advance(24 * 3_600_000)
    await store.create({ user: 'ada' })
  })

  test('whoever logs out and in again at once is let in, and costs no other session of his', async () => {
    const { process } = world()
    const refusing = process({ identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' })
    await refusing.destroy(await refusing.create({ user: 'ada' }))
    await refusing.create({ user: 'ada' })

    const ending = process({ identify, maxSessionsPerUser: 2 })
    const elsewhere = await ending.create({ user: 'eve' })
    await ending.destroy(await ending.create({ user: 'eve' }))
    const second = await ending.create({ user: 'eve' })
    for (const { id } of [elsewhere, second]) expect(await ending.load(id)).toBeDefined()
  })

  test('a refused login by an anonymous session leaves the session as it was', async () => {
    const { process } = world()
    const store = process({ identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' })
    await store.create({ user: 'ada' })
    const session = await store.create({ cart: 1 })
    session.data['user'] = 'ada'
    await expectCode(store.save(session), 'E_SESSION_LIMIT')
    expect((await loaded(store, session.id)).data).toEqual({ cart: 1 })
  })

  test('a session that gets a new id, or is saved again, takes no second seat', async () => {
    const { process } = world()
    const store = process({ identify, maxSessionsPerUser: 2, onTooManySessions: 'refuse' })
    const other = await store.create({ user: 'ada' })
    let session = await store.create({ user: 'ada' })
    for (let n = 0; n < 4; n += 1) {
      session = await store.regenerate(session)
      session.data['n'] = n
      await store.save(session)
    }
    expect(await store.load(other.id)).toBeDefined()
    await expectCode(store.create({ user: 'ada' }), 'E_SESSION_LIMIT')
  })

  test.each(['refuse', 'end-oldest'] as const)(
    'does not count the session that gets a new id by a login, where another login in it is under way (%s)',
    async (onTooManySessions) => {
      const { process, processWithTiers } = world()
      const options = { identify, maxSessionsPerUser: 1, onTooManySessions }
      const [slow, other] = [processWithTiers(options), process(options)]
      const session = await slow.store.create({})
      const same = await loaded(other, session.id)
      same.data['user'] = 'ada'
      let regenerated: Session<Data> | undefined
      slow.backend.intercept = async (call, proceed) => {
        const answer = await proceed()
        if (call === 'writeUser') regenerated ??= await other.regenerate(same)
        return answer
      }
      session.data['user'] = 'ada'
      await expectCode(slow.store.save(session), 'E_SESSION_DESTROYED')
      expect((await loaded(other, regenerated?.id ?? expect.fail())).data).toEqual({ user: 'ada' })
      expect(await other.countByUser('ada')).toBe(1)
    },
  )

  test('ends the session that is to make room also where it gets a new id at that moment', async () => {
    const { process, processWithTiers } = world()
    const options = { identify, maxSessionsPerUser: 1 }
    const [slow, other] = [processWithTiers(options), process(options)]
    const oldest = await other.create({ user: 'ada' })
    let regenerated: Session<Data> | undefined
    slow.backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call === 'list') regenerated ??= await other.regenerate(oldest)
      return answer
    }
    const latest = await slow.store.create({ user: 'ada' })
    expect(await other.load(regenerated?.id ?? expect.fail())).toBeUndefined()
    expect(await other.load(latest.id)).toBeDefined()
    expect(await other.countByUser('ada')).toBe(1)
  })

  test('counts a session that stays when its user is logged out everywhere at that moment', async () => {
    const { process, processWithTiers } = world()
    const options = { identify, maxSessionsPerUser: 1 }
    const [slow, other] = [processWithTiers(options), process(options)]
    const staying = await other.create({ user: 'ada' })
    let logouts = 0
    slow.backend.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call === 'list' && logouts === 0) {
        logouts += 1
        await other.destroyByUser('ada', { except: staying.id })
      }
      return answer
    }
    const latest = await slow.store.create({ user: 'ada' })
    expect(await other.load(staying.id)).toBeUndefined()
    expect(await other.load(latest.id)).toBeDefined()
    expect(await other.countByUser('ada')).toBe(1)
  })

  test('is kept where a logout that died had ended the session from which another is just excepted', async () => {
    const { process, processWithTiers } = world()
    const options = { identify, maxSessionsPerUser: 1 }
    const [dying, staying, other] = [processWithTiers(options), processWithTiers(options), process(options)]
    const session = await other.create({ user: 'ada' })
    let latest: Session<Data> | undefined
    const living: boolean[] = []
    dying.backend.intercept = (call, proceed) => (call === 'listKeys' ? new Promise(() => {}) : proceed())
    staying.backend.intercept = async (call, proceed) => {
      if (call === 'update' && latest === undefined) {
        void dying.store.destroyByUser('ada').catch(() => {})
        await settled()
        latest = await other.create({ user: 'ada' })
      }
      if (call === 'writeUser' && living.length === 0)
        for (const { id } of [session, latest ?? expect.fail()]) living.push((await other.load(id)) !== undefined)
      return await proceed()
    }
    await staying.store.destroyByUser('ada', { except: session.id })
    expect(living, 'the one that was logged out, and the one that logged in since').toEqual([false, true])
  })

  test('counts the user’s other sessions where a session gets a new id by a login', async () => {
    const { process } = world()
    const store = process({ identify, maxSessionsPerUser: 1, onTooManySessions: 'refuse' })
    await store.create({ user: 'ada' })
    const session = await store.create({})
    session.data['user'] = 'ada'
    await expectCode(store.regenerate(session), 'E_SESSION_LIMIT')
    expect((await loaded(store, session.id)).data).toEqual({})
  })

  test('that is new counts the sessions from before it', async () => {
    const { process, runtime } = world()
    const before = process({ identify })
    const sessions = []
    for (let n = 0; n < 4; n += 1) {
      sessions.push(await before.create({ user: 'ada' }))
      runtime.advance(1_000)
    }
    const store = process({ identify, maxSessionsPerUser: 2 })
    await store.create({ user: 'ada' })
    expect(await store.countByUser('ada')).toBe(2)
    expect(await store.load(sessions.at(-1)?.id ?? expect.fail()), 'the newest of them stays').toBeDefined()
  })

  test('needs `identify`, and a backend that knows of users', () => {
    const embedded = { cache: memoryCache({ runtime: quietRuntime }), runtime: quietRuntime }
    expect(() => createSessionStore({ maxSessionsPerUser: 5 })).toThrow(/identify/)
    const { readUser: _, ...methods } = world().backend as unknown as Record<string, unknown>
    const backend = { ...methods, name: 'simple', readUser: undefined } as never
    expect(() => createSessionStore({ ...embedded, backend, identify: () => 'ada', maxSessionsPerUser: 5 })).toThrow(
      /backend/,
    )
    for (const maxSessionsPerUser of [0, 1.5, 1_001, '5'])
      expect(() =>
        createSessionStore({
          ...embedded,
          backend: memoryBackend({ runtime: quietRuntime }),
          identify: () => 'ada',
          maxSessionsPerUser: maxSessionsPerUser as never,
        }),
      ).toThrow(/maxSessionsPerUser/)
  })
})

describe('a handle', () => {
  test('shows a session in both tiers, and ends it, and lets nobody in', async () => {
    const { process } = world()
    const store = process({ identify })
    const session = await store.create({ user: 'ada', secret: 1 })
    await settled()
    const again = await loaded(store, session.id)
    again.data['secret'] = 2
    await store.save(again)
    again.data['secret'] = 3
    await store.save(again)
    const handle = store.handleOf(session)
    expect(handle).toBe(store.handleOf(session.id))
    expect(await store.inspect(handle)).toMatchObject({
      tiers: { cache: 'live', backend: 'live' },
      unflushed: 2,
      session: { handle, userId: 'ada', data: undefined, writes: 3, from: 'cache' },
    })
    expect((await store.inspect(handle, { data: true }))?.session?.data).toEqual({ user: 'ada', secret: 3 })
    for (const call of [() => store.load(handle), () => store.destroy(handle), () => store.put(handle, {})])
      await expectCode(call(), 'E_INVALID_ID')
    expect(await store.destroyByHandle(handle)).toEqual({ cache: 'tombstone' })
    expect(await store.load(session.id)).toBeUndefined()
    expect(await store.inspect(handle)).toEqual({
      tiers: { cache: 'tombstone', backend: 'destroyed' },
      unflushed: 0,
      session: undefined,
    })
    expect(await store.inspect(store.handleOf('an id that nobody has'))).toBeUndefined()
  })

  test.each(['', 'h.', `h.${'A'.repeat(42)}`, `h.${'A'.repeat(44)}`, undefined, null, 7])(
    '%o is none',
    async (handle) => {
      const store = world().process()
      await expectCode(store.inspect(handle as never), 'E_INVALID_ID')
      await expectCode(store.destroyByHandle(handle as never), 'E_INVALID_ID')
    },
  )

  test('says which tier cannot be asked, and rejects where neither can', async () => {
    const { process, cache, backend } = world()
    const store = process()
    const handle = store.handleOf(await store.create({}))
    cache.unreachable = true
    expect(await store.inspect(handle)).toMatchObject({ tiers: { cache: 'unreachable', backend: 'live' } })
    backend.unreachable = true
    await expectCode(store.inspect(handle), 'E_SESSION_UNAVAILABLE')
  })
})
