import type { BreakerState } from '../../contract/health.js'
import type { Runtime } from '../../contract/time.js'
import { jittered } from '../../tools/waiting.js'

/**
 * Reports how a call ended that was let through: it was answered, it failed, or the server was not asked at all. It is
 * to be called once for each call.
 */
export type Report = (became: 'answered' | 'failed' | 'not asked') => void

/**
 * Spares callers the wait for a server that does not answer. After so many failures in a row no call goes out for a
 * while. Then a single call goes out, and shows whether the server is back. (M. Nygard, *Release It!*, "Circuit
 * Breaker".)
 */
export interface Breaker {
  readonly state: BreakerState
  /** Lets a call through, whose end then has to be reported. Gives `undefined` where no call may go out now. */
  admit(): Report | undefined
}

export interface BreakerOptions {
  readonly runtime: Runtime
  /** After this many failures in a row the breaker opens. */
  readonly failures: number
  /** How long the breaker stays open before it lets one call through, give or take a half, in ms. */
  readonly openMs: number
  readonly onChange: (state: BreakerState) => void
}

export const breaker = ({ runtime, failures, openMs, onChange }: BreakerOptions): Breaker => {
  let state: BreakerState = 'closed'
  let failed = 0
  let probeAtMs = 0
  /** Counts the changes of state, so that a call that began before a change does not decide about the next. */
  let era = 0

  const become = (next: BreakerState): void => {
    state = next
    era += 1
    failed = 0
    if (next === 'open') probeAtMs = runtime.monotonicMs() + jittered(runtime, openMs)
    onChange(next)
  }
  return {
    get state() {
      return state
    },
    admit: () => {
      if (state === 'half-open') return undefined
      if (state === 'open') {
        const overdueMs = runtime.monotonicMs() - probeAtMs
        if (overdueMs < 0) return undefined
        if (overdueMs < openMs) become('half-open')
        else {
          // Nobody has called for so long that the old failures say little about the server now. So calls go out again,
          // but one further failure opens the breaker.
          become('closed')
          failed = failures - 1
        }
      }
      const mine = era
      return (became) => {
        // An answer shows that the server works, whenever the call began.
        if (became === 'answered') {
          if (state !== 'closed') become('closed')
          failed = 0
        } else if (mine === era) {
          if (became === 'failed') failed += 1
          if (state === 'half-open' || failed >= failures) become('open')
          // This call did not ask the server, so the next one may do it.
          if (became === 'not asked') probeAtMs = runtime.monotonicMs()
        }
      }
    },
  }
}
