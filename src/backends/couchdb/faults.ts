import { type Applied, SessionStoreError, tierUnavailable } from '../../errors.js'
import type { Exchange } from './transport.js'

/** What went wrong, as far as it decides what to do next. */
export type FaultKind =
  /** The server refused a value, of one document perhaps. */
  | 'value'
  /** A database or an index is missing, and could not be made. */
  | 'schema'
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
}

/** CouchDB's word beside a status that can be an answer: something else in its place says others, or none. */
const WORDS: Readonly<Record<number, string>> = { 404: 'not_found', 409: 'conflict', 412: 'file_exists' }

/** Said before anything is done. */
const isUndone = (status: number): boolean => status >= 300 && status < 500 && status !== 408

/**
 * What is wrong with an exchange, or nothing.
 *
 * @param late the deadline passed over it
 * @param expected statuses of 4xx that are an answer to this request, if they come from CouchDB
 */
export const faultOf = (
  exchange: Exchange,
  late: boolean,
  expected: readonly number[],
  context: FaultContext,
): Fault | undefined => {
  const { status, wasSent, failure, body } = exchange
  const unlessSent: Applied = wasSent ? 'unknown' : 'no'
  if (status === undefined) {
    if (late) return unavailable('late', failure, context, unlessSent, 'no answer came in time')
    return unavailable(wasSent ? 'lost' : 'unreachable', failure, context, unlessSent, networkReason(failure))
  }
  const isJson = typeof body === 'object' && body !== null
  const because = `${MEANINGS[status] ?? 'it answered with an error'} (HTTP ${status})`
  if (status < 300) {
    if (!isJson) return unavailable('lost', undefined, context, 'unknown', 'its answer is no JSON; a proxy, perhaps')
    if (status !== 202 || expected.includes(202)) return undefined
    return unavailable('lost', undefined, context, 'unknown', 'fewer nodes than its quorum have the change (HTTP 202)')
  }
  if (isJson && expected.includes(status) && isCouchdbs(status, body)) return undefined
  if (status === 413) return { kind: 'value', error: refusedValue('E_SESSION_TOO_LARGE', 'it is too large', context) }
  if (status === 400 && isJson) return { kind: 'value', error: refusedValue('E_SESSION_DATA', because, context) }
  if (isUndone(status)) return unavailable('refused', withoutData(status, body), context, 'no', because)
  return unavailable(status >= 500 ? 'lost' : 'refused', withoutData(status, body), context, 'unknown', because)
}

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

const unavailable = (
  kind: FaultKind,
  cause: unknown,
  { tier, operation, isChange, isSentToChange = isChange }: FaultContext,
  applied: Applied,
  because: string,
): Fault => ({
  kind,
  error: tierUnavailable(tier, operation, {
    because,
    ...(cause === undefined ? {} : { cause }),
    ...(isChange ? { applied: isSentToChange ? applied : 'no' } : {}),
  }),
})

/** The code of the socket's error, which undici and Node give to each. */
const networkReason = (failure: unknown): string => {
  const { code } = (failure ?? {}) as { readonly code?: unknown }
  return typeof code === 'string' ? code : 'the connection failed'
}

const isCouchdbs = (status: number, body: object): boolean => {
  const { error } = body as { readonly error?: unknown }
  return typeof error === 'string' && (WORDS[status] ?? error) === error
}

/** CouchDB's word for the error and not its reason, which may quote a document. nano's error holds the request. */
const withoutData = (status: number, body: unknown): Error => {
  const { error } = (typeof body === 'object' && body !== null ? body : {}) as { readonly error?: unknown }
  return new Error(
    typeof error === 'string' && /^[a-z_]{1,40}$/.test(error) ? `HTTP ${status} ${error}` : `HTTP ${status}`,
  )
}
