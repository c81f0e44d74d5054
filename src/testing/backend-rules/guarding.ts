import assert from 'node:assert/strict'
import { guardAdmits, type UpdateOutcome } from '../../contract/backend.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, at, insertNew, NO_TOKEN, nextOf, type Rule, times } from './rule.js'

const assertRefusedBy = (
  outcome: UpdateOutcome | undefined,
  standing: { readonly lineage: string; readonly version: number; readonly writeIds: readonly string[] },
): void => {
  if (outcome?.outcome !== 'refused' || outcome.row.state !== 'live') assert.fail(JSON.stringify(outcome))
  assert.equal(outcome.row.lineage, standing.lineage)
  assert.equal(outcome.row.version, standing.version)
  assert.deepEqual([...outcome.row.writeIds], [...standing.writeIds])
}

/** `update`: one copy replaces another only under its guard, in one atomic step. */
export const GUARDING: readonly Rule[] = [
  {
    title: 'a guard admits an older version of its lineage and exactly one version of its parent, nothing else',
    check: async ({ backend }) => {
      const mine = sampleLineage()
      const parent = sampleLineage()
      const stranger = sampleLineage()
      for (const lineage of [mine, parent, stranger])
        for (const version of [3, 4, 5, 6])
          for (const guarded of [
            { belowVersion: 5, parentVersion: 4 },
            { belowVersion: 1, parentVersion: 6 },
            { belowVersion: 7, parentVersion: 9 },
          ]) {
            const guard = { lineage: mine, parentLineage: parent, ...guarded }
            const locator = sampleLocator()
            const standing = storedSession({ lineage, version, writeIds: times(2, sampleWriteId) })
            await insertNew(backend, locator, standing)
            const session = storedSession({ lineage: mine, version: 10 })
            const [outcome] = await backend.update([{ locator, guard, session, token: NO_TOKEN }])
            if (guardAdmits(guard, standing)) {
              assert.equal(outcome?.outcome, 'applied')
              await assertStands(backend, locator, session)
            } else {
              assertRefusedBy(outcome, standing)
              await assertStands(backend, locator, standing)
            }
          }
    },
  },
  {
    title: 'an update sent again is refused, and finds itself',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession()
      await insertNew(backend, locator, first)
      const update = nextOf(locator, first, { lineage: sampleLineage(), writeIds: [sampleWriteId()] })
      assert.equal((await backend.update([update]))[0]?.outcome, 'applied')
      assertRefusedBy((await backend.update([update]))[0], update.session)
    },
  },
  {
    title: 'a tombstone admits no update',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const first = storedSession()
      await insertNew(backend, locator, first)
      await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
      const wide = { lineage: first.lineage, belowVersion: 100, parentLineage: first.lineage, parentVersion: 1 }
      const [outcome] = await backend.update([nextOf(locator, first, {}, wide)])
      assert.deepEqual(outcome, { outcome: 'refused', row: { state: 'destroyed' } })
      await assertState(backend, locator, 'destroyed')
    },
  },
  {
    title: 'the tombstone of a session nobody knew admits no update, whatever the guard',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
      const zero = '0000000000000000'
      const guard = { lineage: zero, belowVersion: 100, parentLineage: zero, parentVersion: 0 }
      const [outcome] = await backend.update([{ locator, guard, session: storedSession(), token: NO_TOKEN }])
      assert.deepEqual(outcome, { outcome: 'refused', row: { state: 'destroyed' } })
      await assertState(backend, locator, 'destroyed')
    },
  },
  {
    title: 'of twenty updates of one version at once one is applied, version after version',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      let standing = storedSession()
      await insertNew(backend, locator, standing)
      for (let round = 0; round < 5; round++) {
        const rivals = times(20, () =>
          nextOf(locator, standing, { lineage: sampleLineage(), writeIds: [sampleWriteId()] }),
        )
        const outcomes = (await Promise.all(rivals.map((rival) => backend.update([rival])))).flat()
        const winners = rivals.filter((_, index) => outcomes[index]?.outcome === 'applied')
        assert.equal(winners.length, 1)
        const winner = at(winners, 0).session
        for (const outcome of outcomes) if (outcome.outcome !== 'applied') assertRefusedBy(outcome, winner)
        await assertStands(backend, locator, winner)
        standing = winner
      }
    },
  },
  {
    title: 'versions of one lineage that arrive at once and out of order end with the newest',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const first = storedSession()
      await insertNew(backend, locator, first)
      const updates = times(20, (index) => nextOf(locator, first, { version: 2 + ((index * 7) % 20) }))
      await Promise.all(updates.map((update) => backend.update([update])))
      const read = await backend.read(locator)
      assert.equal(read.state === 'live' && read.session.version, 21)
    },
  },
  {
    title: 'an update that races a destroy never brings the session back',
    check: async ({ backend, now }) => {
      for (let round = 0; round < 10; round++) {
        const locator = sampleLocator()
        const first = storedSession()
        await insertNew(backend, locator, first)
        const updates = times(5, (index) => backend.update([nextOf(locator, first, { version: 2 + index })]))
        const destroy = backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
        await Promise.all([...updates, destroy])
        await assertState(backend, locator, 'destroyed')
      }
    },
  },
]
