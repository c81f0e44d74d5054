import { expect, test } from 'vitest'
import { expirationSeconds } from '../../../src/caches/memcached/expiration.js'

const NOW = Date.UTC(2026, 10, 21, 12, 0, 0, 250)
const SECOND = 1000
const DAY = 86_400 * SECOND
const unix = (moment: number): number => Math.ceil(moment / 1000) + 1

test.each([
  ['one millisecond', NOW + 1, 2],
  ['one second', NOW + SECOND, 2],
  ['a little more than a second', NOW + SECOND + 1, 3],
  ['a fraction of a millisecond', NOW + 0.25, 2],
  ['one day', NOW + DAY, 86_401],
  ['thirty days less the second that is added', NOW + 30 * DAY - SECOND, 2_592_000],
  ['thirty days: as a Unix time from here on', NOW + 30 * DAY, unix(NOW + 30 * DAY)],
  ['31 days', NOW + 31 * DAY, unix(NOW + 31 * DAY)],
  ['ten years', NOW + 3652 * DAY, unix(NOW + 3652 * DAY)],
  ['what fits', 0xffff_ffff * SECOND, 0xffff_ffff],
  ['more than fits', 1e15, 0xffff_ffff],
  ['for ever', Number.POSITIVE_INFINITY, 0xffff_ffff],
  ['now: the shortest there is', NOW, 1],
  ['a millisecond ago', NOW - 1, 1],
  ['1970', 0, 1],
  ['before 1970', -1, 1],
  ['minus for ever', Number.NEGATIVE_INFINITY, 1],
  ['no number', Number.NaN, 1],
])('%s', (_, expiresAt, seconds) => {
  expect(expirationSeconds(expiresAt, NOW)).toBe(seconds)
})

test('is a whole number of 32 bits, never 0, and never too early, whatever comes', () => {
  for (let step = 0; step < 20_000; step += 1) {
    const expiresAt = NOW + (step - 1000) * 137_777.77
    const seconds = expirationSeconds(expiresAt, NOW)
    expect(Number.isInteger(seconds) && seconds >= 1 && seconds <= 0xffff_ffff).toBe(true)
    if (expiresAt <= NOW) continue
    const livesUntil = seconds > 2_592_000 ? seconds * SECOND : NOW + (seconds - 1) * SECOND
    expect(livesUntil).toBeGreaterThanOrEqual(expiresAt)
    expect(livesUntil - expiresAt).toBeLessThan(2 * SECOND)
  }
})
