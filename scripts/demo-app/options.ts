import type { BackendKind } from './behind.js'

/** What was typed after `scripts/demo`, which itself answers `--help` and explains each option. */
export interface DemoOptions {
  /** Drive the cluster and report, rather than serve the page. */
  readonly once: boolean
  /** With `once`: serve the page after the report, until Ctrl-C. */
  readonly keepOpen: boolean
  /** Where the page is served; 0 takes a free port. */
  readonly port: number
  readonly maxStaleCount: number
  /** What stands behind Memcached. */
  readonly backend: BackendKind
}

/** A mistake in the command line: shown without a stack, and the program ends with 2. */
export class UsageError extends Error {}

const integer = (option: string, text: string | undefined, lowest: number, highest: number): number => {
  const value = text !== undefined && /^\d+$/.test(text) ? Number(text) : Number.NaN
  if (Number.isInteger(value) && value >= lowest && value <= highest) return value
  const got = text === undefined ? 'nothing' : JSON.stringify(text)
  throw new UsageError(`Expected \`${option}\` to be a whole number from ${lowest} to ${highest}, got ${got}`)
}

const backendKind = (option: string, text: string | undefined): BackendKind => {
  if (text === 'postgres' || text === 'couchdb') return text
  const got = text === undefined ? 'nothing' : JSON.stringify(text)
  throw new UsageError(`Expected \`${option}\` to be postgres or couchdb, got ${got}`)
}

/** @throws UsageError naming the option as it was typed */
export const parseOptions = (args: readonly string[]): DemoOptions => {
  let options: DemoOptions = { once: false, keepOpen: false, port: 0, maxStaleCount: 10, backend: 'postgres' }
  // `--port=8080` is taken as `--port 8080`.
  const words = args.flatMap((word) =>
    word.startsWith('--') && word.includes('=')
      ? [word.slice(0, word.indexOf('=')), word.slice(word.indexOf('=') + 1)]
      : [word],
  )
  for (let at = 0; at < words.length; at++) {
    const word = words[at]
    switch (word) {
      case '--once':
        options = { ...options, once: true }
        break
      case '--keep-open':
        options = { ...options, keepOpen: true }
        break
      case '--port':
        options = { ...options, port: integer(word, words[++at], 0, 65_535) }
        break
      case '--max-stale-count':
        options = { ...options, maxStaleCount: integer(word, words[++at], 1, 1_000_000) }
        break
      case '--backend':
        options = { ...options, backend: backendKind(word, words[++at]) }
        break
      default:
        throw new UsageError(`Unknown option ${JSON.stringify(word)}`)
    }
  }
  return options
}
