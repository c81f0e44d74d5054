import { describe, expect, test } from 'vitest'
import { EX_REDIS_SESSIONS, InvalidRequest, type Manners } from '../../../src/adapters/redis-sessions/index.js'
import { cluster, got, USER } from './cluster.js'

type Call = 'create' | 'get' | 'set' | 'kill' | 'killall' | 'killsoid' | 'soid' | 'soapp' | 'activity'

const TOKEN = 'a'.repeat(64)
const sessionsWith = (manners: Manners = {}) => cluster().process(manners)

const refusal = async (call: Call, request: unknown, manners: Manners = {}): Promise<InvalidRequest> => {
  const sessions = sessionsWith(manners)
  const error = await (sessions[call] as (request: unknown) => Promise<unknown>)(request).then(
    () => expect.fail('it was not refused'),
    (reason: unknown) => reason,
  )
  return error instanceof InvalidRequest ? error : expect.fail(String(error))
}

describe('what redis-sessions refuses is refused with its names and texts', () => {
  test.each<[Call, unknown, string, string]>([
    ['get', undefined, 'missingParameter', 'No app supplied'],
    ['get', {}, 'missingParameter', 'No app supplied'],
    ['get', { app: 'a' }, 'invalidFormat', 'Invalid app format'],
    ['get', { app: 'a'.repeat(21), token: TOKEN }, 'invalidFormat', 'Invalid app format'],
    ['get', { app: 'a:b', token: TOKEN }, 'invalidFormat', 'Invalid app format'],
    ['get', { app: 'abc\n', token: TOKEN }, 'invalidFormat', 'Invalid app format'],
    ['get', { app: 'shop' }, 'missingParameter', 'No token supplied'],
    ['kill', { app: 'shop', token: 'b' }, 'invalidFormat', 'Invalid token format'],
    ['kill', { app: 'shop', token: [TOKEN] }, 'invalidFormat', 'Invalid token format'],
    ['set', { app: 'shop', token: `${TOKEN}b`, d: { a: 1 } }, 'invalidFormat', 'Invalid token format'],
    ['create', { app: 'shop' }, 'missingParameter', 'No id supplied'],
    ['create', { app: 'shop', id: 'ada' }, 'missingParameter', 'No ip supplied'],
    ['create', { ...USER, ip: 'x'.repeat(40) }, 'invalidFormat', 'Invalid ip format'],
    ['create', { ...USER, id: 'x'.repeat(129) }, 'invalidFormat', 'Invalid id format'],
    ['create', { ...USER, id: 7 }, 'invalidFormat', 'Invalid id format'],
    ['create', { ...USER, id: 'two\nlines' }, 'invalidFormat', 'Invalid id format'],
    ['create', { ...USER, id: 'a zero \0' }, 'invalidFormat', 'Invalid id format'],
    ['create', { ...USER, id: 'half \ud83d' }, 'invalidFormat', 'Invalid id format'],
    ['create', { ...USER, ttl: 4 }, 'invalidValue', 'ttl must be a positive integer >= 10'],
    ['create', { ...USER, ttl: 0 }, 'invalidValue', 'ttl must be a positive integer >= 10'],
    ['create', { ...USER, ttl: Number.NaN }, 'invalidValue', 'ttl must be a positive integer >= 10'],
    ['create', { ...USER, ttl: 'long' }, 'invalidValue', 'ttl must be a positive integer >= 10'],
    ['create', { ...USER, ttl: 2_592_001 }, 'invalidValue', 'ttl must be a positive integer <= 2592000'],
    ['create', { ...USER, d: [] }, 'invalidValue', 'd must be an object'],
    ['create', { ...USER, d: 'text' }, 'invalidValue', 'd must be an object'],
    ['create', { ...USER, d: {} }, 'invalidValue', 'd must containt at least one key.'],
    ['set', { app: 'shop', token: TOKEN }, 'missingParameter', 'No d supplied'],
    ['set', { app: 'shop', token: TOKEN, d: null }, 'missingParameter', 'No d supplied'],
    [
      ...(['set', { app: 'shop', token: TOKEN, d: { list: [1] } }, 'invalidValue'] as const),
      'd.list has a forbidden type. Only strings, numbers, boolean and null are allowed.',
    ],
    [
      ...(['create', { ...USER, d: { none: undefined } }, 'invalidValue'] as const),
      'd.none has a forbidden type. Only strings, numbers, boolean and null are allowed.',
    ],
    ['soapp', { app: 'shop' }, 'invalidValue', 'deltaTime must be a positive integer >= 10'],
    ['activity', { app: 'shop', deltaTime: 9 }, 'invalidValue', 'deltaTime must be a positive integer >= 10'],
    ['killall', {}, 'missingParameter', 'No app supplied'],
    ['killsoid', { app: 'shop' }, 'missingParameter', 'No id supplied'],
    ['soid', { app: 'shop', id: '' }, 'missingParameter', 'No id supplied'],
  ])('%s of %o: %s, %s', async (call, request, name, message) => {
    expect(await refusal(call, request)).toMatchObject({ name, message, failures: [{ name, message }] })
  })

  test('with several mistakes the first one is told', async () => {
    expect((await refusal('create', { app: 'a', id: '', ttl: 1 })).failures).toHaveLength(1)
  })
})

test.each<[string, Call, unknown]>([
  ['the text on which redis-sessions works for seconds', 'create', { ...USER, id: `${'a'.repeat(26)}\n\n` }],
  ['a thousand times that', 'create', { ...USER, id: `${'a'.repeat(26_000)}\n\n` }],
  ['ten million characters as an id', 'killsoid', { app: 'shop', id: 'x'.repeat(10_000_000) }],
  ['ten million characters as an application', 'get', { app: 'x'.repeat(10_000_000), token: TOKEN }],
  ['ten million characters as a token', 'get', { app: 'shop', token: 'x'.repeat(10_000_000) }],
  ['ten million digits as a ttl', 'create', { ...USER, ttl: '9'.repeat(10_000_000) }],
])('%s are refused without long work', async (_what, call, request) => {
  // Work that grows faster than the text would take longer than anybody waits for a test.
  expect(await refusal(call, request)).toBeInstanceOf(InvalidRequest)
})

test('what is accepted is what redis-sessions accepts, and the caller’s own object stays as it is', async () => {
  const sessions = sessionsWith()
  const request = Object.freeze({
    ...USER,
    ttl: '30' as unknown as number,
    d: Object.freeze({ foo: 'bar', nu: null, hi: -1.5, boo: false }) as never,
  })
  const { token } = await sessions.create(request)
  expect(await got(sessions, token)).toEqual({
    ...{ id: 'ada', ip: USER.ip, r: 1, w: 1, idle: 0, ttl: 30 },
    d: { foo: 'bar', hi: -1.5, boo: false },
  })
  expect(await sessions.set({ app: 'shop', token, d: { foo: null, hi: null, boo: null } })).not.toHaveProperty('d')
  const longest = { ...USER, app: '-_a', id: 'x'.repeat(128), ip: 'y'.repeat(39), ttl: 2_592_000 }
  expect((await sessions.create(longest)).token).toHaveLength(64)
})

test('a key __proto__ in the data reaches no prototype', async () => {
  const sessions = sessionsWith({ values: 'any' })
  const { token } = await sessions.create(USER)
  const d = JSON.parse('{"__proto__": {"isAdmin": true}}') as Record<string, never>
  await expect(sessions.set({ app: 'shop', token, d })).rejects.toMatchObject({ code: 'E_SESSION_DATA' })
  expect(await got(sessions, token)).not.toHaveProperty('d')
  expect({}).not.toHaveProperty('isAdmin')
})

describe('the manners of other ports are options', () => {
  test('errors: all mistakes are told at once, in the order of the parameters', async () => {
    const request = { app: 'shop??', id: '', ip: 'x'.repeat(60), ttl: 3, d: 'abc' }
    const error = await refusal('create', request, { errors: 'all' })
    expect(error.failures).toEqual([
      { field: 'app', name: 'invalidFormat', message: 'Invalid app format' },
      { field: 'id', name: 'missingParameter', message: 'No id supplied' },
      { field: 'ip', name: 'invalidFormat', message: 'Invalid ip format' },
      { field: 'ttl', name: 'invalidValue', message: 'ttl must be a positive integer >= 10' },
      { field: 'd', name: 'invalidValue', message: 'd must be an object' },
    ])
    expect(error.name).toBe('invalidFormat')
    expect(error.message).toContain('Invalid app format; No id supplied; ')
  })

  test.each(['a b', 'a:b', 'ä', 'x'.repeat(65)])('ids: %s is no word', async (id) => {
    expect((await refusal('soid', { app: 'shop', id }, { ids: 'word' })).message).toBe('Invalid id format')
    expect(await sessionsWith().soid({ app: 'shop', id })).toEqual({ sessions: [] })
  })

  test('leastSeconds: bounds ttl and deltaTime', async () => {
    const manners = { leastSeconds: 11 }
    const message = 'must be a positive integer >= 11'
    expect((await refusal('create', { ...USER, ttl: 10 }, manners)).message).toBe(`ttl ${message}`)
    expect((await refusal('soapp', { app: 'shop', deltaTime: 10 }, manners)).message).toBe(`deltaTime ${message}`)
  })

  test('defaultTtl: is the ttl where none is given', async () => {
    const [usual, given] = [sessionsWith(), sessionsWith({ defaultTtl: 3_600 })]
    expect(await got(usual, (await usual.create(USER)).token)).toMatchObject({ ttl: 7_200 })
    expect(await got(given, (await given.create(USER)).token)).toMatchObject({ ttl: 3_600 })
  })

  test('defaultDeltaTime: is the time of activity and soapp where none is given', async () => {
    const { process, runtime } = cluster()
    const sessions = process({ defaultDeltaTime: 600 })
    await sessions.create(USER)
    runtime.advance(600_000)
    expect(await sessions.activity({ app: 'shop' })).toEqual({ activity: 1 })
    expect((await sessions.soapp({ app: 'shop' })).sessions).toHaveLength(1)
    runtime.advance(1_000)
    expect(await sessions.activity({ app: 'shop' })).toEqual({ activity: 0 })
    expect(await sessions.soapp({ app: 'shop' })).toEqual({ sessions: [] })
  })

  test('values: d may hold whatever the codec can write, and may be empty', async () => {
    const sessions = sessionsWith({ values: 'any' })
    const { token } = await sessions.create({ ...USER, d: { list: [1, { deep: true }] } as never })
    expect(await got(sessions, token)).toMatchObject({ d: { list: [1, { deep: true }] } })
    expect(await sessions.set({ app: 'shop', token, d: {} })).toMatchObject({ w: 2, d: { list: [1, { deep: true }] } })
  })

  test('countsOwnRead: r counts the get that gives it', async () => {
    const sessions = sessionsWith({ countsOwnRead: true })
    const { token } = await sessions.create(USER)
    expect(await got(sessions, token)).toMatchObject({ r: 2 })
    expect(await got(sessions, token)).toMatchObject({ r: 3 })
  })

  test('renewsOnGet: reading does not keep a session alive, and set does', async () => {
    const { process, runtime } = cluster()
    const sessions = process({ renewsOnGet: false })
    const { token } = await sessions.create({ ...USER, ttl: 30 })
    runtime.advance(20_000)
    expect(await got(sessions, token)).toMatchObject({ idle: 20 })
    await sessions.set({ app: 'shop', token, d: { n: 1 } })
    runtime.advance(20_000)
    expect(await got(sessions, token)).toMatchObject({ idle: 20 })
    runtime.advance(11_000)
    expect(await sessions.get({ app: 'shop', token })).toBeNull()
  })

  test('emptyData: a session without data has a d of null', async () => {
    const sessions = sessionsWith({ emptyData: 'null' })
    const { token } = await sessions.create(USER)
    expect(await got(sessions, token)).toMatchObject({ d: null })
  })

  test('nullClears: set with null, or without d, removes all data', async () => {
    for (const request of [{ d: null }, {}]) {
      const sessions = sessionsWith({ nullClears: true })
      const { token } = await sessions.create({ ...USER, d: { n: 1 } })
      expect(await sessions.set({ app: 'shop', token, ...request } as never)).not.toHaveProperty('d')
      expect(await got(sessions, token)).toMatchObject({ w: 2 })
    }
  })

  test('killOfNone: kill gives null where there is no such session', async () => {
    const sessions = sessionsWith({ killOfNone: 'null' })
    const { token } = await sessions.create(USER)
    expect(await sessions.kill({ app: 'shop', token })).toEqual({ kill: 1 })
    expect(await sessions.kill({ app: 'shop', token })).toBeNull()
  })

  test('EX_REDIS_SESSIONS is all of them', async () => {
    const sessions = sessionsWith(EX_REDIS_SESSIONS)
    const { token } = await sessions.create(USER)
    expect(await got(sessions, token)).toEqual({
      ...{ id: 'ada', ip: USER.ip, r: 2, w: 1, idle: 0, ttl: 3_600 },
      d: null,
    })
    expect(await sessions.activity({ app: 'shop' })).toEqual({ activity: 1 })
  })

  test.each([
    { defaultTtl: 5 },
    { defaultTtl: 2_592_001 },
    { leastSeconds: 11, defaultDeltaTime: 10 },
    { errors: 'both' },
  ])('%o is refused', (manners) => {
    expect(() => sessionsWith(manners as Manners)).toThrow(expect.objectContaining({ code: 'E_CONFIG' }))
  })
})
