import type { Runtime } from '../../contract/time.js'

/** The moment by which one call must settle, however many requests it takes. */
export interface Deadline {
  /** Milliseconds until then; 0 when it has passed. */
  remainingMs(): number
}

export const deadlineAfter = ({ monotonicMs }: Runtime, timeoutMs: number): Deadline => {
  const endsAt = monotonicMs() + timeoutMs
  return { remainingMs: () => Math.max(0, endsAt - monotonicMs()) }
}

/** Runs `work` with a signal that aborts it after `ms`. */
export const withSignal = async <Result>(
  runtime: Runtime,
  ms: number,
  work: (signal: AbortSignal) => Promise<Result>,
): Promise<Result> => {
  const controller = new AbortController()
  const cancel = runtime.after(ms, () => controller.abort())
  try {
    return await work(controller.signal)
  } finally {
    cancel()
  }
}
