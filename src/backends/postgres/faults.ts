import { type Applied, SessionStoreError, tierUnavailable } from '../../errors.js'
import { DeadlinePassed } from '../../tools/deadline.js'
import { isError } from '../../tools/is-error.js'
import { UnreadAnswer } from './answer-meter.js'
import { networkReason } from './network-words.js'
import { SET_UP_CURE } from './schema-version.js'
import { meaningOf, shownText } from './sqlstates.js'

/** What went wrong, as far as it decides what to do next. */
export type FaultKind =
  /** The server rolled it back because of others; the same statement may be sent again at once. */
  | 'conflict'
  /** The server refused a value, of one entry perhaps. */
  | 'value'
  /** A table, schema, column or database is missing. */
  | 'schema'
  /** The server answered, and would not. */
  | 'refused'
  /** There was no connection to be had. */
  | 'unreachable'
  /** The connection broke under the statement. */
  | 'lost'
  /** No answer came in time. */
  | 'late'
  /** An answer came that was larger than it may be, or none that can be read, and was not read to its end. */
  | 'unread'

export interface Fault {
  readonly kind: FaultKind
  readonly error: SessionStoreError
  /** Why, in the words that end the error's message. */
  readonly because: string
  /** Whether it says something of the connection it came by, which may be true of no other. */
  readonly blames: 'connection' | 'nothing'
}

/** The answer came, and said that this connection is not fit for our work. Nothing was changed. */
export class Unfit extends Error {
  override get name(): string {
    return 'Unfit'
  }
}

export interface FaultContext {
  /** `postgres 127.0.0.1:5432` */
  readonly tier: string
  readonly operation: string
  /** The quoted table. */
  readonly relation: string
  /** A change was asked for, so its error says whether it was applied. */
  readonly isChange: boolean
  /** The statement went out, so that a lost answer leaves it open whether it was applied. */
  readonly wasSent: boolean
}

const SCHEMA_STATES = new Set(['3D000', '3F000', '42703', '42P01', '42P10'])
const CONFLICT_STATES = new Set(['40001', '40P01'])

/**
 * The connection ends with these, at any moment of the statement, and the server or the way to it with many of them:
 * class 08, a connection that failed or, from a pooler, could not be made; 57P, the server is stopped, starts, or has
 * lost the database; 25P03, 25P04 and 57P05, the connection was idle or in a transaction for too long.
 */
const ENDED = /^(?:08...|57P..|25P0[34])$/

/** Nobody is let in as this user: no call would be answered, so it is no answer to this one. */
const NOT_LET_IN = /^28/

/**
 * What somebody else can have done to a connection that is used in turns, or what a connection keeps from the time
 * before a failover: it only reads (25006), its prepared statements are gone (26000), foreign (42P05) or outdated
 * (0A000), its transaction has failed (25P02), its role is another (42501), its time-out too short (57014).
 */
const CONNECTION_STATES = new Set(['25006', '26000', '42P05', '0A000', '25P02', '42501', '57014'])

/**
 * A value of an entry was refused: class 22, it is none of its column's; 23, a constraint forbids it; 54, it is too large.
 * 22023 is of the class as well, and is said of settings alone, to whoever connects.
 */
const VALUE_STATES = /^(?:22(?!023)|23|54)/

/** What pg or the socket raised, as the contract's error. */
export const faultOf = (raised: unknown, context: FaultContext): Fault => {
  const sqlState = sqlStateOf(raised)
  const undone = { ...context, wasSent: false }
  if (raised instanceof DeadlinePassed) return unavailable('late', raised, context, 'no answer came in time')
  if (raised instanceof Unfit) return { ...refused(raised, undone, raised.message), blames: 'connection' }
  if (raised instanceof UnreadAnswer) return unavailable('unread', raised, context, raised.message, true)
  const broken = context.wasSent ? 'lost' : 'unreachable'
  if (sqlState === undefined) return unavailable(broken, raised, context, networkReason(raised))
  const text = isError(raised) ? raised.message : ''
  const cause = withoutData(raised, sqlState, text)
  if (SCHEMA_STATES.has(sqlState)) {
    const because = missing(sqlState, context.relation)
    return { kind: 'schema', error: schemaUnfit(because, cause, context), because, blames: 'nothing' }
  }
  const reason = meaningOf(sqlState, text)
  if (ENDED.test(sqlState)) return unavailable(broken, cause, context, reason)
  // Said of a transaction whose end somebody in between lost sight of.
  if (sqlState === '40003') return unavailable('lost', cause, context, reason)
  // Any other error from the server means that the statement was rolled back, or was never begun.
  if (CONFLICT_STATES.has(sqlState)) return { ...refused(cause, undone, reason), kind: 'conflict' }
  if (VALUE_STATES.test(sqlState))
    return { kind: 'value', error: valueRefused(reason, cause, context), because: reason, blames: 'nothing' }
  if (NOT_LET_IN.test(sqlState)) return unavailable('unreachable', cause, undone, reason)
  return { ...refused(cause, undone, reason), blames: CONNECTION_STATES.has(sqlState) ? 'connection' : 'nothing' }
}

/** A value that Postgres cannot keep; trying again will not help. */
export const valueRefused = (
  reason: string,
  cause: unknown,
  context: Pick<FaultContext, 'tier' | 'operation' | 'isChange'>,
): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_DATA',
    `${context.tier} cannot keep a value it was given to ${context.operation}: ${reason}`,
    {
      cause,
      tier: context.tier,
      operation: context.operation,
      ...(context.isChange ? { applied: 'no' as const } : {}),
    },
  )

/** The server is there, and its table is not what this program needs. */
export const schemaUnfit = (
  because: string,
  cause: unknown,
  context: Pick<FaultContext, 'tier' | 'operation' | 'isChange'>,
): SessionStoreError =>
  new SessionStoreError('E_BACKEND_SCHEMA', `${context.tier} could not be asked to ${context.operation}: ${because}`, {
    ...(cause === undefined ? {} : { cause }),
    tier: context.tier,
    operation: context.operation,
    ...(context.isChange ? { applied: 'no' as const } : {}),
  })

/** Data that could not be read again. */
export const tooLarge = (
  cause: Error,
  { tier, operation, isChange }: Pick<FaultContext, 'tier' | 'operation' | 'isChange'>,
): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_TOO_LARGE',
    `${tier} cannot keep what it was given to ${operation}: ${cause.message}`,
    {
      cause,
      tier,
      operation,
      ...(isChange ? { applied: 'no' as const } : {}),
    },
  )

const missing = (sqlState: string, relation: string): string => {
  if (sqlState === '3D000') return 'it lacks the database; run `npx nonstick setup`'
  if (sqlState === '42P10') return `the table ${relation} lacks its primary key, as after a copy; make it again`
  const what =
    sqlState === '42703'
      ? `the table ${relation} is of another version`
      : `it lacks the table ${relation}, or the one with the records of users beside it`
  return `${what}; ${SET_UP_CURE}`
}

const unavailable = (
  kind: FaultKind,
  cause: unknown,
  context: FaultContext,
  because: string,
  answered: boolean = false,
): Fault => {
  const applied: Applied = context.wasSent ? 'unknown' : 'no'
  const details = { cause, because, answered, ...(context.isChange ? { applied } : {}) }
  return { kind, error: tierUnavailable(context.tier, context.operation, details), because, blames: 'nothing' }
}

/** The server was reached, and would not: that is no silence. */
const refused = (cause: unknown, context: FaultContext, because: string): Fault =>
  unavailable('refused', cause, context, because, true)

/** Five characters, from the server: `EPIPE` has five too, but no severity. */
const sqlStateOf = (raised: unknown): string | undefined => {
  if (!isError(raised)) return undefined
  const { code, severity } = raised as { readonly code?: unknown; readonly severity?: unknown }
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined
}

/** The server's error without `detail`, `where` and the like, where it quotes the row it refused. */
const withoutData = (raised: unknown, sqlState: string, text: string): Error => {
  const { severity, routine } = raised as Record<'severity' | 'routine', unknown>
  return Object.assign(new Error(shownText(sqlState, text) ?? `SQLSTATE ${sqlState}`), {
    code: sqlState,
    severity,
    routine,
  })
}
