import type { BackendKind } from './faults.js'

/** What `scripts/chaos` prints when asked for help. */
export const HELP = `Usage: scripts/chaos [options]

Three processes under load on two real memcacheds and a real PostgreSQL (or a Redis, or a stand-in for CouchDB), while wires,
servers and processes fail as a seed says. Afterwards everything heals, and the histories of all processes are checked
against the promises of docs/guarantees.md. docs/chaos.md says how to read what it prints.

  --seconds <number>   how long the load lasts, 5 or more                    (default: 60)
  --seed <number>      which faults, and when                                (default: drawn and printed)
  --runs <number>      so many runs, with this seed and the next ones        (default: 1)
  --transport <name>   what is under the cache: nonstick, or memjs as it is  (default: nonstick)
  --backend <name>     what is behind it: postgres, couchdb or redis         (default: postgres)
  --sealed             the processes seal what they keep, each third one by another key
  --keep               keeps histories and logs of a run that kept every promise too
  --help               this text

CouchDB is the one that COUCHDB_URL names, as an administrator, in databases of this run's own (nonstick_chaos_…), which
are removed at its end; it is not stopped. Without COUCHDB_URL it is a stand-in, which is.

The last line is JSON (of several runs, of the last one; each prints its own). Ends with 0 if every promise held and at
least 95 % of the requests succeeded that could, with 1 if not, with 2 for a mistake in the command line. Above the JSON
stands why it is 1 (FAILED: …), or that the machine was too busy for the requests to be judged (NOT SHOWN: …).`

/** The command line of `scripts/chaos`, understood. */
export interface Arguments {
  readonly help: boolean
  readonly seconds: number
  readonly seed: number | undefined
  readonly runs: number
  readonly transport: 'nonstick' | 'memjs'
  readonly backend: BackendKind
  readonly sealed: boolean
  readonly keep: boolean
}

/** A mistake in the command line, in words. */
export class UsageError extends Error {}

export const readArguments = (words: readonly string[]): Arguments => {
  const numbers = new Map<string, number>()
  let transport: Arguments['transport'] = 'nonstick'
  let backend: BackendKind = 'postgres'
  let help = false
  let keep = false
  let sealed = false
  for (let at = 0; at < words.length; at += 1) {
    const [name = '', inline] = (words[at] ?? '').split('=', 2)
    const value = (): string => {
      if (inline !== undefined) return inline
      at += 1
      const next = words[at]
      if (next === undefined) throw new UsageError(`Expected ${name} to be followed by a value`)
      return next
    }
    switch (name) {
      case '--help':
      case '-h':
        help = true
        break
      case '--sealed':
        sealed = true
        break
      case '--keep':
        keep = true
        break
      case '--transport': {
        const text = value()
        if (text !== 'nonstick' && text !== 'memjs')
          throw new UsageError(`Expected --transport to be nonstick or memjs, got "${text}"`)
        transport = text
        break
      }
      case '--backend': {
        const text = value()
        if (text !== 'postgres' && text !== 'couchdb' && text !== 'redis')
          throw new UsageError(`Expected --backend to be postgres, couchdb or redis, got "${text}"`)
        backend = text
        break
      }
      case '--seconds':
      case '--seed':
      case '--runs': {
        const text = value()
        const least = name === '--seconds' ? 5 : name === '--runs' ? 1 : 0
        if (!/^\d{1,15}$/.test(text) || Number(text) < least)
          throw new UsageError(`Expected ${name} to be followed by a whole number from ${least} up, got "${text}"`)
        numbers.set(name, Number(text))
        break
      }
      default:
        throw new UsageError(`Unknown option "${words[at]}"`)
    }
  }
  return {
    help,
    keep,
    sealed,
    transport,
    backend,
    seconds: numbers.get('--seconds') ?? 60,
    seed: numbers.get('--seed'),
    runs: numbers.get('--runs') ?? 1,
  }
}
