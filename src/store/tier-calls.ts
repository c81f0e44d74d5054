import type { TierHealth } from '../contract/health.js'
import type { Runtime } from '../contract/time.js'
import { isSessionStoreError, tierUnavailable } from '../errors.js'
import type { Telemetry } from './telemetry.js'
import { within } from './waiting.js'

/** How the store calls a tier: every call with a deadline, every fault counted, told and in the family of errors. */
export interface TierCalls {
  /** Rejects with `E_SESSION_UNAVAILABLE` where the tier is late or fails in a way of its own. */
  ask<T>(operation: string, isChange: boolean, call: () => Promise<T>): Promise<T>
  /** What the tier says of itself; `down` if it says nothing in time. */
  health(call: () => Promise<TierHealth>): Promise<TierHealth>
}

export const tierCalls = (tier: string, runtime: Runtime, telemetry: Telemetry, timeoutMs: number): TierCalls => {
  const late = `no answer within ${timeoutMs} ms`
  return {
    ask: async (operation, isChange, call) => {
      const applied = isChange ? ({ applied: 'unknown' } as const) : {}
      try {
        return await within(runtime, timeoutMs, call(), () =>
          tierUnavailable(tier, operation, { because: late, ...applied }),
        )
      } catch (error) {
        telemetry.count('faults')
        telemetry.emit('fault', { tier, operation, error })
        throw isSessionStoreError(error) ? error : tierUnavailable(tier, operation, { cause: error, ...applied })
      }
    },
    health: async (call) => {
      const started = runtime.monotonicMs()
      try {
        return await within(runtime, timeoutMs, call(), () => new Error(late))
      } catch (error) {
        const reason = error instanceof Error ? error.message : 'unknown'
        return { tier, state: 'down', latencyMs: runtime.monotonicMs() - started, reason }
      }
    },
  }
}
