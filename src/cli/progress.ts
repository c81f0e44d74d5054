import { SingleBar } from 'cli-progress'
import type { Runtime } from '../contract/time.js'
import { isTerminal } from './output.js'

/** A bar that says how far something is; nothing at all where standard error is no terminal. */
export interface Progress {
  /** @param done how many of the total are done */
  at(done: number): void
  end(): void
}

const FORMAT = '{bar} {percentage} % | {value} of {total} | {rate} per second | {left}'

/** @param total how many there are to do; `undefined` where nobody knows */
export const progress = (total: number | undefined, runtime: Runtime): Progress => {
  if (!isTerminal(process.stderr)) return { at: () => {}, end: () => {} }
  const startedAtMs = runtime.monotonicMs()
  const bar = new SingleBar({
    format: total === undefined ? '{value} done | {rate} per second' : FORMAT,
    stream: process.stderr,
    barsize: 30,
    hideCursor: true,
    // Ctrl-C is the command's, which ends in order.
    gracefulExit: false,
  })
  bar.start(total ?? 0, 0, { rate: 0, left: '' })
  return {
    at: (done) => {
      const seconds = Math.max(0.001, (runtime.monotonicMs() - startedAtMs) / 1_000)
      const rate = done / seconds
      // More may have ended meanwhile than there was at the beginning.
      bar.setTotal(Math.max(total ?? done, done))
      bar.update(done, { rate: Math.round(rate), left: leftOf((total ?? done) - done, rate) })
    },
    end: () => bar.stop(),
  }
}

const leftOf = (rest: number, rate: number): string => {
  if (rest <= 0 || rate === 0) return ''
  const seconds = Math.ceil(rest / rate)
  return seconds < 60 ? `${seconds} s left` : `${Math.ceil(seconds / 60)} min left`
}
