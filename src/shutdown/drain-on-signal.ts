import type { CloseOptions, CloseReport } from '../contract/session-store.js'
import { aFunction, checkOptions, having, type Kinds, kindOf, required } from '../tools/options.js'
import { settledWithin } from '../tools/waiting.js'
import { DRAIN_MESSAGE, type WorkerSide } from './drain-workers-on-signal.js'
import { onSignals, resolveSignalOptions, SIGNAL_KINDS, type SignalOptions } from './options.js'

/** The part of `http.Server` and `https.Server` that is used here; a `net.Server` has less of it. */
export interface DrainableServer {
  close(callback: (error?: Error) => void): unknown
  prependListener(event: 'request', listener: (request: DrainableRequest, response: DrainableResponse) => void): unknown
  removeListener(event: 'request', listener: (request: DrainableRequest, response: DrainableResponse) => void): unknown
  closeIdleConnections?(): void
  closeAllConnections?(): void
}

/** The part of a request that is used here. */
export interface DrainableRequest {
  readonly httpVersionMajor: number
}

/** The part of a response that is used here. */
export interface DrainableResponse {
  readonly headersSent: boolean
  setHeader(name: string, value: string): unknown
  once(event: 'close', listener: () => void): unknown
}

/** A session store, or an adapter's store that closes one. */
export interface ClosableSessions {
  close(options: CloseOptions): Promise<CloseReport | undefined>
}

/** What `drainOnSignal` is told. */
export interface DrainOnSignalOptions extends SignalOptions {
  /** What to stop first: it accepts nothing any more, and its requests are let end. @default none */
  readonly server?: DrainableServer | readonly DrainableServer[] | undefined
  /** What to close then. */
  readonly sessions: ClosableSessions | readonly ClosableSessions[]
  /**
   * Within how many ms of the signal `exit` is called: whole, 1 to 2_147_483_647; less than the supervisor waits
   * before it kills. Requests get all of it but the last 5 seconds, or half of it where that is longer; the sessions
   * get what is left. @default 10_000
   */
  readonly deadlineMs?: number | undefined
  /** Told before `exit` is called; a promise is awaited as long as the deadline lets. One that fails is exit code 1. */
  readonly onReport?: ((report: ShutdownReport) => unknown) | undefined
  /** `node:cluster`, in its workers: then `drainWorkersOnSignal` in the primary reaches this one. @default none */
  readonly cluster?: WorkerSide | undefined
}

/** How a shutdown went. */
export interface ShutdownReport {
  /** The signal; or `primary`: the cluster's primary asked for it, or went away. */
  readonly cause: string
  /** Requests that had not ended when their time was up. */
  readonly requestsLeft: number
  /**
   * What the stores reported, added up. `undefined`, and then the exit code is 1, where one did not in time, failed, or
   * is an adapter that was given its store and leaves it open (hand over the store itself).
   */
  readonly sessions: CloseReport | undefined
  readonly tookMs: number
  /** 0: nothing was left. */
  readonly exitCode: 0 | 1
}

const aServer = having<DrainableServer>('a server', ['close', 'prependListener', 'removeListener'])
const aStore = having<ClosableSessions>('a session store', ['close'])

const KINDS: Kinds<DrainOnSignalOptions> = {
  ...SIGNAL_KINDS,
  server: kindOf(
    'an `http.Server`, or a list of them',
    (value) => (Array.isArray(value) ? value.every(aServer.accepts) : aServer.accepts(value)),
    (value) => (typeof value === 'function' ? 'give what `app.listen(…)` returned' : undefined),
  ),
  sessions: required(
    kindOf('a session store, or a list of them', (value) =>
      Array.isArray(value) ? value.length > 0 && value.every(aStore.accepts) : aStore.accepts(value),
    ),
  ),
  onReport: aFunction(),
  cluster: kindOf('`node:cluster`', (value) => typeof value === 'object' && value !== null),
}

/** As long as a store's `close` takes by default. */
const FOR_SESSIONS_MS = 5_000
const LOOK_MS = 50
/** A request may be on its way over a connection that is open already. */
const QUIET_LOOKS = 2

/**
 * Lets a process end in good order. At the first signal: the servers accept nothing any more and close idle
 * connections; requests in flight are let end; the sessions are closed, which flushes what only the cache has; and
 * the process exits, with 0 where nothing was left and 1 otherwise. A second signal ends it at once, with 1.
 *
 * Call it once, when everything is there. Returns a function that stops listening.
 *
 * @throws SessionStoreError `E_CONFIG`
 */
export const drainOnSignal = (options: DrainOnSignalOptions): (() => void) => {
  checkOptions('drainOnSignal(options)', options, KINDS, '{ server, sessions }')
  const { signals, deadlineMs, exit, runtime } = resolveSignalOptions(options, 10_000)
  const servers = listOf(options.server ?? [])
  const stores = listOf(options.sessions)

  const inFlight = new Set<DrainableResponse>()
  let isDraining = false
  const track = (request: DrainableRequest, response: DrainableResponse): void => {
    // Of another protocol than HTTP/1 the connection is not the response's to close.
    if (request.httpVersionMajor !== 1) return
    inFlight.add(response)
    response.once('close', () => inFlight.delete(response))
    if (isDraining) lastOfItsConnection(response)
  }
  for (const server of servers) server.prependListener('request', track)

  const stopServers = async (limitMs: number): Promise<void> => {
    const endsAt = runtime.monotonicMs() + limitMs
    const stopped = Promise.all(servers.map(stop))
    const canTell = servers.every((server) => server.closeIdleConnections !== undefined)
    for (let quiet = 0; runtime.monotonicMs() < endsAt; quiet = inFlight.size === 0 ? quiet + 1 : 0) {
      // Connections that are open for no request, or were opened in advance, are no reason to wait.
      if (canTell && quiet > QUIET_LOOKS) return
      for (const server of servers) server.closeIdleConnections?.()
      if (await settledWithin(runtime, Math.min(LOOK_MS, endsAt - runtime.monotonicMs()), stopped)) return
    }
  }

  const closeSessions = async (limitMs: number): Promise<CloseReport | undefined> => {
    const closing = Promise.all(
      stores.map(async (store) => await store.close({ deadlineMs: Math.floor(Math.max(0, limitMs)) })),
    )
    // A store is in time by itself; an adapter of someone else's need not be.
    const isDone = await settledWithin(runtime, limitMs + LOOK_MS, closing)
    return isDone ? await closing.then(sumOf, () => undefined) : undefined
  }

  const drain = async (cause: string): Promise<void> => {
    isDraining = true
    const letDie = runtime.keepAlive?.()
    const startedMs = runtime.monotonicMs()
    const leftMs = (): number => startedMs + deadlineMs - runtime.monotonicMs()
    for (const response of inFlight) lastOfItsConnection(response)
    await stopServers(deadlineMs - Math.min(FOR_SESSIONS_MS, deadlineMs / 2))
    const requestsLeft = inFlight.size
    const sessions = await closeSessions(leftMs())
    const isClean = requestsLeft === 0 && sessions !== undefined && sessions.left + sessions.destroysLeft === 0
    const report = { cause, requestsLeft, sessions, tookMs: runtime.monotonicMs() - startedMs }
    const wasTold = await told(options.onReport, { ...report, exitCode: isClean ? 0 : 1 }, leftMs())
    for (const server of servers) server.closeAllConnections?.()
    stopListening()
    letDie?.()
    exit(isClean && wasTold ? 0 : 1)
  }
  const told = async (
    onReport: DrainOnSignalOptions['onReport'],
    report: ShutdownReport,
    limitMs: number,
  ): Promise<boolean> => {
    const telling = (async () => await onReport?.(report))()
    const isDone = await settledWithin(runtime, limitMs, telling)
    return (
      isDone &&
      (await telling.then(
        () => true,
        () => false,
      ))
    )
  }

  const begin = (cause: string): void => {
    if (!isDraining) void drain(cause)
  }
  const stopSignals = onSignals(signals, begin, () => exit(1))
  const stopWorker = options.cluster === undefined ? undefined : heedPrimary(options.cluster, () => begin('primary'))
  const stopListening = (): void => {
    stopSignals()
    stopWorker?.()
    for (const server of servers) server.removeListener('request', track)
  }
  return stopListening
}

const listOf = <T extends object>(one: T | readonly T[]): readonly T[] =>
  (Array.isArray(one) ? one : [one]) as readonly T[]

/** One that was not listening is as good as stopped. */
const stop = (server: DrainableServer): Promise<void> =>
  new Promise((resolve) => {
    server.close(() => resolve())
  })

const lastOfItsConnection = (response: DrainableResponse): void => {
  if (!response.headersSent) response.setHeader('connection', 'close')
}

/** `undefined` where one reported nothing: an adapter, say, that was given a store and left it open. */
const sumOf = (reports: readonly (CloseReport | undefined)[]): CloseReport | undefined => {
  let sum: CloseReport = { flushed: 0, left: 0, destroysLeft: 0 }
  for (const report of reports) {
    if (report === undefined) return undefined
    const { flushed, left, destroysLeft } = report
    sum = { flushed: sum.flushed + flushed, left: sum.left + left, destroysLeft: sum.destroysLeft + destroysLeft }
  }
  return sum
}

/** The primary asks by a message; where it is gone, its workers would end at once, and are told to stay a moment. */
const heedPrimary = ({ worker }: WorkerSide, begin: () => void): (() => void) | undefined => {
  if (worker === undefined) return undefined
  const onMessage = (message: unknown): void => {
    if (message === DRAIN_MESSAGE) begin()
  }
  const onDisconnect = (): void => {
    worker.exitedAfterDisconnect = true
    begin()
  }
  process.on('message', onMessage)
  // Before cluster's own, which ends the process.
  process.prependListener('disconnect', onDisconnect)
  return () => {
    process.removeListener('message', onMessage)
    process.removeListener('disconnect', onDisconnect)
  }
}
