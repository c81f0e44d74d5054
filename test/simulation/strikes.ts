import type { FaultKind } from './faults.js'
import type { Lots } from './random.js'
import type { Trap, World } from './world.js'

/** What is done to the world at once, as opposed to single messages. */
const STRIKES: readonly FaultKind[] = [
  'entry evicted',
  'entry evicted',
  'cache restarted',
  'cache unreachable',
  'server cut off',
  'outage slept through',
  'server list changed',
  'connection cut',
  'backend slow',
  'backend down',
  'process paused',
  'process died',
  'call failed',
  'call failed',
  'call failed',
  'troubles together',
  'troubles together',
  'troubles together',
  'cache slow',
  'cache full',
  'table missing',
  'clock stepped',
  'purged',
]

/** What a strike may have done to the processes. */
export interface Cluster {
  startProcess(): void
  /** Begins to give every process the other list, one after another. */
  changeList(): void
}

/** One of the faults that this schedule has, struck now. What lasts ends by itself. */
export const strike = (world: World, lots: Lots, cluster: Cluster): void => {
  const { clock, config } = world
  const kinds = STRIKES.filter((kind) => config.faults.has(kind))
  if (kinds.length === 0) return
  const kind = lots.pick(kinds)
  // Some faults are shorter than a deadline, some longer than several.
  const lastsMs = lots.pick([0.3, 1, 3]) * lots.between(config.cacheTimeoutMs * 0.1, config.cacheTimeoutMs)
  const living = world.processes.filter(({ alive, leaving }) => alive && !leaving)
  const anyOf = <Each>(those: readonly Each[]): Each | undefined => (those.length === 0 ? undefined : lots.pick(those))
  switch (kind) {
    case 'entry evicted': {
      const entries = world.cacheServers.flatMap((server) => [...server.entries.keys()].map((key) => ({ server, key })))
      if (entries.length === 0) return
      const { server, key } = lots.pick(entries)
      world.note(undefined, `${server.name} evicts the entry of ${world.nameOf(key)}`)
      world.strikeFelt(kind)
      server.lose(key, 'evicted')
      return
    }
    case 'cache restarted': {
      const server = lots.pick(world.servers())
      world.note(undefined, `${server.name} restarts`)
      world.strikeFelt(kind)
      world.restartCache(server)
      if (lots.happens(0.5)) world.refuseCache(server, lastsMs, 'refusing')
      return
    }
    case 'cache unreachable': {
      // For all processes at once, and with what it holds.
      const how = lots.pick(['refusing', 'silent'] as const)
      for (const server of lots.happens(0.3) ? world.servers() : [lots.pick(world.servers())]) {
        world.note(undefined, `${server.name} cannot be reached for ${lastsMs.toFixed(0)} ms`)
        world.refuseCache(server, lastsMs, how)
      }
      return
    }
    case 'server cut off': {
      const process = anyOf(living)
      if (process === undefined) return
      const server = lots.pick(process.cacheLink.servers)
      // As a broken route is: also for as long as several requests take.
      const cutOffMs = lastsMs * lots.pick([1, 3, 10])
      world.note(process, `is cut off from ${server.name} for ${cutOffMs.toFixed(0)} ms`)
      world.refuseCache(server, cutOffMs, lots.pick(['refusing', 'refusing', 'silent']), process)
      return
    }
    case 'outage slept through': {
      const process = anyOf(living)
      if (process === undefined || process.paused || living.length < 2) return
      const server = lots.pick(process.cacheLink.servers)
      world.note(process, `sleeps while ${server.name} cannot be reached for ${lastsMs.toFixed(0)} ms`)
      world.strikeFelt(kind)
      world.refuseCache(server, lastsMs, 'refusing')
      // Or it is started anew when all is over: it knows as little.
      if (lots.happens(0.5)) {
        process.die()
        clock.after(lastsMs, () => cluster.startProcess())
      } else {
        process.pause()
        clock.after(lastsMs + 1, () => process.resume())
      }
      return
    }
    case 'server list changed':
      cluster.changeList()
      return
    case 'connection cut': {
      const process = anyOf(living)
      if (process === undefined) return
      const { name } = lots.pick(process.cacheLink.servers)
      world.note(process, `its connection to ${name} is cut`)
      world.strikeFelt(kind)
      clock.after(0, () => process.cacheLink.cut(name, 'the connection was reset'), process)
      return
    }
    case 'backend slow':
      world.note(undefined, `the backend is slow for ${lastsMs.toFixed(0)} ms`)
      world.slowBackend(lastsMs)
      return
    case 'backend down':
      world.note(undefined, `the backend is down for ${lastsMs.toFixed(0)} ms`)
      world.stopBackend(lastsMs, lots.pick(['refusing', 'silent']))
      return
    case 'process paused': {
      const process = anyOf(living)
      if (process === undefined || process.paused) return
      world.note(process, `is paused for ${lastsMs.toFixed(0)} ms`)
      world.strikeFelt(kind)
      process.pause()
      clock.after(lastsMs, () => process.resume())
      return
    }
    case 'process died': {
      const process = anyOf(living)
      if (process === undefined) return
      world.note(process, 'dies')
      world.strikeFelt(kind)
      process.die()
      cluster.startProcess()
      return
    }
    case 'call failed': {
      const process = anyOf(living)
      if (process === undefined) return
      const link = lots.happens(0.7) ? process.cacheLink : process.backendLink
      link.failing = lots.pick([1, 1, 2, 3])
      world.note(process, `${link.failing} of its calls to the ${link.name} fail`)
      return
    }
    case 'troubles together':
      world.traps.push(...trapsOf(world, lots, cluster))
      return
    case 'cache slow': {
      const process = anyOf(living)
      if (process === undefined) return
      // Each call just comes in time, but for the unlucky ones.
      process.cacheLink.slowMs = config.cacheTimeoutMs * lots.pick([0.15, 0.3, 0.38])
      const slowForMs = config.deadlineMs * lots.pick([0.3, 1])
      world.note(process, `its way to the cache is slow for ${slowForMs.toFixed(0)} ms`)
      clock.after(slowForMs, () => {
        process.cacheLink.slowMs = 0
      })
      return
    }
    case 'cache full': {
      const server = lots.pick(world.servers())
      const fullMs = lastsMs * lots.pick([1, 3, 10])
      world.note(undefined, `${server.name} takes no new value for ${fullMs.toFixed(0)} ms`)
      world.fillUp(server, fullMs)
      return
    }
    case 'table missing':
      world.note(undefined, `the backend lacks its table for ${lastsMs.toFixed(0)} ms`)
      world.loseTable(lastsMs)
      return
    case 'clock stepped': {
      const process = anyOf(living)
      if (process === undefined) return
      const HOUR_MS = 3_600_000
      const stepMs = lots.pick([-1, 1]) * lots.pick([lots.between(1_000, 30_000), lots.between(0, HOUR_MS), HOUR_MS])
      // Or it is set right again.
      process.skewMs = Math.abs(process.skewMs) > config.skewMs && lots.happens(0.3) ? 0 : process.skewMs + stepMs
      world.clocksStepped = true
      world.note(process, `its clock steps, and is ${process.skewMs.toFixed(0)} ms off`)
      world.strikeFelt(kind)
      return
    }
    case 'purged':
      world.purge()
      return
    default:
      return
  }
}

/** What comes together when a trap is sprung. */
interface Troubles {
  /** The command is done, and its answer lost. */
  readonly losesAnswer: boolean
  /** So many of its process's next calls to the cache fail. */
  readonly failing: number
  /** Its process dies. */
  readonly dies: boolean
  /** The entry goes a moment later. */
  readonly evicts: boolean
  /** Its process's next call to the cache comes late, and in time all the same. */
  readonly isLate: boolean
  /** Whose commands to the backend wait for a while. */
  readonly held: 'nobody' | 'all' | 'the others' | 'it alone'
}

const NO_TROUBLES: Troubles = {
  losesAnswer: false,
  failing: 0,
  dies: false,
  evicts: false,
  isLate: false,
  held: 'nobody',
}

type Recipe = readonly (readonly [Trap['on'], Partial<Troubles>])[]

/** What chance alone would seldom bring together. */
const RECIPES: readonly Recipe[] = [
  // A write goes round the cache late, while others go on with the entry that has it.
  [['cas', { losesAnswer: true, failing: 1, held: 'it alone' }]],
  [['claiming', { losesAnswer: true, failing: 1, held: 'it alone' }]],
  [
    ['cas', { evicts: true }],
    ['claiming', { losesAnswer: true, failing: 1, held: 'it alone' }],
  ],
  // Whoever went round the cache looks at it late.
  [
    ['cas', { losesAnswer: true, failing: 1 }],
    ['takeover', { isLate: true }],
  ],
  [
    ['get', { losesAnswer: true, failing: 2, evicts: true }],
    ['takeover', { isLate: true }],
  ],
  // The entry goes while its flush is under way, and is filled again from what stands in the backend.
  [['cas', { evicts: true, held: 'all' }]],
  [['cas', { evicts: true, held: 'it alone' }]],
  // A write without an answer is lost with the entry, and comes back with another's flush.
  [['cas', { losesAnswer: true, evicts: true, held: 'the others' }]],
  [['cas', { losesAnswer: true, evicts: true, failing: 1, held: 'the others' }]],
  // Whoever has frozen a session, or has put it into the backend, is gone.
  [['freezing', { dies: true }]],
  [['takeover', { dies: true }]],
  [['update', { dies: true, evicts: true }]],
]

/** What may come between the steps of a login, and of a logout everywhere. */
const RECIPES_OF_USERS: readonly Recipe[] = [
  // A login is under way for long: its epoch was read, and what it writes comes late.
  [['readUser', { held: 'it alone' }]],
  [['identifying', { held: 'it alone' }]],
  // Whoever was about to look whether a user was logged out meanwhile is gone.
  [['identifying', { dies: true }]],
  [['insert', { dies: true }]],
  [['readUser', { dies: true }]],
  [
    ['identifying', { held: 'all' }],
    ['update', { dies: true }],
  ],
  [['identifying', { held: 'all', evicts: true }]],
  [['update', { evicts: true }]],
  // Whoever raised the epoch, or was about to end the sessions, is gone or late.
  [['writeUser', { dies: true }]],
  [['writeUser', { held: 'it alone' }]],
  [['writeUser', { losesAnswer: true }]],
  [['listKeys', { dies: true }]],
  [['listKeys', { held: 'it alone' }]],
]

/** Sets the traps of a schedule that has users: they spring one after another, while the operations run. */
export const trapUsers = (world: World, lots: Lots, cluster: Cluster): void => {
  const { clock, config } = world
  const { traps = 0 } = config.users ?? {}
  for (let count = 0; count < traps; count += 1)
    clock.after(lots.between(0, config.operations * config.thinkMs), () => {
      for (const [on, troubles] of lots.pick(RECIPES_OF_USERS))
        world.traps.push(trapOf(world, lots, cluster, on, undefined, { ...NO_TROUBLES, ...troubles }))
    })
}

const trapsOf = (world: World, lots: Lots, cluster: Cluster): readonly Trap[] => {
  const living = world.processes.filter(({ alive, leaving }) => alive && !leaving)
  if (living.length === 0) return []
  const process = lots.pick(living)
  const only = lots.happens(0.5) ? process.name : undefined
  const recipe: Recipe = lots.happens(0.7) ? lots.pick(RECIPES) : [chanceOf(lots)]
  return recipe.map(([on, troubles]) => trapOf(world, lots, cluster, on, only, { ...NO_TROUBLES, ...troubles }))
}

const chanceOf = (lots: Lots): readonly [Trap['on'], Troubles] => [
  lots.pick(['get', 'cas', 'update', 'insert', 'freezing', 'claiming', 'takeover'] as const),
  {
    losesAnswer: lots.happens(0.6),
    failing: lots.whole(3),
    dies: lots.happens(0.15),
    evicts: lots.happens(0.5),
    isLate: lots.happens(0.4),
    held: lots.pick(['nobody', 'all', 'the others', 'it alone'] as const),
  },
]

const trapOf = (
  world: World,
  lots: Lots,
  cluster: Cluster,
  on: Trap['on'],
  only: string | undefined,
  { losesAnswer, failing, dies, evicts, isLate, held }: Troubles,
): Trap => {
  const { clock, config } = world
  const evictedAfterMs = lots.pick([0, lots.between(0, 6), lots.between(0, 20)])
  const longMs = lots.between(0.3, 0.75) * config.backendTimeoutMs
  const heldMs = lots.pick([lots.between(3, 15), lots.between(5, 100), longMs])
  const lateMs = lots.between(0.1, 0.7) * config.cacheTimeoutMs
  return {
    on,
    ...(only === undefined ? {} : { process: only }),
    spring: (name, key) => {
      const struck = world.processes.find((each) => each.name === name)
      if (struck === undefined) return false
      world.note(struck, `troubles come together after its ${on} of ${world.nameOf(key)}`)
      const { cacheLink } = struck
      cacheLink.failing = Math.max(cacheLink.failing, failing)
      const server = cacheLink.homeOf(key)
      if (evicts) clock.after(evictedAfterMs, () => server.lose(key, 'evicted'))
      if (isLate) cacheLink.lateOnceMs = lateMs
      const isHeld = (other: string): boolean => held === 'all' || (other === name) === (held === 'it alone')
      if (held !== 'nobody') world.held = { until: clock.now + heldMs, isHeld }
      // As a kill is: not in the middle of what it does now.
      if (dies && struck.alive && !struck.leaving)
        clock.after(0, () => {
          struck.die()
          cluster.startProcess()
        })
      else if (losesAnswer) clock.after(1, () => cacheLink.cut(server.name, 'the connection was reset'), struck)
      return losesAnswer
    },
  }
}
