/** In the process that is measured: what one kind of operation costs. */
import type { Sample } from './rounds.js'
import { median, quantile } from './statistics.js'
import { cpuUs } from './subject.js'

export interface Operation {
  /** Makes ready so many operations, where one can be done only once. Without it, there is no end to them. */
  readonly prepare?: (operations: number) => Promise<void>
  /** The operation of that number. Those that run at once have numbers in a row. */
  run(number: number): Promise<unknown>
}

/** For how long, and how many at once. */
export interface Load {
  readonly seconds: number
  readonly atOnce: number
  /** At most so many operations, where the time is long enough for them. */
  readonly operations?: number
}

/** How many are made ready where one can be done only once. */
const PREPARED = 256

/** Code that was not run so often yet may be slow for reasons that pass. */
const WARM_OPERATIONS = 3_000
const WARM_SECONDS = 1.5

const warm = new WeakSet<Operation>()

/** Does one kind of operation for a while, so many at once. The first time, it is done for a while before it is measured. */
export const measured = async (operation: Operation, load: Load): Promise<Sample> => {
  if (!warm.has(operation)) {
    warm.add(operation)
    await once(operation, { seconds: WARM_SECONDS, atOnce: load.atOnce, operations: WARM_OPERATIONS })
  }
  return await once(operation, load)
}

const once = async (
  operation: Operation,
  { seconds, atOnce, operations = Number.POSITIVE_INFINITY }: Load,
): Promise<Sample> => {
  const most = operation.prepare === undefined ? operations : PREPARED
  await operation.prepare?.(PREPARED)
  const tookUs: number[] = []
  let next = 0
  const usedUs = cpuUs()
  const startedMs = performance.now()
  const untilMs = startedMs + seconds * 1_000
  const lane = async (): Promise<void> => {
    while (next < most) {
      const beganMs = performance.now()
      if (beganMs > untilMs) return
      const number = next
      next += 1
      await operation.run(number)
      tookUs.push((performance.now() - beganMs) * 1_000)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, lane))
  const tookSeconds = (performance.now() - startedMs) / 1_000
  return {
    cpuUs: (cpuUs() - usedUs) / tookUs.length,
    perSecond: tookUs.length / tookSeconds,
    p50Us: median(tookUs),
    p99Us: quantile(tookUs, 0.99),
  }
}

/** The flags of a process in which no garbage is collected while `heapBytesOf` counts. */
export const HEAP_FLAGS: readonly string[] = ['--min-semi-space-size=64', '--max-semi-space-size=128']

const COUNTED = 400

/** How many bytes of heap one operation allocates, garbage included. The process has to run with `HEAP_FLAGS`. */
export const heapBytesOf = async (operation: Operation, atOnce: number): Promise<number> => {
  let next = 0
  const some = async (): Promise<void> => {
    const end = next + COUNTED
    const lane = async (): Promise<void> => {
      while (next < end) {
        next += 1
        await operation.run(next - 1)
      }
    }
    await Promise.all(Array.from({ length: atOnce }, lane))
  }
  for (let warm = 0; warm < 5; warm += 1) await some()
  const counted: number[] = []
  for (let turn = 0; turn < 9; turn += 1) {
    globalThis.gc?.()
    const before = process.memoryUsage().heapUsed
    await some()
    counted.push((process.memoryUsage().heapUsed - before) / COUNTED)
  }
  return median(counted)
}
