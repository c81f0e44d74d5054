// @ts-check
// The command line of `scripts/demo`. Plain JavaScript, since it is read before anything is installed or built.

/**
 * What stands behind Memcached.
 *
 * @typedef {'postgres' | 'couchdb' | 'redis'} BackendKind
 */

/**
 * What was typed after `scripts/demo`; `HELP` explains each option.
 *
 * @typedef {object} DemoOptions
 * @property {boolean} help Explain the options, and do nothing else.
 * @property {boolean} once Drive the cluster and report, rather than serve the page.
 * @property {boolean} keepOpen With `once`: serve the page after the report, until Ctrl-C.
 * @property {number} port Where the page is served; 0 takes a free port.
 * @property {number} maxStaleCount
 * @property {BackendKind} backend
 * @property {boolean} sealed The processes seal what they keep.
 */

const OPTIONS = `Options
  --once                      drive the cluster, report, end
  --port <number>             where the page is served                       (default: a free port)
  --backend <name>            postgres, couchdb or redis                        (default: postgres)
  --max-stale-count <number>  the backend is written on every n-th change of a session; losing
                              Memcached costs at most n - 1 of them                   (default: 10)
  --sealed                    the stores seal what they keep, under a key that is drawn for this run
  --keep-open                 with --once: serve the page afterwards, until Ctrl-C
  --help                      explain all this`

/** What `scripts/demo --help` prints. */
export const HELP = `scripts/demo: sessions of three processes, Memcached in front, PostgreSQL, CouchDB or Redis behind

Usage
  scripts/demo                serve a page on this machine until Ctrl-C
  scripts/demo --once         drive the cluster by itself, report, end

${OPTIONS}

Environment
  DATABASE_URL, or PGHOST and its like   a PostgreSQL to use, as a role that may create roles and
                                         databases; without them the demo starts a server of its own
  COUCHDB_URL                            a CouchDB to use, as an administrator; without it a stand-in

The last line of --once is JSON; docs/demo.md reads it field by field. It ends with 0 if every answer
was right, 1 if not or if something could not be started, 2 for a mistake in the command line.`

/** A mistake in the command line; the message says what was expected, and the program ends with 2. */
export class UsageError extends Error {}

/** @type {(text: string | undefined) => string} */
const quoted = (text) => (text === undefined ? 'nothing' : JSON.stringify(text))

/** @type {(option: string, text: string | undefined, lowest: number, highest: number) => number} */
const integer = (option, text, lowest, highest) => {
  const value = text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value
  throw new UsageError(`Expected \`${option}\` to be a whole number from ${lowest} to ${highest}, got ${quoted(text)}`)
}

/** @type {(option: string, text: string | undefined) => BackendKind} */
const backendKind = (option, text) => {
  if (text === 'postgres' || text === 'couchdb' || text === 'redis') return text
  throw new UsageError(`Expected \`${option}\` to be postgres, couchdb or redis, got ${quoted(text)}`)
}

/**
 * Reads the command line. `--port=8080` is taken as `--port 8080`.
 *
 * @param {readonly string[]} args
 * @returns {DemoOptions}
 * @throws {UsageError} naming the option as it was typed
 */
export const parseOptions = (args) => {
  /** @type {DemoOptions} */
  const options = {
    help: false,
    once: false,
    keepOpen: false,
    port: 0,
    maxStaleCount: 10,
    backend: 'postgres',
    sealed: false,
  }
  const words = args.flatMap((word) =>
    word.startsWith('--') && word.includes('=')
      ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]
      : [word],
  )
  for (let at = 0; at < words.length; at++) {
    const word = words[at] ?? ''
    switch (word) {
      case '--help':
      case '-h':
        options.help = true
        break
      case '--once':
        options.once = true
        break
      case '--sealed':
        options.sealed = true
        break
      case '--keep-open':
        options.keepOpen = true
        break
      case '--port':
        options.port = integer(word, words[++at], 0, 65_535)
        break
      case '--max-stale-count':
        options.maxStaleCount = integer(word, words[++at], 1, 1_000_000)
        break
      case '--backend':
        options.backend = backendKind(word, words[++at])
        break
      default:
        throw new UsageError(`Unknown option ${quoted(word)}\n\n${OPTIONS}`)
    }
  }
  return options
}
