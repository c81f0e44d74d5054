import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  backendDeadline,
  cacheDeadline,
  deadlineAfterUse,
  extensionIsDue,
  hasExpired,
  touchIsDue,
  withinLimits,
} from '../../src/session/expiry.js'
import { confirmed, filled, storedSession, touched } from '../../src/session/transitions.js'
import { rounds, seed } from '../support/seed.js'
import { live, NOW } from './envelopes.js'

const timings = { touchIntervalMs: 10, touchBackendMs: 100, idleTtlMs: 1 }
const NEVER = NOW + 1_000_000

describe('When a session ends (I10)', () => {
  test('after its idle time-out, padded by the interval in which touches are saved up', () => {
    expect(deadlineAfterUse(NOW, 1_000, NEVER, timings)).toBe(NOW + 1_010)
  })

  test('at its absolute end, used or not, and not a millisecond later', () => {
    for (const absolute of [NOW + 1_009, NOW + 1, NOW, NOW - 5]) {
      expect(deadlineAfterUse(NOW, 1_000, absolute, timings)).toBe(absolute)
      expect(backendDeadline(NOW, 1_000, absolute, timings)).toBe(absolute)
    }
    expect(deadlineAfterUse(NOW, 1_000, NOW + 1_010, timings)).toBe(NOW + 1_010)
  })

  test('it has ended when the clock shows its deadline, and not before', () => {
    expect(hasExpired({ expiresAt: NOW }, NOW - 1)).toBe(false)
    expect(hasExpired({ expiresAt: NOW }, NOW)).toBe(true)
    expect(hasExpired({ expiresAt: NOW }, NOW + 1)).toBe(true)
  })

  test("the backend's copy ends later, by the interval in which it is not told", () => {
    expect(backendDeadline(NOW, 1_000, NEVER, timings)).toBe(NOW + 1_110)
  })
})

describe('A session that is read under other options than it was made', () => {
  const session = {
    ...{ createdAt: NOW, expiresAt: NOW + 1_010, absoluteExpiresAt: NOW + 9_000, idleTtlMs: 1_000 },
    data: 'kept',
  }
  const limits = { idleTtlMs: 1_000, absoluteTtlMs: 9_000, timings }

  test('the same options, and longer ones, leave it as it is', () => {
    expect(withinLimits(session, NOW, limits)).toBe(session)
    expect(withinLimits(session, NOW, { ...limits, idleTtlMs: 5_000, absoluteTtlMs: 90_000 })).toBe(session)
    expect(withinLimits(session, NOW - 5_000, limits), 'a use by a clock that is behind').toBe(session)
  })

  test('a shorter absolute lifetime is counted from its creation', () => {
    expect(withinLimits(session, NOW + 500, { ...limits, absoluteTtlMs: 5_000 })).toEqual({
      ...session,
      absoluteExpiresAt: NOW + 5_000,
    })
    const last = { absoluteExpiresAt: NOW + 700, expiresAt: NOW + 700, idleTtlMs: 700 }
    expect(withinLimits(session, NOW + 500, { ...limits, absoluteTtlMs: 700 })).toEqual({ ...session, ...last })
  })

  test('a shorter idle time-out is counted from its last known use, with what may not have been written down', () => {
    const idle = withinLimits(session, NOW + 100, { ...limits, idleTtlMs: 500 })
    expect(idle).toEqual({ ...session, idleTtlMs: 500, expiresAt: NOW + 100 + 500 + 10 + 100 })
    expect(withinLimits(session, NOW + 100, { ...limits, idleTtlMs: 999 }).expiresAt, 'it is never moved away').toBe(
      session.expiresAt,
    )
  })

  test('a deadline in the backend that is later than the absolute end counts for nothing', () => {
    const row = { ...session, expiresAt: NOW + 90_000 }
    expect(withinLimits(row, NOW, limits).expiresAt).toBe(NOW + 9_000)
  })

  test('read twice, it is the same', () => {
    const property = fc.property(
      fc.array(fc.integer({ min: 1, max: 20_000 }), { minLength: 6, maxLength: 6 }),
      ([expires = 0, absolute = 0, idle = 0, used = 0, idleLimit = 0, absoluteLimit = 0]) => {
        const life = { createdAt: NOW, expiresAt: NOW + expires, absoluteExpiresAt: NOW + absolute, idleTtlMs: idle }
        const tight = { idleTtlMs: idleLimit, absoluteTtlMs: absoluteLimit, timings }
        const once = withinLimits(life, NOW + used, tight)
        expect(withinLimits(once, NOW + used, tight)).toEqual(once)
        expect(once.expiresAt).toBeLessThanOrEqual(life.expiresAt)
        expect(once.absoluteExpiresAt).toBeLessThanOrEqual(NOW + absoluteLimit)
      },
    )
    fc.assert(property, { seed, numRuns: rounds(300, 5_000) })
  })
})

describe('When the tiers are told that a session is in use', () => {
  const envelope = live({ touchedAt: NOW, seenDurableAt: NOW, durableVersion: 1 })

  for (const [after, cache, backend] of [
    // Moments ahead of this clock: some clock is wrong, and nobody waits until it is right.
    [-5_000, true, true],
    [-100, true, true],
    [-99, true, false],
    [-10, true, false],
    [-9, false, false],
    [0, false, false],
    [9, false, false],
    [10, true, false],
    [99, true, false],
    [100, true, true],
    [5_000, true, true],
  ] as const)
    test(`${after} ms after both were told: the cache ${cache ? 'is' : 'is not'}, the backend ${backend ? 'is' : 'is not'}`, () => {
      expect(touchIsDue(envelope, NOW + after, timings)).toBe(cache)
      expect(extensionIsDue(envelope, NOW + after, timings)).toBe(backend)
    })

  test('with intervals of 0 each use is told', () => {
    const always = { touchIntervalMs: 0, touchBackendMs: 0, idleTtlMs: 1 }
    expect(touchIsDue(envelope, NOW, always)).toBe(true)
    expect(extensionIsDue(envelope, NOW, always)).toBe(true)
  })

  test('a backend that has no copy is not told: there is nothing to extend', () => {
    expect(extensionIsDue(live({ durableVersion: 0, seenDurableAt: 0 }), NOW, timings)).toBe(false)
  })
})

describe('Ended stays ended', () => {
  test("the cache keeps the bytes until the backend's copy has ended too", () => {
    const envelope = live({ expiresAt: NOW + 1_010, seenDurableAt: NOW, idleTtlMs: 1_000, absoluteExpiresAt: NEVER })
    expect(cacheDeadline(envelope, timings)).toBe(NOW + 1_110)
  })

  test('and until the envelope says, where that is later', () => {
    const envelope = live({ expiresAt: NOW + 1_500, seenDurableAt: NOW, idleTtlMs: 1_000, absoluteExpiresAt: NEVER })
    expect(cacheDeadline(envelope, timings)).toBe(NOW + 1_500)
  })

  test('where the backend has no copy the envelope alone decides', () => {
    const envelope = live({ durableVersion: 0, seenDurableAt: NOW, expiresAt: NOW + 5, absoluteExpiresAt: NEVER })
    expect(cacheDeadline(envelope, timings)).toBe(NOW + 5)
  })

  test('never later than the absolute end', () => {
    const envelope = live({ expiresAt: NOW + 7, seenDurableAt: NOW, idleTtlMs: 1_000, absoluteExpiresAt: NOW + 7 })
    expect(cacheDeadline(envelope, timings)).toBe(NOW + 7)
  })
})

test('a session in use is ended by no clock that was ahead and was set back, and by none that is behind', () => {
  const STEP_MS = 1_000_000
  const life = fc.record({
    idleTtlMs: fc.integer({ min: 1, max: 500 }),
    touchIntervalMs: fc.integer({ min: 0, max: 500 }),
    uses: fc.array(
      fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), aheadMs: fc.constantFrom(0, -STEP_MS, STEP_MS) }),
      { maxLength: 30 },
    ),
  })
  const property = fc.property(life, ({ idleTtlMs, touchIntervalMs, uses }) => {
    const interval = Math.min(touchIntervalMs, idleTtlMs)
    const every = { touchIntervalMs: interval, touchBackendMs: interval, idleTtlMs }
    let now = NOW
    const firstDeadline = deadlineAfterUse(now, idleTtlMs, NOW * 2, every)
    // It was never in the backend: whoever forgets it ends it.
    let envelope = live({
      ...{ idleTtlMs, touchedAt: now, expiresAt: firstDeadline, absoluteExpiresAt: NOW * 2 },
      ...{ durableVersion: 0, seenDurableAt: 0 },
    })
    /** Memcached is told for how long, not until when. */
    let keptUntil = now + (cacheDeadline(envelope, every) - now)
    let lastUse = now
    for (const { afterMs, aheadMs } of uses) {
      now += afterMs
      if (now >= lastUse + idleTtlMs) return
      expect(now, 'the cache has it').toBeLessThan(keptUntil)
      expect(hasExpired(envelope, now), 'by a clock that is right').toBe(false)
      const mine = now + aheadMs
      // To a clock that is ahead by more than its idle time-out it has ended: nothing is written there.
      if (hasExpired(envelope, mine)) continue
      // What a clock says that is behind by more than the idle time-out can lengthen no life, and must shorten none.
      if (aheadMs >= 0) lastUse = now
      if (!touchIsDue(envelope, mine, every)) continue
      envelope = touched(envelope, mine, idleTtlMs, every, false)
      keptUntil = now + (cacheDeadline(envelope, every) - mine)
    }
  })
  fc.assert(property, { seed, numRuns: rounds(1_000, 20_000) })
})

test('a session in use outlives any loss of the cache: its row never ends ahead of its envelope', () => {
  const life = fc.record({
    idleTtlMs: fc.integer({ min: 1, max: 500 }),
    touchIntervalMs: fc.integer({ min: 0, max: 500 }),
    touchBackendMs: fc.integer({ min: 0, max: 500 }),
    absoluteTtlMs: fc.integer({ min: 500, max: 3_000 }),
    uses: fc.array(fc.record({ afterMs: fc.integer({ min: 0, max: 400 }), lost: fc.boolean() }), { maxLength: 30 }),
  })
  const property = fc.property(life, ({ idleTtlMs, touchIntervalMs, touchBackendMs, absoluteTtlMs, uses }) => {
    const every = {
      touchIntervalMs: Math.min(touchIntervalMs, idleTtlMs),
      touchBackendMs: Math.min(Math.max(touchIntervalMs, touchBackendMs), idleTtlMs),
      idleTtlMs,
    }
    let now = NOW
    const born = live({
      ...{ idleTtlMs, touchedAt: now, absoluteExpiresAt: now + absoluteTtlMs },
      expiresAt: deadlineAfterUse(now, idleTtlMs, now + absoluteTtlMs, every),
    })
    let envelope = confirmed(born, born, now, new Uint8Array(0))
    let row = storedSession(envelope, undefined, every)
    for (const { afterMs, lost } of uses) {
      const lastUse = now
      now += afterMs
      if (lost) envelope = filled(row, new Uint8Array(0), 'b1b2b3b4b5b6b7b8', now)
      const shouldLive = now < Math.min(lastUse + idleTtlMs, born.absoluteExpiresAt)
      if (shouldLive) expect(hasExpired(envelope, now), 'used within its idle time-out').toBe(false)
      if (now >= born.absoluteExpiresAt) expect(hasExpired(envelope, now), 'past its absolute end').toBe(true)
      if (hasExpired(envelope, now)) return

      const tell = extensionIsDue(envelope, now, every)
      if (tell) {
        const expiresAt = backendDeadline(now, idleTtlMs, envelope.absoluteExpiresAt, every)
        row = { ...row, seenAt: now, expiresAt: Math.max(row.expiresAt, expiresAt) }
      }
      if (tell || touchIsDue(envelope, now, every)) envelope = touched(envelope, now, idleTtlMs, every, tell)
      expect(row.expiresAt, 'the row outlives the envelope').toBeGreaterThanOrEqual(envelope.expiresAt)
      expect(cacheDeadline(envelope, every), 'the bytes outlive the row').toBeGreaterThanOrEqual(row.expiresAt)
    }
  })
  fc.assert(property, { seed, numRuns: rounds(1_000, 20_000) })
})
