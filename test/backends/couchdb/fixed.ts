import type { Runtime } from '../../../src/contract/time.js'
import { systemRuntime } from '../../../src/runtime.js'
import { monthOf } from '../../../src/session/id.js'
import { sampleLocator } from '../../../src/testing/stored-session.js'

/** In the middle of a month, so that no other month is made ahead or looked in. */
export const NOW = Date.parse('2026-11-10T12:00:00Z')

/** The real timers, and a wall clock that stands. */
export const fixedRuntime: Runtime = { ...systemRuntime, now: () => NOW }

/** A session of our own, born now. */
export const bornNow = () => sampleLocator({ bornMonth: monthOf(NOW) })
