import { describe, expect, test } from 'vitest'
import { contentOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import { sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { QUIET_DAY, standingRuntime } from '../../support/calendar.js'
import { couchdb, type DatedOptions } from './backend.js'
import { bornThen, closedAfterEach } from './scene.js'
import { json, type Script, scripted } from './scripted.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

const backendOf = (url: string, more: Partial<DatedOptions> = {}) => {
  const absoluteTtlMs = 30 * 86_400_000
  const backend = couchdb({ url, absoluteTtlMs, requestTimeoutMs: 10_000, runtime: standingRuntime, ...more })
  closing.push(() => backend.close())
  return backend
}

const MISSING = { error: 'not_found', reason: 'missing' }

/** Every database is there, and no document. */
const lacksAll: Script = ({ path, body }, response) => {
  if (!path.endsWith('_bulk_get')) return json(response, 404, MISSING)
  const { docs } = JSON.parse(body) as { docs: { id: string }[] }
  json(response, 200, { results: docs.map(({ id }) => ({ id, docs: [{ error: { id, ...MISSING } }] })) })
}

/** A cluster whose databases keep so many copies; the script answers about documents. */
const clusterOf = async (copies: number, script: Script) => {
  const server = await scripted(
    (asked, response) => {
      const [, name = '', rest] = /^\/([^/?]+)(\/.*)?$/.exec(asked.path) ?? []
      if (rest !== undefined || asked.method !== 'GET') script(asked, response)
      else json(response, 200, { db_name: name, cluster: { q: 2, n: copies, w: 2, r: 2 } })
    },
    { hasDatabases: false },
  )
  closing.push(() => server.close())
  return server
}

describe('a database that keeps more copies than the store asked for', () => {
  const refused = {
    code: 'E_BACKEND_SCHEMA',
    message: expect.stringMatching(/nonstick-2026-06 keeps 3 copies.*\(n = 3\).*`\?n=1`.*`replicas: 3`/),
  }

  test('is refused by its name, with the cure, before anything is written or is taken for absent', async () => {
    const { url, asked } = await clusterOf(3, lacksAll)
    const backend = backendOf(url)
    const session = storedSession()
    const guard = { lineage: session.lineage, belowVersion: 2, parentLineage: session.lineage, parentVersion: 1 }
    await expect(backend.insert(bornThen(), session)).rejects.toMatchObject({ ...refused, applied: 'no' })
    await expect(backend.read(bornThen())).rejects.toMatchObject(refused)
    const update = backend.update([{ locator: bornThen(), guard, session, token: new Uint8Array(0) }])
    await expect(update).rejects.toMatchObject({ ...refused, applied: 'no' })
    const destroy = backend.destroy(bornThen(), {
      writeId: sampleWriteId(),
      at: QUIET_DAY,
      keepUntil: QUIET_DAY + 1_000,
    })
    await expect(destroy).rejects.toMatchObject(refused)
    await expect(backend.setUp()).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA' })
    expect(await backend.health()).toMatchObject({ state: 'down', reason: refused.message })
    expect(asked.filter(({ method }) => method === 'PUT')).toEqual([])
  })

  test('is not one that a cluster of a single node, or a single node of old, says of itself', async () => {
    for (const { url } of [await clusterOf(1, lacksAll), await scripted(lacksAll)]) {
      const backend = backendOf(url)
      expect(await backend.read(bornThen())).toEqual({ state: 'absent' })
      const { state, reason } = await backend.health()
      expect([state, reason]).toEqual(['up', undefined])
    }
  })
})

test.each([
  [undefined, 1],
  [3, 3],
])('with `replicas: %s` a database is made with n = %i', async (replicas, n) => {
  const made: string[] = []
  const server = await scripted(
    ({ method, path }, response) => {
      if (method === 'PUT' && path.includes('?')) made.push(path)
      if (method === 'GET' && made.length === 0)
        return json(response, 404, { error: 'not_found', reason: 'Database does not exist.' })
      json(response, method === 'PUT' ? 201 : 200, { ok: true, rev: '1-a' })
    },
    { hasDatabases: false },
  )
  closing.push(() => server.close())
  const backend = backendOf(server.url, replicas === undefined ? {} : { replicas })
  expect((await backend.insert(bornThen(), storedSession())).outcome).toBe('inserted')
  expect(made).toEqual([`/nonstick-2026-06?n=${n}`])
})

test('a database that is made with more copies than were asked for, by a rule of the server’s, is refused', async () => {
  let isMade = false
  const server = await scripted(
    ({ method, path }, response) => {
      if (method === 'PUT') isMade = true
      if (method === 'GET' && !isMade)
        return json(response, 404, { error: 'not_found', reason: 'Database does not exist.' })
      if (method === 'PUT') return json(response, 201, { ok: true, rev: '1-a' })
      json(response, 200, { db_name: path.slice(1), cluster: { n: 2 } })
    },
    { hasDatabases: false },
  )
  closing.push(() => server.close())
  const insertion = backendOf(server.url).insert(bornThen(), storedSession())
  await expect(insertion).rejects.toMatchObject({ code: 'E_BACKEND_SCHEMA', applied: 'no' })
})

describe('where more copies were asked for', () => {
  test('health says what is no longer promised', async () => {
    const { url } = await clusterOf(3, lacksAll)
    expect(await backendOf(url, { replicas: 3 }).health()).toMatchObject({
      state: 'up',
      reason: expect.stringMatching(/n = 3.*holds for n = 1 only/),
    })
  })

  test('an absence is believed when all copies were asked, and what one of them has is found', async () => {
    const locator = bornThen()
    const session = storedSession()
    const document = { _id: `s:${locator.key}`, _rev: '1-a', ...contentOf(session) }
    let isThere = true
    const { url, asked } = await clusterOf(3, (request, response) => {
      if (isThere && request.path.includes('r=3')) json(response, 200, document)
      else lacksAll(request, response)
    })
    const backend = backendOf(url, { replicas: 3 })
    expect(await backend.read(locator)).toMatchObject({ state: 'live', session })
    expect(await backend.extend([{ locator, seenAt: 0, expiresAt: 0 }])).toEqual([{ outcome: 'extended' }])
    isThere = false
    expect(await backend.read(locator)).toEqual({ state: 'absent' })
    expect(asked.at(-1)?.path).toMatch(/\?conflicts=true&r=3$/)
  })

  test('no leaf is removed, and the one that counts is the same for all', async () => {
    const locator = bornThen()
    const id = `s:${locator.key}`
    const live = { _id: id, _rev: '3-b', ...contentOf(storedSession({ version: 9 })) }
    const dead = { _id: id, _rev: '2-a', ...tombstoneOf(sampleWriteId(), QUIET_DAY, QUIET_DAY + 86_400_000) }
    const script: Script = ({ path }, response) =>
      path.includes('open_revs')
        ? json(response, 200, [{ ok: live }, { ok: dead }])
        : json(response, 200, { ...live, _conflicts: ['2-a'] })
    const { url, asked } = await clusterOf(3, script)
    expect(await backendOf(url, { replicas: 3 }).read(locator)).toEqual({ state: 'destroyed' })
    expect(asked.filter(({ method }) => method !== 'GET')).toEqual([])
    // The control: with one copy the other leaf is removed.
    const single = await clusterOf(1, script)
    expect(await backendOf(single.url).read(locator)).toEqual({ state: 'destroyed' })
    expect(single.asked.filter(({ path }) => path.endsWith('_bulk_docs'))).toHaveLength(1)
  })
})

test('a database of ours says that it keeps one copy, where it says anything of a cluster', async () => {
  const database = couch().pattern()
  const backend = couchdb(couch().options({ database, runtime: standingRuntime }))
  closing.push(() => backend.close())
  await backend.insert(bornThen(), storedSession())
  const [name = ''] = await couch().databases(database)
  const { cluster } = (await couch().ask(name)).body as { cluster?: { n: number } }
  expect(cluster?.n ?? 1).toBe(1)
})
