import type { FaultKind } from './faults.js'
import type { Lots } from './random.js'
import type { World } from './world.js'

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
    default:
      return
  }
}
