import type { BreakerState, TierHealth } from '../../contract/health.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, tierUnavailable } from '../../errors.js'
import { within } from '../../tools/waiting.js'
import type { Telemetry } from '../observed/telemetry.js'
import { type Breaker, breaker } from './breaker.js'

/** How the store calls a tier: every call with a deadline, every fault counted, told and in the family of errors. */
export interface TierCalls {
  /**
   * Rejects with `E_SESSION_UNAVAILABLE` where the tier is late or fails in a way of its own; at once, and surely not
   * applied, while the breaker of `server` is open.
   *
   * @param of which of the tier's servers is asked, where it has several; and whether an answer shows that it was
   *   asked at all, where the tier can answer by itself
   */
  ask<T>(operation: string, isChange: boolean, call: () => Promise<T>, of?: Asked<T>): Promise<T>
  /** What the tier says of itself; `down` if it says nothing in time. Goes round the breakers, and shows them. */
  health(call: () => Promise<TierHealth>): Promise<TierHealth>
}

export interface Asked<T> {
  readonly server: string
  readonly wasAsked: (answer: T) => boolean
}

export interface TierCallOptions {
  readonly runtime: Runtime
  readonly telemetry: Telemetry
  readonly timeoutMs: number
  /** See `breaker`. */
  readonly breakerFailures: number
  readonly retryMs: number
}

export const tierCalls = (tier: string, options: TierCallOptions): TierCalls => {
  const { runtime, telemetry, timeoutMs, breakerFailures, retryMs } = options
  const late = `no answer within ${timeoutMs} ms`
  /** By the name that health gives each of them. */
  const breakers = new Map<string, Breaker>()

  const breakerOf = (server: string): Breaker => {
    const name = server === tier ? tier : `${tier} ${server}`
    const known = breakers.get(name)
    if (known !== undefined) return known
    const onChange = (state: BreakerState): void => telemetry.emit('breaker', { tier, server, state })
    const made = breaker({ runtime, failures: breakerFailures, openMs: retryMs, onChange })
    breakers.set(name, made)
    return made
  }
  const withBreaker = (health: TierHealth): TierHealth => {
    const state = breakers.get(health.tier)?.state
    const servers = health.servers?.map(withBreaker)
    return {
      ...health,
      ...(servers === undefined ? {} : { servers }),
      ...(state === undefined ? {} : { breaker: state }),
    }
  }

  return {
    ask: async (operation, isChange, call, of) => {
      const report = breakerOf(of?.server ?? tier).admit()
      if (report === undefined) {
        const because = `its last ${breakerFailures} calls failed, and it is being left alone for a moment`
        throw tierUnavailable(tier, operation, { because, ...(isChange ? { applied: 'no' } : {}) })
      }
      const applied = isChange ? ({ applied: 'unknown' } as const) : {}
      try {
        const answer = await within(runtime, timeoutMs, call(), () =>
          tierUnavailable(tier, operation, { because: late, ...applied }),
        )
        report(of?.wasAsked(answer) === false ? 'not asked' : 'answered')
        return answer
      } catch (raised) {
        const error = isSessionStoreError(raised)
          ? raised
          : tierUnavailable(tier, operation, { cause: raised, ...applied })
        // A refusal is an answer: the same server may well serve the reads that an open breaker would block.
        report(error.code === 'E_SESSION_UNAVAILABLE' && !error.answered ? 'failed' : 'answered')
        telemetry.count('faults')
        telemetry.emit('fault', { tier, operation, error })
        throw error
      }
    },
    health: async (call) => {
      const started = runtime.monotonicMs()
      try {
        return withBreaker(
          await within(runtime, timeoutMs, call(), () => tierUnavailable(tier, 'report its health', { because: late })),
        )
      } catch (error) {
        // A driver's own words may quote what it was asked.
        const reason = isSessionStoreError(error) ? error.message : 'it could not be asked'
        return withBreaker({ tier, state: 'down', latencyMs: runtime.monotonicMs() - started, reason })
      }
    },
  }
}
