/** Everything that goes wrong in the simulated world. */
export const FAULT_KINDS = [
  'message delayed',
  'message re-ordered',
  'request dropped',
  'reply dropped',
  'message duplicated',
  'connection cut',
  'command after its connection',
  'entry evicted',
  'entry damaged',
  'cache restarted',
  'cache unreachable',
  'server cut off',
  'outage slept through',
  'server list changed',
  'backend slow',
  'backend down',
  'commit unanswered',
  'process paused',
  'process died',
  'clocks apart',
] as const

export type FaultKind = (typeof FAULT_KINDS)[number]

export type FaultCounts = Record<FaultKind, number>

export const noFaults = (): FaultCounts => Object.fromEntries(FAULT_KINDS.map((kind) => [kind, 0])) as FaultCounts
