import { describe, test } from 'vitest'
import type { Absence } from './desk.js'

/** What a test wants, or why it cannot have it. */
export type Found<Thing> = Thing | Absence

/** For things that only some machines have: `const bouncer = path ?? absent('no pgbouncer here')`. */
export const absent = (reason: string): Absence => ({ kind: 'absent', reason })

const isAbsent = (found: unknown): found is Absence =>
  typeof found === 'object' && found !== null && (found as { kind?: unknown }).kind === 'absent'

/**
 * A `describe` for tests that need what not every machine has. Where it is absent, the group becomes one skipped
 * test whose title ends in the reason; under CI, `scripts/allowed-skips.json` must list the group's title.
 *
 *     skipUnless('the postgres backend', await sharedPostgres(), (postgres) => { test(…) })
 *
 * This is the only way to skip.
 */
export const skipUnless = <Thing>(
  title: string,
  found: Found<Thing>,
  body: (thing: Thing) => void | Promise<void>,
): void => {
  if (!isAbsent(found)) {
    describe(title, () => body(found))
    return
  }
  const reason = found.reason.trim().split('\n')[0]
  process.stderr.write(`skipped: ${title}: ${reason}\n`)
  describe(title, () => {
    test.skip(`skipped: ${reason}`, () => {})
  })
}
