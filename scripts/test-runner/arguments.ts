/** What `scripts/test` prints when asked for help. */
export const HELP = `Usage: scripts/test [--long] [--runtimes] [--help] [path …] [vitest's own options]

Without paths: builds, lints, checks types, starts a real memcached and a real PostgreSQL on free ports of
127.0.0.1, runs every test (the packed package among them), then a minute of scripts/chaos, and ends what it
started. With paths: only the tests under them.

  --long                  random and chaos tests run their long counts
  --runtimes              nothing but the packed package on Node 20.19, 22, 24 and 26, Bun and Deno, as far as npm can
                          install them: the programs of test/consumer and the contract suites, a line for each; with words
                          after it, such as deno, only those whose names begin so
  --at MOMENT             the tests run as if it were that moment, such as 2028-02-29T12:00:00Z; without scripts/chaos,
                          which compares its clock with that of the servers
  --tz ZONE               everything runs in that time zone, such as Pacific/Kiritimati
  --also STEP=ok|failed   counts a step that ran before, as .ci/run does with the demo
  --help                  this text

  MEMCACHED_SERVERS, DATABASE_URL or PGHOST, PGPORT …   use these servers instead of starting some
  NONSTICK_TEST_POSTGRES=embedded|none                  the npm package's PostgreSQL even where the system has one
  NONSTICK_TEST_MEMCACHED=none                          as if there were no memcached
  NONSTICK_SEED=…                                       repeats the random tests of a run that printed this seed
  CI=true                                               a skip that scripts/allowed-skips.json does not list fails

A step that makes no progress for twenty minutes is ended (an hour with --long); what did run is reported all the same,
and so it is after a Ctrl-C.

The last line is "N passed, N failed", with ", N skipped" if there are any: vitest's tests, and one for each other
step. What failed leaves its logs in .evidence/.`

/** The command line of `scripts/test`, understood. */
export interface Arguments {
  readonly help: boolean
  readonly long: boolean
  /** Whether other runtimes are to be tried, and nothing else. */
  readonly runtimes: boolean
  /** The moment that the clock is to show when the tests begin. */
  readonly at: number | undefined
  /** As the environment variable `TZ` takes it. */
  readonly timeZone: string | undefined
  /** Handed to vitest: paths, and options that are not ours. */
  readonly forVitest: readonly string[]
  /** Steps that ran before and are to be counted. */
  readonly also: readonly { readonly name: string; readonly ok: boolean }[]
  /** Whether only some tests were asked for, so that the other steps stay away. */
  readonly onlySome: boolean
}

const WITH_A_VALUE: ReadonlySet<string> = new Set(['--at', '--tz', '--also'])

export const readArguments = (words: readonly string[]): Arguments => {
  const withTheirValues = words.flatMap((word, index) => (WITH_A_VALUE.has(word) ? [index, index + 1] : []))
  const forVitest = words.filter(
    (word, index) => !['--long', '--runtimes', '--help', '-h'].includes(word) && !withTheirValues.includes(index),
  )
  /** What follows each occurrence of an option. */
  const valuesOf = (option: string): readonly (string | undefined)[] =>
    words.flatMap((word, index) => (word === option ? [words[index + 1]] : []))
  return {
    help: words.includes('--help') || words.includes('-h'),
    long: words.includes('--long'),
    runtimes: words.includes('--runtimes'),
    forVitest,
    at: valuesOf('--at').map(readMoment).at(-1),
    timeZone: valuesOf('--tz').map(readTimeZone).at(-1),
    also: valuesOf('--also').map(readStep),
    onlySome: forVitest.length > 0,
  }
}

const readStep = (word: string | undefined): { readonly name: string; readonly ok: boolean } => {
  const [, name, result] = /^([\w-]+)=(ok|failed)$/.exec(word ?? '') ?? []
  if (name === undefined) throw new Error(`Expected --also to be followed by STEP=ok or STEP=failed, got ${word}`)
  return { name, ok: result === 'ok' }
}

/** With its zone, since a moment without one would mean another in each. */
const readMoment = (word: string | undefined): number => {
  const moment = /T.*(?:Z|[+-]\d\d:\d\d)$/.test(word ?? '') ? Date.parse(word ?? '') : Number.NaN
  if (Number.isNaN(moment))
    throw new Error(`Expected --at to be followed by a moment such as 2028-02-29T12:00:00Z, got ${word}`)
  return moment
}

const readTimeZone = (word: string | undefined): string => {
  try {
    new Intl.DateTimeFormat('en', { timeZone: word ?? '' })
    return word ?? ''
  } catch (cause) {
    throw new Error(`Expected --tz to be followed by a time zone such as Pacific/Kiritimati, got ${word}`, { cause })
  }
}
