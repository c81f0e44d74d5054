import { describe, expect, test } from 'vitest'
import { RedisSessions, userOfRedisSession } from '../../../src/adapters/redis-sessions/index.js'
import { newToken, sessionIdOf } from '../../../src/adapters/redis-sessions/token.js'
import { bornMonthOf } from '../../../src/session/id.js'
import { calls, settled } from '../../store/world.js'
import { QUIET_DAY } from '../../support/calendar.js'
import { cluster, got, USER } from './cluster.js'

describe('the counters', () => {
  test('r and w are exact where three processes read and write one session at once', async () => {
    const { process } = cluster()
    const all = [process(), process(), process()] as const
    const { token } = await all[0].create(USER)
    const reads = all.flatMap((each) => Array.from({ length: 40 }, () => got(each, token)))
    const writes = all.flatMap((each, at) =>
      Array.from({ length: 20 }, (_, n) => each.set({ app: 'shop', token, d: { [`${at}-${n}`]: n } })),
    )
    const seen = (await Promise.all(reads)).map(({ r }) => r)
    await Promise.all(writes)
    expect(seen.sort((one, other) => one - other)).toEqual(Array.from({ length: 120 }, (_, n) => n + 1))
    const last = await got(all[1], token)
    expect(last).toMatchObject({ r: 121, w: 61 })
    expect(Object.keys(last.d ?? {}), 'no change of one key undid another').toHaveLength(60)
  })

  test('reach the backend on every N-th change only, although each get is one', async () => {
    const { process, backend } = cluster()
    const sessions = process({ maxStaleCount: 10 })
    const { token } = await sessions.create(USER)
    const written = async (gets: number): Promise<number> => {
      const made = await calls(backend, async () => {
        for (let n = 0; n < gets; n += 1) await sessions.get({ app: 'shop', token })
      })
      return made.filter((call) => call === 'update').length
    }
    expect(await written(9)).toBe(0)
    expect(await written(1)).toBe(1)
    expect(await written(100)).toBe(10)
    expect(await got(sessions, token)).toMatchObject({ r: 111, w: 1 })
  })

  test('of a session without re-saving are exact as well, and its life does not decay by being read', async () => {
    const { process, runtime } = cluster()
    const sessions = process()
    const { token } = await sessions.create({ ...USER, ttl: 100, no_resave: true })
    runtime.advance(1_000)
    for (let n = 0; n < 30; n += 1) await got(sessions, token)
    expect(await got(sessions, token)).toEqual({
      ...{ id: 'ada', ip: USER.ip },
      r: 31,
      w: 1,
      ttl: 99,
      idle: 0,
      no_resave: true,
    })
    expect(await sessions.set({ app: 'shop', token, d: { n: 1 } })).toMatchObject({ r: 32, w: 2, ttl: 99 })
    runtime.advance(99_000)
    expect(await got(sessions, token)).toMatchObject({ ttl: 0, idle: 99 })
    runtime.advance(1_000)
    expect(await sessions.get({ app: 'shop', token })).toBeNull()
  })
})

describe('the life of a session', () => {
  test('is as long as its ttl after each use, to the second, and no second longer', async () => {
    const { process, runtime } = cluster()
    const sessions = process()
    const { token } = await sessions.create({ ...USER, ttl: 10 })
    for (let n = 0; n < 5; n += 1) {
      runtime.advance(10_000)
      expect(await got(sessions, token)).toMatchObject({ idle: 10, ttl: 10 })
    }
    runtime.advance(11_000)
    expect(await sessions.get({ app: 'shop', token })).toBeNull()
    expect(await sessions.set({ app: 'shop', token, d: { late: true } })).toBeNull()
    expect(await sessions.kill({ app: 'shop', token })).toEqual({ kill: 0 })
    expect(await sessions.soid({ app: 'shop', id: 'ada' })).toEqual({ sessions: [] })
  })

  test('survives a loss of the cache, with what the backend was told of', async () => {
    const { process, loseCache } = cluster()
    const sessions = process({ maxStaleCount: 1 })
    const { token } = await sessions.create({ ...USER, d: { cart: 'tea' } })
    await got(sessions, token)
    loseCache()
    expect(await got(sessions, token)).toMatchObject({ r: 2, d: { cart: 'tea' } })
  })

  test('goes on while the backend is away, and ping fails only where neither tier can serve it', async () => {
    const { process, backend, cache } = cluster()
    const sessions = process()
    const { token } = await sessions.create(USER)
    await settled()
    backend.unreachable = true
    expect(await got(sessions, token)).toMatchObject({ r: 1 })
    backend.unreachable = false
    expect(await sessions.ping()).toBe('PONG')
    backend.unreachable = true
    cache.unreachable = true
    await expect(sessions.ping()).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE', operation: 'ping' })
  })
})

describe('kill', () => {
  test('of twenty calls at once in three processes one ends the session, and no set brings it back', async () => {
    const { process } = cluster()
    const all = [process(), process(), process()] as const
    const { token } = await all[0].create({ ...USER, d: { secret: 'x' } })
    const kills = Array.from({ length: 20 }, (_, n) => (all[n % 3] ?? all[0]).kill({ app: 'shop', token }))
    const sets = all.map((each) => each.set({ app: 'shop', token, d: { late: 1 } }))
    const killed = (await Promise.all(kills)).map(({ kill }) => kill)
    await Promise.all(sets)
    expect(killed.filter((kill) => kill === 1)).toHaveLength(1)
    for (const each of all) expect(await each.get({ app: 'shop', token })).toBeNull()
    const handle = all[0].sessions.handleOf(sessionIdOf('shop', token))
    expect((await all[0].sessions.inspect(handle, { data: true }))?.session, 'nothing of it is left').toBeUndefined()
  })

  test('that was cut short is finished by the next one', async () => {
    const { process, backend, loseCache } = cluster()
    const sessions = process()
    const { token } = await sessions.create(USER)
    await settled()
    backend.unreachable = true
    await expect(sessions.kill({ app: 'shop', token })).rejects.toMatchObject({ code: 'E_SESSION_UNAVAILABLE' })
    backend.unreachable = false
    const other = process()
    expect(await other.get({ app: 'shop', token })).toBeNull()
    expect(await other.kill({ app: 'shop', token })).toEqual({ kill: 0 })
    loseCache()
    expect(await other.get({ app: 'shop', token })).toBeNull()
  })

  test('of a token that nobody was given leaves nothing behind', async () => {
    const { process } = cluster()
    const sessions = process()
    const token = 'a'.repeat(64)
    expect(await sessions.kill({ app: 'shop', token })).toEqual({ kill: 0 })
    const handle = sessions.sessions.handleOf(sessionIdOf('shop', token))
    expect((await sessions.sessions.inspect(handle))?.tiers.backend ?? 'absent').toBe('absent')
  })

  test('killsoid and killall count each session once, also with a cache in the process', async () => {
    const { process } = cluster()
    const sessions = process({ cachetime: 60 })
    const tokens = []
    for (let n = 0; n < 6; n += 1) tokens.push((await sessions.create(USER)).token)
    for (const token of tokens) await got(sessions, token)
    expect(await sessions.killsoid({ app: 'shop', id: 'ada' })).toEqual({ kill: 6 })
    for (const token of tokens) expect(await sessions.get({ app: 'shop', token })).toBeNull()
    await sessions.create(USER)
    await sessions.create({ ...USER, id: 'eve' })
    await sessions.create({ ...USER, app: 'other' })
    expect(await sessions.killall({ app: 'shop' })).toEqual({ kill: 2 })
    expect((await sessions.soid({ app: 'other', id: 'ada' })).sessions).toHaveLength(1)
  })
})

test('killsoid ends every session that was made before it, while three processes go on making sessions', async () => {
  const { process } = cluster()
  const all = [process(), process(), process()] as const
  let made = 0
  for (let round = 0; round < 20; round += 1) {
    const before: string[] = []
    let isKilling = false
    const making = all.map(async (each) => {
      for (let n = 0; n < 4; n += 1) {
        const { token } = await each.create(USER)
        if (!isKilling) before.push(token)
      }
    })
    await new Promise((resolve) => setTimeout(resolve, round % 5))
    isKilling = true
    await all[round % 3]?.killsoid({ app: 'shop', id: 'ada' })
    made += before.length
    for (const token of before) expect(await all[1].get({ app: 'shop', token }), 'it was made before').toBeNull()
    await Promise.all(making)
    await all[1].killsoid({ app: 'shop', id: 'ada' })
    expect(await all[2].soid({ app: 'shop', id: 'ada' })).toEqual({ sessions: [] })
    expect(await all[2].activity({ app: 'shop', deltaTime: 60 })).toEqual({ activity: 0 })
  }
  expect(made, 'some were made before').toBeGreaterThan(0)
})

test('a session that is created while its user is logged out everywhere is created after that', async () => {
  const { process, backend } = cluster()
  const [sessions, other] = [process(), process()]
  await other.create(USER)
  await settled()
  let logouts = 0
  backend.intercept = async (call, proceed) => {
    if (call === 'insert' && logouts < 2) {
      logouts += 1
      await other.killsoid({ app: 'shop', id: 'ada' })
    }
    return await proceed()
  }
  const { token } = await sessions.create(USER)
  expect(logouts).toBe(2)
  expect(await got(other, token)).toMatchObject({ id: 'ada' })
  expect((await other.soid({ app: 'shop', id: 'ada' })).sessions).toHaveLength(1)
})

describe('activity', () => {
  test('counts a use at once that only the cache knows of, unless it is to be counted by an index', async () => {
    const { process, runtime } = cluster()
    const options = { maxStaleMs: 60_000 }
    const [exact, indexed] = [process(options), process({ ...options, activity: 'indexed' })]
    const { token } = await exact.create(USER)
    await exact.create({ ...USER, id: 'eve' })
    runtime.advance(50_000)
    await got(exact, token)
    runtime.advance(5_000)
    expect(await exact.activity({ app: 'shop', deltaTime: 30 })).toEqual({ activity: 1 })
    expect((await exact.soapp({ app: 'shop', deltaTime: 30 })).sessions).toMatchObject([{ id: 'ada', r: 2, idle: 5 }])
    expect(await indexed.activity({ app: 'shop', deltaTime: 30 })).toEqual({ activity: 0 })
    expect(await exact.activity({ app: 'shop', deltaTime: 60 })).toEqual({ activity: 2 })
    expect(await indexed.activity({ app: 'shop', deltaTime: 60 })).toEqual({ activity: 2 })
  })

  test('counts a user once, and one whose session has ended until it is wiped', async () => {
    const { process, runtime } = cluster()
    const sessions = process({ wipe: 20 })
    for (let n = 0; n < 3; n += 1) await sessions.create({ ...USER, ttl: 10 })
    await sessions.create({ ...USER, id: 'eve', ttl: 10 })
    runtime.advance(12_000)
    expect(await sessions.activity({ app: 'shop', deltaTime: 3_600 })).toEqual({ activity: 2 })
    expect(await sessions.soapp({ app: 'shop', deltaTime: 3_600 })).toEqual({ sessions: [] })
    runtime.advance(30_000)
    expect(await sessions.activity({ app: 'shop', deltaTime: 3_600 })).toEqual({ activity: 0 })
  })

  test('soapp gives the session that was used last first', async () => {
    const { process, runtime } = cluster()
    const sessions = process()
    const tokens = []
    for (const id of ['one', 'two', 'three']) {
      tokens.push((await sessions.create({ ...USER, id })).token)
      runtime.advance(2_000)
    }
    await got(sessions, tokens[0] ?? '')
    const { sessions: all } = await sessions.soapp({ app: 'shop', deltaTime: 60 })
    expect(all.map(({ id }) => id)).toEqual(['one', 'three', 'two'])
  })
})

describe('users and applications', () => {
  test.each([
    '딸기 필드 영원히',
    'a:b',
    ':',
    'shop:ada',
    'abcde1-284h1ah37@someDomain-with-dash.co.uk',
    '👩‍🚀'.repeat(20),
    '%',
    "'",
  ])('the user %s has his own sessions', async (id) => {
    const { process } = cluster()
    const sessions = process()
    const { token } = await sessions.create({ ...USER, id })
    await sessions.create(USER)
    expect(await got(sessions, token)).toMatchObject({ id })
    expect((await sessions.soid({ app: 'shop', id })).sessions).toMatchObject([{ id }])
    expect(await sessions.activity({ app: 'shop', deltaTime: 60 })).toEqual({ activity: 2 })
    expect(await sessions.killsoid({ app: 'shop', id })).toEqual({ kill: 1 })
    expect((await sessions.soid({ app: 'shop', id: 'ada' })).sessions).toHaveLength(1)
  })

  test('a token opens nothing in another application', async () => {
    const { process } = cluster()
    const sessions = process()
    const { token } = await sessions.create(USER)
    for (const app of ['SHOP', 'other']) {
      expect(await sessions.get({ app, token })).toBeNull()
      expect(await sessions.kill({ app, token })).toEqual({ kill: 0 })
    }
    expect(await got(sessions, token)).toMatchObject({ r: 1 })
  })
})

describe('tokens', () => {
  test('have the form of redis-sessions, from bytes of the CSPRNG alone, every letter of them equally likely', () => {
    const counts = new Map<string, number>()
    let next = 0
    // Each byte comes equally often.
    const randomBytes = (size: number): Uint8Array => Uint8Array.from({ length: size }, () => next++ % 256)
    for (let n = 0; n < 244 * 10; n += 1) {
      const token = newToken({ now: () => QUIET_DAY, randomBytes })
      expect(token).toMatch(/^[A-Ya-z0-9]{55}Z[0-9a-z]{8}$/)
      expect(Number.parseInt(token.slice(56), 36)).toBe(QUIET_DAY)
      for (const letter of token.slice(0, 55)) counts.set(letter, (counts.get(letter) ?? 0) + 1)
    }
    expect(counts.size).toBe(61)
    const [least, most] = [Math.min(...counts.values()), Math.max(...counts.values())]
    expect(most / least).toBeLessThan(1.1)
  })

  test('are not what the store keeps sessions under, but tell it the month of their birth', () => {
    const token = newToken({ now: () => QUIET_DAY, randomBytes: (size) => new Uint8Array(size) })
    const id = sessionIdOf('shop', token)
    expect(id).not.toContain(token)
    expect(bornMonthOf(id)).toBe('2606')
    expect(sessionIdOf('other', token)).not.toBe(id)
    expect(bornMonthOf(sessionIdOf('shop', 'a'.repeat(64)))).toBeUndefined()
  })
})

describe('cachetime', () => {
  test('a reply from the cache is the caller’s own, and leaves r as it was', async () => {
    const { process, runtime } = cluster()
    const sessions = process({ cachetime: 30 })
    const { token } = await sessions.create({ ...USER, d: { n: 1 } })
    const first = await got(sessions, token)
    Object.assign(first, { id: 'eve' })
    Object.assign(first.d ?? {}, { n: 2 })
    expect(await got(sessions, token)).toMatchObject({ id: 'ada', r: 1, d: { n: 1 } })
    runtime.advance(31_000)
    expect(await got(sessions, token)).toMatchObject({ r: 2 })
  })

  test('reading keeps a session alive whose ttl is shorter than the cachetime', async () => {
    const { process, runtime } = cluster()
    const [cached, other] = [process({ cachetime: 60 }), process()]
    const { token } = await cached.create({ ...USER, ttl: 10 })
    for (let second = 0; second < 40; second += 4) {
      await got(cached, token)
      runtime.advance(4_000)
    }
    await got(other, token)
    runtime.advance(11_000)
    expect(await cached.get({ app: 'shop', token })).toBeNull()
  })

  test('breaks what it says: a session that was killed elsewhere is served for as long, and not longer', async () => {
    const { process, runtime } = cluster()
    const [cached, other] = [process({ cachetime: 5 }), process()]
    const { token } = await cached.create(USER)
    await got(cached, token)
    await other.kill({ app: 'shop', token })
    await got(cached, token)
    runtime.advance(5_001)
    expect(await cached.get({ app: 'shop', token })).toBeNull()
  })

  test('what is changed or killed in the process itself is seen at once, also by a get that was under way', async () => {
    const { process, cache } = cluster()
    const sessions = process({ cachetime: 60 })
    const { token } = await sessions.create(USER)
    await got(sessions, token)
    await sessions.set({ app: 'shop', token, d: { n: 1 } })
    expect(await got(sessions, token)).toMatchObject({ d: { n: 1 } })
    await sessions.set({ app: 'shop', token, d: { n: 2 } })
    let isHeldUp = true
    cache.intercept = async (call, proceed) => {
      const answer = await proceed()
      if (call !== 'cas' || !isHeldUp) return answer
      isHeldUp = false
      await sessions.killsoid({ app: 'shop', id: 'ada' })
      return answer
    }
    expect(await got(sessions, token), 'it was read before').toMatchObject({ d: { n: 2 } })
    expect(await sessions.get({ app: 'shop', token })).toBeNull()
  })
})

describe('a store that was made elsewhere', () => {
  test('is refused where it does not name the users, and the session is gone again', async () => {
    const { store, on } = cluster()
    const given = store()
    const sessions = on({ sessions: given })
    await expect(sessions.create(USER)).rejects.toMatchObject({ code: 'E_CONFIG' })
    expect(await given.count()).toBe(0)
  })

  test('is left open by quit, whereas a store of its own is flushed and closed', async () => {
    const { store, on, process } = cluster()
    const given = store({ identify: userOfRedisSession })
    const sessions = on({ sessions: given })
    const { token } = await sessions.create(USER)
    expect(await sessions.killsoid({ app: 'shop', id: 'ada' })).toEqual({ kill: 1 })
    expect(await sessions.get({ app: 'shop', token })).toBeNull()
    await sessions.quit()
    expect(await given.count()).toBe(0)
    const own = process()
    await own.quit()
    await expect(own.get({ app: 'shop', token })).rejects.toMatchObject({ code: 'E_CLOSED' })
  })

  test('may hold other sessions as well, which are none of redis-sessions', async () => {
    const { store, on } = cluster()
    const given = store({ identify: userOfRedisSession })
    const sessions = on({ sessions: given })
    const foreign = await given.create({ app: 'shop', cart: [] }, { app: 'shop' })
    await sessions.create(USER)
    expect((await sessions.soapp({ app: 'shop', deltaTime: 60 })).sessions).toHaveLength(1)
    expect(await sessions.activity({ app: 'shop', deltaTime: 60 })).toEqual({ activity: 1 })
    expect(await given.load(foreign.id)).toBeDefined()
  })
})

test.each(['port', 'host', 'options', 'client', 'identify', 'app', 'sesions', 'maxstalecount'])(
  'the option %s is refused',
  (name) => {
    expect(() => new RedisSessions({ [name]: 'x' } as never)).toThrow(
      expect.objectContaining({ code: 'E_CONFIG', message: expect.stringContaining(`\`${name}\``) }),
    )
  },
)
