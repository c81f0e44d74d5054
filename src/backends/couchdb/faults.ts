import { type Applied, codeIn, SessionStoreError, tierUnavailable } from '../../errors.js'
import { isRecord, saysNoDatabase } from './answers.js'
import { type Exchange, UnreadAnswer } from './transport.js'

/** What went wrong, as far as it decides what to do next. */
export type FaultKind =
  /** The server refused a value, of one document perhaps. */
  | 'value'
  /** A database or an index is missing, and could not be made. */
  | 'schema'
  /** A database is there, and is not what it must be. */
  | 'unfit'
  /** The server answered, and would not. */
  | 'refused'
  /** There was no connection to be had. */
  | 'unreachable'
  /** The connection broke under the request, or what came is no answer of CouchDB's. */
  | 'lost'
  /** No answer came in time. */
  | 'late'

export interface Fault {
  readonly kind: FaultKind
  readonly error: SessionStoreError
}

/** A failed request: what the call's error would be, and of which kind. */
export class RequestFailed extends Error {
  readonly fault: Fault
  constructor(fault: Fault) {
    super(fault.error.message, { cause: fault.error })
    this.fault = fault
  }
  override get name(): string {
    return 'RequestFailed'
  }
}

/** What the contract's caller gets to see of a failure. */
export const contractError = (raised: unknown): unknown =>
  raised instanceof RequestFailed ? raised.fault.error : raised

export interface FaultContext {
  /** `couchdb 127.0.0.1:5984` */
  readonly tier: string
  readonly operation: string
  /** The call is to change something, so its error says whether it did. */
  readonly isChange: boolean
  /** This request of it changes something itself. @default isChange */
  readonly isSentToChange?: boolean
}

/** Statuses whose meaning a person should read. */
const MEANINGS: Readonly<Record<number, string>> = {
  202: 'fewer nodes than its quorum have the change',
  301: 'it redirects; look at the URL',
  302: 'it redirects; look at the URL',
  307: 'it redirects; look at the URL',
  308: 'it redirects; look at the URL',
  401: 'it refused the credentials',
  403: 'it does not allow this to the user',
  404: 'something else than CouchDB answered; look at the URL',
  429: 'it has too many requests',
  502: 'what stands in front of it could not reach it',
  503: 'it is overloaded, in maintenance, or not reached by what stands in front of it',
  504: 'what stands in front of it got no answer',
  507: 'its disk is too full for changes, or for an index; make room, or raise what `disk_monitor` allows',
}

const LOCKED = 'it has locked this user out at this address for some minutes, after too many wrong passwords'
const NO_NODE = 'the nodes of the cluster that keep the document are away'
const NO_DATABASE = 'it lacks the database'
const NO_JSON = 'its answer is no JSON; a proxy, perhaps'
const ODD = 'its answer is none that CouchDB gives; look at the URL, and at what stands in front of the server'
const NO_COOKIE = 'it gave no cookie; something in front of it keeps it back, or it is no CouchDB'

/** Said before anything is done. */
const isUndone = (status: number): boolean => status >= 300 && status < 500 && status !== 408

/** An answer after which it is worth asking the same server for something else. */
const isAnswered = (status: number): boolean =>
  status === 507 || (status < 500 && status !== 202 && status !== 408 && status !== 429)

/**
 * What is wrong with an exchange whose answer is none to its request.
 *
 * @param late the deadline passed over it
 */
export const faultOf = (exchange: Exchange, late: boolean, context: FaultContext): Fault => {
  const { status, wasSent, failure, body, isLogin = false } = exchange
  const unlessSent: Applied = wasSent ? 'unknown' : 'no'
  const at = isLogin ? 'at the login, ' : ''
  if (failure instanceof UnreadAnswer)
    return unavailable('lost', context, unlessSent, at + failure.message, failure, true)
  if (status === undefined) {
    const because = late ? 'no answer came in time' : networkReason(failure)
    return unavailable(late ? 'late' : wasSent ? 'lost' : 'unreachable', context, unlessSent, at + because, failure)
  }
  const { error, reason } = wordsOf(body)
  const isAway = error === 'nodedown'
  const hasValue = !isLogin && context.isChange && context.isSentToChange !== false
  if (hasValue && status === 413)
    return { kind: 'value', error: refusedValue('E_SESSION_TOO_LARGE', 'it is too large', context) }
  if (hasValue && status === 400 && error !== undefined)
    return { kind: 'value', error: refusedValue('E_SESSION_DATA', meaningOf(status), context) }
  const because = at + (isAway ? NO_NODE : (known(exchange, reason) ?? meaningOf(status)))
  const applied = isUndone(status) && !isAway ? 'no' : unlessSent
  const answered = isAnswered(status) && !isAway
  return unavailable(kindOf(status, isAway), context, applied, because, withoutData(status, error), answered)
}

/** What another server may answer rightly is `lost`; a refusal would only be given by all. */
const kindOf = (status: number, isAway: boolean): FaultKind =>
  isAway || status < 400 || status === 404 || status >= 500 ? 'lost' : 'refused'

/** What is to be said in place of the status's own meaning. */
const known = ({ status = 0, body, isLogin = false }: Exchange, reason: string | undefined): string | undefined => {
  if (isLogin && status < 300) return NO_COOKIE
  if (status < 300 && status !== 202) return typeof body === 'object' && body !== null ? ODD : NO_JSON
  if (status === 403 && /\blocked\b/i.test(reason ?? '')) return `${LOCKED} (HTTP 403)`
  if (saysNoDatabase(status, body) !== undefined) return `${NO_DATABASE} (HTTP 404)`
  return undefined
}

const meaningOf = (status: number): string => `${MEANINGS[status] ?? 'it answered with an error'} (HTTP ${status})`

/** The database is not there, and was: it holds sessions, wherever it is. */
export const gone = (database: string, context: FaultContext): RequestFailed =>
  new RequestFailed(
    unavailable(
      'lost',
      context,
      'no',
      `the database ${database} was there and is gone: it was dropped, or this server is none of the cluster that keeps it; ` +
        'bring it back, or have `setUp()` make an empty one',
      new Error('HTTP 404 not_found'),
      true,
    ),
  )

/** Nothing about the database can be said, for `because`. Nothing was done. */
export const unproven = (because: string, context: FaultContext): RequestFailed =>
  new RequestFailed(unavailable('lost', context, 'no', because, undefined, true))

/** A value that CouchDB does not keep; trying again will not help. */
export const refusedValue = (
  code: 'E_SESSION_DATA' | 'E_SESSION_TOO_LARGE',
  reason: string,
  { tier, operation, isChange }: FaultContext,
  cause?: unknown,
): SessionStoreError =>
  new SessionStoreError(code, `${tier} cannot keep a value it was given to ${operation}: ${reason}`, {
    ...(cause === undefined ? {} : { cause }),
    tier,
    operation,
    ...(isChange ? { applied: 'no' as const } : {}),
  })

/** A database or an index is not there, and `because` says why it was not made. */
export const missing = (what: string, because: string, context: FaultContext, cause?: unknown): RequestFailed =>
  new RequestFailed({
    kind: 'schema',
    error: new SessionStoreError(
      'E_BACKEND_SCHEMA',
      `${context.tier} could not be asked to ${context.operation}: it lacks ${what}; ${because}`,
      {
        ...(cause === undefined ? {} : { cause }),
        tier: context.tier,
        operation: context.operation,
        ...(context.isChange ? { applied: 'no' as const } : {}),
      },
    ),
  })

/** The database is there, and is not what it must be. */
export const unfit = (what: string, because: string, context: FaultContext): RequestFailed =>
  new RequestFailed({
    kind: 'unfit',
    error: new SessionStoreError(
      'E_BACKEND_SCHEMA',
      `${context.tier} could not be asked to ${context.operation}: ${what}; ${because}`,
      {
        tier: context.tier,
        operation: context.operation,
        ...(context.isChange ? { applied: 'no' as const } : {}),
      },
    ),
  })

const unavailable = (
  kind: FaultKind,
  { tier, operation, isChange, isSentToChange = isChange }: FaultContext,
  applied: Applied,
  because: string,
  cause?: unknown,
  answered = false,
): Fault => ({
  kind,
  error: tierUnavailable(tier, operation, {
    because,
    ...(cause === undefined ? {} : { cause }),
    ...(isChange ? { applied: isSentToChange ? applied : 'no' } : {}),
    ...(answered ? { answered } : {}),
  }),
})

/** The code of the socket's error, which undici and Node give to each. */
const networkReason = (failure: unknown): string => codeIn(failure) ?? 'the connection failed'

const wordsOf = (body: unknown): { readonly error?: string; readonly reason?: string } => {
  const { error, reason } = isRecord(body) ? body : {}
  return {
    ...(typeof error === 'string' ? { error } : {}),
    ...(typeof reason === 'string' ? { reason } : {}),
  }
}

/** CouchDB's word for the error and not its reason, which may quote a document. nano's error holds the request. */
const withoutData = (status: number, error: string | undefined): Error =>
  new Error(/^[a-z_]{1,40}$/.test(error ?? '') ? `HTTP ${status} ${error}` : `HTTP ${status}`)
