import assert from 'node:assert/strict'
import type { InsertOptions, StoredSession } from '../../contract/backend.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, insertNew, nextOf, type Rule, times } from './rule.js'

const HOUR_MS = 3_600_000

/** `insert`: where nothing stands or what stands has ended, and in time. */
export const CREATING: readonly Rule[] = [
  {
    title: 'an insert where a session stands changes nothing, and tells what stands',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession({ version: 4 })
      await insertNew(backend, locator, first)
      const second = await backend.insert(locator, storedSession())
      if (second.outcome !== 'exists' || second.row.state !== 'live') assert.fail(JSON.stringify(second))
      assert.equal(second.row.lineage, first.lineage)
      assert.equal(second.row.version, 4)
      assert.deepEqual([...second.row.writeIds], [...first.writeIds])
      await assertStands(backend, locator, first)
    },
  },
  {
    title: 'an insert over a tombstone changes nothing',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
      const outcome = await backend.insert(locator, storedSession())
      assert.deepEqual(outcome, { outcome: 'exists', row: { state: 'destroyed' } })
      await assertState(backend, locator, 'destroyed')
    },
  },
  {
    title: 'an insert sent again finds itself',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const session = storedSession()
      await insertNew(backend, locator, session)
      for (const notAfter of [now() + 60_000, now() - 60_000]) {
        const again = await backend.insert(locator, session, { notAfter })
        assert.equal(again.outcome === 'exists' && again.row.state === 'live' && again.row.lineage, session.lineage)
      }
    },
  },
  {
    title: 'an insert after its time creates nothing',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const outcome = await backend.insert(locator, storedSession(), { notAfter: now() - 60_000 })
      assert.deepEqual(outcome, { outcome: 'too-late' })
      await assertState(backend, locator, 'absent')
    },
  },
  {
    title: 'an insert in its time creates the session',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const session = storedSession()
      assert.equal((await backend.insert(locator, session, { notAfter: now() + 60_000 })).outcome, 'inserted')
      await assertStands(backend, locator, session)
    },
  },
  {
    title: 'an insert takes the place of the copy that it names, where that has ended, and of no part of it',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const endedBy = now()
      const moments = { createdAt: endedBy - 2 * HOUR_MS, seenAt: endedBy - HOUR_MS }
      const old = storedSession({ version: 7, userId: 'somebody', ...moments, expiresAt: endedBy })
      await insertNew(backend, locator, old)
      const session = storedSession({ version: 8, userId: undefined })
      const over = { lineage: old.lineage, version: 7, endedBy }
      assert.equal((await backend.insert(locator, session, { over })).outcome, 'inserted')
      await assertStands(backend, locator, session)
      assert.equal((await backend.update([nextOf(locator, old)]))[0]?.outcome, 'refused', 'a late flush of the old one')
      await assertStands(backend, locator, session)
      const again = await backend.insert(locator, session, { over })
      assert.equal(again.outcome === 'exists' && again.row.state === 'live' && again.row.lineage, session.lineage)
    },
  },
  {
    title: 'an insert takes the place of no other copy, of none that has not ended, of no tombstone, and none too late',
    check: async ({ backend, now }) => {
      const endedBy = now()
      const ended = storedSession({ version: 7, createdAt: endedBy - 2 * HOUR_MS, expiresAt: endedBy })
      const over = { lineage: ended.lineage, version: 7, endedBy }
      const refused = async (standing: StoredSession, options: InsertOptions): Promise<void> => {
        const locator = sampleLocator()
        await insertNew(backend, locator, standing)
        assert.equal((await backend.insert(locator, storedSession({ version: 9 }), options)).outcome, 'exists')
        await assertStands(backend, locator, standing)
      }
      await refused({ ...ended, version: 8 }, { over })
      await refused({ ...ended, lineage: sampleLineage() }, { over })
      await refused({ ...ended, expiresAt: endedBy + 1 }, { over })
      await refused(ended, { over, notAfter: endedBy - HOUR_MS })

      const locator = sampleLocator()
      await insertNew(backend, locator, ended)
      await backend.extend([{ locator, seenAt: endedBy, expiresAt: endedBy + HOUR_MS }])
      assert.equal((await backend.insert(locator, storedSession({ version: 8 }), { over })).outcome, 'exists')
      await backend.destroy(locator, { writeId: sampleWriteId(), at: endedBy, keepUntil: endedBy + HOUR_MS })
      assert.equal((await backend.insert(locator, storedSession({ version: 8 }), { over })).outcome, 'exists')
      await assertState(backend, locator, 'destroyed')

      const nothing = sampleLocator()
      assert.equal((await backend.insert(nothing, storedSession(), { over })).outcome, 'inserted', 'purged meanwhile')
    },
  },
  {
    title: 'of ten inserts at once over a copy that has ended one creates the session',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const endedBy = now()
      const old = storedSession({ version: 7, createdAt: endedBy - 2 * HOUR_MS, expiresAt: endedBy })
      await insertNew(backend, locator, old)
      const over = { lineage: old.lineage, version: 7, endedBy }
      const sessions = times(10, () => storedSession({ version: 8 }))
      const outcomes = await Promise.all(sessions.map((session) => backend.insert(locator, session, { over })))
      const winners = sessions.filter((_, index) => outcomes[index]?.outcome === 'inserted')
      assert.equal(winners.length, 1)
      if (winners[0] !== undefined) await assertStands(backend, locator, winners[0])
    },
  },
  {
    title: 'of twenty inserts at once one creates the session, and the others are told of it',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const sessions = times(20, () => storedSession())
      const outcomes = await Promise.all(sessions.map((session) => backend.insert(locator, session)))
      const winners = sessions.filter((_, index) => outcomes[index]?.outcome === 'inserted')
      assert.equal(winners.length, 1)
      for (const outcome of outcomes)
        if (outcome.outcome !== 'inserted')
          assert.equal(
            outcome.outcome === 'exists' && outcome.row.state === 'live' && outcome.row.lineage,
            winners[0]?.lineage,
          )
      if (winners[0] !== undefined) await assertStands(backend, locator, winners[0])
    },
  },
  {
    title: 'an update creates nothing',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const [outcome] = await backend.update([nextOf(locator, storedSession())])
      assert.deepEqual(outcome, { outcome: 'refused', row: { state: 'absent' } })
      await assertState(backend, locator, 'absent')
    },
  },
]
