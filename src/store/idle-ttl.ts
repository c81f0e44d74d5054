import type { BackendCopy, StoredSession } from '../contract/backend.js'
import type { GivenIdleTtl } from '../contract/session-store.js'
import { described, SessionStoreError } from '../errors.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { LEAST_IDLE_TTL_MS, type LifeLimits, withinLimits } from '../session/expiry.js'
import type { Context, IdleTtl, Values } from './context.js'
import type { ResolvedOptions, StoreOptions } from './options.js'

/*
 * How long a session lives that nobody uses. A call may give it an idle time-out of its own, which it then keeps. Any
 * other session lives by the options of the store as they are now, whatever they were when it was made.
 */

/**
 * Makes the idle time-out by the options `idleTtlMs` and `anonymousTtlMs`. What the function says counts first, then
 * what is set for sessions of nobody, then the number.
 */
export const idleTtlBy = <Data>(
  given: Pick<StoreOptions<Data>, 'idleTtlMs' | 'anonymousTtlMs'>,
  { idleTtlMs: usual, absoluteTtlMs }: Pick<ResolvedOptions, 'idleTtlMs' | 'absoluteTtlMs'>,
  values: Pick<Values, 'decode' | 'userOf'>,
): IdleTtl => {
  const { anonymousTtlMs } = given
  const byData = typeof given.idleTtlMs === 'function' ? given.idleTtlMs : undefined
  if (byData === undefined && anonymousTtlMs === undefined) return { ofData: () => usual, ofStored: () => usual }
  const ofData = (data: unknown): number => {
    const said = checkedIdleTtl(byData?.(data as Data))
    if (said !== undefined) return Math.min(said, absoluteTtlMs)
    return anonymousTtlMs !== undefined && values.userOf(data) === undefined ? anonymousTtlMs : usual
  }
  return { ofData, ofStored: (stored) => ofData(values.decode(stored)) }
}

/**
 * What the function `idleTtlMs` returned.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
const checkedIdleTtl = (said: unknown): number | undefined => {
  if (said === undefined || said === null) return undefined
  if (typeof said === 'number' && Number.isInteger(said) && said >= LEAST_IDLE_TTL_MS) return said
  // A promise that nobody waits for must not end the process when it rejects.
  if (said instanceof Promise) said.catch(() => {})
  const got = typeof said === 'number' ? String(said) : described(said, true)
  throw new SessionStoreError(
    'E_CONFIG',
    `Expected \`idleTtlMs\` to return a whole number of milliseconds, at least ${LEAST_IDLE_TTL_MS}, or undefined for the usual idle time-out, got ${got}`,
    { applied: 'no' },
  )
}

/** The idle time-out of a session, and whether it is its own. */
export type IdleTime = Pick<LiveEnvelope, 'idleTtlMs' | 'hasOwnIdleTtl'>

/**
 * The idle time-out that a session has after a write.
 *
 * @param given what the call was given
 * @param standing what the session has by now; `undefined` for a new one
 * @param data what the write stores
 */
export const idleTimeFor = (
  { idleTtl }: Pick<Context, 'idleTtl'>,
  given: GivenIdleTtl | undefined,
  standing: IdleTime | undefined,
  data: unknown,
): IdleTime => {
  if (typeof given === 'number') return { idleTtlMs: given, hasOwnIdleTtl: true }
  if (given === undefined && standing?.hasOwnIdleTtl === true)
    return { idleTtlMs: standing.idleTtlMs, hasOwnIdleTtl: true }
  return { idleTtlMs: idleTtl.ofData(data), hasOwnIdleTtl: false }
}

/** Whether what a call was given changes the idle time-out that a session has. */
export const changesIdleTime = (given: GivenIdleTtl | undefined, { idleTtlMs, hasOwnIdleTtl }: IdleTime): boolean => {
  if (given === undefined) return false
  return given === 'default' ? hasOwnIdleTtl : !hasOwnIdleTtl || given !== idleTtlMs
}

const limitsOf = (
  { options: { absoluteTtlMs, timings }, idleTtl }: Pick<Context, 'options' | 'idleTtl'>,
  stored: LiveEnvelope | StoredSession,
): LifeLimits => ({
  idleTtlMs: stored.hasOwnIdleTtl ? stored.idleTtlMs : idleTtl.ofStored(stored),
  absoluteTtlMs,
  timings,
})

/** An entry of the cache, with no longer a life than the options allow by now. */
export const limitedEnvelope = (context: Context, envelope: LiveEnvelope): LiveEnvelope =>
  withinLimits(envelope, envelope.touchedAt, limitsOf(context, envelope))

/** What was read from the backend, with no longer a life than the options allow by now. */
export const limitedCopy = (context: Context, copy: BackendCopy): BackendCopy =>
  copy.state === 'live'
    ? { ...copy, session: withinLimits(copy.session, copy.session.seenAt, limitsOf(context, copy.session)) }
    : copy
