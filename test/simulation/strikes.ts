import type { FaultKind } from './faults.js'
import type { Lots } from './random.js'
import type { World } from './world.js'

/** What is done to the world at once, as opposed to single messages. */
const STRIKES: readonly FaultKind[] = [
  'entry evicted',
  'entry evicted',
  'cache restarted',
  'cache unreachable',
  'connection cut',
  'backend slow',
  'backend down',
  'process paused',
  'process died',
]

/** One of the faults that this schedule has, struck now. What lasts ends by itself. */
export const strike = (world: World, lots: Lots, startProcess: () => void): void => {
  const { clock, config } = world
  const kinds = STRIKES.filter((kind) => config.faults.has(kind))
  if (kinds.length === 0) return
  const kind = lots.pick(kinds)
  // Some faults are shorter than a deadline, some longer than several.
  const lastsMs = lots.pick([0.3, 1, 3]) * lots.between(config.cacheTimeoutMs * 0.1, config.cacheTimeoutMs)
  const living = world.processes.filter(({ alive, leaving }) => alive && !leaving)
  switch (kind) {
    case 'entry evicted': {
      const keys = [...world.cacheServer.entries.keys()]
      if (keys.length === 0) return
      const key = lots.pick(keys)
      world.note(undefined, `the cache evicts the entry of ${world.nameOf(key)}`)
      world.strikeFelt(kind)
      world.cacheServer.lose(key, 'evicted')
      return
    }
    case 'cache restarted': {
      world.note(undefined, 'the cache restarts')
      world.strikeFelt(kind)
      world.restartCache()
      if (lots.happens(0.5)) world.refuseCache(lastsMs, 'refusing')
      return
    }
    case 'cache unreachable':
      // Of all processes at once, and with what it holds.
      world.note(undefined, `the cache cannot be reached for ${lastsMs.toFixed(0)} ms`)
      world.refuseCache(lastsMs, lots.pick(['refusing', 'silent']))
      return
    case 'connection cut': {
      const process = lots.pick(living)
      if (process === undefined) return
      world.note(process, 'its connection to the cache is cut')
      world.strikeFelt(kind)
      clock.after(0, () => process.cacheLink.cut('the connection was reset'), process)
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
      startProcess()
      return
    }
    default:
      return
  }
}
