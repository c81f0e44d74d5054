import type { BackendCopy, Lineage, WriteId } from '../contract/backend.js'
import type { Codec, EncodeLimits } from '../contract/codec.js'
import type { Runtime } from '../contract/time.js'
import { described, isSessionStoreError, SessionStoreError } from '../errors.js'
import { isLoggedOut, type QuarantineRow } from '../session/decisions.js'
import type { LiveEnvelope } from '../session/envelope.js'
import { type Sameness, samenessOf } from '../session/sameness.js'
import type { Audit } from './observed/audit.js'
import type { Telemetry } from './observed/telemetry.js'
import type { ResolvedOptions } from './options.js'
import type { Background } from './owed/background.js'
import type { Ledger } from './owed/ledger.js'
import type { BackendTier } from './tiers/backend-tier.js'
import type { CacheTier } from './tiers/cache-tier.js'
import type { LegacyTier } from './tiers/legacy-tier.js'

/** What every step of the protocol works with. */
export interface Context {
  readonly options: ResolvedOptions
  readonly runtime: Runtime
  readonly cache: CacheTier
  readonly backend: BackendTier
  /** The store that sessions were kept in before; `undefined` where none is given. */
  readonly legacy: LegacyTier | undefined
  readonly telemetry: Telemetry
  readonly audit: Audit
  readonly ledger: Ledger
  readonly background: Background
  readonly values: Values
  readonly idleTtl: IdleTtl
}

/** The data of sessions as values, and what the codec and `identify` make of it. */
export interface Values {
  readonly codecId: number
  /**
   * @param limits how large the data may become, as far as the codec sees it. They are left out for data that stands in
   *   a tier already, or is only compared with such data, as another process may allow more.
   */
  encode(data: unknown, limits?: EncodeLimits): Uint8Array
  /** How large data is that was refused, at least, and which part of it is the largest. */
  largestPart: LargestPartOf
  decode(envelope: { readonly codecId: number; readonly data: Uint8Array }): unknown
  /** `undefined` for an anonymous session, or where no `identify` was given. */
  userOf(data: unknown): string | undefined
  /** Whether `identify` was given: a store without it, such as an operator's, cannot tell whose the data is. */
  readonly identifies: boolean
  /** How two parts of the data are compared. */
  readonly sameness: Sameness
}

/** Finds the part that makes data large, by the number of its values or by its bytes. */
export type LargestPartOf = (
  data: unknown,
  by: 'values' | 'bytes',
) => { readonly size: number; readonly path: string; readonly place: string }

/** The idle time-out, in ms, of a session that was given none of its own. */
export interface IdleTtl {
  ofData(data: unknown): number
  /** The same for data as it is stored. It is decoded only where the idle time-out goes by it. */
  ofStored(stored: { readonly codecId: number; readonly data: Uint8Array }): number
}

/** The user of an envelope's data. This decodes the data, so it is called only where the user is needed. */
export const userOfEnvelope = (context: Context, envelope: LiveEnvelope): string | undefined =>
  context.values.userOf(context.values.decode(envelope))

/**
 * Whose a session is that is only shown: as its data tells or, in a store that cannot tell that, as another process told
 * the backend at the last flush.
 */
export const userShown = (
  context: Context,
  envelope: LiveEnvelope,
  inBackend: string | undefined,
): string | undefined => (context.values.identifies ? userOfEnvelope(context, envelope) : inBackend)

/**
 * Whose a session was that has ended, for the audit trail: as its data tells or, where that cannot be read or the store
 * cannot tell, as another process told the backend.
 */
export const userAudited = (
  { values }: Context,
  stored: { readonly codecId: number; readonly data: Uint8Array },
  inBackend: string | undefined,
): string | undefined => {
  if (!values.identifies) return inBackend
  try {
    return values.userOf(values.decode(stored))
  } catch {
    return inBackend // the session ends all the same, and its end has to be told
  }
}

/** A random name for a lineage or a write. It is never the name that means "none". */
export const randomName = (runtime: Runtime): Lineage & WriteId => {
  const bytes = Buffer.from(runtime.randomBytes(8))
  if (bytes.every((byte) => byte === 0)) bytes[7] = 1
  return bytes.toString('hex')
}

/** How many bytes a codec may take where nobody gives a limit. */
const USUAL_BYTES = 64 * 1024 * 1024

/**
 * Makes the values of a store: `codec` writes them, and `codec` and `readable` read them.
 *
 * @throws SessionStoreError `E_SESSION_FORMAT` from `decode`, where no codec can read what stands there
 */
export const valuesOf = (
  codec: Codec,
  readable: readonly Codec[],
  identify: ((data: never) => string | number | undefined | null) | undefined,
  maxSessionBytes: number,
  largestPart: LargestPartOf,
): Values => {
  const usualLimits: EncodeLimits = { maxBytes: Math.max(USUAL_BYTES, maxSessionBytes) }
  const codecs = new Map([...readable, codec].map((each) => [each.id, each]))
  return {
    codecId: codec.id,
    encode: (data, limits = usualLimits) => codec.encode(data, limits),
    largestPart,
    decode: ({ codecId, data }) => {
      const reader = codecs.get(codecId)
      if (reader === undefined)
        throw new SessionStoreError(
          'E_SESSION_FORMAT',
          `Stored session was written by codec ${codecId}, which this program does not have`,
        )
      try {
        return reader.decode(data)
      } catch (cause) {
        throw new SessionStoreError('E_SESSION_FORMAT', `Codec ${reader.name} cannot read the stored session`, {
          cause,
        })
      }
    },
    userOf: (data) => checkedUser(identify?.(data as never)),
    identifies: identify !== undefined,
    sameness: samenessOf([codec, ...readable]),
  }
}

/**
 * Makes a user id of what `identify` returned. What cannot be one is refused: an async function would make all users
 * one, as would `false` or NaN.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
const checkedUser = (user: unknown): string | undefined => {
  if (user === undefined || user === null || user === '') return undefined
  if (typeof user === 'string' || (typeof user === 'number' && Number.isFinite(user))) return String(user)
  // A promise that nobody waits for must not end the process when it rejects.
  if (user instanceof Promise) user.catch(() => {})
  const got = typeof user === 'number' ? String(user) : described(user, true)
  throw new SessionStoreError(
    'E_CONFIG',
    `Expected \`identify\` to return a text or a number, or undefined or null where nobody is known, got ${got}`,
    { applied: 'no' },
  )
}

/** What a read of the backend means, without the data. A session whose user was logged out everywhere is destroyed. */
export const rowOf = (copy: BackendCopy): QuarantineRow => {
  if (copy.state !== 'live') return { state: copy.state }
  if (isLoggedOut(copy)) return { state: 'destroyed' }
  return { state: 'live', lineage: copy.session.lineage, version: copy.session.version }
}

/**
 * Whether a tier could not be asked or did not answer, or was not asked as too many wait for it. This is the one failure for
 * which the protocol has other ways.
 */
export const isUnavailable = (error: unknown): boolean =>
  isSessionStoreError(error, 'E_SESSION_UNAVAILABLE') || isSessionStoreError(error, 'E_OVERLOADED')

/**
 * Whether what stands there is of a form that this process does not know, or sealed so that it cannot open it. A listing
 * shows such a session as one that cannot be read, and goes on.
 */
export const isUnreadable = (error: unknown): error is SessionStoreError =>
  isSessionStoreError(error, 'E_SESSION_FORMAT') || isSessionStoreError(error, 'E_SESSION_SEAL')

export const destroyedMeanwhile = (): SessionStoreError =>
  new SessionStoreError(
    'E_SESSION_DESTROYED',
    'The session was destroyed or has expired meanwhile; the change was dropped',
    {
      applied: 'no',
    },
  )
