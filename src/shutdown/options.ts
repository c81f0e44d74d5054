import type { Runtime } from '../contract/time.js'
import { invalidOption, refuseUnknownOptions } from '../errors.js'
import { LONGEST_TIMER_MS, runtimeOf, systemRuntime } from '../runtime.js'

/** What both ways of shutting down can be told. */
export interface SignalOptions {
  /** @default ['SIGTERM', 'SIGINT'] */
  readonly signals?: readonly string[]
  /**
   * Ends the process, with 0 where nothing was left and 1 otherwise. Where it returns, everything is closed and the
   * process ends when nothing else keeps it. @default process.exit
   */
  readonly exit?: (code: 0 | 1) => void
  /** Clock and timers. @default the system's */
  readonly runtime?: Runtime
}

/** The same with every default in its place. */
export interface ResolvedSignalOptions {
  readonly signals: readonly string[]
  readonly deadlineMs: number
  readonly exit: (code: 0 | 1) => void
  readonly runtime: Runtime
}

/** @throws SessionStoreError `E_CONFIG`, naming the first option that cannot be used. */
export const resolveSignalOptions = (
  options: SignalOptions & { readonly deadlineMs?: number },
  names: ReadonlySet<string>,
  defaultDeadlineMs: number,
): ResolvedSignalOptions => {
  refuseUnknownOptions(options, names)
  const { signals = ['SIGTERM', 'SIGINT'], deadlineMs = defaultDeadlineMs, runtime = systemRuntime } = options
  const exit = options.exit ?? ((code) => process.exit(code))
  if (!Number.isInteger(deadlineMs) || deadlineMs < 1 || deadlineMs > LONGEST_TIMER_MS)
    throw invalidOption('deadlineMs', `a whole number of milliseconds, 1 to ${LONGEST_TIMER_MS}`, deadlineMs)
  if (!Array.isArray(signals) || signals.length === 0 || signals.some((signal) => !/^SIG[A-Z0-9]+$/.test(signal)))
    throw invalidOption('signals', 'a list of names of signals', signals)
  if (typeof exit !== 'function') throw invalidOption('exit', 'a function', exit)
  if (typeof runtime?.after !== 'function') throw invalidOption('runtime', 'a Runtime', runtime)
  return { signals, deadlineMs, exit, runtime: runtimeOf(runtime) }
}

/** Calls `first` at the first of the signals, `again` at each further one. Returns a function that stops listening. */
export const onSignals = (
  signals: readonly string[],
  first: (signal: string) => void,
  again: () => void,
): (() => void) => {
  let isFirst = true
  const onSignal = (signal: string): void => {
    if (isFirst) {
      isFirst = false
      first(signal)
    } else again()
  }
  for (const signal of signals) process.on(signal, onSignal)
  return () => {
    for (const signal of signals) process.removeListener(signal, onSignal)
  }
}

/** Resolves when `work` has settled, however, or the time is up: `false` for the latter. */
export const settledWithin = (runtime: Runtime, limitMs: number, work: Promise<unknown>): Promise<boolean> =>
  new Promise((resolve) => {
    const cancel = runtime.after(Math.max(0, limitMs), () => resolve(false))
    const done = (): void => {
      cancel()
      resolve(true)
    }
    work.then(done, done)
  })
