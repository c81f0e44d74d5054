import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Session, SessionStore } from '../../src/contract/session-store.js'
import { type Data, logOf } from '../simulation/data.js'
import type { OperationKind, Outcome } from '../simulation/history.js'
import { type Lots, lotsOf } from '../simulation/random.js'
import { failure } from '../simulation/world.js'
import { type LineWriter, monotonicMs, type Seen } from './lines.js'
import type { FromApp, Known } from './messages.js'
import { MAX_ITEM_BYTES } from './store-options.js'

export interface WorkloadOptions {
  readonly name: string
  readonly seed: number
  readonly clients: number
  readonly keptSessions: number
  readonly store: SessionStore<Data>
  readonly lines: LineWriter
  readonly say: (message: FromApp) => void
  readonly serverOf: (key: string) => string
}

/** How often each operation is chosen. */
const WEIGHTS: readonly (readonly [OperationKind, number])[] = [
  ['load', 25],
  ['update', 30],
  ['save', 26],
  ['save shared', 6],
  ['save user', 1],
  ['touch', 4],
  ['regenerate', 1],
  ['destroy', 4],
  ['create', 3],
  ['put', 1],
]
const TOTAL = WEIGHTS.reduce((sum, [, weight]) => sum + weight, 0)

/** Fewer sessions than this that may be ended, and another is made. */
const ENOUGH_SESSIONS = 24
const THINK_MS = 22
/** Sessions that may be ended are now and then larger than the cache takes, and smaller again. */
const SHARE_OF_BULKY = 0.05
const SHARE_OF_SLIM = 0.3
const BULK = 'x'.repeat(MAX_ITEM_BYTES + 10_000)
const SHARE_OF_DURABLE = 0.1
/** How many sessions are looked at, at once, in the end. */
const LOOKS_AT_ONCE = 16
/**
 * How often a process asks again, in the end, after a call that failed: the machine may have stood still. Where the store
 * does not recover, this is soon used up.
 */
const PATIENCE = 50
const ASK_AGAIN_AFTER_MS = 500

/** A session's name tells whether it may be ended: `A1k3` is kept. */
const isKept = (name: string): boolean => name.includes('k')

export const keyOf = (id: string): string => `nonstick:${createHash('sha256').update(id).digest('base64url')}`

type Ended = { outcome: Outcome; seen?: Seen; round?: number }

/** The clients of one process. */
export class Workload {
  readonly #options: WorkloadOptions
  readonly #known = new Map<string, Known>()
  /** Ended lately: used now and then, to see that they stay ended. */
  readonly #over: Known[] = []
  #operations = 0
  #tokens = 0
  #sessions = 0
  #leaving = false
  #working: Promise<unknown> | undefined
  #round = 0
  #roundIsOpen = false
  #patience = PATIENCE

  constructor(options: WorkloadOptions) {
    this.#options = options
  }

  know(session: Known): void {
    this.#known.set(session.name, session)
  }

  forget(name: string): void {
    const session = this.#known.get(name)
    if (session === undefined) return
    this.#known.delete(name)
    this.#over.push(session)
    if (this.#over.length > 6) this.#over.shift()
  }

  start(): Promise<unknown> {
    const lots = lotsOf(this.#options.seed, this.#options.name)
    const client = async (_: unknown, number: number): Promise<void> => {
      const mine = new Client(this, lots.branch(`c${number}`), `${this.#options.name}c${number}`)
      for (let kept = number; kept < this.#options.keptSessions && !this.#leaving; kept += this.#options.clients)
        await mine.create('k')
      while (!this.#leaving) {
        await sleep(-Math.log(1 - lots.next()) * THINK_MS)
        if (!this.#leaving) await mine.work()
      }
    }
    this.#working = Promise.all(Array.from({ length: this.#options.clients }, client))
    return this.#working
  }

  async stop(): Promise<void> {
    this.#leaving = true
    await this.#working
  }

  /** As `stop`, without waiting: what is under way meets the closing. */
  leave(): void {
    this.#leaving = true
  }

  async look(client: string, sessions: readonly Known[]): Promise<void> {
    await this.#each(sessions, async (session) => (await this.load(client, session)).outcome)
  }

  async write(client: string, sessions: readonly Known[]): Promise<void> {
    await this.#each(sessions, (session) => this.update(client, session, true))
  }

  async #each(sessions: readonly Known[], work: (session: Known) => Promise<Outcome>): Promise<void> {
    const waiting = [...sessions]
    const worker = async (): Promise<void> => {
      for (let session = waiting.shift(); session !== undefined; session = waiting.shift())
        while (isToAskAgain(await work(session)) && this.#patience > 0) {
          this.#patience -= 1
          await sleep(ASK_AGAIN_AFTER_MS)
        }
    }
    await Promise.all(Array.from({ length: LOOKS_AT_ONCE }, worker))
  }

  /** One to use now, that may be ended or not as is asked; mostly one that lives. */
  pick(lots: Lots, mayEnd: boolean): Known | undefined {
    const living = [...this.#known.values()]
    const rotating = living.filter(({ name }) => !isKept(name))
    if (rotating.length < ENOUGH_SESSIONS && lots.happens(0.3)) return undefined
    if (this.#over.length > 0 && lots.happens(0.04)) return lots.pick(this.#over)
    const from = mayEnd ? rotating : living
    return from.length === 0 ? undefined : lots.pick(from)
  }

  newToken(session: Known): string {
    this.#tokens += 1
    return `${session.name}.${this.#options.name}-${this.#tokens}`
  }

  newSession(letter: 'k' | 's', id?: string, from?: string): Known {
    this.#sessions += 1
    const name = `${this.#options.name}${letter}${this.#sessions}`
    const session = { name, id: id ?? `session-${name}-of-run-${this.#options.seed}` }
    const key = keyOf(session.id)
    this.#options.lines.write({
      is: 'session',
      at: monotonicMs(),
      ...session,
      key,
      server: this.#options.serverOf(key),
      ...(from === undefined ? {} : { from }),
    })
    return session
  }

  made(session: Known): void {
    this.know(session)
    this.#options.say({ say: 'made', session })
  }

  ended(name: string): void {
    this.forget(name)
    this.#options.say({ say: 'ended', name })
  }

  get store(): SessionStore<Data> {
    return this.#options.store
  }

  async load(client: string, session: Known): Promise<{ outcome: Outcome; found: Session<Data> | undefined }> {
    let found: Session<Data> | undefined
    const outcome = await this.perform('load', client, session, {}, async () => {
      found = await this.store.load(session.id)
      return { outcome: { is: 'ok' }, ...(found === undefined ? {} : { seen: seenIn(found) }) }
    })
    return { outcome, found }
  }

  async update(client: string, session: Known, durable: boolean): Promise<Outcome> {
    const token = this.newToken(session)
    return await this.perform('update', client, session, { token, durable }, async () => {
      const updated = await this.store.update(session.id, ({ log }) => void log.push(token), { durable })
      const round = this.#roundNow()
      // Nothing was there to change: like a load that found nothing.
      if (updated === undefined) return { outcome: { is: 'failed', code: 'no session', applied: 'no' } }
      return { outcome: { is: 'ok', durability: durable ? 'backend' : 'cache' }, seen: seenIn(updated), round }
    })
  }

  /** Writes down that it begins, does it, and writes down how it ended. */
  async perform(
    kind: OperationKind,
    client: string,
    { name }: Known,
    more: { readonly token?: string; readonly durable?: boolean },
    work: () => Promise<Ended>,
  ): Promise<Outcome> {
    this.#operations += 1
    const n = this.#operations
    const { lines } = this.#options
    lines.write({ is: 'call', at: monotonicMs(), n, kind, session: name, client, ...more })
    let ended: Ended
    try {
      ended = await work()
    } catch (error) {
      ended = { outcome: failure(error) }
    }
    lines.write({ is: 'return', at: monotonicMs(), n, ...ended })
    return ended.outcome
  }

  /** Changes that were acknowledged together are so within one turn of the event loop. */
  #roundNow(): number {
    if (!this.#roundIsOpen) {
      this.#round += 1
      this.#roundIsOpen = true
      setImmediate(() => {
        this.#roundIsOpen = false
      })
    }
    return this.#round
  }
}

/** Somebody who uses sessions, one thing after another. */
class Client {
  readonly #workload: Workload
  readonly #lots: Lots
  readonly #name: string
  /** The copies it holds, as requests do, some of them for long. */
  readonly #held = new Map<string, Session<Data>>()

  constructor(workload: Workload, lots: Lots, name: string) {
    this.#workload = workload
    this.#lots = lots
    this.#name = name
  }

  async work(): Promise<void> {
    const kind = this.#kind()
    const mayEnd = kind === 'destroy' || kind === 'regenerate' || kind === 'put'
    const session = kind === 'create' ? undefined : this.#workload.pick(this.#lots, mayEnd)
    if (session === undefined) return await this.create('s')
    switch (kind) {
      case 'load': {
        const { found } = await this.#workload.load(this.#name, session)
        if (found !== undefined && this.#lots.happens(0.3)) this.#hold(session, found)
        return
      }
      case 'update':
        await this.#workload.update(this.#name, session, this.#lots.happens(SHARE_OF_DURABLE))
        return
      case 'save':
      case 'save shared':
      case 'save user':
        return await this.#save(session, kind, this.#lots.happens(SHARE_OF_DURABLE))
      case 'touch':
        return await this.#touch(session)
      case 'regenerate':
        return await this.#regenerate(session)
      case 'destroy':
        return await this.#destroy(session)
      case 'put':
        return await this.#put(session)
      case 'create':
      case 'log out':
      case 'close':
        return
    }
  }

  #kind(): OperationKind {
    let lot = this.#lots.whole(TOTAL)
    for (const [kind, weight] of WEIGHTS) {
      lot -= weight
      if (lot < 0) return kind
    }
    return 'load'
  }

  #hold(session: Known, found: Session<Data>): void {
    this.#held.set(session.name, found)
    const [oldest] = this.#held.keys()
    if (this.#held.size > 8 && oldest !== undefined) this.#held.delete(oldest)
  }

  async create(letter: 'k' | 's'): Promise<void> {
    const session = this.#workload.newSession(letter)
    const token = this.#workload.newToken(session)
    const outcome = await this.#workload.perform('create', this.#name, session, { token }, async () => {
      const made = await this.#workload.store.create({ log: [token] }, { id: session.id })
      return { outcome: { is: 'ok', durability: 'backend' }, seen: seenIn(made) }
    })
    if (outcome.is === 'ok') this.#workload.made(session)
  }

  async #save(session: Known, kind: 'save' | 'save shared' | 'save user', durable: boolean): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.#workload.load(this.#name, session)).found
    if (held === undefined) return
    this.#held.delete(session.name)
    const token = this.#workload.newToken(session)
    const { data } = held
    if (kind === 'save shared') data.shared = token
    else if (kind === 'save user') data.user = token
    if (kind !== 'save shared') data[`by save ${token}`] = true
    if (!isKept(session.name)) this.#weigh(data)
    const outcome = await this.#workload.perform(kind, this.#name, session, { token, durable }, async () => {
      const { durability } = await this.#workload.store.save(held, { durable })
      return { outcome: { is: 'ok', durability } }
    })
    if (outcome.is === 'ok' && this.#lots.happens(0.5)) this.#hold(session, held)
  }

  #weigh(data: Data & { bulk?: string }): void {
    if (data.bulk !== undefined && this.#lots.happens(SHARE_OF_SLIM)) delete data.bulk
    else if (this.#lots.happens(SHARE_OF_BULKY)) data.bulk = BULK
  }

  async #touch(session: Known): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.#workload.load(this.#name, session)).found
    if (held === undefined) return
    await this.#workload.perform('touch', this.#name, session, {}, async () => {
      await this.#workload.store.touch(held)
      return { outcome: { is: 'ok' } }
    })
  }

  async #regenerate(session: Known): Promise<void> {
    const held = this.#held.get(session.name) ?? (await this.#workload.load(this.#name, session)).found
    this.#held.delete(session.name)
    if (held === undefined) return
    await this.#workload.perform('regenerate', this.#name, session, {}, async () => {
      const fresh = await this.#workload.store.regenerate(held)
      this.#workload.ended(session.name)
      this.#workload.made(this.#workload.newSession('s', fresh.id, session.name))
      // Whether the cache was told of the old one's end is for the judge to say, who knows this process's troubles.
      return { outcome: { is: 'ok', durability: 'backend' }, seen: seenIn(fresh) }
    })
  }

  async #destroy(session: Known): Promise<void> {
    this.#held.delete(session.name)
    await this.#workload.perform('destroy', this.#name, session, {}, async () => {
      const { cache } = await this.#workload.store.destroy(session.id)
      this.#workload.ended(session.name)
      return { outcome: { is: 'ok', cacheToldOfEnd: cache === 'tombstone' } }
    })
  }

  async #put(session: Known): Promise<void> {
    this.#held.delete(session.name)
    const token = this.#workload.newToken(session)
    await this.#workload.perform('put', this.#name, session, { token }, async () => {
      await this.#workload.store.put(session.id, { log: [token], putBy: token })
      return { outcome: { is: 'ok', durability: 'cache' } }
    })
  }
}

const isToAskAgain = (outcome: Outcome): boolean =>
  outcome.is === 'failed' && ['E_SESSION_UNAVAILABLE', 'E_OVERLOADED'].includes(outcome.code)

const seenIn = ({ data, expiresAt }: Session<Data>): Seen => ({
  log: logOf(data),
  ...(data.shared === undefined ? {} : { shared: data.shared }),
  expiresAt,
})
