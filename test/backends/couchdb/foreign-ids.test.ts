import { describe, expect, test } from 'vitest'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator, sampleWriteId, storedSession } from '../../../src/testing/stored-session.js'
import { couchdb } from './backend.js'
import { closedAfterEach } from './scene.js'
import { couchForThisFile } from './server.js'

const couch = couchForThisFile()
const closing = closedAfterEach()

const DAY_MS = 86_400_000
const at = (moment: string): number => Date.parse(moment)

/** A process with a clock of its own; several share the databases. */
const processAt = (moment: string, database: string) => {
  const clock = { now: at(moment) }
  const runtime = { ...systemRuntime, now: () => clock.now }
  const backend = couchdb(couch().options({ database, runtime }))
  closing.push(() => backend.close())
  return { backend, clock }
}

/** In how many months something of the session's stands, whatever it is. */
const kindsOf = async (database: string, key: string): Promise<string[]> => {
  const kinds: string[] = []
  for (const name of await couch().databases(database)) {
    const { status, body } = await couch().ask(`${name}/${encodeURIComponent(`s:${key}`)}`)
    if (status === 200) kinds.push(`${name.slice(-7)} ${(body as { kind: string }).kind}`)
  }
  return kinds
}

const tombstone = (now: number) => ({ writeId: sampleWriteId(), at: now, keepUntil: now + 31 * DAY_MS })

describe('a session whose id does not say its month', () => {
  test('stays where it was born, and is found there by all for as long as it can live', async () => {
    const database = couch().pattern()
    const { backend, clock } = processAt('2026-12-20T12:00:00Z', database)
    const locator = sampleLocator()
    const session = storedSession()
    await backend.insert(locator, session)
    for (const later of ['2026-12-31T23:59:59Z', '2027-01-01T00:00:00Z', '2027-01-19T11:59:59Z']) {
      clock.now = at(later)
      for (const process of [backend, processAt(later, database).backend]) {
        expect(await process.read(locator)).toMatchObject({ state: 'live' })
        expect(await process.extend([{ locator, seenAt: clock.now, expiresAt: clock.now + DAY_MS }])).toEqual([
          { outcome: 'extended' },
        ])
        expect((await process.insert(locator, storedSession())).outcome).toBe('exists')
      }
    }
    expect(await processAt('2027-01-15T12:00:00Z', database).backend.destroy(locator, tombstone(clock.now))).toBe(
      'destroyed',
    )
    expect(await backend.read(locator)).toEqual({ state: 'destroyed' })
    expect(await kindsOf(database, locator.key)).toEqual(['2026-12 tombstone'])
  })

  test('a token picks no month that is none of the candidates', async () => {
    const database = couch().pattern()
    const old = processAt('2026-06-10T12:00:00Z', database)
    const locator = sampleLocator()
    const session = storedSession()
    const inserted = await old.backend.insert(locator, session)
    if (inserted.outcome !== 'inserted') expect.fail(inserted.outcome)
    const { lineage } = session
    const guard = { lineage, belowVersion: 2, parentLineage: lineage, parentVersion: 1 }
    const entry = { locator, guard, token: inserted.token, session: { ...session, version: 2 } }
    const { backend } = processAt('2026-11-10T12:00:00Z', database)
    expect(await backend.update([entry])).toEqual([{ outcome: 'refused', row: { state: 'absent' } }])
    expect((await old.backend.update([entry]))[0]?.outcome).toBe('applied')
  })

  test('a tombstone of last month forbids it this month', async () => {
    const database = couch().pattern()
    const { backend, clock } = processAt('2026-12-30T12:00:00Z', database)
    const locator = sampleLocator()
    expect(await backend.destroy(locator, tombstone(clock.now))).toBe('destroyed')
    const { backend: other } = processAt('2027-01-20T12:00:00Z', database)
    expect(await other.insert(locator, storedSession())).toEqual({ outcome: 'exists', row: { state: 'destroyed' } })
  })
})

describe('at the change of months, with clocks apart', () => {
  const before = '2026-12-31T23:59:40Z'
  const after = '2027-01-01T00:00:10Z'

  test('of creations on both sides exactly one is done, and the others are told of it', async () => {
    const database = couch().pattern()
    const processes = [before, after, before, after, before, after].map((moment) => processAt(moment, database).backend)
    for (let round = 0; round < 12; round++) {
      const locator = sampleLocator()
      const sessions = processes.map(() => storedSession())
      const outcomes = await Promise.all(
        processes.map(async (process, index) => {
          await new Promise((resolve) => setTimeout(resolve, ((round * 7 + index * 3) % 5) * 2))
          return process.insert(locator, sessions[index] ?? storedSession())
        }),
      )
      const winners = sessions.filter((_, index) => outcomes[index]?.outcome === 'inserted')
      expect(winners).toHaveLength(1)
      for (const outcome of outcomes)
        if (outcome.outcome !== 'inserted')
          expect(outcome).toMatchObject({ outcome: 'exists', row: { lineage: winners[0]?.lineage } })
      for (const process of [...processes, processAt(after, database).backend])
        expect(await process.read(locator)).toMatchObject({ state: 'live', session: { lineage: winners[0]?.lineage } })
      expect((await kindsOf(database, locator.key)).filter((kind) => kind.endsWith('session'))).toHaveLength(1)
    }
  })

  test('of a creation on one side and a logout on the other, the logout has the last word', async () => {
    const database = couch().pattern()
    const [early, late] = [processAt(before, database), processAt(after, database)]
    for (let round = 0; round < 10; round++) {
      const locator = sampleLocator()
      const [creator, destroyer] = round % 2 === 0 ? [early, late] : [late, early]
      await Promise.all([
        creator.backend.insert(locator, storedSession()),
        destroyer.backend.destroy(locator, tombstone(destroyer.clock.now)),
      ])
      for (const { backend } of [early, late, processAt(after, database)])
        expect(await backend.read(locator)).toEqual({ state: 'destroyed' })
    }
  })

  test('what takes the place in the old month is purged like a tombstone', async () => {
    const database = couch().pattern()
    const { backend, clock } = processAt(after, database)
    const locator = sampleLocator()
    await backend.insert(locator, storedSession({ expiresAt: clock.now + 30 * DAY_MS }))
    expect(await kindsOf(database, locator.key)).toEqual(['2026-12 moved', '2027-01 session'])
    expect(await backend.purge({ now: clock.now + 3 * DAY_MS, limit: 9 })).toEqual({ removed: 1, more: false })
    expect(await kindsOf(database, locator.key)).toEqual(['2027-01 session'])
    expect(await backend.read(locator)).toMatchObject({ state: 'live' })
  })

  test('one of our own ids needs none of that', async () => {
    const database = couch().pattern()
    const { backend, clock } = processAt(after, database)
    const locator = sampleLocator({ bornMonth: monthOf(clock.now) })
    await backend.insert(locator, storedSession())
    expect(await kindsOf(database, locator.key)).toEqual(['2027-01 session'])
  })
})
