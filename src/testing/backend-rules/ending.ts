import assert from 'node:assert/strict'
import type { Backend, PurgeOutcome } from '../../contract/backend.js'
import type { CacheKey } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'
import { sampleLineage, sampleLocator, sampleWriteId, storedSession } from '../stored-session.js'
import { assertStands, assertState, at, insertNew, nextOf, type Rule, times } from './rule.js'

const HOUR_MS = 3_600_000

const DAY_MS = 24 * HOUR_MS

/** Removes all whose time has come, without a grace unless one is given. */
const purgeAll = async (backend: Backend, now: EpochMs, graceMs: number = 0): Promise<void> => {
  while ((await backend.purge({ now, limit: 1_000, graceMs })).more);
}

/** Purges what is there already, and gives a moment far behind the sessions that a rule makes from `start` on. */
const quietTime = async (
  backend: Backend,
  start: EpochMs,
  purgeResolutionMs: number,
): Promise<{ readonly start: EpochMs; readonly moment: EpochMs }> => {
  await purgeAll(backend, start + 70 * HOUR_MS)
  return { start, moment: start + 20 * HOUR_MS + purgeResolutionMs }
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
    title: 'where nothing stood a tombstone is kept as long as was asked for that, or none is put there',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      const asked = { at: start, keepUntil: start + 20 * HOUR_MS }
      const [nobody, short, stored] = [sampleLocator(), sampleLocator(), sampleLocator()]
      await insertNew(backend, stored, storedSession())

      const none = { ...asked, writeId: sampleWriteId(), keepUntilIfAbsent: start }
      assert.equal(await backend.destroy(nobody, none), 'absent')
      assert.equal(await backend.destroy(nobody, none), 'absent', 'sent again')
      await assertState(backend, nobody, 'absent')
      await insertNew(backend, nobody, storedSession())
      assert.equal(await backend.destroy(nobody, none), 'destroyed')

      const brief = { ...asked, keepUntilIfAbsent: start + 2 * HOUR_MS }
      for (let times = 1; times <= 2; times++) await backend.destroy(short, { ...brief, writeId: sampleWriteId() })
      assert.equal(await backend.destroy(stored, { ...brief, writeId: sampleWriteId() }), 'destroyed')
      assert.equal(await backend.destroy(stored, none), 'already-destroyed')
      await purgeAll(backend, start + 2 * HOUR_MS - 1)
      for (const locator of [nobody, short, stored]) await assertState(backend, locator, 'destroyed')
      await purgeAll(backend, start + 2 * HOUR_MS + purgeResolutionMs)
      await assertState(backend, short, 'absent')
      for (const locator of [nobody, stored]) await assertState(backend, locator, 'destroyed')
      await purgeAll(backend, start + 20 * HOUR_MS + purgeResolutionMs)
      for (const locator of [nobody, stored]) await assertState(backend, locator, 'absent')
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
    title: 'a purge leaves a session for the grace after its end, a day unless told, as it may be in use all the same',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const start = now()
      await purgeAll(backend, start)
      for (const graceMs of [undefined, 5 * HOUR_MS, 2 * DAY_MS]) {
        const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
        const [left, extended] = [sampleLocator(), sampleLocator()]
        await insertNew(backend, left, session)
        await insertNew(backend, extended, session)
        await backend.extend([{ locator: extended, seenAt: start + 1, expiresAt: start + 3 * HOUR_MS }])
        const purge = (at: EpochMs) =>
          backend.purge({ now: at, limit: 1_000, ...(graceMs === undefined ? {} : { graceMs }) })
        const grace = graceMs ?? DAY_MS
        await purge(start + HOUR_MS + grace - 1)
        await assertStands(backend, left, session)
        await purge(start + HOUR_MS + grace + purgeResolutionMs)
        await assertState(backend, left, 'absent')
        await assertState(backend, extended, 'live')
        await purge(start + 3 * HOUR_MS + grace + purgeResolutionMs)
        await assertState(backend, extended, 'absent')
      }
    },
  },
  {
    title: 'a session in its grace can be updated and extended like any other',
    check: async ({ backend, now }) => {
      const start = now()
      const locator = sampleLocator()
      const session = storedSession({ createdAt: start - 3 * HOUR_MS, expiresAt: start - HOUR_MS })
      await insertNew(backend, locator, session)
      await backend.purge({ now: start, limit: 1_000 })
      const update = nextOf(locator, session)
      assert.equal((await backend.update([update]))[0]?.outcome, 'applied')
      const outcomes = await backend.extend([{ locator, seenAt: start, expiresAt: start + 9 * HOUR_MS }])
      assert.equal(outcomes[0]?.outcome, 'extended')
      await purgeAll(backend, start + 8 * HOUR_MS)
      await assertStands(backend, locator, { ...update.session, seenAt: start, expiresAt: start + 9 * HOUR_MS })
    },
  },
  {
    title: 'a grace that is no number from 0 on is refused',
    check: async ({ backend, now }) => {
      for (const graceMs of [-1, Number.NaN, Number.POSITIVE_INFINITY, '1' as unknown as number])
        await assert.rejects(backend.purge({ now: now(), limit: 1, graceMs }), { code: 'E_CONFIG' })
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
      assert.deepEqual(await backend.purge({ now: moment, limit: 2, graceMs: 0 }), { removed: 2, more: true })
      for (const [index, state] of (['live', 'live', 'live', 'absent', 'absent'] as const).entries())
        await assertState(backend, at(locators, index), state)
      assert.deepEqual(await backend.purge({ now: moment, limit: 4, graceMs: 0 }), { removed: 3, more: false })
      assert.deepEqual(await backend.purge({ now: moment, limit: 4, graceMs: 0 }), { removed: 0, more: false })
    },
  },
  {
    title: 'a purge asks which sessions live on and leaves those, and asks about nothing that can be in use nowhere',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const { start, moment } = await quietTime(backend, now(), purgeResolutionMs)
      const [living, expired, over, tombstone] = [sampleLocator(), sampleLocator(), sampleLocator(), sampleLocator()]
      const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
      for (const locator of [living, expired, tombstone]) await insertNew(backend, locator, session)
      await insertNew(backend, over, { ...session, absoluteExpiresAt: start + HOUR_MS })
      await backend.destroy(tombstone, { writeId: sampleWriteId(), at: start, keepUntil: start + HOUR_MS })
      const asked: string[][] = []
      const livesOn = async (keys: readonly CacheKey[]): Promise<ReadonlySet<CacheKey>> => {
        asked.push([...keys])
        return new Set([living.key])
      }
      await backend.purge({ now: moment, limit: 1_000, graceMs: 0, livesOn })
      assert.equal(asked.length, 1, 'it is asked once')
      assert.equal(asked[0]?.includes(living.key), true)
      assert.equal(asked[0]?.includes(expired.key), true)
      assert.equal(asked[0]?.includes(tombstone.key), false, 'nobody is asked about a tombstone')
      await assertStands(backend, living, session)
      for (const locator of [expired, over, tombstone]) await assertState(backend, locator, 'absent')
    },
  },
  {
    title: 'what changes while a purge asks is left',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const { start, moment } = await quietTime(backend, now(), purgeResolutionMs)
      const [extended, destroyed, replaced, expired] = times(4, () => sampleLocator())
      if (!extended || !destroyed || !replaced || !expired) assert.fail('there should be four')
      const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
      for (const locator of [extended, destroyed, replaced, expired]) await insertNew(backend, locator, session)
      const update = nextOf(replaced, session, { expiresAt: moment + 9 * HOUR_MS })
      const livesOn = async (): Promise<ReadonlySet<CacheKey>> => {
        await backend.extend([{ locator: extended, seenAt: moment, expiresAt: moment + 9 * HOUR_MS }])
        await backend.destroy(destroyed, { writeId: sampleWriteId(), at: moment, keepUntil: moment + 9 * HOUR_MS })
        await backend.update([update])
        return new Set()
      }
      const { removed } = await backend.purge({ now: moment, limit: 1_000, graceMs: 0, livesOn })
      assert.equal(removed, 1)
      await assertState(backend, extended, 'live')
      await assertState(backend, destroyed, 'destroyed')
      await assertStands(backend, replaced, update.session)
      await assertState(backend, expired, 'absent')
    },
  },
  {
    title: 'a purge that cannot ask which sessions live on removes none of them',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const { start, moment } = await quietTime(backend, now(), purgeResolutionMs)
      const locator = sampleLocator()
      const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
      await insertNew(backend, locator, session)
      const error = new Error('nobody could be asked')
      const livesOn = (): Promise<never> => Promise.reject(error)
      await assert.rejects(
        backend.purge({ now: moment, limit: 1_000, graceMs: 0, livesOn }),
        (raised) => raised === error,
      )
      await assertStands(backend, locator, session)
      assert.equal((await backend.purge({ now: moment, limit: 1_000, graceMs: 0 })).removed, 1, 'it is free again')
    },
  },
  {
    title: 'sessions that are known to stay keep a purge from no other, and it removes no more than its limit',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const { start, moment } = await quietTime(backend, now(), purgeResolutionMs)
      const locators = times(6, () => sampleLocator())
      for (const [index, locator] of locators.entries())
        await insertNew(
          backend,
          locator,
          storedSession({ createdAt: start, expiresAt: start + HOUR_MS + index * 2 * HOUR_MS }),
        )
      const staying = new Set(locators.slice(0, 2).map(({ key }) => key))
      const livesOn = async (): Promise<ReadonlySet<CacheKey>> => staying
      const purge = (knownToStay: number) => backend.purge({ now: moment, limit: 2, graceMs: 0, livesOn, knownToStay })
      assert.deepEqual(await purge(0), { removed: 0, more: true })
      assert.deepEqual(await purge(2), { removed: 2, more: true })
      for (const [index, state] of (['live', 'live', 'absent', 'absent', 'live', 'live'] as const).entries())
        await assertState(backend, at(locators, index), state)
      staying.clear()
      assert.deepEqual(await purge(2), { removed: 2, more: true })
      assert.deepEqual(await purge(2), { removed: 2, more: false })
    },
  },
  {
    title: 'what another purge removes while one asks is removed once, and a purge that has no turn says so',
    check: async ({ backend, now, purgeResolutionMs }) => {
      const { start, moment } = await quietTime(backend, now(), purgeResolutionMs)
      const session = storedSession({ createdAt: start, expiresAt: start + HOUR_MS })
      for (const locator of times(5, () => sampleLocator())) await insertNew(backend, locator, session)
      const outcomes: PurgeOutcome[] = []
      const livesOn = async (): Promise<ReadonlySet<CacheKey>> => {
        outcomes.push(await backend.purge({ now: moment, limit: 100, graceMs: 0 }))
        return new Set()
      }
      outcomes.push(await backend.purge({ now: moment, limit: 100, graceMs: 0, livesOn }))
      for (const { removed, more, isBusy } of outcomes)
        if (isBusy === true) assert.deepEqual({ removed, more }, { removed: 0, more: true })
      assert.equal(
        outcomes.reduce((sum, { removed }) => sum + removed, 0),
        5,
      )
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
      const outcomes = await Promise.all(times(4, () => backend.purge({ now: moment, limit: 30, graceMs: 0 })))
      const rest = await backend.purge({ now: moment, limit: 100, graceMs: 0 })
      assert.equal(
        [...outcomes, rest].reduce((sum, { removed }) => sum + removed, 0),
        60,
      )
    },
  },
]
