/** What a fuzz target is: how its inputs are made, what reads them, and what must hold of whatever comes of it. */
import { isDeepStrictEqual } from 'node:util'
import { isSessionStoreError } from '../../src/errors.js'
import type { Chance } from './chance.js'
import { SECRET } from './mutate.js'

/** What was promised does not hold; the message says what happened instead. */
export class Broken extends Error {
  override get name(): string {
    return 'Broken'
  }
}

/** One input, as bytes for whoever wants to see it, and what is done with it. */
export interface Case {
  readonly bytes: Uint8Array
  /** @throws Broken, or whatever the parser threw that is none of its refusals */
  run(): 'value' | 'refusal'
}

export interface Target {
  readonly name: string
  /** The planted faults, by their names: each is a parser with one mistake. */
  readonly faults: readonly string[]
  /** @param fault the name of a planted fault; without it the parser as it is */
  caseOf(chance: Chance, fault?: string): Case
}

export type Parse<Input, Value> = (input: Input) => Value

export interface TargetParts<Input, Value> {
  readonly name: string
  readonly make: (chance: Chance) => Input
  readonly bytesOf: (input: Input) => Uint8Array
  readonly parse: Parse<Input, Value>
  /** Complains by `Broken` of a value that is not what was promised. */
  readonly check: (value: Value, input: Input) => void
  /** Whether an error is a refusal that the parser documents. @default those of this library, by their codes */
  readonly refuses?: (error: unknown) => boolean
  /** The parser runs what it is given, so that the cause of its error may be the giver's own. @default false */
  readonly hasForeignCauses?: boolean
  /** What a parser would give that accepts a field which was cut short. */
  readonly cut: Value
  /** Mistakes that only this parser can make. */
  readonly faults?: Readonly<Record<string, (parse: Parse<Input, Value>) => Parse<Input, Value>>>
}

const CODE = /^E_[A-Z_]+$/

const isCoded = (error: unknown): boolean => isSessionStoreError(error) && CODE.test(error.code)

/** Holds for one input in eight, and for the same ones each time. */
const isUnlucky = (bytes: Uint8Array): boolean => {
  let sum = 0
  for (const byte of bytes) sum += byte
  return (sum & 7) === 3
}

const whereUnlucky =
  <Input, Value>(bytesOf: (input: Input) => Uint8Array, mistake: () => void) =>
  (parse: Parse<Input, Value>): Parse<Input, Value> =>
  (input) => {
    if (isUnlucky(bytesOf(input))) mistake()
    return parse(input)
  }

/** What is kept alive by the fault that takes memory. */
export const kept: unknown[] = []

/** Mistakes that any parser can make. */
const commonFaults = <Input, Value>({
  bytesOf,
  cut,
}: Pick<TargetParts<Input, Value>, 'bytesOf' | 'cut'>): NonNullable<TargetParts<Input, Value>['faults']> => ({
  'throws a TypeError': whereUnlucky(bytesOf, () => {
    throw new TypeError("Cannot read properties of undefined (reading 'length')")
  }),
  'loops for ever': whereUnlucky(bytesOf, () => {
    for (let turns = 0; ; turns += 1) if (turns < 0) return
  }),
  'pollutes a prototype': whereUnlucky(bytesOf, () => {
    Reflect.set(Object.prototype, 'isAdministrator', true)
  }),
  'takes memory as the input says': whereUnlucky(bytesOf, () => {
    kept.push(Buffer.alloc(256 * 1_048_576))
  }),
  'accepts a field that is cut short': (parse) => (input) => {
    try {
      return parse(input)
    } catch {
      return cut
    }
  },
  'shows what it could not read': (parse) => (input) => {
    try {
      return parse(input)
    } catch (error) {
      const text = Buffer.from(bytesOf(input)).toString('latin1')
      throw Object.assign(error as Error, { message: `${(error as Error).message}: ${text}` })
    }
  },
})

export const targetOf = <Input, Value>(parts: TargetParts<Input, Value>): Target => {
  const { name, make, bytesOf, parse, check, refuses = isCoded, hasForeignCauses = false } = parts
  const faults = { ...commonFaults(parts), ...parts.faults }
  return {
    name,
    faults: Object.keys(faults),
    caseOf: (chance, fault) => {
      const input = make(chance)
      const planted = fault === undefined ? (same: typeof parse) => same : faults[fault]
      if (planted === undefined) throw new Error(`${name} has no planted fault ${fault}`)
      const parser = planted(parse)
      return {
        bytes: bytesOf(input),
        run: () => {
          let value: Value
          try {
            value = parser(input)
          } catch (error) {
            if (!refuses(error)) throw error
            assertDiscreet(error, hasForeignCauses ? 1 : MOST_CAUSES)
            return 'refusal'
          }
          check(value, input)
          return 'value'
        },
      }
    },
  }
}

const MOST_CAUSES = 9

/** Neither the error nor what it was caused by says what came. */
const assertDiscreet = (error: unknown, depths: number): void => {
  for (let each = error, depth = 0; each instanceof Error && depth < depths; each = each.cause, depth += 1)
    if (each.message.includes(SECRET)) throw new Broken('its error shows what it was given')
}

export const assertEqual = (what: string, one: unknown, other: unknown): void => {
  if (!isDeepStrictEqual(one, other)) throw new Broken(`${what} is not what it was before`)
}

export const assertThat = (what: string, isSo: boolean): void => {
  if (!isSo) throw new Broken(what)
}
