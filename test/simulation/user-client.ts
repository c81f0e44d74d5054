import type { Session } from '../../src/contract/session-store.js'
import type { UsersConfig } from './config.js'
import { type Data, ownKey, sightOf } from './data.js'
import type { Operation, SessionHistory } from './history.js'
import type { SimulatedProcess } from './process.js'
import type { Lots } from './random.js'
import type { Logout } from './users.js'
import { perform, type Workload } from './workload.js'
import { failure, type World } from './world.js'

type Kind = 'create' | 'save' | 'update' | 'regenerate' | 'leave' | 'log out' | 'log out but one' | 'look'

/** How often each is chosen. */
const WEIGHTS: readonly (readonly [Kind, number])[] = [
  ['create', 22],
  ['save', 22],
  ['update', 12],
  ['regenerate', 12],
  ['leave', 3],
  ['log out', 12],
  ['log out but one', 9],
  ['look', 8],
]
const TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)

/** So many of a user's sessions are looked at by whoever wants to know which are left, the newest first. */
const LOOKED_AT = 5

/** Logs users in and out, by one process. It keeps no handles. */
export class UserClient {
  readonly #world: World
  readonly #workload: Workload
  readonly #process: SimulatedProcess
  readonly #name: string
  readonly #lots: Lots
  readonly #users: UsersConfig

  constructor(
    world: World,
    workload: Workload,
    process: SimulatedProcess,
    { name, lots, users }: { readonly name: string; readonly lots: Lots; readonly users: UsersConfig },
  ) {
    this.#world = world
    this.#workload = workload
    this.#process = process
    this.#name = name
    this.#lots = lots
    this.#users = users
  }

  /** Does something about a user, if its lot says so. Resolves to `false` where it does not. */
  async perhapsDo(known: readonly SessionHistory[]): Promise<boolean> {
    if (!this.#lots.happens(this.#users.share)) return false
    await this.#do(this.#kind(), this.#lots.pick(this.#users.names), known)
    return true
  }

  async #do(kind: Kind, user: string, known: readonly SessionHistory[]): Promise<void> {
    const session = known.length === 0 ? undefined : this.#lots.pick(known)
    switch (kind) {
      case 'log out':
        return await this.logOut(user, undefined)
      case 'log out but one':
        return await this.logOut(user, this.#surelyOf(user).at(-1 - this.#lots.whole(3)))
      case 'look':
        return await this.#look(user, this.#process)
      case 'create':
        return void (await this.create(user))
      default:
        return session === undefined ? void (await this.create(user)) : await this.#change(kind, user, session)
    }
  }

  async #change(
    kind: 'save' | 'update' | 'regenerate' | 'leave',
    user: string,
    session: SessionHistory,
  ): Promise<void> {
    if (kind === 'update') return await this.#update(session, user)
    if (kind === 'leave') return await this.#update(session, undefined)
    const handle = await this.#load(this.#process, session)
    if (handle === undefined) return
    if (kind === 'save') await this.#save(session, handle, user)
    else await this.#regenerate(session, handle, user)
  }

  #kind(): Kind {
    let lot = this.#lots.whole(TOTAL)
    for (const [kind, weight] of WEIGHTS) {
      lot -= weight
      if (lot < 0) return kind
    }
    return 'look'
  }

  #surelyOf(user: string): readonly SessionHistory[] {
    const { users, clock } = this.#world
    return users.sessionsOf(user).filter((session) => users.isSurelyOf(session, user, clock.now))
  }

  /** A new session that is a user's from the beginning. */
  async create(user: string): Promise<Operation> {
    const session = this.#workload.newSession()
    const token = this.#workload.newToken(session)
    const create = async (operation: Operation): Promise<void> => {
      const made = await this.#process.store.create({ log: [token], user }, { id: session.id })
      operation.outcome = { is: 'ok', durability: 'backend' }
      operation.sight = sightOf(made)
    }
    return await this.#logIn('create', session, user, token, create)
  }

  async #save(session: SessionHistory, handle: Session<Data>, user: string): Promise<void> {
    const token = this.#workload.newToken(session)
    const isLogin = handle.data.user !== user
    handle.data.user = user
    handle.data[ownKey(token)] = true
    const save = async (operation: Operation): Promise<void> => {
      const { durability } = await this.#process.store.save(handle)
      operation.outcome = { is: 'ok', durability }
    }
    if (isLogin) await this.#logIn('save user', session, user, token, save)
    else await this.#perform('save', session, token, save)
  }

  /** Logs in, or only itself out. */
  async #update(session: SessionHistory, user: string | undefined): Promise<void> {
    const token = this.#workload.newToken(session)
    const change = (data: Data): void => {
      data.log.push(token)
      if (user === undefined) delete data.user
      else data.user = user
    }
    const update = async (operation: Operation): Promise<void> => {
      const updated = await this.#process.store.update(session.id, change)
      operation.outcome =
        updated === undefined ? { is: 'failed', code: 'no session', applied: 'no' } : { is: 'ok', durability: 'cache' }
      if (updated !== undefined) operation.sight = sightOf(updated)
    }
    if (user === undefined) await this.#perform('update', session, token, update, { becomes: null })
    else await this.#logIn('update', session, user, token, update)
  }

  async #regenerate(session: SessionHistory, handle: Session<Data>, user: string): Promise<void> {
    const login = this.#workload.newToken(session)
    handle.data.user = user
    handle.data[ownKey(login)] = true
    const regenerate = async (operation: Operation): Promise<void> => {
      const fresh = await this.#process.store.regenerate(handle)
      this.#workload.onRegenerated(operation, session, fresh, { process: this.#process.name, client: this.#name })
    }
    this.#world.users.onLogin(user, login, session, true)
    this.#watchForLogouts(user)
    await this.#perform('regenerate', session, undefined, regenerate, { login, becomes: user })
  }

  async #logIn(
    kind: Operation['kind'],
    session: SessionHistory,
    user: string,
    token: string,
    work: (operation: Operation) => Promise<void>,
  ): Promise<Operation> {
    this.#world.users.onLogin(user, token, session, false)
    this.#watchForLogouts(user)
    const operation = await this.#perform(kind, session, token, work, { becomes: user })
    const { outcome } = operation
    if (outcome.is === 'failed' && outcome.code === 'E_SESSION_LIMIT') this.#world.strikeFelt('login refused')
    return operation
  }

  #watchForLogouts(user: string): void {
    const isUnderWay = ({ user: of, completed }: Logout): boolean => of === user && completed === undefined
    if (this.#world.users.logouts.some(isUnderWay)) this.#world.strikeFelt('login during a logout')
  }

  /** Logs a user out everywhere, and looks then, from one process or another, what is left of the sessions. */
  async logOut(user: string, except: SessionHistory | undefined): Promise<void> {
    const process = this.#process
    const logout = this.#world.users.beginLogout(process.name, user, except)
    const but = except === undefined ? '' : ` but ${except.name}`
    this.#world.note(process, `${this.#name} logs ${user} out everywhere${but} …`)
    try {
      const { cache } = await process.store.destroyByUser(user, except === undefined ? {} : { except: except.id })
      logout.outcome = { is: 'ok', cacheToldOfEnd: cache === 'tombstone' }
      this.#world.strikeFelt('logged out everywhere')
    } catch (error) {
      logout.outcome = failure(error)
    }
    logout.completed = this.#world.clock.now
    this.#world.note(process, `${this.#name} logout ${logout.order} of ${user}: ${JSON.stringify(logout.outcome)}`)
    if (this.#lots.happens(0.7)) await this.#look(user, this.#anyProcess())
  }

  #anyProcess(): SimulatedProcess {
    const awake = this.#world.processes.filter(({ alive, leaving, paused }) => alive && !leaving && !paused)
    return awake.length === 0 || this.#lots.happens(0.4) ? this.#process : this.#lots.pick(awake)
  }

  async #look(user: string, process: SimulatedProcess): Promise<void> {
    const sessions = this.#world.users.sessionsOf(user).slice(-LOOKED_AT)
    // A process that dies or is closed may never answer.
    const patience = this.#world.clock.sleep(this.#world.config.deadlineMs + 1, this.#process)
    await Promise.race([Promise.all(sessions.map((session) => this.#load(process, session))), patience])
  }

  async #load(process: SimulatedProcess, session: SessionHistory): Promise<Session<Data> | undefined> {
    let found: Session<Data> | undefined
    await perform(this.#world, process, this.#name, 'load', session, undefined, async (operation) => {
      found = await process.store.load(session.id)
      operation.outcome = { is: 'ok' }
      if (found !== undefined) operation.sight = sightOf(found)
    })
    return found
  }

  async #perform(
    kind: Operation['kind'],
    session: SessionHistory,
    token: string | undefined,
    work: (operation: Operation) => Promise<void>,
    writes: Parameters<typeof perform>[7] = {},
  ): Promise<Operation> {
    return await perform(this.#world, this.#process, this.#name, kind, session, token, work, writes)
  }
}
