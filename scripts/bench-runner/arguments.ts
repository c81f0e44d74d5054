import { parseArgs } from 'node:util'
import { FAMILIES, type Family } from './goals.js'

export interface BenchArguments {
  readonly help: boolean
  readonly only: readonly Family[]
  readonly seconds: number
  readonly rounds: number
  readonly quick: boolean
  readonly json: boolean
  /** Whether `docs/benchmarks` and `docs/capacity.md` are written. */
  readonly write: boolean
}

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (Number.isFinite(value) && value > 0 && value <= 3_600) return value
  throw new Error(`Expected --${name} to be a number from more than 0 to 3600, got ${JSON.stringify(text)}`)
}

const familiesIn = (text: string): readonly Family[] =>
  text.split(',').map((word) => {
    const family = FAMILIES.find((one) => one === word)
    if (family !== undefined) return family
    throw new Error(
      `Expected --only to name some of ${FAMILIES.join(', ')}, separated by commas, got ${JSON.stringify(word)}`,
    )
  })

/** @throws Error whose message says what was expected and what came. */
export const readArguments = (words: readonly string[]): BenchArguments => {
  const { values } = parseArgs({
    args: [...words],
    options: {
      help: { type: 'boolean', short: 'h' },
      only: { type: 'string' },
      seconds: { type: 'string' },
      rounds: { type: 'string' },
      quick: { type: 'boolean' },
      json: { type: 'boolean' },
      write: { type: 'boolean' },
    },
  })
  const rounds = positive('rounds', values.rounds ?? '5')
  if (!Number.isInteger(rounds)) throw new Error(`Expected --rounds to be a whole number, got ${rounds}`)
  if (values.quick && values.write)
    throw new Error('Expected --write without --quick: the tables would lack the cases that --quick leaves out')
  const only = values.only === undefined ? FAMILIES : familiesIn(values.only)
  return {
    help: values.help ?? false,
    only: FAMILIES.filter((family) => only.includes(family)),
    seconds: positive('seconds', values.seconds ?? '0.5'),
    rounds,
    quick: values.quick ?? false,
    json: values.json ?? false,
    write: values.write ?? false,
  }
}
