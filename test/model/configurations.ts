import type { Configuration } from './configuration.js'

/* What the rules are searched for. The words are explained in `configuration.ts`. */

const warm = { starts: 'warm', maxStaleCount: 2 } as const

/** Which promise of `docs/guarantees.md` each stands for, before the dot of its name. */
export const CONFIGURATIONS: readonly Configuration[] = [
  { ...warm, name: 'i3.parallel', processes: ['W', 'W', 'W'], nobodyGivesUp: true, maxAttempts: 4 },
  { ...warm, name: 'i3.lost-reply', processes: ['W', 'W', 'R'], faults: { lostInCache: 1, lateInCache: 1 } },
  { ...warm, name: 'i4.n2', processes: ['W', 'W', 'F'], faults: { losses: 1, leaseExpiries: 1 } },
  { ...warm, name: 'i5.durable', processes: ['W', 'D'], faults: { losses: 2 } },
  { ...warm, name: 'i2.destroy', processes: ['W', 'X', 'R'], faults: { losses: 1, lateInCache: 1 } },
  { ...warm, name: 'i2.create', starts: 'new', processes: ['C', 'W', 'X'], faults: { losses: 1, lateInCache: 1 } },
]
