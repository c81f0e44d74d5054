import { describe, expect, test } from 'vitest'
import { contentOf } from '../../../src/backends/couchdb/document.js'
import { contentOfUser, keyOfUser, USER_RECORDS } from '../../../src/backends/couchdb/user-document.js'
import { NO_RECORD, type UserRecord } from '../../../src/contract/backend.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, storedSession } from '../../../src/testing/stored-session.js'
import { standingRuntime } from '../../support/calendar.js'
import { couchdb, type DatedOptions } from './backend.js'
import { bornThen, sceneForThisFile } from './scene.js'
import { json, type Script } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const { closing, serverThat, backendOf } = sceneForThisFile({ requestTimeoutMs: 60_000, runtime: standingRuntime })

const ADA = { namespace: 'contract', userId: 'ada' }
const ID = encodeURIComponent(USER_RECORDS.idOf(keyOfUser(ADA)))
const epoch = (number: number): UserRecord => ({ epoch: number, seats: [] })

/** A backend with databases of its own and a clock that is set. */
const world = (more: Partial<DatedOptions> = {}) => {
  const clock = { now: Date.parse('2026-03-10T12:00:00Z') }
  const database = more.database ?? couch().pattern()
  const backend = couchdb(couch().options({ database, runtime: { ...systemRuntime, now: () => clock.now }, ...more }))
  closing.push(() => backend.close())
  const users = database.replace('{yyyy}-{mm}', 'users')
  const isMade = async () => (await couch().ask(users)).status === 200
  const months = async () => (await couch().databases(database)).map((name) => name.slice(-7))
  const insert = async (more: Parameters<typeof storedSession>[0]) => {
    const locator = sampleLocator({ bornMonth: monthOf(clock.now) })
    await backend.insert(locator, storedSession({ createdAt: clock.now, ...more }))
    return locator
  }
  return { backend, clock, database, users, isMade, months, insert }
}

describe('records of users', () => {
  test('are in a database of their own, which is made by the first of them and by no question', async () => {
    const { backend, isMade, months, insert, users } = world()
    const locator = await insert({ userId: 'ada' })
    expect(await backend.read(locator)).toMatchObject({ state: 'live', currentEpoch: 0 })
    expect(await backend.readUser(ADA)).toEqual({ record: NO_RECORD, token: '' })
    expect(await isMade()).toBe(false)
    expect(await backend.writeUser(ADA, epoch(1), '')).toBe('written')
    expect(await isMade()).toBe(true)
    expect(await months()).toEqual(['2026-03'])
    const { body } = await couch().ask(`${users}/${ID}`)
    expect(body).toMatchObject({ kind: 'user', format: 1, userId: 'ada', epoch: 1, seats: [] })
    expect((await couch().ask(`${users}/_revs_limit`)).body).toBe(50)
    expect(await backend.read(locator)).toMatchObject({ state: 'live', currentEpoch: 1 })
  })

  test('are written by many at once where nobody has made the database', async () => {
    const { database } = world()
    const backends = Array.from({ length: 4 }, () => world({ database }).backend)
    const outcomes = await Promise.all(backends.map((backend, at) => backend.writeUser(ADA, epoch(at), '')))
    expect(outcomes.filter((outcome) => outcome === 'written')).toHaveLength(1)
    expect((await backends[0]?.readUser(ADA))?.record.epoch).toBe(outcomes.indexOf('written'))
  })

  test('get their database from a set-up as well, and keep it through the purge of every month', async () => {
    const { backend, clock, isMade, months, insert } = world()
    await backend.setUp()
    expect(await isMade()).toBe(true)
    await insert({ userId: 'ada', expiresAt: clock.now + 1 })
    await backend.writeUser(ADA, epoch(3), '')
    const now = Date.parse('2027-01-10T12:00:00Z')
    expect((await backend.planPurge({ now })).every(({ database }) => !database.endsWith('users'))).toBe(true)
    await backend.purge({ now, limit: 9, graceMs: 0 })
    expect(await months()).toEqual([])
    expect((await backend.readUser(ADA)).record).toEqual(epoch(3))
    await backend.setUp()
    expect((await backend.readUser(ADA)).record).toEqual(epoch(3))
  })

  test('are missed by a program that must not make their database, and so is whoever belongs to a user', async () => {
    const { database, insert } = world()
    const locator = await insert({ userId: 'ada' })
    const anonymous = await insert({})
    const { backend, isMade } = world({ database, createDatabases: false })
    const missing = {
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringMatching(/lacks the database test_\S+users; call `setUp\(\)`/),
    }
    await expect(backend.readUser(ADA)).rejects.toMatchObject(missing)
    await expect(backend.writeUser(ADA, epoch(1), '')).rejects.toMatchObject({ ...missing, applied: 'no' })
    await expect(backend.read(locator)).rejects.toMatchObject(missing)
    expect(await backend.read(anonymous)).toMatchObject({ state: 'live' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: missing.message })
    expect(await isMade()).toBe(false)
    await backend.setUp()
    expect(await backend.health()).toMatchObject({ state: 'up' })
    expect(await backend.read(locator)).toMatchObject({ state: 'live', currentEpoch: 0 })
  })

  test('that are gone with their database are no epoch of 0', async () => {
    const { backend, insert, users } = world()
    const locator = await insert({ userId: 'ada' })
    await backend.writeUser(ADA, epoch(7), '')
    await couch().ask(users, { method: 'DELETE' })
    const gone = { code: 'E_SESSION_UNAVAILABLE', message: expect.stringMatching(/was there and is gone/) }
    await expect(backend.readUser(ADA)).rejects.toMatchObject(gone)
    await expect(backend.read(locator)).rejects.toMatchObject(gone)
    await expect(backend.writeUser(ADA, epoch(8), '')).rejects.toMatchObject({ ...gone, applied: 'no' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: gone.message })
  })

  test.each([
    ['of a newer format', { kind: 'user', format: 2, userId: 'ada', epoch: 1 }],
    ['without an epoch', { kind: 'user', format: 1, userId: 'ada' }],
    ['with seats that are none', { kind: 'user', format: 1, userId: 'ada', epoch: 1, seats: [{ key: 5, takenAt: 1 }] }],
    ['of another user, put there by hand', contentOfUser({ ...ADA, userId: 'eve' }, epoch(1))],
  ])('%s cannot be read, nor can a session of that user', async (_, document) => {
    const { backend, insert, users } = world()
    await backend.setUp()
    const locator = await insert({ userId: 'ada' })
    expect((await couch().ask(`${users}/${ID}`, { method: 'PUT', body: document })).status).toBe(201)
    for (const call of [() => backend.readUser(ADA), () => backend.read(locator)])
      await expect(call()).rejects.toMatchObject({ code: 'E_SESSION_FORMAT', tier: expect.stringMatching(/^couchdb/) })
    expect(await backend.writeUser(ADA, epoch(1), '')).toBe('changed')
  })

  test('are refused for a name whose hash would be another’s as well', async () => {
    const { backend } = world()
    const half = { ...ADA, userId: 'half a pair \ud800' }
    await expect(backend.readUser(half)).rejects.toMatchObject({ code: 'E_SESSION_DATA' })
    await expect(backend.writeUser(half, epoch(1), '')).rejects.toMatchObject({ code: 'E_SESSION_DATA', applied: 'no' })
  })
})

describe('revisions of a record in conflict, as a replication leaves them', () => {
  /** Leaves of these epochs, beside the one that `writeUser` makes with the first. */
  const withLeaves = async (first: number, ...others: readonly number[]) => {
    const logged: string[] = []
    const { backend, insert, users } = world({ log: (line) => logged.push(line) })
    await backend.writeUser(ADA, epoch(first), '')
    const { token } = await backend.readUser(ADA)
    const docs = others.map((number, at) => ({
      _id: decodeURIComponent(ID),
      _rev: `1-${String(at).repeat(32)}`,
      ...contentOfUser(ADA, epoch(number)),
    }))
    await couch().ask(`${users}/_bulk_docs`, { method: 'POST', body: { docs, new_edits: false } })
    const epochs = async (): Promise<readonly unknown[]> => {
      const { body } = await couch().ask(`${users}/${ID}?open_revs=all`)
      const leaves = body as { ok?: { _deleted?: boolean; epoch?: number } }[]
      return leaves.flatMap(({ ok }) => (ok === undefined || ok._deleted ? [] : [ok.epoch])).sort()
    }
    expect(await epochs()).toHaveLength(1 + others.length)
    return { backend, insert, token, epochs, logged }
  }

  test.each([
    [9, [4, 5]],
    [4, [9, 5]],
    [4, [5, 9]],
  ])('the highest epoch counts, for sessions too, and the others are removed: %i before %j', async (first, others) => {
    const { backend, insert, epochs, logged } = await withLeaves(first, ...others)
    const locator = await insert({ userId: 'ada' })
    expect(await backend.read(locator)).toMatchObject({ state: 'live', currentEpoch: 9 })
    expect((await backend.readUser(ADA)).record.epoch).toBe(9)
    expect(await epochs()).toEqual([9])
    expect(logged).toEqual([expect.stringMatching(/^a conflict in test_\S+users was resolved$/)])
  })

  test('what was read is replaced, and what was seen before the conflict is not', async () => {
    const { backend, token, epochs } = await withLeaves(4, 9)
    const now = await backend.readUser(ADA)
    expect(await backend.writeUser(ADA, epoch(5), token)).toBe('changed')
    expect(await backend.writeUser(ADA, epoch(10), now.token)).toBe('written')
    expect(await epochs()).toEqual([10])
  })
})

test('a record whose answer was lost is not written twice: whoever sends it again is told that another stands there', async () => {
  const { database, backend, users } = world()
  await backend.setUp()
  let losing = true
  const server = await serverThat(
    async (asked, response) => {
      const body = asked.body === '' ? {} : { body: JSON.parse(asked.body) as unknown }
      const answer = await couch().ask(asked.path.slice(1), { method: asked.method, ...body })
      if (losing && asked.method === 'PUT' && asked.path.includes(users)) response.destroy()
      else json(response, answer.status, answer.body)
    },
    { hasDatabases: false },
  )
  const losingOne = backendOf(server.url, { database })
  await expect(losingOne.writeUser(ADA, epoch(1), '')).rejects.toMatchObject({
    code: 'E_SESSION_UNAVAILABLE',
    applied: 'unknown',
  })
  losing = false
  expect(await losingOne.writeUser(ADA, epoch(1), '')).toBe('changed')
  expect((await losingOne.readUser(ADA)).record).toEqual(epoch(1))
})

test('of several servers all are asked each time before it is believed that nobody has the users’ database', async () => {
  const NO_DATABASE = { error: 'not_found', reason: 'Database does not exist.' }
  let isMade = false
  const answering =
    (hasHeard: () => boolean): Script =>
    ({ path }, response) => {
      if (path === '/_session') return json(response, 200, { ok: true, userCtx: { name: 'x', roles: ['_admin'] } })
      if (!hasHeard()) return json(response, 404, NO_DATABASE)
      if (path === '/nonstick-users') return json(response, 200, { db_name: 'nonstick-users' })
      json(response, 200, { _id: decodeURIComponent(ID), _rev: '1-a', ...contentOfUser(ADA, epoch(6)) })
    }
  const first = await serverThat(
    answering(() => false),
    { hasDatabases: false },
  )
  const second = await serverThat(
    answering(() => isMade),
    { hasDatabases: false },
  )
  const backend = backendOf([first.url, second.url])
  expect((await backend.readUser(ADA)).record.epoch).toBe(0)
  isMade = true
  expect((await backend.readUser(ADA)).record.epoch).toBe(6)
})

test('a session of nobody costs no look for a user, and one of a user costs one', async () => {
  const server = await serverThat(({ path }, response) => {
    const id = decodeURIComponent(path.replace(/^\/[^/]*\//, '').replace(/\?.*/, ''))
    if (path.startsWith('/nonstick-users/'))
      return json(response, 200, { _id: id, _rev: '1-a', ...contentOfUser(ADA, epoch(2)) })
    const userId = id === `s:${anonymous.key}` ? undefined : 'ada'
    json(response, 200, { _id: id, _rev: '1-a', ...documentOf(userId) })
  })
  const [anonymous, identified] = [bornThen(), bornThen()]
  const documentOf = (userId: string | undefined) => contentOf(storedSession({ userId }))
  const backend = backendOf(server.url)
  expect(await backend.read(anonymous)).not.toHaveProperty('currentEpoch')
  expect(server.asked).toHaveLength(1)
  expect(await backend.read(identified)).toMatchObject({ currentEpoch: 2 })
  expect(server.asked.slice(1).map(({ path }) => path.replace(/\/[su]%3A.*/, ''))).toEqual([
    '/nonstick-2026-06',
    '/nonstick-users',
  ])
})
