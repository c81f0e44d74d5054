import assert from 'node:assert/strict'
import type { Backend } from '../../contract/backend.js'
import type { EpochMs } from '../../contract/time.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, at, insertNew, nextOf, type Rule, times } from './rule.js'

const HOUR_MS = 3_600_000

/** Rows that other rules left behind, and whose time has come, are out of the way. */
const purgeAll = async (backend: Backend, now: EpochMs): Promise<void> => {
  while ((await backend.purge({ now, limit: 1_000 })).more);
}

/** `destroy` leaves a tombstone, and `purge` removes what nobody needs any longer, never early. */
export const ENDING: readonly Rule[] = [
  {
    title: 'a destroyed session stays destroyed, and its data is gone',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const session = storedSession({ userId: 'somebody' })
      await insertNew(backend, locator, session)
      assert.equal(
        await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 }),
        'destroyed',
      )
      assert.deepEqual(await backend.read(locator), { state: 'destroyed' })
      assert.equal((await backend.insert(locator, session)).outcome, 'exists')
      assert.equal((await backend.update([nextOf(locator, session)]))[0]?.outcome, 'refused')
      await assertState(backend, locator, 'destroyed')
    },
  },
  {
    title: 'destroying what was never there leaves a tombstone',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      assert.equal(
        await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 }),
        'destroyed',
      )
      await assertState(backend, locator, 'destroyed')
    },
  },
  {
    title: 'destroying twice is one destroy, and keeps the tombstone as long as the longer of both asked',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      for (const [first, second] of [
        [2 * HOUR_MS, 20 * HOUR_MS],
        [20 * HOUR_MS, 2 * HOUR_MS],
      ] as const) {
        const locator = sampleLocator()
        await insertNew(backend, locator, storedSession())
        for (const keptMs of [first, second])
          await backend.destroy(locator, { writeId: sampleWriteId(), at: start, keepUntil: start + keptMs })
        await purgeAll(backend, start + 20 * HOUR_MS - 1)
        await assertState(backend, locator, 'destroyed')
        await purgeAll(backend, start + 20 * HOUR_MS + purgeResolutionMs)
        await assertState(backend, locator, 'absent')
      }
    },
  },
  {
    title: 'destroying only one copy spares every other',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const session = storedSession({ version: 5 })
      const tombstone = { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 }
      await insertNew(backend, locator, session)
      for (const only of [
        { lineage: session.lineage, version: 4 },
        { lineage: session.lineage, version: 6 },
        { lineage: sampleLineage(), version: 5 },
      ]) {
        assert.equal(await backend.destroy(locator, { ...tombstone, only }), 'refused')
        await assertStands(backend, locator, session)
      }
      const only = { lineage: session.lineage, version: 5 }
      assert.equal(await backend.destroy(locator, { ...tombstone, only }), 'destroyed')
      await assertState(backend, locator, 'destroyed')
      assert.equal(await backend.destroy(locator, { ...tombstone, only }), 'destroyed', 'sent again')
    },
  },
  {
    title: 'a tombstone is whose it was first, and tells its own destroyer from another',
    check: async ({ backend, now }) => {
      const [first, second] = [sampleWriteId(), sampleWriteId()]
      const moments = { at: now(), keepUntil: now() + 60_000 }
      const session = storedSession()
      for (const only of [undefined, { lineage: session.lineage, version: session.version }]) {
        const asked = only === undefined ? moments : { ...moments, only }
        const locator = sampleLocator()
        await insertNew(backend, locator, session)
        assert.equal(await backend.destroy(locator, { ...asked, writeId: first }), 'destroyed')
        assert.equal(await backend.destroy(locator, { ...moments, writeId: second }), 'already-destroyed')
        assert.equal(await backend.destroy(locator, { ...asked, writeId: second }), 'already-destroyed')
        assert.equal(await backend.destroy(locator, { ...asked, writeId: first }), 'destroyed', 'sent again')
      }
    },
  },
  {
    title: 'of destroys of one copy at once, exactly one is the destroyer',
    check: async ({ backend, now }) => {
      for (let round = 0; round < 10; round++) {
        const locator = sampleLocator()
        const only = storedSession()
        await insertNew(backend, locator, only)
        const outcomes = await Promise.all(
          times(4, () =>
            backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000, only }),
          ),
        )
        assert.equal(outcomes.filter((outcome) => outcome === 'destroyed').length, 1)
        assert.equal(outcomes.filter((outcome) => outcome === 'already-destroyed').length, 3)
      }
    },
  },
  {
    title: 'destroying only one copy leaves no tombstone where nothing is',
    check: async ({ backend, now }) => {
      const locator = sampleLocator()
      const only = { lineage: sampleLineage(), version: 1 }
      assert.equal(
        await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000, only }),
        'refused',
      )
      await assertState(backend, locator, 'absent')
    },
  },
  {
    title: 'of a destroy of one copy and an update of it at once, exactly one is done',
    check: async ({ backend, now }) => {
      for (let round = 0; round < 10; round++) {
        const locator = sampleLocator()
        const session = storedSession()
        await insertNew(backend, locator, session)
        const [destroyed, updated] = await Promise.all([
          backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000, only: session }),
          backend.update([nextOf(locator, session)]),
        ])
        assert.notEqual(destroyed === 'destroyed', updated[0]?.outcome === 'applied')
        await assertState(backend, locator, destroyed === 'destroyed' ? 'destroyed' : 'live')
      }
    },
  },
  {
    title: 'a purge removes what has expired and tombstones past their time, and nothing early',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      const moment = start + 40 * HOUR_MS + 1_234_567
      const [expired, living, tombstone] = [sampleLocator(), sampleLocator(), sampleLocator()]
      await insertNew(backend, expired, storedSession({ createdAt: start, expiresAt: moment }))
      const lasting = storedSession({ createdAt: start, expiresAt: moment + purgeResolutionMs + 1 })
      await insertNew(backend, living, lasting)
      await insertNew(backend, tombstone, storedSession({ createdAt: start, expiresAt: start + HOUR_MS }))
      await backend.destroy(tombstone, { writeId: sampleWriteId(), at: start, keepUntil: moment })

      await purgeAll(backend, moment - 1)
      await assertState(backend, expired, 'live')
      await assertState(backend, tombstone, 'destroyed')
      await purgeAll(backend, moment + purgeResolutionMs)
      await assertState(backend, expired, 'absent')
      await assertState(backend, tombstone, 'absent')
      await assertStands(backend, living, lasting)
    },
  },
  {
    title: 'an extended session is purged by its new end',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      const locator = sampleLocator()
      const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
      await insertNew(backend, locator, session)
      await backend.extend([{ locator, seenAt: start + 1, expiresAt: start + 9 * HOUR_MS }])
      await purgeAll(backend, start + 9 * HOUR_MS - 1)
      await assertState(backend, locator, 'live')
      await purgeAll(backend, start + 9 * HOUR_MS + purgeResolutionMs)
      await assertState(backend, locator, 'absent')
    },
  },
  {
    title: 'a purge removes at most its limit, the oldest first, and says whether there may be more',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      await purgeAll(backend, start + 70 * HOUR_MS)
      const locators = times(5, () => sampleLocator())
      for (const [index, locator] of locators.entries())
        await insertNew(
          backend,
          locator,
          storedSession({ createdAt: start, expiresAt: start + (5 - index) * 2 * HOUR_MS }),
        )
      const moment = start + 20 * HOUR_MS + purgeResolutionMs
      assert.deepEqual(await backend.purge({ now: moment, limit: 2 }), { removed: 2, more: true })
      for (const [index, state] of (['live', 'live', 'live', 'absent', 'absent'] as const).entries())
        await assertState(backend, at(locators, index), state)
      assert.deepEqual(await backend.purge({ now: moment, limit: 4 }), { removed: 3, more: false })
      assert.deepEqual(await backend.purge({ now: moment, limit: 4 }), { removed: 0, more: false })
    },
  },
  {
    title: 'purges at once remove each session once',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      await purgeAll(backend, start + 70 * HOUR_MS)
      await Promise.all(
        times(60, () =>
          insertNew(backend, sampleLocator(), storedSession({ createdAt: start, expiresAt: start + HOUR_MS })),
        ),
      )
      const moment = start + HOUR_MS + purgeResolutionMs
      const outcomes = await Promise.all(times(4, () => backend.purge({ now: moment, limit: 30 })))
      const rest = await backend.purge({ now: moment, limit: 100 })
      assert.equal(
        [...outcomes, rest].reduce((sum, { removed }) => sum + removed, 0),
        60,
      )
    },
  },
]
