import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { readArguments } from '../../scripts/bench-runner/arguments.js'
import { capacityOf, type Fleet } from '../../scripts/bench-runner/capacity.js'
import { capacityPage } from '../../scripts/bench-runner/capacity-page.js'
import { FAMILIES, GOALS, reaches, verdictOf } from '../../scripts/bench-runner/goals.js'
import { pagesOf } from '../../scripts/bench-runner/pages.js'
import { readRecord } from '../../scripts/bench-runner/record.js'
import { recoveryOf } from '../../scripts/bench-runner/recovery.js'
import { inRounds } from '../../scripts/bench-runner/rounds.js'
import { SIZES, sessionOf } from '../../scripts/bench-runner/sessions.js'
import { isWorse, median, pairedRatio, quantile, spread, summaryOf } from '../../scripts/bench-runner/statistics.js'

describe('the figures of several rounds', () => {
  test('are told by their median, and by how far they lie from it', () => {
    expect(median([3, 1, 2])).toBe(2)
    expect(median([4, 1, 2, 3])).toBe(2.5)
    expect(median([])).toBeNaN()
    expect(spread([1, 2, 3, 4, 1_000])).toBe(1)
    expect(quantile([5, 1, 2, 3, 4], 0.99)).toBe(5)
  })

  test('are compared round by round, so that a round in which all was slow counts as any other', () => {
    expect(pairedRatio([2, 20, 4], [1, 10, 2])).toEqual({ median: 2, spread: 0, rounds: 3 })
    expect(pairedRatio([2, 3], [1]).rounds).toBe(1)
    expect(pairedRatio([1], [0]).rounds).toBe(0)
  })

  test('are worse than a bound only where their noise does not explain it', () => {
    expect(isWorse({ median: 1.2, spread: 0.1, rounds: 9 }, 1)).toBe(false)
    expect(isWorse({ median: 1.4, spread: 0.1, rounds: 9 }, 1)).toBe(true)
    expect(isWorse({ median: 1.01, spread: 0, rounds: 9 }, 1)).toBe(true)
    expect(isWorse(summaryOf([]), 1)).toBe(true)
  })

  test('come from cases that take turns, in an order that turns round, after one round to warm up', async () => {
    const order: string[] = []
    const one = (name: string) => ({
      name,
      group: '',
      run: async () => {
        order.push(name)
        return { cpuUs: order.length }
      },
    })
    const measured = await inRounds([one('a'), one('b')], 2)
    expect(order.join('')).toBe('abbaab')
    expect(measured.map(({ samples }) => samples.length)).toEqual([2, 2])
  })
})

describe('the verdict', () => {
  test('names what misses its bound, and what nobody measured', () => {
    const { missed, figures, bounds } = verdictOf(['codec'], {
      'codec.speed.1500.overJson': summaryOf([0.9]),
      'codec.speed.20000.overJson': summaryOf([1.2]),
      'codec.bytes.1500.overJson': summaryOf([0.6]),
    })
    expect(missed).toEqual(['codec.speed.20000.overJson', 'codec.bytes.20000.overJson'])
    expect(Object.keys(figures).length).toBe(3)
    expect(Object.keys(bounds).every((name) => name.startsWith('codec.'))).toBe(true)
  })

  test('knows each kind of bound, and each figure is of a family that runs', () => {
    expect([reaches(1, { atMost: 1 }), reaches(1.1, { atMost: 1 })]).toEqual([true, false])
    expect([reaches(1, { atLeast: 1 }), reaches(0.9, { atLeast: 1 })]).toEqual([true, false])
    expect([reaches(0.9, { below: 1 }), reaches(1, { below: 1 })]).toEqual([true, false])
    for (const [name, { family }] of Object.entries(GOALS)) expect(name.split('.')[0]).toBe(family)
    expect(new Set(Object.values(GOALS).map(({ family }) => family)).size).toBe(FAMILIES.length)
  })
})

test('a session has as many bytes of JSON as was asked for, and another user has another session', () => {
  for (const bytes of SIZES) {
    expect(JSON.stringify(sessionOf(bytes, 3)).length).toBe(bytes)
    expect(JSON.parse(JSON.stringify(sessionOf(bytes, 3)))).toEqual(sessionOf(bytes, 3))
  }
  expect(sessionOf(1_500, 1)).not.toEqual(sessionOf(1_500, 2))
})

describe('the command line', () => {
  test('takes families, times and rounds', () => {
    const { only, seconds, rounds } = readArguments(['--only', 'flush,codec', '--seconds', '0.2', '--rounds', '3'])
    expect({ only, seconds, rounds }).toEqual({ only: ['codec', 'flush'], seconds: 0.2, rounds: 3 })
    expect(readArguments([]).only).toEqual(FAMILIES)
  })

  test('says what it expected, and what came', () => {
    expect(() => readArguments(['--only', 'codecs'])).toThrow(/some of request, store, .*got "codecs"/)
    expect(() => readArguments(['--seconds', '0'])).toThrow(/more than 0.*got "0"/)
    expect(() => readArguments(['--rounds', '1.5'])).toThrow(/whole number/)
    expect(() => readArguments(['--write', '--quick'])).toThrow(/without --quick/)
    expect(() => readArguments(['--secnds', '1'])).toThrow(/secnds/)
  })
})

describe('capacity', () => {
  const fleet: Fleet = {
    processes: 4,
    requestsPerSecond: 100,
    writing: 0.25,
    maxStaleCount: 10,
    maxStaleMs: 60_000,
    touchBackendMs: 10_000_000,
    sessions: 1_000,
    bytes: 900,
  }

  test('a request is one command at the cache, and one more where it writes', () => {
    expect(capacityOf(fleet).cacheCommandsPerSecond).toBe(500)
  })

  test('busy sessions are written by count', () => {
    // 100 changes a second on 1,000 sessions: six of each in a minute, and the seventh waits for none.
    expect(capacityOf({ ...fleet, sessions: 10 }).rowsPerSecond).toBeCloseTo(10, 2)
    expect(capacityOf(fleet).rowsPerSecond).toBeCloseTo(100 / 7 + 0.1, 5)
  })

  test('sessions that hardly change are written by time, a row for each change', () => {
    expect(capacityOf({ ...fleet, sessions: 1e6 }).rowsPerSecond).toBeCloseTo(100 / 1.006 + 100, 1)
  })

  test('with N of 1 each change is written, and nothing can be lost', () => {
    const { rowsPerSecond, lostOfASession, lostInAll, lossWindowMs } = capacityOf({ ...fleet, maxStaleCount: 1 })
    expect({ rowsPerSecond, lostOfASession, lostInAll, lossWindowMs }).toEqual({
      rowsPerSecond: 100.1,
      lostOfASession: 0,
      lostInAll: 0,
      lossWindowMs: 0,
    })
  })

  test('a higher N never writes more, and never loses less', () => {
    const all = [1, 2, 5, 10, 100, 1_000].map((maxStaleCount) => capacityOf({ ...fleet, maxStaleCount }))
    for (const [at, one] of all.slice(1).entries()) {
      expect(one.rowsPerSecond).toBeLessThanOrEqual(all[at]?.rowsPerSecond ?? Number.NaN)
      expect(one.lostInAll).toBeGreaterThanOrEqual(all[at]?.lostInAll ?? Number.NaN)
    }
    expect(all.at(-1)?.lostInAll).toBe(6_000)
  })
})

test('a restart is over when as much is done again as before, without a rejection', () => {
  const call = (endedMs: number, failed = false) => ({ beganMs: endedMs - 5, endedMs, failed })
  const steady = (fromMs: number, toMs: number) =>
    Array.from({ length: (toMs - fromMs) / 10 }, (_, at) => call(fromMs + at * 10))
  const lived = [...steady(0, 1_000), call(1_020, true), call(1_150, true), ...steady(1_300, 2_000)]
  expect(recoveryOf(lived, 1_000)).toMatchObject({ failed: 2, lastFailureMs: 150, recoveredMs: 300 })
  expect(recoveryOf(steady(0, 1_050), 1_000).recoveredMs).toBeUndefined()
})

test('the page of capacity is what is reckoned', () => {
  expect(readFileSync(new URL('../../docs/capacity.md', import.meta.url), 'utf8')).toBe(capacityPage())
})

test('the pages of the benchmarks are made of their record', async () => {
  const folder = new URL('../../docs/benchmarks/', import.meta.url)
  const record = readRecord(new URL('record.json', folder))
  if (record === undefined) throw new Error('docs/benchmarks/record.json is missing; `scripts/bench --write` makes it')
  const pages = await pagesOf(record)
  expect(Object.keys(pages).filter((name) => name.endsWith('.svg')).length).toBeGreaterThan(2)
  for (const [name, text] of Object.entries(pages))
    expect(readFileSync(new URL(name, folder), 'utf8') === text, `docs/benchmarks/${name}`).toBe(true)
  expect([...readdirSync(folder)].sort()).toEqual(Object.keys(pages).sort())
})
