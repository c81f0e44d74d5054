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
      const process = lots.pick(living)
      if (process === undefined) return
      const server = lots.pick(process.cacheLink.servers)
      // As a broken route is: also for as long as several requests take.
      const cutOffMs = lastsMs * lots.pick([1, 3, 10])
      world.note(process, `is cut off from ${server.name} for ${cutOffMs.toFixed(0)} ms`)
      world.refuseCache(server, cutOffMs, lots.pick(['refusing', 'refusing', 'silent']), process)
      return
    }
    case 'outage slept through': {
      const process = lots.pick(living)
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
      const process = lots.pick(living)
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
      const process = lots.pick(living)
      if (process === undefined || process.paused) return
      world.note(process, `is paused for ${lastsMs.toFixed(0)} ms`)
      world.strikeFelt(kind)
      process.pause()
      clock.after(lastsMs, () => process.resume())
      return
    }
    case 'process died': {
      if (living.length === 0) return
      const process = lots.pick(living)
      world.note(process, 'dies')
      world.strikeFelt(kind)
      process.die()
      cluster.startProcess()
      return
    }
    case 'call failed': {
      const process = lots.pick(living)
      if (process === undefined) return
      const link = lots.happens(0.7) ? process.cacheLink : process.backendLink
      link.failing = lots.pick([1, 1, 2, 3])
      world.note(process, `${link.failing} of its calls to the ${link.name} fail`)
      return
    }
    case 'troubles together':
      world.traps.push(trapOf(world, lots, cluster))
      return
    case 'cache slow': {
      const process = lots.pick(living)
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
      const process = lots.pick(living)
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

/**
 * What seldom comes together by chance: a command is done and its answer lost, its process's next calls fail or it dies,
 * the entry goes, its next look is late, and so is what it or others have under way to the backend.
 */
const trapOf = (world: World, lots: Lots, cluster: Cluster): Trap => {
  const on = lots.pick(['get', 'cas', 'cas', 'update', 'update', 'insert', 'freezing'] as const)
  const process = lots.pick(world.processes.filter(({ alive, leaving }) => alive && !leaving))
  const isOfOne = process !== undefined && on !== 'freezing' && lots.happens(0.5)
  const [dies, losesAnswer, evicts, isLate] = [0.15, 0.6, 0.5, 0.4].map((probability) => lots.happens(probability))
  const [failing, evictedAfterMs, heldMs] = [lots.whole(3), lots.between(0, 20), lots.between(5, 100)]
  const lateMs = lots.between(0.1, 0.7) * world.config.cacheTimeoutMs
  const held = lots.pick(['nobody', 'all', 'the others', 'it alone'] as const)
  return {
    on,
    ...(isOfOne ? { process: process.name } : {}),
    spring: (name, key) => {
      const struck = world.processes.find((each) => each.name === name)
      if (struck === undefined) return false
      world.note(struck, `troubles come together after its ${on} of ${world.nameOf(key)}`)
      struck.cacheLink.failing = Math.max(struck.cacheLink.failing, failing)
      const server = struck.cacheLink.homeOf(key)
      if (evicts === true) world.clock.after(evictedAfterMs, () => server.lose(key, 'evicted'))
      if (isLate === true) struck.cacheLink.lateOnceMs = lateMs
      if (held !== 'nobody')
        world.held = {
          until: world.clock.now + heldMs,
          isHeld: (other) => held === 'all' || (other === name) === (held === 'it alone'),
        }
      // As a kill is: not in the middle of what it does now.
      if (dies === true && struck.alive && !struck.leaving)
        world.clock.after(0, () => {
          struck.die()
          cluster.startProcess()
        })
      else if (losesAnswer === true && failing > 0)
        world.clock.after(1, () => struck.cacheLink.cut(server.name, 'the connection was reset'), struck)
      return losesAnswer === true
    },
  }
}
