import { setTimeout as sleep } from 'node:timers/promises'
import type { Cluster } from './cluster.js'
import { type BackendFault, type Fault, type FaultKind, PLACES, type Place, WIRES, type WireName } from './faults.js'
import type { Notes } from './notes.js'
import { CACHES } from './store-options.js'

/** How long what was in flight at a moment may suffer from it. */
const MOMENT_MS = 100
/** A delay shorter than this is slow, not down. */
const BARELY_FELT_MS = 100
const DRAIN_DEADLINE_MS = 3_000

export interface Strikes {
  /** Does it as soon as what it strikes is not suffering from another; resolves when it is over. */
  strike(fault: Fault): Promise<void>
  readonly counts: Partial<Record<FaultKind, number>>
}

export const strikes = (cluster: Cluster, { note, tell, now }: Notes, isOver: () => boolean): Strikes => {
  const counts: Partial<Record<FaultKind, number>> = {}
  const busy = new Map<string, Promise<void>>()

  /** One after another for each thing that is struck; what would come after the end does not come. */
  const alone = async (things: readonly string[], work: () => Promise<void>): Promise<void> => {
    for (;;) {
      const other = things.map((thing) => busy.get(thing)).find((promise) => promise !== undefined)
      if (other === undefined) break
      await other
    }
    if (isOver()) return
    const done = work().finally(() => {
      for (const thing of things) if (busy.get(thing) === settled) busy.delete(thing)
    })
    const settled = done.catch(() => {})
    for (const thing of things) busy.set(thing, settled)
    await done
  }

  const down = (from: number, places: readonly Place[], wires: readonly WireName[]): void => {
    for (const place of places) for (const wire of wires) note({ is: 'down', at: from, until: now(), place, wire })
  }
  const begins = (kind: FaultKind, what: string): number => {
    counts[kind] = (counts[kind] ?? 0) + 1
    tell(what)
    return now()
  }

  const onWires = async (fault: Fault): Promise<void> => {
    const { kind, places, wire, forMs, bytes, byMs } = fault
    const where = `${wire} for ${places.join('')}`
    const proxies = places.map((place) => cluster.wire(place, wire))
    const lasting = { 'drop reply': 'dropReplies', 'black hole': 'blackHole' } as const
    if (kind === 'cut' || kind === 'half-close' || kind === 'reset') {
      const from = begins(kind, `${kind}: ${where}${kind === 'cut' ? ` after ${bytes} bytes` : ''}`)
      for (const proxy of proxies) {
        if (kind === 'cut') proxy.cutAfter(bytes, 'answers')
        else if (kind === 'reset') proxy.reset()
        else proxy.halfClose()
      }
      await sleep(MOMENT_MS)
      down(from, places, [wire])
      return
    }
    const from = begins(kind, `${kind}: ${where}, ${kind === 'delay' ? `by ${byMs} ms ` : ''}for ${forMs} ms`)
    for (const proxy of proxies) {
      if (kind === 'delay') proxy.delay(byMs)
      else proxy[lasting[kind as keyof typeof lasting]]()
    }
    await sleep(forMs)
    for (const proxy of proxies) proxy.heal()
    if (kind !== 'delay' || byMs >= BARELY_FELT_MS) down(from, places, [wire])
  }

  const onCache = async ({ kind, cache, forMs }: Fault): Promise<void> => {
    const server = cluster.caches[cache]
    const name = CACHES[cache]
    const wire = WIRES[cache]
    if (server === undefined || name === undefined || wire === undefined) return
    if (kind === 'flush') {
      const from = begins(kind, `flush: ${wire}`)
      note({ is: 'lost', at: from, server: name, why: 'flushed' })
      await server.flush()
      note({ is: 'lost', at: now(), server: name, why: 'flushed' })
      return
    }
    if (kind === 'evict') {
      const from = begins(kind, `evict: ${wire} is filled`)
      note({ is: 'full', at: from, server: name })
      const { evicted, untold } = await server.squeeze()
      tell(`  ${wire} evicted ${evicted}`)
      if (untold > 0) for (const at of [from, now()]) note({ is: 'lost', at, server: name, why: 'evicted, untold' })
      return
    }
    if (kind === 'stop') {
      const from = begins(kind, `stop: ${wire} for ${forMs} ms`)
      server.stop()
      await sleep(forMs)
      server.resume()
      down(from, PLACES, [wire])
      return
    }
    const from = begins(kind, `kill: ${wire}, back after ${forMs} ms`)
    await server.kill()
    note({ is: 'lost', at: now(), server: name, why: 'killed' })
    await sleep(forMs)
    await server.start()
    down(from, PLACES, [wire])
  }

  const onBackend = async (kind: BackendFault, { places, forMs }: Fault): Promise<void> => {
    const how: Record<BackendFault, string> = {
      terminate: 'every connection to the backend',
      'backend crash': 'immediate shutdown, restarted',
      'backend restart': 'fast',
      'backend stop': `for ${forMs} ms`,
    }
    const from = begins(kind, `${kind}: ${how[kind]}`)
    await cluster.behind.suffer(kind, forMs)
    if (kind === 'terminate') await sleep(MOMENT_MS)
    down(from, kind === 'terminate' ? places : PLACES, ['backend'])
  }

  const onApp = async ({ kind, places, forMs }: Fault): Promise<void> => {
    const [place] = places
    const app = place === undefined ? undefined : cluster.apps.get(place)
    if (place === undefined || app === undefined || app.isGone()) return
    if (kind === 'app stop') {
      const from = begins(kind, `app stop: ${app.name} for ${forMs} ms`)
      app.pause()
      await sleep(forMs)
      app.resume()
      note({ is: 'stopped', at: from, until: now(), app: app.name })
      return
    }
    if (kind === 'app kill') {
      begins(kind, `app kill: ${app.name}, replaced`)
      await app.kill()
      note({ is: 'gone', at: now(), app: app.name, closed: false })
    } else {
      begins(kind, `app drain: ${app.name}, replaced`)
      const report = await app.close(DRAIN_DEADLINE_MS)
      note({ is: 'gone', at: now(), app: app.name, closed: true })
      tell(`  ${app.name} left ${report.left} unflushed, ${report.destroysLeft} destroys`)
    }
    await cluster.fill(place)
  }

  return {
    counts,
    strike: async (fault) => {
      const { kind, places, wire, cache } = fault
      switch (kind) {
        case 'cut':
        case 'drop reply':
        case 'black hole':
        case 'delay':
        case 'half-close':
        case 'reset':
          return await alone(
            places.map((place) => `${place} ${wire}`),
            () => onWires(fault),
          )
        case 'kill':
        case 'stop':
        case 'flush':
        case 'evict':
          return await alone([`server ${cache}`], () => onCache(fault))
        case 'backend restart':
        case 'backend crash':
        case 'terminate':
        case 'backend stop':
          return await alone(['server backend'], () => onBackend(kind, fault))
        case 'app kill':
        case 'app stop':
        case 'app drain':
          return await alone(
            places.map((place) => `app ${place}`),
            () => onApp(fault),
          )
      }
    },
  }
}
