import type { FrontCache } from '../contract/front-cache.js'
import type { EpochMs } from '../contract/time.js'
import { CLOSING } from './front-cache-rules/closing.js'
import { COMPARING } from './front-cache-rules/comparing.js'
import { EXPIRING } from './front-cache-rules/expiring.js'
import { REFUSING } from './front-cache-rules/refusing.js'
import type { Rule } from './front-cache-rules/rule.js'
import { STORING } from './front-cache-rules/storing.js'

/** The part of a test runner the suite needs: `test` of `node:test`, vitest, jest and mocha's `it` all fit. */
export interface FrontCacheContractTest {
  (title: string, run: () => Promise<void>): unknown
  /** Where it is missing, an exempted rule is registered as a test that does nothing. */
  readonly skip?: (title: string, run: () => Promise<void>) => unknown
}

/** A cache opened for one rule. */
export interface OpenedFrontCache {
  readonly cache: FrontCache
  /** Opens a second cache over the same entries, as another process would. */
  another?(): Promise<FrontCache>
  /** For what the cache does not own, such as a server that was started for it; called when the cache is closed. */
  close?(): Promise<unknown>
}

export interface FrontCacheSubject {
  /** Stands before each title. */
  readonly name: string

  /**
   * A cache that may already hold entries; called once per rule, which closes it. Without `another`, exempt the rule
   * that needs it.
   */
  open(): Promise<OpenedFrontCache>

  /**
   * The same for the rules about a server that answers and takes no new value, as a Memcached that is out of memory.
   * `refuseValues` brings it to that, and leaves what it holds; it is called once, in the middle of a rule. Where this is
   * missing, those rules are left out.
   */
  openRefusing?(): Promise<OpenedFrontCache & { refuseValues(): unknown }>

  /** How much longer than asked an entry may live; never is it shorter. Milliseconds; 2000 for Memcached. */
  readonly expiryResolutionMs: number

  /** The cache's clock. @default Date.now */
  readonly now?: () => EpochMs

  /**
   * Moves the cache's clock by that many milliseconds. Where it is missing the rules wait, a few seconds
   * each, and the one that moves the clock by weeks is left out.
   */
  advance?(ms: number): void | Promise<void>

  /** A size that is taken, in bytes. @default 1_000_000 */
  readonly largeBytes?: number

  /** A size that is refused, in bytes. @default 2_097_152 */
  readonly tooLargeBytes?: number

  /** Rules this cache cannot keep, by title, each with the reason, which is printed. */
  readonly cannot?: Readonly<Record<string, string>>
}

const RULES: readonly Rule[] = [...STORING, ...COMPARING, ...EXPIRING, ...REFUSING, ...CLOSING]

const NEEDS_A_CLOCK = 'a clock moved by weeks finds entries where they should be'

/** The titles of the rules, for `cannot` and for counting. */
export const frontCacheContractTitles: readonly string[] = Object.freeze(RULES.map(({ title }) => title))

/**
 * Registers one test per sentence of the `FrontCache` contract. The rules use random keys and leave their
 * entries behind, some of which would live for years: give it a cache that holds nothing dear. They may run at the
 * same time (`test.concurrent`), which saves the waiting where there is no clock to move.
 *
 * @throws TypeError when `cannot` names a rule that does not exist.
 */
export const frontCacheContract = (test: FrontCacheContractTest, subject: FrontCacheSubject): void => {
  const cannot = new Map(Object.entries(subject.cannot ?? {}))
  for (const title of cannot.keys())
    if (!frontCacheContractTitles.includes(title)) throw new TypeError(`There is no rule "${title}" to be exempt from`)
  for (const rule of RULES) {
    if (rule.title === NEEDS_A_CLOCK && subject.advance === undefined) continue
    if (rule.needs === 'refusals' && subject.openRefusing === undefined) continue
    const reason = cannot.get(rule.title)
    if (reason === undefined) test(`${subject.name}: ${rule.title}`, () => tryRule(rule, subject))
    else (test.skip ?? test)(`${subject.name}: ${rule.title} (cannot: ${reason})`, async () => {})
  }
}

const tryRule = async (rule: Rule, subject: FrontCacheSubject): Promise<void> => {
  const opened = await open(rule, subject)
  const caches = [opened.cache]
  try {
    await rule.check({
      cache: opened.cache,
      another: async () => {
        const other = await opened.another?.()
        if (other === undefined) throw new TypeError('open() gave no `another`: exempt this rule, with the reason')
        caches.push(other)
        return other
      },
      now: subject.now ?? Date.now,
      pass: async (ms) => {
        if (subject.advance === undefined) await new Promise((resolve) => setTimeout(resolve, ms))
        else await subject.advance(ms)
      },
      refuseValues: async () => void (await opened.refuseValues?.()),
      expiryResolutionMs: subject.expiryResolutionMs,
      largeBytes: subject.largeBytes ?? 1_000_000,
      tooLargeBytes: subject.tooLargeBytes ?? 2 * 1024 * 1024,
    })
  } finally {
    await Promise.allSettled(caches.map((cache) => cache.close()))
    await opened.close?.()
  }
}

const open = (rule: Rule, subject: FrontCacheSubject): Promise<OpenedFrontCache & { refuseValues?(): unknown }> =>
  rule.needs === 'refusals' && subject.openRefusing !== undefined ? subject.openRefusing() : subject.open()
