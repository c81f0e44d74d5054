import type { LegacySession, LegacyStore } from '../../src/contract/legacy.js'
import type { Owner } from './clockwork.js'
import type { Data } from './data.js'
import type { SessionHistory } from './history.js'
import type { World } from './world.js'

/** The store that the application had before: processes of the old release use it still. */
export class OldStore {
  readonly #world: World
  readonly #sessions = new Map<string, Data>()
  /** The sessions that were ended there before anybody had asked for them here, and when. */
  readonly #endedThere = new Map<SessionHistory, number>()

  constructor(world: World) {
    this.#world = world
  }

  get(id: string): Data | undefined {
    return this.#sessions.get(id)
  }

  remove(id: string): void {
    this.#sessions.delete(id)
  }

  /** A session that somebody made before the new release came. */
  async keep(session: SessionHistory, token: string): Promise<void> {
    const { clock, lots } = this.#world
    const of = lots.branch(`old ${session.name}`)
    const store = (): void => void this.#sessions.set(session.id, { log: [token] })
    store()
    const created = this.#world.begin('create', OLD, OLD, session, token)
    created.completed = clock.now
    created.outcome = { is: 'ok', durability: 'backend' }
    // It is there for good, whenever the store would write it.
    delete session.deferredUntil
    session.isInOldStore = true
    this.#world.note(undefined, `the old store has ${session.name} with ${token}`)
    if (of.happens(0.3)) {
      await clock.sleep(of.pick([0, 3, 30]))
      this.#perhapsEnd(session)
    }
    if (of.happens(0.5)) {
      await clock.sleep(of.between(10, 3_000))
      if (this.#endedThere.has(session)) return
      this.#world.note(undefined, `the old store is given ${session.name} again`)
      this.#world.strikeFelt('stored there again')
      store()
    }
  }

  /** A logout there counts here as long as nobody has asked for the session here. */
  #perhapsEnd(session: SessionHistory): void {
    if (session.operations.length > 1) return
    const ended = this.#world.begin('destroy', OLD, OLD, session)
    ended.completed = this.#world.clock.now
    ended.outcome = { is: 'ok' }
    this.#sessions.delete(session.id)
    this.#endedThere.set(session, this.#world.clock.now)
    this.#world.note(undefined, `the old store has ended ${session.name}`)
    this.#world.strikeFelt('logged out in the old store')
  }

  /** It was ended there alone. */
  hasEnded(session: SessionHistory): boolean {
    return this.#endedThere.has(session)
  }

  /** What was ended there is given by nobody here. */
  judge(): void {
    for (const [session, endedAt] of this.#endedThere)
      for (const { kind, order, invoked, sight } of session.operations)
        if (kind !== 'create' && sight !== undefined && invoked > endedAt)
          this.#world.violated('I2', session.name, `${kind} ${order} gave it, after the old store had ended it`)
  }
}

/** A process and a client of the old release, by name. */
const OLD = 'old'

/** A process's way to the old store. A call may fail, before or after it was carried out. */
export class OldStoreLink implements LegacyStore {
  readonly remove: boolean
  readonly #world: World
  readonly #process: Owner & { readonly name: string }
  readonly #store: OldStore

  constructor(world: World, process: Owner & { readonly name: string }, store: OldStore) {
    this.#world = world
    this.#process = process
    this.#store = store
    this.remove = world.config.oldStore?.removes === true
  }

  async get(id: string): Promise<LegacySession | undefined> {
    const found = await this.#ask(`get ${id}`, () => this.#store.get(id))
    if (found !== undefined) this.#world.strikeFelt('given by the old store')
    // Its own copy: what becomes of it here is nothing to the old store.
    return found && { data: structuredClone(found) }
  }

  async destroy(id: string): Promise<void> {
    await this.#ask(`destroy ${id}`, () => this.#store.remove(id))
  }

  async #ask<Answer>(what: string, carryOut: () => Answer): Promise<Answer> {
    const { network, clock, config, lots } = this.#world
    const way = (): Promise<void> =>
      clock.sleep(network.delayMs(`${this.#process.name} old store`, config.backendTimeoutMs, 0), this.#process)
    const isFailing = network.meets('old store unanswered')
    await way()
    const answer = !isFailing || lots.happens(0.5) ? carryOut() : undefined
    await way()
    this.#world.note(this.#process, `old store ${what}${isFailing ? ' failed' : ''}`)
    if (isFailing) throw new Error('The old store did not answer')
    return answer as Answer
  }
}
