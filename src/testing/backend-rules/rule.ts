import assert from 'node:assert/strict'
import type {
  Backend,
  BackendCopy,
  Enumerable,
  Guard,
  GuardedUpdate,
  KnowsUsers,
  StoredSession,
} from '../../contract/backend.js'
import type { Locator } from '../../contract/locator.js'
import type { EpochMs } from '../../contract/time.js'

/** What a rule is given to try. The backend is closed after the rule. */
export interface Bench {
  readonly backend: Backend
  /** The same, where it can tell what it holds. */
  readonly enumerable: (Backend & Enumerable) | undefined
  /** The same, where it keeps records of users. */
  readonly users: (Backend & KnowsUsers) | undefined
  /** The backend's clock. */
  readonly now: () => EpochMs
  /** How long after its time a session or a tombstone may still stand, as `purge` rounds. */
  readonly purgeResolutionMs: number
}

/** One sentence of the contract, and how to see whether a backend keeps it. */
export interface Rule {
  readonly title: string
  readonly check: (bench: Bench) => Promise<void>
}

export const NO_TOKEN: Uint8Array = new Uint8Array(0)

/** Fields in one form, whatever subclass of `Uint8Array` a backend hands out. */
export const plain = (session: StoredSession): object => ({
  ...session,
  writeIds: [...session.writeIds],
  data: Buffer.from(session.data).toString('base64'),
})

export const assertStands = async (backend: Backend, locator: Locator, expected: StoredSession): Promise<void> => {
  const copy = await backend.read(locator)
  if (copy.state !== 'live') assert.fail(`a live session should stand there, and it is ${copy.state}`)
  assert.deepEqual(plain(copy.session), plain(expected))
}

export const assertState = async (
  backend: Backend,
  locator: Locator,
  expected: BackendCopy['state'],
): Promise<void> => {
  assert.equal((await backend.read(locator)).state, expected)
}

export const insertNew = async (backend: Backend, locator: Locator, session: StoredSession): Promise<void> => {
  assert.equal((await backend.insert(locator, session)).outcome, 'inserted')
}

/** The next copy of `session` in the same lineage, under the guard a flush would use. */
export const nextOf = (
  locator: Locator,
  session: StoredSession,
  change: Partial<StoredSession> = {},
  guard: Partial<Guard> = {},
): GuardedUpdate => {
  const next = { ...session, version: session.version + 1, ...change }
  return {
    locator,
    session: next,
    token: NO_TOKEN,
    guard: {
      lineage: next.lineage,
      belowVersion: next.version,
      parentLineage: session.lineage,
      parentVersion: session.version,
      ...guard,
    },
  }
}

/** `count` times `make`, as an array. */
export const times = <Thing>(count: number, make: (index: number) => Thing): Thing[] =>
  Array.from({ length: count }, (_, index) => make(index))

/** The item that must be there. */
export const at = <Thing>(things: readonly Thing[], index: number): Thing => {
  const thing = things[index]
  if (thing === undefined) assert.fail(`there should be an item ${index}`)
  return thing
}
