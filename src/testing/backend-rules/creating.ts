import assert from 'node:assert/strict'
import { sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, insertNew, nextOf, type Rule, times } from './rule.js'

/** `insert`: where nothing stands, and in time. */
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
