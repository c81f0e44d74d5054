import { expect, test } from 'vitest'
import { lotsOf } from '../simulation/random.js'
import { readArguments, UsageError } from './arguments.js'
import { drawFaults, FAULT_KINDS } from './faults.js'

const drawn = (seed: number, seconds = 60) => drawFaults(lotsOf(seed, 'faults'), seconds)

test('one seed draws the same faults, another others', () => {
  expect(drawn(1)).toEqual(drawn(1))
  expect(drawn(1)).not.toEqual(drawn(2))
})

test('a minute has at least thirty-two faults, of every kind two, all within it', () => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const faults = drawn(seed)
    expect(faults.length, `seed ${seed}`).toBeGreaterThanOrEqual(32)
    for (const kind of FAULT_KINDS)
      expect(faults.filter((fault) => fault.kind === kind).length, `seed ${seed}: ${kind}`).toBeGreaterThanOrEqual(2)
    for (const { at, forMs } of faults) expect(at + forMs).toBeLessThan(60_000)
  }
})

test('a fault of a process strikes one, a fault of a wire one or all', () => {
  for (const { kind, places } of drawn(3)) expect(places.length).toBe(kind.startsWith('app') ? 1 : places.length)
  const ofWires = drawn(3, 600).filter(({ kind }) => kind === 'reset' || kind === 'cut')
  expect(new Set(ofWires.map(({ places }) => places.length))).toEqual(new Set([1, 3]))
})

test('the command line says how long, which seed and which transport; a mistake is said in words', () => {
  expect(readArguments([])).toMatchObject({ seconds: 60, seed: undefined, runs: 1, transport: 'nonstick', keep: false })
  expect(readArguments(['--seconds', '10', '--seed=7', '--transport', 'memjs', '--runs=3', '--keep'])).toEqual({
    help: false,
    seconds: 10,
    seed: 7,
    runs: 3,
    transport: 'memjs',
    keep: true,
  })
  for (const words of [['--seconds', '4'], ['--seconds'], ['--runs', '0'], ['--transport', 'redis'], ['--sedes', '1']])
    expect(() => readArguments(words), words.join(' ')).toThrow(UsageError)
})
