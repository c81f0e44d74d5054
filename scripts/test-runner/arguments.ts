/** What `scripts/test` prints when asked for help. */
export const HELP = `Usage: scripts/test [--long] [--help] [path …] [vitest's own options]

Without paths: builds, lints, checks types, starts a real memcached and a real PostgreSQL on free ports of
127.0.0.1, runs every test (the packed package among them), then a minute of scripts/chaos, and ends what it
started. With paths: only the tests under them.

  --long                  random and chaos tests run their long counts
  --also STEP=ok|failed   counts a step that ran before, as .ci/run does with the demo
  --help                  this text

  MEMCACHED_SERVERS, DATABASE_URL or PGHOST, PGPORT …   use these servers instead of starting some
  NONSTICK_TEST_POSTGRES=embedded|none                  the npm package's PostgreSQL even where the system has one
  NONSTICK_TEST_MEMCACHED=none                          as if there were no memcached
  NONSTICK_SEED=…                                       repeats the random tests of a run that printed this seed
  CI=true                                               a skip that scripts/allowed-skips.json does not list fails

The last line is "N passed, N failed", with ", N skipped" if there are any: vitest's tests, and one for each other
step. What failed leaves its logs in .evidence/.`

/** The command line of `scripts/test`, understood. */
export interface Arguments {
  readonly help: boolean
  readonly long: boolean
  /** Handed to vitest: paths, and options that are not ours. */
  readonly forVitest: readonly string[]
  /** Steps that ran before and are to be counted. */
  readonly also: readonly { readonly name: string; readonly ok: boolean }[]
  /** Whether only some tests were asked for, so that the other steps stay away. */
  readonly onlySome: boolean
}

export const readArguments = (words: readonly string[]): Arguments => {
  const ofSteps = words.flatMap((word, at) => (word === '--also' ? [at, at + 1] : []))
  const forVitest = words.filter((word, at) => !['--long', '--help', '-h'].includes(word) && !ofSteps.includes(at))
  return {
    help: words.includes('--help') || words.includes('-h'),
    long: words.includes('--long'),
    forVitest,
    also: words.flatMap((word, at) => (word === '--also' ? [readStep(words[at + 1])] : [])),
    onlySome: forVitest.length > 0,
  }
}

const readStep = (word: string | undefined): { readonly name: string; readonly ok: boolean } => {
  const [, name, result] = /^([\w-]+)=(ok|failed)$/.exec(word ?? '') ?? []
  if (name === undefined) throw new Error(`Expected --also to be followed by STEP=ok or STEP=failed, got ${word}`)
  return { name, ok: result === 'ok' }
}
