import { type Applied, SessionStoreError, tierUnavailable } from '../../errors.js'
import { DeadlinePassed } from './deadline.js'

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

export interface Fault {
  readonly kind: FaultKind
  readonly error: SessionStoreError
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

/** SQLSTATEs whose meaning a person should read; all others are shown as they are. */
const MEANINGS: Readonly<Record<string, string>> = {
  '25006': 'it only reads, as a standby does',
  '28000': 'it refused the user',
  '28P01': 'it refused the password',
  '40001': 'it could not serialize the change',
  '40P01': 'it met a deadlock',
  '42501': 'the role lacks a right on the table; `sql/reload` grants it',
  '53300': 'it has no connection left',
  '57014': 'the statement was cancelled, by a time-out of the server perhaps',
  '57P01': 'it is being shut down',
  '57P02': 'it crashed',
  '57P03': 'it is starting or stopping',
}

const SCHEMA_STATES = new Set(['3D000', '3F000', '42703', '42P01'])
const CONFLICT_STATES = new Set(['40001', '40P01'])

/** What pg or the socket raised, as the contract's error. */
export const faultOf = (raised: unknown, context: FaultContext): Fault => {
  const sqlState = sqlStateOf(raised)
  if (raised instanceof DeadlinePassed) return unavailable('late', raised, context, 'no answer came in time')
  const broken = context.wasSent ? 'lost' : 'unreachable'
  if (sqlState === undefined) return unavailable(broken, raised, context, networkReason(raised))
  const cause = withoutData(raised, sqlState)
  if (SCHEMA_STATES.has(sqlState)) return { kind: 'schema', error: schemaMissing(sqlState, cause, context) }
  // The server ends the connection with these, at any moment of the statement.
  if (/^(?:08|57P)/.test(sqlState)) return unavailable(broken, cause, context, reasonOf(sqlState))
  // An error from the server means that the statement was rolled back.
  const answered = { ...context, wasSent: false }
  if (CONFLICT_STATES.has(sqlState)) return unavailable('conflict', cause, answered, reasonOf(sqlState))
  if (/^(?:22|23|54)/.test(sqlState))
    return { kind: 'value', error: valueRefused(`SQLSTATE ${sqlState}`, cause, context) }
  return unavailable('refused', cause, answered, reasonOf(sqlState))
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

const schemaMissing = (sqlState: string, cause: unknown, context: FaultContext): SessionStoreError =>
  new SessionStoreError(
    'E_BACKEND_SCHEMA',
    `${context.tier} could not be asked to ${context.operation}: ${missing(sqlState, context.relation)}`,
    {
      cause,
      tier: context.tier,
      operation: context.operation,
      ...(context.isChange ? { applied: 'no' as const } : {}),
    },
  )

const missing = (sqlState: string, relation: string): string => {
  if (sqlState === '3D000') return 'it lacks the database; run `sql/reload`'
  const what = sqlState === '42703' ? `the table ${relation} is of another version` : `it lacks the table ${relation}`
  return `${what}; run \`sql/reload\`, or let the program do it with \`postgres({ migrate: true })\``
}

const unavailable = (kind: FaultKind, cause: unknown, context: FaultContext, because: string): Fault => {
  const applied: Applied = context.wasSent ? 'unknown' : 'no'
  const details = { cause, because, ...(context.isChange ? { applied } : {}) }
  return { kind, error: tierUnavailable(context.tier, context.operation, details) }
}

const reasonOf = (sqlState: string): string => `${MEANINGS[sqlState] ?? 'it answered with an error'} (${sqlState})`

/** The code of a socket's error; pg's own words where it has none, as for an answer that is not Postgres'. */
const networkReason = (raised: unknown): string => {
  if (!(raised instanceof Error)) return 'the connection failed'
  const { code } = raised as { readonly code?: unknown }
  return typeof code === 'string' ? code : raised.message
}

/** Five characters, from the server: `EPIPE` has five too, but no severity. */
const sqlStateOf = (raised: unknown): string | undefined => {
  if (!(raised instanceof Error)) return undefined
  const { code, severity } = raised as { readonly code?: unknown; readonly severity?: unknown }
  return typeof code === 'string' && typeof severity === 'string' ? code : undefined
}

/**
 * The server's error without `detail`, `where` and the like, where it quotes the row it refused; and without its
 * words where they may quote a value or name a user.
 */
const withoutData = (raised: unknown, sqlState: string): Error => {
  const { message, severity, routine } = raised as Record<'message' | 'severity' | 'routine', unknown>
  const cause = new Error(/^2[238]/.test(sqlState) ? `SQLSTATE ${sqlState}` : String(message))
  return Object.assign(cause, { code: sqlState, severity, routine })
}
