import { describe, expect, test } from 'vitest'
import { createSessionStore } from '../../../src/index.js'
import { memoryCache } from '../../../src/memory.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { closedAfterEach, wireForThisFile } from './scene.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const wire = wireForThisFile(couch)
const closing = closedAfterEach()

/** Set up, so that nothing is counted but what sessions cost. */
const backendOnTheWire = async (database: string = couch().pattern()) => {
  const backend = couchdb(couch().options({ url: wire().url, database }))
  closing.push(() => backend.close())
  await backend.setUp()
  return backend
}

/** What each request was, without the names of databases and documents. */
const kinds = (asked: readonly string[]): readonly string[] =>
  asked.map((line) => line.replace(/\/test_[^/ ]+/, '').replace(/\/s%3A\S+/, '/document'))

describe('counted on the wire', () => {
  const newStore = async (database?: string) => {
    const backend = await backendOnTheWire(database)
    const sessions = createSessionStore({
      cache: memoryCache({ runtime: quietRuntime }),
      backend,
      runtime: quietRuntime,
      maxStaleCount: 10,
      maxStaleMs: 600_000,
    })
    closing.push(() => sessions.close())
    return sessions
  }

  test('a session is created with one write', async () => {
    const sessions = await newStore()
    expect(kinds(await wire().during(() => sessions.create({ count: 0 })))).toEqual(['PUT /document'])
  })

  test('a warm read costs nothing', async () => {
    const sessions = await newStore()
    const { id } = await sessions.create({ count: 0 })
    await sessions.load(id)
    const asked = await wire().during(async () => {
      for (let round = 0; round < 50; round++) expect((await sessions.load(id))?.data).toEqual({ count: 0 })
    })
    expect(asked).toEqual([])
  })

  test.each([
    ['of our own', undefined],
    ['of a framework’s own, which does not say its month', 'a-foreign-id-0123456789'],
  ])('a hundred modifying saves of a session with an id %s cost ten document writes and no reads', async (_, id) => {
    const sessions = await newStore()
    const session = await sessions.create({ count: 0 }, id === undefined ? {} : { id })
    await sessions.load(session.id)
    const asked = await wire().during(async () => {
      for (let round = 1; round <= 100; round++) {
        const found = await sessions.load(session.id)
        if (found === undefined) expect.fail('it should be there')
        found.data['count'] = round
        await sessions.save(found)
      }
    })
    expect(kinds(asked)).toEqual(Array.from({ length: 10 }, () => 'POST /_bulk_docs (1)'))
  })

  test('a cold read costs one request, whatever the absolute lifetime spans', async () => {
    const database = couch().pattern()
    const { id } = await (await newStore(database)).create({ count: 0 })
    const sessions = await newStore(database)
    expect(kinds(await wire().during(() => sessions.load(id)))).toEqual(['GET /document'])
  })
})

describe('the backend alone', () => {
  const own = () => sampleLocator({ bornMonth: monthOf(quietRuntime.now()) })

  test('flushes of many sessions go out together', async () => {
    const backend = await backendOnTheWire()
    const sessions = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const locator = own()
        const session = storedSession()
        const inserted = await backend.insert(locator, session)
        if (inserted.outcome !== 'inserted') expect.fail(inserted.outcome)
        return { locator, session, token: inserted.token }
      }),
    )
    const entries = sessions.map(({ locator, session, token }) => {
      const { lineage } = session
      const guard = { lineage, belowVersion: 2, parentLineage: lineage, parentVersion: 1 }
      return { locator, guard, token, session: { ...session, version: 2 } }
    })
    expect(kinds(await wire().during(() => backend.update(entries)))).toEqual(['POST /_bulk_docs (30)'])
    // With what is known no longer true, a look and a write more.
    const later = entries.map((entry) => ({
      ...entry,
      guard: { ...entry.guard, belowVersion: 3 },
      session: { ...entry.session, version: 3 },
    }))
    expect(kinds(await wire().during(() => backend.update(later)))).toEqual([
      'POST /_bulk_docs (30)',
      'POST /_bulk_get (30)',
      'POST /_bulk_docs (30)',
    ])
  })

  test('a touch is a look and a write; one that moves nothing is a look', async () => {
    const backend = await backendOnTheWire()
    const locator = own()
    const { seenAt, expiresAt } = storedSession()
    await backend.insert(locator, storedSession({ seenAt, expiresAt }))
    const touch = () => backend.extend([{ locator, seenAt: seenAt + 1, expiresAt: expiresAt + 1 }])
    expect(kinds(await wire().during(touch))).toEqual(['POST /_bulk_get (1)', 'POST /_bulk_docs (1)'])
    expect(kinds(await wire().during(touch))).toEqual(['POST /_bulk_get (1)'])
  })

  test('a destroy is a look and a write', async () => {
    const backend = await backendOnTheWire()
    const locator = own()
    await backend.insert(locator, storedSession())
    const destroy = () =>
      backend.destroy(locator, { writeId: sampleWriteId(), at: 1, keepUntil: quietRuntime.now() + 1_000 })
    expect(kinds(await wire().during(destroy))).toEqual(['GET /document', 'PUT /document'])
  })

  test('where a session without a month in its id is, is asked once', async () => {
    const database = couch().pattern()
    const backend = await backendOnTheWire(database)
    const locator = sampleLocator()
    const months = (await wire().during(() => backend.read(locator))).length
    expect(months).toBeGreaterThanOrEqual(2)
    expect((await wire().during(() => backend.insert(locator, storedSession()))).length).toBe(months + 1)
    expect(kinds(await wire().during(() => backend.read(locator)))).toEqual(['GET /document'])
    // One that found it by looking keeps it in mind likewise.
    const other = await backendOnTheWire(database)
    await other.read(locator)
    expect(kinds(await wire().during(() => other.read(locator)))).toEqual(['GET /document'])
  })

  test('where it was found is asked first, also when that is not the newest month', async () => {
    const clock = { now: Date.UTC(2026, 9, 28) }
    const runtime = { ...systemRuntime, now: () => clock.now }
    const backend = couchdb(couch().options({ url: wire().url, runtime }))
    closing.push(() => backend.close())
    const locator = sampleLocator()
    await backend.insert(locator, storedSession())
    clock.now = Date.UTC(2026, 10, 10)
    const [asked, ...others] = await wire().during(() => backend.read(locator))
    expect(asked).toMatch(/2026-10/)
    expect(others).toEqual([])
  })
})
