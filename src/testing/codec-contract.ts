import type { Codec } from '../contract/codec.js'
import { KEEPING } from './codec-rules/keeping.js'
import { READING } from './codec-rules/reading.js'
import { REFUSING } from './codec-rules/refusing.js'
import type { Rule } from './codec-rules/rule.js'

/** The part of a test runner the suite needs: `test` of `node:test`, vitest, jest and mocha's `it` all fit. */
export type CodecContractTest = (title: string, body: () => void | Promise<void>) => unknown

export interface CodecContractSubject {
  /** Stands before each title. */
  readonly name: string

  readonly codec: Codec

  /**
   * Rules this codec cannot keep, by title, each with the reason, which is printed. Where the rule says that a
   * kind of value comes back, such a codec must refuse that value instead, and this is looked at.
   */
  readonly cannot?: Readonly<Record<string, string>>
}

const RULES: readonly Rule[] = [...READING, ...KEEPING, ...REFUSING]

/** The titles of the rules, for `cannot` and for counting. */
export const codecContractTitles: readonly string[] = Object.freeze(RULES.map(({ title }) => title))

/**
 * Registers one test per sentence of the `Codec` contract.
 *
 * @throws TypeError when `cannot` names a rule that does not exist.
 */
export const codecContract = (test: CodecContractTest, subject: CodecContractSubject): void => {
  const cannot = new Map(Object.entries(subject.cannot ?? {}))
  for (const title of cannot.keys())
    if (!codecContractTitles.includes(title)) throw new TypeError(`There is no rule "${title}" to be exempt from`)
  for (const rule of RULES) {
    const reason = cannot.get(rule.title)
    if (reason === undefined) test(`${subject.name}: ${rule.title}`, () => rule.run(subject.codec))
    else
      test(`${subject.name}: ${rule.title} (cannot: ${reason})`, () => {
        rule.runRefused?.(subject.codec)
      })
  }
}
