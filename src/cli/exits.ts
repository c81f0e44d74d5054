import { isSessionStoreError } from '../errors.js'

/** What the exit code of `nonstick` says. docs/cli.md lists the codes; scripts may rely on them. */
export const EXIT = {
  /** It was done, and there is nothing to report. */
  fine: 0,
  /** It failed, or there is something that somebody has to mend. */
  fault: 1,
  /** The arguments or the configuration make no sense. Nothing was tried. */
  usage: 2,
  /** There is no such session. */
  absent: 3,
  /** Ctrl-C: as a shell says it, 128 and the signal's number. */
  interrupted: 130,
  /** SIGTERM. */
  terminated: 143,
} as const

export type ExitCode = (typeof EXIT)[keyof typeof EXIT]

/** The caller's mistake, told in a sentence that shows none of his secrets. */
export class UsageError extends Error {}

/** A way to end that is neither success nor a fault. `message` goes to standard error, unless it is empty. */
export class EndsWith extends Error {
  readonly exitCode: ExitCode

  constructor(exitCode: ExitCode, message = '') {
    super(message)
    this.exitCode = exitCode
  }
}

/** The exit code of a command that ended with this error. */
export const exitCodeOf = (error: unknown): ExitCode => {
  if (error instanceof EndsWith) return error.exitCode
  if (
    error instanceof UsageError ||
    isSessionStoreError(error, 'E_CONFIG') ||
    isSessionStoreError(error, 'E_INVALID_ID')
  )
    return EXIT.usage
  return EXIT.fault
}

/** What scripts may tell an error by: the code of an error of this library, else the name of the exit code. */
export const errorCodeOf = (error: unknown): string => {
  if (isSessionStoreError(error)) return error.code
  const exitCode = exitCodeOf(error)
  return Object.entries(EXIT).find(([, code]) => code === exitCode)?.[0] ?? 'fault'
}
