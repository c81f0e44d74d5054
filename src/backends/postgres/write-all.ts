import type { BackendState } from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import { isSessionStoreError, type SessionStoreError } from '../../errors.js'
import { writeBatch } from './batch.js'
import type { Call, Connections, Statement } from './connections.js'
import { addressOf, type Row, stateOf } from './row.js'
import { BATCH_SIZES, LARGEST_BATCH } from './statements.js'

/** One kind of write of many entries. */
export interface WritePlan<Entry, Outcome> {
  readonly statementOf: (size: number) => Statement
  /** The entry's parameters behind its key; throws for what has no place in a row. */
  readonly valuesOf: (entry: Entry) => readonly unknown[]
  readonly written: Outcome
  /** The outcome where the entry was not written; `undefined` if what stands there would take it after all. */
  readonly judge: (entry: Entry, standing: BackendState) => Outcome | undefined
  readonly failed: (error: SessionStoreError) => Outcome
}

/** Whom to ask, and by when. */
export interface Desk {
  readonly connections: Connections
  readonly lookOf: (size: number) => Statement
  readonly call: Call
}

interface Prepared<Entry> {
  readonly entry: Entry
  /** Its place in the caller's list. */
  readonly index: number
  readonly key: string
  readonly address: readonly [namespace: string, idHash: Buffer]
  readonly values: readonly unknown[]
}

/**
 * One outcome per entry, in the order given. An entry that cannot even be sent fails by itself.
 *
 * @throws StatementFailed when the server answered to none of them
 */
export const writeAll = async <Entry extends { readonly locator: Locator }, Outcome>(
  { connections, lookOf, call }: Desk,
  entries: readonly Entry[],
  plan: WritePlan<Entry, Outcome>,
): Promise<readonly Outcome[]> => {
  const outcomes = new Map<number, Outcome>()
  const sound: Prepared<Entry>[] = []
  for (const [index, entry] of entries.entries()) {
    try {
      sound.push(connections.checked(call, () => prepare(entry, index, plan)))
    } catch (error) {
      if (!isSessionStoreError(error)) throw error
      outcomes.set(index, plan.failed(error))
    }
  }
  // In the order of their keys, so that two processes with the same sessions meet at the first of them.
  sound.sort((one, other) => (one.key < other.key ? -1 : 1))
  const written = await writeBatch(sound, {
    bytesOf: ({ values }) => values.reduce<number>((sum, value) => sum + bytesOf(value), 0),
    write: async (part) => {
      const rows = part.map(({ address, values }) => [...address, ...values])
      return new Set((await runMany(connections, call, plan.statementOf, rows)).keys())
    },
    look: async (part) => {
      const rows = part.map(({ address }) => address)
      const found = await runMany(connections, { ...call, isChange: false, isRepeatable: true }, lookOf, rows)
      return part.map((_, position) => stateOf(found.get(position)))
    },
    written: plan.written,
    judge: ({ entry }, standing) => plan.judge(entry, standing),
    failed: plan.failed,
    untouched: (because) => plan.failed(connections.untouched(call, because)),
  })
  for (const [place, outcome] of written.entries()) {
    const index = sound[place]?.index
    if (index !== undefined) outcomes.set(index, outcome)
  }
  return [...outcomes].sort(([one], [other]) => one - other).map(([, outcome]) => outcome)
}

/** Everything but a session's data is small. */
const bytesOf = (value: unknown): number => (value instanceof Uint8Array ? value.byteLength : 16)

const prepare = <Entry extends { readonly locator: Locator }, Outcome>(
  entry: Entry,
  index: number,
  plan: WritePlan<Entry, Outcome>,
): Prepared<Entry> => {
  const { key } = entry.locator
  const { namespace, idHash } = addressOf(key)
  return { entry, index, key, address: [namespace, idHash], values: plan.valuesOf(entry) }
}

/** One statement for many rows, padded to its size; the rows it returned, by position. */
const runMany = async (
  connections: Connections,
  call: Call,
  statementOf: (size: number) => Statement,
  rows: readonly (readonly unknown[])[],
): Promise<ReadonlyMap<number, Row>> => {
  const size = BATCH_SIZES.find((candidate) => candidate >= rows.length) ?? LARGEST_BATCH
  const padding = new Array<null>((size - rows.length) * (rows[0]?.length ?? 0)).fill(null)
  const result = await connections.run(call, statementOf(size), [...rows.flat(), ...padding])
  return new Map(result.rows.map((row) => [Number(row['position']), row]))
}
