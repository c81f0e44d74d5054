import { constants } from 'node:os'
import type { Runtime } from '../contract/time.js'
import { runtimeOf } from '../runtime.js'
import { aFunction, aRuntime, type Kinds, kindOf, milliseconds } from '../tools/options.js'

/** What both ways of shutting down can be told. */
export interface SignalOptions {
  /** @default ['SIGTERM', 'SIGINT'] */
  readonly signals?: readonly string[] | undefined
  /**
   * Ends the process, with 0 where nothing was left and 1 otherwise. Where it returns, everything is closed and the
   * process ends when nothing else keeps it. @default process.exit
   */
  readonly exit?: ((code: 0 | 1) => void) | undefined
  /** Clock and timers. @default the system's */
  readonly runtime?: Runtime | undefined
}

/** The same with every default in its place. */
export interface ResolvedSignalOptions {
  readonly signals: readonly string[]
  readonly deadlineMs: number
  readonly exit: (code: 0 | 1) => void
  readonly runtime: Runtime
}

/** For these Node refuses a listener. */
const UNHEARD = ['SIGKILL', 'SIGSTOP']
/** The signals that can be listened for. `SIGBREAK` is Windows' own, and is no mistake in a program that runs elsewhere. */
const SIGNALS = new Set<unknown>(
  [...Object.keys(constants.signals), 'SIGBREAK'].filter((name) => !UNHEARD.includes(name)),
)

/** What the options may be that both ways of shutting down share. */
export const SIGNAL_KINDS: Kinds<SignalOptions & { readonly deadlineMs?: number | undefined }> = {
  signals: kindOf(
    "a list of names of signals that a process can listen for, such as ['SIGTERM']",
    (value) => Array.isArray(value) && value.length > 0 && value.every((signal) => SIGNALS.has(signal)),
  ),
  deadlineMs: milliseconds(1),
  exit: aFunction(),
  runtime: aRuntime,
}

/** Fills in the defaults of options that have been checked. */
export const resolveSignalOptions = (
  options: SignalOptions & { readonly deadlineMs?: number | undefined },
  defaultDeadlineMs: number,
): ResolvedSignalOptions => ({
  signals: options.signals ?? ['SIGTERM', 'SIGINT'],
  deadlineMs: options.deadlineMs ?? defaultDeadlineMs,
  exit: options.exit ?? ((code) => process.exit(code)),
  runtime: runtimeOf(options.runtime),
})

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
