/** What `scripts/couchdb` prints when asked for help. */
export const HELP = `Usage: COUCHDB_URL=http://admin:password@host:5984 scripts/couchdb [options]

Runs everything of this project that concerns CouchDB against the server that COUCHDB_URL names, whose user must be a
server administrator: the backend's contract and tests, the races of three processes, scripts/chaos --backend couchdb
and scripts/demo --backend couchdb. Each makes databases of its own (test_…, nonstick_chaos_…, nonstick_demo_…) and
removes them; others are not touched. The tests also make one user, member_…, and remove it.

  --seconds <number>   how long the load of chaos lasts, 5 or more           (default: 60)
  --runs <number>      so many runs of chaos, with this seed and the next    (default: 1)
  --seed <number>      which faults, and when                                (default: drawn and printed)
  --help               this text

Faults come between the processes and the server, through a proxy of ours, and to the processes and to Memcached. What
cannot be done to somebody else's server is left out: it is not killed, stopped or restarted, and no node is cut off.

The last line is JSON. It ends with 0 if everything passed, with 1 if not, with 2 for a mistake in the command line.`

/** The command line of `scripts/couchdb`, understood. */
export interface Arguments {
  readonly help: boolean
  readonly seconds: number
  readonly runs: number
  readonly seed: number | undefined
}

/** A mistake in the command line or in the environment, in words. */
export class UsageError extends Error {}

const LEAST: Readonly<Record<string, number>> = { '--seconds': 5, '--runs': 1, '--seed': 0 }

export const readArguments = (words: readonly string[]): Arguments => {
  const numbers = new Map<string, number>()
  let help = false
  for (let at = 0; at < words.length; at += 1) {
    const [name = '', inline] = (words[at] ?? '').split('=', 2)
    const least = LEAST[name]
    if (name === '--help' || name === '-h') help = true
    else if (least === undefined) throw new UsageError(`Unknown option "${words[at]}"`)
    else {
      if (inline === undefined) at += 1
      const text = inline ?? words[at] ?? ''
      if (!/^\d{1,15}$/.test(text) || Number(text) < least)
        throw new UsageError(`Expected ${name} to be followed by a whole number from ${least} up, got "${text}"`)
      numbers.set(name, Number(text))
    }
  }
  return {
    help,
    seconds: numbers.get('--seconds') ?? 60,
    runs: numbers.get('--runs') ?? 1,
    seed: numbers.get('--seed'),
  }
}

/** @throws UsageError where COUCHDB_URL names no server */
export const readServer = (text: string | undefined): string => {
  const expected = 'Expected COUCHDB_URL to be a URL such as http://admin:password@host:5984, got'
  if (text === undefined || text === '') throw new UsageError(`${expected} nothing`)
  // A password is no matter for a message.
  if (!URL.canParse(text)) throw new UsageError(`${expected} something that is none`)
  const { protocol } = new URL(text)
  if (protocol !== 'http:' && protocol !== 'https:')
    throw new UsageError(`${expected} one that begins with ${protocol}`)
  return text
}
