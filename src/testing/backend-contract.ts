import { type Backend, canEnumerate, knowsUsers } from '../contract/backend.js'
import type { EpochMs } from '../contract/time.js'
import { BATCHING } from './backend-rules/batching.js'
import { CREATING } from './backend-rules/creating.js'
import { ENDING } from './backend-rules/ending.js'
import { GUARDING } from './backend-rules/guarding.js'
import { KEEPING } from './backend-rules/keeping.js'
import { LISTING } from './backend-rules/listing.js'
import { LIVING } from './backend-rules/living.js'
import type { Rule } from './backend-rules/rule.js'
import { USERS } from './backend-rules/users.js'

/** The part of a test runner the suite needs: `test` of `node:test`, vitest, jest and mocha's `it` all fit. */
export interface BackendContractTest {
  (title: string, run: () => Promise<void>): unknown
  /** Where it is missing, an exempted rule is registered as a test that does nothing. */
  readonly skip?: (title: string, run: () => Promise<void>) => unknown
}

export interface BackendContractSubject {
  /** Stands before each title. */
  readonly name: string

  /**
   * A backend that is set up and may already hold sessions; called once per rule, which closes it. `close`, where
   * given, is called afterwards, for what the backend does not own (a pool that was given to it).
   */
  open(): Promise<{ readonly backend: Backend; close?(): Promise<unknown> }>

  /** The backend's clock. @default Date.now */
  readonly now?: () => EpochMs

  /** How much later than its time a session may be purged; never is it earlier. Milliseconds. @default 0 */
  readonly purgeResolutionMs?: number

  /** Rules this backend cannot keep, by title, each with the reason, which is printed. */
  readonly cannot?: Readonly<Record<string, string>>
}

const RULES: readonly Rule[] = [
  ...KEEPING,
  ...CREATING,
  ...GUARDING,
  ...BATCHING,
  ...ENDING,
  ...LIVING,
  ...LISTING,
  ...USERS,
]

/** The titles of the rules, for `cannot` and for counting. */
export const backendContractTitles: readonly string[] = Object.freeze(RULES.map(({ title }) => title))

/**
 * Registers one test per sentence of the `Backend` contract, of `Enumerable` and of `KnowsUsers`; a backend that
 * cannot list, or knows of no users, says so in `cannot`.
 *
 * The rules use random keys, a few namespaces of their own and moments up to three days ahead, and purge what
 * has expired by then: give it a place where nothing else is kept.
 *
 * @throws TypeError when `cannot` names a rule that does not exist.
 */
export const backendContract = (test: BackendContractTest, subject: BackendContractSubject): void => {
  const cannot = new Map(Object.entries(subject.cannot ?? {}))
  for (const title of cannot.keys())
    if (!backendContractTitles.includes(title)) throw new TypeError(`There is no rule "${title}" to be exempt from`)
  for (const rule of RULES) {
    const reason = cannot.get(rule.title)
    if (reason === undefined) test(`${subject.name}: ${rule.title}`, () => tryRule(rule, subject))
    else (test.skip ?? test)(`${subject.name}: ${rule.title} (cannot: ${reason})`, async () => {})
  }
}

const tryRule = async (rule: Rule, subject: BackendContractSubject): Promise<void> => {
  const opened = await subject.open()
  const { backend } = opened
  try {
    const enumerable = canEnumerate(backend) ? backend : undefined
    await rule.check({
      backend,
      enumerable,
      users: knowsUsers(backend) ? backend : undefined,
      now: subject.now ?? Date.now,
      purgeResolutionMs: subject.purgeResolutionMs ?? 0,
    })
  } finally {
    await backend.close()
    await opened.close?.()
  }
}
