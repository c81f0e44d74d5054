import { createHash } from 'node:crypto'
import type { CallOptions, Session } from '../../src/contract/session-store.js'
import { type Data, ownKey, sightOf, tokensOf } from './data.js'
import type { FaultKind } from './faults.js'
import type { Operation, OperationKind, SessionHistory, Writes } from './history.js'
import type { SimulatedProcess } from './process.js'
import type { Lots } from './random.js'
import { UserClient } from './user-client.js'
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

type SaveKind = 'save' | 'save shared' | 'save user'

/** Thrown by a change of the application's: nothing is stored then. */
export class ChangeRefused extends Error {}

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
  newSession(id?: string, ancestors: readonly string[] = [], follows?: string): SessionHistory {
    this.#sessions += 1
    const name = `s${this.#sessions}`
    const given = id ?? `session-${name}-of-the-simulation`
    const session: SessionHistory = {
      name,
      id: given,
      key: keyOf(given),
      ancestors,
      ...(follows === undefined ? {} : { follows }),
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

  /** A session was given a new id: it is another one in the world's books, which the old one has become. */
  onRegenerated(
    operation: Operation,
    { name, ancestors }: SessionHistory,
    fresh: Session<Data>,
    { process, client }: Pick<Operation, 'process' | 'client'>,
  ): void {
    operation.outcome = { is: 'ok', durability: 'backend', cacheToldOfEnd: operation.cacheFailures === 0 }
    operation.sight = sightOf(fresh)
    if (operation.login !== undefined && !operation.sight.tokens.has(operation.login))
      this.#world.violated('I3', name, `the session that regenerate gave lacks ${operation.login}`)
    const next = this.newSession(fresh.id, [name, ...ancestors])
    const { user } = operation.sight
    const born = this.#world.begin(
      'create',
      process,
      client,
      next,
      undefined,
      user === undefined ? {} : { becomes: user },
    )
    born.completed = this.#world.clock.now
    born.outcome = { is: 'ok', durability: 'backend' }
    born.sight = operation.sight
  }

  /** Somebody uses the newest session over and over until then, as an open page does, by one process and another. */
  async keepInUse(lots: Lots, until: number): Promise<void> {
    const { clock, config, sessions, processes } = this.#world
    let session: SessionHistory | undefined
    while (clock.now < until) {
      await clock.sleep(config.idleTtlMs * lots.between(0.06, 0.15))
      session ??= [...sessions.values()].filter((each) => isMade(each) && !isOver(each)).at(-1)
      const awake = processes.filter(({ alive, leaving, paused }) => alive && !leaving && !paused)
      if (awake.length === 0) continue
      const process = lots.pick(awake)
      if (session === undefined) continue
      const { id } = session
      const using = perform(this.#world, process, 'keeper', 'load', session, undefined, async (operation) => {
        const found = await process.store.load(id)
        operation.outcome = { is: 'ok' }
        if (found !== undefined) operation.sight = sightOf(found)
      })
      // A process that dies or is closed may never answer.
      await Promise.race([using, clock.sleep(config.deadlineMs + 1)])
    }
  }

  async startClient(process: SimulatedProcess): Promise<void> {
    this.#clients += 1
    const client = new Client(this.#world, this, process, `c${this.#clients}`, this.#lots.branch(`c${this.#clients}`))
    await client.work()
  }
}

/** A copy of a session, and what its client has written through it. */
interface Held {
  readonly handle: Session<Data>
  /** Tokens of its saves that were acknowledged, and of those that were rejected: the handle holds these too. */
  readonly acknowledged: Set<string>
  readonly rejected: Set<string>
  /** Tokens of rejected saves that the handle holds as well, and of which nobody asks whether they came in later. */
  readonly unasked: Set<string>
  /** When it was saved first. */
  since?: number
}

/** Somebody who uses sessions through one process. */
export class Client {
  readonly #world: World
  readonly #workload: Workload
  readonly #process: SimulatedProcess
  readonly #name: string
  readonly #lots: Lots
  /** The lots that say which calls are given up. */
  readonly #aborts: Lots
  /** The lots that say which ids are asked for before their sessions are made. */
  readonly #guesses: Lots
  /** The lots that say which sessions are those of the old store. */
  readonly #oldOnes: Lots
  readonly #weights: readonly (readonly [OperationKind, number])[]
  readonly #total: number
  /** The copies it holds, as requests do, some of them for long. */
  readonly #held = new Map<string, Held>()
  /** What it does about users, where sessions have some. */
  readonly #ofUsers: UserClient | undefined

  constructor(world: World, workload: Workload, process: SimulatedProcess, name: string, lots: Lots) {
    this.#world = world
    this.#workload = workload
    this.#process = process
    this.#name = name
    this.#lots = lots
    this.#aborts = lots.branch('aborts')
    this.#guesses = lots.branch('guesses')
    this.#oldOnes = lots.branch('old ones')
    const { shortSessions, users } = world.config
    if (users !== undefined)
      this.#ofUsers = new UserClient(world, workload, process, { name, lots: lots.branch('users'), users })
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
      : made
          .filter((session) => !isOver(session) && !this.#world.users.isGone(session))
          .slice(-this.#world.config.sessions)
    if ((await this.#ofUsers?.perhapsDo(known)) === true) return
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
        return await this.#saveSomehow(session, kind)
      case 'update':
        return await this.#updateSomehow(session)
      case 'touch':
        return await this.touch(session)
      case 'regenerate':
        return await this.regenerate(session)
      case 'destroy':
        return await this.destroy(session)
      case 'put':
        // A put makes what is not there, and of an end in the old store nothing is known here.
        if (this.#world.oldStore?.hasEnded(session) === true) return
        return await this.put(session)
      case 'close':
      case 'log out':
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
    const { oldStore, config } = this.#world
    if (oldStore !== undefined && this.#oldOnes.happens(config.oldStore?.share ?? 0)) {
      void oldStore.keep(session, this.#workload.newToken(session))
      return
    }
    const guessing = this.#askBefore(session)
    if (guessing !== undefined) await this.#world.clock.sleep(this.#guesses.pick([0, 20]), this.#process)
    await this.#createSomehow(session)
    await guessing
  }

  /** Others ask for the id before its session is made, and while it is: they have guessed it, or had it before. */
  #askBefore(session: SessionHistory): Promise<unknown> | undefined {
    const { clock, config, processes } = this.#world
    if (!config.faults.has('id asked for before') || !this.#guesses.happens(0.6)) return undefined
    this.#world.strikeFelt('id asked for before')
    const guesses = Array.from({ length: 1 + this.#guesses.whole(4) }, async (_, at) => {
      if (at > 0) await clock.sleep(this.#guesses.pick([1, 5, 20, 100]) * this.#guesses.next())
      const awake = processes.filter(({ alive, leaving, paused }) => alive && !leaving && !paused)
      if (awake.length === 0) return
      const process = this.#guesses.pick(awake)
      const asking = perform(this.#world, process, 'guesser', 'load', session, undefined, async (operation) => {
        const found = await process.store.load(session.id)
        operation.outcome = { is: 'ok' }
        if (found !== undefined) operation.sight = sightOf(found)
      })
      // A process that dies or is closed may never answer.
      await Promise.race([asking, clock.sleep(config.deadlineMs + 1)])
    })
    return Promise.all(guesses)
  }

  async #createSomehow(session: SessionHistory): Promise<void> {
    if (this.#world.config.reusesIds === true && this.#lots.happens(0.5)) await this.#giveUp(session)
    else await this.#create(session)
  }

  /** It is destroyed while it is still being created, which may take its time. */
  async #giveUp(session: SessionHistory): Promise<void> {
    const creating = this.#create(session)
    await this.#pauseBriefly()
    await this.destroy(session)
    await creating
  }

  async #create(session: SessionHistory): Promise<void> {
    const token = this.#workload.newToken(session)
    const { persistOn } = this.#world.config
    const data: Data =
      persistOn === 'identify' && this.#lots.happens(0.3) ? { log: [token], user: token } : { log: [token] }
    const isDeferred = persistOn === 'due' || (persistOn === 'identify' && data.user === undefined)
    await this.#perform('create', session, token, async (operation) => {
      const made = await this.#process.store.create(data, { id: session.id, ...this.#patience() })
      operation.outcome = { is: 'ok', durability: isDeferred ? 'cache' : 'backend' }
      operation.sight = sightOf(made)
      if (this.#lots.happens(0.5)) this.#held.set(session.name, heldOf(made))
    })
  }

  async load(session: SessionHistory): Promise<Held | undefined> {
    let found: Held | undefined
    await this.#perform('load', session, undefined, async (operation) => {
      const loaded = await this.#process.store.load(session.id, this.#patience())
      operation.outcome = { is: 'ok' }
      if (loaded !== undefined) {
        operation.sight = sightOf(loaded)
        found = heldOf(loaded)
      }
      if (found !== undefined && this.#lots.happens(0.4)) this.#held.set(session.name, found)
      else this.#held.delete(session.name)
    })
    return found
  }

  /** One save; or with a handle that has been saved before; or several at once. */
  async #saveSomehow(session: SessionHistory, kind: SaveKind): Promise<void> {
    const durable = this.#lots.happens(0.2)
    if (this.#does('calls overlap', 0.05)) return await this.#burst(session)
    const held = this.#held.get(session.name) ?? (await this.load(session))
    if (held === undefined) return
    if (this.#does('calls overlap', 0.2)) return await this.#saveTwiceAtOnce(session, held)
    const wasSaved = held.acknowledged.size + held.rejected.size > 0
    if (wasSaved && this.#does('handle used again', 0.5)) await this.#saveAsItIs(session, held)
    else await this.save(session, held, kind, durable)
    // An application that is told of a failure may try it once more.
    while (held.rejected.size > 0 && this.#does('handle used again', 0.5)) await this.#saveAsItIs(session, held)
    if (held.rejected.size > 0 && !this.#does('handle used again', 0.5)) this.#held.delete(session.name)
    else if (this.#lots.happens(0.6)) this.#held.set(session.name, held)
    else this.#held.delete(session.name)
  }

  async save(session: SessionHistory, held: Held, kind: SaveKind, durable: boolean): Promise<boolean> {
    const token = this.#workload.newToken(session)
    const { data } = held.handle
    if (kind === 'save shared') data.shared = token
    else if (kind === 'save user') data.user = token
    if (kind !== 'save shared') data[ownKey(token)] = true
    this.#resize(data)
    const isDone = await this.#saveHeld(session, held, kind, durable, token)
    if (isDone && kind !== 'save shared') this.#world.watch.onSaved(session, token, tokensOf(held.handle.data))
    // Nobody asks whether a shared key that was rejected came in with a later save.
    if (!isDone && kind !== 'save') {
      for (const each of held.rejected) held.unasked.add(each)
      held.rejected.clear()
    }
    return isDone
  }

  /** Now and then a session becomes too large for the cache, or nearly so, or small again. */
  #resize(data: Data): void {
    const { config } = this.#world
    if (!config.faults.has('value too large') || !this.#lots.happens(0.3)) return
    const length = this.#lots.pick([0, this.#lots.whole(config.maxValueBytes), config.maxValueBytes])
    if (length === 0) delete data.pad
    else data.pad = '-'.repeat(length)
  }

  /** Without another change: nothing new is to be stored, or all that was rejected. */
  async #saveAsItIs(session: SessionHistory, held: Held): Promise<void> {
    await this.#saveHeld(session, held, 'save', this.#lots.happens(0.5))
  }

  async #saveHeld(
    session: SessionHistory,
    held: Held,
    kind: SaveKind,
    durable: boolean,
    token?: string,
    withdraws?: string,
  ): Promise<boolean> {
    held.since ??= this.#world.clock.now
    // With a change, the store merges: what was acknowledged before, and is lost since, is not asked for anew.
    const isAsItIs = token === undefined && withdraws === undefined
    const carries = [...held.rejected, ...(durable && isAsItIs ? held.acknowledged : [])]
    const own = token === undefined || kind === 'save shared' ? [] : [token]
    const writes: Writes = {
      ...(kind === 'save user' && token !== undefined ? { becomes: token } : {}),
      ...(carries.length === 0 ? {} : { carries, heldSince: held.since }),
      ...(held.unasked.size === 0 ? {} : { holds: [...held.unasked] }),
      ...(withdraws === undefined ? {} : { withdraws }),
    }
    const { outcome } = await this.#perform(
      kind,
      session,
      token,
      async (operation) => {
        const { durability } = await this.#process.store.save(held.handle, { durable, ...this.#patience() })
        operation.outcome = { is: 'ok', durability }
      },
      writes,
    )
    for (const each of [...carries, ...own]) {
      if (outcome.is !== 'ok') held.rejected.add(each)
      else {
        held.rejected.delete(each)
        held.acknowledged.add(each)
      }
    }
    return outcome.is === 'ok'
  }

  /** The second save begins while the first is under way: with one more change, or with the first one taken back. */
  async #saveTwiceAtOnce(session: SessionHistory, held: Held): Promise<void> {
    this.#held.delete(session.name)
    const [first, second] = [this.#workload.newToken(session), this.#workload.newToken(session)]
    held.handle.data[ownKey(first)] = true
    const saving = this.#saveHeld(session, held, 'save', this.#lots.happens(0.2), first)
    await this.#pauseBriefly()
    const isTakenBack = this.#lots.happens(0.5)
    if (isTakenBack) delete held.handle.data[ownKey(first)]
    else held.handle.data[ownKey(second)] = true
    const carried: Held = { ...held, rejected: new Set(isTakenBack ? held.rejected : [...held.rejected, first]) }
    const again = isTakenBack
      ? this.#saveHeld(session, carried, 'save', this.#lots.happens(0.2), undefined, first)
      : this.#saveHeld(session, carried, 'save', this.#lots.happens(0.2), second)
    const [, isDone] = await Promise.all([saving, again])
    if (!isDone) return
    this.#world.judgeHandle(session, held.handle.data, isTakenBack ? [] : [second], isTakenBack ? [first] : [])
  }

  /** Several requests of one session in one process save at once, and may have to wait for one another. */
  async #burst(session: SessionHistory): Promise<void> {
    this.#held.delete(session.name)
    const loads = Array.from({ length: 3 + this.#lots.whole(6) }, () => this.load(session))
    const copies = (await Promise.all(loads)).filter((held) => held !== undefined)
    this.#held.delete(session.name)
    await Promise.all(copies.map((held) => this.save(session, held, 'save', this.#lots.happens(0.2))))
  }

  async #updateSomehow(session: SessionHistory): Promise<void> {
    // A copy that is held was made before.
    if (this.#lots.happens(0.5)) this.#held.delete(session.name)
    if (!this.#does('calls overlap', 0.3)) {
      await this.update(session, this.#lots.happens(0.15))
      return
    }
    const updates = Array.from({ length: 2 + this.#lots.whole(2) }, async (_, at) => {
      if (at > 0) await this.#pauseBriefly()
      return await this.update(session, this.#lots.happens(0.15))
    })
    const given = (await Promise.all(updates)).filter((updated) => updated !== undefined)
    const [one, other] = given
    if (one === undefined || other === undefined) return
    if (new Set(given).size < given.length || new Set(given.map(({ data }) => data)).size < given.length)
      this.#world.violated('own session', session.name, 'updates that came together were given one session object')
    // What one of them changes and never saves is nobody else's.
    const draft = this.#workload.newToken(session)
    one.data[ownKey(draft)] = true
    const unsaved = this.#world.begin('save', this.#process.name, this.#name, session, draft)
    unsaved.completed = this.#world.clock.now
    unsaved.outcome = { is: 'failed', code: 'never saved', applied: 'no' }
    await this.save(session, heldOf(other), 'save', this.#lots.happens(0.2))
  }

  async update(session: SessionHistory, durable: boolean): Promise<Session<Data> | undefined> {
    const token = this.#workload.newToken(session)
    const misbehaves = this.#misbehaviour()
    let updated: Session<Data> | undefined
    const change = ({ log }: Data): Promise<void> | undefined => {
      log.push(token)
      return misbehaves?.()
    }
    await this.#perform(
      'update',
      session,
      token,
      async (operation) => {
        updated = await this.#process.store.update(session.id, change, { durable, ...this.#patience() })
        if (updated === undefined) {
          // Nothing was there to change: like a load that found nothing.
          operation.outcome = { is: 'failed', code: 'no session', applied: 'no' }
          return
        }
        operation.outcome = { is: 'ok', durability: durable ? 'backend' : 'cache' }
        operation.sight = sightOf(updated)
      },
      { hangs: misbehaves?.hangs === true },
    )
    return updated
  }

  /** What a change of the application's does beside changing the data; most do nothing else. */
  #misbehaviour(): ((() => Promise<void>) & { readonly hangs?: boolean }) | undefined {
    const { clock, config } = this.#world
    if (this.#does('callback threw', 0.1))
      return () => {
        throw new ChangeRefused('The application refuses the change')
      }
    if (!this.#does('callback hung', 0.06)) return undefined
    const lateMs = this.#lots.happens(0.5) ? config.deadlineMs + this.#lots.between(1, 500) : undefined
    const hang = (): Promise<void> =>
      lateMs === undefined ? new Promise(() => {}) : clock.sleep(lateMs, this.#process)
    return Object.assign(hang, { hangs: true })
  }

  /** As applications do now and then; and it is counted, if this schedule's applications do so. */
  #does(kind: FaultKind, probability: number): boolean {
    const { config } = this.#world
    if (!config.faults.has(kind) || !this.#lots.happens(probability)) return false
    this.#world.strikeFelt(kind)
    return true
  }

  /** With what a call is made: now and then with a signal, by which it is given up a moment later, or at once. */
  #patience(): CallOptions {
    const { clock, config } = this.#world
    if (!config.faults.has('call aborted') || !this.#aborts.happens(0.08)) return {}
    const controller = new AbortController()
    const afterMs = this.#aborts.pick([0, 1, 3, 10, 100, 1_000]) * this.#aborts.next()
    if (afterMs === 0) controller.abort()
    else clock.after(afterMs, () => controller.abort(), this.#process)
    this.#world.strikeFelt('call aborted')
    return { signal: controller.signal }
  }

  #pauseBriefly(): Promise<void> {
    return this.#world.clock.sleep(this.#lots.pick([0, 1, 3, 10]) * this.#lots.next(), this.#process)
  }

  async touch(session: SessionHistory): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.load(session))
    if (held === undefined) return
    await this.#perform('touch', session, undefined, async (operation) => {
      await this.#process.store.touch(held.handle, this.#patience())
      operation.outcome = { is: 'ok' }
    })
  }

  async regenerate(session: SessionHistory): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.load(session))
    this.#held.delete(session.name)
    if (held === undefined) return
    const login = this.#does('login before regenerate', 0.7) ? this.#workload.newToken(session) : undefined
    if (login !== undefined) held.handle.data[ownKey(login)] = true
    const writes: Writes = login === undefined ? {} : { login }
    const regenerating = async (operation: Operation): Promise<void> => {
      const fresh = await this.#process.store.regenerate(held.handle, this.#patience())
      this.#workload.onRegenerated(operation, session, fresh, { process: this.#process.name, client: this.#name })
    }
    await this.#perform('regenerate', session, undefined, regenerating, writes)
  }

  async destroy(session: SessionHistory): Promise<void> {
    this.#held.delete(session.name)
    await this.#perform('destroy', session, undefined, async (operation) => {
      const { cache } = await this.#process.store.destroy(session.id, this.#patience())
      operation.outcome = { is: 'ok', cacheToldOfEnd: cache === 'tombstone' }
    })
  }

  async put(session: SessionHistory): Promise<void> {
    this.#held.delete(session.name)
    const token = this.#workload.newToken(session)
    await this.#perform(
      'put',
      session,
      token,
      async (operation) => {
        await this.#process.store.put(session.id, { log: [token], putBy: token }, this.#patience())
        operation.outcome = { is: 'ok', durability: 'cache' }
      },
      { becomes: null },
    )
  }

  async #perform(
    kind: OperationKind,
    session: SessionHistory,
    token: string | undefined,
    work: (operation: Operation) => Promise<void>,
    writes?: Writes,
  ): Promise<Operation> {
    return await perform(this.#world, this.#process, this.#name, kind, session, token, work, writes)
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
  writes?: Writes,
): Promise<Operation> => {
  const operation = world.begin(kind, process.name, client, session, token, writes)
  world.note(
    process,
    `${client} ${kind} ${session.name}${token === undefined ? '' : ` ${token}`}${shownWrites(operation)} …`,
  )
  try {
    await work(operation)
  } catch (error) {
    const wasRefused = error instanceof ChangeRefused
    operation.outcome = wasRefused ? { is: 'failed', code: 'change refused', applied: 'no' } : failure(error)
  }
  operation.completed = world.clock.now
  operation.pausedMs = process.pausedBetween(operation.invoked, operation.completed)
  world.onCompleted(operation, session)
  return operation
}

const heldOf = (handle: Session<Data>): Held => ({
  handle,
  acknowledged: new Set(),
  rejected: new Set(),
  unasked: new Set(),
})

const shownWrites = ({ carries, withdraws, login }: Writes): string =>
  `${carries === undefined ? '' : ` with ${carries.join(' ')}`}${withdraws === undefined ? '' : ` without ${withdraws}`}${login === undefined ? '' : ` login ${login}`}`

const isMade = ({ operations }: SessionHistory): boolean =>
  operations.some(({ kind, outcome }) => kind === 'create' && outcome.is === 'ok')

/** Nobody uses it any more, except to see that it does not come back. */
const isOver = ({ operations }: SessionHistory): boolean =>
  operations.some(
    ({ kind, outcome, completed }) =>
      (kind === 'destroy' || kind === 'regenerate') && outcome.is === 'ok' && completed !== undefined,
  )
