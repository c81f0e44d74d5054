import type { ServerResponse } from 'node:http'
import { describe, expect, test } from 'vitest'
import { tokenOf } from '../../../src/backends/couchdb/document.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { couchdb, type DatedOptions } from './backend.js'
import { closedAfterEach } from './scene.js'
import { type Asked, json, scripted } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

const DAY_MS = 86_400_000
const REVISION = `1-${'a0'.repeat(16)}`
const at = (moment: string): number => Date.parse(moment)

/** A backend with databases of its own and a clock that is set. */
const world = (moment: string, more: Partial<DatedOptions> = {}) => {
  const clock = { now: at(moment), elapsed: 0 }
  const database = more.database ?? couch().pattern()
  const monotonicMs = () => systemRuntime.monotonicMs() + clock.elapsed
  const runtime = { ...systemRuntime, now: () => clock.now, monotonicMs }
  const backend = couchdb(couch().options({ database, runtime, ...more }))
  closing.push(() => backend.close())
  const months = async (): Promise<string[]> => (await couch().databases(database)).map((name) => name.slice(-7))
  const born = (month = monthOf(clock.now)) => sampleLocator({ bornMonth: month })
  return { backend, clock, database, months, born }
}

const tombstone = (now: number) => ({ writeId: sampleWriteId(), at: now, keepUntil: now + DAY_MS })

describe('a month’s database', () => {
  test('is made by the first session that is born in it, once, however many come at once', async () => {
    const { backend, months, born, database } = world('2026-11-10T12:00:00Z')
    expect(await months()).toEqual([])
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => backend.insert(born(), storedSession())))
    expect(outcomes.every(({ outcome }) => outcome === 'inserted')).toBe(true)
    expect(await months()).toEqual(['2026-11'])
    const [name] = await couch().databases(database)
    expect((await couch().ask(`${name}/_design/nonstick-3`)).status).toBe(200)
  })

  test('is made by several processes at once', async () => {
    const { database, months } = world('2026-11-10T12:00:00Z')
    const backends = Array.from({ length: 5 }, () => world('2026-11-10T12:00:00Z', { database }))
    const outcomes = await Promise.all(backends.map(({ backend, born }) => backend.insert(born(), storedSession())))
    expect(outcomes.map(({ outcome }) => outcome)).toEqual(Array.from({ length: 5 }, () => 'inserted'))
    expect(await months()).toEqual(['2026-11'])
  })

  test('is made ahead in the month’s last week', async () => {
    const { backend, clock, months, born } = world('2026-12-23T23:59:00Z')
    await backend.insert(born(), storedSession())
    expect(await months()).toEqual(['2026-12'])
    clock.now = at('2026-12-25T00:00:00Z')
    await backend.insert(born(), storedSession())
    await expect.poll(months).toEqual(['2026-12', '2027-01'])
  })

  test('that cannot be made ahead is tried again some minutes later, and told of, and disturbs nobody', async () => {
    let puts = 0
    const server = await scripted(
      ({ method, path }, response) => {
        if (path.startsWith('/a-2026-12')) {
          if (method === 'GET') return json(response, 200, { db_name: 'a-2026-12' })
          return json(response, 201, { ok: true, rev: '1-a' })
        }
        if (method !== 'PUT') return json(response, 404, { error: 'not_found', reason: 'Database does not exist.' })
        puts++
        json(response, 403, { error: 'forbidden' })
      },
      { hasDatabases: false },
    )
    closing.push(() => server.close())
    const logged: string[] = []
    const log = (line: string): number => logged.push(line)
    const { backend, clock, born } = world('2026-12-30T12:00:00Z', { url: server.url, database: 'a-{yyyy}-{mm}', log })
    for (let index = 0; index < 5; index++)
      expect((await backend.insert(born(), storedSession())).outcome).toBe('inserted')
    await expect.poll(() => logged).toEqual([expect.stringMatching(/^a-2027-01 could not be made ahead: .*403/)])
    clock.elapsed += 600_000
    await backend.insert(born(), storedSession())
    await expect.poll(() => puts).toBe(2)
  })

  test('is made by no id: neither by looking for one nor by what is done to it, whatever month it claims', async () => {
    const { backend, clock, months, born } = world('2026-11-10T12:00:00Z')
    for (const claimed of ['2611', '2610', '2609', '2612', '2701', '9901', '0001', undefined]) {
      const locator = claimed === undefined ? sampleLocator() : born(claimed)
      const session = storedSession()
      const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
      for (const month of ['2026-11', '2026-10', '2020-01', '9999-12', undefined]) {
        const token = month === undefined ? new Uint8Array(0) : tokenOf({ ...session, month, revision: REVISION })
        const entry = { locator, guard, session, token }
        expect(await backend.update([entry])).toEqual([{ outcome: 'refused', row: { state: 'absent' } }])
      }
      expect(await backend.read(locator)).toEqual({ state: 'absent' })
      expect(await backend.extend([{ locator, seenAt: 1, expiresAt: 2 }])).toEqual([{ outcome: 'absent' }])
      const only = { lineage: session.lineage, version: 1 }
      expect(await backend.destroy(locator, { ...tombstone(clock.now), only })).toBe('refused')
    }
    const page = { namespace: 'contract', now: clock.now, limit: 9, withData: true, maxBytes: 1_000_000 }
    expect((await backend.list(page)).entries).toEqual([])
    expect(await backend.count({ namespace: 'contract', now: clock.now })).toBe(0)
    expect(await backend.purge({ now: clock.now, limit: 9 })).toEqual({ removed: 0, more: false })
    expect(await months()).toEqual([])
  })

  test('of a claimed month is not made by a creation either, unless a session can be born in it now', async () => {
    const { backend, clock, months, born } = world('2026-11-10T12:00:00Z')
    for (const claimed of ['2609', '2612', '9901'])
      await expect(backend.insert(born(claimed), storedSession())).rejects.toMatchObject({
        code: 'E_INVALID_ID',
        applied: 'no',
      })
    await expect(backend.insert(born('2610'), storedSession())).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringMatching(/2026-10.*setUp/),
      applied: 'no',
    })
    for (const claimed of ['2609', '2612', '9901'])
      expect(await backend.destroy(born(claimed), tombstone(clock.now))).toBe('destroyed')
    expect(await months()).toEqual([])
    clock.now = at('2026-11-01T00:00:10Z')
    expect((await backend.insert(born('2610'), storedSession())).outcome).toBe('inserted')
    expect(await months()).toEqual(['2026-10'])
  })

  test('a logout where the month has no database leaves nothing to come back', async () => {
    const { backend, clock, months, born } = world('2026-11-10T12:00:00Z')
    expect(await backend.destroy(born('2610'), tombstone(clock.now))).toBe('destroyed')
    expect(await months()).toEqual([])
    const here = born()
    expect(await backend.destroy(here, tombstone(clock.now))).toBe('destroyed')
    expect(await backend.insert(here, storedSession())).toEqual({ outcome: 'exists', row: { state: 'destroyed' } })
  })

  test('that is dropped under a running program is missed, until somebody sets it up anew', async () => {
    const { backend, database, born, clock, months } = world('2026-11-10T12:00:00Z')
    const locator = born()
    const session = storedSession()
    const inserted = await backend.insert(locator, session)
    if (inserted.outcome !== 'inserted') expect.fail(inserted.outcome)
    const [name = ''] = await couch().databases(database)
    await couch().ask(name, { method: 'DELETE' })
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    const gone = {
      code: 'E_SESSION_UNAVAILABLE',
      answered: true,
      message: expect.stringMatching(/was there and is gone/),
    }
    await expect(backend.read(locator)).rejects.toMatchObject(gone)
    await expect(
      backend.list({ namespace: 'contract', now: clock.now, limit: 9, withData: true, maxBytes: 1_000_000 }),
    ).rejects.toMatchObject(gone)
    await expect(backend.count({ namespace: 'contract', now: clock.now })).rejects.toMatchObject(gone)
    await expect(backend.insert(born(), session)).rejects.toMatchObject({ ...gone, applied: 'no' })
    await expect(backend.destroy(locator, tombstone(clock.now))).rejects.toMatchObject({ ...gone, applied: 'no' })
    for (const token of [inserted.token, new Uint8Array(0)])
      await expect(backend.update([{ locator, guard, session, token }])).rejects.toMatchObject({
        ...gone,
        applied: 'no',
      })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: gone.message })
    expect(await months()).toEqual([])
    await backend.setUp()
    expect(await backend.health()).toMatchObject({ state: 'up' })
    expect(await backend.read(locator)).toEqual({ state: 'absent' })
    expect((await backend.insert(locator, storedSession())).outcome).toBe('inserted')
  })

  test('keeps the names of fifty revisions of a document, and not of a thousand', async () => {
    const { backend, database, born } = world('2026-11-10T12:00:00Z')
    await backend.insert(born(), storedSession())
    const [name = ''] = await couch().databases(database)
    expect((await couch().ask(`${name}/_revs_limit`)).body).toBe(50)
  })
})

describe('setting up', () => {
  test('makes the months that count now and the next, with indexes, and may be done again', async () => {
    const { backend, months, database } = world('2026-12-31T12:00:00Z')
    await backend.setUp()
    expect(await months()).toEqual(['2026-11', '2026-12', '2027-01'])
    for (const name of await couch().databases(database))
      expect((await couch().ask(`${name}/_design/nonstick-3`)).status).toBe(200)
    await backend.setUp()
    expect(await months()).toHaveLength(3)
  })

  test('lets in the members that were named, and leaves names that somebody else put there', async () => {
    const { backend, database } = world('2026-11-10T12:00:00Z', { members: ['shop'] })
    await backend.setUp()
    const [first = ''] = await couch().databases(database)
    const security = async () => (await couch().ask(`${first}/_security`)).body
    expect(await security()).toMatchObject({ members: { names: ['shop'] }, admins: { roles: ['_admin'] } })
    const body = { admins: { names: ['boss'], roles: [] }, members: { names: ['boss'], roles: [] } }
    await couch().ask(`${first}/_security`, { method: 'PUT', body })
    await backend.setUp()
    expect(await security()).toMatchObject(body)
  })

  test('puts indexes into a database that somebody made by hand', async () => {
    const { backend, database, clock, born } = world('2026-11-10T12:00:00Z')
    const name = database.replace('{yyyy}', '2026').replace('{mm}', '11')
    await couch().ask(name, { method: 'PUT' })
    await backend.insert(born(), storedSession({ expiresAt: clock.now - 1 }))
    expect(await backend.purge({ now: clock.now, limit: 9, graceMs: 0 })).toEqual({ removed: 1, more: false })
  })
})

describe('a program that must not make databases', () => {
  test('says of this month’s that it is missing, and by which call it comes', async () => {
    const { backend, clock, born, months } = world('2026-11-10T12:00:00Z', { createDatabases: false })
    const missing = { code: 'E_BACKEND_SCHEMA', message: expect.stringMatching(/2026-11; call `setUp\(\)`/) }
    const session = storedSession()
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    const token = tokenOf({ ...session, month: '2026-11', revision: REVISION })
    await expect(backend.read(born())).rejects.toMatchObject(missing)
    await expect(backend.insert(born(), session)).rejects.toMatchObject({ ...missing, applied: 'no' })
    await expect(backend.destroy(born(), tombstone(clock.now))).rejects.toMatchObject({ ...missing, applied: 'no' })
    const updated = await backend.update([{ locator: born(), guard, session, token }])
    expect(updated).toMatchObject([{ outcome: 'failed', error: { ...missing, applied: 'no' } }])
    expect(await backend.read(born('2610'))).toEqual({ state: 'absent' })
    expect(await months()).toEqual([])
    await backend.setUp()
    const locator = born()
    expect(await backend.read(locator)).toEqual({ state: 'absent' })
    expect((await backend.insert(locator, session)).outcome).toBe('inserted')
  })

  test('or may not, by the server’s judgement: it is said likewise', async () => {
    const forbid = ({ method, path }: Asked, response: ServerResponse): void => {
      if (method === 'PUT' && !path.includes('s%3A')) json(response, 403, { error: 'forbidden', reason: 'x' })
      else json(response, 404, { error: 'not_found', reason: 'Database does not exist.' })
    }
    const server = await scripted(forbid, { hasDatabases: false })
    closing.push(() => server.close())
    const { backend, born } = world('2026-11-10T12:00:00Z', { url: server.url })
    await expect(backend.insert(born(), storedSession())).rejects.toMatchObject({
      code: 'E_BACKEND_SCHEMA',
      message: expect.stringMatching(/lacks the database .*2026-11; call `setUp\(\)` as a server administrator/),
      applied: 'no',
    })
    await expect(backend.setUp()).rejects.toThrow(/does not allow this to the user/)
  })
})
