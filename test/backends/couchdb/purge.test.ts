import { describe, expect, test } from 'vitest'
import { createSessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { movableRuntime } from '../../../src/testing/movable-runtime.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { couchdb, type DatedOptions } from './backend.js'
import { closedAfterEach } from './scene.js'
import { json, scripted } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

const DAY_MS = 86_400_000
const at = (moment: string): number => Date.parse(moment)

const world = (moment: string, more: Partial<DatedOptions> = {}) => {
  const clock = { now: at(moment) }
  const database = couch().pattern()
  const runtime = { ...systemRuntime, now: () => clock.now }
  const backend = couchdb(couch().options({ database, runtime, ...more }))
  closing.push(() => backend.close())
  const months = async (): Promise<string[]> => (await couch().databases(database)).map((name) => name.slice(-7))
  /** A session born at the clock's moment, and how long it lives from then. */
  const birth = async (livesMs: number) => {
    const locator = sampleLocator({ bornMonth: monthOf(clock.now) })
    await backend.insert(locator, storedSession({ createdAt: clock.now, expiresAt: clock.now + livesMs }))
    return locator
  }
  return { backend, clock, database, months, birth }
}

test('a year of sessions lies in twelve databases, of which a purge leaves exactly those it must', async () => {
  const runtime = movableRuntime(at('2026-01-15T12:00:00Z'))
  const database = couch().pattern()
  const backend = couchdb(couch().options({ database, runtime, purgeGraceMs: DAY_MS }))
  const [idleTtlMs, absoluteTtlMs] = [5 * DAY_MS, 30 * DAY_MS]
  const sessions = createSessionStore({ cache: memoryCache({ runtime }), backend, runtime, idleTtlMs, absoluteTtlMs })
  closing.push(() => sessions.close())
  const months = async (): Promise<string[]> => (await couch().databases(database)).map((name) => name.slice(-7))
  const ids: string[] = []
  for (let month = 0; month < 12; month++) {
    const middle = Date.UTC(2026, month, 15, 12)
    runtime.advance(middle - runtime.now())
    for (let index = 0; index < 3; index++) ids.push((await sessions.create({ month, index })).id)
  }
  const year = Array.from({ length: 12 }, (_, month) => `2026-${String(month + 1).padStart(2, '0')}`)
  expect(await months()).toEqual(year)

  // In the middle of December November is still a candidate: it ended half a month ago.
  expect((await backend.planPurge({ now: runtime.now() })).map(({ action }) => action)).toEqual([
    ...Array.from({ length: 10 }, () => 'drop'),
    'purge',
    'purge',
  ])
  expect(await months()).toEqual(year)
  const before = await backend.purge({ now: runtime.now(), limit: 100 })
  // Ten months of three, and November's three, which ended a fortnight ago.
  expect(before).toEqual({ removed: 33, more: false })
  expect(await months()).toEqual(['2026-11', '2026-12'])
  for (const id of ids.slice(-3)) expect(await sessions.load(id)).toBeDefined()
  for (const id of ids.slice(0, -3)) expect(await sessions.load(id)).toBeUndefined()

  // November's last moment, a life, a tombstone's day, a minute between the clocks, and a day of grace.
  const over = at('2026-12-01T00:00:00Z') + absoluteTtlMs + 2 * DAY_MS + 60_000
  await backend.purge({ now: over - 1, limit: 100 })
  expect(await months()).toEqual(['2026-11', '2026-12'])
  await backend.purge({ now: over, limit: 100 })
  expect(await months()).toEqual(['2026-12'])
})

describe('a month that is over', () => {
  test('is dropped whole, whatever the limit', async () => {
    const { backend, months, birth } = world('2026-03-10T12:00:00Z')
    for (let index = 0; index < 7; index++) await birth(DAY_MS)
    const now = at('2026-11-10T12:00:00Z')
    expect(await backend.purge({ now, limit: 1 })).toEqual({ removed: 7, more: false })
    expect(await months()).toEqual([])
  })

  test('is kept while sessions in it live, which is said with their number once all else is done', async () => {
    const { backend, clock, months, birth } = world('2026-03-10T12:00:00Z')
    const [lasting, ended] = [await birth(300 * DAY_MS), await birth(DAY_MS)]
    await birth(300 * DAY_MS)
    clock.now = at('2026-04-10T12:00:00Z')
    await birth(DAY_MS)
    const now = at('2026-11-10T12:00:00Z')
    expect(await backend.planPurge({ now })).toMatchObject([
      { database: expect.stringMatching(/2026-03$/), action: 'refuse', removable: 1, living: 2 },
      { database: expect.stringMatching(/2026-04$/), action: 'drop', removable: 1, living: 0 },
    ])
    expect(await months()).toEqual(['2026-03', '2026-04'])
    await expect(backend.purge({ now, limit: 9 })).rejects.toMatchObject({
      code: 'E_CONFIG',
      message: expect.stringMatching(/keeps test_\S+2026-03 with 2 sessions that live longer than `absoluteTtlMs`/),
    })
    expect(await months()).toEqual(['2026-03'])
    clock.now = at('2026-03-10T12:00:00Z')
    expect(await backend.read(lasting)).toMatchObject({ state: 'live' })
    expect(await backend.read(ended)).toEqual({ state: 'absent' })
    // Once they have ended it goes like any other.
    expect(await backend.purge({ now: now + 300 * DAY_MS, limit: 9 })).toEqual({ removed: 2, more: false })
    expect(await months()).toEqual([])
  })

  test('is kept without a word while a tombstone in it is needed', async () => {
    const { backend, clock, months, birth } = world('2026-03-10T12:00:00Z')
    const locator = await birth(DAY_MS)
    const keepUntil = at('2026-12-24T00:00:00Z')
    await backend.destroy(locator, { writeId: sampleWriteId(), at: clock.now, keepUntil })
    expect(await backend.purge({ now: at('2026-11-10T12:00:00Z'), limit: 9 })).toEqual({ removed: 0, more: false })
    expect(await months()).toEqual(['2026-03'])
    expect(await backend.purge({ now: keepUntil, limit: 9 })).toEqual({ removed: 1, more: false })
    expect(await months()).toEqual([])
  })

  test('is nobody else’s database', async () => {
    const { backend, database } = world('2026-03-10T12:00:00Z')
    const others = ['2026-03-copy', '2026-13', '2026-3', 'x2026-03'].map((end) => database.replace('{yyyy}-{mm}', end))
    for (const name of others) await couch().ask(name, { method: 'PUT' })
    expect(await backend.purge({ now: at('2027-11-10T12:00:00Z'), limit: 9 })).toEqual({ removed: 0, more: false })
    expect(await couch().databases(database)).toEqual(others.sort())
  })
})

describe('what has ended in a month that counts', () => {
  test('is removed in batches, oldest first over all months', async () => {
    const { backend, clock, birth } = world('2026-10-25T12:00:00Z')
    const start = clock.now
    const old = [await birth(DAY_MS), await birth(9 * DAY_MS)]
    clock.now = start + 8 * DAY_MS
    const young = [await birth(500), await birth(2 * DAY_MS)]
    const now = clock.now + 5 * DAY_MS
    const states = async (): Promise<string[]> =>
      Promise.all([...old, ...young].map(async (locator) => (await backend.read(locator)).state))
    expect(await backend.purge({ now, limit: 1 })).toEqual({ removed: 1, more: true })
    expect(await states()).toEqual(['absent', 'live', 'live', 'live'])
    expect(await backend.purge({ now, limit: 1 })).toEqual({ removed: 1, more: true })
    expect(await states()).toEqual(['absent', 'live', 'absent', 'live'])
    expect(await backend.purge({ now, limit: 9 })).toEqual({ removed: 2, more: false })
  })

  test('is left alone if it was extended meanwhile', async () => {
    const { backend, clock, database, birth } = world('2026-11-10T12:00:00Z')
    const locator = await birth(1_000)
    const server = await scripted(async (asked, response) => {
      // Between the index's answer and the removal, somebody uses the session.
      if (asked.path.includes('_bulk_docs'))
        await backend.extend([{ locator, seenAt: clock.now, expiresAt: clock.now + DAY_MS }])
      const body = asked.body === '' ? {} : { body: JSON.parse(asked.body) as unknown }
      const answer = await couch().ask(asked.path.slice(1), { method: asked.method, ...body })
      json(response, answer.status, answer.body)
    })
    closing.push(() => server.close())
    const runtime = { ...systemRuntime, now: () => clock.now }
    const purger = couchdb(couch().options({ url: server.url, database, runtime }))
    closing.push(() => purger.close())
    expect(await purger.purge({ now: clock.now + 2_000, limit: 9, graceMs: 0 })).toEqual({ removed: 0, more: false })
    expect((await backend.read(locator)).state).toBe('live')
  })
})

test('whoever may not list databases purges the months that count', async () => {
  const asked: string[] = []
  const server = await scripted(({ path }, response) => {
    asked.push(path.replace(/\?.*/, ''))
    if (path === '/_all_dbs') return json(response, 403, { error: 'forbidden' })
    if (path.includes('_view')) return json(response, 200, { rows: [] })
    if (path.includes('_local')) return json(response, 401, { error: 'unauthorized' })
    json(response, 404, { error: 'not_found' })
  })
  closing.push(() => server.close())
  const { backend } = world('2026-11-21T12:00:00Z', { url: server.url, database: 'a-{yyyy}-{mm}' })
  expect(await backend.purge({ now: at('2026-11-21T12:00:00Z'), limit: 9 })).toEqual({ removed: 0, more: false })
  expect(asked).toEqual([
    '/a-2026-11/_local/nonstick-purge',
    '/_all_dbs',
    '/a-2026-10/_design/nonstick-3/_view/ends',
    '/a-2026-11/_design/nonstick-3/_view/ends',
  ])
})
