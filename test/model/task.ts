import type {
  BackendCopy,
  BackendState,
  BackendToken,
  DestroyOutcome,
  Guard,
  InsertOutcome,
  StoredSession,
  WriteId,
} from '../../src/contract/backend.js'
import type { LiveEnvelope } from '../../src/session/envelope.js'

/*
 * What an actor is doing, as data. It has asked a tier for something (the command), and a frame says which step
 * takes the answer, with the values that step still needs. Steps are functions that capture nothing but the
 * rules, so that an actor's state is wholly what its task holds, and two tasks that look alike behave alike.
 */

/** A cache's compare-and-set token: generation of the server, and its count of changes since it started. */
export type Token = number

/** What stands in the cache, as `CacheTier.get` tells it. */
export type EntryState =
  | { readonly state: 'live'; readonly envelope: LiveEnvelope; readonly token: Token }
  | { readonly state: 'lease'; readonly token: Token }
  /** The session is in the backend alone: it is too large. */
  | { readonly state: 'large'; readonly token: Token }
  | { readonly state: 'tombstone'; readonly isAlone?: true }
  /** Somebody found a moment ago that nothing stands in the backend. */
  | { readonly state: 'nothing'; readonly token: Token; readonly trustedAt: number }
  | { readonly state: 'missing' }

export type PutOutcome =
  | { readonly outcome: 'stored'; readonly token: Token }
  | { readonly outcome: 'conflict' | 'missing' | 'too-large' }
  /** `no`: the cache was out of reach from the start. */
  | { readonly outcome: 'lost'; readonly applied: 'no' | 'unknown' }

/** A command to a tier. Those marked as weak exist for the mutations only. */
export type Command =
  | { readonly to: 'cache'; readonly op: 'get' }
  /** Where nothing stands, or over the entry that `over` saw. */
  | { readonly to: 'cache'; readonly op: 'lease'; readonly over?: Token | undefined }
  | {
      readonly to: 'cache'
      readonly op: 'cas'
      readonly value: LiveEnvelope
      readonly token: Token
      /** Of a change by a handle: the session that the handle holds, by the era in which it was made. */
      readonly of?: number | undefined
    }
  | { readonly to: 'cache'; readonly op: 'put tombstone'; readonly token: Token; readonly isAlone?: true }
  /** Over the entry that `token` saw, or else where nothing stands. */
  | { readonly to: 'cache'; readonly op: 'mark'; readonly token: Token | undefined }
  /** The mark that nothing stands in the backend, over the lease under which that was found. */
  | { readonly to: 'cache'; readonly op: 'put nothing'; readonly token: Token; readonly trustedAt: number }
  | { readonly to: 'cache'; readonly op: 'remove'; readonly token: Token }
  | { readonly to: 'cache'; readonly op: 'set tombstone' }
  /** Weak. */
  | { readonly to: 'cache'; readonly op: 'set' | 'add'; readonly value: LiveEnvelope }
  /** Weak. */
  | { readonly to: 'cache'; readonly op: 'delete' }
  | { readonly to: 'backend'; readonly op: 'read' }
  | {
      readonly to: 'backend'
      readonly op: 'insert'
      readonly session: StoredSession
      readonly bound: Bound
      /** The copy of a session that has expired, whose place it takes. */
      readonly over?: { readonly lineage: string; readonly version: number } | undefined
    }
  | { readonly to: 'backend'; readonly op: 'update'; readonly guard: Guard; readonly session: StoredSession }
  | {
      readonly to: 'backend'
      readonly op: 'destroy'
      /** The regeneration whose tombstone it is, by its write; other destroyers need not be told apart. */
      readonly write: number | undefined
      readonly only?: { lineage: string; version: number }
      /** Nothing is put where no session stands. */
      readonly leavesNothing?: true
    }
  | { readonly to: 'backend'; readonly op: 'extend' }
  /** Removes a tombstone whose time is up, or a session that has expired. */
  | { readonly to: 'backend'; readonly op: 'purge'; readonly isDeferred: boolean }
  /** The row of the id that a regeneration moves to, named by its write; nobody else knows it yet. */
  | { readonly to: 'backend'; readonly op: 'put new'; readonly write: number; readonly session: StoredSession }
  | { readonly to: 'backend'; readonly op: 'destroy new'; readonly write: number }

/**
 * How late an insert still counts: while the call that creates the session is under way, or as long as the session may
 * live. Weak ones have no bound.
 */
export type Bound = 'call' | 'life' | undefined

export type Refusable =
  | { readonly outcome: 'applied'; readonly token: BackendToken }
  /** `mayBeIn`: sent before without an answer, it may have been applied then, and replaced since. */
  | { readonly outcome: 'refused'; readonly row: BackendState; readonly mayBeIn?: boolean }
  | 'unavailable'

export type RowTold = DestroyOutcome | 'unavailable'

export type Answer =
  | EntryState
  | PutOutcome
  | BackendCopy
  | InsertOutcome
  | Refusable
  | 'unreachable'
  | 'unavailable'
  | 'told'
  | 'removed'
  | 'conflict'
  | 'lost'
  | DestroyOutcome
  | 'extended'
  | 'absent'

/** A live session as it stands in the cache, with the token to change it by. */
export interface InCache {
  readonly state: 'live'
  readonly where: 'cache'
  readonly envelope: LiveEnvelope
  readonly token: Token
}

/** A live session read round the cache, in the backend's own lineage. */
export interface InBackend {
  readonly state: 'live'
  readonly where: 'backend'
  readonly envelope: LiveEnvelope
  readonly why: 'unreachable' | 'too-large' | 'patience'
}

/** A session as its caller holds it from one save to the next. */
export interface Held {
  readonly [name: string]: unknown
  /** What the handle takes for standing. */
  readonly seen: InCache | InBackend
  /** The data that it takes for stored: what differs from it in `data` is what the caller changed. */
  readonly view: Uint8Array
  readonly data: Uint8Array
  /** What stood without those changes of the caller's that are not known to be in the backend. */
  readonly anchor: Uint8Array
  /** The write id of the last of these changes, if there is one. */
  readonly ids: readonly WriteId[]
}

/** What a process does for one request, or owes since an earlier one. */
export type Op =
  | { readonly do: 'save'; readonly write: number; readonly durable: boolean }
  /** By the handle of the operation before; `isChanged`: with another change, which is `write`. */
  | { readonly do: 'save again'; readonly write: number; readonly durable: boolean; readonly isChanged: boolean }
  /** Its tries may each have a write id of their own: `write`, and the numbers after it. */
  | { readonly do: 'update'; readonly write: number }
  | { readonly do: 'create' | 'put' | 'regenerate'; readonly write: number }
  | { readonly do: 'read' | 'flush' | 'read and flush' | 'touch' | 'destroy' | 'drain' | 'purge' }
  | { readonly do: 'repair' | 'destroy again' | 'put tombstone' }
  /** A regeneration failed: nobody will be told the new id. */
  | { readonly do: 'forget'; readonly write: number }
  | { readonly do: 'place'; readonly envelope: LiveEnvelope; readonly token?: Token }
  /** A regeneration failed: the version that it froze is given to its writers again, or removed. */
  | {
      readonly do: 'give back'
      readonly halted: { readonly lineage: string; readonly version: number }
      readonly isRemoved: boolean
    }

/** What nobody waits for, and what ends with the process. */
export const IN_BACKGROUND: ReadonlySet<Op['do']> = new Set([
  'repair',
  'destroy again',
  'put tombstone',
  'forget',
  'place',
  'give back',
])

/** `cache only`: it was to be flushed, and the backend did not answer. */
export type WriteStatus =
  | 'acked'
  | 'durable'
  | 'not applied'
  | 'unknown'
  | 'gave up'
  | 'gave up, unknown'
  | 'dropped'
  | 'cache only'

/** How an operation of an actor ended; `record.ts` writes it into the record that the properties read. */
export type Ending =
  /** `asked`: all data that the caller wanted to be stored, where that may be more than the one write. */
  | {
      readonly did: 'write'
      readonly write: number
      readonly status: WriteStatus
      readonly asked?: Uint8Array | undefined
      /** The session that was written to, by the era in which it was made. */
      readonly of?: number | undefined
    }
  | { readonly did: 'read'; readonly writes: number | 'none' }
  | { readonly did: 'destroy'; readonly status: 'acked' | 'cache unreachable' | 'rejected' }
  | { readonly did: 'regenerate'; readonly status: 'acked' | 'failed' | 'unknown' }
  | { readonly did: 'flush'; readonly left: boolean }
  | { readonly did: 'create'; readonly status: 'acked' | 'failed' }
  | { readonly did: 'nothing' }

/** What a step may ask of its process. */
export interface Around {
  /** A lineage that nobody has had. */
  lineage(): string
  /** Counts the outages of the cache that have ended, from 1: the only times the model tells apart. */
  readonly now: number
  /** Entries with an older stamp are from before an outage that this process saw. */
  readonly trustFrom: number
  /** The era that it is: what is made now is of this era. */
  readonly era: number
  /** Sessions of this era and older ones have expired. */
  readonly ended: number
}

export type Vars = Readonly<Record<string, unknown>>

/** Which step takes the answer, and with what. */
export interface Frame<A> {
  readonly step: number
  readonly vars: Vars
  readonly resume: (answer: A, around: Around) => Task
}

export type Task =
  | { readonly at: 'asking'; readonly command: Command; readonly next: Frame<never> }
  /** Either may happen: which, is decided by times that the model does not have. */
  | { readonly at: 'crossroads'; readonly ways: readonly Task[] }
  | {
      readonly at: 'end'
      readonly ending: Ending
      /** The next operations to do before any other, in the background of the process. */
      readonly owes: readonly Op[]
      /** The caller's handle, for its next operation. */
      readonly held?: Held | undefined
      /** What the ledger is told: the version up to which it may forget, then one that the backend does not have. */
      readonly forgets?: number | undefined
      readonly notes?: number | undefined
    }

/** An operation that has ended. */
export type Ended = Extract<Task, { at: 'end' }>

const steps = new Map<unknown, number>()

const numberOf = (step: unknown): number => {
  let number = steps.get(step)
  if (number === undefined) {
    number = steps.size
    steps.set(step, number)
  }
  return number
}

/** The rest of an actor's work after an answer. `step` captures nothing but the rules. */
export const frame = <A, V extends Vars>(step: (answer: A, vars: V, around: Around) => Task, vars: V): Frame<A> => ({
  step: numberOf(step),
  vars,
  resume: (answer, around) => step(answer, vars, around),
})

const asking =
  <A>() =>
  (command: Command, next: Frame<A>): Task => ({ at: 'asking', command, next: next as Frame<never> })

/* The commands, each with the type of its answer. */

export const get = (then: Frame<EntryState | 'unreachable'>): Task =>
  asking<EntryState | 'unreachable'>()({ to: 'cache', op: 'get' }, then)
export const lease = (then: Frame<PutOutcome>, over?: Token): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'lease', over }, then)
export const cas = (value: LiveEnvelope, token: Token, then: Frame<PutOutcome>, of?: number): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'cas', value, token, of }, then)
export const putTombstone = (token: Token, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'put tombstone', token }, then)
export const mark = (token: Token | undefined, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'mark', token }, then)
export const putNothing = (token: Token, trustedAt: number, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'put nothing', token, trustedAt }, then)
/** `lost`: the cache could not be told. */
export const remove = (token: Token, then: Frame<'removed' | 'conflict' | 'lost'>): Task =>
  asking<'removed' | 'conflict' | 'lost'>()({ to: 'cache', op: 'remove', token }, then)
export const setTombstone = (then: Frame<'told' | 'lost' | 'unreachable'>): Task =>
  asking<'told' | 'lost' | 'unreachable'>()({ to: 'cache', op: 'set tombstone' }, then)
export const set = (value: LiveEnvelope, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'set', value }, then)
export const add = (value: LiveEnvelope, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'add', value }, then)
export const deleteBlindly = (then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'delete' }, then)

export const read = (then: Frame<BackendCopy | 'unavailable'>): Task =>
  asking<BackendCopy | 'unavailable'>()({ to: 'backend', op: 'read' }, then)
export const insert = (
  session: StoredSession,
  bound: Bound,
  then: Frame<InsertOutcome | 'unavailable'>,
  over?: { readonly lineage: string; readonly version: number },
): Task => asking<InsertOutcome | 'unavailable'>()({ to: 'backend', op: 'insert', session, bound, over }, then)
export const update = (guard: Guard, session: StoredSession, then: Frame<Refusable>): Task =>
  asking<Refusable>()({ to: 'backend', op: 'update', guard, session }, then)
export const destroyRow = (then: Frame<RowTold>): Task =>
  asking<RowTold>()({ to: 'backend', op: 'destroy', write: undefined }, then)
/** The same, which leaves nothing where no session stands. */
export const destroyStanding = (then: Frame<RowTold>): Task =>
  asking<RowTold>()({ to: 'backend', op: 'destroy', write: undefined, leavesNothing: true }, then)
/** Over the entry of a session that stands in the cache alone. */
export const endAlone = (token: Token, then: Frame<PutOutcome>): Task =>
  asking<PutOutcome>()({ to: 'cache', op: 'put tombstone', token, isAlone: true }, then)
/** By a regeneration: only this very copy, or whatever stands there. */
export const replaceRow = (
  write: number,
  only: { lineage: string; version: number } | undefined,
  then: Frame<RowTold>,
): Task => asking<RowTold>()({ to: 'backend', op: 'destroy', write, ...(only === undefined ? {} : { only }) }, then)
export const extend = (then: Frame<'extended' | 'destroyed' | 'absent' | 'unavailable'>): Task =>
  asking<'extended' | 'destroyed' | 'absent' | 'unavailable'>()({ to: 'backend', op: 'extend' }, then)
export const purge = (isDeferred: boolean, next: Frame<'told' | 'unavailable'>): Task =>
  asking<'told' | 'unavailable'>()({ to: 'backend', op: 'purge', isDeferred }, next)
export const putNew = (write: number, session: StoredSession, then: Frame<'told' | 'unavailable'>): Task =>
  asking<'told' | 'unavailable'>()({ to: 'backend', op: 'put new', write, session }, then)
export const destroyNew = (write: number, then: Frame<'told' | 'unavailable'>): Task =>
  asking<'told' | 'unavailable'>()({ to: 'backend', op: 'destroy new', write }, then)

export const end = (ending: Ending, ...owes: readonly Op[]): Ended => ({ at: 'end', ending, owes })
export const either = (...ways: readonly Task[]): Task => ({ at: 'crossroads', ways })
