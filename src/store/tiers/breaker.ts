import type { BreakerState } from '../../contract/health.js'
import type { Runtime } from '../../contract/time.js'
import { jittered } from '../../tools/waiting.js'

/**
 * What became of a call that was let through: it was answered, or not, or nobody asked the server. Told once; more often
 * does nothing.
 */
export type Report = (became: 'answered' | 'failed' | 'not asked') => void

/**
 * Spares callers the wait for a server that does not answer. After so many failures in a row no call goes out for a
 * while; then one does, alone, and shows whether the server is back. (M. Nygard, *Release It!*, "Circuit Breaker".)
 */
export interface Breaker {
  readonly state: BreakerState
  /** `undefined`: not now. Otherwise the call may go out, and what became of it is to be told. */
  admit(): Report | undefined
}

export interface BreakerOptions {
  readonly runtime: Runtime
  /** After this many failures in a row it opens. */
  readonly failures: number
  /** How long it stays open, give or take a half, in ms. */
  readonly openMs: number
  readonly onChange: (state: BreakerState) => void
}

export const breaker = ({ runtime, failures, openMs, onChange }: BreakerOptions): Breaker => {
  let state: BreakerState = 'closed'
  let failed = 0
  let probeAtMs = 0
  /** Counts the changes, so that a call from before one does not decide the next. */
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
          // Nobody asked for so long that what is known of it is worth nothing, but for bearing no further failure.
          become('closed')
          failed = failures - 1
        }
      }
      const mine = era
      return (became) => {
        // An answer shows that the server lives, whenever it was asked.
        if (became === 'answered') {
          if (state !== 'closed') become('closed')
          failed = 0
        } else if (mine === era) {
          if (became === 'failed') failed += 1
          if (state === 'half-open' || failed >= failures) become('open')
          // That was no probe: the next call is.
          if (became === 'not asked') probeAtMs = runtime.monotonicMs()
        }
      }
    },
  }
}
