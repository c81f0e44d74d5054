import type { BackendState } from '../../contract/backend.js'
import type { SessionStoreError } from '../../errors.js'
import { inHalves } from '../../tools/halves.js'
import { StatementFailed } from './connections.js'
import { LARGEST_BATCH } from './statements.js'

/** What a batch does with its entries; `part` is never larger than the largest statement. */
export interface BatchSteps<Entry, Outcome> {
  /** How many bytes an entry takes in a statement, about. */
  bytesOf(entry: Entry): number
  /** One statement; which entries it wrote, by their places in `part`. */
  write(part: readonly Entry[]): Promise<ReadonlySet<number>>
  /** What stands where each entry of `part` would have gone. */
  look(part: readonly Entry[]): Promise<readonly BackendState[]>
  readonly written: Outcome
  /** The outcome of an entry that was not written; `undefined` if what stands there now would take it. */
  judge(entry: Entry, standing: BackendState): Outcome | undefined
  failed(error: SessionStoreError): Outcome
  /** Of an entry that was certainly not written. */
  untouched(because: string): Outcome
}

/** A row that changes between the write and the look is tried again this often. */
const LOOKS = 3

const BEFORE_ITS_TURN = 'the connection failed before its turn'

/** A statement holds no more than this unless it holds but one entry: pg and the server both keep all of it in memory. */
const LARGEST_STATEMENT_BYTES = 4 * 1024 * 1024

/** The entries in their order, in parts that make one statement each. */
const partsOf = <Entry>(entries: readonly Entry[], bytesOf: (entry: Entry) => number): readonly Entry[][] => {
  const parts: Entry[][] = []
  let bytes = 0
  for (const entry of entries) {
    const last = parts.at(-1)
    const more = bytesOf(entry)
    if (last === undefined || last.length === LARGEST_BATCH || bytes + more > LARGEST_STATEMENT_BYTES) {
      parts.push([entry])
      bytes = more
    } else {
      last.push(entry)
      bytes += more
    }
  }
  return parts
}

/**
 * Writes the entries in statements that are bounded in number and bytes, one after the other, and gives one outcome
 * each, in their order. The entries come in the order of their keys.
 *
 * @throws StatementFailed when the server answered to none of them
 */
export const writeBatch = async <Entry, Outcome>(
  entries: readonly Entry[],
  steps: BatchSteps<Entry, Outcome>,
): Promise<readonly Outcome[]> => {
  const outcomes: Outcome[] = []
  let answered = false
  let broken: StatementFailed | undefined
  for (const part of partsOf(entries, (entry) => steps.bytesOf(entry))) {
    if (broken !== undefined) {
      outcomes.push(...part.map(() => steps.untouched(BEFORE_ITS_TURN)))
      continue
    }
    const written = await writePart(part, steps)
    outcomes.push(...written.outcomes)
    answered ||= written.answered
    broken = written.broken
  }
  if (broken !== undefined && !answered) throw broken
  return outcomes
}

interface Written<Outcome> {
  readonly outcomes: readonly Outcome[]
  /** The server said something about at least one entry. */
  readonly answered: boolean
  /** Why there is no use in going on. */
  readonly broken: StatementFailed | undefined
}

/**
 * One statement for all entries; where the server has rolled it back because of a value, the entries are tried again in
 * halves, until that value stands alone.
 */
const writePart = async <Entry, Outcome>(
  part: readonly Entry[],
  steps: BatchSteps<Entry, Outcome>,
  looksLeft: number = LOOKS,
): Promise<Written<Outcome>> => {
  let answered = false
  let broken: StatementFailed | undefined
  const outcomes = await inHalves(part, async (half): Promise<readonly Outcome[] | undefined> => {
    if (broken !== undefined) return half.map(() => steps.untouched(BEFORE_ITS_TURN))
    let written: ReadonlySet<number>
    try {
      written = await steps.write(half)
    } catch (raised) {
      if (!(raised instanceof StatementFailed)) throw raised
      const { kind, error } = raised.fault
      if (kind === 'value' || kind === 'conflict') answered = true
      else broken = raised
      return kind === 'value' && half.length > 1 ? undefined : half.map(() => steps.failed(error))
    }
    answered = true
    const left = half.filter((_, index) => !written.has(index))
    const rest = await judgeRest(left, steps, looksLeft)
    broken = rest.broken
    const others = rest.outcomes[Symbol.iterator]()
    return half.map((_, index) => (written.has(index) ? steps.written : (others.next().value as Outcome)))
  })
  return { outcomes, answered, broken }
}

/** Asks why the rest was not written. Whatever goes wrong from here on, it was not. */
const judgeRest = async <Entry, Outcome>(
  rest: readonly Entry[],
  steps: BatchSteps<Entry, Outcome>,
  looksLeft: number,
): Promise<{ readonly outcomes: readonly Outcome[]; readonly broken: StatementFailed | undefined }> => {
  if (rest.length === 0) return { outcomes: [], broken: undefined }
  let standing: readonly BackendState[]
  try {
    standing = await steps.look(rest)
  } catch (raised) {
    if (!(raised instanceof StatementFailed)) throw raised
    return {
      outcomes: rest.map(() => steps.untouched('it was not written, and why could not be asked')),
      broken: raised,
    }
  }
  const judged = rest.map((entry, index) => steps.judge(entry, standing[index] ?? { state: 'absent' }))
  const open = rest.filter((_, index) => judged[index] === undefined)
  const again =
    open.length === 0 || looksLeft === 1
      ? { outcomes: open.map(() => steps.untouched('what stands there keeps changing')), broken: undefined }
      : await writePart(open, steps, looksLeft - 1)
  const others = again.outcomes[Symbol.iterator]()
  return {
    outcomes: judged.map((outcome) => outcome ?? (others.next().value as Outcome)),
    broken: again.broken,
  }
}
