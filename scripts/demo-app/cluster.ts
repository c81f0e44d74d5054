import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import type { CloseReport, FlushReason, StoreStats } from 'nonstick'
import type { AppConfig, FromApp, ToApp } from './messages.js'
import { told } from './words.js'

const APP = fileURLToPath(new URL('app.ts', import.meta.url))
/** For what hangs: on a machine that has much else to do, a start takes a minute. */
const START_DEADLINE_MS = 180_000
const ANSWER_DEADLINE_MS = 60_000
/** When app processes have died by themselves this often, the next one is not started again. */
const MOST_RESTARTS = 5

export interface ClusterEvents {
  flush(app: string, reason: FlushReason, count: number): void
  fault(app: string, tier: string, operation: string): void
  /** A process ended without having been asked to; `killed` if `Cluster.kill` killed it. */
  died(app: string, killed: boolean): void
}

type Answer = Extract<FromApp, { type: 'answer' }>

/** One app process, and the questions it has not answered yet. */
class AppProcess {
  readonly name: string
  readonly port: number
  readonly #child: ChildProcess
  readonly #waiting = new Map<number, { resolve: (answer: Answer) => void; reject: (error: Error) => void }>()
  #asked = 0
  /** The last counters it told; what a dead process had counted is not forgotten. */
  lastStats: StoreStats | undefined
  readonly ended: Promise<void>

  private constructor(name: string, port: number, child: ChildProcess, events: ClusterEvents) {
    this.name = name
    this.port = port
    this.#child = child
    child.on('message', (message: FromApp) => {
      if (message.type === 'flush') events.flush(name, message.reason, message.count)
      else if (message.type === 'fault') events.fault(name, message.tier, message.operation)
      else if (message.type === 'answer') {
        this.lastStats = message.stats
        this.#waiting.get(message.id)?.resolve(message)
        this.#waiting.delete(message.id)
      }
    })
    this.ended = new Promise((resolve) => {
      const end = (): void => {
        for (const { reject } of this.#waiting.values()) reject(new Error(`${name} ended before it answered`))
        this.#waiting.clear()
        resolve()
      }
      child.once('exit', end)
      if (!this.alive) end()
    })
  }

  static start(config: AppConfig, events: ClusterEvents): Promise<AppProcess> {
    const child = fork(APP, [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    return new Promise((resolve, reject) => {
      const give = (error: Error): void => {
        clearTimeout(timer)
        child.kill('SIGKILL')
        reject(error)
      }
      const timer = setTimeout(
        () => give(new Error(`${config.name} was not ready after ${START_DEADLINE_MS} ms`)),
        START_DEADLINE_MS,
      )
      child.once('error', give)
      child.once('exit', (code, signal) => give(new Error(`${config.name} ended at its start (${signal ?? code})`)))
      child.once('message', (message: FromApp) => {
        if (message.type !== 'ready') {
          give(new Error(`${config.name} could not start${message.type === 'failed' ? `: ${message.reason}` : ''}`))
          return
        }
        clearTimeout(timer)
        child.removeAllListeners('exit')
        child.removeListener('error', give)
        child.on('error', () => undefined)
        resolve(new AppProcess(config.name, message.port, child, events))
      })
      const start: ToApp = { type: 'start', config }
      child.send(start)
    })
  }

  get pid(): number | undefined {
    return this.#child.pid
  }

  get alive(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  ask(question: 'stats' | 'settle' | 'close'): Promise<Answer> {
    const id = ++this.#asked
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#waiting.delete(id)
        reject(new Error(`${this.name} did not answer within ${ANSWER_DEADLINE_MS} ms`))
      }, ANSWER_DEADLINE_MS)
      this.#waiting.set(id, {
        resolve: (answer) => {
          clearTimeout(timer)
          resolve(answer)
        },
        reject: (error) => {
          clearTimeout(timer)
          reject(error)
        },
      })
      if (this.alive && this.#child.connected)
        this.#child.send({ type: 'ask', id, question } satisfies ToApp, () => undefined)
      else this.#waiting.get(id)?.reject(new Error(`${this.name} has ended`))
    })
  }

  /** Asks it to drain and end, and ends it if it does not. */
  async close(): Promise<CloseReport | undefined> {
    if (!this.alive) return undefined
    const answer = await this.ask('close').catch(() => undefined)
    const timer = setTimeout(() => this.#child.kill('SIGKILL'), answer === undefined ? 0 : 3_000)
    await this.ended
    clearTimeout(timer)
    return answer?.closed
  }

  kill(): void {
    this.#child.kill('SIGKILL')
  }
}

/** The app processes: started together, started again when one dies, ended together. */
export class Cluster {
  readonly #events: ClusterEvents
  readonly #configs: readonly AppConfig[]
  readonly #apps: AppProcess[]
  /** Counters of processes that are no more. */
  readonly #retired: StoreStats[] = []
  readonly #killed = new Set<AppProcess>()
  #restarts = 0
  #closing = false

  private constructor(configs: readonly AppConfig[], apps: AppProcess[], events: ClusterEvents) {
    this.#configs = configs
    this.#apps = apps
    this.#events = events
    for (const app of apps) this.#watch(app)
  }

  static async start(configs: readonly AppConfig[], events: ClusterEvents): Promise<Cluster> {
    const starts = await Promise.allSettled(configs.map((config) => AppProcess.start(config, events)))
    const apps = starts.flatMap((start) => (start.status === 'fulfilled' ? [start.value] : []))
    const failed = starts.find((start) => start.status === 'rejected')
    if (failed === undefined) return new Cluster(configs, apps, events)
    for (const app of apps) app.kill()
    await Promise.all(apps.map((app) => app.ended))
    throw failed.reason
  }

  /** Those that can be asked now, in a fixed order. */
  get alive(): readonly { readonly name: string; readonly port: number; readonly pid: number | undefined }[] {
    return this.#apps.filter((app) => app.alive)
  }

  get names(): readonly string[] {
    return this.#configs.map((config) => config.name)
  }

  /**
   * Kills a process with `kill -9` and resolves when it is dead; the cluster starts it again at once.
   *
   * @returns `undefined` where no process of this name runs
   */
  async kill(name: string): Promise<{ readonly pid: number | undefined } | undefined> {
    const app = this.#apps.find((each) => each.name === name && each.alive)
    if (app === undefined) return undefined
    const { pid } = app
    this.#killed.add(app)
    app.kill()
    await app.ended
    return { pid }
  }

  /** Each process's counters, those of dead ones as last told. */
  async stats(): Promise<readonly StoreStats[]> {
    const answers = await Promise.all(
      this.#apps.map((app) =>
        app.ask('stats').then(
          ({ stats }) => stats,
          () => app.lastStats,
        ),
      ),
    )
    return [...this.#retired, ...answers.filter((stats) => stats !== undefined)]
  }

  /** Has PostgreSQL's counters brought up to date. */
  async settle(): Promise<void> {
    await Promise.all(this.#apps.filter((app) => app.alive).map((app) => app.ask('settle')))
  }

  /** Drains and ends every process. `drained`: sessions that were written to the backend by it. */
  async close(): Promise<{ readonly drained: number; readonly left: number }> {
    this.#closing = true
    const reports = await Promise.all(this.#apps.map((app) => app.close()))
    // A report also counts those that another process has just flushed; the reasons tell who wrote.
    const stats = sumOfStats(this.#apps.flatMap((app) => app.lastStats ?? []))
    return {
      drained: stats?.flushes.drain ?? 0,
      left: reports.reduce((sum, report) => sum + (report?.left ?? 0) + (report?.destroysLeft ?? 0), 0),
    }
  }

  #watch(app: AppProcess): void {
    app.ended
      .then(async () => {
        if (this.#closing) return
        const killed = this.#killed.delete(app)
        this.#events.died(app.name, killed)
        const at = this.#apps.indexOf(app)
        const config = this.#configs[at]
        if (config === undefined || (!killed && ++this.#restarts > MOST_RESTARTS)) return
        const next = await AppProcess.start(config, this.#events)
        if (app.lastStats !== undefined) this.#retired.push(app.lastStats)
        this.#apps[at] = next
        this.#watch(next)
        // The cluster was closed while this one started.
        if (this.#closing) await next.close()
      })
      .catch((error: unknown) => console.error(told(error)))
  }
}

/** The counters of several processes as if one had counted. */
export const sumOfStats = (all: readonly StoreStats[]): StoreStats | undefined => {
  const [first] = all
  if (first === undefined) return undefined
  const counters = Object.keys(first).filter((name) => name !== 'flushes') as Exclude<keyof StoreStats, 'flushes'>[]
  const reasons = Object.keys(first.flushes) as FlushReason[]
  const sum = (count: (stats: StoreStats) => number): number => all.reduce((total, stats) => total + count(stats), 0)
  return {
    ...(Object.fromEntries(counters.map((name) => [name, sum((stats) => stats[name])])) as Omit<StoreStats, 'flushes'>),
    flushes: Object.fromEntries(reasons.map((reason) => [reason, sum(({ flushes }) => flushes[reason])])) as Record<
      FlushReason,
      number
    >,
  }
}
