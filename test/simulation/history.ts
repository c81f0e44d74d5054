/*
 * What happened, as the judge reads it. Moments are the world's, in ms since it began; no process knows them.
 */

export type OperationKind =
  | 'create'
  | 'load'
  | 'save'
  | 'save shared'
  | 'save user'
  | 'update'
  | 'touch'
  | 'regenerate'
  | 'destroy'
  | 'put'
  | 'close'
  /** A call about a user, which may end a session that it does not name. */
  | 'log out'

export type Outcome =
  | { readonly is: 'ok'; readonly durability?: 'cache' | 'backend'; readonly cacheToldOfEnd?: boolean }
  /** `applied`: as the error says; `none` where it says that no change was attempted. */
  | { readonly is: 'failed'; readonly code: string; readonly applied: 'no' | 'unknown' | 'none' }
  /** The process died, or the world ended. */
  | { readonly is: 'unknown' }

/** What a session was seen to hold. */
export interface Sight {
  readonly tokens: ReadonlySet<string>
  readonly shared: string | undefined
  /** Every token in the order it stands there, twice if it stands there twice. */
  readonly log: readonly string[]
  readonly putBy: string | undefined
  /** Whose session it is. */
  readonly user?: string | undefined
  /** As the handle says. */
  readonly expiresAt: number
}

export interface Operation {
  readonly order: number
  readonly kind: OperationKind
  readonly process: string
  readonly client: string
  readonly session: string
  /** What it writes, if it writes. */
  readonly token: string | undefined
  /**
   * Other tokens of its own that a save's handle holds: those of earlier saves that were rejected; and where nothing is
   * changed but that it is to be durable, those of earlier saves that were not. Acknowledged, it acknowledges these too.
   */
  readonly carries?: readonly string[]
  /** Tokens of earlier saves that its handle holds all the same, though nobody asks whether they came in with this one. */
  readonly holds?: readonly string[]
  /** When the handle was saved first, if anything is carried. */
  readonly heldSince?: number
  /** The token of an earlier save, which its handle has taken back since. */
  readonly withdraws?: string
  /** What a request changed before it asked for a new id: under the old one this must never stand. */
  readonly login?: string
  /** Whose the session is to become; `null` for nobody's. Absent where it stays whose it is. */
  readonly becomes?: string | null
  /** It is an update whose change never settles, or settles when its caller was told that it is late. */
  readonly hangs?: boolean
  readonly invoked: number
  completed: number | undefined
  outcome: Outcome
  /** What a load gave: `undefined` for no session. */
  sight: Sight | undefined
  /** The process's own pauses while it went on. */
  pausedMs: number
  /** Calls to the cache, for this session and from this process, that failed while it went on. */
  cacheFailures: number
  /** The same for the backend. */
  backendFailures: number
  /** Calls to the backend about the user whose the session is, or is to become, that failed while it went on. */
  userFailures?: number
  /** How often the cache answered its process, while it went on, that it takes no new value. */
  refusals?: number
  /** The cache server that its process keeps this session on. Without it: there is only one. */
  readonly server?: string
}

/** What a call writes beside its kind, its token and its moments. */
export type Writes = Pick<Operation, 'carries' | 'holds' | 'heldSince' | 'withdraws' | 'login' | 'becomes' | 'hangs'>

/**
 * An operation for each token that it acknowledges, if it is acknowledged; they share their `order`. What is carried may
 * have been stored, and replaced by others, since its handle was saved first.
 */
export const writesOf = (operation: Operation): readonly Operation[] => {
  const { token, carries = [], invoked, heldSince = invoked } = operation
  const own = token === undefined ? [] : [operation]
  return carries.length === 0
    ? own
    : [...own, ...carries.map((each) => ({ ...operation, token: each, invoked: heldSince }))]
}

/** What the world did to a session, or to everyone. */
export type Disturbance =
  | {
      readonly what: 'loss'
      readonly at: number
      readonly why: string
      readonly tokens: ReadonlySet<string>
      readonly costs: boolean
    }
  /** `costs` is false where its process could reach the cache: then it has no reason to lose anything. */
  | { readonly what: 'takeover'; readonly at: number; readonly costs?: boolean }
  | { readonly what: 'cache failure'; readonly at: number }
  /** An entry whose line the backend had refused, and what stood in it alone, was removed. */
  | { readonly what: 'dropped'; readonly at: number }

export interface SessionHistory {
  readonly name: string
  readonly id: string
  readonly key: string
  /** The sessions whose data it began with, by regeneration. */
  readonly ancestors: readonly string[]
  /** The session that had the same id before, until it expired. */
  readonly follows?: string
  readonly operations: Operation[]
  readonly disturbances: Disturbance[]
  readonly backendFailures: number[]
  /** What stood only in entries, now lost, of a session that was not in the backend yet: nothing promises it. */
  readonly lostWhole?: Set<string>
  /** Before this the cache knew it as one that the backend does not have, on purpose. Unset where none is deferred. */
  deferredUntil?: number
  /** The old store has it, so that whoever cannot see it in the cache may take it over from there. */
  isInOldStore?: boolean
  /** When the backend had it first; unset while it has not, or where nobody asks. */
  persistedAt?: number
}

export interface Violation {
  /** I1 to I12, or the name of what else must hold. */
  readonly promise: string
  readonly what: string
  readonly session: string
  readonly at: number
}

export const shownOutcome = ({ outcome, sight, completed, invoked, kind }: Operation): string => {
  const after = completed === undefined ? '' : ` after ${(completed - invoked).toFixed(1)} ms`
  const seen =
    sight === undefined
      ? ''
      : ` {${[...sight.tokens].join(' ')}${sight.shared === undefined ? '' : ` shared=${sight.shared}`}}`
  if (outcome.is === 'unknown') return 'unknown'
  if (outcome.is === 'failed') return `failed ${outcome.code}, applied: ${outcome.applied}${after}`
  const gone = kind === 'load' && sight === undefined ? ' no session' : ''
  return `ok${outcome.durability === undefined ? '' : ` (${outcome.durability})`}${gone}${seen}${after}`
}
