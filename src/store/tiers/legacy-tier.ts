import type { LegacySession, LegacyStore } from '../../contract/legacy.js'
import type { Runtime } from '../../contract/time.js'
import { areOptions, invalidOption } from '../../errors.js'
import { LEAST_IDLE_TTL_MS } from '../../session/expiry.js'
import { APP } from '../../session/key.js'
import type { Telemetry } from '../observed/telemetry.js'
import { tierCalls } from './tier-calls.js'

/**
 * The store that sessions were kept in before, as the protocol sees it. Each call has a deadline, and each fault is
 * counted. A call rejects where the old store could not be asked, which never means that it has no such session.
 */
export interface LegacyTier {
  /** @throws SessionStoreError `E_CONFIG` where the old store gives what is no session */
  get(id: string): Promise<LegacySession | undefined>
  destroy(id: string): Promise<void>
  /** Whether a session that was taken over is removed there. */
  readonly removes: boolean
  /** Whether it is what an import carries: see `CarriedStore`. */
  readonly isCarried: boolean
}

/**
 * What `nonstick import` gives as the old store: sessions that nobody has come for. For its sake the store asks for an id also
 * where a process that knows no old store has said that nothing stands under it; it rejects with `E_SESSION_LIMIT` where the user
 * has as many sessions as he may have; and what it saves does not count among the `writes` of a session, so that these tell
 * whether anybody else has changed it here.
 */
export interface CarriedStore extends LegacyStore {
  readonly isCarried: true
}

export interface LegacyTierOptions {
  readonly runtime: Runtime
  readonly telemetry: Telemetry
  readonly backendTimeoutMs: number
  readonly breakerFailures: number
  readonly backendRetryMs: number
}

const NAME = 'the old store'

export const legacyTier = (store: LegacyStore, options: LegacyTierOptions): LegacyTier => {
  const { runtime, telemetry, backendTimeoutMs, breakerFailures, backendRetryMs } = options
  const { ask } = tierCalls(NAME, {
    runtime,
    telemetry,
    timeoutMs: backendTimeoutMs,
    breakerFailures,
    retryMs: backendRetryMs,
  })
  return {
    get: async (id) => {
      // An old store is somebody else's code: what it throws is a rejection like any other.
      const given = await ask('get', false, async () => await store.get(id))
      return given === undefined || given === null ? undefined : checked(given)
    },
    destroy: async (id) => {
      await ask('destroy', true, async () => await store.destroy(id))
    },
    removes: store.remove === true,
    isCarried: 'isCarried' in store && store.isCarried === true,
  }
}

const isMoment = (value: unknown): boolean => value === undefined || (Number.isFinite(value) && Number(value) >= 0)

const checked = (given: LegacySession): LegacySession => {
  if (!areOptions(given) || given.data === undefined)
    throw invalidOption('legacy.get', 'a function that gives `{ data }` or nothing', given, { secret: true })
  const { idleTtlMs, app } = given
  if (idleTtlMs !== undefined && !(Number.isInteger(idleTtlMs) && idleTtlMs >= LEAST_IDLE_TTL_MS))
    throw invalidOption(
      'idleTtlMs of what `legacy.get` gives',
      `a whole number of milliseconds, at least ${LEAST_IDLE_TTL_MS}`,
      idleTtlMs,
    )
  for (const name of ['createdAt', 'seenAt', 'expiresAt'] as const)
    if (!isMoment(given[name]))
      throw invalidOption(`${name} of what \`legacy.get\` gives`, 'a number of milliseconds since 1970', given[name])
  if (app !== undefined && !(typeof app === 'string' && APP.test(app)))
    throw invalidOption('app of what `legacy.get` gives', 'up to 64 letters, digits, _, . and -', app)
  return given
}
