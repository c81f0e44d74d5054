import { join } from 'node:path'
import type { RowState } from '../concurrency/row-journal.js'
import { type AppProcess, type ControlDesk, controlDesk } from './app-process.js'
import { type Behind, type Ending, startBehind } from './behind.js'
import { type CacheServer, cacheServer } from './cache-server.js'
import { startControl } from './control.js'
import { type FaultProxy, faultProxy } from './fault-proxy.js'
import { type BackendKind, PLACES, type Place, WIRES, type WireName } from './faults.js'
import type { Known } from './messages.js'
import type { Notes } from './notes.js'
import { CACHES } from './store-options.js'

export interface ClusterOptions {
  readonly folder: string
  readonly seed: number
  readonly transport: 'nonstick' | 'memjs'
  readonly sealed: boolean
  readonly backend: BackendKind
  readonly notes: Notes
}

/** Real servers, a wire to each from every place, and a process in each place. */
export interface Cluster {
  readonly caches: readonly CacheServer[]
  readonly behind: Behind
  readonly apps: ReadonlyMap<Place, AppProcess>
  wire(place: Place, name: WireName): FaultProxy
  /** Starts a process in a place, in place of one that is gone. */
  fill(place: Place): Promise<void>
  /** One that has never seen anything, on wires of its own that never fail. It does nothing by itself. */
  fresh(): Promise<AppProcess>
  /** Sessions that live, as far as anyone said. */
  living(): readonly Known[]
  everKnown(): readonly Known[]
  /** Every state that the rows went through. */
  rows(): Promise<readonly RowState[]>
  historyFiles(): readonly string[]
  end(): Promise<void>
}

const CLIENTS = 8
const KEPT_SESSIONS = 8

export const openCluster = async ({
  folder,
  seed,
  transport,
  sealed,
  backend,
  notes,
}: ClusterOptions): Promise<Cluster> => {
  const ending: Ending = []
  const end = async (): Promise<void> => {
    for (const last of ending.splice(0).reverse()) await last()
  }
  try {
    const offset = Date.now() - notes.now()
    const caches = await Promise.all(
      CACHES.map((name) =>
        cacheServer(join(folder, `${name.split(':')[0]}.log`), (key, epochMs) =>
          notes.note({ is: 'evicted', at: epochMs - offset, key }),
        ),
      ),
    )
    for (const cache of caches) ending.push(() => cache.end())
    const behind = await startBehind(backend, folder, ending)

    const portOf: Record<WireName, () => number> = {
      'cache-1': () => caches[0]?.port ?? 0,
      'cache-2': () => caches[1]?.port ?? 0,
      backend: behind.port,
    }
    const control = await startControl(portOf, backend, notes.note)
    ending.push(() => control.close())
    const wires = new Map<string, FaultProxy>()
    for (const place of PLACES)
      for (const name of WIRES) {
        const proxy = await faultProxy(portOf[name])
        ending.push(() => proxy.close())
        wires.set(`${place} ${name}`, proxy)
      }
    const wire = (place: Place, name: WireName): FaultProxy => wires.get(`${place} ${name}`) as FaultProxy

    const known = new Map<string, Known>()
    const ended = new Set<string>()
    const apps = new Map<Place, AppProcess>()
    const started: AppProcess[] = []
    const desk: ControlDesk = await controlDesk(folder, (from, message) => {
      const name = message.say === 'made' ? message.session.name : message.name
      if (message.say === 'made') known.set(name, message.session)
      else ended.add(name)
      for (const app of apps.values())
        if (app !== from && !app.isGone())
          app.tell(message.say === 'made' ? { ask: 'known', session: message.session } : { ask: 'ended', name })
    })
    ending.push(() => desk.close())
    ending.push(() => Promise.all(started.map((app) => app.kill())))

    const begin = async (name: string, ports: Record<WireName, number>, keptSessions: number): Promise<AppProcess> => {
      const app = await desk.startApp({
        name,
        seed,
        transport,
        sealed,
        clients: CLIENTS,
        keptSessions,
        servers: CACHES.join(','),
        backend: behind.place,
        ports: {
          [CACHES[0]]: ports['cache-1'],
          [CACHES[1]]: ports['cache-2'],
          [new URL(behind.place.url).host]: ports.backend,
        },
      })
      started.push(app)
      return app
    }
    const living = (): Known[] => [...known.values()].filter(({ name }) => !ended.has(name))
    const lives = new Map<Place, number>()
    return {
      caches,
      behind,
      apps,
      wire,
      fill: async (place) => {
        const life = (lives.get(place) ?? 0) + 1
        lives.set(place, life)
        const ports = Object.fromEntries(WIRES.map((name) => [name, wire(place, name).port]))
        const app = await begin(`${place}${life}`, ports as Record<WireName, number>, life === 1 ? KEPT_SESSIONS : 0)
        apps.set(place, app)
        await app.start(living())
      },
      fresh: () =>
        begin('Z1', { 'cache-1': portOf['cache-1'](), 'cache-2': portOf['cache-2'](), backend: portOf.backend() }, 0),
      living,
      everKnown: () => [...known.values()],
      rows: () => behind.rows(),
      historyFiles: () => started.map(({ historyFile }) => historyFile),
      end,
    }
  } catch (error) {
    await end()
    throw error
  }
}
