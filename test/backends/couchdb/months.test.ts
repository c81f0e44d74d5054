import { describe, expect, test } from 'vitest'
import {
  birthMonths,
  candidateMonths,
  databaseNames,
  isOver,
  monthAfter,
  monthAhead,
  monthAt,
  monthBefore,
  placeOf,
  startOf,
} from '../../../src/backends/couchdb/months.js'

const DAY_MS = 86_400_000
const SECOND_MS = 1_000
const at = (text: string): number => Date.parse(text)

/** A month's life, clocks a minute apart, and two seconds for a request. */
const window = { absoluteTtlMs: 30 * DAY_MS, maxClockSkewMs: 60 * SECOND_MS, requestTimeoutMs: 2 * SECOND_MS }

describe('months', () => {
  test.each([
    ['2026-11-21T12:00:00Z', '2026-11'],
    ['2026-12-31T23:59:59.999Z', '2026-12'],
    ['2027-01-01T00:00:00Z', '2027-01'],
    ['2028-02-29T23:00:00-05:00', '2028-03'],
    ['1970-01-01T00:00:00Z', '1970-01'],
  ])('%s is in %s, in UTC', (moment, month) => {
    expect(monthAt(at(moment))).toBe(month)
  })

  test('they follow each other, also over the end of a year, and each begins at its first moment', () => {
    expect(monthAfter('2026-12')).toBe('2027-01')
    expect(monthBefore('2027-01')).toBe('2026-12')
    expect(monthAfter('2028-02')).toBe('2028-03')
    expect(startOf('2027-01')).toBe(at('2027-01-01T00:00:00Z'))
    for (let month = '2026-01'; month < '2030-01'; month = monthAfter(month)) {
      expect(monthBefore(monthAfter(month))).toBe(month)
      expect(monthAt(startOf(month))).toBe(month)
      expect(monthAt(startOf(month) - 1)).toBe(monthBefore(month))
    }
  })
})

describe('the months in which a living session can have been born', () => {
  test.each([
    ['mid-month, a month’s life reaches into the month before', '2026-11-21T12:00:00Z', ['2026-11', '2026-10']],
    [
      'at the end of a long month too, by the day a tombstone lasts longer',
      '2026-12-31T12:00:00Z',
      ['2026-12', '2026-11'],
    ],
    ['after a short month they are three', '2027-03-01T12:00:00Z', ['2027-03', '2027-02', '2027-01']],
    ['they cross the end of the year', '2027-01-01T00:05:00Z', ['2027-01', '2026-12']],
    [
      'just before the month’s end another clock may be in the next',
      '2026-12-31T23:59:30Z',
      ['2027-01', '2026-12', '2026-11'],
    ],
  ])('%s', (_, now, months) => {
    expect(candidateMonths(at(now), window)).toEqual(months)
  })

  test('a year’s life spans thirteen or fourteen months', () => {
    expect(candidateMonths(at('2026-11-21T12:00:00Z'), { ...window, absoluteTtlMs: 365 * DAY_MS })).toHaveLength(13)
    expect(candidateMonths(at('2026-11-01T00:00:30Z'), { ...window, absoluteTtlMs: 365 * DAY_MS })).toHaveLength(14)
  })

  test('they never reach before the beginning of time', () => {
    expect(candidateMonths(at('1970-01-05T00:00:00Z'), window)).toEqual(['1970-01'])
  })
})

describe('where a session is', () => {
  const own: readonly (readonly [string, string, string, string | undefined])[] = [
    ['in the month its id says', '2611', '2026-11-21T12:00:00Z', '2026-11'],
    ['in December for life, also in January', '2612', '2027-01-20T12:00:00Z', '2026-12'],
    ['in next month’s, by a clock that is a little ahead', '2701', '2026-12-31T23:59:30Z', '2027-01'],
    ['in last month’s, by a clock that is a little behind', '2612', '2027-01-01T00:00:30Z', '2026-12'],
    ['nowhere, if it would have ended', '2608', '2026-11-21T12:00:00Z', undefined],
    ['nowhere, if its month is further ahead than a clock can be', '2612', '2026-11-21T12:00:00Z', undefined],
    ['nowhere, if the month is one of another century', '9911', '2026-11-21T12:00:00Z', undefined],
    ['nowhere, if the claim is no month', '2613', '2026-11-21T12:00:00Z', undefined],
    ['nowhere, if the claim is the name of a database', '2611-x', '2026-11-21T12:00:00Z', undefined],
  ]
  test.each(own)('%s', (_, bornMonth, now, month) => {
    const candidates = month === undefined ? [] : [month]
    expect(placeOf({ key: 'a:b', bornMonth }, at(now), window)).toEqual({ candidates, home: month, fence: undefined })
  })

  const foreign: readonly (readonly [string, string, readonly string[], string, string | undefined])[] = [
    ['looked for newest month first', '2026-11-21T12:00:00Z', ['2026-11', '2026-10'], '2026-11', undefined],
    [
      'made in this month, whoever is ahead',
      '2026-12-31T23:59:30Z',
      ['2027-01', '2026-12', '2026-11'],
      '2026-12',
      undefined,
    ],
    [
      'not made in a new month before the old one is closed',
      '2027-01-01T00:00:00Z',
      ['2027-01', '2026-12', '2026-11'],
      '2027-01',
      '2026-12',
    ],
    ['nor while a slow clock is in the old one', '2027-01-01T00:02:02Z', ['2027-01', '2026-12'], '2027-01', '2026-12'],
    ['made without ado afterwards', '2027-01-01T00:02:03Z', ['2027-01', '2026-12'], '2027-01', undefined],
  ]
  test.each(foreign)('an id without a month is %s', (_, now, candidates, home, fence) => {
    expect(placeOf({ key: 'a:b' }, at(now), window)).toEqual({ candidates, home, fence })
  })
})

describe('a database is made by itself', () => {
  test.each([
    ['2026-11-21T12:00:00Z', ['2026-11']],
    ['2026-12-31T23:59:30Z', ['2027-01', '2026-12']],
    ['2027-01-01T23:59:59Z', ['2027-01', '2026-12']],
    ['2027-01-02T00:00:00Z', ['2027-01']],
  ])('at %s for %j', (now, months) => {
    expect(birthMonths(at(now), window)).toEqual(months)
  })

  test.each([
    ['2026-11-23T23:59:59Z', undefined],
    ['2026-11-24T00:00:00Z', '2026-12'],
    ['2026-12-31T12:00:00Z', '2027-01'],
  ])('ahead, a week before it is needed: at %s %s', (now, month) => {
    expect(monthAhead(at(now))).toBe(month)
  })
})

describe('a month is over', () => {
  const over = at('2026-12-01T00:00:00Z') + 30 * DAY_MS + DAY_MS + 60 * SECOND_MS

  test('when its last session could live no longer, its tombstones are no longer needed, and the grace has passed', () => {
    expect(isOver('2026-11', over - 1, window, 0)).toBe(false)
    expect(isOver('2026-11', over, window, 0)).toBe(true)
    expect(isOver('2026-11', over + DAY_MS - 1, window, DAY_MS)).toBe(false)
    expect(isOver('2026-11', over + DAY_MS, window, DAY_MS)).toBe(true)
  })

  test('never while it is a candidate', () => {
    for (let now = at('2026-01-01T00:00:00Z'); now < at('2028-01-01T00:00:00Z'); now += 5 * 3_600_000)
      for (const month of candidateMonths(now, window)) expect(isOver(month, now, window, 0)).toBe(false)
  })
})

describe('names of databases', () => {
  test.each([
    ['nonstick-{yyyy}-{mm}', 'nonstick-2026-11'],
    ['shop{yyyy}_{mm}', 'shop2026_11'],
    ['a_$()+{mm}x{yyyy}z', 'a_$()+11x2026z'],
  ])('%s gives %s, and back', (pattern, name) => {
    const names = databaseNames(pattern)
    expect(names.of('2026-11')).toBe(name)
    expect(names.monthOf(name)).toBe('2026-11')
  })

  test.each(['nonstick-2026-13', 'nonstick-2026-1', 'nonstick-2026-11-x', 'xnonstick-2026-11', '_users', 'nonstick'])(
    '%s is none of ours',
    (name) => {
      expect(databaseNames('nonstick-{yyyy}-{mm}').monthOf(name)).toBeUndefined()
    },
  )
})
