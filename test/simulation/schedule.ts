import type { Session } from '../../src/contract/session-store.js'
import { type Config, configOf, isSealed, oldStoreOf, shownConfig, type UsersConfig, usersOf } from './config.js'
import { type Control, NO_CONTROL } from './control.js'
import { type Data, ownKey, sightOf } from './data.js'
import { type FaultCounts, type FaultKind, OF_OLD_STORES } from './faults.js'
import type { Operation, SessionHistory, Violation } from './history.js'
import { judge } from './judge.js'
import { SimulatedProcess } from './process.js'
import { type Lots, lotsOf } from './random.js'
import { strike, trapUsers } from './strikes.js'
import { UserClient } from './user-client.js'
import { keyOf, perform, Workload } from './workload.js'
import { World } from './world.js'

/** What one seed's world came to. */
export interface ScheduleResult {
  readonly seed: number
  readonly violations: readonly Violation[]
  readonly happened: FaultCounts
  readonly operations: number
  readonly processes: number
  /** Readable; empty unless it was asked for. */
  readonly history: readonly string[]
  readonly config: Config
}

export interface ScheduleOptions {
  readonly control?: Control
  /** Whether what the processes write is sealed. By default it is as the seed says; with a control it never is. */
  readonly sealed?: boolean | undefined
  /** Writes down every step. Nothing else changes. */
  readonly told?: boolean
  /** Less of the same seed's world. */
  readonly mask?: Mask
}

/** What is left out of a seed's world, to see what a violation needs. */
export interface Mask {
  readonly without: ReadonlySet<FaultKind>
  /** No more operations than this. */
  readonly operations: number
}

const CLIENTS_OF_A_PROCESS = 2
/** Where sessions may be idle for longer, no outage is that long. */
const LONG_IDLE_MS = 60_000
/** Far longer than any schedule; a world that is not over by then hangs. */
const END_OF_TIME_MS = 600_000

/** One world from its seed to its end, and what the judge says of it. */
export const runSchedule = async (
  seed: number,
  { control = NO_CONTROL, sealed, told = false, mask }: ScheduleOptions = {},
): Promise<ScheduleResult> => {
  const lots = lotsOf(seed)
  const base = configOf(lots.branch('config'))
  const users = usersOf(lots.branch('users'))
  // An old store keeps no users here, and its sessions do not end by themselves.
  const mayBeOld = control === NO_CONTROL && users === undefined && base.idleTtlMs >= LONG_IDLE_MS
  const oldStore = mayBeOld ? oldStoreOf(lots.branch('old store')) : undefined
  const drawn: Config = {
    ...base,
    users,
    oldStore,
    faults: oldStore === undefined ? base.faults : new Set([...base.faults, ...OF_OLD_STORES]),
    // A control reads and writes entries as they are without a seal.
    sealed: control === NO_CONTROL && (sealed ?? isSealed(lots.branch('sealed'))),
  }
  const config = masked(control.config?.(drawn) ?? drawn, mask)
  const world = new World(config, lots, control, told)
  const workload = new Workload(world)
  let over = false
  let failed: unknown
  const directed = direct(world, workload).then(
    () => {
      over = true
    },
    (error: unknown) => {
      failed = error
      over = true
    },
  )
  await world.clock.run(() => over || world.clock.now > END_OF_TIME_MS)
  if (over) await directed
  else world.violated('I12', '-', 'the world did not come to its end')
  if (failed !== undefined) throw failed
  judge(world)
  world.users.judge()
  world.oldStore?.judge()
  return {
    seed,
    violations: world.violations,
    happened: world.happened,
    operations: [...world.sessions.values()].reduce((sum, { operations }) => sum + operations.length, 0),
    processes: world.processes.length,
    history: told ? [`seed ${seed}`, shownConfig(config), ...world.lines] : [],
    config,
  }
}

const masked = (config: Config, mask: Mask | undefined): Config =>
  mask === undefined
    ? config
    : {
        ...config,
        operations: Math.min(config.operations, mask.operations),
        faults: new Set([...config.faults].filter((kind) => !mask.without.has(kind))),
      }

const direct = async (world: World, workload: Workload): Promise<void> => {
  const { clock, config } = world
  const lots = world.lots.branch('director')
  const startProcess = (): void => {
    const apart = config.faults.has('clocks apart')
    const skewMs = apart ? lots.between(-config.skewMs / 2, config.skewMs / 2) : 0
    if (apart) world.strikeFelt('clocks apart')
    const process = new SimulatedProcess(world, `P${world.processes.length + 1}`, skewMs, world.servers())
    world.processes.push(process)
    world.note(
      process,
      `starts; its clock is ${skewMs.toFixed(0)} ms off, its cache ${process.cacheLink.servers.map(({ name }) => name).join(', ')}`,
    )
    for (let count = 0; count < CLIENTS_OF_A_PROCESS; count += 1) void workload.startClient(process)
  }
  for (let count = 0; count < config.processes; count += 1) startProcess()
  let changing: Promise<void> | undefined
  const changeList = (): void => {
    changing ??= rollOut(world, lots, startProcess).finally(() => {
      changing = undefined
    })
  }

  const kept: Promise<void>[] = []
  for (const kind of ['cache away for long', 'backend away for long'] as const)
    if (config.idleTtlMs < LONG_IDLE_MS && config.faults.has(kind) && lots.happens(0.6))
      kept.push(longOutage(world, workload, lots.branch(kind), kind))

  trapUsers(world, world.lots.branch('traps'), { startProcess, changeList })

  // Strikes come while there is work; their number is drawn, their moments follow the work.
  let strikes = config.strikes
  const strikeAt = Array.from({ length: strikes }, () => lots.whole(config.operations)).sort((a, b) => b - a)
  while (workload.left > 0) {
    await clock.sleep(2)
    while (strikes > 0 && workload.left <= (strikeAt[config.strikes - strikes] ?? -1)) {
      strikes -= 1
      strike(world, lots, { startProcess, changeList })
    }
    if (lots.happens(0.0015)) void replace(world, lots, startProcess)
    if (!world.processes.some(({ alive, leaving }) => alive && !leaving)) startProcess()
  }
  await changing
  await Promise.all(kept)
  // Whoever dies meanwhile may never answer.
  if (config.reusesIds === true)
    await Promise.race([useIdsAgain(world, workload), clock.sleep(2 * config.absoluteTtlMs + 10 * config.deadlineMs)])
  await heal(world, lots)
  await inspect(world, workload)
}

/**
 * A tier is away for about as long as a session may be idle, while somebody goes on using one; and the backend is
 * purged when it is over.
 */
const longOutage = async (
  world: World,
  workload: Workload,
  lots: Lots,
  kind: Extract<FaultKind, 'cache away for long' | 'backend away for long'>,
): Promise<void> => {
  const { clock, config } = world
  await clock.sleep(lots.between(0, 400))
  const lastsMs = config.idleTtlMs * lots.between(0.7, 1.8)
  world.note(undefined, `${kind}: for ${lastsMs.toFixed(0)} ms`)
  world.strikeFelt(kind)
  const how = lots.pick(['refusing', 'refusing', 'silent'] as const)
  if (kind === 'backend away for long') world.stopBackend(lastsMs, how)
  else for (const server of world.cacheServers) world.refuseCache(server, lastsMs, how)
  const endsAt = clock.now + lastsMs
  const keepers = Array.from({ length: 1 + lots.whole(3) }, (_, at) =>
    workload.keepInUse(lots.branch(String(at)), endsAt + config.idleTtlMs * 0.3),
  )
  await clock.sleep(lastsMs + lots.between(0, 10))
  if (config.faults.has('purged')) world.purge()
  await Promise.all(keepers)
}

/**
 * The processes get another list of cache servers, one after another, as a deployment gives it: each is closed, or
 * killed, and started anew. Meanwhile there are two lists.
 */
const rollOut = async (world: World, lots: Lots, startProcess: () => void): Promise<void> => {
  const { lists } = world.config
  const list = world.list === lists[0] ? lists[1] : lists[0]
  const old = world.processes.filter(({ alive, leaving }) => alive && !leaving)
  world.list = list
  world.note(undefined, `the list of cache servers becomes ${world.servers().map(({ name }) => name)}`)
  world.strikeFelt('server list changed')
  const pauseMs = lots.pick([1, 10, 100])
  for (const process of old) {
    await world.clock.sleep(lots.between(0, pauseMs))
    if (!process.alive || process.leaving) continue
    startProcess()
    if (process.paused || lots.happens(0.2)) process.die()
    else {
      process.leaving = true
      await close(world, process)
    }
  }
}

/** A process is closed in good order, and another takes its place. */
const replace = async (world: World, lots: Lots, startProcess: () => void): Promise<void> => {
  const candidates = world.processes.filter(({ alive, leaving, paused }) => alive && !leaving && !paused)
  if (candidates.length === 0) return
  const process = lots.pick(candidates)
  process.leaving = true
  startProcess()
  await close(world, process)
}

const close = async (world: World, process: SimulatedProcess): Promise<void> => {
  const invoked = world.clock.now
  world.note(process, 'closes …')
  const deadlineMs = 1_000
  const report = await process.store.close({ deadlineMs })
  const tookMs = world.clock.now - invoked - process.pausedBetween(invoked, world.clock.now)
  world.note(process, `closed: ${JSON.stringify(report)} after ${tookMs.toFixed(1)} ms`)
  if (tookMs > deadlineMs + 5) world.violated('I12', '-', `close took ${tookMs.toFixed(1)} ms`)
  if (report.left === 0 && report.destroysLeft === 0) world.onDrained(process)
  process.alive = false
}

/** Nothing goes wrong any more, and what had begun comes to its end. */
const heal = async (world: World, lots: Lots): Promise<void> => {
  const { clock, config } = world
  // Half of the worlds lose the whole cache at the very end: what may that cost?
  if (config.faults.has('cache restarted') && lots.happens(0.5)) {
    world.note(undefined, 'the cache restarts, at the end')
    world.strikeFelt('cache restarted')
    restartAll(world)
  }
  world.heal()
  for (const process of world.processes) process.resume()
  // Every call has settled by then; repairs are tried after at most half a minute.
  const hasTroubles = world.hadTroubles()
  const purging = purgeLate(world)
  await clock.sleep(config.deadlineMs + 5 * config.backendTimeoutMs + config.skewMs + (hasTroubles ? 45_000 : 0))
  await purging
  if (hasTroubles) world.onRepaired()
}

/** Commands that come very late come after tombstones whose time is up, if any are. */
const purgeLate = async (world: World): Promise<void> => {
  if (!world.config.faults.has('purged')) return
  for (const pauseMs of [5_000, 20_000]) {
    await world.clock.sleep(pauseMs)
    world.purge()
  }
}

/** As long as a call of the cache takes at most where nothing is wrong, and longer. */
const BACKGROUND_MS = 100

/**
 * Every process looks at every session; one writes durably to what lives; each looks at another's share again; and
 * once more, when the cache has lost everything.
 */
const inspect = async (world: World, workload: Workload): Promise<void> => {
  const { config } = world
  const processes = world.processes.filter(({ alive, leaving }) => alive && !leaving)
  const look = (process: SimulatedProcess, client: string, session: SessionHistory): Promise<unknown> =>
    perform(world, process, client, 'load', session, undefined, async (operation) => {
      const found = await process.store.load(session.id)
      operation.outcome = { is: 'ok' }
      if (found !== undefined) operation.sight = sightOf(found)
    })
  const sessions = [...world.sessions.values()]
  const [first] = processes
  if (first === undefined) return
  await Promise.all(processes.filter(({ leftAlone }) => leftAlone.size > 0).map(tryAgain))
  world.note(undefined, 'the end: everyone looks, one writes durably, everyone looks again')
  world.endsAt = world.clock.now
  for (const process of processes) await Promise.all(sessions.map((session) => look(process, 'end1', session)))
  if (config.users !== undefined) sessions.push(...(await inspectUsers(world, workload, first, config.users)))
  await Promise.all(
    sessions.map(async (session) => {
      // What nobody found is left; that it comes back by itself is seen by the last look.
      if (!session.operations.some(({ client, sight }) => client === 'end1' && sight !== undefined)) return
      const write = (token: string): Promise<Operation> =>
        perform(world, first, 'end', 'update', session, token, async (operation) => {
          const updated = await first.store.update(session.id, ({ log }) => void log.push(token), { durable: true })
          operation.outcome =
            updated === undefined
              ? { is: 'failed', code: 'no session', applied: 'no' }
              : { is: 'ok', durability: 'backend' }
          if (updated !== undefined) operation.sight = sightOf(updated)
        })
      const { outcome } = await write(workload.newToken(session))
      if (outcome.is === 'failed' && outcome.code === 'E_SESSION_UNKNOWN_OUTCOME')
        await write(workload.newToken(session))
    }),
  )
  world.writtenAt = world.clock.now
  const shares = (shift: number): Promise<unknown>[] =>
    sessions.map((session, at) => {
      const process = processes[(at + shift) % processes.length]
      return process === undefined ? Promise.resolve() : look(process, `end${shift + 1}`, session)
    })
  await world.clock.sleep(1)
  await Promise.all(shares(1))
  // What the loads left to be done in the background ends first: calls that the restart cuts would open a breaker.
  await world.clock.sleep(BACKGROUND_MS)
  world.note(undefined, 'the cache restarts, and everyone looks a last time')
  restartAll(world)
  await world.clock.sleep(1)
  await Promise.all(shares(2))
}

/**
 * Each user logs in once more, which is refused if he has as many sessions as he may have, and only then; or he is logged
 * out everywhere. Gives the sessions that were made.
 */
const inspectUsers = async (
  world: World,
  workload: Workload,
  process: SimulatedProcess,
  users: UsersConfig,
): Promise<readonly SessionHistory[]> => {
  const { names, limit, endsWithLogout } = users
  const lots = world.lots.branch('end')
  const client = new UserClient(world, workload, process, { name: 'end', lots, users })
  const made: SessionHistory[] = []
  for (const user of names) {
    const living = world.users.countOf(user)
    const { session: name, outcome } = await client.create(user)
    const session = world.sessions.get(name)
    if (session !== undefined) made.push(session)
    const isFull = (sessions: number): boolean => limit?.onTooMany === 'refuse' && sessions >= limit.most
    const isAsMeant = outcome.is === 'ok' ? !isFull(living.known) : isFull(living.all)
    if (!isAsMeant && !world.clocksStepped)
      world.violated(
        'limit',
        name,
        `${user} had ${living.all} sessions in the end, and the login ended as ${outcome.is}`,
      )
    world.users.judgeLimit()
    if (endsWithLogout) await client.logOut(user, undefined)
  }
  return made
}

/** So many sessions expire, and have their ids used again. */
const EXPIRING = 3

/**
 * Sessions expire. Then their ids are used again, while saves and flushes of those before are still coming in: of them
 * nothing is to be seen in the new ones (I1), of which nothing is lost.
 */
const useIdsAgain = async (world: World, workload: Workload): Promise<void> => {
  const { clock, config } = world
  const processes = world.processes.filter(({ alive, leaving, paused }) => alive && !leaving && !paused)
  const of = (at: number): SimulatedProcess => processes[at % processes.length] as SimulatedProcess
  if (processes.length === 0) return
  const create = (session: SessionHistory, process: SimulatedProcess): Promise<Operation> => {
    const token = workload.newToken(session)
    return perform(world, process, 'heir', 'create', session, token, async (operation) => {
      const made = await process.store.create({ log: [token], user: token }, { id: session.id })
      operation.outcome = { is: 'ok', durability: config.persistOn === 'due' ? 'cache' : 'backend' }
      operation.sight = sightOf(made)
    })
  }
  const look = (session: SessionHistory, process: SimulatedProcess): Promise<unknown> =>
    perform(world, process, 'heir', 'load', session, undefined, async (operation) => {
      const found = await process.store.load(session.id)
      operation.outcome = { is: 'ok' }
      if (found !== undefined) operation.sight = sightOf(found)
    })
  const save = (session: SessionHistory, handle: Session<Data>, process: SimulatedProcess): Promise<unknown> => {
    const token = workload.newToken(session)
    return perform(world, process, 'late', 'save', session, token, async (operation) => {
      handle.data[ownKey(token)] = true
      const { durability } = await process.store.save(handle, { durable: true })
      operation.outcome = { is: 'ok', durability }
    })
  }
  const one = async (at: number): Promise<void> => {
    const before = workload.newSession()
    await create(before, of(at))
    const handles = await Promise.all(
      processes.map(({ store }) => store.load(before.id, { touch: false }).catch(() => undefined)),
    )
    // Its flush may still be under way when the session has expired.
    await Promise.race([handles[0] && save(before, handles[0], of(0)), clock.sleep(1)])
    await clock.sleep(config.absoluteTtlMs + 2 * config.skewMs + 1)
    const heir = workload.newSession(before.id, [], before.name)
    await create(heir, of(at + 1))
    await look(heir, of(at))
    for (const [by, handle] of handles.entries()) if (handle !== undefined) await save(before, handle, of(by))
    for (const process of processes) await look(heir, process)
    restartAll(world)
    for (const process of processes) await look(heir, process)
  }
  await Promise.all(Array.from({ length: EXPIRING }, (_, at) => one(at)))
}

const restartAll = (world: World): void => {
  for (const server of world.cacheServers) world.restartCache(server)
}

/** A tier that was left alone is tried by one call; until that is answered, others fail. Of ids that nobody has. */
const tryAgain = async (process: SimulatedProcess): Promise<void> => {
  const untried = new Set(process.cacheLink.servers.map(({ name }) => name))
  for (let number = 0; untried.size > 0 && number < 64; number += 1) {
    const id = `nobody-${number}`
    if (!untried.delete(process.cacheLink.serverOf(keyOf(id)))) continue
    await process.store.load(id).catch(() => {})
  }
}
