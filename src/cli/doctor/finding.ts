/** Something that `nonstick doctor` has to say. */
export interface Finding {
  /** A name that scripts can rely on, such as `cache-evictions`; docs/cli.md lists them. */
  readonly check: string
  /**
   * `fault`: sessions are not served, or something promised does not hold. `warning`: it will come to that, or may.
   * `note`: it is to be known, and no exit code tells of it.
   */
  readonly severity: 'fault' | 'warning' | 'note'
  /** Where: a tier, with the address of its server. */
  readonly tier: string
  /** What is so, in a sentence. */
  readonly finding: string
  /** What to do about it, in a sentence. */
  readonly cure: string
}

/** Whether somebody has to do something. */
export const isToBeMended = ({ severity }: Finding): boolean => severity !== 'note'

const RANK = { fault: 0, warning: 1, note: 2 } as const

/** The worst first; what is equally bad stays in its order. */
export const worstFirst = (findings: readonly Finding[]): readonly Finding[] =>
  [...findings].sort((one, other) => RANK[one.severity] - RANK[other.severity])

/** Whether an address is on this machine, so that nobody else can read what is sent to it. */
export const isOnThisMachine = (host: string): boolean =>
  host === 'localhost' ||
  host.startsWith('/') ||
  /^(?:::ffff:)?127\.\d+\.\d+\.\d+$/.test(host) ||
  /^\[?::1\]?$/.test(host)
