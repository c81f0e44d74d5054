import type { BreakerState, TierHealth } from '../../contract/health.js'
import type { Runtime } from '../../contract/time.js'
import { isSessionStoreError, type SessionStoreError, tierUnavailable } from '../../errors.js'
import { alarmAfter, alarms } from '../../tools/alarms.js'
import { beforeAlarm, within } from '../../tools/waiting.js'
import type { Telemetry } from '../observed/telemetry.js'
import { type Breaker, breaker } from './breaker.js'

/**
 * How the store calls a tier. Every call has a deadline. Every fault is counted, sent out as an event, and becomes an
 * error of the store's own family.
 */
export interface TierCalls {
  /**
   * Makes one call. Rejects with `E_SESSION_UNAVAILABLE` where the tier is late, or fails in a way of its own. While
   * the breaker of `server` is open, it rejects at once, and the call was surely not applied.
   *
   * @param of what is special about this call
   */
  ask<T>(operation: string, isChange: boolean, call: () => Promise<T>, of?: Asked<T>): Promise<T>
  /**
   * Asks the tier how it is. The answer is `down` if none comes in time. This goes round the breakers, and shows their
   * states.
   */
  health(call: () => Promise<TierHealth>): Promise<TierHealth>
}

export interface Asked<T> {
  /** Which server of the tier is asked, where the tier has several. */
  readonly server?: string
  /** Whether an answer shows that the server was asked at all, where the tier can answer by itself. */
  readonly wasAsked?: (answer: T) => boolean
  /** Told of each answer of the server, also of one that refuses. */
  readonly answered?: () => void
  /** Told where the server did not answer, or was not asked. */
  readonly failed?: (error: SessionStoreError) => void
  /** After how long it is given up, in ms. @default as all calls of the tier */
  readonly timeoutMs?: number
}

export interface TierCallOptions {
  readonly runtime: Runtime
  readonly telemetry: Telemetry
  readonly timeoutMs: number
  /** See `breaker`. */
  readonly breakerFailures: number
  readonly retryMs: number
}

const AS_USUAL: Asked<unknown> = {}

export const tierCalls = (tier: string, options: TierCallOptions): TierCalls => {
  const { runtime, telemetry, breakerFailures, retryMs } = options
  const late = (timeoutMs: number): string => `no answer within ${timeoutMs} ms`
  /** The breakers, each by its server. */
  const breakers = new Map<string, Breaker>()
  const atTimeout = alarms(runtime, options.timeoutMs)

  const breakerOf = (server: string): Breaker => {
    const known = breakers.get(server)
    if (known !== undefined) return known
    const onChange = (state: BreakerState): void => telemetry.emit('breaker', { tier, server, state })
    const made = breaker({ runtime, failures: breakerFailures, openMs: retryMs, onChange })
    breakers.set(server, made)
    return made
  }
  const withBreaker = (health: TierHealth): TierHealth => {
    // The health of a server has its name behind that of the tier.
    const server = health.tier.startsWith(`${tier} `) ? health.tier.slice(tier.length + 1) : health.tier
    const state = breakers.get(server)?.state
    const servers = health.servers?.map(withBreaker)
    return {
      ...health,
      ...(servers === undefined ? {} : { servers }),
      ...(state === undefined ? {} : { breaker: state }),
    }
  }

  return {
    ask: async (operation, isChange, call, of = AS_USUAL) => {
      const { server = tier, wasAsked, timeoutMs = options.timeoutMs } = of
      const report = breakerOf(server).admit()
      if (report === undefined) {
        const because = `its last ${breakerFailures} calls failed, and it is being left alone for a moment`
        const error = tierUnavailable(tier, operation, { because, ...(isChange ? { applied: 'no' } : {}) })
        of.failed?.(error)
        throw error
      }
      try {
        const alarm = timeoutMs === options.timeoutMs ? atTimeout : alarmAfter(runtime, timeoutMs)
        const answer = await beforeAlarm(alarm, call(), () =>
          tierUnavailable(tier, operation, { because: late(timeoutMs), ...(isChange ? { applied: 'unknown' } : {}) }),
        )
        const isAnswer = wasAsked?.(answer) !== false
        report(isAnswer ? 'answered' : 'not asked')
        if (isAnswer) of.answered?.()
        return answer
      } catch (raised) {
        const error = isSessionStoreError(raised)
          ? raised
          : tierUnavailable(tier, operation, { cause: raised, ...(isChange ? { applied: 'unknown' } : {}) })
        // A refusal is an answer: the same server may well serve the reads that an open breaker would hold back.
        report(error.code === 'E_SESSION_UNAVAILABLE' && !error.answered ? 'failed' : 'answered')
        if (error.answered) of.answered?.()
        else of.failed?.(error)
        telemetry.count('faults')
        telemetry.emit('fault', { tier, operation, error })
        throw error
      }
    },
    health: async (call) => {
      const { timeoutMs } = options
      const started = runtime.monotonicMs()
      try {
        return withBreaker(
          await within(runtime, timeoutMs, call(), () =>
            tierUnavailable(tier, 'report its health', { because: late(timeoutMs) }),
          ),
        )
      } catch (error) {
        // The message of a foreign error may quote what the driver was asked.
        const reason = isSessionStoreError(error) ? error.message : 'it could not be asked'
        return withBreaker({ tier, state: 'down', latencyMs: runtime.monotonicMs() - started, reason })
      }
    },
  }
}
