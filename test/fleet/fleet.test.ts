import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { weightedRendezvous } from '../../src/caches/memcached/placement.js'
import { FLEET_DEFAULTS, type FleetReport, type Load, type Loss, runFleet } from './fleet.js'
import { tableOf } from './table.js'

const MINUTES = 60_000

const at = (path: string): URL => new URL(path, import.meta.url)
const PAGE = readFileSync(at('../../docs/scaling.md'), 'utf8')
/** What `scripts/fleet --json` printed. */
const RECORDED = JSON.parse(readFileSync(at('recorded.json'), 'utf8')) as FleetReport

/** What the store promises of any loss of the cache, and of a fleet that is well. */
const keepsItsPromises = ({ steady, oneLost, allLost }: FleetReport): void => {
  expect(steady.backendReads).toBe(0)
  expect(steady.rowsWritten).toBeLessThan(steady.requests * FLEET_DEFAULTS.changing)
  for (const loss of [oneLost, allLost]) {
    expect(loss).toMatchObject({ loggedOut: 0, refused: 0 })
    // `maxStaleCount` and `maxStaleMs`, and the time that a flush takes.
    expect(loss.mostChangesOfASession).toBeLessThan(10)
    expect(loss.oldestLostS).toBeLessThanOrEqual(60.1)
    expect(loss.sessionsWithLoss).toBeGreaterThan(0)
  }
}

describe('a fleet', () => {
  test('keeps the promises, and is the same twice for one seed, and another for another', {
    timeout: 10 * MINUTES,
  }, async () => {
    const small = { ...FLEET_DEFAULTS, sessions: 2_000, processes: 20 }
    const [once, twice] = [await runFleet(small), await runFleet(small)]
    keepsItsPromises(once)
    expect(twice).toEqual(once)
    expect((await runFleet({ ...small, seed: 2 })).changes).not.toBe(once.changes)
  })

  test('loses more where less is flushed, so that what it counts is lost indeed', {
    timeout: 10 * MINUTES,
  }, async () => {
    const small = { ...FLEET_DEFAULTS, sessions: 2_000, processes: 20 }
    const { allLost } = await runFleet({ ...small, store: { maxStaleMs: 600_000, maxStaleCount: 100 } })
    expect(allLost.oldestLostS).toBeGreaterThan(60.1)
    expect(allLost.mostChangesOfASession).toBeGreaterThanOrEqual(8)
  })

  test('of fewer sessions asks in proportion what the recorded one asked', { timeout: 10 * MINUTES }, async () => {
    const sessions = 10_000
    const report = await runFleet({ ...FLEET_DEFAULTS, sessions })
    keepsItsPromises(report)
    const scale = RECORDED.options.sessions / sessions
    const isAbout = (small: number, recorded: number, tolerance: number): void => {
      expect(small * scale).toBeGreaterThanOrEqual(recorded * (1 - tolerance))
      expect(small * scale).toBeLessThanOrEqual(recorded * (1 + tolerance))
    }
    const loads = (of: FleetReport): readonly Load[] => [of.steady, of.oneLost.away, of.allLost.away]
    for (const [index, load] of loads(report).entries()) {
      const recorded = loads(RECORDED)[index] as Load
      isAbout(load.requests, recorded.requests, 0.15)
      isAbout(load.rowsWritten, recorded.rowsWritten, 0.2)
      isAbout(load.cacheCalls, recorded.cacheCalls, 0.2)
      // Of one server of ten there are few in a small fleet.
      isAbout(load.backendReads, recorded.backendReads, index === 1 ? 0.4 : 0.2)
    }
    const lost = ({ allLost }: FleetReport): Loss => allLost
    isAbout(lost(report).sessionsWithLoss, lost(RECORDED).sessionsWithLoss, 0.25)
    isAbout(lost(report).changesLost, lost(RECORDED).changesLost, 0.25)
  })
})

describe('docs/scaling.md', () => {
  test('has the figures that were recorded, with the defaults and as many sessions as it says', () => {
    keepsItsPromises(RECORDED)
    const { sessions } = RECORDED.options
    expect(RECORDED.options).toEqual({ ...FLEET_DEFAULTS, sessions })
    expect(PAGE).toContain(`recorded with ${sessions.toLocaleString('en-US')} sessions`)
    expect(PAGE).toContain(tableOf(RECORDED))
  })

  test.each([
    [1, 2],
    [3, 4],
    [10, 11],
  ])('says how many sessions move from %i cache servers to one more', (before, after) => {
    const placeOf = (count: number) =>
      weightedRendezvous(Array.from({ length: count }, (_, n) => ({ address: `cache${n + 1}:11211`, weight: 1 })))
    const [old, fresh] = [placeOf(before), placeOf(after)]
    const keys = Array.from(
      { length: 20_000 },
      (_, n) => `shop:${createHash('sha256').update(String(n)).digest('base64url')}`,
    )
    const moved = keys.filter((key) => old(key) !== fresh(key))
    expect(moved.filter((key) => fresh(key) < before)).toEqual([])
    const percent = Math.round((moved.length / keys.length) * 100)
    const said = new RegExp(`from ${before} (?:servers )?to ${after} moves (\\d+) percent`, 'i').exec(PAGE)?.[1]
    expect(Math.abs(percent - Number(said))).toBeLessThanOrEqual(1)
  })

  test('names scripts that are there', () => {
    for (const [, script] of PAGE.matchAll(/`(scripts\/[a-z-]+)/g)) expect(existsSync(at(`../../${script}`))).toBe(true)
  })
})
