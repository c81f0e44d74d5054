/** What `scripts/simulate` prints when asked for help. */
export const HELP = `Usage: scripts/simulate [options]

The real store in a simulated world: processes, clocks, a network, a cache and a backend that fail as a seed says.
Every schedule is checked against the promises of docs/guarantees.md; then weaker protocols are run, each of which
has to be caught.

  --seeds <number>     how many schedules, from 1 up                               (default: 20000)
  --from <number>      the first of them                                           (default: 1)
  --seed <number>      runs this one alone, and prints its history
  --control <name>     with --seed: the weaker protocol whose name begins so
  --shrink             with --seed: looks for fewer faults and operations that break the same promise
  --without <faults>   with --seed: leaves out these kinds of faults, separated by commas
  --operations <n>     with --seed: starts no more operations than this
  --sealed             seals every schedule, in place of one in seven
  --no-controls        leaves the weaker protocols out
  --record             tries each weaker protocol first on the seed that caught it before, as the tests do, and
                       writes the seeds that caught them into test/simulation/caught-by.json
  --help               this text

The last line is JSON: {"schedules":…,"violations":…,"controls":…,"caught":…,"faults":{…}}, where each fault's number
is how many schedules it happened in. Ends with 0 if every promise held, each kind of fault happened in at least one
schedule in a hundred and each weaker protocol was caught, with 1 if not, with 2 for a mistake in the command line.`

/** The command line of `scripts/simulate`, understood. */
export interface Arguments {
  readonly help: boolean
  readonly seeds: number
  readonly from: number
  readonly seed: number | undefined
  readonly control: string | undefined
  readonly controls: boolean
  readonly record: boolean
  readonly shrink: boolean
  readonly sealed: boolean
  readonly without: readonly string[]
  readonly operations: number | undefined
}

/** A mistake in the command line, in words. */
export class UsageError extends Error {}

export const DEFAULT_SEEDS = 20_000

export const readArguments = (words: readonly string[]): Arguments => {
  const numbers = new Map<string, number>()
  let control: string | undefined
  let help = false
  let shrink = false
  let sealed = false
  let without: readonly string[] = []
  let controls = true
  let record = false
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
      case '--no-controls':
        controls = false
        break
      case '--record':
        record = true
        break
      case '--shrink':
        shrink = true
        break
      case '--sealed':
        sealed = true
        break
      case '--without':
        without = value().split(',')
        break
      case '--control':
        control = value()
        break
      case '--seeds':
      case '--from':
      case '--seed':
      case '--operations': {
        const text = value()
        if (!/^\d{1,15}$/.test(text) || (name === '--seeds' && Number(text) === 0))
          throw new UsageError(`Expected ${name} to be followed by a whole number, got "${text}"`)
        numbers.set(name, Number(text))
        break
      }
      default:
        throw new UsageError(`Unknown option "${words[at]}"`)
    }
  }
  return {
    help,
    controls,
    record,
    control,
    shrink,
    sealed,
    without,
    operations: numbers.get('--operations'),
    seeds: numbers.get('--seeds') ?? DEFAULT_SEEDS,
    from: numbers.get('--from') ?? 1,
    seed: numbers.get('--seed'),
  }
}
