import { checkOptions, type Kinds, kindOf, required } from '../tools/options.js'
import { settledWithin } from '../tools/waiting.js'
import { onSignals, resolveSignalOptions, SIGNAL_KINDS, type SignalOptions } from './options.js'

/** What the primary says to a worker that shall drain. Not a signal: a terminal sends those to the workers itself. */
export const DRAIN_MESSAGE = 'nonstick:drain'

/** The part of `node:cluster` that a worker needs. */
export interface WorkerSide {
  /** `undefined` in the primary. */
  readonly worker?: { exitedAfterDisconnect: boolean } | undefined
}

/** The part of `node:cluster` that the primary needs. */
export interface PrimarySide {
  readonly workers?: Readonly<Record<string, DrainableWorker | undefined>> | undefined
}

/** The part of a cluster's `Worker`, as its primary sees it, that is used here. */
export interface DrainableWorker {
  exitedAfterDisconnect: boolean
  isDead(): boolean
  send(message: string, callback: (error: Error | null) => void): unknown
  once(event: 'exit', listener: (code: number) => void): unknown
  readonly process: { kill(signal: 'SIGKILL'): unknown }
}

/** What `drainWorkersOnSignal` is told. */
export interface DrainWorkersOnSignalOptions extends SignalOptions {
  /** `node:cluster`. */
  readonly cluster: PrimarySide
  /**
   * After how many ms workers that have not ended are killed: whole, 1 to 2_147_483_647; more than the workers' own.
   * @default 15_000
   */
  readonly deadlineMs?: number | undefined
}

const KINDS: Kinds<DrainWorkersOnSignalOptions> = {
  ...SIGNAL_KINDS,
  cluster: required(kindOf('`node:cluster`', (value) => typeof value === 'object' && value !== null)),
}

/** A worker that is still starting hears nothing yet; one that has heard pays no more heed. */
const ASK_AGAIN_MS = 250

/**
 * For the primary of a cluster whose workers called `drainOnSignal({ …, cluster })`. At the first signal every worker
 * is asked to drain, at once; when all have ended, so does the primary, with 0 if each of them did and 1 otherwise.
 * A worker that is late is killed; a second signal kills all of them.
 *
 * While it drains, each worker's `exitedAfterDisconnect` is `true`: the sign by which a primary that replaces workers
 * knows not to. Returns a function that stops listening.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const drainWorkersOnSignal = (options: DrainWorkersOnSignalOptions): (() => void) => {
  checkOptions('drainWorkersOnSignal(options)', options, KINDS, '{ cluster }')
  const { signals, deadlineMs, exit, runtime } = resolveSignalOptions(options, 15_000)
  const { cluster } = options

  const living = (): readonly DrainableWorker[] =>
    Object.values(cluster.workers ?? {}).filter(
      (worker) => worker !== undefined && !worker.isDead(),
    ) as DrainableWorker[]
  const kill = (): void => {
    for (const worker of living()) worker.process.kill('SIGKILL')
  }
  const ask = (): void => {
    for (const worker of living()) {
      worker.exitedAfterDisconnect = true
      // One that cannot be told has gone already, or will be killed.
      worker.send(DRAIN_MESSAGE, () => {})
    }
  }
  const drain = async (): Promise<void> => {
    const letDie = runtime.keepAlive?.()
    const endsAt = runtime.monotonicMs() + deadlineMs
    const leftMs = (): number => endsAt - runtime.monotonicMs()
    const codes = living().map((worker) => new Promise<number>((resolve) => void worker.once('exit', resolve)))
    let isClean = false
    const allEnded = Promise.all(codes).then((all) => {
      isClean = all.every((code) => code === 0)
    })
    do ask()
    while (!(await settledWithin(runtime, Math.min(ASK_AGAIN_MS, leftMs()), allEnded)) && leftMs() > 0)
    kill()
    stopListening()
    letDie?.()
    exit(isClean ? 0 : 1)
  }
  const stopListening = onSignals(
    signals,
    () => void drain(),
    () => {
      kill()
      exit(1)
    },
  )
  return stopListening
}
