import { createHash } from 'node:crypto'
import type { Session } from '../../src/contract/session-store.js'
import type { Data } from './data.js'
import { sightOf } from './data.js'
import type { Operation, OperationKind, SessionHistory } from './history.js'
import type { SimulatedProcess } from './process.js'
import type { Lots } from './random.js'
import type { World } from './world.js'
import { failure } from './world.js'

/** How often each operation is chosen. */
const WEIGHTS: readonly (readonly [OperationKind, number])[] = [
  ['load', 22],
  ['save', 26],
  ['save shared', 7],
  ['save user', 3],
  ['update', 20],
  ['touch', 5],
  ['regenerate', 4],
  ['destroy', 4],
  ['put', 3],
  ['create', 3],
]
/** In a world whose sessions are short, these are chosen so much more often. */
const OF_SHORT_SESSIONS: Partial<Record<OperationKind, number>> = { destroy: 5, create: 4, regenerate: 2 }

/** What a tier knows a session by. */
export const keyOf = (id: string): string => `nonstick:${createHash('sha256').update(id).digest('base64url')}`

/** The clients of the simulated cluster, each doing one thing after another, and the operations they have left. */
export class Workload {
  left: number
  /** Clients that are in the middle of something, of processes that live. */
  readonly #world: World
  readonly #lots: Lots
  #sessions = 0
  #tokens = 0
  #clients = 0

  constructor(world: World) {
    this.#world = world
    this.left = world.config.operations
    this.#lots = world.lots.branch('workload')
  }

  /** A session in the world's books, before it is made. */
  newSession(id?: string, ancestors: readonly string[] = []): SessionHistory {
    this.#sessions += 1
    const name = `s${this.#sessions}`
    const given = id ?? `session-${name}-of-the-simulation`
    const session: SessionHistory = {
      name,
      id: given,
      key: keyOf(given),
      ancestors,
      operations: [],
      disturbances: [],
      backendFailures: [],
      lostWhole: new Set(),
      ...(this.#world.config.persistOn === 'create' ? {} : { deferredUntil: Number.POSITIVE_INFINITY }),
    }
    this.#world.know(session)
    return session
  }

  newToken(session: SessionHistory): string {
    this.#tokens += 1
    return `${session.name}.${this.#tokens}`
  }

  async startClient(process: SimulatedProcess): Promise<void> {
    this.#clients += 1
    const client = new Client(this.#world, this, process, `c${this.#clients}`, this.#lots.branch(`c${this.#clients}`))
    await client.work()
  }
}

/** Somebody who uses sessions through one process. */
export class Client {
  readonly #world: World
  readonly #workload: Workload
  readonly #process: SimulatedProcess
  readonly #name: string
  readonly #lots: Lots
  readonly #weights: readonly (readonly [OperationKind, number])[]
  readonly #total: number
  /** The copies it holds, as requests do, some of them for long. */
  readonly #held = new Map<string, Session<Data>>()

  constructor(world: World, workload: Workload, process: SimulatedProcess, name: string, lots: Lots) {
    this.#world = world
    this.#workload = workload
    this.#process = process
    this.#name = name
    this.#lots = lots
    const { shortSessions } = world.config
    this.#weights = shortSessions
      ? WEIGHTS.map(([kind, weight]) => [kind, weight * (OF_SHORT_SESSIONS[kind] ?? 1)] as const)
      : WEIGHTS
    this.#total = this.#weights.reduce((sum, [, weight]) => sum + weight, 0)
  }

  async work(): Promise<void> {
    const { thinkMs } = this.#world.config
    for (;;) {
      const pause = this.#lots.happens(0.06)
        ? this.#lots.between(200, 4_000)
        : -Math.log(1 - this.#lots.next()) * thinkMs
      await this.#world.clock.sleep(pause, this.#process)
      if (this.#workload.left <= 0 || this.#process.leaving) return
      this.#workload.left -= 1
      await this.#doSomething()
    }
  }

  async #doSomething(): Promise<void> {
    const { sessions } = this.#world
    // The newest sessions that live; and now and then one that ended, to see that it stays ended.
    // Nobody knows an id before its session is made.
    const made = [...sessions.values()].filter(isMade)
    const known = this.#lots.happens(0.15)
      ? made.slice(-4)
      : made.filter((session) => !isOver(session)).slice(-this.#world.config.sessions)
    if (known.length === 0) return await this.create()
    const session = this.#lots.pick(known)
    const kind = this.#kind()
    switch (kind) {
      case 'create':
        return await this.create()
      case 'load':
        return void (await this.load(session))
      case 'save':
      case 'save shared':
      case 'save user':
        return await this.save(session, kind, this.#lots.happens(0.2))
      case 'update':
        return await this.update(session, this.#lots.happens(0.15))
      case 'touch':
        return await this.touch(session)
      case 'regenerate':
        return await this.regenerate(session)
      case 'destroy':
        return await this.destroy(session)
      case 'put':
        return await this.put(session)
      case 'close':
        return
    }
  }

  #kind(): OperationKind {
    let lot = this.#lots.whole(this.#total)
    for (const [kind, weight] of this.#weights) {
      lot -= weight
      if (lot < 0) return kind
    }
    return 'load'
  }

  async create(): Promise<void> {
    const session = this.#workload.newSession()
    const token = this.#workload.newToken(session)
    const { persistOn } = this.#world.config
    const data: Data =
      persistOn === 'identify' && this.#lots.happens(0.3) ? { log: [token], user: token } : { log: [token] }
    const isDeferred = persistOn === 'due' || (persistOn === 'identify' && data.user === undefined)
    await this.#perform('create', session, token, async (operation) => {
      const made = await this.#process.store.create(data, { id: session.id })
      operation.outcome = { is: 'ok', durability: isDeferred ? 'cache' : 'backend' }
      operation.sight = sightOf(made)
      if (this.#lots.happens(0.5)) this.#held.set(session.name, made)
    })
  }

  async load(session: SessionHistory): Promise<Session<Data> | undefined> {
    let found: Session<Data> | undefined
    await this.#perform('load', session, undefined, async (operation) => {
      found = await this.#process.store.load(session.id)
      operation.outcome = { is: 'ok' }
      if (found !== undefined) operation.sight = sightOf(found)
      if (found !== undefined && this.#lots.happens(0.4)) this.#held.set(session.name, found)
      else this.#held.delete(session.name)
    })
    return found
  }

  async save(session: SessionHistory, kind: 'save' | 'save shared' | 'save user', durable: boolean): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.load(session))
    if (held === undefined) return
    const token = this.#workload.newToken(session)
    const { data } = held
    if (kind === 'save shared') data.shared = token
    else if (kind === 'save user') data.user = token
    if (kind !== 'save shared') data[`by save ${token}`] = true
    let isKnown = false
    await this.#perform(kind, session, token, async (operation) => {
      const { durability } = await this.#process.store.save(held, { durable })
      isKnown = true
      operation.outcome = { is: 'ok', durability }
    })
    if (isKnown && this.#lots.happens(0.6)) this.#held.set(session.name, held)
    else this.#held.delete(session.name)
  }

  async update(session: SessionHistory, durable: boolean): Promise<void> {
    const token = this.#workload.newToken(session)
    await this.#perform('update', session, token, async (operation) => {
      const updated = await this.#process.store.update(session.id, ({ log }) => void log.push(token), { durable })
      if (updated === undefined) {
        // Nothing was there to change: like a load that found nothing.
        operation.outcome = { is: 'failed', code: 'no session', applied: 'no' }
        return
      }
      operation.outcome = { is: 'ok', durability: durable ? 'backend' : 'cache' }
      operation.sight = sightOf(updated)
    })
    // A copy that is held was made before.
    if (this.#lots.happens(0.5)) this.#held.delete(session.name)
  }

  async touch(session: SessionHistory): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.load(session))
    if (held === undefined) return
    await this.#perform('touch', session, undefined, async (operation) => {
      await this.#process.store.touch(held)
      operation.outcome = { is: 'ok' }
    })
  }

  async regenerate(session: SessionHistory): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.load(session))
    this.#held.delete(session.name)
    if (held === undefined) return
    await this.#perform('regenerate', session, undefined, async (operation) => {
      const fresh = await this.#process.store.regenerate(held)
      operation.outcome = { is: 'ok', durability: 'backend', cacheToldOfEnd: operation.cacheFailures === 0 }
      operation.sight = sightOf(fresh)
      const next = this.#workload.newSession(fresh.id, [session.name, ...session.ancestors])
      const born = this.#world.begin('create', this.#process.name, this.#name, next)
      born.completed = this.#world.clock.now
      born.outcome = { is: 'ok', durability: 'backend' }
      born.sight = operation.sight
    })
  }

  async destroy(session: SessionHistory): Promise<void> {
    this.#held.delete(session.name)
    await this.#perform('destroy', session, undefined, async (operation) => {
      const { cache } = await this.#process.store.destroy(session.id)
      operation.outcome = { is: 'ok', cacheToldOfEnd: cache === 'tombstone' }
    })
  }

  async put(session: SessionHistory): Promise<void> {
    this.#held.delete(session.name)
    const token = this.#workload.newToken(session)
    await this.#perform('put', session, token, async (operation) => {
      await this.#process.store.put(session.id, { log: [token], putBy: token })
      operation.outcome = { is: 'ok', durability: 'cache' }
    })
  }

  async #perform(
    kind: OperationKind,
    session: SessionHistory,
    token: string | undefined,
    work: (operation: Operation) => Promise<void>,
  ): Promise<void> {
    await perform(this.#world, this.#process, this.#name, kind, session, token, work)
  }
}

/** Does it, and writes down how it began and ended. */
export const perform = async (
  world: World,
  process: SimulatedProcess,
  client: string,
  kind: OperationKind,
  session: SessionHistory,
  token: string | undefined,
  work: (operation: Operation) => Promise<void>,
): Promise<Operation> => {
  const operation = world.begin(kind, process.name, client, session, token)
  world.note(process, `${client} ${kind} ${session.name}${token === undefined ? '' : ` ${token}`} …`)
  try {
    await work(operation)
  } catch (error) {
    operation.outcome = failure(error)
  }
  operation.completed = world.clock.now
  operation.pausedMs = process.pausedBetween(operation.invoked, operation.completed)
  world.onCompleted(operation, session)
  return operation
}

const isMade = ({ operations }: SessionHistory): boolean =>
  operations.some(({ kind, outcome }) => kind === 'create' && outcome.is === 'ok')

/** Nobody uses it any more, except to see that it does not come back. */
const isOver = ({ operations }: SessionHistory): boolean =>
  operations.some(
    ({ kind, outcome, completed }) =>
      (kind === 'destroy' || kind === 'regenerate') && outcome.is === 'ok' && completed !== undefined,
  )
