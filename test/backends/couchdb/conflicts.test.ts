import { describe, expect, test } from 'vitest'
import { contentOf, idOf, tombstoneOf } from '../../../src/backends/couchdb/document.js'
import type { StoredSession } from '../../../src/contract/backend.js'
import type { Locator } from '../../../src/contract/locator.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { quietRuntime } from '../../support/calendar.js'
import { couchdb } from './backend.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const { now } = quietRuntime

/** A session with further leaves beside its own, as two halves of a cluster make them while they are apart. */
const withLeaves = async (session: StoredSession, others: readonly object[]) => {
  const database = couch().pattern()
  const logged: string[] = []
  const backend = couchdb(couch().options({ database, log: (line) => logged.push(line) }))
  const locator: Locator = sampleLocator({ bornMonth: monthOf(now()) })
  await backend.insert(locator, session)
  const [name = ''] = await couch().databases(database)
  const docs = others.map((other, at) => ({ _id: idOf(locator.key), _rev: `${at + 2}-${'0'.repeat(32)}`, ...other }))
  await couch().ask(`${name}/_bulk_docs`, { method: 'POST', body: { docs, new_edits: false } })
  const leaves = async (): Promise<object[]> => {
    const { body } = await couch().ask(`${name}/${encodeURIComponent(idOf(locator.key))}?open_revs=all`)
    return (body as { ok?: { _deleted?: boolean } }[]).flatMap(({ ok }) =>
      ok === undefined || ok._deleted ? [] : [ok],
    )
  }
  expect(await leaves()).toHaveLength(others.length + 1)
  return { backend, locator, leaves, logged }
}

const destroyed = (): object => tombstoneOf(sampleWriteId(), now(), now() + 86_400_000)

describe('leaves in conflict', () => {
  test('a destroyed one wins, and the live ones are removed', async () => {
    const { backend, locator, leaves, logged } = await withLeaves(storedSession({ version: 9 }), [
      destroyed(),
      contentOf(storedSession({ version: 10 })),
    ])
    expect(await backend.read(locator)).toEqual({ state: 'destroyed' })
    expect(await leaves()).toMatchObject([{ kind: 'tombstone' }])
    expect(logged).toEqual([expect.stringMatching(/^a conflict in test_.* was resolved$/)])
    expect(await backend.read(locator)).toEqual({ state: 'destroyed' })
    await backend.close()
  })

  test('of live ones the newest version wins, its token fits, and the others are removed', async () => {
    const newest = storedSession({ version: 12 })
    const { backend, locator, leaves } = await withLeaves(storedSession({ version: 9 }), [
      contentOf(newest),
      contentOf(storedSession({ version: 10 })),
    ])
    const read = await backend.read(locator)
    if (read.state !== 'live') expect.fail(read.state)
    expect(read.session).toEqual(newest)
    expect(await leaves()).toMatchObject([{ version: 12 }])
    const guard = { lineage: newest.lineage, belowVersion: 13, parentLineage: newest.lineage, parentVersion: 12 }
    const session = { ...newest, version: 13 }
    const [outcome] = await backend.update([{ locator, guard, session, token: read.token }])
    expect(outcome?.outcome).toBe('applied')
    expect(await leaves()).toMatchObject([{ version: 13 }])
    await backend.close()
  })

  test('an insert is told of the destroyed one, and a destroy of the session leaves nothing but a tombstone', async () => {
    const { backend, locator, leaves } = await withLeaves(storedSession(), [destroyed()])
    expect(await backend.insert(locator, storedSession())).toEqual({ outcome: 'exists', row: { state: 'destroyed' } })
    await backend.close()

    const live = await withLeaves(storedSession(), [contentOf(storedSession({ version: 2 }))])
    const tombstone = { writeId: sampleWriteId(), at: now(), keepUntil: now() + 1_000 }
    expect(await live.backend.destroy(live.locator, tombstone)).toBe('destroyed')
    expect(await live.leaves()).toMatchObject([{ kind: 'tombstone', writeId: tombstone.writeId }])
    expect(await leaves()).toHaveLength(1)
    await live.backend.close()
  })

  test.each([true, false])('a listing shows no session with a destroyed leaf, with data: %s', async (withData) => {
    const { backend, locator } = await withLeaves(storedSession({ version: 9, createdAt: now() }), [
      destroyed(),
      contentOf(storedSession({ version: 10, createdAt: now() })),
    ])
    const [namespace = ''] = locator.key.split(':')
    const page = { namespace, now: now(), limit: 10, maxBytes: 1_000_000 }
    expect((await backend.list({ ...page, withData })).entries).toEqual([])
    await backend.close()
  })

  test('a listing without data shows the one that counts, and is not told of it by the index', async () => {
    const newest = storedSession({ version: 12, createdAt: now() })
    const { backend, locator } = await withLeaves(storedSession({ version: 9, createdAt: now() }), [
      contentOf(newest),
      contentOf(storedSession({ version: 10, createdAt: now() })),
    ])
    const [namespace = ''] = locator.key.split(':')
    const { entries } = await backend.list({ namespace, now: now(), limit: 10, withData: false, maxBytes: 1 })
    expect(entries).toEqual([{ locator, session: { ...newest, data: new Uint8Array(0) } }])
    await backend.close()
  })
})
