import { EXIT, type ExitCode } from './exits.js'

/** Ctrl-C, or the end that a supervisor asks for: the first asks for an orderly end, the second is one. */
export interface Interruption {
  readonly signal: AbortSignal
  /** What the command ends with where it was interrupted. */
  exitCode(): ExitCode
  /** Leaves the signals to Node again. */
  stop(): void
}

const CODES = { SIGINT: EXIT.interrupted, SIGTERM: EXIT.terminated } as const

/** Listens to both signals until `stop`. */
export const interruption = (): Interruption => {
  const asked = new AbortController()
  let code: ExitCode = EXIT.interrupted
  const on = (name: keyof typeof CODES) => (): void => {
    code = CODES[name]
    if (asked.signal.aborted) process.exit(code)
    asked.abort()
  }
  const listeners = { SIGINT: on('SIGINT'), SIGTERM: on('SIGTERM') }
  process.on('SIGINT', listeners.SIGINT)
  process.on('SIGTERM', listeners.SIGTERM)
  return {
    signal: asked.signal,
    exitCode: () => code,
    stop: () => {
      process.off('SIGINT', listeners.SIGINT)
      process.off('SIGTERM', listeners.SIGTERM)
    },
  }
}
