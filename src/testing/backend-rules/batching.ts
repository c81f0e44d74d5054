import assert from 'node:assert/strict'
import { sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, at, insertNew, nextOf, type Rule, times } from './rule.js'

const DAY_MS = 86_400_000

/** `update` and `extend` of many: one outcome each, in order, neighbours undisturbed. */
export const BATCHING: readonly Rule[] = [
  {
    title: 'an empty batch is an empty answer',
    check: async ({ backend }) => {
      assert.deepEqual(await backend.update([]), [])
      assert.deepEqual(await backend.extend([]), [])
    },
  },
  {
    title: 'outcomes come in the order of the entries, and a refused entry disturbs no neighbour',
    check: async ({ backend, now }) => {
      const locators = times(12, () => sampleLocator())
      const sessions = times(12, () => storedSession())
      for (const [index, locator] of locators.entries())
        if (index % 4 !== 1) await insertNew(backend, locator, at(sessions, index))
      for (const [index, locator] of locators.entries())
        if (index % 4 === 2)
          await backend.destroy(locator, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
      const updates = locators.map((locator, index) =>
        nextOf(locator, at(sessions, index), {}, index % 4 === 3 ? { belowVersion: 1, parentVersion: 99 } : {}),
      )
      const outcomes = await backend.update(updates)
      assert.deepEqual(
        outcomes.map((outcome) => (outcome.outcome === 'refused' ? outcome.row.state : outcome.outcome)),
        times(3, () => ['applied', 'absent', 'destroyed', 'live']).flat(),
      )
      for (const [index, { locator, session }] of updates.entries())
        if (index % 4 === 0) await assertStands(backend, locator, session)
        else if (index % 4 === 3) await assertStands(backend, locator, at(sessions, index))
    },
  },
  {
    title: 'an entry that the backend cannot write fails alone',
    check: async ({ backend }) => {
      const locators = times(9, () => sampleLocator())
      const sessions = times(9, () => storedSession({ userId: 'somebody' }))
      for (const [index, locator] of locators.entries()) await insertNew(backend, locator, at(sessions, index))
      const strange = ['nul \0 nul', 'half a pair \ud800']
      const updates = locators.map((locator, index) =>
        nextOf(locator, at(sessions, index), index % 4 === 2 ? { userId: at(strange, (index - 2) / 4) } : {}),
      )
      const outcomes = await backend.update(updates)
      for (const [index, { locator, session }] of updates.entries()) {
        const outcome = at(outcomes, index)
        if (index % 4 === 2 && outcome.outcome === 'failed') {
          assert.equal(outcome.error.applied, 'no')
          await assertStands(backend, locator, at(sessions, index))
        } else {
          assert.equal(outcome.outcome, 'applied')
          await assertStands(backend, locator, session)
        }
      }
    },
  },
  {
    title: 'a batch of five hundred is applied in full',
    check: async ({ backend }) => {
      const locators = times(500, () => sampleLocator())
      const sessions = times(500, () => storedSession())
      // Not all at once: each of these calls has a deadline, and it is not they that are looked at.
      for (let start = 0; start < 500; start += 50)
        await Promise.all(
          times(50, (index) => insertNew(backend, at(locators, start + index), at(sessions, start + index))),
        )
      const updates = locators.map((locator, index) => nextOf(locator, at(sessions, index)))
      const outcomes = await backend.update(updates)
      assert.equal(outcomes.length, 500)
      assert.ok(outcomes.every(({ outcome }) => outcome === 'applied'))
      const extended = await backend.extend(
        updates.map(({ locator, session }) => ({ locator, seenAt: session.seenAt, expiresAt: session.expiresAt + 1 })),
      )
      assert.ok(extended.length === 500 && extended.every(({ outcome }) => outcome === 'extended'))
      for (const index of [0, 63, 64, 250, 499]) {
        const { locator, session } = at(updates, index)
        await assertStands(backend, locator, { ...session, expiresAt: session.expiresAt + 1 })
      }
    },
  },
  {
    title: 'batches that cross each other in opposite order all settle, and each entry is applied once',
    check: async ({ backend }) => {
      const locators = times(40, () => sampleLocator())
      const sessions = times(40, () => storedSession())
      await Promise.all(locators.map((locator, index) => insertNew(backend, locator, at(sessions, index))))
      const updates = locators.map((locator, index) => nextOf(locator, at(sessions, index)))
      const batches = times(8, (index) => (index % 2 === 0 ? updates : [...updates].reverse()))
      const outcomes = (await Promise.all(batches.map((batch) => backend.update(batch)))).flat()
      assert.equal(outcomes.filter(({ outcome }) => outcome === 'applied').length, 40)
      assert.equal(outcomes.filter(({ outcome }) => outcome === 'refused').length, 7 * 40)
    },
  },
  {
    title: 'an update ends a session no sooner than it stood there, unless its idle time-out has changed',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const session = storedSession({ version: 3 })
      await insertNew(backend, locator, session)
      const [seenAt, expiresAt] = [session.seenAt + 500, session.expiresAt + DAY_MS]
      await backend.extend([{ locator, seenAt, expiresAt }])
      const next = nextOf(locator, session, { seenAt: session.seenAt + 1, expiresAt: session.expiresAt + 1 })
      assert.equal((await backend.update([next]))[0]?.outcome, 'applied')
      await assertStands(backend, locator, { ...next.session, seenAt, expiresAt })

      const idleTtlMs = session.idleTtlMs - 1
      const shorter = nextOf(locator, next.session, { idleTtlMs, expiresAt: session.expiresAt + 2 })
      assert.equal((await backend.update([shorter]))[0]?.outcome, 'applied')
      await assertStands(backend, locator, { ...shorter.session, seenAt })
    },
  },
  {
    title: 'extending moves both moments forward, never back, and leaves all else',
    check: async ({ backend }) => {
      const locator = sampleLocator()
      const session = storedSession({ version: 3, userId: 'somebody' })
      await insertNew(backend, locator, session)
      const steps = [
        { seenAt: session.seenAt + 5, expiresAt: session.expiresAt + 5 },
        { seenAt: session.seenAt - 5, expiresAt: session.expiresAt - 5 },
        { seenAt: session.seenAt + 9, expiresAt: session.expiresAt - 5 },
        { seenAt: session.seenAt, expiresAt: session.expiresAt + DAY_MS },
      ]
      let expected = session
      for (const step of steps) {
        assert.deepEqual(await backend.extend([{ locator, ...step }]), [{ outcome: 'extended' }])
        expected = {
          ...expected,
          seenAt: Math.max(expected.seenAt, step.seenAt),
          expiresAt: Math.max(expected.expiresAt, step.expiresAt),
        }
        await assertStands(backend, locator, expected)
      }
    },
  },
  {
    title: 'extending what is destroyed or absent says so and changes nothing',
    check: async ({ backend, now }) => {
      const [live, destroyed, absent] = [sampleLocator(), sampleLocator(), sampleLocator()]
      const session = storedSession()
      await insertNew(backend, live, session)
      await backend.destroy(destroyed, { writeId: sampleWriteId(), at: now(), keepUntil: now() + 60_000 })
      const later = { seenAt: session.seenAt + 1, expiresAt: session.expiresAt + 1 }
      const outcomes = await backend.extend([absent, live, destroyed].map((locator) => ({ locator, ...later })))
      assert.deepEqual(
        outcomes.map(({ outcome }) => outcome),
        ['absent', 'extended', 'destroyed'],
      )
      await assertState(backend, absent, 'absent')
      await assertState(backend, destroyed, 'destroyed')
      await assertStands(backend, live, { ...session, ...later })
    },
  },
]
