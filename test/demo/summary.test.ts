import { describe, expect, test } from 'vitest'
import type { DriveReport } from '../../scripts/demo-app/drive.js'
import { type Costs, failures, type Machinery, summary } from '../../scripts/demo-app/summary.js'

const machinery: Machinery = {
  processes: 3,
  front: 'memcached',
  frontVersion: 'Memcached 1.6',
  backend: 'postgres',
  backendName: 'PostgreSQL',
  backendVersion: '15',
  maxStaleCount: 2,
}

/** A run in which everything that can be counted happened so often. */
const countedAs = (count: number): { readonly report: DriveReport; readonly costs: Costs } => {
  const flushes = {
    ...{ create: count, count, claim: count, time: count, bypass: count, refused: count },
    ...{ identify: count, durable: count, regenerate: count, drain: count },
  }
  const stats = {
    ...{ cacheHits: count, cacheMisses: count, backendReads: count, backendWrites: count, writes: count },
    ...{ merges: count, conflicts: count, extensions: count, flushes },
  }
  return {
    report: {
      ...{ requests: count, writesSeen: count, sessions: count, lostToTheKill: count, lostBeyondBound: count },
      ...{ worstLoss: count, sessionsWithLoss: count, wrong: count, unjudged: count, killedAfter: count },
      ...{ outageMs: count, answeredWithoutCache: count, durationMs: count },
      complaints: [],
      answeredBy: new Map([['app-1', count]]),
      errorsDuringOutage: new Map(),
      errorsOtherwise: new Map([['503', count]]),
    },
    costs: {
      stats: stats as unknown as Costs['stats'],
      cache: { hits: count, misses: count },
      backendWrites: count + 1,
      backendReads: count,
      deaths: count,
      drained: count,
      left: count,
    },
  }
}

describe('the summary of a run', () => {
  test('says why the run failed, in the singular for one and in the plural for two', () => {
    const one = countedAs(1)
    expect(failures(one.report, one.costs)).toEqual([
      '1 wrong answer',
      '1 change lost beyond the bound',
      '1 session could not be read from every process at the end',
      '1 request failed while nothing was broken',
      '1 app process died',
      '1 session could not be written to the backend at the end',
    ])
    const two = countedAs(2)
    expect(failures(two.report, two.costs)).toContain('2 wrong answers')
    expect(failures(two.report, two.costs)).toContain('2 app processes died')
  })

  test('has no plural after a one, and no singular after a two', () => {
    const nouns = /\b(\d+) (\w+)/g
    const wordsAfter = (count: number): readonly string[] => {
      const { report, costs } = countedAs(count)
      const text = summary(report, costs, machinery)
      return [...text.matchAll(nouns)].flatMap(([, number, word = '']) => (number === String(count) ? [word] : []))
    }
    const singular = 'answer|app|change|creation|extension|first|hit|miss|process|request|session'
    const plural = 'answers|changes|creations|extensions|hits|misses|processes|requests|sessions'
    expect(wordsAfter(1).length).toBeGreaterThan(15)
    expect(wordsAfter(1).filter((word) => new RegExp(`^(${plural})$`).test(word))).toEqual([])
    expect(wordsAfter(2).filter((word) => new RegExp(`^(${singular})$`).test(word))).toEqual(['first', 'app'])
  })
})
