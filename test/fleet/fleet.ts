import type { SessionStore } from '../../src/contract/session-store.js'
import type { Runtime } from '../../src/contract/time.js'
import { createSessionStore } from '../../src/create-session-store.js'
import { isSessionStoreError } from '../../src/errors.js'
import { locate } from '../../src/session/key.js'
import type { StoreOptions } from '../../src/store/options.js'
import { Clockwork } from '../simulation/clockwork.js'
import { type Lots, lotsOf } from '../simulation/random.js'
import { Counters, FleetCache, type FleetServer, FleetServers, fleetBackend, type Second } from './tiers.js'

export interface FleetOptions {
  readonly seed: number
  readonly sessions: number
  readonly processes: number
  readonly cacheServers: number
  /** Which share of the sessions is used at a time. @default 0.05 */
  readonly active: number
  /** The mean time between two requests of a session that is used, in ms. @default 10_000 */
  readonly betweenRequestsMs: number
  /** Which share of the requests changes the session. @default 0.5 */
  readonly changing: number
  /** How long a cache server that is lost is away, in ms, before it is started again, empty. @default 10_000 */
  readonly awayMs: number
  /** Options of the store that are not the defaults. */
  readonly store?: Pick<StoreOptions<unknown>, 'maxStaleMs' | 'maxStaleCount'>
  /** Called once a simulated second with the name of the phase. */
  readonly onSecond?: (second: number, of: number, phase: string) => void
}

export const FLEET_DEFAULTS = {
  seed: 1,
  sessions: 1_000_000,
  processes: 100,
  cacheServers: 10,
  active: 0.05,
  betweenRequestsMs: 10_000,
  changing: 0.5,
  awayMs: 10_000,
} as const satisfies FleetOptions

/** When each phase begins and how long it is, in seconds of the simulated time. */
const PHASES = {
  /** All sessions are created. */
  created: [0, 60],
  /** They are used, and what is owed for them comes to its usual level. */
  settling: [60, 75],
  steady: [135, 30],
  oneLost: [165, 70],
  allLost: [235, 70],
} as const
const END_S = 305

/** Some seconds of the run, for each second. */
export interface Load {
  readonly requests: number
  readonly backendReads: number
  readonly backendWrites: number
  readonly rowsWritten: number
  readonly cacheCalls: number
}

/** What the loss of cache servers came to. */
export interface Loss {
  /** Entries that were in them. */
  readonly entries: number
  /** Sessions of which acknowledged changes were missing later, and how many changes of one session at most. */
  readonly sessionsWithLoss: number
  readonly changesLost: number
  readonly mostChangesOfASession: number
  /** How long before the loss the oldest change that is missing was acknowledged, in seconds. */
  readonly oldestLostS: number
  /** Requests that found no session, or were refused. */
  readonly loggedOut: number
  readonly refused: number
  /** The load while the servers were away, and that of the busiest second after the loss. */
  readonly away: Load
  readonly busiest: { readonly backendReads: number; readonly backendWrites: number; readonly rowsWritten: number }
  /** How many seconds after the servers were back the backend read no more than a tenth of the busiest second. */
  readonly recoveredAfterS: number
}

export interface FleetReport {
  readonly options: Omit<FleetOptions, 'onSecond'>
  readonly steady: Load
  readonly oneLost: Loss
  readonly allLost: Loss
  /** Changes that were acknowledged, over the whole run. */
  readonly changes: number
}

interface Data {
  visits: number
  readonly text: string
}

const EPOCH = Date.UTC(2026, 0, 1)
const NAMESPACE = 'nonstick'
/** So many moments of acknowledgement are remembered for each session: more than may be unflushed. */
const REMEMBERED = 12

/** One loss as the requests meet it. */
interface LossInMaking {
  readonly atMs: number
  readonly servers: ReadonlySet<FleetServer>
  readonly entries: number
  sessionsWithLoss: number
  changesLost: number
  mostChangesOfASession: number
  oldestLostMs: number
  loggedOut: number
  refused: number
}

/**
 * A fleet of processes with the real store over simulated cache servers and a simulated backend, on a virtual clock: what
 * it asks of them while all is well, and what the loss of one and of all cache servers costs. The same options give the
 * same report, whatever the machine.
 */
export const runFleet = async (options: FleetOptions): Promise<FleetReport> => {
  const clock = new Clockwork()
  const lots = lotsOf(options.seed)
  const counters = new Counters(clock)
  const servers = new FleetServers(options.cacheServers)
  const backend = fleetBackend(clock, runtimeOf(clock, lots.branch('backend')), counters, lots.branch('backend times'))
  const stores = Array.from({ length: options.processes }, (_, at) => {
    const runtime = runtimeOf(clock, lots.branch(`process ${at}`))
    const cache = new FleetCache(servers, clock, runtime, counters, lots.branch(`cache times ${at}`))
    const store = createSessionStore<Data>({
      ...{ cache, backend, runtime, namespace: NAMESPACE, purgeEveryMs: 0 },
      ...options.store,
    })
    for (const heard of ['fault', 'abandoned'] as const) store.on(heard, () => {})
    return store
  })
  const visits = new Visits(options, clock, lots.branch('visits'), stores, servers)
  let isOver = false
  let failure: unknown
  const during = (work: Promise<void>): void => {
    work.catch((error: unknown) => {
      failure = error
      isOver = true
    })
  }
  const tick = (second: number): void => {
    const phase = Object.entries(PHASES).findLast(([, [from]]) => second >= from)?.[0] ?? ''
    options.onSecond?.(second, END_S, phase)
    if (second < END_S) clock.after(1_000, () => tick(second + 1))
    else isOver = true
  }
  tick(0)
  during(visits.createAll(PHASES.created[1] * 1_000))
  clock.after(PHASES.settling[0] * 1_000, () => visits.begin())
  const losing = (lost: typeof servers.all, atS: number): void => {
    clock.after(atS * 1_000, () => {
      visits.lose(lost)
      for (const server of lost) server.lose()
      clock.after(options.awayMs, () => {
        for (const server of lost) server.start()
      })
    })
  }
  losing(servers.all.slice(0, 1), PHASES.oneLost[0])
  losing(servers.all, PHASES.allLost[0])
  await clock.run(() => isOver)
  if (failure !== undefined) throw failure
  const [one, all] = visits.losses
  if (one === undefined || all === undefined) throw new TypeError('Two losses should have happened')
  const { onSecond: _, ...given } = options
  return {
    options: given,
    steady: loadOf(counters, visits, ...PHASES.steady),
    oneLost: lossOf(one, counters, visits, PHASES.oneLost, options.awayMs),
    allLost: lossOf(all, counters, visits, PHASES.allLost, options.awayMs),
    changes: visits.changes,
  }
}

const runtimeOf = (clock: Clockwork, lots: Lots): Runtime => ({
  now: () => Math.floor(EPOCH + clock.now),
  monotonicMs: () => clock.now,
  after: (delayMs, callback) => clock.after(delayMs, callback),
  random: () => lots.next(),
  randomBytes: (size) => lots.bytes(size),
})

/** The people: each request goes to any process, and some of them change their session. */
class Visits {
  readonly losses: LossInMaking[] = []
  /** Requests by the second. */
  readonly requests: number[] = []
  changes = 0
  readonly #options: FleetOptions
  readonly #clock: Clockwork
  readonly #lots: Lots
  readonly #stores: readonly SessionStore<Data>[]
  readonly #servers: FleetServers
  readonly #ids: string[] = []
  /** How many changes of each session were acknowledged, and when the last ones were. */
  readonly #acknowledged: Uint32Array
  readonly #moments: Float64Array
  #beganAt = 0

  constructor(
    options: FleetOptions,
    clock: Clockwork,
    lots: Lots,
    stores: readonly SessionStore<Data>[],
    servers: FleetServers,
  ) {
    this.#options = options
    this.#clock = clock
    this.#lots = lots
    this.#stores = stores
    this.#servers = servers
    this.#acknowledged = new Uint32Array(options.sessions)
    this.#moments = new Float64Array(options.sessions * REMEMBERED)
  }

  async createAll(withinMs: number): Promise<void> {
    const { sessions } = this.#options
    const creating: Promise<void>[] = []
    for (let n = 0; n < sessions; n += 1) {
      // The last one has some seconds to be done.
      const at = (n / sessions) * (withinMs - 5_000)
      if (at > this.#clock.now) await this.#clock.sleep(at - this.#clock.now)
      creating.push(this.#create(n))
      if (creating.length >= 1_000) await Promise.all(creating.splice(0))
    }
    await Promise.all(creating)
  }

  async #create(n: number): Promise<void> {
    const { id } = await this.#anyStore().create({ visits: 0, text: 'x'.repeat(200) })
    this.#ids[n] = id
  }

  #anyStore(): SessionStore<Data> {
    return this.#stores[this.#lots.whole(this.#stores.length)] as SessionStore<Data>
  }

  /** From now on requests come, one after the other, at random moments. */
  begin(): void {
    this.#beganAt = this.#clock.now
    const { sessions, active, betweenRequestsMs } = this.#options
    const meanMs = betweenRequestsMs / (sessions * active)
    const next = (): void => {
      this.#clock.after(-Math.log(1 - this.#lots.next()) * meanMs, () => {
        void this.#request()
        next()
      })
    }
    next()
  }

  /** Those that are used now: who comes stays for ten minutes on average. */
  #anySession(): number {
    const { sessions, active } = this.#options
    const among = sessions * active
    const gone = ((this.#clock.now - this.#beganAt) / 600_000) * among
    return Math.floor(gone + this.#lots.next() * among) % sessions
  }

  async #request(): Promise<void> {
    const second = Math.floor(this.#clock.now / 1_000)
    this.requests[second] = (this.requests[second] ?? 0) + 1
    const n = this.#anySession()
    const store = this.#anyStore()
    const changes = this.#lots.happens(this.#options.changing)
    const loss = this.losses.at(-1)
    try {
      const session = await store.load(this.#ids[n] ?? '')
      if (session === undefined) {
        if (loss !== undefined) loss.loggedOut += 1
        return
      }
      this.#compare(n, session.data.visits)
      if (!changes) return
      session.data.visits += 1
      await store.save(session)
      this.#acknowledge(n, session.data.visits)
    } catch (error) {
      if (!isSessionStoreError(error)) throw error
      if (loss !== undefined) loss.refused += 1
    }
  }

  #acknowledge(n: number, visits: number): void {
    this.changes += 1
    this.#acknowledged[n] = Math.max(this.#acknowledged[n] ?? 0, visits)
    this.#moments[n * REMEMBERED + (visits % REMEMBERED)] = this.#clock.now
  }

  /**
   * A change that was acknowledged and is not there was lost: with the first loss of its server since then, however late
   * somebody notices, who may come only after the next loss.
   */
  #compare(n: number, seen: number): void {
    const acknowledged = this.#acknowledged[n] ?? 0
    if (seen >= acknowledged) return
    const oldestAt = this.#moments[n * REMEMBERED + ((seen + 1) % REMEMBERED)] ?? 0
    const server = this.#servers.homeOf(locate(NAMESPACE, this.#ids[n] ?? '').key)
    const loss = this.losses.find(({ atMs, servers }) => oldestAt < atMs && servers.has(server))
    // What another request has changed while this one was under way is no loss.
    if (loss === undefined) return
    const lost = acknowledged - seen
    this.#acknowledged[n] = seen
    loss.sessionsWithLoss += 1
    loss.changesLost += lost
    loss.mostChangesOfASession = Math.max(loss.mostChangesOfASession, lost)
    loss.oldestLostMs = Math.max(loss.oldestLostMs, loss.atMs - oldestAt)
  }

  lose(servers: readonly FleetServer[]): void {
    this.losses.push({
      atMs: this.#clock.now,
      servers: new Set(servers),
      entries: servers.reduce((sum, { entries }) => sum + entries.size, 0),
      ...{ sessionsWithLoss: 0, changesLost: 0, mostChangesOfASession: 0, oldestLostMs: 0, loggedOut: 0, refused: 0 },
    })
  }
}

const loadOf = (counters: Counters, visits: Visits, fromS: number, forS: number): Load => {
  const seconds = counters.seconds.slice(fromS, fromS + forS)
  const mean = (values: readonly number[]): number =>
    Math.round((values.reduce((sum, value) => sum + value, 0) / forS) * 100) / 100
  const of = (name: keyof Second): number => mean(seconds.map((second) => second[name]))
  return {
    requests: mean(visits.requests.slice(fromS, fromS + forS).map((requests) => requests ?? 0)),
    backendReads: of('backendReads'),
    backendWrites: of('backendWrites'),
    rowsWritten: of('rowsWritten'),
    cacheCalls: of('cacheCalls'),
  }
}

const lossOf = (
  { atMs: _at, servers: _servers, oldestLostMs, ...counted }: LossInMaking,
  counters: Counters,
  visits: Visits,
  [fromS, forS]: readonly [number, number],
  awayMs: number,
): Loss => {
  const seconds = counters.seconds.slice(fromS, fromS + forS)
  const busiestOf = (name: keyof Second): number => Math.max(...seconds.map((second) => second[name]))
  const awayS = Math.ceil(awayMs / 1_000)
  const reads = seconds.map(({ backendReads }) => backendReads)
  const limit = busiestOf('backendReads') / 10
  return {
    ...counted,
    oldestLostS: Math.round(oldestLostMs / 100) / 10,
    away: loadOf(counters, visits, fromS, awayS),
    busiest: {
      backendReads: busiestOf('backendReads'),
      backendWrites: busiestOf('backendWrites'),
      rowsWritten: busiestOf('rowsWritten'),
    },
    recoveredAfterS: Math.max(0, reads.findLastIndex((count) => count > limit) + 1 - awayS),
  }
}
