import { describe, expect, test } from 'vitest'
import { rounds, seed } from '../support/seed.js'
import { chanceOf } from './chance.js'
import { keepEvidence } from './evidence.js'
import { runCases } from './run.js'
import { TARGETS } from './targets.js'

/** A count and not a time, so that every machine does the same. */
const SHORT = 1_500

console.log(`seed: ${seed}`)

describe.each(TARGETS.map((target) => [target.name, target] as const))('%s', (_name, target) => {
  test('whatever comes, it gives a value that means the same when it is written again, or its own refusal', () => {
    const report = runCases(target, { seed, first: 0, count: rounds(SHORT, 20 * SHORT) })
    expect(report.failure === undefined ? undefined : keepEvidence(report.failure)).toBeUndefined()
    expect(report.values, 'values').toBeGreaterThan(0)
  })

  test.each(target.faults)('a parser that %s is noticed', (fault) => {
    const patienceMs = fault === 'loops for ever' ? 200 : 60_000
    const { failure } = runCases(target, { seed, first: 0, count: SHORT, fault, patienceMs })
    expect(failure, `seed ${seed}`).toMatchObject({ target: target.name, seed, what: expect.stringMatching(/./) })
    // The case is the same by itself, whatever came before it.
    const { bytes } = target.caseOf(chanceOf(seed, target.name, failure?.number ?? 0))
    expect(Buffer.compare(bytes, failure?.bytes ?? new Uint8Array(0))).toBe(0)
  })
})

test('cases are others for another seed, and the same for the same', () => {
  const bytesWith = (each: number): readonly string[] =>
    TARGETS.map(({ name, caseOf }) => Buffer.from(caseOf(chanceOf(each, name, 3)).bytes).toString('hex'))
  expect(bytesWith(1)).toEqual(bytesWith(1))
  expect(bytesWith(1)).not.toEqual(bytesWith(2))
})
