import { expect, test } from 'vitest'
import { lotsOf } from '../simulation/random.js'
import { readArguments, UsageError } from './arguments.js'
import { drawFaults, FAULT_KINDS, type Weather } from './faults.js'

const drawn = (seed: number, seconds = 60, weather: Weather = 'postgres') =>
  drawFaults(lotsOf(seed, 'faults'), seconds, weather)
const WEATHERS = ['postgres', 'couchdb', 'given couchdb', 'redis'] as const

test('one seed draws the same faults, another others', () => {
  expect(drawn(1)).toEqual(drawn(1))
  expect(drawn(1)).not.toEqual(drawn(2))
})

test.for(WEATHERS)('on %s a minute has at least thirty-two faults, of every kind two, all within it', (weather) => {
  for (let seed = 1; seed <= 200; seed += 1) {
    const faults = drawn(seed, 60, weather)
    expect(faults.length, `seed ${seed}`).toBeGreaterThanOrEqual(32)
    for (const kind of FAULT_KINDS[weather])
      expect(faults.filter((fault) => fault.kind === kind).length, `seed ${seed}: ${kind}`).toBeGreaterThanOrEqual(2)
    for (const { at, forMs } of faults) expect(at + forMs).toBeLessThan(60_000)
  }
})

test('a backend that keeps everything in memory is stopped, never ended; one that is not ours is left alone', () => {
  const kinds = (weather: Weather): string[] => drawn(1, 600, weather).map(({ kind }) => kind)
  const only = (mine: string[], others: string[]) => [...new Set(mine)].filter((kind) => !others.includes(kind)).sort()
  expect(only(kinds('couchdb'), kinds('postgres'))).toEqual(['backend stop'])
  expect(only(kinds('postgres'), kinds('couchdb'))).toEqual(['backend crash', 'backend restart', 'terminate'])
  expect(only(kinds('couchdb'), kinds('given couchdb'))).toEqual(['backend stop'])
  expect(only(kinds('given couchdb'), kinds('couchdb'))).toEqual([])
  expect(only(kinds('redis'), kinds('given couchdb'))).toEqual(['backend crash', 'backend stop', 'terminate'])
})

test('a fault of a process strikes one, a fault of a wire one or all', () => {
  for (const { kind, places } of drawn(3)) expect(places.length).toBe(kind.startsWith('app') ? 1 : places.length)
  const ofWires = drawn(3, 600).filter(({ kind }) => kind === 'reset' || kind === 'cut')
  expect(new Set(ofWires.map(({ places }) => places.length))).toEqual(new Set([1, 3]))
})

test('the command line says how long, which seed, which transport and which backend; a mistake is said in words', () => {
  expect(readArguments([])).toEqual({
    help: false,
    seconds: 60,
    seed: undefined,
    runs: 1,
    transport: 'nonstick',
    backend: 'postgres',
    sealed: false,
    keep: false,
  })
  expect(readArguments(['--backend', 'couchdb'])).toMatchObject({ backend: 'couchdb' })
  expect(readArguments(['--backend', 'redis'])).toMatchObject({ backend: 'redis' })
  expect(
    readArguments([
      '--seconds',
      '10',
      '--seed=7',
      '--transport',
      'memjs',
      '--backend=couchdb',
      '--runs=3',
      '--keep',
      '--sealed',
    ]),
  ).toEqual({
    help: false,
    seconds: 10,
    seed: 7,
    runs: 3,
    transport: 'memjs',
    backend: 'couchdb',
    sealed: true,
    keep: true,
  })
  const mistakes = [
    ['--seconds', '4'],
    ['--seconds'],
    ['--runs', '0'],
    ['--transport', 'redis'],
    ['--backend', 'mysql'],
    ['--backend'],
    ['--sedes', '1'],
  ]
  for (const words of mistakes) expect(() => readArguments(words), words.join(' ')).toThrow(UsageError)
})
