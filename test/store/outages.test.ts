import { describe, expect, test } from 'vitest'
import { outages } from '../../src/store/tiers/outages.js'
import { increment, loaded, settled, world } from './world.js'

const HOUR_MS = 3_600_000
const SKEW_MS = 2_000
const AWAY_AFTER_MS = 500

/** A process with clocks that a test sets, and one server that was away and is back. */
const afterAnOutage = () => {
  const clock = { at: Date.UTC(2026, 10, 21, 12), monotonicMs: 5_000 }
  const runtime = { now: () => clock.at, monotonicMs: () => clock.monotonicMs }
  const seen = outages({ runtime, maxClockSkewMs: SKEW_MS, awayAfterMs: AWAY_AFTER_MS })
  const pass = (ms: number): void => {
    clock.at += ms
    clock.monotonicMs += ms
  }
  expect(seen.trustFrom('a')).toBe(0)
  seen.failed('a')
  pass(1_000)
  seen.answered('a')
  return { clock, seen, pass, endedAt: clock.at }
}

describe('the moment from which a server is trusted again', () => {
  test('is that of its return and what clocks may be apart, to the millisecond, for as long as no clock is set', () => {
    const { clock, seen, pass, endedAt } = afterAnOutage()
    for (const driftMs of [0, 0.4, -0.4, 30, -30]) {
      pass(10_000)
      clock.monotonicMs += driftMs
      expect(seen.trustFrom('a')).toBe(endedAt + SKEW_MS)
    }
    expect(seen.trustFrom('another')).toBe(0)
  })

  test('goes along with a wall clock that is set forward: what was stamped before the outage is not believed', () => {
    const { clock, seen, pass, endedAt } = afterAnOutage()
    clock.at += HOUR_MS
    expect(seen.trustFrom('a')).toBe(endedAt + HOUR_MS + SKEW_MS)
    pass(60_000)
    expect(seen.trustFrom('a')).toBe(endedAt + HOUR_MS + SKEW_MS)
  })

  test('stays where a wall clock is set back: stamps of the clock that was ahead are no newer than they were', () => {
    const { clock, seen, pass, endedAt } = afterAnOutage()
    clock.at -= HOUR_MS
    expect(seen.trustFrom('a')).toBe(endedAt + SKEW_MS)
    pass(60_000)
    expect(seen.trustFrom('a')).toBe(endedAt + SKEW_MS)
  })
})

test('a clock that was behind when the outage ended, and is set right, lets no old entry pass for a checked one', async () => {
  const { process, processWithTiers, runtime } = world()
  const store = process()
  const late = processWithTiers({ runtime: { ...runtime, now: () => runtime.now() + lateBy } })
  let lateBy = -HOUR_MS
  const { id } = await store.create({ count: 0 })
  await settled()
  await loaded(late.store, id)
  // Only the one with the wrong clock meets the outage, and a change goes round the cache meanwhile.
  late.cache.unreachable = true
  const session = await loaded(late.store, id)
  session.data['count'] = 5
  await late.store.save(session)
  late.cache.unreachable = false
  await late.store.load('some-other-id')
  lateBy = 0
  expect((await loaded(late.store, id)).data).toEqual({ count: 5 })
  await increment(late.store, id)
  expect((await loaded(late.store, id)).data).toEqual({ count: 6 })
})

describe('a server that is away', () => {
  test('is one of which several calls have failed for long enough, and none was answered', () => {
    const { seen, pass } = afterAnOutage()
    expect(seen.isAway('a')).toBe(false)
    seen.failed('a')
    pass(AWAY_AFTER_MS)
    expect(seen.isAway('a'), 'one call').toBe(false)
    seen.failed('a')
    expect(seen.isAway('a'), 'two calls').toBe(false)
    seen.failed('a')
    expect(seen.isAway('a')).toBe(true)
    expect(seen.isAway('b'), 'another server').toBe(false)
    seen.answered('a')
    expect(seen.isAway('a')).toBe(false)
    seen.failed('a')
    seen.failed('a')
    seen.failed('a')
    expect(seen.isAway('a'), 'too soon').toBe(false)
  })

  test('is at once one at whose address nobody listens', () => {
    const { seen } = afterAnOutage()
    seen.failed('a', true)
    expect(seen.isAway('a')).toBe(true)
    seen.answered('a')
    expect(seen.isAway('a')).toBe(false)
  })

  test('goes by the clock that nobody sets', () => {
    const { clock, seen } = afterAnOutage()
    seen.failed('a')
    seen.failed('a')
    seen.failed('a')
    clock.at += HOUR_MS
    expect(seen.isAway('a')).toBe(false)
    clock.monotonicMs += AWAY_AFTER_MS
    expect(seen.isAway('a')).toBe(true)
  })
})
