/** What a request with a session costs the server process, with each store. */
import { randomBytes } from 'node:crypto'
import type { RunFamily } from './bench.js'
import type { ServerQuestion } from './request-server.js'
import { type Case, found, inRounds, type Measure, ratioIn, type Sample, summarized } from './rounds.js'
import { SIZES, type Size, USUAL_SIZE } from './sessions.js'
import { type Subject, startSubject } from './subject.js'
import { type Counts, perOperation, startTiers } from './tiers.js'
import { startVisitors, type Visitors } from './visits.js'

const PATTERNS = { 'read-only': 0, '1 in 5 writes': 5, 'always writing': 1 } as const
type Pattern = keyof typeof PATTERNS
const PATTERN_NAMES = Object.keys(PATTERNS) as Pattern[]

const OURS = 'nonstick on PostgreSQL'
const ALONE = ['MemoryStore']
/** Which servers each store stands on. The first one is its cache, or is all that it has. */
const STORES: Readonly<Record<string, readonly ServerKind[]>> = {
  MemoryStore: [],
  'connect-memcached': ['memcached'],
  'connect-redis': ['redis'],
  'connect-pg-simple': ['database'],
  'bare socket with JSON': ['memcached'],
  [OURS]: ['memcached', 'database'],
  'nonstick on Redis': ['memcached', 'redis'],
  'nonstick on PostgreSQL, sealed': ['memcached', 'database'],
}
const FRAMEWORKS: Readonly<Record<string, readonly ServerKind[]>> = {
  'fastify with nonstick on PostgreSQL': ['memcached', 'database'],
  'hono with nonstick on PostgreSQL': ['memcached', 'database'],
}
/** Those that the figures with a goal come from, and the limit. */
const OF_FIGURES = ['MemoryStore', 'connect-memcached', 'connect-redis', 'bare socket with JSON', OURS]
type ServerKind = 'memcached' | 'redis' | 'database'

/** Before anything is measured, each server is asked so much, for so long at most. */
const WARM_UP = { bytes: USUAL_SIZE, writeEvery: 2, requests: 2_000, seconds: 3 } as const

const groupOf = (bytes: Size, pattern: Pattern, processes: number): string =>
  `${bytes} bytes, ${pattern}, ${processes === 1 ? 'one process' : 'two processes'}`

/** The servers of one store, with what they stand on. */
interface Site {
  readonly store: string
  readonly servers: readonly Subject[]
  readonly visitors: Visitors
  counts(): Promise<Counts>
}

export const request: RunFamily = async ({ seconds, rounds, quick }, tell) => {
  const tiers = await startTiers()
  const ends: (() => Promise<void>)[] = []
  try {
    const openSite = async (
      store: string,
      sizes: readonly Size[],
      { processes = 1, flags = [] }: { readonly processes?: number; readonly flags?: readonly string[] } = {},
    ): Promise<Site> => {
      const needs = STORES[store] ?? FRAMEWORKS[store] ?? []
      const cache = needs.includes('memcached') ? await tiers.memcached() : undefined
      const redis = needs.includes('redis') ? await tiers.redis() : undefined
      const database = needs.includes('database') ? await tiers.database() : undefined
      const places = {
        memcached: cache?.server.address ?? '',
        redis: redis?.server.url ?? '',
        database: database?.server ?? '',
        secret: randomBytes(32).toString('hex'),
      }
      const servers: Subject[] = []
      const ports: number[] = []
      for (let process = 0; process < processes; process += 1) {
        const server = await startSubject('request-server', flags)
        ends.push(() => server.end())
        servers.push(server)
        ports.push(await server.ask<number>({ open: { store, places } } satisfies ServerQuestion))
      }
      const visitors = await startVisitors(ports, sizes)
      ends.unshift(() => visitors.close())
      await visitors.visit(WARM_UP)
      const counts = async (): Promise<Counts> => ({
        ...(await database?.counts()),
        ...(await (needs[0] === 'redis' ? redis : cache)?.counts()),
      })
      return { store, servers, visitors, counts }
    }

    const caseOf = (site: Site, bytes: Size, pattern: Pattern): Case => ({
      name: site.store,
      group: groupOf(bytes, pattern, site.servers.length),
      run: async (): Promise<Sample> => {
        const used = async (): Promise<number> => {
          const all = site.servers.map((server) => server.ask<number>({ used: true } satisfies ServerQuestion))
          return (await Promise.all(all)).reduce((sum, us) => sum + us, 0)
        }
        const [before, beforeUs] = [await site.counts(), await used()]
        const { requests, ...times } = await site.visitors.visit({ bytes, writeEvery: PATTERNS[pattern], seconds })
        const [afterUs, after] = [await used(), await site.counts()]
        const { commands, bytes: wireBytes, statements } = perOperation(before, after, requests)
        return {
          cpuUs: (afterUs - beforeUs) / requests,
          ...times,
          ...(commands === undefined ? {} : { roundTrips: commands }),
          ...(wireBytes === undefined ? {} : { wireBytes }),
          ...(statements === undefined ? {} : { statements }),
        }
      },
    })

    tell('starting')
    const names = quick ? OF_FIGURES : Object.keys(STORES)
    const shared = quick ? [] : names.filter((one) => !ALONE.includes(one))
    const [single, frameworks, pairs] = await Promise.all([
      Promise.all(names.map((store) => openSite(store, quick ? [USUAL_SIZE] : SIZES))),
      Promise.all((quick ? [] : Object.keys(FRAMEWORKS)).map((store) => openSite(store, [USUAL_SIZE]))),
      Promise.all(shared.map((store) => openSite(store, [USUAL_SIZE], { processes: 2 }))),
    ])
    const patterns: readonly Pattern[] = quick ? ['read-only', 'always writing'] : PATTERN_NAMES
    const cases = [
      ...(quick ? [USUAL_SIZE] : SIZES).flatMap((bytes) =>
        patterns.flatMap((pattern) => [
          ...single.map((site) => caseOf(site, bytes, pattern)),
          ...(bytes === USUAL_SIZE ? frameworks.map((site) => caseOf(site, bytes, pattern)) : []),
        ]),
      ),
      ...patterns.flatMap((pattern) => pairs.map((site) => caseOf(site, USUAL_SIZE, pattern))),
    ]
    const measured = await inRounds(cases, rounds, (round) => tell(`round ${round} of ${rounds}`))

    const over = (pattern: Pattern, other: string, measure: Measure = 'cpuUs') =>
      ratioIn(measured, { group: groupOf(USUAL_SIZE, pattern, 1), measure, one: OURS, other })
    const reading = found(measured, groupOf(USUAL_SIZE, 'read-only', 1), OURS)
    return {
      family: 'request',
      measured,
      columns: ['cpuUs', 'perSecond', 'p50Us', 'p99Us', 'roundTrips', 'wireBytes', 'statements'],
      versions: await tiers.versions(),
      figures: {
        'request.cpu.read.overMemoryStore': over('read-only', 'MemoryStore'),
        'request.cpu.write.overMemoryStore': over('always writing', 'MemoryStore'),
        'request.cpu.read.overConnectRedis': over('read-only', 'connect-redis'),
        'request.cpu.write.overConnectRedis': over('always writing', 'connect-redis'),
        'request.cpu.read.overConnectMemcached': over('read-only', 'connect-memcached'),
        'request.cpu.write.overConnectMemcached': over('always writing', 'connect-memcached'),
        'request.roundTrips.read': summarized(reading, 'roundTrips'),
        'request.statements.read': summarized(reading, 'statements'),
      },
    }
  } finally {
    for (const end of ends) await end()
    await tiers.stop()
  }
}
