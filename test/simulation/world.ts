import type { StoredSession } from '../../src/contract/backend.js'
import { isSessionStoreError } from '../../src/errors.js'
import { lives } from '../../src/session/decisions.js'
import { decodeEnvelope, isUserUnproved, type LiveEnvelope, neverDurable } from '../../src/session/envelope.js'
import type { Sealing } from '../../src/session/seal.js'
import { sealingOf } from '../../src/store/sealing.js'
import { openRow } from '../../src/store/tiers/sealed-backend.js'
import { BackendServer, type Row, type Taken } from './backend-server.js'
import { CacheServer, type LossReason, type Outage } from './cache-server.js'
import { Clockwork, type Owner } from './clockwork.js'
import type { Config, ServerList } from './config.js'
import type { Control } from './control.js'
import { type Data, tokensOf } from './data.js'
import { type FaultCounts, type FaultKind, noFaults } from './faults.js'
import {
  type Operation,
  type OperationKind,
  type SessionHistory,
  shownOutcome,
  type Violation,
  type Writes,
  writesOf,
} from './history.js'
import { judgeDistance, judgeDrain, judgeStale, usedAgainAt } from './judge.js'
import { Network } from './network.js'
import { OldStore } from './old-store.js'
import type { SimulatedProcess } from './process.js'
import type { Lots } from './random.js'
import { KEYS } from './sealing.js'
import { Users } from './users.js'
import { judgeDurable, judgeRefused, Watch } from './watch.js'

/** The moment the world begins, by a clock that is right. */
export const EPOCH: number = Date.UTC(2026, 10, 21, 12)

/** Lies in wait for the first command of its kind, of one process or of any. */
export interface Trap {
  readonly on:
    | 'get'
    | 'cas'
    | 'update'
    | 'insert'
    | 'freezing'
    | 'claiming'
    | 'takeover'
    | 'identifying'
    | 'readUser'
    | 'writeUser'
    | 'listKeys'
  readonly process?: string
  /** Whether the command's answer is lost. */
  spring(process: string, key: string): boolean
}

/** Everything of one schedule: the clock, the tiers, the processes, and what is written down of them. */
export class World {
  readonly clock = new Clockwork()
  readonly lots: Lots
  readonly config: Config
  readonly control: Control
  readonly network: Network
  readonly cacheServers: readonly CacheServer[]
  readonly backendServer: BackendServer
  readonly watch = new Watch(this)
  readonly users = new Users(this)
  /** What the application kept its sessions in before, where it had something. */
  readonly oldStore: OldStore | undefined
  /** By which those who watch open what the processes have sealed. */
  readonly sealing: Sealing | undefined
  readonly processes: SimulatedProcess[] = []
  readonly sessions = new Map<string, SessionHistory>()
  readonly happened: FaultCounts = noFaults()
  readonly violations: Violation[] = []
  readonly lines: string[] = []
  /** The list of cache servers that a process starts with now. */
  list: ServerList
  backendOutage: 'refusing' | 'silent' | undefined
  backendIsSlow = false
  tableIsMissing = false
  /** For how long after it has expired the backend keeps a session when it is purged. */
  purgeGraceMs: number
  /** A clock has stepped, further than clocks may be apart. */
  clocksStepped = false
  /** What is to happen when a command of the right kind is carried out. */
  readonly traps: Trap[] = []
  /** Commands to the backend of some processes wait until then. */
  held: { readonly until: number; readonly isHeld: (process: string) => boolean } | undefined
  healedAt = Number.POSITIVE_INFINITY
  /** The moments of the end: the first look of all, the durable write done. */
  endsAt = Number.POSITIVE_INFINITY
  writtenAt = Number.POSITIVE_INFINITY
  repairedAt = Number.POSITIVE_INFINITY
  #backendOutages = 0
  readonly #byKey = new Map<string, SessionHistory>()
  /** Entries that were lost before anybody but the call under way knew of their sessions, as of the heir of a regeneration. */
  readonly #lostUnknown = new Map<string, { readonly envelope: LiveEnvelope; readonly why: LossReason }>()
  readonly #isTold: boolean
  readonly #deadLineages = new Map<string, Set<string>>()
  #order = 0

  constructor(config: Config, lots: Lots, control: Control, isTold: boolean) {
    this.config = config
    this.purgeGraceMs = config.purgeGraceMs
    this.lots = lots.branch('world')
    this.control = control
    this.sealing =
      config.sealed === true ? sealingOf({ keys: KEYS }, { randomBytes: (size) => this.lots.bytes(size) }) : undefined
    this.#isTold = isTold
    this.oldStore = config.oldStore === undefined ? undefined : new OldStore(this)
    this.network = new Network(this.clock, config, lots.branch('network'), this.happened)
    const [list] = config.lists
    this.list = list
    this.cacheServers = Array.from(
      { length: 1 + Math.max(...config.lists.flat()) },
      (_, number) =>
        new CacheServer(
          `cache${number + 1}`,
          config,
          this.clock,
          {
            onLoss: (key, envelope, why) => this.#onLoss(key, envelope, why),
            onDropped: (key, envelope) => this.#onDropped(key, envelope),
            onStored: (key, value, before) => this.#onStored(key, value, before),
          },
          this.sealing,
        ),
    )
    this.backendServer = new BackendServer(
      { onRow: (key, before, after, taken) => this.#onRow(key, before, after, taken) },
      this.epochNow,
      (key, session) => openRow(this.sealing, key, session, true),
    )
  }

  /** The moment by a clock that is right. */
  readonly epochNow = (): number => EPOCH + this.clock.now

  // What is written down

  note(who: { readonly name: string } | undefined, what: string): void {
    if (this.#isTold)
      this.lines.push(`${this.clock.now.toFixed(1).padStart(9)} ms  ${(who?.name ?? '').padEnd(5)} ${what}`)
  }

  begin(
    kind: OperationKind,
    process: string,
    client: string,
    session: SessionHistory,
    token?: string,
    writes: Writes = {},
  ): Operation {
    // Who has no cache server, such as a process of an old release, keeps it on none.
    const server = this.serverOf(process, session.key)
    const operation: Operation = {
      ...writes,
      order: this.#order,
      kind,
      process,
      client,
      session: session.name,
      token,
      invoked: this.clock.now,
      completed: undefined,
      outcome: { is: 'unknown' },
      sight: undefined,
      pausedMs: 0,
      cacheFailures: 0,
      backendFailures: 0,
      ...(server === '' ? {} : { server }),
    }
    this.#order += 1
    session.operations.push(operation)
    this.#perhapsRefused(operation, session)
    return operation
  }

  /** A call that the store's breaker refused never reaches a tier: seen from the session, it failed. */
  #perhapsRefused(operation: Operation, session: SessionHistory): void {
    const leftAlone = this.processes.find(({ name }) => name === operation.process)?.leftAlone
    if (leftAlone === undefined || leftAlone.size === 0) return
    if (leftAlone.has(operation.server ?? '')) {
      operation.cacheFailures += 1
      session.disturbances.push({ what: 'cache failure', at: this.clock.now })
    }
    if (leftAlone.has('backend')) {
      operation.backendFailures += 1
      session.backendFailures.push(this.clock.now)
    }
  }

  violated(promise: string, session: string, what: string): void {
    this.violations.push({ promise, session, what, at: this.clock.now })
    this.note(undefined, `VIOLATED ${promise}: ${session} ${what}`)
  }

  know(session: SessionHistory): void {
    this.sessions.set(session.name, session)
    this.#byKey.set(session.key, session)
    const lost = this.#lostUnknown.get(session.key)
    if (lost !== undefined) this.#onLoss(session.key, lost.envelope, lost.why)
  }

  nameOf(key: string): string {
    return this.#byKey.get(key)?.name ?? key.slice(-4)
  }

  /** A strike that lasts is counted when somebody felt it. */
  strikeFelt(kind: FaultKind): void {
    this.happened[kind] += 1
  }

  /** Where this process keeps a session, as its list says. */
  serverOf(process: string, key: string): string {
    return this.processes.find(({ name }) => name === process)?.cacheLink.homeOf(key).name ?? ''
  }

  /** The servers of the list of now. */
  servers(): [CacheServer, ...CacheServer[]] {
    const [first, ...others] = this.list
    return [this.#server(first), ...others.map((number) => this.#server(number))]
  }

  #server(number: number): CacheServer {
    const server = this.cacheServers[number]
    if (server === undefined) throw new RangeError(`There is no cache server ${number}`)
    return server
  }

  onCacheFailure(process: Owner & { readonly name: string }, server: string, key: string): void {
    // Who failed to reach a server for one session compares what it holds of every session.
    for (const { key: other, disturbances } of this.sessions.values()) {
      const isKnown = disturbances.at(-1)?.what === 'cache failure' && disturbances.at(-1)?.at === this.clock.now
      if (!isKnown && this.serverOf(process.name, other) === server)
        disturbances.push({ what: 'cache failure', at: this.clock.now })
    }
    this.users.onCacheFailure(process.name, server)
    const session = this.#byKey.get(key)
    if (session === undefined) return
    for (const operation of session.operations)
      if (operation.completed === undefined && operation.process === process.name) operation.cacheFailures += 1
  }

  onCacheRefusal(process: Owner & { readonly name: string }, key: string): void {
    for (const operation of this.#byKey.get(key)?.operations ?? [])
      if (operation.completed === undefined && operation.process === process.name)
        operation.refusals = (operation.refusals ?? 0) + 1
  }

  onBackendFailure(process: Owner & { readonly name: string }, key: string): void {
    const session = this.#byKey.get(key)
    if (session === undefined) return
    session.backendFailures.push(this.clock.now)
    for (const operation of session.operations)
      if (operation.completed === undefined && operation.process === process.name) operation.backendFailures += 1
  }

  /** What a handle holds after its save was acknowledged, of what that save had stored or taken back. */
  judgeHandle(session: SessionHistory, data: Data, stored: readonly string[], takenBack: readonly string[]): void {
    const { name, operations } = session
    const held = tokensOf(data)
    // What was stored and put over since is not what stands; a save whose answer was lost takes what stands.
    const since = this.clock.now - this.config.deadlineMs
    const isPutOver = operations.some(({ kind, completed }) => kind === 'put' && (completed ?? since) >= since)
    for (const token of stored)
      if (!held.has(token) && !isPutOver)
        this.violated('handle', name, `a handle lacks ${token}, which its last save had stored`)
    for (const token of takenBack)
      if (held.has(token)) this.violated('handle', name, `a handle holds ${token}, which its last save had taken back`)
  }

  /** This process could not reach the cache server of this key of late, as far as its calls and its breaker tell. */
  isUnreached(process: string, key: string): boolean {
    const known = this.processes.find(({ name }) => name === process)
    if (known === undefined) return false
    return known.cacheLink.isUnreached(key) || known.leftAlone.has(known.cacheLink.homeOf(key).name)
  }

  /** A command was carried out: `true` if its answer is lost to a trap. */
  spring(process: string, operation: string, key: string, isTakeover = false): boolean {
    if (this.traps.length === 0) return false
    const stands = (is: (envelope: LiveEnvelope) => boolean): boolean =>
      operation === 'cas' &&
      this.cacheServers.map((server) => server.live(key)).some((each) => each !== undefined && is(each))
    const at = this.traps.findIndex(
      ({ on, process: of = process }) =>
        of === process &&
        (on === operation ||
          (on === 'freezing' && stands(({ frozen }) => frozen)) ||
          (on === 'claiming' && stands(isFirstOfItsLineage)) ||
          (on === 'identifying' && stands(isUserUnproved)) ||
          (on === 'takeover' && isTakeover)),
    )
    const [trap] = at < 0 ? [] : this.traps.splice(at, 1)
    if (trap === undefined || this.network.healed) return false
    this.strikeFelt('troubles together')
    return trap.spring(process, key)
  }

  /** How long a command that reaches the backend now has to wait there. */
  heldMs(process: string): number {
    if (this.held?.isHeld(process) !== true) return 0
    return Math.max(0, this.held.until - this.clock.now)
  }

  // What is done to the tiers

  loseTable(lastsMs: number): void {
    this.tableIsMissing = true
    this.clock.after(lastsMs, () => {
      this.tableIsMissing = false
    })
  }

  fillUp(server: CacheServer, lastsMs: number): void {
    server.isFull = true
    this.clock.after(lastsMs, () => {
      server.isFull = false
    })
  }

  purge(): void {
    const removed = this.backendServer.purge(this.purgeGraceMs)
    this.note(undefined, `purged: ${removed.map((key) => this.nameOf(key)).join(' ') || 'nothing'}`)
    if (removed.length > 0) this.strikeFelt('purged')
  }

  restartCache(server: CacheServer): void {
    server.restart()
    this.#cutAll(server, 'the server restarted')
  }

  /** It goes away for everyone, or for one process alone, and comes back with what it holds. */
  refuseCache(server: CacheServer, lastsMs: number, how: Outage, onlyFor?: SimulatedProcess): void {
    const isAway = (): Outage | undefined => (onlyFor === undefined ? server.outage : server.cutOff.get(onlyFor.name))
    const turn = (to: Outage | undefined): void => {
      if (onlyFor === undefined) server.outage = to
      else if (to === undefined) server.cutOff.delete(onlyFor.name)
      else server.cutOff.set(onlyFor.name, to)
    }
    // One that is away already stays so for as long as was said then.
    if (isAway() !== undefined) return
    turn(how)
    // What is in flight is lost with the connections; a silent server is noticed by the deadlines.
    if (how === 'refusing') this.#cutAll(server, 'the server cannot be reached', onlyFor)
    this.clock.after(lastsMs, () => turn(undefined))
  }

  stopBackend(lastsMs: number, how: 'refusing' | 'silent'): void {
    this.backendOutage = how
    this.#backendOutages += 1
    const mine = this.#backendOutages
    this.clock.after(lastsMs, () => {
      if (mine === this.#backendOutages) this.backendOutage = undefined
    })
  }

  slowBackend(lastsMs: number): void {
    this.backendIsSlow = true
    this.clock.after(lastsMs, () => {
      this.backendIsSlow = false
    })
  }

  heal(): void {
    this.note(undefined, 'nothing goes wrong any more')
    this.network.healed = true
    this.tableIsMissing = false
    this.traps.length = 0
    this.held = undefined
    for (const process of this.processes) process.heal()
    for (const server of this.cacheServers) {
      server.isFull = false
      server.outage = undefined
      server.cutOff.clear()
    }
    this.backendOutage = undefined
    this.backendIsSlow = false
    this.healedAt = this.clock.now
  }

  hadTroubles(): boolean {
    return Object.values(this.happened).some((count) => count > 0)
  }

  /** A process learns of it when it is awake. */
  #cutAll(server: CacheServer, because: string, only?: SimulatedProcess): void {
    for (const process of only === undefined ? this.processes : [only])
      if (process.alive) this.clock.after(0, () => process.cacheLink.cut(server.name, because), process)
  }

  // What is judged the moment it happens

  onCompleted(operation: Operation, session: SessionHistory): void {
    this.note(
      { name: operation.process },
      `${operation.client} ${operation.kind} ${session.name}${operation.token === undefined ? '' : ` ${operation.token}`}: ${shownOutcome(operation)}`,
    )
    this.#perhapsRefused(operation, session)
    this.users.onCompleted(operation, session)
    judgeRefused(this, session, operation)
    if (operation.outcome.is !== 'ok' || writesOf(operation).length === 0) return
    judgeDistance(this, session)
    judgeDurable(this, session, operation)
  }

  /** I8: what this process acknowledged and the cache holds, the backend holds too. */
  onDrained(process: SimulatedProcess): void {
    judgeDrain(this, process)
  }

  /** Bytes go bad in the cache, or are another session's; whoever reads them takes the entry for lost. */
  perhapsDamage(server: CacheServer, key: string): void {
    const { lots, network } = this
    const entry = server.entries.get(key)
    if (entry === undefined || !network.meets('entry damaged')) return
    // Not a copy of this very session that was put under another's name before: nobody can tell that from its own.
    const others = [...server.entries].filter(([, { value }]) => isForeign(key, value, this.sealing))
    const isSwapped = others.length > 0 && lots.happens(0.5)
    const bytes = Uint8Array.from(isSwapped ? lots.pick(others)[1].value : entry.value)
    if (!isSwapped) {
      const at = lots.whole(bytes.length)
      bytes[at] = (bytes[at] ?? 0) ^ (1 << lots.whole(8))
    }
    this.note(undefined, `the cache's bytes for ${this.nameOf(key)} go bad`)
    server.damage(key, bytes)
  }

  /** The calls about users that may end this session. */
  isKnownToTheCacheAlone({ key }: SessionHistory): boolean {
    return this.backendServer.leftNothing.has(key)
  }

  endsOf(session: SessionHistory): readonly Operation[] {
    return this.users.endsOf(session)
  }

  /** A process sends a copy of a session to a tier. */
  onSent(
    process: string,
    key: string,
    copy: Pick<StoredSession, 'lineage' | 'version' | 'writeIds' | 'data' | 'userEpoch'>,
  ): void {
    const session = this.#byKey.get(key)
    if (session !== undefined) this.watch.onSent(process, session, copy)
    this.users.onSent(process, key, copy, () => this.watch.broughtBy(key, copy))
  }

  /** A process sends a session to the backend, sealed perhaps. */
  onSentToBackend(process: string, key: string, session: StoredSession): void {
    this.onSent(process, key, openRow(this.sealing, key, session, true))
  }

  /** A process sends an entry to the cache. What has nothing that the backend lacks is no step of a write. */
  onSentToCache(process: string, key: string, value: Uint8Array): void {
    const envelope = decodeEnvelope(key, value, this.sealing)
    if (envelope.kind === 'live' && envelope.version > envelope.durableVersion) this.onSent(process, key, envelope)
  }

  /** Whether a call of this cache's process waits for what is asked of this session now; for a control. */
  isWaitedFor(cache: object, key: string): boolean {
    const process = this.processes.find(({ cacheLink }) => cacheLink === cache)
    const operations = this.#byKey.get(key)?.operations ?? []
    return operations.some((each) => each.process === process?.name && each.completed === undefined)
  }

  /** A process looks at an entry of the cache. */
  onLook(process: string, key: string): void {
    const session = this.#byKey.get(key)
    if (session !== undefined) this.watch.onLook(process, session)
  }

  /** All has been well for so long that whoever lives has flushed what he owes. */
  onRepaired(): void {
    this.repairedAt = this.clock.now
    for (const process of this.processes)
      if (process.alive && !process.leaving && !process.hasAbandoned) judgeStale(this, process)
  }

  /** What the tiers hold of a session, seen past every fault. */
  tokensInRow(key: string): ReadonlySet<string> | undefined {
    const row = this.backendServer.rows.get(key)
    if (row?.state !== 'live' || this.#isLoggedOut(row.session)) return undefined
    return tokensOf(dataOf(row.session.data))
  }

  tokensInCache(server: CacheServer, key: string): ReadonlySet<string> | undefined {
    const envelope = server.live(key)
    return envelope === undefined ? undefined : tokensOf(dataOf(envelope.data))
  }

  #isLoggedOut({ userId, userEpoch }: StoredSession): boolean {
    return userId !== undefined && this.backendServer.recordOf(userId).epoch > userEpoch
  }

  /** The entry does not descend from what stands in the backend. */
  isLeftBehind(server: CacheServer, key: string): boolean {
    const row = this.backendServer.rows.get(key)
    const envelope = server.live(key)
    return envelope !== undefined && row?.state === 'live' && !lives(envelope, row.session)
  }

  /** The entry is not in the backend, on purpose, and another may be that went round it. */
  isDeferred(server: CacheServer, key: string): boolean {
    const envelope = server.live(key)
    return envelope !== undefined && neverDurable(envelope)
  }

  /** Whether a process compares with the backend what it now reads on a server: it saw it go and come back since. */
  comparesSince(process: string, server: string | undefined, moment: number, now: number): boolean {
    const { skewMs, faults } = this.config
    // The stamps that are compared are by clocks that were right.
    if (this.clocksStepped) return false
    const from = moment + (faults.has('clocks apart') ? skewMs : 0) + 1
    const link = this.processes.find(({ name }) => name === process)?.cacheLink
    return link?.outages.some((outage) => outage.server === server && outage.from <= now && outage.to >= from) === true
  }

  shownAnswer(key: string, answer: unknown): string {
    if (!this.#isTold) return ''
    if (answer === undefined) return 'nothing'
    if (typeof answer !== 'object' || answer === null) return String(answer)
    if (Array.isArray(answer)) return answer.map((each) => this.shownAnswer(key, each)).join('; ')
    if ('value' in answer && answer.value instanceof Uint8Array) {
      const envelope = decodeEnvelope(key, answer.value, this.sealing)
      if (envelope.kind !== 'live') return envelope.kind
      return shownEnvelope(envelope)
    }
    if ('session' in answer) {
      const session = openRow(this.sealing, key, (answer as Extract<Row, { state: 'live' }>).session, true)
      return `row ${session.lineage.slice(0, 4)} v${session.version} {${[...tokensOf(dataOf(session.data))].join(' ')}}`
    }
    return JSON.stringify(answer, (name, value: unknown) =>
      name === 'token' || name === 'writeIds' ? undefined : value,
    )
  }

  #onLoss(key: string, envelope: LiveEnvelope, why: LossReason): void {
    const session = this.#byKey.get(key)
    if (session === undefined) {
      this.#lostUnknown.set(key, { envelope, why })
      return
    }
    const tokens = this.#onlyIn(session, envelope)
    this.note(
      undefined,
      `LOST (${why}) the entry of ${session.name}: ${shownEnvelope(envelope)}; not in the row: ${[...tokens].join(' ')}`,
    )
    session.disturbances.push({
      what: 'loss',
      at: this.clock.now,
      why,
      tokens,
      costs: tokens.size > 0 || envelope.version > envelope.durableVersion,
    })
  }

  /** What stands in this entry alone. Of a session that was not in the backend yet, nothing promises it. */
  #onlyIn(session: SessionHistory, envelope: LiveEnvelope): ReadonlySet<string> {
    const inRow = this.tokensInRow(session.key) ?? new Set()
    const tokens = new Set([...tokensOf(dataOf(envelope.data))].filter((token) => !inRow.has(token)))
    if (neverDurable(envelope)) for (const token of tokens) session.lostWhole?.add(token)
    return tokens
  }

  /**
   * How many copies no longer descend from the row that stands now. Where a session has two homes, or the row is only
   * now made, each is lost as if it had been taken over.
   */
  #leftBehindBy({ key }: SessionHistory, before: Row | undefined, after: StoredSession): number {
    if (before?.state === 'live' && before.session.lineage === after.lineage) return 0
    const homes = new Set(this.processes.map(({ name }) => this.serverOf(name, key)))
    if (homes.size < 2 && before !== undefined) return 0
    const copies = this.cacheServers.map((server) => server.live(key))
    return copies.filter((copy) => copy !== undefined && !lives(copy, after)).length
  }

  #onStored(key: string, value: Uint8Array, before: Uint8Array | undefined): void {
    const session = this.#byKey.get(key)
    const envelope = decodeEnvelope(key, value, this.sealing)
    if (session === undefined || envelope.kind !== 'live') return
    const stood = before === undefined ? undefined : decodeEnvelope(key, before, this.sealing)
    this.watch.onAccepted(session, stood?.kind === 'live' ? stood.data : undefined, envelope, 'cache')
    if (session.deferredUntil === Number.POSITIVE_INFINITY && !neverDurable(envelope))
      session.deferredUntil = this.clock.now
  }

  #onDropped(key: string, envelope: LiveEnvelope): void {
    const session = this.#byKey.get(key)
    const row = this.backendServer.rows.get(key)
    if (session === undefined || row?.state !== 'live') return
    // The user was logged out everywhere, so that the row is no session any more.
    const { userId, userEpoch } = row.session
    if (userId !== undefined && userEpoch < this.backendServer.recordOf(userId).epoch) return
    this.watch.onDropped(session, envelope, row.session)
    if (lives(envelope, row.session)) return
    if (this.#onlyIn(session, envelope).size > 0) session.disturbances.push({ what: 'dropped', at: this.clock.now })
  }

  /** I7, watched where it shows: one lineage at a time advances the row, and a dead one never does again. */
  #onRow(key: string, before: Row | undefined, after: Row, taken: Taken): void {
    const session = this.#byKey.get(key)
    if (after.state !== 'live') return
    if (session !== undefined) {
      const losses = Math.max(taken === 'unreached' ? 1 : 0, this.#leftBehindBy(session, before, after.session))
      if (taken === 'reached' && losses === 0)
        session.disturbances.push({ what: 'takeover', at: this.clock.now, costs: false })
      for (let count = 0; count < losses; count += 1)
        session.disturbances.push({ what: 'takeover', at: this.clock.now })
    }
    if (session !== undefined && session.persistedAt === undefined) session.persistedAt = this.clock.now
    const name = session?.name ?? key
    if (session !== undefined) {
      const stood = before?.state === 'live' ? before.session.data : undefined
      this.watch.onAccepted(session, stood, after.session, 'backend')
      // Where none is given up, each was in the backend before it was ended, but for those that were put off.
      const end = this.config.reusesIds === true ? endOf(session) : endOfDeferred(session)
      if (before === undefined && end !== undefined && usedAgainAt(this, session, end) > this.clock.now)
        this.violated('I2', name, 'it was ended, and stands in the backend again')
    }
    if (before?.state === 'destroyed') this.violated('I2', name, 'a tombstone in the backend was written over')
    if (before?.state !== 'live') return
    const dead = this.#deadLineages.get(key) ?? new Set()
    this.#deadLineages.set(key, dead)
    if (after.session.version <= before.session.version)
      this.violated('I7', name, `the row went from version ${before.session.version} to ${after.session.version}`)
    if (dead.has(after.session.lineage)) this.violated('I7', name, 'a dead lineage wrote the row')
    if (after.session.lineage !== before.session.lineage) dead.add(before.session.lineage)
  }
}

/** The first write after a fill: the next flush is its own, or the next write's. */
const isFirstOfItsLineage = ({ lineage, version, durableLineage, durableVersion }: LiveEnvelope): boolean =>
  lineage !== durableLineage && version === durableVersion + 1

const isForeign = (key: string, value: Uint8Array, sealing: Sealing | undefined): boolean => {
  const envelope = decodeEnvelope(key, value, sealing)
  return envelope.kind === 'damaged' && envelope.reason === 'foreign'
}

/** What ended a session last that was kept from the backend at first. */
const endOfDeferred = (session: SessionHistory): Operation | undefined =>
  session.operations.some(
    ({ kind, outcome }) => kind === 'create' && outcome.is === 'ok' && outcome.durability === 'cache',
  )
    ? endOf(session)
    : undefined

const endOf = ({ operations }: SessionHistory): Operation | undefined =>
  operations.findLast(({ kind, outcome }) => (kind === 'destroy' || kind === 'regenerate') && outcome.is === 'ok')

export const tokensIn = (bytes: Uint8Array): ReadonlySet<string> => tokensOf(dataOf(bytes))

export const dataOf = (bytes: Uint8Array): Data => JSON.parse(Buffer.from(bytes).toString('utf8')) as Data

const shownEnvelope = (envelope: LiveEnvelope): string =>
  `${envelope.lineage.slice(0, 4)} v${envelope.version} durable ${envelope.durableLineage.slice(0, 4)} v${envelope.durableVersion}${envelope.frozen ? ' frozen' : ''} {${[...tokensOf(dataOf(envelope.data))].join(' ')}}`

/** How an operation failed, as its error says. */
export const failure = (error: unknown): Extract<Operation['outcome'], { is: 'failed' }> =>
  isSessionStoreError(error)
    ? { is: 'failed', code: error.code, applied: error.applied ?? 'none' }
    : {
        is: 'failed',
        code: error instanceof Error ? `${error.name}: ${error.message}` : String(error),
        applied: 'none',
      }
